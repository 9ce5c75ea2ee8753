"""Each pattern with language models for members: on scripts and on rules, over a crash behind every record."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.usage import RequestUsage

from flow_runs import Flow, FlowRuns, Team, prove
from nbagora_lab.agents.models import call, function, router, rules, scripted
from nbagora_lab.core.errors import LimitReached
from nbagora_lab.flows import (
    Limits,
    chain,
    discuss,
    escalate,
    evaluate,
    gate,
    hand_to,
    handoff,
    orchestrate,
    parallel,
    route,
    supervise,
    vote,
)

Desk = Literal["refund 退款", "fault 故障"]


def find_trains(to: str) -> str:
    """Finds trains 火车."""
    return f"G1 to {to}"


def find_hotels(city: str) -> str:
    """Finds hotels 酒店."""
    return f"the Jade in {city}"


LOOKING = {"tools": [find_trains, find_hotels], "instructions": "Look for trains, then for hotels."}


def writes(team: Team, *texts: Any, name: str | None = None, **options: Any) -> Any:
    """An agent that gives these answers, one a run."""
    return team.model(Agent(scripted(*([text] for text in texts)), name=name, **options))


def looks(team: Team, name: str | None = None, **options: Any) -> Any:
    """An agent made of rules that looks for trains and hotels."""
    return team.model(Agent(rules(), name=name, **(LOOKING | options)))


def sure(asked: Any) -> Any:
    return asked["answer"] != "?"


# -- on scripts: every decision is one of the model's ------------------------------------------------------------------


def scripted_chain(team: Team) -> Flow:
    outline = team.model(Agent(scripted(call("find_trains", to="北京"), "G1"), tools=[find_trains]))
    enough = writes(team, call("final_result", response=True), output_type=bool)
    return lambda: chain("北京", outline, gate(enough), writes(team, "by G1"))


def scripted_route(team: Team) -> Flow:
    triage = writes(team, call("final_result", response="refund 退款"), name="triage", output_type=Desk)
    return lambda: route("钱", triage, {"refund 退款": writes(team, "refunded"), "fault 故障": writes(team)})


def scripted_escalate(team: Team) -> Flow:
    small, large = writes(team, "?", name="small"), writes(team, "42", name="large")
    return lambda: escalate("q", small, large, until=team.member("sure", sure))


def scripted_parallel(team: Team) -> Flow:
    broken = writes(team, ConnectionError("cut"), name="broken")
    return lambda: parallel("北京", a=writes(team, "one two"), b=writes(team, "三"), c=broken, otherwise="none")


def scripted_vote(team: Team) -> Flow:
    return lambda: vote(
        "?", *(writes(team, text, name=f"n{at}") for at, text in enumerate(("train", "plane", "train")))
    )


def scripted_evaluate(team: Team) -> Flow:
    writer = writes(team, "draft 1", "draft 2", "draft 3", name="writer")
    judge = writes(team, "too long", "too short", "ok", name="judge")
    return lambda: evaluate("trip", writer, judge)


def scripted_orchestrate(team: Team) -> Flow:
    worker = writes(team, "G1", "Jade", name="worker")
    return lambda: orchestrate("trip", writes(team, "trains\nhotels"), worker, writes(team, "both"), at_once=1)


def scripted_handoff(team: Team) -> Flow:
    front = writes(team, call("hand_to", agent="refunds", why="money"))
    return lambda: handoff("钱", "front", {"front": front, "refunds": writes(team, "refunded")})


def scripted_supervise(team: Team) -> Flow:
    boss = Agent(scripted(call("ask_trains", message="北京"), call("ask_hotels", message="北京"), "both"), name="boss")
    hotels = team.agent("hotels", lambda text: f"Jade in {text}")
    return lambda: supervise("trip", team.model(boss), {"trains": writes(team, "G1"), "hotels": hotels})


def scripted_discuss(team: Team) -> Flow:
    members = {"a": writes(team, "Train.", "Still train."), "b": writes(team, "Plane.", "Train, then.")}
    chair = writes(team, "b", "a", "nobody", "b", name="chair")
    return lambda: discuss("where", members, speaker=chair, rounds=2, conclude=writes(team, "by train"))


# -- on rules: they look things up, functions decide what rules can't --------------------------------------------------


def ruled_chain(team: Team) -> Flow:
    short = team.member("short", lambda text: len(text) < 200)
    return lambda: chain("去北京", looks(team), gate(short), looks(team, "again"))


def ruled_route(team: Team) -> Flow:
    triage = Agent(router(), output_type=Desk, name="triage")
    return lambda: route("退款", triage, {"refund 退款": looks(team, "refunds"), "fault 故障": looks(team)})


def ruled_escalate(team: Team) -> Flow:
    asks = team.member("asks", lambda asked: "need to know" not in asked["answer"])
    return lambda: escalate(
        "to Beijing", looks(team, "few", tools=[], instructions=""), looks(team, "many"), until=asks
    )


def ruled_parallel(team: Team) -> Flow:
    return lambda: parallel("去北京", a=looks(team), b=looks(team, tools=[find_hotels]), c=looks(team, tools=[]))


def ruled_vote(team: Team) -> Flow:
    return lambda: vote("去北京", looks(team, "a"), looks(team, "b"), looks(team, "c", tools=[]))


def ruled_evaluate(team: Team) -> Flow:
    judge = team.member("judge", lambda asked: "draft: find" in str(asked) or {"pass": False, "feedback": "去上海"})
    return lambda: evaluate("去北京", looks(team, "writer"), judge, rounds=2)


def ruled_orchestrate(team: Team) -> Flow:
    plan = team.member("plan", lambda text: ["trains to Beijing", "hotels in Shanghai"])
    return lambda: orchestrate("trip", plan, looks(team, "worker"), looks(team, "merge"), at_once=1)


def ruled_handoff(team: Team) -> Flow:
    front = team.member("front", lambda asked: hand_to("guide", "not mine"))
    return lambda: handoff(
        "去北京", "front", {"front": front, "guide": looks(team, output_type=str)}, keep=lambda turns, to: turns
    )


def ruled_supervise(team: Team) -> Flow:
    boss = team.model(Agent(rules(), instructions="Ask trains, then ask hotels.", name="boss"))
    return lambda: supervise(
        "trip to Beijing", boss, {"trains": looks(team, "trains"), "hotels": team.member("hotels", len)}
    )


def ruled_discuss(team: Team) -> Flow:
    return lambda: discuss("to Beijing", {"a": looks(team), "b": looks(team, tools=[find_trains])}, rounds=2)


FLOWS = {name: value for name, value in globals().items() if name.startswith(("scripted_", "ruled_"))}


# -- limits ------------------------------------------------------------------------------------------------------------


def pays(team: Team, name: str) -> Any:
    """An agent whose answers take 15 tokens and two cents."""

    def answer(messages: Any, info: Any) -> ModelResponse:
        usage = RequestUsage(input_tokens=10, output_tokens=5, cost=Decimal("0.02"))
        return ModelResponse(parts=[TextPart("so")], usage=usage)

    return team.model(Agent(function(answer), name=name))


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"steps": 2}, "limit of 2 steps is reached, after 2 steps"),
        ({"tokens": 15}, "limit of 15 tokens is reached, after 1 step, 15 tokens"),
        ({"cost": 0.03}, "limit of a cost of \\$0.03 is reached, after 2 steps, 30 tokens, \\$0.04"),
    ],
)
def test_a_limit_ends_a_flow_at_the_same_step_over_a_crash(tmp_path: Path, limit: Any, told: str) -> None:
    def build(team: Team) -> Flow:
        async def flow() -> Any:
            async with Limits(**limit):
                return await chain("x", pays(team, "a"), pays(team, "b"), pays(team, "c"))

        return flow

    asked = prove(tmp_path, build, every=2)
    assert sorted(asked) == ["chain/a/model", "chain/b/model"][: 1 if "tokens" in limit else 2]
    with FlowRuns(tmp_path / "told") as runs, pytest.raises(LimitReached, match=told):
        runs.run(build(runs.team))


QUICK = [scripted_parallel, scripted_supervise, ruled_chain]


@pytest.mark.parametrize("build", QUICK)
def test_it_is_the_same_over_some_crashes(tmp_path: Path, build: Any) -> None:
    prove(tmp_path, build, every=5)


@pytest.mark.thorough
@pytest.mark.parametrize("build", FLOWS.values(), ids=FLOWS)
def test_it_is_the_same_over_a_crash_behind_any_record(tmp_path: Path, build: Any) -> None:
    prove(tmp_path, build)
