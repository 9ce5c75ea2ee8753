"""The parser: argparse made from a command's fields, and the help that it prints.

Nothing here prints or exits: what does not fit raises `UsageError`, and help is a text that is returned.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from pydantic import ValidationError

from nbagora.command import Command, Option, options, verbs
from nbagora.line import Variables
from nbagora.typed import OUT, Typed, read_rest, read_words
from nbagora_lab.core.errors import UsageError, did_you_mean

__all__ = ["Help", "Parser", "help_of_noun"]


class Help(str):
    """A help text; displays as itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Refused(Exception):
    """What argparse found wrong."""


class _Argparse(argparse.ArgumentParser):
    """argparse that neither prints nor exits."""

    def error(self, message: str) -> NoReturn:
        raise _Refused(message)


@dataclass(frozen=True)
class Parser:
    """Makes one command from what was typed on one face.

    Attributes:
        command: Its class.
        prog: What comes before the words, as this face writes it: ``%agent ask``, ``nbagora agent ask``.
        out: Whether this face has ``-o NAME``.
        also: What may be typed with every command of this face, as the fields of a command of its own.
        cell: Whether a cell's body takes the place of the field that takes the rest.
    """

    command: type[Command]
    prog: str
    out: bool = False
    cell: bool = False
    also: type[Command] | None = None

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """What may be typed here."""
        own = tuple(option for option in options(self.command) if not (self.cell and option.arg.rest))
        return own + (options(self.also) if self.also else ())

    @cached_property
    def usage(self) -> str:
        """How the command is typed, on one line."""
        return " ".join(self._argparse.format_usage().split())

    @property
    def help(self) -> Help:
        """The whole help."""
        return Help(self._argparse.format_help().rstrip())

    def read(self, line: str, variables: Variables) -> Typed:
        """Parts a notebook's line into words.

        Raises:
            UsageError: A quote that is never closed, or an option that must be misspelled.
        """
        if any(option.arg.rest for option in self.options):
            return read_rest(line, variables, self.options, self.prog)
        return read_words(line, variables)

    def parse(self, words: Sequence[str], body: str = "") -> tuple[Command | Help, Any]:
        """Makes the command.

        Args:
            words: What was typed, parted; a `Typed` where some stand for values.
            body: The cell's body, on the face of a cell.

        Returns:
            The command, or its help where that was asked for; and what was typed `also`, or the name after ``-o``, an
            empty string where there is none.

        Raises:
            UsageError: The words do not fit.
        """
        typed = words if isinstance(words, Typed) else Typed.of(words)
        if {"-h", "--help"} & set(typed):
            return self.help, ""
        try:
            found, extra = self._argparse.parse_known_intermixed_args(typed)
        except _Refused as error:
            raise UsageError(f"{self.prog}: {typed.shown(str(error))}", self.usage) from None
        if extra:
            raise self._unfit(typed.shown(extra[0]))
        given = vars(found)
        out = str(typed.value(given.pop(OUT, ""))) if self.out else ""
        if out and not out.isidentifier():
            raise UsageError(f"{self.prog}: '{out}' after -o can't name a variable", "write -o and a Python name")
        values = {
            option.field: value
            for option in self.options
            if option.field in given and (value := _value(option, given[option.field], typed)) is not None
        }
        if self.cell:
            values |= {option.field: body for option in options(self.command) if option.arg.rest}
        beside = {name: values.pop(name) for name in (self.also.model_fields if self.also else ()) if name in values}
        try:
            return self.command(**values), self.also(**beside) if self.also else out
        except ValidationError as error:
            raise self._misfit(error) from None

    @cached_property
    def _argparse(self) -> _Argparse:
        parser = _Argparse(
            prog=self.prog,
            description=inspect.cleandoc(self.command.__doc__ or "").replace("%", "%%"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,
            add_help=False,
            allow_abbrev=False,
        )
        for option in self.options:
            default = "" if option.default is None else f" (default: {option.default})"
            text = f"{option.help}{'; may be repeated' if option.many else ''}{default}".replace("%", "%%")
            if option.flag:
                parser.add_argument(option.option, dest=option.field, action="store_true", help=text)
            elif option.option:
                one = "{" + ",".join(option.choices) + "}" if option.choices else option.metavar
                parser.add_argument(
                    option.option,
                    dest=option.field,
                    action="append" if option.many else "store",
                    nargs=None if option.words == 1 else option.words,
                    metavar=one if option.words == 1 else tuple((one.split() * option.words)[: option.words]),
                    required=option.required,
                    help=text,
                )
            else:
                several = option.many or option.arg.rest
                nargs = ("+" if option.required else "*") if several else (None if option.required else "?")
                parser.add_argument(option.field, metavar=option.metavar, nargs=nargs, help=text)
        if self.out:
            parser.add_argument(OUT, dest=OUT, metavar="NAME", help="variable that the result is stored in as well")
        parser.add_argument("-h", "--help", action="store_true", dest="-h", help="this help")
        return parser

    def _unfit(self, word: str) -> UsageError:
        if not word.startswith("-"):
            return UsageError(f"{self.prog}: '{word}' is one word too many", self.usage)
        known = [*(option.option for option in self.options if option.option), "--help", *([OUT] if self.out else [])]
        name = word.partition("=")[0]
        return UsageError(f"{self.prog} has no option '{name}'", did_you_mean(name, known))

    def _misfit(self, error: ValidationError) -> UsageError:
        problem = error.errors(include_url=False)[0]
        option = next(option for option in self.options if option.field == problem["loc"][0])
        what = f"{self.prog}: {option.option or option.metavar} can't be {problem['input']!r}: {problem['msg']}"
        return UsageError(what, did_you_mean(str(problem["input"]), option.choices) if option.choices else option.help)


def help_of_noun(noun: str, prog: str) -> Help:
    """A noun's verbs, a line each."""
    known = verbs(noun)
    width = max(map(len, known))
    lines = [f"{prog} {verb:<{width}}  {command.summary()}" for verb, command in known.items()]
    return Help("\n".join([*lines, "", f"{prog} VERB --help tells more."]))


def _value(option: Option, given: Any, typed: Typed) -> Any:
    """What the field gets for what was typed; None, be it a variable's value, counts as not given."""
    if option.flag:
        return option.sets
    if not isinstance(given, list):
        return _named(typed.value(given), option.arg.kind)
    if option.words > 1:
        return tuple(tuple(typed.value(word) for word in words) for words in given)
    values = [typed.value(word) for word in given]
    if option.arg.rest and not option.many:
        return " ".join(map(str, values)) if values else None
    flat = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
    return tuple(_named(value, option.arg.kind) for value in flat)


def _named(value: Any, kind: str) -> Any:
    """What a field takes of an object that is given for a name: a task's id, its context, its topic."""
    if value is None or isinstance(value, str):
        return value
    attribute = {"agent": "name", "context": "context_id", "task": "id", "topic": "topic"}.get(kind, "")
    return str(getattr(value, attribute, value))
