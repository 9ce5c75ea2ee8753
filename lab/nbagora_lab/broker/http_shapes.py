"""What groups look like over HTTP: models made from the classes that say it in Python, so that neither drifts."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.quota import Quota

__all__ = ["Group", "GroupChanges", "Rate", "group_of", "settings_of", "shape", "told"]


class Rate(BaseModel):
    """A quota in numbers: `rate` units a second, `burst` at once."""

    model_config = ConfigDict(extra="forbid")

    rate: float = Field(gt=0, allow_inf_nan=False)
    unit: str = Field("messages", pattern="^[a-z-]+s$", max_length=60)
    burst: float = Field(gt=0, allow_inf_nan=False)


_Seconds = float | str
_OVER_HTTP: Mapping[Any, Any] = {
    Start: int | str,
    Quota | None: Rate | str | None,
    float: _Seconds,
    float | None: _Seconds | None,
}
"""What stands over HTTP for what stands in Python; `GroupSpec` itself checks what comes of it."""


def _settings(*, optional: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, field in GroupSpec.model_fields.items():
        annotation = _OVER_HTTP.get(field.annotation, field.annotation)
        if field.is_required() and not optional:
            made[name] = (annotation, ...)
        else:
            default = None if field.is_required() else field.default
            made[name] = (annotation, "first" if isinstance(default, Start) else default)
    return made


_DOC = """Settings of a group; durations in seconds or as ``"90s"``, quotas as ``"50/s"`` or in numbers, `start` as
``"first"``, ``"last"``, an offset, ``"tail-10"`` or a time in ISO 8601."""

if typing.TYPE_CHECKING:

    class Group(BaseModel):
        """A group: its name and settings."""

        name: str

    class GroupChanges(BaseModel):
        """Settings that are to change; those that are not named stay."""

else:
    Group = create_model(
        "Group", __config__=ConfigDict(extra="forbid"), __doc__=_DOC, name=(str, ...), **_settings(optional=False)
    )
    GroupChanges = create_model(
        "GroupChanges", __config__=ConfigDict(extra="forbid"), __doc__=_DOC, **_settings(optional=True)
    )


def settings_of(given: BaseModel) -> dict[str, Any]:
    """What was given, as `GroupSpec` takes it."""
    found = {name: getattr(given, name) for name in given.model_fields_set - {"name"}}
    return {
        name: Quota(value.rate, value.unit, value.burst) if isinstance(value, Rate) else value
        for name, value in found.items()
    }


def group_of(name: str, spec: GroupSpec) -> dict[str, Any]:
    """A group as it is told over HTTP; posted again it is the same."""
    found = spec.model_dump(mode="json")
    for key in ("quota", "topic_quota", "tenant_quota"):
        quota: Quota | None = getattr(spec, key)
        found[key] = None if quota is None else quota._asdict()
    start = spec.start
    numbered = start.kind in {"offset", "tail"}
    return {"name": name} | found | {"start": f"{start.kind}-{int(start.value)}" if numbered else str(start)}


def shape(of: Any) -> type[BaseModel]:
    """A model with the fields of a named tuple, and of those within it."""
    fields = {name: (_shaped(hint), ...) for name, hint in get_type_hints(of).items()}
    made: type[BaseModel] = create_model(  # type: ignore[call-overload]  # pydantic types its fields only
        of.__name__, __doc__=(of.__doc__ or "").partition("\n")[0], **fields
    )
    return made


def _shaped(hint: Any) -> Any:
    if isinstance(hint, type) and hasattr(hint, "_fields"):
        return shape(hint)
    origin, inner = get_origin(hint), tuple(map(_shaped, get_args(hint)))
    if origin is tuple:
        return list[inner[0]]  # type: ignore[valid-type]
    if origin in {Union, types.UnionType}:
        return Union[inner]  # noqa: UP007 -- made at run time
    return hint


def told(value: Any) -> Any:
    """A named tuple, and those within it, as JSON has it: by the names of its fields."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: told(one) for key, one in value._asdict().items()}
    return [told(one) for one in value] if isinstance(value, list | tuple) else value
