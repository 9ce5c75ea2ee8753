"""Folds over a session topic: the same in whatever pieces it is read, and by the specification's rules."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagora_lab.a2a.wire import COMPLETED, FAILED, INPUT_REQUIRED, WORKING
from nbagora_lab.core.errors import TaskEnded
from nbagora_lab.core.events import Flags, RecordType, encode, head_of
from nbagora_lab.inspect.fold import LOG_EXTENSION, SessionFold, TaskFold, message_key
from task_logs import say, task_log, user_says


@pytest.fixture
def tasks(tmp_path):
    with task_log(tmp_path) as tasks:
        yield tasks


def told(fold):
    """Everything that a session's fold knows."""
    return {
        task.id: (
            task.as_json(), task.state, task.terminal, task.offset, task.opened, task.generation, task.claims,
            task.flags, task.agent, task.reply, task.inherited, task.created, task.updated, task.traceparent,
            task.provisional,
        )
        for task in fold.tasks.values()
    } | {"offset": fold.offset, "messages": fold.messages}  # fmt: skip


STEPS = "open work say chunk new last ask answer note complete fail reply claim stale"
histories = st.lists(st.tuples(st.sampled_from(STEPS.split()), st.integers(0, 2)), min_size=1, max_size=25)


@pytest.fixture(scope="module")
def shared():
    """One for all examples."""
    with tempfile.TemporaryDirectory(prefix="nbagora-fold-") as store, task_log(Path(store)) as tasks:
        yield tasks


def play(tasks, history):
    """Writes a session as several tasks would, each step by the task of that number; gives its topic and records."""
    lives = []
    epoch = tasks.log.epoch
    context = tasks.ids.new("context")
    for number, (step, which) in enumerate(history):
        if step == "open" or not lives:
            said = user_says(f"{number}")
            lives.append(tasks.open("", f"agent{which}", said, context_id=context, provisional=which == 2)[0])
            continue
        live = lives[which % len(lives)]
        try:
            match step:
                case "work":
                    live.status(WORKING, metadata={"step": number})
                case "say":
                    live.status(WORKING, say(live, f"{number}"))
                case "chunk" | "new" | "last":
                    live.artifact(
                        b'"artifactId":"%d",' % which,
                        b'{"text":"%d"}' % number,
                        append=step != "new",
                        last=step == "last",
                        metadata={"chunk": number},
                    )
                case "ask":
                    live.status(INPUT_REQUIRED, say(live, f"{number}?"))
                case "answer":
                    live.answer(user_says(f"{number}!", contextId=context), claim=which == 1)
                case "note":
                    live.note(RecordType.TASK_LOG, {"stream": "stdout", "text": "x"})
                case "complete":
                    live.status(COMPLETED, say(live, "done"))
                case "fail":
                    live.status(FAILED)
                case "reply":
                    live.reply(say(live, "plain"))
                case "claim":
                    tasks.log.append([(live.topic, claim(live, epoch + which))])
                case "stale":
                    body = json.dumps({"statusUpdate": {"status": {"state": FAILED}}}).encode()
                    stale = encode("a2a.status", body, subject=live.id.encode(), epoch=epoch - 1 + which, generation=99)
                    tasks.log.append([(live.topic, stale)])
        except TaskEnded:
            continue
    topic = f"sessions/{context}"
    return topic, tasks.log.scan(topic)


def claim(live, epoch):
    return encode(RecordType.CLAIM, b"{}", subject=live.id.encode(), epoch=epoch, flags=Flags.CLAIM)


@settings(max_examples=80, deadline=None)
@given(histories, st.data())
def test_in_whatever_pieces_it_is_read_it_tells_the_same(shared, history, chosen):
    topic, stored = play(shared, history)
    whole = SessionFold(topic, "ctx")
    whole.feed(stored)
    pieces = SessionFold(topic, "ctx")
    rest = list(stored)
    while rest:
        size = chosen.draw(st.integers(1, len(rest)))
        pieces.feed(rest[:size])
        rest = rest[size:]
        for task in pieces.tasks.values():
            task.as_json()["status"]["state"] = "changed"  # what was given away is the taker's
    assert told(pieces) == told(whole)
    one_by_one = SessionFold(topic, "ctx")
    for one in stored:
        one_by_one.feed([one])
    assert told(one_by_one) == told(whole)


@settings(max_examples=60, deadline=None)
@given(histories)
def test_after_a_claim_no_older_epoch_counts(shared, history):
    topic, stored = play(shared, history)
    fold = SessionFold(topic, "ctx")
    newest = {}
    for offset, record in stored:
        head = head_of(record)
        before = {task.id: task.offset for task in fold.tasks.values()}
        fold.feed([(offset, record)])
        subject = head.subject.decode()
        if head.epoch < newest.get(subject, 0):
            assert fold.tasks[subject].offset == before[subject]
        if head.flags & Flags.CLAIM and head.epoch >= newest.get(subject, 0):
            newest[subject] = head.epoch
    for task in fold.tasks.values():
        assert task.claim_at(fold.offset) == newest[task.id]
        assert task.claim_at(-1) == 0


@settings(max_examples=60, deadline=None)
@given(histories, st.data())
def test_a_fork_inherits_history_and_no_life(shared, history, chosen):
    topic, stored = play(shared, history)
    at = chosen.draw(st.integers(0, len(stored) - 1))
    context = shared.ids.new("context")
    shared.log.fork(topic, f"sessions/{context}", at=at)
    new, _, _ = shared.open("", "agent", user_says("new"), context_id=context)
    new.status(WORKING)
    fork = shared.session("", context)
    origin = SessionFold(topic, "ctx")
    origin.feed(stored[: at + 1])
    assert list(fork.tasks) == [*origin.tasks, new.id]
    for before in origin.tasks.values():
        inherited = fork.tasks[before.id]
        assert inherited.inherited
        assert inherited.terminal
        assert inherited.as_json().get("history") == before.as_json().get("history")
        assert inherited.state == (before.state if before.terminal else "TASK_STATE_CANCELED")
    assert (fork.tasks[new.id].inherited, fork.tasks[new.id].state) == (False, WORKING)


# -- the rules, one by one ---------------------------------------------------------------------------------------------


def fold_of(tasks, live):
    return tasks.find("", live.id).as_json()


def texts(messages):
    return [one["parts"][0]["text"] for one in messages]


def test_what_a_status_said_moves_to_the_history(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    live.status(WORKING, say(live, "one"))
    live.status(WORKING)
    live.status(WORKING, say(live, "two"))
    assert texts(fold_of(tasks, live)["history"]) == ["x", "one"]
    assert texts([fold_of(tasks, live)["status"]["message"]]) == ["two"]


def test_a_question_stands_before_its_answer(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    live.status(INPUT_REQUIRED, say(live, "well?"))
    live.answer(user_says("yes", contextId="ctx"), claim=False)
    task = fold_of(tasks, live)
    assert texts(task["history"]) == ["x", "well?", "yes"]
    assert "message" not in task["status"]


def test_parts_are_appended_or_an_artifact_begins_anew(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    live.artifact(b'"artifactId":"a","name":"n",', b'{"text":"1"}')
    live.artifact(b'"artifactId":"b",', b'{"text":"2"}', append=True)
    live.artifact(b'"artifactId":"a",', b'{"text":"3"},{"data":4}', append=True)
    assert fold_of(tasks, live)["artifacts"] == [
        {"artifactId": "a", "name": "n", "parts": [{"text": "1"}, {"text": "3"}, {"data": 4}]},
        {"artifactId": "b", "parts": [{"text": "2"}]},
    ]
    live.artifact(b'"artifactId":"a",', b'{"text":"5"}')
    assert fold_of(tasks, live)["artifacts"][0] == {"artifactId": "a", "parts": [{"text": "5"}]}


def test_metadata_of_updates_is_merged_without_our_stamp(tasks):
    live, _, _ = tasks.open("", "a", user_says("x", metadata={"mine": 1}), context_id="ctx")
    assert "metadata" not in fold_of(tasks, live)
    live.status(WORKING, metadata={"a": 1, "b": 1})
    live.artifact(b'"artifactId":"a",', b'{"text":"1"}', metadata={"b": 2, LOG_EXTENSION: "forged"})
    assert fold_of(tasks, live)["metadata"] == {"a": 1, "b": 2}
    assert fold_of(tasks, live)["history"][0]["metadata"] == {"mine": 1}


@pytest.mark.parametrize(("length", "kept"), [(None, "xyz"), (0, ""), (1, "z"), (2, "yz"), (9, "xyz")])
def test_so_much_history_as_is_asked_for(tasks, length, kept):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    for text in "yz":
        live.status(WORKING, say(live, text))
    live.status(WORKING)
    task = tasks.find("", live.id).as_json(history=length, artifacts=False)
    assert texts(task.get("history", [])) == list(kept)


def test_what_is_given_away_can_be_changed(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    live.artifact(b'"artifactId":"a",', b'{"text":"1"}')
    live.status(WORKING, say(live, "said"))
    before = json.dumps(fold_of(tasks, live))
    given = fold_of(tasks, live)
    given["artifacts"][0]["parts"].append("x")
    given["history"].append("x")
    given["status"]["message"]["parts"] = []
    assert json.dumps(fold_of(tasks, live)) == before


def test_loading_another_folds_task_goes_on_from_there(tasks):
    live, _, _ = tasks.open("", "a", user_says("x"), context_id="ctx")
    live.artifact(b'"artifactId":"a",', b'{"text":"1"}')
    snapshot = fold_of(tasks, live)
    kept = json.dumps(snapshot)
    fold = TaskFold(live.id, "ctx")
    fold.load(snapshot)
    update = {"artifactUpdate": {"artifact": {"artifactId": "a", "parts": [{"text": "2"}]}, "append": True}}
    fold.apply(RecordType.ARTIFACT, update)
    assert [part["text"] for part in fold.as_json()["artifacts"][0]["parts"]] == ["1", "2"]
    assert json.dumps(snapshot) == kept


def test_an_event_that_was_taken_in_is_not_changed_later():
    """A caller keeps the events that it folds."""
    first = {"artifactUpdate": {"artifact": {"artifactId": "a", "parts": [{"text": "1"}]}}}
    second = {"artifactUpdate": {"artifact": {"artifactId": "a", "parts": [{"text": "2"}]}, "append": True}}
    fold = TaskFold("t", "c")
    fold.apply(RecordType.ARTIFACT, first)
    fold.apply(RecordType.ARTIFACT, second)
    status = {"statusUpdate": {"status": {"state": INPUT_REQUIRED, "message": {"parts": []}}}}
    fold.apply(RecordType.STATUS, status)
    fold.apply(RecordType.MESSAGE, {"message": {"messageId": "m", "parts": []}})
    assert first["artifactUpdate"]["artifact"]["parts"] == [{"text": "1"}]
    assert "message" in status["statusUpdate"]["status"]


def test_the_key_of_a_message():
    message = user_says("x", taskId="t", contextId="c", metadata={LOG_EXTENSION: {"topic": "s"}})
    assert message_key(message) == message_key(user_says("x", metadata={})) == message_key(user_says("x"))
    others = [user_says("y", messageId="m-x"), user_says("x", messageId="n"), user_says("x", metadata={"a": 1})]
    assert len({message_key(one) for one in [message, *others]}) == 4
    assert message_key(user_says("\ud800"))


def test_records_of_nobodys_task_are_passed_over():
    fold = SessionFold("sessions/ctx", "ctx")
    fold.feed([(0, encode("x.y", b"no json")), (1, encode("x.z", b"no json", subject=b"t"))])
    assert fold.offset == 1
    assert fold.tasks["t"].opened == -1
