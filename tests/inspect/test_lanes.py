"""Lanes: the steps of a task and of those that it called, in one order, by who did them."""

import pytest
from pydantic_ai import Agent

from nbagora_lab.agents.models import call, scripted
from nbagora_lab.core.errors import TaskNotFound
from nbagora_lab.flows import ask, chain, parallel, person, repeatable
from nbagora_lab.inspect.lanes import LanesInspector
from nbagora_lab.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(store=tmp_path_factory.mktemp("store"), seed=1, clock="virtual") as lab:

        @lab.agent
        async def rooms(message, task):
            yield f"rooms in {message.text}"

        @lab.agent
        async def hotels(message, task):
            return await ask("rooms", message)

        @repeatable
        def shout(value):
            return str(value).upper()

        @lab.agent
        async def trip(message, task):
            if message.text == "fail":
                return await ask(lambda value: 1 / 0, "x", name="divide")
            found = await parallel(message, "hotels", trains=lambda city: ["G1", city])
            return await chain(found, shout)

        yield lab


def lanes(lab, text, **options):
    task = lab.ask("trip", text, check=False)
    return task, LanesInspector(lab._tasks._tasklog, lab.broker.log, lab.url).snapshot(task.id, **options)


def test_there_is_a_lane_for_each_who_did_something(lab):
    _, shot = lanes(lab, "北京")
    first, second, *beside, last = [(lane.name, lane.kind) for lane in shot.lanes]
    assert [first, second, last] == [("trip", "agent"), ("hotels", "agent"), ("shout", "function")]
    assert sorted(beside) == [("rooms", "agent"), ("trains", "function")]  # at work at once, whichever begins first
    assert (shot.agent, shot.state, shot.skipped) == ("trip", "COMPLETED", 0)


def test_a_called_tasks_steps_stand_inside_the_step_that_called_it(lab):
    task, shot = lanes(lab, "北京")
    rows = {row.id: row for row in shot.steps}
    [called] = [row for row in shot.steps if row.kind == "task" and row.name == "hotels"]
    asked = rows[called.parent]
    assert asked.id == f"{task.id}/parallel/hotels"
    assert asked.began < called.began < called.ended < asked.ended
    [deep] = [row for row in shot.steps if row.kind == "task" and row.name == "rooms"]
    assert called.began < deep.began < deep.ended < called.ended
    assert deep.depth == called.depth + 2
    assert (asked.input, asked.output) == ("北京", "rooms in 北京")


def test_every_record_has_a_position_of_its_own(lab):
    _, shot = lanes(lab, "北京")
    places = [row.began for row in shot.steps] + [row.ended for row in shot.steps]
    assert sorted(places) == list(range(shot.length))
    assert [row.began for row in shot.steps] == sorted(row.began for row in shot.steps)


def test_offsets_lead_to_the_records(lab):
    _, shot = lanes(lab, "北京")
    for row in shot.steps:
        [first] = lab.broker.read(row.topic, after=row.offset - 1, limit=1)
        assert first.type == ("a2a.task" if row.kind == "task" else "flow.step")


def test_a_step_that_failed_says_why(lab):
    _, shot = lanes(lab, "fail")
    [row] = [row for row in shot.steps if row.name == "divide"]
    assert (row.state, row.output) == ("failed", "division by zero")
    assert shot.steps[0].state == "failed"


def test_what_a_model_and_a_person_say_is_shown_in_words(lab):
    def find(city: str) -> str:
        return f"hotel in {city}"

    guide = Agent(scripted(call("find", city="北京"), "The Jade."), tools=[find], name="guide")

    @lab.agent
    async def talks(message, task):
        return await chain(message, guide, person())

    task = lab.answer(lab.ask("talks", "去北京"), "好")
    rows = [(row.input, row.output) for row in lab.steps(task) if row.kind == "model" or row.name == "answer"]
    assert rows == [
        ("user: 去北京", 'calls find with {"city":"北京"}'),
        ("tool: find", "The Jade."),
        ("The Jade.", "好"),
    ]


def test_one_step_is_shown_whole_and_only_so_many_are_shown(lab):
    task, _ = lanes(lab, "北京")
    _, shot = lanes(lab, "北京")
    inspector = LanesInspector(lab._tasks._tasklog, lab.broker.log, lab.url)
    shot = inspector.snapshot(task.id, selected=f"{task.id}/parallel", limit=2)
    assert (len(shot.steps), shot.skipped) == (2, 7)
    assert '"trains": [\n    "G1"' in shot.selected.output
    assert len(inspector.steps(task.id)) == 9
    assert inspector.snapshot(task.id, selected="nobody").selected is None


def test_a_task_that_is_not_there_is_named(lab):
    with pytest.raises(TaskNotFound, match="no task 'ctx-nobody'"):
        LanesInspector(lab._tasks._tasklog, lab.broker.log, lab.url).snapshot("ctx-nobody")


def test_a_look_reads_only_what_has_come_since(lab, monkeypatch):
    task, _ = lanes(lab, "北京")
    inspector = LanesInspector(lab._tasks._tasklog, lab.broker.log, lab.url)
    inspector.snapshot(task.id)
    read = []
    scan = lab.broker.log.scan

    def counted(topic, **options):
        batch = scan(topic, **options)
        read.extend(batch if topic.startswith("sessions/") else ())
        return batch

    monkeypatch.setattr(lab.broker.log, "scan", counted)
    inspector.snapshot(task.id)
    assert read == []
