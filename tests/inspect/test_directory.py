"""The directory: which tasks there are, as records come."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagora_lab.a2a.wire import COMPLETED, FAILED, WORKING
from nbagora_lab.core.events import encode
from nbagora_lab.inspect.directory import DIRECTORY, DirectoryFold
from task_logs import say, task_log, user_says


@pytest.fixture
def tasks(tmp_path):
    with task_log(tmp_path) as tasks:
        yield tasks


def test_an_entry_tells_where_to_look(tasks):
    live, _, _ = tasks.open("bob", "weather", user_says("x"), context_id="ctx", parent="ctx-0.abc")
    [entry] = DirectoryFold(tasks.log).refresh().entries.values()
    assert (entry.task, entry.context, entry.agent, entry.owner, entry.parent) == (
        live.id,
        "ctx",
        "weather",
        "bob",
        "ctx-0.abc",
    )
    assert (entry.topic, entry.traceparent) == (live.topic, live.traceparent)
    assert (entry.opened, entry.ended, entry.state) == (tasks.clock.now(), 0.0, "")
    tasks.clock.advance(5)
    live.status(COMPLETED)
    [entry] = DirectoryFold(tasks.log).refresh().entries.values()
    assert (entry.ended - entry.opened, entry.state) == (5.0, COMPLETED)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["open", "work", "complete", "fail", "reply", "look"]), max_size=20))
def test_folded_bit_by_bit_as_at_once(tmp_path_factory, steps):
    with task_log(tmp_path_factory.mktemp("directory")) as tasks:
        steady = DirectoryFold(tasks.log)
        lives = []
        for step in steps:
            if step == "open":
                lives.append(tasks.open("", "a", user_says("x"))[0])
            elif step == "look":
                steady.refresh()
            elif lives and step == "work":
                lives[-1].status(WORKING)
            elif lives:
                live = lives.pop()
                live.reply(say(live, "x")) if step == "reply" else live.status(
                    COMPLETED if step == "complete" else FAILED
                )
        fresh = DirectoryFold(tasks.log).refresh()
        assert steady.refresh().entries == fresh.entries == tasks.directory()
        assert list(steady.entries) == list(fresh.entries)
        assert {entry.task for entry in fresh.entries.values() if not entry.ended} == {live.id for live in lives}


def test_an_end_of_a_task_that_never_began_and_strange_records_are_passed_over(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"))
    tasks.log.append(
        [(DIRECTORY, encode("task.ended", b'{"state":"x"}', subject=b"none")), (DIRECTORY, encode("x.y", b"?"))]
    )
    assert list(DirectoryFold(tasks.log).refresh().entries) == [live.id]
