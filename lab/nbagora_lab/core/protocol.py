"""A protocol's methods as calls that travel: what each takes and gives, made from its signature, for both sides.

A lab that joins another one has engines whose calls are the other's (`link`). Which calls there are, and with what, is
said once, by the protocol; here it becomes a pydantic model for the arguments and one for the result of each. They
travel as JSON with bytes in base64, and are checked where they arrive. What JSON has no word for is a list of pairs (a
mapping whose keys are no texts) or what its `Codec` says.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import PydanticSerializationError

from nbagora_lab.core.errors import BadName
from nbagora_lab.core.problem import misfit

__all__ = ["CALL", "Codec", "Method", "methods_of"]

CALL = "application/vnd.nbagora.call"
"""The media type of a call's arguments; no page sends it without being asked."""

_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants", extra="forbid")
_SEQUENCES = (collections.abc.Collection, collections.abc.Sequence, collections.abc.Iterable)


@dataclass(frozen=True, slots=True)
class Codec:
    """How a type travels that JSON has no word for.

    Attributes:
        shape: What it travels as.
        pack: Makes that of it.
        unpack: Makes it of that.
    """

    shape: Any
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


class Method:
    """One method.

    Args:
        name: Its name.
        function: The protocol's; `Callable` arguments of it don't travel.
        codecs: How types travel that JSON has no word for.

    Attributes:
        name: Its name.
        summary: The first line of its documentation.
        takes: Its arguments.
        gives: Its result, as `value`.
    """

    def __init__(self, name: str, function: Callable[..., Any], codecs: Mapping[Any, Codec]) -> None:
        self.name = name
        self.summary = (function.__doc__ or name).strip().partition("\n")[0].rstrip(".")
        hints = get_type_hints(function)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        parameters = [one for one in parameters if collections.abc.Callable not in _origins(hints[one.name])]
        self._signature = inspect.Signature(parameters)
        self._codecs = {one.name: _codec(hints[one.name], codecs) for one in parameters}
        self._result = _codec(hints["return"], codecs)
        fields: dict[str, Any] = {
            one.name: (
                self._codecs[one.name].shape,
                ... if one.default is one.empty else self._codecs[one.name].pack(one.default),
            )
            for one in parameters
        }
        title = "".join(part.title() for part in name.split("_"))
        self.takes: type[BaseModel] = create_model(f"{title}Call", __config__=_CONFIG, **fields)
        self.gives: type[BaseModel] = create_model(
            f"{title}Result", __config__=_CONFIG, value=(self._result.shape, ...)
        )

    def call(self, *args: Any, **options: Any) -> bytes:
        """A call with these arguments, as it travels.

        Raises:
            TypeError: They are not the method's.
            UsageError: One is not of its type.
            BadName: A text that UTF-8 can't hold.
        """
        given = self._signature.bind(*args, **options).arguments
        try:
            packed = self.takes(**{name: self._codecs[name].pack(value) for name, value in given.items()})
        except ValidationError as error:
            raise misfit(error, f"the call of {self.name}", "see its documentation") from None
        return _json(packed)

    def arguments(self, body: bytes) -> dict[str, Any]:
        """The arguments of a call that arrived.

        Raises:
            UsageError: They don't fit.
        """
        given = _read(self.takes, body, f"the call of {self.name}")
        return {name: codec.unpack(getattr(given, name)) for name, codec in self._codecs.items()}

    def result(self, value: Any) -> bytes:
        """What it gave, as it travels."""
        return _json(self.gives(value=self._result.pack(value)))

    def value(self, body: bytes) -> Any:
        """What it gave, as it arrived."""
        return self._result.unpack(_read(self.gives, body, f"the answer of {self.name}").value)  # type: ignore[attr-defined]


def methods_of(
    protocol: type, codecs: Mapping[Any, Codec] | None = None, without: collections.abc.Collection[str] = ()
) -> dict[str, Method]:
    """The methods of a protocol by name.

    Args:
        protocol: The protocol.
        codecs: How types of its travel that JSON has no word for.
        without: Methods that don't travel.
    """
    return {
        name: Method(name, function, codecs or {})
        for name, function in vars(protocol).items()
        if inspect.isfunction(function) and not name.startswith("_") and name not in without
    }


def _json(content: BaseModel) -> bytes:
    try:
        return content.__pydantic_serializer__.to_json(content)
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise BadName(f"a text that UTF-8 can't hold: {error}"[:200], "leave half surrogate pairs out") from None


def _read(model: type[BaseModel], body: bytes, what: str) -> BaseModel:
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise misfit(error, what, "see /engine/openapi.json") from None


def _same(value: Any) -> Any:
    return value


def _origins(hint: Any) -> set[Any]:
    """The origins of a hint and of its alternatives."""
    if get_origin(hint) in {Union, types.UnionType}:
        return {origin for part in get_args(hint) for origin in _origins(part)}
    return {get_origin(hint)}


def _codec(hint: Any, codecs: Mapping[Any, Codec]) -> Codec:
    """How a type travels."""
    if hint in codecs:
        return codecs[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        parts = [_codec(part, codecs) for part in inner if part is not types.NoneType]
        shapes = Union[(*(part.shape for part in parts), *([None] if types.NoneType in inner else []))]  # type: ignore[valid-type]
        if len(parts) > 1:
            return Codec(shapes, _same, _same)
        [one] = parts
        return Codec(
            shapes,
            lambda value: None if value is None else one.pack(value),
            lambda value: None if value is None else one.unpack(value),
        )
    if origin is dict and inner[0] is not str:
        pairs = list[tuple[inner[0], inner[1]]]  # type: ignore[valid-type]
        return Codec(pairs, lambda value: list(value.items()), dict)
    if origin in _SEQUENCES or origin is list:
        item = _codec(inner[0], codecs)
        if item.pack is _same:
            return Codec(list[item.shape], list, _same)  # type: ignore[name-defined]
        return Codec(
            list[item.shape],  # type: ignore[name-defined]
            lambda value: [item.pack(one) for one in value],
            lambda value: [item.unpack(one) for one in value],
        )
    return Codec(hint, _same, _same)
