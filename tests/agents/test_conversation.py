"""Questions, answers, calls to other agents, history: what an agent's function knows and asks."""

import threading

import pytest

from nbagora_lab.core.errors import TaskFailed, UsageError
from nbagora_lab.core.events import Flags


def test_an_async_agent_asks_and_goes_on(lab):
    @lab.agent(name="asks")
    async def asks(message, task):
        day = await task.ask("Which day?")
        yield f"{message.text} on {day.text}"

    task = lab.ask("asks", "Rome")
    assert (task.state, task.question) == ("INPUT_REQUIRED", "Which day?")

    done = lab.answer(task, "Friday")
    assert (done.id, done.state, done.text) == (task.id, "COMPLETED", "Rome on Friday")
    history = [message["parts"][0]["text"] for message in done.raw["history"]]
    assert history == ["Rome", "Which day?", "Friday"]


def test_a_sync_agent_asks_and_goes_on(lab):
    @lab.agent(name="asks-sync")
    def asks_sync(message, task):
        first = task.ask("First?").text
        second = task.authorize("Second?").text
        return first + second

    task = lab.ask("asks-sync", "x")
    task = lab.answer(task, "a")
    assert (task.state, task.question) == ("AUTH_REQUIRED", "Second?")
    assert lab.answer(task, "b").text == "ab"


def test_a_question_times_out_in_the_function(lab):
    @lab.agent(name="impatient")
    async def impatient(message, task):
        try:
            await task.ask("Hello?", timeout=0.01)
        except TimeoutError:
            yield "nobody there"

    task = lab.ask("impatient", "x")
    for record in lab.broker.tail(task.topic, after=-1, timeout=30):
        if record.flags & Flags.TERMINAL:
            break
    assert lab.task(task.id).text == "nobody there"


def test_a_message_to_a_working_task_is_refused(lab):
    release = threading.Event()

    @lab.agent(name="busy")
    def busy(message, task):
        release.wait(30)
        return "done"

    task = lab.send("busy", "x")
    try:
        with pytest.raises(Exception, match="is at work"):
            lab.answer(task, "y")
    finally:
        release.set()
    assert lab.wait(task).text == "done"


def test_agents_call_each_other_in_a_child_context_and_one_trace(lab):
    @lab.agent(name="hotels")
    async def hotels(message, task):
        yield f"The Jade in {message.text}"

    @lab.agent(name="trip")
    async def trip(message, task):
        hotel = await task.call("hotels", message.text)
        yield f"Stay at {hotel.text}"

    task = lab.ask("trip", "北京")

    assert task.text == "Stay at The Jade in 北京"
    [called] = lab.tasks(agent="hotels")
    assert called.context_id != task.context_id
    records = lab.broker.read(task.topic)
    assert [record.type for record in records if record.type.startswith("task.")] == [
        "task.claim",
        "task.call",
        "task.return",
    ]
    traces = {record.traceparent.split("-")[1] for record in records + lab.broker.read(called.topic)}
    assert len(traces) == 1


def test_a_failed_call_raises_in_the_caller(lab):
    @lab.agent(name="broken")
    async def broken(message, task):
        raise task.fail("closed")

    @lab.agent(name="caller")
    async def caller(message, task):
        try:
            await task.call("broken", "x")
        except TaskFailed as failure:
            yield f"sorry: {failure.task.error}"

    @lab.agent(name="caller-of-nobody")
    async def caller_of_nobody(message, task):
        await task.call("brokne", "x")

    assert lab.ask("caller", "x").text == "sorry: closed"
    assert "no agent 'brokne'" in lab.ask("caller-of-nobody", "x", check=False).error


def test_history_is_the_tasks_and_session_the_contexts(lab):
    seen = {}

    @lab.agent(name="remembers")
    async def remembers(message, task):
        seen["history"] = [one.text for one in task.history]
        seen["session"] = [(one.role, one.text) for one in task.session]
        yield f"got {message.text}"

    first = lab.ask("remembers", "one")
    lab.ask("remembers", "two", context=first)

    assert seen["history"] == ["two"]
    assert seen["session"] == [("user", "one"), ("agent", "got one"), ("user", "two")]
    assert lab.ask("remembers", "three", context="last").context_id == first.context_id


def test_an_answer_after_a_restart_calls_the_function_anew_with_the_whole_history(tmp_path):
    from nbagora_lab.lab import Lab

    def define(lab, seen):
        @lab.agent(name="long")
        async def long(message, task):
            seen.append((task.restarted, [one.text for one in task.history], message.text))
            if not task.restarted:
                await task.ask("Which day?")
            yield f"restarted with {message.text}"

    before, after = [], []
    with Lab(store=tmp_path) as lab:
        define(lab, before)
        task = lab.ask("long", "Rome")
    with Lab(store=tmp_path) as lab:
        assert lab.task(task.id).state == "INPUT_REQUIRED"
        define(lab, after)
        assert lab.answer(task.id, "Friday").text == "restarted with Friday"
    assert before == [(False, ["Rome"], "Rome")]
    assert after == [(True, ["Rome", "Which day?", "Friday"], "Friday")]


def test_empty_messages_are_refused_before_they_are_sent(lab):
    with pytest.raises(UsageError, match="empty message"):
        lab.ask("hotels", "")


def test_messages_carry_data_and_files(lab, tmp_path):
    (tmp_path / "a.txt").write_text("hello")

    @lab.agent(name="receives")
    async def receives(message, task):
        [file] = message.files
        yield f"{message.text}|{message.data}|{file.name}|{file.content.decode()}"

    assert lab.ask("receives", ["hi", {"n": 1}, tmp_path / "a.txt"]).text == "hi|[{'n': 1}]|a.txt|hello"
