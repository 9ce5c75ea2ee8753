"""Globs over the names of lite topics: ``*``, ``?`` and ``[…]``, each meant literally behind a backslash."""

from __future__ import annotations

import re
from typing import NamedTuple

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import BadName

__all__ = ["Pattern"]

_PIECE = re.compile(r"\\(.)|(\*+)|(\?)|\[(!?)((?:\]|[^\]])[^\]]*)\]|(.)", re.DOTALL)
_MEANT = re.compile(r"([*?\[\\])")
_HINT = "write a name, or a glob with *, ? or [a-z]; a backslash before one of these means it literally"


class Pattern(NamedTuple):
    """A subscription's name or glob.

    Attributes:
        text: As it was written; a name with no more backslashes than it needs.
        name: The one lite topic that it names; None for a glob.
        regex: What a glob matches; None for a name, and for a prefix before one ``*``.
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
        literal, prefix, glob = "", "", False
        parts, least = [""], 0  # expressions between the stars, and how many letters they take
        for found in _PIECE.finditer(text):
            escaped, star, question, negated, letters, plain = found.groups()
            if plain == "[":
                raise BadName(f"the pattern '{text[:60]}' has a '[' without its ']'", _HINT)
            if (letter := escaped or plain) is not None:
                literal += letter
                parts[-1] += re.escape(letter)
            else:
                prefix = prefix if glob else literal
                glob = True
                if star:
                    parts.append("")
                    continue
                least += 1
                if question:
                    parts[-1] += "."
                else:
                    inside = letters.replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
                    inside = f"\\{inside}" if inside.startswith("]") else inside
                    parts[-1] += f"[{'^' if negated else ''}{inside}]"
        if not glob:
            return cls.literal(check_name(literal, "lite topic"))
        try:
            whole = None if not least and not any(parts[1:]) else re.compile(_expression(parts), re.DOTALL)
        except re.error as error:
            raise BadName(f"the pattern '{text[:60]}' is no glob: {error}", _HINT) from None
        if "/" in literal or len(literal.encode("utf-8", "surrogatepass")) + least > 512:
            raise BadName(f"no topic's name can match the pattern '{text[:60]}'", _HINT)
        return cls(text, None, whole, prefix)

    @classmethod
    def literal(cls, lite: str) -> Pattern:
        """The pattern that names a lite topic."""
        return cls(_MEANT.sub(r"\\\1", lite), lite, None, lite)

    def matches(self, lite: str) -> bool:
        """Whether it names this lite topic."""
        if self.name is not None:
            return lite == self.name
        return lite.startswith(self.prefix) if self.regex is None else self.regex.fullmatch(lite) is not None


def _expression(parts: list[str]) -> str:
    """What lies between two stars is looked for once, at its first place, which is as good as any later one."""
    first, *between = parts
    if not between:
        return first
    *between, last = between
    return first + "".join(f"(?>.*?{part})" for part in between if part) + f".*{last}"
