"""Contexts and tasks on session topics: what opening writes, what folds tell, whose word counts after a claim, and
what a process that died leaves."""

import asyncio
import json
import threading

import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import A2AError, UnsupportedOperationError

from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import CANCELED, COMPLETED, FAILED, INPUT_REQUIRED, SUBMITTED, WORKING, status_body
from nbagora_lab.core.errors import BadName, StoreError, TaskEnded, TaskNotFound, TopicNotFound
from nbagora_lab.core.events import Flags, RecordType, decode, encode
from nbagora_lab.inspect.directory import DIRECTORY, LEVELS
from nbagora_lab.inspect.fold import LOG_EXTENSION, TaskFold
from official import send_request
from task_logs import as_owner, handler_on, say, task_log, user_says


@pytest.fixture
def tasks(tmp_path):
    with task_log(tmp_path) as tasks:
        yield tasks


def records(tasks, topic):
    return [decode(stored, topic, offset) for offset, stored in tasks.log.scan(topic)]


async def first_events(tasks, live, after, count):
    """The first so many events past an offset, as their offset, generation and type."""
    found = []
    reader = tasks.events(live.owner, live.id, after)
    async for batch in reader:
        for offset, head, stored in batch:
            found.append((offset, head.generation, decode(stored, live.topic, offset).type))
        if len(found) >= count:
            break
    await reader.aclose()
    return found


# -- opening -----------------------------------------------------------------------------------------------------------


def test_opening_writes_claim_message_and_task_then_the_directory(tasks):
    live, offset, task = tasks.open("", "weather", user_says("北京"), context_id="ctx")
    told = records(tasks, "sessions/ctx")
    assert [one.type for one in told] == [RecordType.CLAIM, RecordType.MESSAGE, RecordType.TASK]
    assert (offset, told[2].generation, told[2].flags) == (2, 1, Flags.TASK | Flags.SPLICED)
    assert {one.subject for one in told} == {live.id} == {task["id"]}
    assert live.id.startswith("ctx.")
    assert json.loads(told[1].body)["message"]["parts"] == [{"text": "北京"}]
    [entry] = records(tasks, DIRECTORY)
    assert (entry.type, entry.subject, json.loads(entry.body)["topic"]) == ("task.opened", live.id, "sessions/ctx")
    assert task == {key: value for key, value in tasks.task_json("", live.id).items() if key != "metadata"}


def test_a_context_that_has_no_name_gets_one(tasks):
    first, _, _ = tasks.open("", "a", user_says("x"))
    second, _, _ = tasks.open("", "a", user_says("x"))
    assert first.context_id != second.context_id
    assert first.topic == f"sessions/{first.context_id}"


@pytest.mark.parametrize("context", ["a/b", "a\nb", "x" * 600])
def test_a_context_that_can_not_be_a_topic_opens_nothing(tasks, context):
    with pytest.raises(BadName):
        tasks.open("", "a", user_says("x"), context_id=context)
    assert tasks.directory() == {}
    assert tasks._live == {}


def test_a_task_that_could_not_be_written_was_never_there(tasks, monkeypatch):
    def fails(entries):
        raise StoreError("no space left")

    monkeypatch.setattr(tasks.log, "append", fails)
    with pytest.raises(StoreError):
        tasks.open("", "a", user_says("x"), context_id="ctx")
    monkeypatch.undo()
    assert (tasks.directory(), tasks._live) == ({}, {})
    with pytest.raises(TopicNotFound):
        tasks.session("", "ctx")


# -- finding -----------------------------------------------------------------------------------------------------------


def test_a_message_that_a_fork_has_from_before_opens_a_task_of_its_own_there(tasks):
    handler = handler_on(tasks)

    def send(context_id):
        return asyncio.run(handler.on_message_send(send_request(user_says("x", contextId=context_id)), as_owner()))

    first = send("ctx")
    tasks.log.fork("sessions/ctx", "sessions/fork", at=tasks.log.info("sessions/ctx").next - 1)
    own = send("fork")
    assert own.id.startswith("fork.")
    assert send("fork").id == own.id
    assert send("ctx").id == first.id


@pytest.mark.parametrize(
    "task_id", ["", ".", "x", "ctx.", "ctx.none", "none.x", "a/b.c", "..", "\n.x", "x" * 700 + ".y"]
)
def test_no_task_of_that_id(tasks, task_id):
    tasks.open("", "a", user_says("x"), context_id="ctx")
    with pytest.raises(TaskNotFound):
        tasks.find("", task_id)
    with pytest.raises(TaskNotFound):
        tasks.task_json("", task_id)


def test_a_task_as_it_stood(tasks):
    live, opened, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    live.status(WORKING, say(live, "one"))
    live.artifact(b'"artifactId":"a",', b'{"text":"chunk "}')
    middle = tasks.find("", live.id).offset
    tasks.open("", "other", user_says("y"), context_id="ctx")
    live.artifact(b'"artifactId":"a",', b'{"text":"more"}', append=True)
    live.status(COMPLETED)
    past = tasks.task_json("", live.id, at=middle)
    assert past["status"]["state"] == WORKING
    assert past["artifacts"][0]["parts"] == [{"text": "chunk "}]
    assert past["metadata"][LOG_EXTENSION] == {"topic": "sessions/ctx", "offset": str(middle), "generation": "3"}
    assert tasks.task_json("", live.id, at=opened)["status"]["state"] == SUBMITTED
    now = tasks.task_json("", live.id)
    assert (now["status"]["state"], now["artifacts"][0]["parts"][1:]) == (COMPLETED, [{"text": "more"}])
    assert tasks.task_json("", live.id, at=10_000) == now


def test_a_fold_that_was_thrown_away_is_built_again(tasks, monkeypatch):
    monkeypatch.setattr("nbagora_lab.a2a.tasklog._FOLDS", 2)
    made = []
    for number in range(5):
        live, _, _ = tasks.open("", "a", user_says(f"{number}"), context_id=f"c{number}")
        live.status(COMPLETED)
        made.append((live.id, tasks.task_json("", live.id)))
    assert len(tasks._folds) == 2
    assert [tasks.task_json("", task_id) for task_id, _ in made] == [task for _, task in made]


def test_a_context_that_was_removed_begins_anew(tasks):
    """Its topic starts at offset 0 again: what was folded of the former one must not show through."""
    for _ in range(5):
        old, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
        old.status(COMPLETED)
    assert len(tasks.session("", "ctx").tasks) == 5
    tasks.log.expire("sessions/ctx")
    with pytest.raises(TaskNotFound):
        tasks.find("", old.id)
    new, offset, _ = tasks.open("", "a", user_says("y"), context_id="ctx")
    assert offset == 2
    assert list(tasks.session("", "ctx").tasks) == [new.id]
    with pytest.raises(TaskNotFound):
        tasks.find("", old.id)


# -- claims ------------------------------------------------------------------------------------------------------------


def forged(live, epoch, *, state=WORKING, type_=RecordType.STATUS, flags=Flags.SPLICED, generation=9):
    """A record as a process of another epoch would write it."""
    body = (
        b"{}"
        if type_ == RecordType.CLAIM
        else status_body(live._ids, state, "2026-01-01T00:00:00Z", live.topic, None, None)
    )
    return live.topic, encode(
        type_,
        body,
        subject=live.id.encode(),
        source=b"/agents/a",
        epoch=epoch,
        generation=0 if type_ == RecordType.CLAIM else generation,
        flags=Flags.CLAIM if type_ == RecordType.CLAIM else flags,
    )


def test_what_a_former_holder_writes_does_not_count(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    live.status(WORKING)
    epoch = tasks.log.epoch
    tasks.log.append([forged(live, epoch + 1, type_=RecordType.CLAIM)])
    tasks.log.append([forged(live, epoch, state=COMPLETED, flags=Flags.SPLICED | Flags.TERMINAL)])
    [last] = tasks.log.append(
        [forged(live, epoch + 1, state=FAILED, flags=Flags.SPLICED | Flags.TERMINAL, generation=3)]
    )
    assert tasks.find("", live.id).state == FAILED
    for after in range(-1, last):
        seen = asyncio.run(first_events(tasks, live, after, 1))
        assert all(generation != 9 for _, generation, _ in seen)
        assert seen[-1][0] in {2, 3, last}


def test_a_reader_that_begins_past_the_claim_knows_it(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    epoch = tasks.log.epoch
    [claim] = tasks.log.append([forged(live, epoch + 1, type_=RecordType.CLAIM)])
    tasks.log.append([forged(live, epoch)])
    [good] = tasks.log.append([forged(live, epoch + 1, generation=2)])
    assert asyncio.run(first_events(tasks, live, claim, 1)) == [(good, 2, RecordType.STATUS)]


def test_a_claim_is_of_its_task_alone(tasks):
    one, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    two, _, _ = tasks.open("", "a", user_says("y"), context_id="ctx")
    tasks.log.append([forged(one, tasks.log.epoch + 1, type_=RecordType.CLAIM)])
    two.status(COMPLETED)
    one.status(COMPLETED)
    assert tasks.find("", two.id).state == COMPLETED
    assert tasks.find("", one.id).state == SUBMITTED


# -- reading on --------------------------------------------------------------------------------------------------------


def test_events_are_of_one_task_and_wake_on_a_write(tasks):
    live, opened, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    other, _, _ = tasks.open("", "b", user_says("y"), context_id="ctx")

    async def main():
        reader = tasks.events("", live.id, opened)
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        writes = threading.Thread(
            target=lambda: [other.status(COMPLETED), live.note("task.log", {}), live.status(COMPLETED)]
        )
        writes.start()
        [(offset, head, _)] = await waiting
        await reader.aclose()
        writes.join()
        return offset, head.flags

    offset, flags = asyncio.run(main())
    assert flags & Flags.TERMINAL
    assert len(tasks.log._watches) == 0
    assert offset == tasks.find("", live.id).offset


# -- restart -----------------------------------------------------------------------------------------------------------


def test_settle_ends_what_worked_and_leaves_the_rest(tmp_path):
    with task_log(tmp_path) as tasks:
        made = {}
        for state in ("submitted", "working", "asking", "answered", "done"):
            live, _, _ = tasks.open("", "a", user_says(state), context_id=f"c-{state}")
            made[state] = live.id
            if state != "submitted":
                live.status(WORKING)
            if state in {"asking", "answered"}:
                live.status(INPUT_REQUIRED, say(live, "well?"))
            if state == "answered":
                live.answer(user_says("yes", contextId=live.context_id), claim=False)
            if state == "done":
                live.status(COMPLETED)
    with task_log(tmp_path) as tasks:
        before = {state: tasks.log.info(f"sessions/c-{state}").next for state in made}
        assert tasks.settle() == [made["working"]]
        states = {state: tasks.find("", task_id).state for state, task_id in made.items()}
        assert states == {
            "submitted": SUBMITTED,
            "working": FAILED,
            "asking": INPUT_REQUIRED,
            "answered": SUBMITTED,
            "done": COMPLETED,
        }
        told = records(tasks, "sessions/c-working")[-2:]
        assert [(one.type, one.epoch, one.generation) for one in told] == [("task.claim", 2, 0), ("a2a.status", 2, 3)]
        assert (
            "ended before the task did"
            in json.loads(told[1].body)["statusUpdate"]["status"]["message"]["parts"][0]["text"]
        )
        untouched = {state: tasks.log.info(f"sessions/c-{state}").next for state in made if state != "working"}
        assert untouched.items() <= before.items()
        assert tasks.directory()[made["working"]].state == FAILED
        assert tasks.settle() == []
        assert tasks._live == {}
    with task_log(tmp_path) as tasks:
        assert tasks.settle() == []


def test_settle_leaves_what_this_process_runs(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    live.status(WORKING)
    assert tasks.settle() == []
    live.status(COMPLETED)
    assert tasks.find("", live.id).state == COMPLETED


def test_a_revived_task_has_no_more_time_than_it_was_given(tmp_path):
    with task_log(tmp_path / "store") as tasks:
        given = tasks.open("", "a", user_says("x"), context_id="ctx", until=1e10, levels=3)[0].id
        free = tasks.open("", "a", user_says("y"), context_id="ctx")[0].id
    with task_log(tmp_path / "store") as tasks:
        revived = [tasks.revive(tasks.directory()[one], tasks.find("", one)) for one in (given, free)]
        assert [(one.until, one.levels) for one in revived] == [(1e10, 3), (None, LEVELS)]


def test_a_task_that_a_fork_has_from_before_is_none_of_its_own(tasks):
    """Not even where the fork bears the name of the context that it was forked from."""
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    live.status(COMPLETED)
    tasks.log.fork("sessions/ctx", "sessions/kept", at=tasks.log.info("sessions/ctx").next - 1)
    tasks.log.expire("sessions/ctx")
    tasks.log.fork("sessions/kept", "sessions/ctx", at=tasks.log.info("sessions/kept").next - 1)
    assert tasks.session("", "ctx").tasks[live.id].inherited
    with pytest.raises(TaskNotFound):
        tasks.find("", live.id)


def test_settle_passes_over_a_session_that_is_gone(tmp_path):
    with task_log(tmp_path) as tasks:
        for context in ("gone", "there"):
            live, _, _ = tasks.open("", "a", user_says("x"), context_id=context)
            live.status(WORKING)
        tasks.log.expire("sessions/gone")
    with task_log(tmp_path) as tasks:
        assert tasks.settle() == [live.id]


def test_a_revived_task_goes_on_where_it_was(tmp_path):
    with task_log(tmp_path) as tasks:
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        live, _, _ = tasks.open("bob", "a", user_says("x"), context_id="ctx", traceparent=trace)
        live.status(WORKING)
        live.status(INPUT_REQUIRED, say(live, "well?"))
    with task_log(tmp_path) as tasks:
        fold = tasks.find("bob", live.id)
        again = tasks.revive(tasks.directory()[live.id], fold)
        assert tasks.revive(tasks.directory()[live.id], fold) is again is tasks.live(live.id)
        assert (again.generation, again.state, again.owner, again.traceparent) == (
            3, INPUT_REQUIRED, "bob", trace,
        )  # fmt: skip
        offset = again.answer(user_says("yes", contextId="ctx"), claim=True)
        assert [one.type for one in records(tasks, again.topic)[-3:]] == ["task.claim", "a2a.message", "a2a.status"]
        again.status(COMPLETED)
        assert tasks.live(live.id) is None
        assert asyncio.run(first_events(tasks, live, offset - 1, 2)) == [
            (offset, 4, "a2a.status"),
            (offset + 1, 5, "a2a.status"),
        ]


# -- what others must not see ------------------------------------------------------------------------------------------


def test_a_subscriber_never_waits_for_an_end_that_its_snapshot_holds(tasks):
    """Another thread folds the end between two looks at the task."""
    from task_logs import as_owner, handler_on

    live, _, _ = tasks.open("", "agent", user_says("work"), context_id="ctx")
    live.status(WORKING)
    handler = handler_on(tasks)
    looked = TaskFold.terminal.fget
    ended = []

    def terminal(fold):
        answer = looked(fold)
        if not ended:
            ending = threading.Thread(target=lambda: (live.status(COMPLETED), tasks.find("", live.id)))
            ended.append(ending)
            ending.start()
            ending.join(0.2)  # held off, or done
        return answer

    async def main():
        stream = handler.subscribe_batches(pb.SubscribeToTaskRequest(id=live.id), as_owner())
        return [frame.body async for batch in stream for frame in batch]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskFold, "terminal", property(terminal))
        try:
            found = asyncio.run(asyncio.wait_for(main(), 10))
        except UnsupportedOperationError:
            found = [b"COMPLETED"]  # it saw the end
    ended[0].join(20)
    assert b"COMPLETED" in found[-1]


@pytest.mark.parametrize("operation", ["cancel", "answer"])
def test_a_task_that_ends_between_two_looks_is_not_taken_over(tasks, operation):

    live, _, _ = tasks.open("", "agent", user_says("ask"), context_id="ctx")
    live.status(WORKING)
    live.status(INPUT_REQUIRED, say(live, "well?"))
    handler = handler_on(tasks)
    find = handler._find

    def finds_then_it_ends(owner, task_id):
        fold = find(owner, task_id)
        live.end_if_open(COMPLETED)
        return fold

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handler, "_find", finds_then_it_ends)
        call = {
            "cancel": lambda: handler.on_cancel_task(pb.CancelTaskRequest(id=live.id), as_owner()),
            "answer": lambda: handler.on_message_send(send_request(user_says("yes", taskId=live.id)), as_owner()),
        }[operation]
        with pytest.raises(A2AError):
            asyncio.run(call())
    ends = [one for one in records(tasks, live.topic) if one.flags & Flags.TERMINAL]
    assert len(ends) == 1
    assert tasks.find("", live.id).state == COMPLETED
    assert tasks.directory()[live.id].state == COMPLETED


def test_two_labs_on_one_log_never_share_a_live_task(tmp_path):
    with task_log(tmp_path) as tasks:
        live, _, _ = tasks.open("", "a", user_says("x"))
        other = TaskLog(tasks.log, tasks.clock, tasks.ids)
        assert other.live(live.id) is None
        assert other.find("", live.id).state == SUBMITTED
        live.status(CANCELED)
        with pytest.raises(TaskEnded):
            live.status(WORKING)


def test_a_context_called_as_the_topic_of_topics_lives_has_one_of_its_own(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="_events")
    live.status(COMPLETED)
    assert live.topic == "sessions/:_events"
    assert {one.type for one in records(tasks, "sessions/_events")} == {"topic.opened"}
    assert tasks.find("", live.id).state == COMPLETED
