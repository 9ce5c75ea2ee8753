"""Language models, by pydantic-ai's names; and what one of them can do.

| name | server | needs |
|---|---|---|
| ``live:openai-chat:NAME@http://127.0.0.1:8000/v1`` | any OpenAI-compatible one: vLLM, llama.cpp, LiteLLM | the URL |
| ``live:ollama:NAME`` | Ollama | ``OLLAMA_BASE_URL``, where it isn't on its own port |
| ``live:openai:NAME``, ``live:anthropic:NAME``, … | the provider's | its key in the environment |

Keys are read from the environment by pydantic-ai and kept nowhere. Until a live model is chosen, pydantic-ai is told to
let no request out.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import pydantic_ai.models as library
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.usage import UsageLimits

from nbagora_lab.core.errors import UsageError

__all__ = ["Check", "LiveModel", "check", "live"]

_OLLAMA = "http://127.0.0.1:11434/v1"


class LiveModel(WrapperModel):
    """A model that somebody serves; its `kind` says which."""

    def __init__(self, wrapped: Model) -> None:
        super().__init__(wrapped)
        self.kind = f"live:{wrapped.system}:{wrapped.model_name}"


def live(model: Model | str) -> LiveModel:
    """A language model; from now on pydantic-ai may send requests.

    Args:
        model: pydantic-ai's name of it, with ``@URL`` for an OpenAI-compatible server; or a pydantic-ai model.

    Raises:
        UsageError: There is no such model, a package is missing, or a key.
    """
    try:
        chosen = _made(model) if isinstance(model, str) else model
    except ImportError as error:
        raise UsageError(f"the model {model} needs a package: {error}", "pip install 'nbagora[live]'") from None
    except (UserError, ValueError) as error:
        raise UsageError(f"no model {model}: {str(error).splitlines()[0]}", "see %lab doctor --model NAME") from None
    library.ALLOW_MODEL_REQUESTS = True
    return LiveModel(chosen)


def _made(name: str) -> Model:
    name, at, url = name.partition("@http")
    if at or name.startswith("ollama:"):
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        base = f"http{url}" if at else os.environ.get("OLLAMA_BASE_URL", _OLLAMA)
        key = os.environ.get("OPENAI_API_KEY", "none")
        return OpenAIChatModel(name.partition(":")[2] or name, provider=OpenAIProvider(base_url=base, api_key=key))
    return infer_model(name)


class Check(NamedTuple):
    """What one look at something showed.

    Attributes:
        what: What was looked at; of a model ``text``, ``tool call`` or ``schema``.
        works: Whether it does; None where nothing depends on it.
        told: What came of it, in short.
    """

    what: str
    works: bool | None
    told: str


class _City(BaseModel):
    city: str
    nights: int


async def check(model: Model) -> list[Check]:
    """Tries a model: a text, one tool call, one schema. Each try makes a few requests at most; closes its connections.

    Args:
        model: As `choose` gives it.
    """
    called: list[str] = []

    def weather(city: str) -> str:
        """Tells the weather of a city."""
        called.append(city)
        return "sunny"

    async def text() -> str:
        return str((await _run(Agent(model), "Say the one word: ready")).output)

    async def tool() -> str:
        agent = Agent(model, tools=[weather], instructions="Use the tool weather, then answer in one sentence.")
        said = str((await _run(agent, "What is the weather in Beijing?")).output)
        if not called:
            raise UsageError("it answered without calling the tool", "")
        return f"weather({called[0]!r}), then {said!r}"

    async def schema() -> str:
        agent = Agent(model, output_type=_City)
        return repr((await _run(agent, "Plan a trip to Beijing for 2 nights: name city and nights.")).output)

    checks = []
    async with model:
        for what, attempt in (("text", text), ("tool call", tool), ("schema", schema)):
            try:
                told, works = await attempt(), True
            except Exception as error:  # noqa: BLE001 -- whatever a server does wrong is the finding
                told, works = f"{type(error).__name__}: {error}", False
            checks.append(Check(what, works, " ".join(told.split())[:200]))
    return checks


async def _run(agent: Agent[None, Any], prompt: str) -> Any:
    return await agent.run(prompt, usage_limits=UsageLimits(request_limit=4))
