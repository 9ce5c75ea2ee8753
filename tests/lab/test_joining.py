"""Labs that are together: one has the topics and the registry, others joined it, each in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab_process import LabProcess
from nbagora_lab.core import link
from nbagora_lab.core.errors import (
    EndpointNotFound,
    LabError,
    NotStarted,
    StoreClosed,
    TaskFailed,
    Unauthorized,
    Unreachable,
)
from nbagora_lab.joining import find_lab
from nbagora_lab.lab import Lab
from waiting import until

REASON = "The process that ran this task ended before the task did."


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(store=tmp_path / "store") as lab:

        @lab.agent
        async def near(message: Any) -> str:
            """Says it loudly."""
            return str(message.text).upper()

        yield lab


def test_two_processes_have_one_set_of_agents_tasks_topics_and_versions(lab: Lab) -> None:
    with LabProcess(lab.store, joins=True) as guest:
        assert {info.name: info.url.startswith(guest.url) for info in lab.agents()} == {
            "asker": True, "far": True, "near": False, "slow": True,
        }  # fmt: skip
        assert lab.ask("far", "北京").text == "北京"
        assert lab.ask("far", "near: hello").text == "HELLO"  # from here to there, and back here
        assert [(task.agent, task.state) for task in lab.tasks()] == [
            ("near", "COMPLETED"), ("far", "COMPLETED"), ("far", "COMPLETED"),
        ]  # fmt: skip
        asked = lab.ask("asker", "?")
        assert asked.state == "INPUT_REQUIRED"
        assert lab.answer(asked, "so").text == "told so"
        assert lab.cancel(lab.send("slow", "one")).state == "CANCELED"
        assert {version.name for version in lab.registry.ls()} == {"asker", "far", "near", "slow"}
        assert lab.status().guests == (guest.url,)
    until(lambda: not lab.registry.endpoints("far"))
    with pytest.raises(EndpointNotFound):
        lab.ask("far", "gone")
    assert lab.ask("near", "still here").text == "STILL HERE"
    assert [info.name for info in lab.agents()] == ["near"]


def test_what_a_process_that_joined_leaves_behind_when_it_is_killed_is_ended(lab: Lab) -> None:
    with LabProcess(lab.store, joins=True) as guest:
        working, asking = lab.send("slow", "one"), lab.ask("asker", "?")
        until(lambda: lab.task(working.id).text == "one")
        failures: list[LabError] = []

        def wait() -> None:
            try:
                lab.wait(working, timeout=60)
            except LabError as error:
                failures.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        guest.kill()
        waiting.join(40)
        assert not waiting.is_alive()  # told by the log, long before the connection would be given up
        until(lambda: lab.task(working.id).state == "FAILED")
        assert lab.task(working.id).error == REASON
        assert len(failures) == 1
        assert lab.task(asking.id).state == "INPUT_REQUIRED"
        assert lab.registry.endpoints("far") == []
    with LabProcess(lab.store, joins=True):
        assert lab.answer(asking, "later").question == "What?"  # its function is called anew
        assert lab.answer(asking, "now").text == "told now"


def test_calls_under_way_as_a_lab_leaves_say_that_it_left(lab: Lab) -> None:
    for _ in range(5):
        with Lab(join=str(lab.store)) as guest:
            log, told = guest.broker.log, []

            def ask() -> None:
                try:
                    while True:
                        log.scan("sessions/none", limit=1)  # noqa: B023 -- joined below, in the same round
                except LabError as error:
                    told.append(error)  # noqa: B023

            asking = [threading.Thread(target=ask) for _ in range(4)]
            for thread in asking:
                thread.start()
        for thread in asking:
            thread.join(20)
        assert [type(error) for error in told] == [StoreClosed] * 4


def test_the_death_of_the_lab_that_has_the_topics_is_told_at_once_and_its_return_as_well(tmp_path: Path) -> None:
    with LabProcess(tmp_path) as owner, Lab(join=str(tmp_path)) as lab:

        @lab.agent
        async def here(message: Any, task: Any) -> Any:
            yield message.text
            if message.text == "stay":
                await task.ask("For how long?")

        assert lab.joined == owner.url
        assert lab.ask("echo", "before").text == "before"
        staying = lab.ask("here", "stay")
        lab.broker.create_topic("chat")
        told: list[BaseException] = []
        seen: list[bytes] = []

        def tail(topic: str) -> None:
            try:
                records = lab.broker.tail_many(topic) if "*" in topic else lab.broker.tail(topic)
                seen.extend(record.body for record in records)
            except LabError as error:
                told.append(error)

        tails = [threading.Thread(target=tail, args=(topic,)) for topic in ("chat/s", "chat/*")]
        for thread in tails:
            thread.start()
        until(lambda: lab.broker.send("chat/s", b"one") and len(seen) > 1)
        owner.kill()
        for thread in tails:
            thread.join(20)
        assert [type(error) for error in told] == [Unreachable] * 2
        with pytest.raises(Unreachable, match=r"does not answer\nstart it again where it ran"):
            lab.broker.topics()
        with pytest.raises(LabError):
            lab.ask("echo", "nobody")
        owner.restart()
        assert (owner.epoch, owner.url) == (2, lab.joined)
        until(lambda: _answers(lab))
        assert lab.epoch == 1
        assert lab.broker.log.epoch == 2
        assert lab.ask("echo", "after").text == "after"
        assert until(lambda: _says(lab, "here", "again")) == "again"
        assert lab.answer(staying, "a day").state == "COMPLETED"


@pytest.mark.timeout(90)
def test_a_call_under_way_at_a_lab_that_hangs_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one on the connection that hello was said on, which is the line's only if that comes first."""
    follow = link.Link._follow

    def follow_behind_a_call(self: link.Link, *, woken: bool) -> None:
        pool = self._http._transport._pool  # type: ignore[attr-defined]
        until(lambda: not all(connection.is_idle() for connection in pool.connections))
        follow(self, woken=woken)

    monkeypatch.setattr(link, "_ANSWER", 3600.0)
    monkeypatch.setattr(link.Link, "_follow", follow_behind_a_call)
    with LabProcess(tmp_path) as owner, Lab(join=str(tmp_path)) as lab:
        lab.broker.create_topic("chat")
        owner.pause()
        try:
            with pytest.raises(Unreachable, match="in the middle of a call"):
                lab.broker.send("chat/s", b"one")
            with pytest.raises(Unreachable, match="does not answer"):
                lab.broker.send("chat/s", b"two")
        finally:
            owner.resume()
        until(lambda: _answers(lab))
        assert lab.broker.send("chat/s", b"three").topic == "chat/s"


def _answers(lab: Lab) -> bool:
    try:
        return bool(lab.broker.topics())
    except Unreachable:
        return False


def _says(lab: Lab, agent: str, text: str) -> str:
    try:
        return lab.ask(agent, text).text
    except EndpointNotFound:  # its lease ran out meanwhile, and is about to be taken anew
        return ""


def test_a_lab_that_starts_on_a_store_that_another_process_has_joins_it(tmp_path: Path) -> None:
    with LabProcess(tmp_path) as owner, Lab.start(store=tmp_path) as lab:
        assert lab.joined == owner.url
        assert lab.store == tmp_path
        assert lab.ask("echo", "hello").text == "hello"


def test_a_large_body_goes_both_ways(lab: Lab) -> None:
    lab.broker.create_topic("files")
    body = bytes(range(256)) * (3 << 12)
    with Lab(join=lab.url, token=lab.token) as other:
        other.broker.send("files/a", body)
        [record] = lab.broker.read("files/a")
        assert lab.broker.body(record) == body
        [record] = other.broker.read("files/a")
        with other.broker.open(record) as file:
            file.seek(len(body) - 300)
            assert file.read() == body[-300:]
        assert other.broker.body(record) == body


@pytest.mark.parametrize(
    ("join", "token", "error", "says"),
    [
        ("nowhere", None, NotStarted, "no lab runs on nowhere"),
        ("http://127.0.0.1:1", None, Unreachable, "no lab answers at http://127.0.0.1:1"),
        ("{url}", "wrong", Unauthorized, "lab.json have the token"),
        ("{guest}", None, LabError, "has itself joined"),
    ],
)
def test_what_can_not_be_joined_says_why(
    lab: Lab, join: str, token: str | None, error: type[LabError], says: str
) -> None:
    with Lab(join=str(lab.store)) as guest:
        where = join.format(url=lab.url, guest=guest.url)
        with pytest.raises(error, match=says):
            Lab(join=where, token=lab.token if token is None else token)


def test_a_lab_is_found_by_its_folder_or_by_its_url_with_the_token_of_that_folder(lab: Lab, tmp_path: Path) -> None:
    assert find_lab(lab.store) == (lab.url, lab.token)
    assert find_lab(lab.url, store=lab.store) == (lab.url, lab.token)
    assert find_lab(lab.url, store=tmp_path / "other") == (lab.url, "")
    assert find_lab(lab.url, token="mine") == (lab.url, "mine")


def test_a_task_that_failed_in_another_process_is_raised_here(lab: Lab) -> None:
    with Lab(join=str(lab.store)) as other:

        @other.agent
        async def broken(_: Any) -> None:
            raise ValueError("no")

        with pytest.raises(TaskFailed, match="no"):
            lab.ask("broken", "x")
