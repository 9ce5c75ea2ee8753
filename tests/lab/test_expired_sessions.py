"""Sessions end a week after their last write: their tasks are unknown then, and nobody who lists trips over them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import TaskNotFound, TopicNotFound
from nbagora_lab.lab import Lab

WEEK = 7 * 86400


def test_an_expired_session_is_as_one_that_never_was(tmp_path: Path) -> None:
    with Lab(store=tmp_path, clock=VirtualClock()) as lab:

        @lab.agent
        async def echo(message, task):  # type: ignore[no-untyped-def]
            yield message.text

        old = lab.ask("echo", "old", context="ctx-old")
        lab.clock.advance(WEEK / 2)
        young = lab.ask("echo", "young")
        lab.clock.advance(WEEK / 2 + 1)
        lab.broker.expire_due()

        assert [task.id for task in lab.tasks()] == [young.id]
        with pytest.raises(TaskNotFound):
            lab.task(old.id)
        with pytest.raises(TopicNotFound):
            lab.broker.read(old.topic)
        headers = {"Authorization": f"Bearer {lab.token}", "A2A-Version": "1.0"}
        with httpx.Client(base_url=f"{lab.url}/agents/echo", headers=headers, timeout=30) as http:
            listed = http.get("/tasks").json()
            assert [task["id"] for task in listed["tasks"]] == [young.id]
            assert listed["totalSize"] == 1
            assert http.get(f"/tasks/{old.id}").status_code == 404
            assert http.get(f"/tasks/{old.id}:subscribe").status_code == 404
        assert lab.status().sessions == 1

        again = lab.ask("echo", "again", context="ctx-old")
        assert again.text == "again"
        assert {task.id for task in lab.tasks()} == {young.id, again.id}
    with Lab(store=tmp_path, clock=lab.clock) as later:
        assert {task.id for task in later.tasks()} == {young.id, again.id}


def test_a_session_that_goes_on_is_kept_and_one_that_waits_for_an_answer_too(tmp_path: Path) -> None:
    with Lab(store=tmp_path, clock=VirtualClock()) as lab:

        @lab.agent
        async def asks(message, task):  # type: ignore[no-untyped-def]
            answer = await task.ask("which?")
            yield answer.text

        asked = lab.ask("asks", "x")
        lab.clock.advance(WEEK - 1)
        lab.broker.expire_due()
        assert lab.answer(asked, "this").text == "this"
        lab.clock.advance(WEEK - 1)
        lab.broker.expire_due()
        assert lab.task(asked.id).state == "COMPLETED"
