"""An agent's tools in one list: functions, MCP servers, other agents; and a search over them where they are many.

    trip = Agent(toolsets=[tools(find_trains, mcp("stdio:python hotels.py"), remote("weather"), approve(book))])

What a tool declares counts the same for all: `approve` has the user asked first, `repeatable` lets a call be made again
where nobody knows whether it was. A server's tools are repeatable where it says that they only read, or are idempotent;
calls of agents always are, since the same call is the same message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_ai import Tool
from pydantic_ai.capabilities import ToolSearch
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, CombinedToolset, FunctionToolset, WrapperToolset
from pydantic_ai.toolsets.abstract import ToolsetTool
from pydantic_ai.toolsets.deferred_loading import DeferredLoadingToolset
from pydantic_core import SchemaValidator, core_schema

from nbagora_lab.agents.durable import AGENT, IDEMPOTENT
from nbagora_lab.agents.mcp_tools import McpToolset
from nbagora_lab.agents.rules import rank
from nbagora_lab.agents.task import running_task
from nbagora_lab.core.errors import BadAgent, TimedOut

__all__ = [
    "SEARCH_FROM",
    "RemoteAgents",
    "SearchedTools",
    "approve",
    "mcp",
    "remote",
    "repeatable",
    "search_tools",
    "tools",
]

SEARCH_FROM = 30
"""Number of functions from which `tools` has the model search them instead of reading them all."""

_FOUND = 5  # tools that a search reveals
_NO_NAME = re.compile(r"[^0-9A-Za-z_\u3400-\u9fff]+")
_ANY = SchemaValidator(core_schema.any_schema())


def approve(function: Callable[..., Any] | Tool[Any]) -> Tool[Any]:
    """A tool that is called only once the user has agreed to it."""
    tool = _tool(function)
    tool.requires_approval = True
    return tool


def repeatable(function: Callable[..., Any] | Tool[Any]) -> Tool[Any]:
    """A tool that may be called again where nobody knows whether it was: it only looks, or does the same each time."""
    tool = _tool(function)
    tool.metadata = {**(tool.metadata or {}), IDEMPOTENT: True}
    return tool


def _tool(function: Callable[..., Any] | Tool[Any]) -> Tool[Any]:
    return function if isinstance(function, Tool) else Tool(function)


def mcp(server: Any, *, name: str = "", **options: Any) -> McpToolset:
    """The tools of an MCP server; see `McpToolset`."""
    return McpToolset(server, name=name, **options)


def remote(agent: str, description: str = "") -> RemoteAgents:
    """Another agent as a tool: it is asked in a child context and the same trace.

    Args:
        agent: Its name, or the URL of its doors.
        description: What it does, for the model.
    """
    return RemoteAgents({agent: description})


class RemoteAgents(AbstractToolset[Any]):
    """Agents as tools, ``ask_NAME(message)`` each.

    Args:
        agents: What each does, by its name or URL.
    """

    def __init__(self, agents: dict[str, str]) -> None:
        self._agents = agents

    @property
    def id(self) -> str:
        """Names it among an agent's toolsets."""
        return f"agents {' '.join(self._agents)}"

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:  # noqa: ARG002 -- its signature
        """One for each agent."""
        found = {}
        for agent, description in self._agents.items():
            name = "ask_" + _NO_NAME.sub("_", agent).strip("_")[:50]
            definition = ToolDefinition(
                name=name,
                description=f"Asks the agent {agent}. {description}".strip(),
                parameters_json_schema={
                    "type": "object",
                    "properties": {"message": {"type": "string", "description": "What to ask it, in its own words."}},
                    "required": ["message"],
                },
                metadata={"source": f"agent {agent}", AGENT: agent, IDEMPOTENT: True},
            )
            found[name] = ToolsetTool(toolset=self, tool_def=definition, max_retries=1, args_validator=_ANY)
        return found

    async def call_tool(
        self,
        name: str,  # noqa: ARG002 -- its signature
        tool_args: dict[str, Any],
        ctx: RunContext[Any],  # noqa: ARG002
        tool: ToolsetTool[Any],
    ) -> Any:
        """Asks the agent; gives its data, if that is one value and there is no text, else its text."""
        from nbagora_lab.agents.journal import current_step

        agent = (tool.tool_def.metadata or {})[AGENT]
        message, caller = str(tool_args.get("message", "")), running_task()
        within = caller.defaults.tool_timeout or None  # of each of its answers: its user may take longer
        try:
            task = await caller.call(agent, message, key=current_step(), timeout=within, forward=True)
        except TimedOut as error:
            raise ToolFailed(error.what) from None
        return task.data[0] if len(task.data) == 1 and not task.text else task.text


def tools(*sources: Any, search: bool | None = None) -> AbstractToolset[Any]:
    """Tools of all kinds as one list, for ``Agent(toolsets=[tools(…)])``.

    Args:
        sources: Functions, pydantic-ai tools and toolsets, `mcp` servers, `remote` agents; a str is an agent's name.
        search: Whether the model searches them instead of reading them all; None: from `SEARCH_FROM` functions on.

    Raises:
        BadAgent: A source that is none of these.
    """
    functions = [_tool(one) for one in sources if callable(one) or isinstance(one, Tool)]
    sets: list[AbstractToolset[Any]] = [FunctionToolset(functions, id="functions")] if functions else []
    for source in sources:
        if isinstance(source, AbstractToolset):
            sets.append(source)
        elif isinstance(source, str):
            sets.append(remote(source))
        elif not (callable(source) or isinstance(source, Tool)):
            raise BadAgent(
                f"a {type(source).__name__} among the tools", "give functions, mcp(…), remote(…) or names of agents"
            )
    together: AbstractToolset[Any] = sets[0] if len(sets) == 1 else CombinedToolset(sets)
    if search or (search is None and len(functions) >= SEARCH_FROM):
        return SearchedTools(DeferredLoadingToolset(together))
    return together


class SearchedTools(WrapperToolset[Any]):
    """Tools that the model searches; marks them, so that a run brings its own search."""


def search_tools(toolsets: Sequence[AbstractToolset[Any]]) -> list[ToolSearch[Any]]:
    """The search that a run needs: by words, Chinese ones too, the best five; none where nothing is to be searched."""
    searched = any(isinstance(toolset, SearchedTools) for toolset in toolsets)
    return [ToolSearch(strategy=_search)] if searched else []


def _search(_ctx: RunContext[Any], queries: Sequence[str], offered: Sequence[ToolDefinition]) -> list[str]:
    return [tool.name for _, tool in rank(" ".join(queries), list(offered))[:_FOUND]]
