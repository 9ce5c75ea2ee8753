"""The tools of an MCP server, through the official client: on standard input, over HTTP, or in this process.

Each run of an agent has a connection of its own, from its first look at the tools to its end, so that a server that
dies takes no other run with it. What goes wrong is told to the model; where the connection broke in mid-call, with the
words that nobody knows whether the call was carried out.
"""

from __future__ import annotations

import asyncio
import shlex
from typing import Any, Self

from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset
from pydantic_ai.toolsets.abstract import ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from nbagora_lab.agents.journal import digest
from nbagora_lab.agents.task import running
from nbagora_lab.core.errors import Unreachable, UsageError

__all__ = ["McpToolset"]

_ANY = SchemaValidator(core_schema.any_schema())
_MOST = 1000  # tools
_GOODBYE = 5.0  # seconds that a server has to let go


class McpToolset(AbstractToolset[Any]):
    """The tools of an MCP server.

    Args:
        server: Its URL; ``stdio:`` and the command that starts it; or a server object of the official package.
        name: What records call it; by default what it calls itself.
        timeout: Seconds that a request may take.
        approve: Names of tools that are called only once the user has agreed.

    Raises:
        UsageError: The official client is not installed, or `server` names none.
    """

    def __init__(self, server: Any, *, name: str = "", timeout: float = 60.0, approve: tuple[str, ...] = ()) -> None:
        self.server = server
        self.name = name
        self._timeout = timeout
        self._approve = frozenset(approve)
        self._connection: asyncio.Task[None] | None = None
        self._release = asyncio.Event()
        self._client: Any = None
        self._tools: dict[str, ToolsetTool[Any]] | None = None
        self._target()  # what can't be one is told where it is written

    def _target(self) -> Any:
        try:
            import mcp
        except ImportError:
            raise UsageError("the client of MCP is not installed", "pip install 'nbagora[mcp]'") from None
        if not isinstance(self.server, str):
            return self.server
        if self.server.startswith(("http://", "https://")):
            return self.server
        command = shlex.split(self.server.removeprefix("stdio:")) if self.server.startswith("stdio:") else []
        if not command:
            raise UsageError(
                f"'{self.server[:80]}' names no MCP server", "give its URL, or stdio: and the command that starts it"
            )
        return mcp.StdioServerParameters(command=command[0], args=command[1:])

    @property
    def id(self) -> str:
        """Names it among an agent's toolsets."""
        called = self.server if isinstance(self.server, str) else getattr(self.server, "name", "server")
        return f"mcp {self.name or called}"

    async def for_run(self, ctx: RunContext[Any]) -> AbstractToolset[Any]:  # noqa: ARG002 -- its signature
        """One with a connection of its own."""
        return McpToolset(self.server, name=self.name, timeout=self._timeout, approve=tuple(self._approve))

    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            Unreachable: Nobody answers, or not as an MCP server.
        """
        self._release = asyncio.Event()
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # A task of its own: a connection that breaks cancels the task that holds it, which must not be the agent's.
        self._connection = asyncio.create_task(self._hold(ready, self._release))
        await asyncio.wait([ready, self._connection], return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            error = _why(self._connection)
            raise Unreachable(f"{self.id} can't be reached: {_first(error)}", "look whether it runs") from error
        self._client = ready.result()
        self.name = self.name or self._client.server_info.name
        return self

    async def _hold(self, ready: asyncio.Future[Any], release: asyncio.Event) -> None:
        import mcp

        async with mcp.Client(self._target(), read_timeout_seconds=self._timeout) as client:
            ready.set_result(client)
            await release.wait()

    async def __aexit__(self, *args: object) -> None:
        """Disconnects; a server that is gone already is no error."""
        connection, self._connection, self._client, self._tools = self._connection, None, None, None
        if connection is not None:
            self._release.set()
            await asyncio.wait([connection], timeout=_GOODBYE)
            if not connection.done():
                connection.cancel()
                await asyncio.wait([connection])
            _why(connection)

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:  # noqa: ARG002 -- its signature
        """What it offers, asked once a run.

        Raises:
            Unreachable: It does not tell.
            AgentChanged: It offers something else than before the crash of a process.
        """
        if self._tools is None:
            found: dict[str, ToolsetTool[Any]] = {}
            cursor = None
            while len(found) < _MOST:
                try:
                    page = await self._client.list_tools(cursor=cursor)
                except Exception as error:
                    raise Unreachable(f"{self.id} does not tell its tools: {_first(error)}", "look at it") from error
                for tool in page.tools:
                    found[tool.name] = ToolsetTool(
                        toolset=self, tool_def=self._definition(tool), max_retries=1, args_validator=_ANY
                    )
                cursor = page.next_cursor
                if cursor is None:
                    break
            self._tools = found
            if (task := running.get()) is not None:
                offered = {name: one.tool_def for name, one in found.items()}
                tools = {name: digest([one.description, one.parameters_json_schema]) for name, one in offered.items()}
                task.journal.begin(self.id, {"tools": tools})
        return self._tools

    def _definition(self, tool: Any) -> ToolDefinition:
        told = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
        hints = told.get("annotations", {})
        return ToolDefinition(
            name=tool.name,
            description=tool.description or tool.title or "",
            parameters_json_schema=told["inputSchema"],
            kind="unapproved" if tool.name in self._approve else "function",
            metadata={
                "source": f"mcp {self.name}",
                "idempotent": bool(hints.get("readOnlyHint") or hints.get("idempotentHint")),
            },
        )

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[Any],  # noqa: ARG002 -- its signature
        tool: ToolsetTool[Any],  # noqa: ARG002
    ) -> Any:
        """Calls a tool; gives its structured result, or else its text."""
        if self._client is None:
            raise ToolFailed(f"{self.name} is not connected")
        connection = self._connection
        assert connection is not None
        call = asyncio.ensure_future(self._client.call_tool(name, tool_args))
        try:
            await asyncio.wait([call, connection], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not call.done():
                call.cancel()
        error = _why(call) if call.done() else _why(connection)
        if error is not None:
            raise ToolFailed(
                f"{self.name} broke off while {name} ran ({_first(error)}): nobody knows whether it was carried out"
            ) from error
        result = call.result()
        texts = [getattr(part, "text", f"[{getattr(part, 'mime_type', part.type)}]") for part in result.content]
        if result.is_error:
            raise ToolFailed("\n".join(texts) or f"{name} failed")
        structured = result.structured_content
        if structured is not None:
            return structured["result"] if set(structured) == {"result"} else structured
        return "\n".join(texts)


def _why(task: asyncio.Future[Any]) -> BaseException | None:
    """How a task failed, be it that it was cancelled; None where it did not."""
    if task.cancelled():
        return ConnectionError("the connection was closed")
    return task.exception()


def _first(error: BaseException | None) -> str:
    """The first cause in a group of errors, in a line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
