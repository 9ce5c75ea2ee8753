"""Outcomes: the log tells the registry what became of every task, whoever called."""

from __future__ import annotations

from typing import Any

import httpx

from card_site import define
from nbagora_lab.lab import Lab


def call(lab: Lab, text: str = "?") -> str:
    """Calls the agent's doors as somebody from outside does; the state that its task ended in."""
    message = {"messageId": lab._calls._ids.new("message", "outside"), "role": "ROLE_USER", "parts": [{"text": text}]}
    request = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    url = lab.registry.resolve("weather").url
    answer = httpx.post(url, json=request, headers={"A2A-Version": "1.0"}, trust_env=False, timeout=30)
    return str(answer.json()["result"]["task"]["status"]["state"])


def counted(lab: Lab) -> list[tuple[bool, float | None]]:
    """What the registry knows of calls to the guarded version."""
    lab.service.call(_refresh, lab)
    [calls] = lab.registry._router._calls.values()
    return [tuple(outcome) for _, outcome in calls]


async def _refresh(lab: Lab) -> None:
    lab._calls._outcomes.refresh()


def test_callers_from_outside_spend_a_release_s_budget(lab: Lab) -> None:
    define(lab, "sun", "1.0")
    define(lab, "broken", "2.0")
    lab.registry.set_rule("weather", {"budget": {"errors": 0.2, "calls": 4}})
    assert [call(lab) for _ in range(4)] == ["TASK_STATE_FAILED"] * 4
    lab.service.call(_refresh, lab)
    assert lab.registry.labels("weather")["latest"] == "1.0"
    assert "4 of 4 calls failed" in lab.registry.audit("weather")[-1].why
    assert call(lab) == "TASK_STATE_COMPLETED"


def test_the_lab_s_own_calls_and_those_from_outside_count_once_each(lab: Lab) -> None:
    define(lab, "sun", "1.0")
    lab.registry.set_rule("weather", {"budget": {"errors": 0.5, "calls": 100}})
    call(lab)
    lab.ask("weather", "?")
    assert [event.state for event in lab.stream("weather", "?")][-1] == "COMPLETED"
    lab.wait(lab.send("weather", "?"))
    found = counted(lab)
    assert [ok for ok, _ in found] == [True] * 4
    assert all(seconds is not None and seconds >= 0 for _, seconds in found)
    assert {place.open for place in lab.registry._router._places.values()} == {0}


def test_a_task_that_waited_for_somebody_counts_without_its_time(lab: Lab) -> None:
    async def weather(message: Any, task: Any) -> str:
        """Asks where."""
        return f"sunny in {(await task.ask('Where?')).text}"

    lab.define("weather", weather, version="1.0")
    lab.registry.set_rule("weather", {"budget": {"latency": 0.001, "calls": 1}})
    task = lab.ask("weather", "?")
    assert lab.answer(task, "Oslo").text.endswith("Oslo")
    assert counted(lab) == [(True, None)]
