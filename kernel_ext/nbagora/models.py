"""Models for pydantic-ai agents that need no key: `scripted`, `function`, and `call` for a script's tool calls.

    from nbagora.models import call, scripted
    trip = Agent(scripted(call("find_hotels", city="北京"), "The Jade it is."), tools=[find_hotels])

Importing this imports pydantic-ai, which takes half a second.
"""

from nbagora_lab.agents.models import call, function, scripted

__all__ = ["call", "function", "scripted"]
