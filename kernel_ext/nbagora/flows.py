"""Flows: `chain`, `route`, `parallel` and their like, to be used in an agent's function.

    from nbagora.flows import chain, gate

Importing this costs next to nothing; pydantic-ai is imported by whoever makes an `Agent`.
"""

from nbagora_lab.flows import (
    Discussion,
    Gate,
    Limits,
    Member,
    Word,
    ask,
    chain,
    discuss,
    each,
    escalate,
    evaluate,
    gate,
    hand_to,
    handoff,
    last_turns,
    majority,
    member_of,
    orchestrate,
    parallel,
    person,
    repeatable,
    route,
    supervise,
    vote,
)

__all__ = [
    "Discussion",
    "Gate",
    "Limits",
    "Member",
    "Word",
    "ask",
    "chain",
    "discuss",
    "each",
    "escalate",
    "evaluate",
    "gate",
    "hand_to",
    "handoff",
    "last_turns",
    "majority",
    "member_of",
    "orchestrate",
    "parallel",
    "person",
    "repeatable",
    "route",
    "supervise",
    "vote",
]
