"""The writing side of a task: whoever ends it first wins, events are dense, and what failed to be written never was."""

import asyncio
import contextlib
import json
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagora_lab.a2a.wire import CANCELED, COMPLETED, FAILED, INPUT_REQUIRED, REJECTED, SUBMITTED, WORKING
from nbagora_lab.broker.blobs import CHUNK
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.errors import BodyNotFound, StoreError, TaskEnded
from nbagora_lab.core.events import Flags, RecordType, decode
from nbagora_lab.inspect.directory import DIRECTORY
from nbagora_lab.inspect.fold import LOG_EXTENSION
from task_logs import say, task_log, user_says

ENDS = (COMPLETED, FAILED, CANCELED, REJECTED)


@pytest.fixture
def tasks(tmp_path):
    with task_log(tmp_path) as tasks:
        yield tasks


@pytest.fixture(scope="module")
def shared():
    """One for all examples."""
    with tempfile.TemporaryDirectory(prefix="nbagora-live-") as store, task_log(Path(store)) as tasks:
        yield tasks


@pytest.fixture
def live(tasks):
    live, _, _ = tasks.open("", "agent", user_says("x"), context_id="ctx")
    return live


def events(tasks, live):
    found = [decode(stored, live.topic, offset) for offset, stored in tasks.log.scan(live.topic)]
    return [one for one in found if one.subject == live.id and one.generation]


def test_each_writes_one_record_with_its_flags(tasks, live):
    live.status(WORKING, say(live, "hello"))
    live.artifact(b'"artifactId":"a",', b'{"text":"x"}')
    live.status(INPUT_REQUIRED, say(live, "well?"))
    live.note("task.call", {"agent": "b"})
    live.answer(user_says("yes", contextId="ctx"), claim=False)
    live.status(COMPLETED)
    told = events(tasks, live)
    assert [one.generation for one in told] == [1, 2, 3, 4, 5, 6]
    assert [one.flags & ~Flags.SPLICED for one in told] == [
        Flags.TASK, Flags.NONE, Flags.NONE, Flags.INTERRUPTED, Flags.NONE, Flags.TERMINAL,
    ]  # fmt: skip
    assert (live.ended, live.generation, live.state) == (True, 6, COMPLETED)


def test_what_is_written_with_a_prompt_names_its_version(tasks, live):
    live.status(WORKING)
    live.use_prompt("plan", "0.0.1")
    live.artifact(b'"artifactId":"a",', b'{"text":"x"}')
    live.note("task.call", {"agent": "b"})
    live.use_prompt("plan", "0.0.2")
    live.use_prompt("问候", "1.0.0")
    live.status(COMPLETED, say(live, "done"), {"own": 1})
    records = [decode(stored, live.topic, offset) for offset, stored in tasks.log.scan(live.topic)]
    *_, working, artifact, call, ended = [json.loads(one.body) for one in records if one.subject == live.id]
    assert "prompts" not in working["statusUpdate"]["metadata"][LOG_EXTENSION]
    assert artifact["artifactUpdate"]["metadata"] == {LOG_EXTENSION: {"topic": live.topic, "prompts": ["plan@0.0.1"]}}
    assert call == {"agent": "b", "prompts": ["plan@0.0.1"]}
    assert ended["statusUpdate"]["metadata"] == {
        "own": 1,
        LOG_EXTENSION: {"topic": live.topic, "prompts": ["plan@0.0.2", "问候@1.0.0"]},
    }


def hold(live, text="x"):
    live.artifact(b'"artifactId":"a",', b'{"text":"%b"}' % text.encode(), last=True, hold=True)


def words(tasks, live):
    """Of its events after the opening: the artifact's text, or the state."""
    found = [json.loads(one.body) for one in events(tasks, live)[1:]]
    return [
        one["artifactUpdate"]["artifact"]["parts"][0]["text"] if "artifactUpdate" in one
        else one["statusUpdate"]["status"]["state"]
        for one in found
    ]  # fmt: skip


def test_what_is_held_is_written_in_one_step_with_the_next_word(tasks, live, monkeypatch):
    live.targets = ("push.webhook/a",)
    tasks.log.create_topic("push.webhook", TopicSpec())
    append, batches = tasks.log.append, []
    monkeypatch.setattr(tasks.log, "append", lambda entries: batches.append(entries) or append(entries))
    hold(live, "你好")
    assert not batches
    offset = live.status(COMPLETED)
    assert len(batches) == 1
    assert words(tasks, live) == ["你好", COMPLETED]
    assert [(one.offset, one.generation) for one in events(tasks, live)[1:]] == [(offset - 1, 2), (offset, 3)]
    told = [json.loads(decode(stored, "", at).body) for at, stored in tasks.log.scan("push.webhook/a")]
    assert [one["generation"] for one in told] == [2, 3]
    assert tasks.directory()[live.id].state == COMPLETED


def test_what_is_held_stands_before_an_end_that_somebody_else_makes(tasks, live):
    hold(live)
    ended = threading.Thread(target=live.end_if_open, args=[CANCELED])
    ended.start()
    ended.join()
    assert words(tasks, live) == ["x", CANCELED]
    with pytest.raises(TaskEnded):
        hold(live)


def test_what_is_held_stays_so_until_it_is_written(tasks, live, monkeypatch):
    def fails(entries):
        raise StoreError("no space left")

    hold(live)
    monkeypatch.setattr(tasks.log, "append", fails)
    with pytest.raises(StoreError):
        live.status(COMPLETED)
    monkeypatch.undo()
    assert (words(tasks, live), live.generation, live.ended) == ([], 1, False)
    live.status(FAILED)
    assert words(tasks, live) == ["x", FAILED]


@pytest.mark.parametrize("state", ENDS)
def test_after_the_end_nothing_is_written(tasks, live, state):
    live.status(state)
    before = tasks.log.info(live.topic).next, tasks.log.info(DIRECTORY).next
    for write in (
        lambda: live.status(WORKING),
        lambda: live.status(COMPLETED),
        lambda: live.artifact(b'"artifactId":"a",', b'{"text":"x"}'),
        lambda: live.reply(say(live, "x")),
        lambda: live.answer(user_says("x"), claim=True),
    ):
        with pytest.raises(TaskEnded) as caught:
            write()
        assert state.removeprefix("TASK_STATE_").lower() in caught.value.what.lower()
    assert live.end_if_open(FAILED) is False
    assert (tasks.log.info(live.topic).next, tasks.log.info(DIRECTORY).next) == before
    assert tasks.live(live.id) is None


async def stops(live, how):
    """Has a task stop while somebody waits for that."""
    waiting = asyncio.create_task(live.stop.wait())
    while not live.stop.awaited:
        await asyncio.sleep(0)
    live.status(WORKING)
    live.artifact(b'"artifactId":"a",', b'{"text":"x"}')
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.to_thread(how)
    await asyncio.wait_for(waiting, 20)


@pytest.mark.parametrize("state", [*ENDS, INPUT_REQUIRED, "MESSAGE", "abandoned"])
def test_who_waits_is_told_as_it_stops_and_not_before(tasks, live, state):
    def stop():
        if state == "MESSAGE":
            live.reply(say(live, "hello"))
        elif state == "abandoned":
            live.abandon()
        else:
            live.status(state)

    asyncio.run(stops(live, stop))
    assert live.stop.awaited == 0
    asyncio.run(asyncio.wait_for(live.stop.wait(), 20))  # it is at a stop now


def test_to_wait_holds_up_no_loop_while_an_append_waits(tasks, live):
    async def wait():
        waiting = asyncio.create_task(live.stop.wait())
        await asyncio.sleep(0)
        assert live.stop.awaited == 1  # it got as far as that although the task's lock is held
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    with live._lock:
        asyncio.run(wait())
    assert live.stop.awaited == 0


def test_who_waits_no_longer_is_forgotten(tasks, live):
    async def leave():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(live.stop.wait(), 0.01)

    asyncio.run(leave())
    assert live.stop.awaited == 0
    live.status(COMPLETED)


def test_a_plain_reply_ends_it(tasks, live):
    live.reply(say(live, "hello"))
    [_, reply] = events(tasks, live)
    assert reply.flags == Flags.SPLICED | Flags.MESSAGE | Flags.TERMINAL
    assert tasks.directory()[live.id].state == "MESSAGE"
    assert live.ended


@pytest.mark.parametrize("state", [SUBMITTED, WORKING])
def test_an_answer_that_nobody_asked_for_is_not_written(tasks, live, state):
    if state == WORKING:
        live.status(WORKING)
    before = tasks.log.info(live.topic).next
    assert live.answer(user_says("yes"), claim=False) is None
    assert tasks.log.info(live.topic).next == before


def test_an_answer_is_taken_once(slow, tasks, live):
    live.status(INPUT_REQUIRED, say(live, "well?"))
    start, taken = threading.Barrier(8), []

    def answer(number):
        start.wait(30)
        taken.append(live.answer(user_says(f"yes {number}", contextId="ctx"), claim=False))

    run_all(answer, 8)
    assert sum(one is not None for one in taken) == 1
    assert len(tasks.find("", live.id).history) == 3


@pytest.fixture
def slow(tasks, monkeypatch):
    """A log that lets other threads come in between a writer's decision and its record."""
    append = tasks.log.append
    pause = threading.Event()

    def slowly(entries):
        pause.wait(0.0005)
        return append(entries)

    monkeypatch.setattr(tasks.log, "append", slowly)
    return tasks


def run_all(function, count):
    threads = [threading.Thread(target=function, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_of_all_who_end_it_one_does(slow):
    tasks = slow
    for _ in range(20):
        live, _, _ = tasks.open("", "agent", user_says("x"), context_id="race")
        live.status(WORKING)
        start, won = threading.Barrier(6), []

        def end(number, live=live, start=start, won=won):
            state = ENDS[number % 4]
            start.wait(30)
            if number == 5:
                try:
                    live.reply(say(live, "plain"))
                    won.append("MESSAGE")
                except TaskEnded:
                    pass
            elif live.end_if_open(state):
                won.append(state)

        run_all(end, 6)
        assert len(won) == 1
        ends = [one for one in events(tasks, live) if one.flags & Flags.TERMINAL]
        assert len(ends) == 1
        assert tasks.directory()[live.id].state == won[0]
        assert tasks.find("", live.id).terminal


def test_events_of_many_threads_are_dense(slow, tasks, live):
    start = threading.Barrier(4)

    def write(number):
        start.wait(30)
        for _ in range(20):
            live.status(WORKING)
            live.artifact(b'"artifactId":"%d",' % number, b'{"text":"x"}', append=True)

    run_all(write, 4)
    live.status(COMPLETED)
    told = events(tasks, live)
    assert [one.generation for one in told] == list(range(1, 163))
    assert [one.offset for one in told] == sorted({one.offset for one in told})


@pytest.mark.parametrize("what", ["status", "end", "artifact", "answer", "reply"])
def test_what_could_not_be_written_never_was(tasks, live, monkeypatch, what):
    live.status(INPUT_REQUIRED, say(live, "well?"))
    before = live.state, live.generation, live.ended, tasks.live(live.id)

    def fails(entries):
        raise StoreError("no space left")

    monkeypatch.setattr(tasks.log, "append", fails)
    write = {
        "status": lambda: live.status(WORKING),
        "end": lambda: live.status(COMPLETED),
        "artifact": lambda: live.artifact(b'"artifactId":"a",', b'{"text":"x"}'),
        "answer": lambda: live.answer(user_says("yes", contextId="ctx"), claim=False),
        "reply": lambda: live.reply(say(live, "x")),
    }[what]
    with pytest.raises(StoreError):
        write()
    monkeypatch.undo()
    assert (live.state, live.generation, live.ended, tasks.live(live.id)) == before
    write()
    assert [one.generation for one in events(tasks, live)] == [1, 2, 3]


def test_a_large_note_that_could_not_be_written_leaves_no_body(tasks, live, monkeypatch):
    staged, stage = [], tasks.log.stage

    def noted(pieces):
        staged.append(stage(pieces))
        return staged[-1]

    def full(_entries):
        raise StoreError("no space left", "make some")

    monkeypatch.setattr(tasks.log, "stage", noted)
    with monkeypatch.context() as patch:
        patch.setattr(tasks.log, "append", full)
        with pytest.raises(StoreError):
            live.note("task.log", {"text": "x" * (CHUNK + 1)})
    live.note("task.log", {"text": "y" * (CHUNK + 1)})
    lost, kept = staged
    with pytest.raises(BodyNotFound):
        tasks.log.open_body(lost)
    tasks.log.open_body(kept).close()


def test_the_end_and_the_directory_are_one_batch(tasks, live, monkeypatch):
    batches = []
    append = tasks.log.append
    monkeypatch.setattr(
        tasks.log, "append", lambda entries: batches.append([topic for topic, _ in entries]) or append(entries)
    )
    live.status(COMPLETED)
    assert batches == [[live.topic, DIRECTORY]]


def test_each_event_and_what_webhooks_are_told_of_it_are_one_batch(tasks, live, monkeypatch):
    live.status(INPUT_REQUIRED, say(live, "well?"))
    tasks.log.create_topic("push", TopicSpec())
    live.targets, batches, append = ("push/a", "push/b"), [], tasks.log.append
    monkeypatch.setattr(
        tasks.log, "append", lambda entries: batches.append([topic for topic, _ in entries]) or append(entries)
    )
    live.answer(user_says("yes", contextId="ctx"), claim=False)
    live.status(WORKING)
    told = [live.topic, "push/a", "push/b"]
    assert batches == [[live.topic, *told], told]
    due = [json.loads(decode(stored, "push/a", offset).body) for offset, stored in tasks.log.scan("push/a")]
    assert [one["generation"] for one in due] == [3, 4]


def test_an_answer_to_another_generation_is_not_taken(tasks, live):
    live.status(INPUT_REQUIRED, say(live, "well?"))
    assert live.answer(user_says("yes", contextId="ctx"), claim=False, expected=1) is None
    assert live.answer(user_says("yes", contextId="ctx"), claim=False, expected=2) is not None


@pytest.mark.parametrize("asks", [True, False])
def test_the_directory_says_of_an_ended_task_whether_it_waited_for_somebody(tasks, live, asks):
    if asks:
        live.status(INPUT_REQUIRED, say(live, "well?"))
    live.status(COMPLETED)
    offset, stored = list(tasks.log.scan(DIRECTORY))[-1]
    assert json.loads(decode(stored, DIRECTORY, offset).body).get("asked", False) is asks


steps = st.lists(st.sampled_from(["work", "chunk", "ask", "answer", "note", *ENDS]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_any_history_folds_to_what_the_writer_believes(shared, history):
    live, _, _ = shared.open("", "agent", user_says("x"))
    for number, step in enumerate(history):
        try:
            match step:
                case "work":
                    live.status(WORKING)
                case "chunk":
                    live.artifact(b'"artifactId":"a",', b'{"text":"%d"}' % number, append=True)
                case "ask":
                    live.status(INPUT_REQUIRED, say(live, "well?"))
                case "answer":
                    live.answer(user_says(f"{number}", contextId=live.context_id), claim=False)
                case "note":
                    live.note(RecordType.TASK_LOG, {"stream": "stdout", "text": "x"})
                case end:
                    live.status(end)
        except TaskEnded:
            assert live.ended
        fold = shared.find("", live.id)
        assert (fold.state, fold.generation, fold.terminal) == (live.state, live.generation, live.ended)
        assert shared.directory()[live.id].state == (live.state if live.ended else "")
