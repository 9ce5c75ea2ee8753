"""What comes of a step as its record holds it, and back: values as JSON, errors by their class and words."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_jsonable_python

from nbagora_lab.core import errors
from nbagora_lab.core.errors import BadYield, LabError, StepFailed

__all__ = ["dump", "error_of", "jsonable", "load", "told_of"]


@functools.lru_cache(256)
def _adapter(type_: Any) -> Any:
    return type_ if hasattr(type_, "dump_python") else TypeAdapter(type_)


def dump(type_: Any, value: Any) -> Any:
    """A value as JSON holds it; `type_` as `Journal.step` takes it.

    Raises:
        BadYield: JSON can't hold it.
    """
    if type_ is None:
        return jsonable(value)
    return _adapter(type_).dump_python(value, mode="json")


def load(type_: Any, output: Any) -> Any:
    """What `dump` was given."""
    return output if type_ is None else _adapter(type_).validate_python(output)


def jsonable(value: Any) -> Any:
    """A value as plain JSON: a tuple is a list, what is no number null.

    Raises:
        BadYield: JSON can't hold it.
    """
    try:
        return to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise BadYield(
            f"a {type(value).__name__} can't be recorded: {error}", "give JSON values, or name the type by returns="
        ) from None


def told_of(error: Exception) -> dict[str, str]:
    """An error as its record tells it."""
    if isinstance(error, LabError):
        return {"kind": type(error).__name__, "what": error.what, "hint": error.hint}
    return {"kind": type(error).__name__, "what": str(error), "hint": ""}


def error_of(told: Mapping[str, str]) -> Exception:
    """An error as its record tells it: nbagora's and Python's own are what they were."""
    kind, what, hint = told.get("kind", ""), told.get("what", ""), told.get("hint", "")
    own = getattr(errors, kind, None)
    if isinstance(own, type) and issubclass(own, LabError):
        return own(what, hint)
    python = getattr(builtins, kind, None)
    if isinstance(python, type) and issubclass(python, Exception):
        try:
            return python(what)
        except TypeError:  # such as UnicodeDecodeError, which takes more
            pass
    return StepFailed(f"{kind}: {what}" if what else kind, hint, kind)
