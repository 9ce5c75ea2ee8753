from __future__ import annotations

from typing import Any

import pytest

from nbagora.show import short_id
from nbagora_lab.core.errors import TaskFailed, TaskNotFound, UsageError

ASKER = "%%agent asker\nasync def asker(message, task):\n    day = await task.ask('Which day?')\n    yield day.text"


def test_ls_shows_the_newest_first_and_filters(lab: Any, run: Any) -> None:
    assert repr(run("%task ls")) == "no tasks yet: %agent ask NAME opens one"
    run(ASKER)
    run("%agent ask echo one")
    run("%agent ask asker two --context mine")
    assert [task.agent for task in run("%task ls")] == ["asker", "echo"]
    assert [task.agent for task in run("%task ls --agent echo")] == ["echo"]
    assert [task.agent for task in run("%task ls --context mine")] == ["asker"]
    assert [task.agent for task in run("%task ls --state INPUT_REQUIRED")] == ["asker"]
    assert len(run("%task ls --limit 1")) == 1
    assert "Which day?" in repr(run("%task ls"))
    with pytest.raises(UsageError, match="--state can't be 'DONE'"):
        run("%task ls --state DONE")


def test_show_takes_an_id_a_part_of_it_or_last(lab: Any, run: Any) -> None:
    task = run("%agent ask echo hi")
    for name in (task.id, short_id(task.id), "last", "{t}"):
        run("t = %task show last")
        assert run(f"%task show {name}").id == task.id
    with pytest.raises(TaskNotFound):
        run("%task show nothing")


def test_events_are_those_on_the_topic(lab: Any, run: Any) -> None:
    run("%agent ask echo hi")
    events = run("%task events last")
    assert [event.generation for event in events] == list(range(1, len(events) + 1))
    assert "COMPLETED" in repr(events)


def test_answer_goes_on(lab: Any, run: Any) -> None:
    run(ASKER)
    run("%agent ask asker hi")
    assert run("%task answer last Friday?").text == "Friday?"


def test_cancel_ends_it_and_wait_tells(lab: Any, run: Any) -> None:
    run(ASKER)
    run("%agent ask asker hi")
    assert run("%task cancel last").state == "CANCELED"
    with pytest.raises(TaskFailed):
        run("%task wait last")
    with pytest.raises(TaskFailed):
        run("%task watch last")
    assert run("%task wait last --no-raise").state == "CANCELED"
    assert run("%task watch last --no-raise").state == "CANCELED"


def test_view_is_the_widget_of_this_lab(lab: Any, run: Any) -> None:
    run("%agent ask echo 北京")
    view = run("%task view")
    data, _ = view._repr_mimebundle_()
    assert "北京" in data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in data
    view.close()


def test_memory_shows_what_an_agent_is_told_and_undo_takes_the_newest_turn_out(lab: Any, run: Any) -> None:
    first = run("%agent ask echo 一 --context talk")
    run("%agent ask echo two --context talk")
    told = run("%task memory")
    assert [(row[1].role, row[1].text) for row in told if row[1].role == "user"] == [("user", "一"), ("user", "two")]
    assert {row[0] for row in run(f"%task memory --at {first.events[-1].offset}")} == {first.id}
    run("%task undo last")
    assert {row[0] for row in run("%task memory")} == {first.id}
    run("%task undo last")
    assert "every turn was undone" in repr(run("%task memory"))
