"""Globs over the names of lite topics: ``*``, ``?`` and ``[…]``, each meant literally behind a backslash."""

from __future__ import annotations

import re
from typing import NamedTuple

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import BadName

__all__ = ["Pattern"]

_PIECE = re.compile(r"\\(.)|(\*+)|(\?)|\[(!?)((?:\]|[^\]])[^\]]*)\]|(.)", re.DOTALL)
_HINT = "write a name, or a glob with *, ? or [a-z]; a backslash before one of these means it literally"


class Pattern(NamedTuple):
    """A subscription's name or glob.

    Attributes:
        text: As it was written.
        name: The one lite topic that it names; None for a glob.
        regex: What a glob matches; None for a name, and for ``*``, which matches all.
        prefix: What every name that it matches begins with.

    Example:
        >>> Pattern.parse("s-*").matches("s-1"), Pattern.parse("北京?").matches("北京店")
        (True, True)
    """

    text: str
    name: str | None
    regex: re.Pattern[str] | None
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Reads a name or glob.

        Raises:
            BadName: No name can match it.
        """
        literal, regex, prefix, glob = "", "", "", False
        for found in _PIECE.finditer(text):
            escaped, star, question, negated, letters, plain = found.groups()
            if (letter := escaped or plain) is not None and letter != "[":
                literal += letter
                regex += re.escape(letter)
            elif letter == "[":
                raise BadName(f"the pattern '{text[:60]}' has a '[' without its ']'", _HINT)
            else:
                prefix = prefix if glob else literal
                glob = True
                if star or question:
                    regex += ".*" if star else "."
                else:
                    inside = letters.replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
                    inside = f"\\{inside}" if inside.startswith("]") else inside
                    regex += f"[{'^' if negated else ''}{inside}]"
        if not glob:
            return cls(text, check_name(literal, "lite topic"), None, literal)
        try:
            whole = None if set(text) == {"*"} else re.compile(regex, re.DOTALL)
        except re.error as error:
            raise BadName(f"the pattern '{text[:60]}' is no glob: {error}", _HINT) from None
        if "/" in literal or len(literal.encode("utf-8", "surrogatepass")) > 512:
            raise BadName(f"no topic's name can match the pattern '{text[:60]}'", _HINT)
        return cls(text, None, whole, prefix)

    def matches(self, lite: str) -> bool:
        """Whether it names this lite topic."""
        if self.name is not None:
            return lite == self.name
        return self.regex is None or self.regex.fullmatch(lite) is not None
