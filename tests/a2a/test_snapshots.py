"""Snapshots of long sessions: what a cold fold starts from, and when one counts for nothing."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagora_lab.a2a.snapshots import EVERY
from nbagora_lab.a2a.wire import COMPLETED, WORKING
from nbagora_lab.broker.tail import tail
from nbagora_lab.core.errors import TopicNotFound
from nbagora_lab.inspect.fold import HISTORY, SessionFold
from nbagora_lab.inspect.snapshot import SNAPSHOTS, restored, written
from nbagora_lab.lab import Lab
from task_logs import say, task_log, user_says


def grow(live, count, start=0, more=b""):
    for number in range(start, start + count):
        live.artifact(b'"artifactId":"a",', b'{"text":"%d %b"}' % (number, more), append=number > 0)


def read_by(tasks, monkeypatch):
    """Counts the records of session topics that are read from now on."""
    read, scan = [], tasks.log.scan

    def counted(topic, **options):
        batch = scan(topic, **options)
        if topic.startswith("sessions/"):
            read.extend(batch)
        return batch

    monkeypatch.setattr(tasks.log, "scan", counted)
    return read


def test_a_long_session_is_not_read_from_its_beginning_again(tmp_path, monkeypatch):
    with task_log(tmp_path) as tasks:
        live, _, _ = tasks.open("bob", "a", user_says("北京"), context_id="ctx")
        live.status(WORKING, say(live, "看"))
        grow(live, 3 * EVERY)
        assert tasks.snapshots.run_once(live.topic)
        grow(live, 10, 3 * EVERY)
        live.status(COMPLETED, say(live, "完"), {"own": "元"})
        warm = tasks.task_json("bob", live.id)
    with task_log(tmp_path) as tasks:
        read = read_by(tasks, monkeypatch)
        assert tasks.task_json("bob", live.id) == warm
        assert len(read) == 12  # what came since, and the record that the snapshot is of
        assert len(warm["artifacts"][0]["parts"]) == 3 * EVERY + 10
        assert (warm["history"][0]["parts"], warm["metadata"]["own"]) == ([{"text": "北京"}], "元")


def test_all_snapshots_of_a_session_have_less_than_twice_its_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("nbagora_lab.a2a.snapshots.EVERY", 100)
    with task_log(tmp_path) as tasks:
        live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
        sizes = []
        for turn in range(20):
            grow(live, 100, turn * 100, b"x" * 1000)
            if tasks.snapshots.run_once(live.topic):
                sizes.append(tasks.session("", "ctx").saved[1])
        assert 3 < len(sizes) < 20
        records = sum(len(stored) for _, stored in tasks.log.scan(live.topic, limit=1 << 20, max_bytes=1 << 30))
        assert sum(sizes) < 2 * records


def test_a_task_as_it_stood_starts_from_a_snapshot_below(tmp_path, monkeypatch):
    with task_log(tmp_path) as tasks:
        live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
        for turn in range(2):
            grow(live, 2 * EVERY, turn * 2 * EVERY)
            assert tasks.snapshots.run_once(live.topic)
        first = EVERY * 2 + 10
        read = read_by(tasks, monkeypatch)
        past = tasks.task_json("", live.id, at=first)
        assert len(past["artifacts"][0]["parts"]) == first - 2  # the claim, the message and SUBMITTED come before
        assert len(read) < EVERY
        assert len(tasks.task_json("", live.id, at=EVERY)["artifacts"][0]["parts"]) == EVERY - 2


def test_a_context_that_was_removed_has_no_snapshot_of_what_it_was(tmp_path):
    with task_log(tmp_path) as tasks:
        old, _, _ = tasks.open("", "a", user_says("old"), context_id="ctx")
        grow(old, EVERY)
        assert tasks.snapshots.run_once(old.topic)
        tasks.log.expire(old.topic)
        with pytest.raises(TopicNotFound):
            tasks.snapshots.run_once(old.topic)
        new, _, _ = tasks.open("", "a", user_says("new"), context_id="ctx")
        grow(new, 2 * EVERY)
    with task_log(tmp_path) as tasks:
        session = tasks.session("", "ctx")
        assert (list(session.tasks), session.saved) == ([new.id], (-1, 0))


def test_a_damaged_snapshot_is_left_aside(tmp_path):
    with task_log(tmp_path) as tasks:
        live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
        grow(live, EVERY)
        assert tasks.snapshots.run_once(live.topic)
        warm = tasks.task_json("", live.id)
    [blob] = [path for path in (tmp_path / "blobs").iterdir() if path.is_file()]
    blob.write_bytes(blob.read_bytes()[:-9] + b"123456789")
    with task_log(tmp_path) as tasks:
        assert tasks.task_json("", live.id) == warm
        assert tasks.session("", "ctx").saved == (-1, 0)


def test_a_fork_starts_from_its_own(tmp_path):
    with task_log(tmp_path) as tasks:
        live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
        grow(live, EVERY)
        tasks.snapshots.run_once(live.topic)
        tasks.log.fork(live.topic, "sessions/fork", at=EVERY)
        assert tasks.session("", "fork").tasks[live.id].inherited
        tasks.snapshots.run_once("sessions/fork")
        assert tasks.snapshots.newest("sessions/fork").tasks[live.id].inherited
        assert not tasks.snapshots.newest(live.topic).tasks[live.id].inherited


def test_a_long_history_keeps_its_newest_messages(tmp_path):
    with task_log(tmp_path) as tasks:
        live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
        for number in range(2 * HISTORY + 100):
            live.status(WORKING, say(live, f"{number}"))
        tasks.snapshots.run_once(live.topic)
        warm = tasks.task_json("", live.id)
    assert [one["parts"][0]["text"] for one in warm["history"]] == [f"{HISTORY + 99 + n}" for n in range(HISTORY)]
    assert warm["status"]["message"]["parts"] == [{"text": f"{2 * HISTORY + 99}"}]
    with task_log(tmp_path) as tasks:
        assert tasks.task_json("", live.id) == warm


def test_a_lab_saves_a_session_once_it_is_quiet(tmp_path):
    with Lab(store=tmp_path) as lab:

        @lab.agent
        async def long(message, task):
            for number in range(2 * EVERY):
                yield f"{number} "

        task = lab.ask("long", "x")
        record = next(tail(lab.broker.log, f"{SNAPSHOTS}/{task.context_id}", timeout=60))
    assert record.type == "session.snapshot"


_step = st.tuples(st.sampled_from(["open", "say", "chunk", "new", "user"]), st.integers(0, 2), st.text(max_size=5))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with task_log(tmp_path_factory.mktemp("any")) as tasks:
        yield tasks


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(_step, max_size=40), cut=st.integers(0, 60))
def test_any_fold_is_the_same_by_way_of_a_snapshot(shared, steps, cut):
    first, _, _ = shared.open("", "a", user_says("x"))
    lives, topic, context = [first], first.topic, first.context_id
    for what, which, text in steps:
        live = lives[which % len(lives)]
        if what == "open":
            lives.append(shared.open("", "a", user_says(text), context_id=context)[0])
        elif what == "say":
            live.status(WORKING, say(live, text), {"own": text})
        elif what == "user":
            live.note("a2a.message", {"message": user_says(text)})
        else:
            live.artifact(b'"artifactId":"%d",' % which, json.dumps({"text": text}).encode(), append=what == "chunk")
    records = shared.log.scan(topic)
    whole, begun = SessionFold(topic, context), SessionFold(topic, context)
    whole.feed(records)
    begun.feed(records[:cut])
    again = restored(topic, list(written(begun.copy())))
    again.feed(records[cut:])
    assert list(written(again)) == list(written(whole))
