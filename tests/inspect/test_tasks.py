"""The snapshots of tasks: newest first, filtered, cut at a limit, with one task's events."""

import pytest

from nbagora_lab.a2a.wire import COMPLETED, FAILED, INPUT_REQUIRED, WORKING, status_body
from nbagora_lab.core.events import Flags, RecordType, encode
from nbagora_lab.inspect.model import EVENTS
from nbagora_lab.inspect.tasks import TaskInspector
from task_logs import say, task_log, user_says


@pytest.fixture
def tasks(tmp_path):
    with task_log(tmp_path) as tasks:
        yield tasks


@pytest.fixture
def look(tasks):
    inspector = TaskInspector(tasks, tasks.log, "http://127.0.0.1:1")

    def look(selected=None, agent=None, state=None, limit=100):
        return inspector.snapshot(selected=selected, agent=agent, state=state, limit=limit)

    look.inspector = inspector
    return look


def begin(tasks, agent="a", text="x", **fields):
    live, _, _ = tasks.open("", agent, user_says(text), **fields)
    live.status(WORKING)
    return live


def test_rows_tell_what_the_tasks_say(tasks, look):
    done, asks, fails, plain, waits = (begin(tasks, text=text) for text in "dafpw")
    done.artifact(b'"artifactId":"a",', b'{"text":"the "}')
    done.artifact(b'"artifactId":"a",', b'{"text":"answer"}', append=True)
    done.artifact(b'"artifactId":"b",', b'{"data":{"n":1}}')
    done.status(COMPLETED, say(done, "said"))
    asks.status(INPUT_REQUIRED, say(asks, "which?"))
    fails.status(FAILED, say(fails, "no"))
    plain.reply(say(plain, "hello"))
    rows = {row.id: row for row in look().rows}
    assert list(rows) == [one.id for one in (waits, plain, fails, asks, done)]
    assert [(row.state, row.text, row.question) for row in rows.values()] == [
        ("WORKING", "", ""),
        ("COMPLETED", "hello", ""),
        ("FAILED", "no", ""),
        ("INPUT_REQUIRED", "which?", "which?"),
        ("COMPLETED", 'the answer{"n": 1}', ""),
    ]
    assert rows[done.id].events == 6
    assert rows[done.id].context_id == done.context_id


def test_files_and_links_are_named(tasks, look):
    live = begin(tasks)
    live.artifact(
        b'"artifactId":"a",', b'{"raw":"AA==","filename":"f.bin"},{"url":"http://x","mediaType":"text/csv"},{"raw":""}'
    )
    [row] = look().rows
    assert row.text == "[f.bin][text/csv][file]"


def test_filters_and_limits_tell_how_many_there_are(tasks, look):
    made = [begin(tasks, agent="ab"[number % 2]) for number in range(10)]
    for live in made[:4]:
        live.status(COMPLETED)
    assert (look(agent="a").total, {row.agent for row in look(agent="a").rows}) == (5, {"a"})
    assert (look(state="COMPLETED").total, len(look(state="COMPLETED").rows)) == (4, 4)
    assert look(state="WORKING").total == 6
    assert look(state="FAILED").total == look(agent="none").total == 0
    few = look(limit=3)
    assert (few.total, [row.id for row in few.rows]) == (10, [one.id for one in made[:-4:-1]])
    assert look(state="WORKING", agent="b", limit=1).total == 3
    assert look(limit=0).rows == ()


def test_the_selected_task_has_its_events(tasks, look):
    live = begin(tasks, text="北京")
    begin(tasks, text="other", context_id=live.context_id)
    live.note(RecordType.TASK_LOG, {"stream": "stdout", "text": "printed"})
    live.note(RecordType.CALL, {"agent": "b", "context": "c"})
    live.artifact(b'"artifactId":"a",', b'{"text":"x"}')
    live.status(COMPLETED, say(live, "done"))
    detail = look(selected=live.id).selected
    assert (detail.row.id, detail.topic, detail.skipped) == (live.id, live.topic, 0)
    assert [(one.kind, one.state, one.text, one.generation) for one in detail.events] == [
        ("message", "", "北京", 0),
        ("task", "SUBMITTED", "", 1),
        ("status", "WORKING", "", 2),
        ("task.log", "", "stdout: printed", 0),
        ("task.call", "", "agent b, context c", 0),
        ("artifact", "", "x", 3),
        ("status", "COMPLETED", "done", 4),
    ]
    offsets = [one.offset for one in detail.events]
    assert offsets == sorted(set(offsets))
    assert look(selected="none").selected is None


def test_only_the_newest_events_are_kept(tasks, look):
    live = begin(tasks)
    for number in range(EVENTS + 7):
        live.artifact(b'"artifactId":"a",', b'{"text":"%d"}' % number, append=True)
    detail = look(selected=live.id).selected
    assert (len(detail.events), detail.skipped) == (EVENTS, 10)
    assert detail.events[-1].text == str(EVENTS + 6)


def test_a_row_is_up_to_date_until_it_ends_and_costs_nothing_after(tasks, look, monkeypatch):
    live = begin(tasks)
    assert look().rows[0].state == "WORKING"
    live.status(WORKING, say(live, "more"))
    assert look().rows[0].text == "more"
    live.status(COMPLETED)
    assert look().rows[0].state == "COMPLETED"
    monkeypatch.setattr(tasks, "session", None)
    assert look().rows[0].state == "COMPLETED"


def test_tasks_whose_session_is_gone_are_passed_over(tasks, look):
    begin(tasks, context_id="gone")
    kept = begin(tasks, context_id="kept")
    tasks.log.expire("sessions/gone")
    assert [row.id for row in look().rows] == [kept.id]
    again = begin(tasks, context_id="gone")
    assert [row.id for row in look().rows] == [again.id, kept.id]


def test_a_former_holders_records_are_not_shown(tasks, look):
    live = begin(tasks, context_id="ctx")
    epoch = tasks.log.epoch
    subject = live.id.encode()
    body = status_body(live._ids, FAILED, "2026-01-01T00:00:00Z", live.topic, None, None)
    claim = encode(RecordType.CLAIM, b"{}", subject=subject, epoch=epoch + 1, flags=Flags.CLAIM)
    stale = encode(RecordType.STATUS, body, subject=subject, epoch=epoch, generation=3, flags=Flags.SPLICED)
    tasks.log.append([(live.topic, claim), (live.topic, stale)])
    shot = look(selected=live.id)
    assert shot.rows[0].state == "WORKING"
    assert [one.state for one in shot.selected.events] == ["", "SUBMITTED", "WORKING"]


def test_the_version_changes_with_every_write(tasks, look):
    versions = [look.inspector.version()]
    live = begin(tasks)
    versions.append(look.inspector.version())
    live.status(COMPLETED)
    versions.append(look.inspector.version())
    assert versions == sorted(set(versions))
    assert look.inspector.version() == versions[-1]
    assert look().seq == versions[-1]
