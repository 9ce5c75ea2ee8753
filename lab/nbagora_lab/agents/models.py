"""Which model answers: one switch for notebooks, cells, commands and files, and what each kind is called.

| kind | answers | needs |
|---|---|---|
| `scripted` | what a script says | nothing; an object, not a name |
| `function` | what a function of the conversation returns | nothing; an object, not a name |
| ``rules`` | by rules: picks tools by name and description, fills their arguments, sums up | nothing |
| ``router:NAME`` | picks one of several answers; hands on to NAME, or rules, where it is unsure | what NAME needs |
| ``tape:FILE`` | what a recording says | the file |
| ``record:FILE:NAME`` | as the live model NAME, and writes the recording | what NAME needs |
| ``live:NAME`` | a language model, by pydantic-ai's name, such as ``live:openai-chat:qwen3`` | a server or a key |

Names may be set by ``--model``, ``Lab(model=…)`` and ``[tool.nbagora]``. Importing this imports pydantic-ai, which
takes half a second.
"""

from __future__ import annotations

import re

import pydantic_ai.models as library
from pydantic_ai.models import Model
from pydantic_ai.models.wrapper import WrapperModel

from nbagora_lab.agents.live import LiveModel, live
from nbagora_lab.agents.router import RouterModel, router
from nbagora_lab.agents.rules import RulesModel, rules
from nbagora_lab.agents.scripted import ScriptedModel, Step, call, calls, function, scripted
from nbagora_lab.agents.tape import TapeModel, tape
from nbagora_lab.core.errors import UsageError, did_you_mean

__all__ = [
    "KINDS",
    "LiveModel",
    "RouterModel",
    "RulesModel",
    "ScriptedModel",
    "Step",
    "TapeModel",
    "call",
    "calls",
    "choose",
    "function",
    "kind_of",
    "live",
    "router",
    "rules",
    "scripted",
    "tape",
]

library.ALLOW_MODEL_REQUESTS = False  # until somebody chooses a live one

_BARE = {"tape": "tape:FILE", "record": "record:FILE:live:NAME", "live": "live:NAME, such as live:openai-chat:qwen3"}
_RECORD = re.compile(r"(.+?):((?:live|rules|router)\b.*)")

KINDS = ("rules", "router", "tape", "record", "live")
"""Kinds that have a name, and need no object."""


def choose(model: Model | str | None) -> Model | None:
    """The model that is meant.

    Args:
        model: A name as the table above has it, a model, or None or ``none`` for none.

    Raises:
        UsageError: No such kind, or what it needs is missing; a live model's errors are in `live`.
    """
    if model is None or isinstance(model, Model):
        return model
    kind, _, rest = model.strip().partition(":")
    if kind in {"", "none"}:
        return None
    if kind == "rules":
        return rules()
    if kind == "router":
        return router(choose(rest))
    if kind == "tape" and rest:
        return tape(rest)
    if kind == "record" and (named := _RECORD.fullmatch(rest)):
        return tape(named[1], record=choose(named[2]))
    if kind == "live" and rest:
        return live(rest)
    if kind in _BARE:
        raise UsageError(f"the model '{model}' doesn't say which", f"write {_BARE[kind]}")
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
