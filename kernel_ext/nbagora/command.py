"""The command: one frozen model per verb, from which everything typed is derived.

A command's fields are what a person may type: their order, types, defaults and descriptions make the parser, the help,
the completion, the command line and the reference table. A command registers itself under its noun and verb as it is
defined; nothing else lists it. What it does is one method, `run`: a call to the lab, and an object that displays
itself.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from nbagora.commands import CELLS
from nbagora_lab.core.errors import UnknownVerb, did_you_mean

if TYPE_CHECKING:
    from nbagora_lab.a2a.task import Task
    from nbagora_lab.lab import Lab

__all__ = ["Arg", "Command", "Face", "Option", "cell_command", "find", "options", "verbs"]

_COMMANDS: dict[str, dict[str, type[Command]]] = {}
_CELLS: dict[str, type[Command]] = {}


class Face(Protocol):
    """What a command may ask of the face that it was typed on: a notebook, or a terminal."""

    @property
    def lab(self) -> Lab:
        """The lab that the command is for.

        Raises:
            NotStarted: There is none.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """Settings that this face was given for a lab that is to start (`%config Lab`)."""
        ...

    def defined(self, name: str, source: str) -> object:
        """The object that the cell of `source` defined for the agent `name`.

        Raises:
            BadAgent: It defined none of that name.
        """
        ...

    def end(self) -> object:
        """Stops the lab of this kernel, or the one that this terminal is for; what is to be shown of it."""
        ...

    def follow(self, task: Task, *, timeout: float | None = None, check: bool = True) -> Task:
        """Shows `task` while it goes on, and returns it as it is when it ends or asks for something.

        Raises:
            TaskFailed: It ended FAILED, REJECTED or CANCELED, and `check` is set.
            TimedOut: `timeout` seconds ran out; the task goes on.
        """
        ...


@dataclass(frozen=True, slots=True)
class Arg:
    """How a field of a command is typed, beyond what its type and default say.

    Attributes:
        kind: What its values name: ``agent``, ``context``, ``file``, ``task``, ``topic``; what completion offers, and
            what is taken of a task that is given instead.
        positional: It has no name: its place says what it is.
        rest: It takes the rest of the line as it stands; a cell's body where the command has a cell form.
        option: Its name where that is not the field's: ``--no-raise`` for `check`.
        metavar: Its value's name in the help.
    """

    kind: str = ""
    positional: bool = False
    rest: bool = False
    option: str = ""
    metavar: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """A field of a command as people meet it.

    Attributes:
        field: The field's name.
        arg: How it is typed.
        option: ``--timeout``, or empty where its place says what it is.
        metavar: Its value's name in the help.
        flag: Whether it is a switch that takes no value.
        sets: What a switch sets the field to.
        words: Number of words that a value takes.
        many: Whether it may be given more than once.
        required: Whether it must be given.
        choices: The values that it may have, empty where that is not a closed set.
        help: Its description.
        default: Its default, None where there is none worth telling.
    """

    field: str
    arg: Arg
    option: str
    metavar: str
    flag: bool
    sets: bool
    words: int
    many: bool
    required: bool
    choices: tuple[str, ...]
    help: str
    default: object


class Command(BaseModel):
    """Base of all commands.

    A subclass names its place, ``class Ask(Command, noun="agent", verb="ask", cell="ask")``, and describes itself in
    its docstring, whose first line is its line in every list.

    Attributes:
        noun: What it is about; empty where it has only a cell form.
        verb: What it does.
        cell: Name of its cell magic, or empty; the cell's body is its field that takes the rest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    noun: ClassVar[str] = ""
    verb: ClassVar[str] = ""
    cell: ClassVar[str] = ""

    def __init_subclass__(cls, *, noun: str = "", verb: str = "", cell: str = "", **rest: Any) -> None:
        """Enters the command under its noun and verb."""
        super().__init_subclass__(**rest)
        cls.noun, cls.verb, cls.cell = noun, verb, cell
        if verb:
            _COMMANDS.setdefault(noun, {})[verb] = cls
        if cell:
            _CELLS[cell] = cls

    @classmethod
    def summary(cls) -> str:
        """What it does, in one line."""
        return (cls.__doc__ or "").strip().partition("\n")[0].rstrip(".")

    def run(self, face: Face) -> object:
        """Does it, and returns the object whose display is the command's output.

        Raises:
            LabError: Whatever went wrong.
        """
        raise NotImplementedError


def verbs(noun: str) -> Mapping[str, type[Command]]:
    """The commands of a noun by verb, in the order in which its module defines them."""
    importlib.import_module(f"nbagora.commands.{noun}")
    return types.MappingProxyType(_COMMANDS[noun])


def find(noun: str, verb: str, *, shown: str = "") -> type[Command]:
    """The command of a noun and verb.

    Args:
        noun: A known noun.
        verb: The verb as typed; empty where none was.
        shown: The noun as this face writes it, such as ``%agent``.

    Raises:
        UnknownVerb: The noun has no such verb; says which it has.
    """
    known = verbs(noun)
    if verb in known:
        return known[verb]
    shown = shown or noun
    hint = did_you_mean(verb, known) if verb else f"there are: {', '.join(known)}"
    what = f"{shown} has no verb '{verb}'" if verb else f"{shown} needs a verb"
    raise UnknownVerb(what, hint)


def cell_command(name: str) -> type[Command]:
    """The command behind the cell magic `name`, one of `commands.CELLS`."""
    verbs(CELLS[name])
    return _CELLS[name]


@cache
def options(command: type[Command]) -> tuple[Option, ...]:
    """A command's fields as people meet them, positional ones first and the rest last of those."""
    found = [_option(name, field) for name, field in command.model_fields.items()]
    return tuple(sorted(found, key=lambda one: (bool(one.option), one.arg.rest)))


def _option(name: str, field: FieldInfo) -> Option:
    arg = next((part for part in field.metadata if isinstance(part, Arg)), Arg())
    placed = arg.positional or arg.rest
    flag = field.annotation is bool
    inners = [inner for part in _parts(field.annotation) if get_origin(part) is tuple for inner in get_args(part)]
    option = "" if placed else arg.option or f"--{name.replace('_', '-')}"
    default = None if field.is_required() or flag else field.default
    return Option(
        field=name,
        arg=arg,
        option=option,
        metavar=arg.metavar or (name if placed else name.rpartition("_")[2]).upper(),
        flag=flag,
        sets=field.default is False,
        words=next((len(get_args(inner)) for inner in inners if get_origin(inner) is tuple), 1),
        many=bool(inners),
        required=field.is_required(),
        choices=tuple(_choices(field.annotation)),
        help=field.description or "",
        default=default if default not in (None, (), "") else None,
    )


def _parts(annotation: Any) -> Iterator[Any]:
    """The members of a union, or the annotation itself."""
    if get_origin(annotation) is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, types.UnionType}:
        for part in get_args(annotation):
            yield from _parts(part)
    else:
        yield annotation


def _choices(annotation: Any) -> Iterator[str]:
    for part in _parts(annotation):
        if get_origin(part) is Literal:
            yield from map(str, get_args(part))
