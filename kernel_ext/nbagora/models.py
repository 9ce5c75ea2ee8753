"""Models for pydantic-ai agents: `scripted` with `call`, `function`, `rules`, `router`, `tape`, and `live` ones.

    from nbagora.models import call, scripted
    trip = Agent(scripted(call("find_hotels", city="北京"), "The Jade it is."), tools=[find_hotels])

None but the live ones needs a key. Importing this imports pydantic-ai, which takes half a second.
"""

from nbagora_lab.agents.models import call, calls, choose, function, live, router, rules, scripted, tape

__all__ = ["call", "calls", "choose", "function", "live", "router", "rules", "scripted", "tape"]
