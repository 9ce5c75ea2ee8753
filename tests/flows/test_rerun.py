"""A flow that is run again from one of its steps, with another answer: what came before is taken over."""

import pytest

from nbagora_lab.core.errors import UsageError
from nbagora_lab.flows import chain, parallel, repeatable
from nbagora_lab.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(store=tmp_path_factory.mktemp("store")) as lab:
        yield lab


@pytest.fixture
def asked(lab):
    asked = []

    def member(name, does):
        @repeatable
        def work(value):
            asked.append(name)
            return does(value)

        work.__name__ = name
        return work

    @lab.agent
    async def trip(message, task):
        found = await parallel(message, member("trains", lambda city: f"G1 to {city}"), member("hotels", len))
        return await chain(
            found, member("plan", lambda found: found["trains"]), member("write", lambda plan: f"{plan}!")
        )

    return asked


def test_from_a_step_with_another_output(lab, asked):
    task = lab.ask("trip", "北京")
    assert task.text == "G1 to 北京!"
    assert (set(asked[:2]), asked[2:]) == (
        {"trains", "hotels"},
        ["plan", "write"],
    )  # which branch is first, threads say
    asked.clear()
    again = lab.rerun(task, at="chain/plan", answers={"chain/plan": "by plane"})
    assert (again.text, asked) == ("by plane!", ["write"])
    assert lab.task(task.id).text == "G1 to 北京!"


def test_the_lanes_button_does_it_and_returns_at_once(lab, asked):
    task = lab.ask("trip", "北京")
    source = lab.lanes_source(task)
    shot = lab.service.call(lambda: source.lanes(f"{task.id}/chain/write"))
    assert shot.selected.can_rerun
    asked.clear()
    opened = source.rerun(f"{task.id}/chain/write", '"by bus"').result(30)
    assert lab.wait(opened.id).text == "by bus"
    assert asked == []
    with pytest.raises(UsageError, match="no step 'nowhere'"):
        source.rerun(f"{task.id}/nowhere", None).result(30)
