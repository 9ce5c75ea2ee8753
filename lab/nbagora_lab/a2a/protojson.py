"""A2A's protobuf messages from and to ProtoJSON, as `google.protobuf.json_format` has it, for a third of its time.

That one asks of each field what it could be, in Python. Here it is asked once a type; what is plain (strings, numbers,
enums, and messages of these) is left to the constructor, which is compiled. Whatever is not plain, and all that is
refused, goes to `json_format`, so that its rules and its words hold.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError, SerializeToJsonError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

__all__ = ["filled", "written"]

M = TypeVar("M", bound=Message)

_PLAIN = {
    FieldDescriptor.TYPE_STRING: str,
    FieldDescriptor.TYPE_BOOL: bool,
    FieldDescriptor.TYPE_INT32: int,
}


class _NotPlain(Exception):
    """It is for `json_format` to say what this is."""


class _Field(NamedTuple):
    """How a field is read.

    Attributes:
        name: Its name in a constructor.
        many: Whether it is repeated.
        take: Makes a constructor's argument of a JSON value.
        choice: Name of the ``oneof`` that it is of; empty for none.
    """

    name: str
    many: bool
    take: Callable[[Any], Any]
    choice: str


def filled(content: Any, message: M, *, strict: bool = False) -> M:
    """A message of the type of `message`, which is empty, with the content of ProtoJSON.

    Args:
        content: The JSON.
        message: What to fill.
        strict: Whether members that the type does not know are refused; else they are left out.

    Raises:
        ParseError: It is no such message.
    """
    try:
        return type(message)(**_arguments(message.DESCRIPTOR, content))
    except (_NotPlain, ParseError, TypeError, ValueError, AttributeError):
        return ParseDict(content, message, ignore_unknown_fields=not strict)


def _arguments(of: Any, content: Any) -> dict[str, Any]:
    if type(content) is not dict:
        raise _NotPlain
    fields, found, chosen = _fields(of), {}, set()
    for key, value in content.items():
        field = fields.get(key)
        if field is None or field.choice in chosen:
            raise _NotPlain
        if field.choice:
            chosen.add(field.choice)
        if not field.many:
            found[field.name] = field.take(value)
        elif type(value) is list:
            found[field.name] = [field.take(one) for one in value]
        else:
            raise _NotPlain
    return found


@cache
def _fields(of: Descriptor) -> dict[str, _Field]:
    """The fields of a message that can be plain, by their names in JSON."""
    found = {}
    for field in of.fields:
        take = _taker(field, of)
        if take is not None:
            choice = field.containing_oneof.name if field.containing_oneof else ""
            found[field.json_name] = _Field(field.name, field.is_repeated, take, choice)
    return found


def _taker(field: FieldDescriptor, of: Descriptor) -> Callable[[Any], Any] | None:
    if field.message_type is not None:
        inner = field.message_type
        if inner.GetOptions().map_entry:
            return None
        if inner.file.package == of.file.package:
            return partial(_arguments, inner)
        return partial(_well_known, GetMessageClass(inner))
    if field.enum_type is not None:
        return partial(_one_of, frozenset(field.enum_type.values_by_name))
    kind = _PLAIN.get(field.type)
    return partial(_of_type, kind) if kind else None


def _well_known(kind: type[Message], value: Any) -> Message:
    """One of protobuf's own types, which have a JSON of their own."""
    if value is None:  # as a member it says nothing, but as a `Value` it is one
        raise _NotPlain
    return ParseDict(value, kind())


def _one_of(names: frozenset[str], value: Any) -> Any:
    if type(value) is not str or value not in names:
        raise _NotPlain
    return value


def _of_type(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise _NotPlain
    return value


def written(message: Message) -> dict[str, Any]:
    """A message as ProtoJSON.

    Raises:
        SerializeToJsonError: It holds a number that JSON can't.
    """
    try:
        return _content(message)
    except (_NotPlain, SerializeToJsonError, ValueError):
        return MessageToDict(message)


def _content(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = {}
    writers = _writers(message.DESCRIPTOR)
    for field, value in message.ListFields():
        name, many, write = writers[field.number]
        if write is None:
            raise _NotPlain
        content[name] = [write(one) for one in value] if many else write(value)
    return content


@cache
def _writers(of: Descriptor) -> dict[int, tuple[str, bool, Callable[[Any], Any] | None]]:
    """Name in JSON, whether it is repeated, and what makes JSON of a value, for the fields of a message by number."""
    return {field.number: (field.json_name, field.is_repeated, _writer(field, of)) for field in of.fields}


def _writer(field: FieldDescriptor, of: Descriptor) -> Callable[[Any], Any] | None:
    """What makes JSON of a field's value; None where only `json_format` knows."""
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            return None
        return _content if field.message_type.file.package == of.file.package else MessageToDict
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        return lambda value: names.get(value, value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    return (lambda value: value) if field.type in _PLAIN else None
