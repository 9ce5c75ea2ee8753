"""What a view of a lab is given of a task: events held against the specification, artifacts, calls, raw messages."""

import json

import pytest

from nbagora_lab.core.errors import TaskNotFound
from nbagora_lab.lab import Lab

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(store=tmp_path_factory.mktemp("inspect") / "store") as lab:

        @lab.agent
        async def maker(message, task):
            yield "Sunny "
            yield "in 北京"
            yield {"city": "北京", "degrees": 21}
            yield PNG
            yield task.artifact("named", b"\x00\xff")
            yield task.file(url="https://example.org/f", name="f", media_type="text/plain")

        @lab.agent
        async def caller(message, task):
            return (await task.call("maker", message)).text

        yield lab


def detail(lab, task):
    source = lab.view_source()
    shot = lab.service.call(lambda: source.tasks(selected=task.id, agent=None, state=None, limit=10))
    return source, shot.selected


def test_artifacts_are_told_by_what_they_are(lab):
    _, shown = detail(lab, lab.ask("maker", "x"))
    text, data, picture, named, link = shown.artifacts
    assert [(part.kind, part.text) for part in text.parts] == [("text", "Sunny in 北京")]
    assert json.loads(data.parts[0].text) == {"city": "北京", "degrees": 21}
    assert (data.parts[0].kind, picture.parts[0].kind, named.name) == ("json", "bytes", "named")
    assert (link.parts[0].kind, link.parts[0].text, link.parts[0].name) == ("link", "https://example.org/f", "f")


def test_every_message_of_ours_fits_the_specification(lab):
    _, shown = detail(lab, lab.ask("maker", "x"))
    assert [event.problems for event in shown.events if event.problems] == []
    assert [event.kind for event in shown.events if not event.checked] == []
    assert [event.generation for event in shown.events if event.generation] == list(range(1, shown.row.events + 1))


def test_a_raw_message_is_what_the_doors_send(lab):
    task = lab.ask("maker", "x")
    source, _ = detail(lab, task)
    for event in task.events:
        told = lab.service.call(source.message, task.id, event.offset)
        assert told.kind == "json"
        assert json.loads(told.text) == event.raw
    assert lab.service.call(source.message, task.id, 10**6).kind == "gone"
    with pytest.raises(TaskNotFound):
        lab.service.call(source.message, "ctx.none", 1)


def test_calls_are_a_tree_over_child_contexts(lab):
    task = lab.ask("caller", "x")
    _, shown = detail(lab, task)
    assert [(call.agent, call.depth, call.state) for call in shown.calls] == [
        ("caller", 0, "COMPLETED"),
        ("maker", 1, "COMPLETED"),
    ]
    child = lab.task(shown.calls[1].id)
    assert child.context_id != task.context_id
    assert detail(lab, child)[1].calls == shown.calls
    assert detail(lab, lab.ask("maker", "alone"))[1].calls == ()


def test_saying_something_from_a_view(lab):
    source = lab.view_source()
    before = len(lab.tasks())
    lab.service.call(lambda: source.say("maker", "hello", "ctx-view")).result(20)
    assert [(task.agent, task.context_id) for task in lab.tasks(limit=1)] == [("maker", "ctx-view")]
    assert len(lab.tasks()) == before + 1


def test_the_task_view_shows_the_steps_of_the_selected_task_and_runs_it_again_from_one(tmp_path):
    from nbagora_lab.flows import chain
    from nbagora_widgets import TaskView

    with Lab(store=tmp_path / "steps", token="") as lab:

        @lab.agent
        async def trip(message, task):
            return await chain(message, str.title, str.upper)

        task = lab.ask("trip", "by train")
        view = TaskView(lab.view_source(), selected=task.id)
        try:
            view.flush()
            assert view.lanes["task"] == task.id
            assert [row["name"] for row in view.lanes["steps"]] == ["trip", "chain", "title", "upper"]
            view._commands.validate_python({"do": "step", "request": 1, "id": f"{task.id}/chain/title"})
            opened = lab.service.call(lambda: view._tasks.rerun(f"{task.id}/chain/title", '"by bus"')).result(30)
            assert lab.wait(opened).text == "BY BUS"
            lab.service.call(
                view._obey, view._commands.validate_python({"do": "select", "request": 2, "task_id": None})
            )
            assert view.lanes == {}
        finally:
            view.close()
