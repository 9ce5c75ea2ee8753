"""A model made of rules: it picks tools by their names and descriptions, fills their arguments, and sums up.

It is no language model and does not pretend to be one: its answers say so, and records call it ``rules``. It is enough
to see how an agent perceives, plans, acts and observes, without a key, and gives the same each time.

How it plans: of the tools that share a telling word with what was asked, or with the agent's instructions, it calls one
after another in the order in which these name them, each once, as soon as its arguments are known. A tool that needs
approval is called only when the user's own words ask for it. Then it sums up what they gave.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.tools import ToolDefinition
from pydantic_core import to_jsonable_python

from nbagora_lab.agents.arguments import fill, items_of
from nbagora_lab.agents.scripted import in_words, numbered

__all__ = ["RulesModel", "rank", "rules", "words_of"]

_NOTE = "(Found by rules, not by a language model.)"
_SEARCH = "search_tools"  # pydantic-ai's own tool that reveals others
_AHEAD = 1.25  # how far the best tool of many is ahead of the next one to be meant, where their words tell little
_SHOWN = 3  # items of a tool's result in a summary
_COMMON_WORDS = """
a an and any are at be by can do for from get give has have i in is it its me my of on one or plan please that the their
them then there to us use want what when with you your 的 了 我 你 们 请 帮 一 次 个 和 在 是
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_LATIN = re.compile(r"[a-z0-9]+")
_DENSE = re.compile(r"[\u3400-\u9fff]+")


def words_of(text: str) -> Counter[str]:
    """The words of a text: Latin ones without their endings, neighbours of Chinese characters.

    Example:
        >>> sorted(words_of("finds trains 火车票"))
        ['find', 'train', '火车', '车票']
    """
    text = text.lower().replace("_", " ")
    words = Counter(_stem(word) for word in _LATIN.findall(text) if word not in _COMMON)
    for run in _DENSE.findall(text):
        kept = [run[at : at + 2] for at in range(max(1, len(run) - 1))]
        words.update(pair for pair in kept if not (set(pair) & _COMMON))
    return words


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "es", "ed", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            cut = word[: -len(ending)]
            return f"{cut}y" if ending == "ies" else cut + ("e" if ending == "es" and cut[-1] in "ctg" else "")
    return word


def rank(text: str, tools: Sequence[ToolDefinition]) -> list[tuple[float, ToolDefinition]]:
    """Tools that share words with a text, the best first.

    A word that fewer tools have tells more, one in the name twice as much.

    Returns:
        Each with its score, above 0.
    """
    asked = words_of(text)
    names = [set(words_of(tool.name)) for tool in tools]
    about = [names[at] | set(words_of(tool.description or "")) for at, tool in enumerate(tools)]
    spread = Counter(word for words in about for word in words)
    scored = []
    for at, tool in enumerate(tools):
        score = sum((2 if word in names[at] else 1) / spread[word] for word in about[at] if word in asked)
        if score > 0:
            scored.append((score, at, tool))
    return [(score, tool) for score, _, tool in sorted(scored, key=lambda one: (-one[0], one[1]))]


class RulesModel(FunctionModel):
    """See the module."""

    kind = "rules"

    def __init__(self) -> None:
        async def stream(
            messages: list[ModelMessage], info: AgentInfo
        ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
            async for chunk in in_words(_respond(messages, info)):
                yield chunk

        super().__init__(_respond, stream_function=stream, model_name="rules")


def rules() -> RulesModel:
    """A model made of rules; see the module."""
    return RulesModel()


def _respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    said, results, called = _conversation(messages)
    step = _next(said, results, called, info)
    if isinstance(step, ToolCallPart):
        return ModelResponse(parts=numbered([step], messages))
    return ModelResponse(parts=[TextPart(step)])


def _conversation(messages: Sequence[ModelMessage]) -> tuple[list[str], dict[str, Any], list[str]]:
    """What the user said, the newest first; what tools gave since, by name; and which were called."""
    said: list[str] = []
    results: dict[str, Any] = {}
    called: list[str] = []
    for message in messages:
        if isinstance(message, ModelResponse):
            called += [part.tool_name for part in message.parts if isinstance(part, ToolCallPart)]
            continue
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                said.insert(0, _text(part.content))
                results, called = {}, []
            elif isinstance(part, ToolReturnPart):
                good = part.outcome == "success"
                results[part.tool_name] = _plain(part.content) if good else f"not done: {part.content}"
    return said or [""], results, called


def _text(content: Any) -> str:
    return content if isinstance(content, str) else " ".join(one for one in content if isinstance(one, str))


def _plain(content: Any) -> Any:
    """A tool's result as JSON values; text that is JSON is read."""
    if isinstance(content, str) and content[:1] in "[{":
        try:
            return json.loads(content)
        except ValueError:
            return content
    return to_jsonable_python(content, fallback=str)


def _next(
    said: Sequence[str], results: Mapping[str, Any], called: Sequence[str], info: AgentInfo
) -> ToolCallPart | str:
    tools = {tool.name: tool for tool in info.function_tools}
    good = {name: result for name, result in results.items() if not _failed(result)}
    searching = tools.pop(_SEARCH, None)
    if searching is not None and _SEARCH not in called:
        words = list(words_of(said[0])) or [said[0]]
        return ToolCallPart(_SEARCH, _search_arguments(searching, words))
    lacking: dict[str, list[str]] = {}
    for tool in _plan(said[0], info.instructions or "", list(tools.values())):
        if tool.name in called:
            continue
        arguments, missing = fill(tool.parameters_json_schema, said, good)
        if not missing:
            return ToolCallPart(tool.name, arguments)
        lacking[tool.name] = missing
    if info.output_tools:
        [output] = info.output_tools[:1]
        arguments, _ = fill(output.parameters_json_schema, said, good)
        return ToolCallPart(output.name, arguments)
    return _summary(results, lacking)


def _search_arguments(tool: ToolDefinition, words: list[str]) -> dict[str, Any]:
    """What to search tools by, as the tool takes it: a text, or a list of them."""
    properties = tool.parameters_json_schema.get("properties", {})
    name = next(iter(properties), "queries")
    return {name: words if properties.get(name, {}).get("type") == "array" else " ".join(words)}


def _plan(asked: str, instructions: str, tools: list[ToolDefinition]) -> list[ToolDefinition]:
    """Which tools to call, in order: as the words of what was asked and of the instructions name them."""
    wanted = _telling(asked, tools)
    own = [tool for tool in _telling(instructions, tools) if tool.kind != "unapproved"]
    planned = {tool.name: tool for tool in (*own, *wanted)}  # instructions say the order
    approved = {tool.name for tool in wanted}
    return sorted(
        (tool for tool in planned.values() if tool.kind != "unapproved" or tool.name in approved),
        key=lambda tool: tool.kind == "unapproved",  # what commits somebody comes last
    )


def _telling(text: str, tools: list[ToolDefinition]) -> list[ToolDefinition]:
    """Tools with a telling share of their words in a text, in the order in which it names them."""
    ranked = rank(text, tools)
    if not ranked:
        return []
    best = ranked[0][0]
    chosen = [tool for score, tool in ranked if score >= max(0.5, best / 4)]
    if not chosen and (len(tools) <= 3 or ranked[0][0] >= _AHEAD * ranked[1][0]):  # of many tools no word tells much
        chosen = [ranked[0][1]]
    lowered = text.lower()

    def first(tool: ToolDefinition) -> int:
        words = words_of(f"{tool.name} {tool.description or ''}")
        places = [at for word in words_of(text) if word in words and (at := lowered.find(word)) >= 0]
        return min(places, default=len(lowered))

    return sorted(chosen, key=first)


def _failed(result: Any) -> bool:
    return isinstance(result, str) and result.startswith("not done: ")


def _summary(results: Mapping[str, Any], lacking: Mapping[str, list[str]]) -> str:
    told = {name: result for name, result in results.items() if name != _SEARCH}
    lines = [f"{name}: {_shown(result)}" for name, result in told.items()]
    lines += [f"For {name} I need to know: {', '.join(missing)}." for name, missing in lacking.items()]
    if not lines:
        return f"I have no tool for that. {_NOTE}"
    return "\n".join([*lines, _NOTE])


def _shown(result: Any) -> str:
    items = items_of(result)
    if not items:
        return "nothing"
    shown = "; ".join(_item(one) for one in items[:_SHOWN])
    return shown + (f"; and {len(items) - _SHOWN} more" if len(items) > _SHOWN else "")


def _item(item: Any) -> str:
    if isinstance(item, dict):
        return ", ".join(f"{name} {_item(value)}" for name, value in item.items())
    text = str(item)
    return text if len(text) <= 300 else text[:299] + "…"
