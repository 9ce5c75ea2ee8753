"""How agents are run, replaced and ended."""

import asyncio
import contextlib
import threading
import time

import pytest

from nbagora_lab.core.errors import BadAgent, RemoteError


def test_running_the_cell_again_replaces_the_agent_and_running_tasks_end_as_they_began(lab):
    began, release = threading.Event(), threading.Event()

    def old(message, task):
        began.set()
        release.wait(30)
        return "old"

    def new(message, task):
        return "new"

    lab.define("twice", old)
    running = lab.send("twice", "x")
    assert began.wait(20)  # a message that still waits in the inbox would be the new one's
    info = lab.define("twice", new)
    assert lab.ask("twice", "x").text == "new"
    release.set()
    assert lab.wait(running).text == "old"
    assert info.version == "0.0.1"


def test_cancelling_an_async_agent_cancels_its_coroutine(lab):
    began, ended = threading.Event(), threading.Event()

    @lab.agent(name="sleeper")
    async def sleeper(message, task):
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    task = lab.send("sleeper", "x")
    assert began.wait(20)
    assert lab.cancel(task).state == "CANCELED"
    assert ended.wait(20)


def test_an_agent_that_swallows_its_cancellation_is_canceled_all_the_same(lab):
    began, went_on = threading.Event(), threading.Event()

    @lab.agent(name="stubborn")
    async def stubborn(message, task):
        began.set()
        while not went_on.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(1.0)
                went_on.set()
        yield "too late"

    task = lab.send("stubborn", "x")
    assert began.wait(20)
    assert lab.cancel(task).state == "CANCELED"
    assert went_on.wait(20)
    assert lab.wait(task, check=False).text == ""


def test_a_sync_agent_sees_the_cancellation_at_its_next_call(lab):
    begun, stopped = threading.Event(), threading.Event()

    @lab.agent(name="worker")
    def worker(message, task):
        begun.set()
        try:
            while True:
                task.status("at it")
                time.sleep(0.005)
        finally:
            stopped.set()

    task = lab.send("worker", "x")
    assert begun.wait(20)
    assert lab.cancel(task).state == "CANCELED"
    assert stopped.wait(20)


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_an_agent_that_returns_as_it_sees_its_cancellation_is_canceled(lab, kind):
    begun = threading.Event()

    async def heeds(message, task):
        begun.set()
        while not task.cancelled:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.005)
        return "stopped"

    def heeds_sync(message, task):
        begun.set()
        while not task.cancelled:
            time.sleep(0.005)
        return "stopped"

    lab.define(f"heeds-{kind}", heeds if kind == "async" else heeds_sync)
    task = lab.send(f"heeds-{kind}", "x")
    assert begun.wait(20)
    assert lab.cancel(task).state == "CANCELED"


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_an_agent_that_never_ends_and_never_asks_is_stopped(lab, kind):
    begun, stopped = threading.Event(), threading.Event()

    def spin():
        begun.set()
        try:
            while True:
                sum(range(100))
        finally:
            stopped.set()

    async def spins(message, task):
        spin()

    def spins_sync(message, task):
        spin()

    lab.define(f"spins-{kind}", spins if kind == "async" else spins_sync)
    task = lab.send(f"spins-{kind}", "x")
    assert begun.wait(20)
    assert lab.cancel(task).state == "CANCELED"
    assert stopped.wait(20), "its thread is still held"

    @lab.agent(name=f"after-{kind}")
    async def after(message, task):
        yield "still here"

    assert lab.ask(f"after-{kind}", "x").text == "still here"


def test_the_doors_answer_while_an_agent_blocks_its_loop(lab):
    begun, release = threading.Event(), threading.Event()

    @lab.agent(name="blocks")
    async def blocks(message, task):
        begun.set()
        release.wait(30)
        yield "done"

    task = lab.send("blocks", "x")
    assert begun.wait(20)
    assert lab.task(task.id).state == "WORKING"
    assert lab.card("blocks")["name"] == "blocks"
    release.set()
    assert lab.wait(task).text == "done"


@pytest.mark.thorough
def test_a_flood_of_events_arrives_whole_and_other_agents_answer_beside_it(lab):
    @lab.agent(name="flood")
    async def flood(message, task):
        for number in range(5000):
            yield f"{number} "

    @lab.agent(name="beside")
    async def beside(message, task):
        yield "here"

    flooded = lab.send("flood", "x")
    assert lab.ask("beside", "x").text == "here"
    assert lab.wait(flooded).text == "".join(f"{number} " for number in range(5000))


def test_cancelling_a_task_that_has_ended_says_so(lab):
    @lab.agent(name="quick")
    async def quick(message, task):
        yield "x"

    with pytest.raises(RemoteError, match="has ended"):
        lab.cancel(lab.ask("quick", "x"))


def test_a_task_that_waits_for_an_answer_can_be_cancelled(lab):
    @lab.agent(name="waits")
    async def waits(message, task):
        await task.ask("?")

    assert lab.cancel(lab.ask("waits", "x")).state == "CANCELED"

    @lab.agent(name="waits-sync")
    def waits_sync(message, task):
        task.ask("?")

    assert lab.cancel(lab.ask("waits-sync", "x")).state == "CANCELED"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (42, "is a int"),
        (lambda: None, r"takes \(\)"),
        (lambda a, b, c: None, r"takes \(a, b, c\)"),
        (type("Agent", (), {}), "is a type"),
    ],
)
def test_what_can_be_no_agent_says_why(lab, target, said):
    with pytest.raises(BadAgent, match=said):
        lab.define("bad", target)


def test_an_unknown_reply_mode_is_refused(lab):
    with pytest.raises(BadAgent, match="replies with 'yes'"):
        lab.define("bad", lambda message: None, reply="yes")


def test_stopping_the_lab_ends_what_runs_and_leaves_what_waits(tmp_path):
    from nbagora_lab.lab import Lab

    begun = threading.Event()
    with Lab(store=tmp_path) as lab:

        @lab.agent(name="runs")
        async def runs(message, task):
            begun.set()
            await asyncio.sleep(60)

        @lab.agent(name="waits")
        async def waits(message, task):
            await task.ask("?")

        running, waiting = lab.send("runs", "x"), lab.ask("waits", "x")
        assert begun.wait(20)
    with Lab(store=tmp_path) as lab:
        assert lab.settled == []
        assert lab.task(running.id).error == "The lab was stopped while the task ran."
        assert lab.task(waiting.id).state == "INPUT_REQUIRED"


def test_an_agent_that_yields_and_never_awaits_lets_others_answer_and_can_be_cancelled(tmp_path):
    from nbagora_lab.lab import Lab

    with Lab(store=tmp_path) as lab:  # which gives a cancelled agent more time than that of the other tests

        @lab.agent
        async def flood(message, task):
            while True:
                yield "x"

        @lab.agent
        async def echo(message, task):
            return message.text

        busy = lab.send("flood", "go")
        assert lab.ask("echo", "hello", timeout=60).text == "hello"
        assert lab.cancel(busy).state == "CANCELED"
        log = [line.message for line in lab.log()]
        assert not [line for line in log if "flood" in line and "did not end" in line], log[-3:]
