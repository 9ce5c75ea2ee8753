from __future__ import annotations

from typing import Any

import pytest

from nbagora_lab.core.errors import UsageError


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

    lab.define("planner", planner)
    task = lab.ask("planner", "x")
    run("%%prompt plan --variable days:integer=5\nNow {{days}} days in {{city}}.\n")
    done = lab.answer(task, "yes")
    assert "Plan 2 days in A." in done.text
    assert "Now 5 days in B." in done.text
    logs = [record.body.decode() for record in lab.broker.read(done.topic) if record.type == "task.log"]
    versions = [lab.registry.get("plan", version, kind="prompt") for version in ("0.0.1", "0.0.2")]
    assert len(logs) == 2
    for log, version in zip(logs, versions, strict=True):
        assert f"plan {version.version} {version.hash}" in log
