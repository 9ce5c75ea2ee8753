"""Handoff: agents that pass a conversation on to one another, each with what it is meant to see of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbagora_lab.core.errors import FlowFailed, UsageError
from nbagora_lab.flows.member import Asked, Member, ask, attempt, container, member_of, plain, reason, text_of_value

__all__ = ["Filter", "Turn", "hand_to", "handoff", "last_turns"]

Turn = Mapping[str, Any]
"""What was said in a conversation: ``{"author": name, "text": …}``; a handoff has ``"to"`` and ``"why"`` as well."""

Filter = Callable[[Sequence[Turn], str], Sequence[Turn]]
"""What of a conversation the agent of a name is given."""

_KEY = "handoff"


def hand_to(agent: str, why: str = "", text: str = "") -> dict[str, Any]:
    """What a member returns to pass the conversation on.

    Args:
        agent: To whom.
        why: The reason, for the one that takes it and for the record.
        text: What it says to the user before.

    Returns:
        ``{"handoff": {"to": …, "why": …}, "text": …}``; an A2A agent yields the same as data.
    """
    return {_KEY: {"to": agent, "why": why}} | ({"text": text} if text else {})


def last_turns(number: int) -> Filter:
    """A filter that keeps the question and the last turns.

    Args:
        number: Turns after the question.
    """

    def keep(turns: Sequence[Turn], _to: str) -> Sequence[Turn]:
        return [turns[0], *turns[1:][-number:]] if number else [turns[0]]

    return keep


async def handoff(
    message: object,
    start: str,
    among: Mapping[str, Asked],
    *,
    keep: Filter | None = None,
    at_most: int = 8,
    otherwise: Asked | None = None,
) -> Any:
    """A conversation that goes from one agent to the next until one of them answers.

    A function is asked with ``{"task", "turns", "others"}``: the question, what it is meant to see of the
    conversation, and to whom it may pass it on. An agent gets the same as text, with each line's author in front: what
    others did with their tools is not shown, so that it doesn't try those. Who answers with `hand_to` passes it on; a
    pydantic-ai `Agent` gets an output tool ``hand_to(agent, why)`` for that.

    Args:
        message: The question.
        start: Who is asked first.
        among: All who may be asked, by name.
        keep: What of the conversation the next one is given; by default the question and the last ten turns.
        at_most: Handoffs at most.
        otherwise: Who answers where one fails, passes it on to nobody, or the last handoff is used up.

    Raises:
        FlowFailed: The same, and there is no `otherwise`.
        UsageError: `start` is not `among` them.

    Example:
        >>> async def service(message, task):
        ...     return await handoff(message, "front", {"front": front, "refunds": "refunds", "tech": "tech"})
    """
    members = {name: member_of(one, name) for name, one in among.items()}
    fallback = member_of(otherwise) if otherwise is not None else None
    shown = keep or last_turns(10)
    if start not in members:
        raise UsageError(f"handoff() starts with '{start}'", f"start with one of {', '.join(members)}")

    async def run() -> Any:
        question = plain(message)
        turns: list[dict[str, Any]] = [{"author": "user", "text": text_of_value(question)}]
        at, because = start, ""
        for _ in range(at_most + 1):
            others = [one for one in members if one != at]
            said, error = await attempt(_ask(members[at], question, shown(turns, at), others))
            if error is not None:
                because = f"'{at}' failed: {reason(error)}"
                break
            passed = _passed_on(said)
            if passed is None:
                return said
            to, why = passed
            turns.append({"author": at, "text": text_of_value(said.get("text", "")), "to": to, "why": why})
            if to not in members or to == at:
                because = f"'{at}' passes it on to '{to}', who is not there"
                break
            at = to
        because = because or f"it was passed on {at_most} times"
        if fallback is None:
            raise FlowFailed(f"nobody answered: {because}", "say who answers otherwise=, or find why it goes round")
        return await _ask(fallback, question, shown(turns, fallback.name), [], because)

    return await container("handoff", run, message, members=list(members))


async def _ask(member: Member, question: Any, turns: Sequence[Turn], others: Sequence[str], because: str = "") -> Any:
    about = {"handoff": True} | ({"because": because} if because else {})
    turns = [dict(turn) for turn in turns]
    if member.kind == "function":
        return await ask(member, {"task": question, "turns": turns, "others": list(others)}, about=about)
    said = "\n".join(_line(turn) for turn in turns if turn.get("text") or turn.get("to"))
    if member.kind == "agent":
        people = (
            f"\n\nTo pass it on, answer with data {{'handoff': {{'to': …}}}}: {', '.join(others)}" if others else ""
        )
        return await ask(member, said + people, about=about)
    options: dict[str, Any] = {"output_type": [member.target.output_type, _tool(others)]} if others else {}
    return await ask(member, said, about=about, **options)


def _line(turn: Turn) -> str:
    passed = f" [passes it on to {turn['to']}{': ' + turn['why'] if turn.get('why') else ''}]" if "to" in turn else ""
    return f"{turn['author']}: {turn.get('text', '')}{passed}"


def _tool(others: Sequence[str]) -> Any:
    """The output function by which a model passes the conversation on."""

    from pydantic_ai import ToolOutput

    def hand_to(agent: str, why: str = "") -> dict[str, Any]:
        return {_KEY: {"to": agent, "why": why}}

    hand_to.__doc__ = f"Passes the conversation on to another agent, one of: {', '.join(others)}."
    return ToolOutput(hand_to, name="hand_to")


def _passed_on(said: Any) -> tuple[str, str] | None:
    """To whom and why, where an answer passes the conversation on."""
    if not isinstance(said, Mapping) or not isinstance(said.get(_KEY), Mapping):
        return None
    passed = said[_KEY]
    return str(passed.get("to", "")), str(passed.get("why", ""))
