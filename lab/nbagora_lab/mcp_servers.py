"""MCP servers, looked at with the official client: what they call themselves, and which tools they have.

The client is an extra (``pip install nbagora[mcp]``) and is loaded by the first look. A look runs on a loop of its own,
in a worker's thread, so that a server that hangs, and the process of one that speaks on its standard input, hold up
nobody.
"""

from __future__ import annotations

import asyncio
import shlex
from typing import Any

from nbagora_lab.core.errors import Unreachable, UsageError

__all__ = ["describe_server", "look_at_server"]

_LONGEST = 20.0  # seconds that a look may take
_MOST = 1000  # tools


async def look_at_server(server: str) -> dict[str, Any]:
    """A server's description, as the registry keeps it.

    Args:
        server: Its URL, or ``stdio:`` and the command that starts it.

    Raises:
        UsageError: The official client is not installed, or `server` names none.
        Unreachable: The server does not answer, or not as an MCP server.
    """
    return await asyncio.to_thread(describe_server, server)


def describe_server(server: str) -> dict[str, Any]:
    """`look_at_server`, for threads that may wait."""
    command = shlex.split(server.removeprefix("stdio:")) if server.startswith("stdio:") else []
    if not command and not server.startswith(("http://", "https://")):
        raise UsageError(
            f"'{server[:80]}' names no MCP server", "give its URL, or stdio: and the command that starts it"
        )
    try:
        import mcp
    except ImportError:
        raise UsageError("the client of MCP is not installed", "pip install 'nbagora[mcp]'") from None
    target = mcp.StdioServerParameters(command=command[0], args=command[1:]) if command else server
    try:
        found = asyncio.run(asyncio.wait_for(_look(mcp.Client(target)), _LONGEST))
    except TimeoutError:
        raise Unreachable(f"{server} did not answer within {_LONGEST:g} s", "look whether it runs") from None
    except Exception as error:  # the client's transports raise what they like, in groups
        raise Unreachable(f"{server} is no MCP server that answers: {_first(error)}", "look whether it runs") from error
    if command:
        found["command"] = {"program": command[0]} | ({"arguments": command[1:]} if command[1:] else {})
    return found


async def _look(client: Any) -> dict[str, Any]:
    async with client as session:
        info = session.server_info
        tools: list[dict[str, Any]] = []
        cursor = None
        while len(tools) < _MOST:
            page = await session.list_tools(cursor=cursor)
            tools += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                break
        described = {
            "name": info.name,
            "title": info.title or "",
            "description": session.instructions or info.title or info.name,
            "tools": [{key: tool[key] for key in _TOOL if tool.get(key)} for tool in tools],
        }
        return described | ({"version": info.version} if info.version[:1].isdigit() else {})


_TOOL = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")


def _first(error: BaseException) -> str:
    """The first cause in a group of errors, in a line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:200]
