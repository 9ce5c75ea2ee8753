"""Tools for pydantic-ai agents: functions, MCP servers and other agents in one list, memory, and documents.

    from nbagora.tools import approve, mcp, memory, remote, tools
    trip = Agent(toolsets=[tools(find_trains, approve(book), mcp("stdio:python hotels.py"), remote("weather"))])

Importing this imports pydantic-ai, which takes half a second.
"""

from nbagora_lab.agents.documents import Documents
from nbagora_lab.agents.memory import memory
from nbagora_lab.agents.tools import approve, mcp, remote, repeatable, tools

__all__ = ["Documents", "approve", "mcp", "memory", "remote", "repeatable", "tools"]
