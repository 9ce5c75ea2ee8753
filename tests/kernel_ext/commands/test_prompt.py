from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pytest

from nbagora_lab.core.errors import UsageError
from nbagora_lab.inspect.fold import LOG_EXTENSION


@pytest.fixture
def plan(lab: Any, run: Any) -> Any:
    return run("%%prompt plan --variable days:integer=2 --tag travel --label stable\nPlan {{days}} days in {{city}}.\n")


def test_a_cell_is_a_version_of_a_prompt(plan: Any, lab: Any, run: Any) -> None:
    assert (plan.version, plan.new) == ("0.0.1", True)
    assert lab.registry.labels("plan", kind="prompt") == {"latest": "0.0.1", "stable": "0.0.1"}
    again = run("%%prompt plan --variable days:integer=2 --tag travel\nPlan {{days}} days in {{city}}.\n")
    assert (again.version, again.new) == ("0.0.1", False)
    assert [one.name for one in run("%prompt ls")] == ["plan"]
    assert [one.name for one in run("%registry ls --kind prompt")] == ["plan"]


def test_a_prompt_is_written_out(plan: Any, run: Any) -> None:
    assert run("%prompt render plan --value city=北京") == "Plan 2 days in 北京."
    assert run("%prompt render plan --value city=x --value days=3 --ref stable") == "Plan 3 days in x."
    for line in ("plan", "plan --value city", "plan --value city=x --value days=many", "plan --value town=x"):
        with pytest.raises(UsageError):
            run(f"%prompt render {line}")


def test_braces_of_the_cell_are_the_prompt_s(lab: Any, run: Any) -> None:
    run("city = 'no'")
    run("%%prompt raw\n{city} {{city}}")
    assert lab.registry.get("raw", kind="prompt").card["template"] == "{city} {{city}}"
    with pytest.raises(UsageError, match="is no variable"):
        run("%%prompt raw --variable 1:x\n{{a}}")
    with pytest.raises(UsageError, match="/variables/0/default is no integer"):
        run("%%prompt raw --variable a:integer=1.5\n{{a}}")


def test_a_running_agent_takes_the_new_version_at_its_next_step_and_its_records_say_which(
    plan: Any, lab: Any, run: Any
) -> None:
    async def planner(message: Any, task: Any) -> Any:
        """Plans."""
        yield lab.registry.render("plan", city="A")
        await task.ask("more?")
        yield lab.registry.render("plan", city="B")
        await task.call("echo", "x")

    async def echo(message: Any, task: Any) -> Any:
        """Says it again."""
        yield message.text

    lab.define("echo", echo)
    lab.define("planner", planner)
    task = lab.ask("planner", "x")
    run("%%prompt plan --variable days:integer=5\nNow {{days}} days in {{city}}.\n")
    done = lab.answer(task, "yes")
    assert "Plan 2 days in A." in done.text
    assert "Now 5 days in B." in done.text
    used = [
        json.loads(update["body"]).popitem()[1]["metadata"][LOG_EXTENSION]["prompts"]
        for update in _written(lab, done, "a2a.artifact")
    ]
    assert [prompts for prompts, _ in groupby(used)] == [["plan@0.0.1"], ["plan@0.0.2"]]
    [call] = _written(lab, done, "task.call")
    assert json.loads(call["body"])["prompts"] == ["plan@0.0.2"]
    first, *_, last = _written(lab, done, "a2a.status")
    assert "prompts" not in first["body"]
    assert '"prompts":["plan@0.0.2"]' in last["body"]


def _written(lab: Any, task: Any, kind: str) -> list[dict[str, str]]:
    return [{"body": one.body.decode()} for one in lab.broker.read(task.topic) if one.type == kind]
