"""From a notebook's line to words: what argparse gets in place of what a shell would have parted.

Each value that was quoted, or holds a variable, is set aside and a word stands for it, so that argparse can't take it
for an option. A command that takes the rest of the line gets it as it stands: options are looked for in front of it
and behind it alone, and nowhere after a word ``--``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from nbagora.command import Option
from nbagora.line import Variables, Word, next_word, words
from nbagora_lab.core.errors import UsageError, did_you_mean

__all__ = ["OUT", "Typed", "read_rest", "read_words"]

OUT = "-o"
"""The option of every magic that names a variable for the result."""

_HELP = ("-h", "--help")
_HELD = re.compile("\0([0-9]+)")
_DASHED = re.compile(r"--?[^\W\d]|--$")  # an option or the word --; not a number, not a dash by itself
_VALUE = r"""("[^"]*"|'[^']*'|\{[^{}]*\}|[^\s"'{}]\S*)"""


class Typed(list[str]):
    """Words for argparse, some of which stand for values that were set aside.

    Attributes:
        held: The values set aside, each at the number that its word holds.
    """

    def __init__(self, plain: Iterable[str] = ()) -> None:
        super().__init__(plain)
        self.held: list[Any] = []

    @classmethod
    def of(cls, words: Sequence[str]) -> Typed:
        """Words that a shell has parted; those after a word ``--`` are no options."""
        end = words.index("--") if "--" in words else len(words)
        typed = cls(words[:end])
        typed.extend([typed.hold(word) for word in words[end + 1 :]])
        return typed

    def hold(self, value: Any) -> str:
        """The word that stands for `value`."""
        self.held.append(value)
        return f"\0{len(self.held) - 1}"

    def value(self, word: str) -> Any:
        """What a word stands for: itself, unless it was set aside."""
        match = _HELD.fullmatch(word)
        return self.held[int(match[1])] if match else word

    def shown(self, text: str) -> str:
        """A message of argparse, with the values in place of what stands for them."""
        return _HELD.sub(lambda match: str(self.held[int(match[1])]), text)


def read_words(line: str, variables: Variables) -> Typed:
    """Parts a line at its blanks, as a shell would.

    Raises:
        UsageError: A quote that is never closed.
    """
    typed, free = Typed(), True
    for word in words(line):
        if free and word.text == "--" and not word.quoted:
            free = False
        else:
            typed.append(_word(word, variables, typed, free=free))
    return typed


def read_rest(line: str, variables: Variables, known: Sequence[Option], prog: str) -> Typed:
    """Parts a line whose end is a text that is taken as it stands.

    Args:
        line: What follows the verb.
        variables: The user's.
        known: The command's options and places.
        prog: What comes before the line, for errors.

    Raises:
        UsageError: A quote that is never closed, or what must be a misspelled option.
    """
    typed, free, at = Typed(), True, 0
    by_name = {option.option: option for option in known if option.option}
    takes_value = {OUT, *(name for name, option in by_name.items() if not option.flag)}
    wanted = sum(option.arg.positional for option in known)
    while wanted or (free and line[at:].lstrip().startswith("-")):
        word = next_word(line, at)
        if word is None:
            break
        dashed = free and not word.quoted and _DASHED.match(word.text)
        if not dashed and not wanted:
            break
        at = word.end
        if not dashed:
            typed.append(_word(word, variables, typed, free=False))
            wanted -= 1
        elif word.text == "--":
            free = False
        else:
            typed.append(_word(word, variables, typed, free=True))
            name, equals, _ = word.text.partition("=")
            if name not in {*by_name, OUT, *_HELP}:
                raise _misspelled(name, by_name, prog)
            if name in takes_value and not equals and (value := next_word(line, at)) is not None:
                typed.append(_word(value, variables, typed, free=False))
                at = value.end
    rest = line[at:].strip()
    if free:
        rest = _cut_options(rest, variables, typed, by_name, takes_value, prog)
    if rest:
        typed.append(typed.hold(variables.text(rest)))
    return typed


def _word(word: Word, variables: Variables, typed: Typed, *, free: bool) -> str:
    """The word for argparse: as it is, or one that stands for its value."""
    if free and not word.quoted:
        name, equals, value = word.text.partition("=")
        if len(name) > 1 and name.startswith("-"):
            return f"{name}={typed.hold(variables.value(value))}" if equals else name
        if not re.search("[{$\0]", word.text):
            return word.text
    return typed.hold(variables.value(word.text))


def _cut_options(
    rest: str, variables: Variables, typed: Typed, by_name: dict[str, Option], takes_value: set[str], prog: str
) -> str:
    """Takes the options off the end of a text."""
    valued = "|".join(map(re.escape, sorted(takes_value)))
    switches = "|".join(map(re.escape, sorted({*by_name} - takes_value))) or "(?!)"
    with_value = re.compile(rf"(?:^|\s)({valued})(?:\s+|=){_VALUE}$")
    alone = re.compile(rf"(?:^|\s)({switches})$")
    while True:
        if match := with_value.search(rest):
            value = match[2][1:-1] if match[2][0] in "\"'" else match[2]
            typed[:0] = [f"{match[1]}={typed.hold(variables.value(value))}"]
        elif match := alone.search(rest):
            typed[:0] = [match[1]]
        else:
            break
        rest = rest[: match.start()].rstrip()
    for last in rest.split()[-2:]:
        name = last.partition("=")[0]
        if last.startswith("--") and difflib.get_close_matches(name, by_name, n=1, cutoff=0.75):
            raise _misspelled(name, by_name, prog)
    return rest


def _misspelled(name: str, by_name: dict[str, Option], prog: str) -> UsageError:
    if name in by_name:
        return UsageError(f"{prog}: {name} needs a value", f"{by_name[name].help}; -- before a text keeps it as it is")
    hint = did_you_mean(name, [*by_name, OUT])
    return UsageError(f"{prog} has no option '{name}'", f"{hint} (-- before a text keeps it as it is)")
