"""A magic's line: its words, its quotes and comments, and the user's variables in braces.

A line is taken apart before anything is put in, so that a variable's value is never split, never taken for an option
and never closes a quote. What a brace or a dollar can't mean stays as it was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nbagora_lab.core.errors import UsageError

__all__ = ["Variables", "Word", "next_word", "words"]

_NAME = re.compile(r"\$(\$?)([^\W\d]\w*(?:\.[^\W\d]\w*)*)")


class Word(NamedTuple):
    """One word of a line.

    Attributes:
        text: The word without its quotes.
        quoted: Whether it began with a quote, so that it can't be an option or a comment.
        start: Where it begins in the line.
        end: Where it ends, quotes included.
    """

    text: str
    quoted: bool
    start: int
    end: int


def next_word(line: str, at: int = 0) -> Word | None:
    r"""The first word of `line` from position `at` on, None at the end.

    A quote counts at the start of a word and after ``=``; elsewhere it is an apostrophe. Braces that belong together
    keep what is between them in one word. Backslashes are letters: they escape in topic names and part Windows paths.

    Example:
        >>> next_word('--skill "a b" c', 7).text
        'a b'

    Raises:
        UsageError: A quote that is never closed.
    """
    while at < len(line) and line[at].isspace():
        at += 1
    if at == len(line):
        return None
    start, pieces = at, []
    groups: dict[int, int] | None = None
    while at < len(line) and not line[at].isspace():
        letter = line[at]
        if letter in "\"'" and (at == start or line[at - 1] == "="):
            close = line.find(letter, at + 1)
            if close < 0:
                raise UsageError(
                    f"the quote before {line[at + 1 : at + 21]!r} is never closed",
                    "close it, or put the word in the other kind of quotes",
                )
            pieces.append(line[at + 1 : close])
            at = close + 1
        else:
            if letter == "{" and groups is None:
                groups = _groups(line)
            end = groups.get(at, at + 1) if groups else at + 1
            pieces.append(line[at:end])
            at = end
    return Word("".join(pieces), line[start] in "\"'", start, at)


def words(line: str) -> Iterator[Word]:
    """All words of a line; one that starts with ``#`` begins a comment.

    Raises:
        UsageError: A quote that is never closed.
    """
    at = 0
    while (word := next_word(line, at)) is not None:
        if word.text.startswith("#") and not word.quoted:
            return
        yield word
        at = word.end


class Variables:
    """Puts a user's variables into what was typed: ``{expression}`` and ``$name``; ``{{`` and ``$$`` for the signs.

    Each stands or falls by itself: an expression that raises, a lone brace and a dollar before no known name stay as
    they were typed, and hold up nothing else.

    Args:
        namespace: Where names are looked up.

    Example:
        >>> Variables({"city": "北京"}).text("{city} at $5, {unknown}, 50% }")
        '北京 at $5, {unknown}, 50% }'
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace

    def text(self, typed: str) -> str:
        """`typed`, with the variables' values in it."""
        pieces, at = [], 0
        groups = _groups(typed) if "{" in typed else {}
        while (brace := typed.find("{", at)) >= 0:
            pieces.append(self._dollars(typed[at:brace]))
            at = groups.get(brace, brace + 1)
            pieces.append(self._group(typed[brace:at]))
        pieces.append(self._dollars(typed[at:]))
        return "".join(pieces)

    def value(self, typed: str) -> Any:
        """The object itself where `typed` is one ``{expression}`` or ``$name`` and nothing else; else `text`."""
        if typed.startswith("{") and not typed.startswith("{{") and _groups(typed).get(0) == len(typed) > 2:
            try:
                return eval(typed[1:-1], dict(self._namespace))
            except Exception:  # noqa: BLE001 -- whatever a user's expression raises, it stays as typed
                return self.text(typed)
        if (match := _NAME.fullmatch(typed)) and not match[1]:
            try:
                return self._look_up(match[2])
            except (KeyError, AttributeError):
                return typed
        return self.text(typed)

    def _group(self, group: str) -> str:
        from IPython.utils.text import FullEvalFormatter

        try:
            return FullEvalFormatter().vformat(group, (), dict(self._namespace))  # eval takes nothing but a dict
        except Exception:  # noqa: BLE001 -- whatever a user's expression raises, it stays as typed
            return group

    def _dollars(self, text: str) -> str:
        return _NAME.sub(self._dollar, text) if "$" in text else text

    def _dollar(self, match: re.Match[str]) -> str:
        # As IPython does, a dot after the name reads an attribute; "$city." at a sentence's end does not match one.
        try:
            value = self._look_up(match[2])
        except (KeyError, AttributeError):
            return match[0]
        return match[0][1:] if match[1] else str(value)

    def _look_up(self, path: str) -> Any:
        first, *rest = path.split(".")
        value = self._namespace[first]
        for name in rest:
            value = getattr(value, name)
        return value


def _groups(text: str) -> dict[int, int]:
    """Where each ``{`` that is closed stands, and one past the ``}`` that closes it."""
    open_at: list[int] = []
    groups = {}
    for match in re.finditer("[{}]", text):
        if match[0] == "{":
            open_at.append(match.start())
        elif open_at:
            groups[open_at.pop()] = match.end()
    return groups
