"""The lab's life: start, stop, start again, and what it says when it can't."""

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import textwrap
import threading

import httpx
import pytest

from nbagora_lab.async_lab import AsyncLab
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import (
    NotFound,
    NotStarted,
    PortInUse,
    StoreLocked,
    TaskNotFound,
    TimedOut,
    UsageError,
)
from nbagora_lab.core.events import RecordType
from nbagora_lab.lab import Lab


async def echo(message, task):
    """Says it again."""
    yield message.text


def test_a_lab_that_is_started_again_has_its_port_its_token_and_its_sessions(tmp_path):
    with Lab(store=tmp_path) as lab:
        lab.define("echo", echo)
        task = lab.ask("echo", "你好")
        url, token = lab.url, lab.token
    with Lab(store=tmp_path) as lab:
        assert (lab.url, lab.token, lab.epoch) == (url, token, 2)
        again = lab.task(task.id)
        assert (again.text, again.state) == ("你好", "COMPLETED")
        assert [event.raw for event in again.events] == [event.raw for event in task.events]
        with pytest.raises(NotFound, match="no live endpoint"):
            lab.ask("echo", "x")


def test_a_context_goes_on_in_a_fork_of_its_topic(tmp_path):
    with Lab(store=tmp_path) as lab:
        lab.define("echo", echo)
        first = lab.ask("echo", "one")
        end = lab.broker.info(first.topic).next - 1
        lab.ask("echo", "two", context=first)
        lab.broker.fork(first.topic, "sessions/branch", at=end)

        @lab.agent
        async def recalls(message, task):
            yield " / ".join(one.text for one in task.session)

        assert lab.ask("recalls", "three", context="branch").text == "one / one / three"
        assert lab.ask("recalls", "three", context=first).text == "one / one / two / two / three"


def test_what_a_store_holds_is_its_owners_alone(tmp_path):
    with Lab(store=tmp_path) as lab:
        for name in ("keys.json", "lab.json"):
            assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o600
        assert json.loads((tmp_path / "lab.json").read_text()) == {
            "url": lab.url,
            "pid": os.getpid(),
            "token": lab.token,
            "running": True,
        }
    assert json.loads((tmp_path / "lab.json").read_text()) == {"url": lab.url, "running": False}


def test_a_second_process_is_told_who_holds_the_store(tmp_path):
    with Lab(store=tmp_path):
        code = f"from nbagora_lab.lab import Lab; Lab(store={str(tmp_path)!r})"
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        assert f"StoreLocked: the store {tmp_path}/topics is held by process {os.getpid()}" in ended.stderr
        with pytest.raises(StoreLocked, match="this very process"):
            Lab(store=tmp_path)
        assert len(Lab.running_labs()) == 1


def test_a_port_in_use_is_said_and_nothing_is_left_behind(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUse, match=f":{taken.getsockname()[1]}: Address already in use"):
            Lab(store=tmp_path, port=taken.getsockname()[1])
    with Lab(store=tmp_path) as lab:
        assert lab.epoch == 1


def test_a_stopped_lab_says_so_everywhere(tmp_path):
    lab = Lab(store=tmp_path)
    lab.define("echo", echo)
    lab.stop()
    lab.stop()
    for call in (lambda: lab.ask("echo", "x"), lab.agents, lab.tasks, lab.status, lambda: lab.define("a", echo)):
        with pytest.raises(NotStarted):
            call()
    with pytest.raises(NotStarted):
        Lab.current()


def test_ten_starts_and_stops_leave_nothing(tmp_path):
    for round_ in range(10):
        with Lab(store=tmp_path) as lab:
            lab.define("echo", echo)
            assert lab.ask("echo", str(round_)).text == str(round_)


def test_settings_that_do_not_fit_are_all_named(tmp_path):
    with pytest.raises(UsageError, match=r"port.*durability|durability.*port"):
        Lab(store=tmp_path, port=-1, durability="never")
    with pytest.raises(UsageError, match="no setting 'prot'") as failure:
        Lab(store=tmp_path, prot=1)
    assert failure.value.hint == "did you mean 'port'?"


def test_a_virtual_clock_and_a_seed_give_the_same_records_twice(tmp_path):
    def run(store):
        with Lab(store=store, seed=7, clock=VirtualClock()) as lab:
            lab.define("echo", echo)
            task = lab.ask("echo", "你好")
            return [(one.type, one.offset, one.time, one.subject, one.body) for one in lab.broker.read(task.topic)]

    assert run(tmp_path / "a") == run(tmp_path / "b")


def test_a_clock_is_given_by_name_or_itself(tmp_path):
    with Lab(store=tmp_path, clock="virtual") as lab:
        assert isinstance(lab.clock, VirtualClock)
    with pytest.raises(UsageError, match="clock"):
        Lab(store=tmp_path, clock="sundial")


def test_a_plain_reply_names_its_topic(tmp_path):
    with Lab(store=tmp_path) as lab:
        lab.define("echo", echo, reply="message")
        lab.ask("echo", "x")
        assert lab.broker.read(lab.task("last").topic)


def test_the_last_task_is_the_one_that_the_user_asked_for(tmp_path):
    with Lab(store=tmp_path) as lab:
        lab.define("echo", echo)

        @lab.agent
        async def calls(message, task):
            return (await task.call("echo", message)).text

        task = lab.ask("calls", "x")
        assert [one.agent for one in lab.tasks()] == ["echo", "calls"]
        assert lab.task("last").id == task.id
        assert lab.ask("calls", "y", context="last").context_id == task.context_id


def test_tasks_are_found_by_id_part_state_and_last(tmp_path):
    with Lab(store=tmp_path) as lab:
        lab.define("echo", echo)

        @lab.agent
        async def asks(message, task):
            await task.ask("?")

        first, second = lab.ask("echo", "one"), lab.ask("asks", "two")
        assert lab.task("last").id == second.id
        assert lab.task(first.id[-8:]).id == first.id
        assert [task.id for task in lab.tasks()] == [second.id, first.id]
        assert [task.id for task in lab.tasks(state="INPUT_REQUIRED")] == [second.id]
        assert [task.id for task in lab.tasks(agent="echo")] == [first.id]
        with pytest.raises(TaskNotFound, match="part of 2 tasks"):
            lab.task("ctx-")
        with pytest.raises(TaskNotFound, match="no task 'nope'"):
            lab.task("nope")


def test_a_wait_that_runs_out_of_time_leaves_the_task_going(tmp_path):
    release = threading.Event()
    with Lab(store=tmp_path) as lab:

        @lab.agent
        def slow(message, task):
            release.wait(30)
            return "done"

        task = lab.send("slow", "x")
        with pytest.raises(TimedOut, match=r"no answer within 0\.05 s"):
            lab.wait(task, timeout=0.05)
        release.set()
        assert lab.wait(task).text == "done"


def test_prints_go_to_the_tasks_log_and_nowhere_else(tmp_path, capsys):
    before = sys.stdout
    with Lab(store=tmp_path) as lab:

        @lab.agent(name="prints")
        def prints(message, task):
            print("in the agent")
            return "x"

        @lab.agent(name="prints-later")
        async def prints_later(message, task):
            await asyncio.sleep(0)
            print("also", end="")
            yield "x"

        print("in the cell")
        logs = [list(lab.broker.read(lab.ask(agent, "x").topic)) for agent in ("prints", "prints-later")]
        records = [record for log in logs for record in log if record.type == "task.log"]

    assert capsys.readouterr().out == "in the cell\n"
    assert [json.loads(record.body)["text"] for record in records] == ["in the agent", "also"]
    assert sys.stdout is before


@pytest.mark.parametrize("way", ["returns", "answers", "asks", "fails", "rejects", "is cancelled"])
def test_what_is_printed_stands_before_the_word_that_stops_the_task(tmp_path, way):
    begun = threading.Event()
    with Lab(store=tmp_path) as lab:

        @lab.agent(reply="either" if way == "answers" else "task")
        async def prints(message, task):
            print("a line without an end", end="")
            begun.set()
            if way == "is cancelled":
                await asyncio.Event().wait()
            if way == "asks":
                await task.ask("which?")
            if way == "answers":
                return task.message("x")
            if way == "fails":
                raise ValueError("no")
            if way == "rejects":
                raise task.reject("no")
            return "x"

        if way == "is cancelled":
            task = lab.send("prints", "x")
            assert begun.wait(30)
            lab.cancel(task)
        else:
            task = lab.ask("prints", "x", check=False)
        records = list(lab.broker.read(f"sessions/{task.context_id}"))

    stop = max(at for at, record in enumerate(records) if record.type in {RecordType.STATUS, RecordType.MESSAGE})
    logs = [at for at, record in enumerate(records) if record.type == RecordType.TASK_LOG]
    assert logs[-1] < stop
    assert json.loads(records[logs[0]].body)["text"] == "a line without an end"


def test_agents_with_chinese_names(tmp_path):
    with Lab(store=tmp_path) as lab:
        lab.define("天气", echo)
        assert lab.ask("天气", "北京").text == "北京"
        assert lab.card("天气")["name"] == "天气"


def test_a_lease_that_lapsed_is_taken_anew(tmp_path):
    clock = VirtualClock()
    with Lab(store=tmp_path, clock=clock, lease=1000) as lab:
        lab.define("echo", echo)
        clock.advance(2000)  # the machine slept
        assert lab.registry.endpoints("echo") == []
        lab._hosting.renew()
        assert [one.url for one in lab.registry.endpoints("echo")] == [f"{lab.url}/agents/echo"]


def test_stream_gives_each_event_once_and_can_be_left(tmp_path):
    with Lab(store=tmp_path) as lab:

        @lab.agent
        async def counts(message, task):
            for number in range(2000):
                yield f"{number},"

        events = list(lab.stream("counts", "x"))
        assert "".join(event.text for event in events) == "".join(f"{number}," for number in range(2000))
        assert [event.generation for event in events] == list(range(1, len(events) + 1))
        for event in lab.stream("counts", "x"):
            if event.kind == "artifact":
                break
        assert lab.wait("last").state == "COMPLETED"


def test_the_doors_ask_for_the_token_and_health_does_not(tmp_path):
    with Lab(store=tmp_path) as lab:
        assert httpx.get(f"{lab.url}/healthz", timeout=30).json() == {"status": "ok"}
        refused = httpx.get(f"{lab.url}/agents/echo/.well-known/agent-card.json", timeout=30)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"


def test_the_async_face(tmp_path):
    async def main():
        async with AsyncLab(store=tmp_path) as lab:
            await lab.define("echo", echo)
            task = await lab.ask("echo", "你好")
            events = [event.text async for event in lab.stream("echo", "a")]
            return task.text, "".join(events), lab.url

    text, streamed, url = asyncio.run(main())
    assert (text, streamed) == ("你好", "a")
    assert url.startswith("http://127.0.0.1:")


def test_kill_9_loses_nothing_that_was_acknowledged_and_ends_what_ran(tmp_path):
    code = textwrap.dedent(f"""
        import asyncio
        from nbagora_lab.lab import Lab
        lab = Lab(store={str(tmp_path)!r})
        async def echo(message, task):
            yield message.text
        async def hangs(message, task):
            yield "begun"
            await asyncio.sleep(600)
        async def asks(message, task):
            await task.ask("Which day?")
        for name, agent in (("echo", echo), ("hangs", hangs), ("asks", asks)):
            lab.define(name, agent)
        done, waiting = lab.ask("echo", "x"), lab.ask("asks", "x")
        stream = lab.stream("hangs", "x")
        while next(stream).text != "begun":
            pass
        print(done.id, waiting.id, lab.task("last").id, flush=True)
        asyncio.run(asyncio.sleep(600))
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        done, waiting, hanging = child.stdout.readline().split()
        child.kill()
    with Lab(store=tmp_path) as lab:
        assert lab.settled == [hanging]
        assert lab.task(done).text == "x"
        assert lab.task(waiting).question == "Which day?"
        ended = lab.task(hanging)
        assert (ended.state, ended.text) == ("FAILED", "begun")
        assert ended.error == "The process that ran this task ended before the task did."
