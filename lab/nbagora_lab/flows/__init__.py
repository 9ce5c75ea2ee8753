"""Flows: agents that work together, as plain async functions inside an agent's own function.

    from nbagora.flows import chain, gate, parallel

    async def trip(message, task):
        found = await parallel(message, trains=find_trains, hotels="hotels")
        return await chain(found, plan, gate(within_budget), "booking")

`member` says who can be asked and makes each ask a step of the task's journal; `workflows`, `parallel`, `handoff`,
`supervise` and `discuss` are the patterns; `limits` says what they may spend. See the room's README.
"""

from nbagora_lab.flows.discuss import Discussion, Word, discuss
from nbagora_lab.flows.handoff import hand_to, handoff, last_turns
from nbagora_lab.flows.limits import Limits
from nbagora_lab.flows.member import Member, ask, member_of, person, repeatable
from nbagora_lab.flows.parallel import each, majority, orchestrate, parallel, vote
from nbagora_lab.flows.supervise import supervise
from nbagora_lab.flows.workflows import Gate, chain, escalate, evaluate, gate, route

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
