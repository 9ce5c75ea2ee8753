"""Conditions: a filter as people write it, ``capability=streaming and not (tag=beta or provider=Acme*)``, as a tree.

A condition is ``field=value``; a value with blanks stands in quotes, one with ``*`` or ``?`` is a pattern. ``and``
binds closer than ``or``, ``not`` closer than both, and two conditions side by side are joined by ``and``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nbagora_lab.core.errors import UsageError, did_you_mean
from nbagora_lab.registry.fields import FIELDS

__all__ = ["All", "Condition", "Either", "Is", "Not", "parse"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<sign>[()])|(?P<field>[A-Za-z]+)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'
    |(?P<bare>[^\s()"']+))|(?P<word>[^\s()="']+))""",
    re.VERBOSE,
)
_DEEPEST = 32
_MOST = 64  # conditions in one tree


class Is(NamedTuple):
    """A filter's value is the given one, or fits the pattern."""

    field: str
    value: str


class Not(NamedTuple):
    """A condition does not hold."""

    part: Condition


class All(NamedTuple):
    """All conditions hold."""

    parts: tuple[Condition, ...]


class Either(NamedTuple):
    """One condition holds, or more."""

    parts: tuple[Condition, ...]


Condition = Is | Not | All | Either
"""A tree of conditions."""


def parse(text: str) -> Condition:
    """The tree of what was written.

    Example:
        >>> parse("tag=travel and not health=up")
        All(parts=(Is(field='tag', value='travel'), Not(part=Is(field='health', value='up'))))

    Raises:
        UsageError: It is no condition; says where.
    """
    parser = _Parser(text)
    tree = parser.either(0)
    if parser.tokens:
        raise parser.refused(f"'{parser.tokens[0][1]}' stands where nothing more can")
    return tree


class _Parser:
    """What is left of the text, by descent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        self.count = 0
        at = 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.refused(f"what begins at '{text[at : at + 20].strip()}' is no condition")
            if match["field"]:
                value = next(match[group] for group in ("double", "single", "bare") if match[group] is not None)
                self.tokens.append((match["field"].lower(), value))
            else:
                self.tokens.append(("", match["sign"] or match["word"]))
            at = match.end()

    def refused(self, why: str) -> UsageError:
        return UsageError(f"{why}, in {self.text[:80]!r}", "write capability=streaming and not (tag=beta or tag=old)")

    def take(self, *words: str) -> bool:
        """Takes the next token if it is one of `words`."""
        if self.tokens and not self.tokens[0][0] and self.tokens[0][1].lower() in words:
            self.tokens.pop(0)
            return True
        return False

    def either(self, depth: int) -> Condition:
        parts = [self.all(depth)]
        while self.take("or"):
            parts.append(self.all(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def all(self, depth: int) -> Condition:
        parts = [self.one(depth)]
        while self.tokens and self.tokens[0] != ("", ")") and self.tokens[0] not in {("", "or"), ("", "OR")}:
            self.take("and")
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def one(self, depth: int) -> Condition:
        self.count += 1
        if depth > _DEEPEST or self.count > _MOST:
            raise self.refused("a filter takes 64 conditions, nested 32 deep")
        if self.take("not"):
            return Not(self.one(depth + 1))
        if self.take("("):
            inside = self.either(depth + 1)
            if not self.take(")"):
                raise self.refused("a parenthesis is never closed")
            return inside
        if not self.tokens:
            raise self.refused("a condition is missing at the end")
        field, value = self.tokens.pop(0)
        if not field:
            raise self.refused(f"'{value}' stands where a condition must")
        if field not in FIELDS:
            raise UsageError(f"no filter '{field}'", did_you_mean(field, FIELDS))
        return Is(field, value)
