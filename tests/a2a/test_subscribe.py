"""What the stock SDK loses or doubles (missed events, a resubscribe in a burst, a slow reader), on the log."""

import asyncio
import contextlib
import json
import threading

import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import UnsupportedOperationError
from google.protobuf.json_format import ParseDict

from nbagora_lab.a2a.snapshots import EVERY
from nbagora_lab.a2a.wire import COMPLETED, dumps
from nbagora_lab.inspect.fold import LOG_EXTENSION
from task_logs import as_owner, handler_on, task_log, user_says

CHUNKS = 5000


@pytest.fixture
def tasks(tmp_path):
    with task_log(tmp_path) as tasks:
        yield tasks


def opened(tasks):
    """A handler, and a task that works on."""
    handler = handler_on(tasks)
    asked = pb.SendMessageRequest(
        message=ParseDict(user_says("work"), pb.Message()),
        configuration=pb.SendMessageConfiguration(return_immediately=True),
    )
    task = asyncio.run(handler.send_json(asked, as_owner()))["task"]
    return handler, tasks.live(task["id"])


def chunk(live, number):
    live.artifact(b'"artifactId":"a",', b'{"text":%b}' % dumps(f"{number} "), append=number > 0)


async def told(handler, live, cursor="", after_first=None):
    """All that a subscriber is given; `after_first` is called between its first batch and the rest."""
    headers = {"last_event_id": cursor} if cursor else {}
    found = []
    async for batch in handler.subscribe_batches(pb.SubscribeToTaskRequest(id=live.id), as_owner(**headers)):
        found += [(frame.offset, json.loads(frame.body)) for frame in batch]
        if after_first is not None:
            after_first()
            after_first = None
    return found


def words(events):
    """The text that a client which applies each event once ends with."""
    text = ""
    for _, event in events:
        if "task" in event:
            text = "".join(part["text"] for one in event["task"].get("artifacts", []) for part in one["parts"])
        elif "artifactUpdate" in event:
            text += "".join(part["text"] for part in event["artifactUpdate"]["artifact"]["parts"])
    return text


def whole(count):
    return "".join(f"{number} " for number in range(count))


def test_events_that_were_missed_come_again(tasks):
    """E1: the stock SDK skipped 48 of 200 events of a reader that came back."""
    handler, live = opened(tasks)
    for number in range(50):
        chunk(live, number)
    seen = asyncio.run(told_some(handler, live, 20))
    for number in range(50, 200):
        chunk(live, number)
    live.status(COMPLETED)
    rest = asyncio.run(told(handler, live, str(seen[-1][0])))
    assert words(seen + rest) == whole(200)
    offsets = [offset for offset, _ in seen + rest]
    assert offsets == sorted(set(offsets))


async def told_some(handler, live, count):
    request = pb.SubscribeToTaskRequest(id=live.id)
    batches = handler.subscribe_batches(request, as_owner(last_event_id="2"))
    found = []
    async for batch in batches:
        found += [(frame.offset, json.loads(frame.body)) for frame in batch]
        if len(found) >= count:
            break
    await batches.aclose()
    return found[:count]


def test_a_snapshot_in_a_burst_and_what_follows_double_nothing(tasks):
    """E2: the stock SDK doubled chunks in 40 of 40 trials."""
    for _ in range(20):
        handler, live = opened(tasks)

        def burst(live=live):
            for number in range(200):
                chunk(live, number)
            live.status(COMPLETED)

        writer = threading.Thread(target=burst)
        writer.start()
        while live.generation < 50 and writer.is_alive():
            pass
        with contextlib.suppress(UnsupportedOperationError):  # it had ended before: there is nothing to subscribe to
            assert words(asyncio.run(told(handler, live))) == whole(200)
        writer.join()


def test_a_slow_reader_is_given_all(tasks):
    """E3: the stock SDK cut a reader off at 1,024 events, without a word."""
    handler, live = opened(tasks)

    def meanwhile():
        for number in range(CHUNKS):
            chunk(live, number)
        live.status(COMPLETED)

    events = asyncio.run(told(handler, live, after_first=meanwhile))
    assert len(events) == 1 + CHUNKS + 1
    assert words(events) == whole(CHUNKS)


def test_what_a_dead_process_left_at_work_ends(tmp_path):
    """E4: the stock SDK left its subscribers waiting for ever."""
    with task_log(tmp_path / "store") as tasks:
        _, live = opened(tasks)
        chunk(live, 0)
    with task_log(tmp_path / "store") as tasks:
        handler = handler_on(tasks)
        assert tasks.settle() == [live.id]
        *_, (_, last) = asyncio.run(told(handler, live, "2"))
        assert last["statusUpdate"]["status"]["state"] == "TASK_STATE_FAILED"


def trimmed(tasks, monkeypatch, first):
    """The log as an engine gives it whose retention has taken what stands before `first`."""
    scan, info = tasks.log.scan, tasks.log.info

    def kept(topic, *, after=-1, **options):
        return scan(topic, after=max(after, first - 1) if topic.startswith("sessions/") else after, **options)

    monkeypatch.setattr(tasks.log, "scan", kept)
    monkeypatch.setattr(tasks.log, "info", lambda topic: info(topic).model_copy(update={"first": first}))


@pytest.mark.parametrize("ended", [False, True])
def test_a_cursor_older_than_retention_is_told_of_the_gap_and_given_a_snapshot(tasks, monkeypatch, ended):
    handler, live = opened(tasks)
    for number in range(50):
        chunk(live, number)
    asyncio.run(told_some(handler, live, 5))
    if ended:
        live.status(COMPLETED)
        tasks.find("", live.id)
    trimmed(tasks, monkeypatch, 30)

    def meanwhile():
        if not ended:
            chunk(live, 50)
            live.status(COMPLETED)

    events = asyncio.run(told(handler, live, "7", after_first=meanwhile))
    assert events[0][1]["task"]["metadata"][LOG_EXTENSION]["gap"] == {"after": "7", "first": "30"}
    assert words(events) == whole(50 if ended else 51)
    assert events[-1][1].get("statusUpdate", events[0][1].get("task"))["status"]["state"] == COMPLETED
    at_the_edge = asyncio.run(told(handler, live, "29"))
    assert [offset for offset, _ in at_the_edge] == list(range(30, live_end(tasks, live) + 1))
    assert "gap" not in json.dumps(at_the_edge[0][1])


def live_end(tasks, live):
    return tasks.find("", live.id).offset


def test_a_fold_that_starts_above_what_is_missing_says_so(tmp_path, monkeypatch):
    with task_log(tmp_path / "store") as tasks:
        _, live = opened(tasks)
        for number in range(EVERY):
            chunk(live, number)
        assert tasks.snapshots.run_once(live.topic)
        for number in range(EVERY, EVERY + 100):
            chunk(live, number)
        saved = tasks.session("", live.context_id).saved[0]
    with task_log(tmp_path / "store") as tasks:
        trimmed(tasks, monkeypatch, saved + 50)
        place = tasks.task_json("", live.id)["metadata"][LOG_EXTENSION]
        assert place["gap"] == {"after": str(saved), "first": str(saved + 50)}


def test_what_an_engine_stored_twice_is_no_gap(tasks, monkeypatch):
    _, live = opened(tasks)
    for number in range(20):
        chunk(live, number)
    scan, twice = tasks.log.scan, tasks.find("", live.id).offset - 5
    monkeypatch.setattr(tasks.log, "scan", lambda topic, **how: [one for one in scan(topic, **how) if one[0] != twice])
    tasks._folds.clear()
    assert "gap" not in json.dumps(tasks.task_json("", live.id))
