"""Workflows one after another: chain, route, escalate, evaluate; plain async functions.

Each takes what is asked first and members after it (`nbagora_lab.flows.member`), runs inside an agent's function, and
can stand inside another. The pattern is a step, its members are steps below it; what each was asked and gave is on
record, and a flow whose process died goes on after the last step that has a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbagora_lab.core.errors import FlowFailed, GateClosed, UsageError
from nbagora_lab.flows.member import Asked, Member, ask, attempt, container, member_of, plain, reason, text_of_value

__all__ = ["Gate", "chain", "escalate", "evaluate", "gate", "route"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A stage of a chain that lets a value through, or not; see `gate`."""

    check: Member
    repair: Member | None
    tries: int


def gate(check: Asked, *, repair: Asked | None = None, tries: int = 1) -> Gate:
    """A check between two stages of a chain.

    Args:
        check: Is asked with the value; True or an empty text lets it through, False or a text (the reason) does not.
        repair: Who mends a value that was stopped: is asked with ``{"value", "why"}``, and its answer is checked.
        tries: How often it is mended at most.
    """
    return Gate(member_of(check), member_of(repair) if repair is not None else None, tries)


async def chain(message: object, *stages: Asked | Gate) -> Any:
    """Each stage works on what the one before it gave; gates in between stop what isn't good enough.

    Args:
        message: What the first stage is asked.
        stages: Members and gates, in order.

    Returns:
        What the last stage gave.

    Raises:
        GateClosed: A gate stopped it; says why.

    Example:
        >>> async def article(message, task):
        ...     return await chain(message, outline, gate(has_three_parts), write)
    """
    members = [stage if isinstance(stage, Gate) else member_of(stage) for stage in stages]

    async def run() -> Any:
        value: Any = plain(message)
        for stage in members:
            value = await (_pass(stage, value) if isinstance(stage, Gate) else ask(stage, value))
        return value

    return await container("chain", run, message)


async def _pass(stage: Gate, value: Any) -> Any:
    for left in range(stage.tries, -1, -1):
        why = _objection(await ask(stage.check, value, about={"gate": True}))
        if not why:
            return value
        if stage.repair is None or not left:
            raise GateClosed(f"the gate '{stage.check.name}' stopped the chain: {why}", "mend what comes before it")
        value = await ask(stage.repair, stage.repair.given({"value": value, "why": why}))
    raise AssertionError("a gate opens or closes")  # pragma: no cover


def _objection(verdict: Any) -> str:
    """What a check has against a value; empty for nothing."""
    if isinstance(verdict, str):
        return "" if verdict.strip().lower() in {"", "ok", "yes", "pass", "true"} else verdict
    return "" if verdict else "it was not good enough"


async def route(message: object, by: Asked, to: Mapping[str, Asked], *, otherwise: Asked | None = None) -> Any:
    """One member decides what kind of question it is, and the one for that kind answers.

    Args:
        message: What is asked.
        by: Names the kind: one of the keys of `to`; anything else, or an error, means that it does not know.
        to: Who answers, by kind.
        otherwise: Who answers where the kind is unknown, or who was to answer fails.

    Raises:
        FlowFailed: The kind is unknown, and there is no `otherwise`.

    Example:
        >>> async def service(message, task):
        ...     return await route(message, classify, {"refund": refunds, "technical": "tech"}, otherwise=person)
    """
    decider = member_of(by)
    fallback = member_of(otherwise) if otherwise is not None else None

    async def run() -> Any:
        said, error = await attempt(ask(decider, message))
        kind = said.strip() if isinstance(said, str) else ""
        if error is None and kind not in to:
            error = FlowFailed(
                f"'{decider.name}' says {text_of_value(said)}, and the routes are {', '.join(to)}",
                "add a route, or say who answers otherwise=",
            )
        if error is None:
            answer, error = await attempt(ask(to[kind], message, about={"route": kind}))
            if error is None:
                return answer
        if fallback is None:
            raise error
        return await ask(fallback, message, about={"because": reason(error)})

    return await container("route", run, message)


async def escalate(message: object, *members: Asked, until: Asked | None = None) -> Any:
    """The cheapest member first; one that fails, or whose answer isn't good enough, is followed by the next.

    Args:
        message: What is asked.
        members: Cheapest first.
        until: Checks ``{"question", "answer"}``, as a gate does; by default every answer is good enough. The last
            member's answer is taken as it is.

    Raises:
        FlowFailed: All of them failed.

    Example:
        >>> async def answer(message, task):
        ...     return await escalate(message, "small-model", "large-model", until=sounds_sure)
    """
    ladder = [member_of(one) for one in members]
    if not ladder:
        raise UsageError("escalate() without members", "give them, cheapest first")
    check = member_of(until) if until is not None else None

    async def run() -> Any:
        because = ""
        for number, member in enumerate(ladder, 1):
            answer, error = await attempt(ask(member, message, about={"because": because} if because else None))
            if error is not None:
                because = reason(error)
                continue
            if check is None or number == len(ladder):
                return answer
            because = _objection(await ask(check, check.given({"question": plain(message), "answer": answer})))
            if not because:
                return answer
        raise FlowFailed(f"every member failed; the last one: {because}", "add one that can answer")

    return await container("escalate", run, message)


async def evaluate(
    message: object, write: Asked, judge: Asked, *, rounds: int = 3, improve: Asked | None = None, strict: bool = False
) -> Any:
    """One writes, another judges, and it is written again until it passes; so many rounds at most.

    Args:
        message: What the first draft is written for.
        write: Writes it.
        judge: Is asked with ``{"task", "draft"}``; True, or an empty text, passes it; False, a text (the feedback),
            or ``{"pass": bool, "score": number, "feedback": text}`` sends it back.
        rounds: How often it is judged at most.
        improve: Writes it again, asked with ``{"task", "draft", "feedback"}``; by default `write` does.
        strict: Whether a draft that never passed is an error.

    Returns:
        The draft that passed; else, unless `strict`, the one with the best score, of equal ones the last.

    Raises:
        FlowFailed: It never passed, and `strict` is set.

    Example:
        >>> async def plan(message, task):
        ...     return await evaluate(message, planner, within_budget, rounds=4)
    """
    writer, judges = member_of(write), member_of(judge)
    improver = member_of(improve) if improve is not None else writer
    if rounds < 1:
        raise UsageError(f"rounds={rounds}", "it is judged once at least")

    async def run() -> Any:
        question = plain(message)
        draft = best = await ask(writer, question)
        score = float("-inf")
        for left in range(rounds - 1, -1, -1):
            verdict = await ask(judges, judges.given({"task": question, "draft": draft}))
            feedback, scored = _judged(verdict)
            if not feedback:
                return draft
            if scored >= score:
                best, score = draft, scored
            if left:
                draft = await ask(improver, improver.given({"task": question, "draft": draft, "feedback": feedback}))
        if strict:
            raise FlowFailed(f"no draft passed in {rounds} rounds; the last feedback: {feedback}", "allow more rounds=")
        return best

    return await container("evaluate", run, message)


def _judged(verdict: Any) -> tuple[str, float]:
    """The feedback of a judge, empty for a pass, and the score."""
    if not isinstance(verdict, Mapping):
        return _objection(verdict), 0.0
    score = float(verdict.get("score") or 0.0)
    passed = verdict.get("pass")
    feedback = str(verdict.get("feedback") or "")
    return ("" if passed else feedback or "it was not good enough"), score
