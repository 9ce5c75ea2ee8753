"""Which model answers: one switch for notebooks, cells, commands and files, and what each kind is called.

| kind | answers | needs |
|---|---|---|
| `scripted` | what a script says | nothing; an object, not a name |
| `function` | what a function of the conversation returns | nothing; an object, not a name |
| ``rules`` | by rules: picks tools by name and description, fills their arguments, sums up | nothing |
| ``router`` | picks one of several answers, and hands on what it is unsure of | nothing |
| ``tape:FILE`` | what a recording says | the file |
| ``record:FILE:NAME`` | as the live model NAME, and writes the recording | what NAME needs |
| ``live:NAME`` | a language model, by pydantic-ai's name, such as ``live:openai-chat:qwen3`` | a server or a key |

Names may be set by ``--model``, ``Lab(model=…)`` and ``[tool.nbagora]``. Importing this imports pydantic-ai, which
takes half a second.
"""

from __future__ import annotations

from pydantic_ai.models import Model
from pydantic_ai.models.wrapper import WrapperModel

from nbagora_lab.agents.scripted import ScriptedModel, Step, call, calls, function, scripted
from nbagora_lab.core.errors import UsageError, did_you_mean

__all__ = ["KINDS", "ScriptedModel", "Step", "call", "calls", "choose", "function", "kind_of", "scripted"]

KINDS = ("rules", "router", "tape", "record", "live")
"""Kinds that have a name, and need no object."""


def choose(model: Model | str | None) -> Model | None:
    """The model that is meant.

    Args:
        model: A name as the table above has it, a model, or None or ``none`` for none.

    Raises:
        UsageError: No such kind, or what it needs is missing.
    """
    if model is None or isinstance(model, Model):
        return model
    kind, _, _rest = model.strip().partition(":")
    if kind in {"", "none"}:
        return None
    raise UsageError(f"no model '{model}'", did_you_mean(kind, KINDS))


def kind_of(model: Model | str | None) -> str:
    """What records, tables and widgets call a model: its kind, and for live ones which it is."""
    if model is None:
        return "none"
    if isinstance(model, str):
        return model
    while isinstance(model, WrapperModel) and not hasattr(model, "kind"):
        model = model.wrapped
    kind = getattr(model, "kind", None)
    if kind:
        return str(kind)
    name = model.model_name
    if name.startswith(("scripted", "function:")):
        return name.rstrip(":")
    return f"live:{model.system}:{name}"
