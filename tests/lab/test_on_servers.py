"""Several processes on real engines: one dies and the others go on; two that write one task are settled by claims."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbagora_lab.core.errors import EndpointNotFound, LabError, Unreachable
from nbagora_lab.lab import Lab
from servers import running_server
from waiting import until

pytestmark = [pytest.mark.campaign, pytest.mark.server("rocketmq"), pytest.mark.timeout(900)]

AGENT = '''
import asyncio
from nbagora import agent

@agent(skills=["{name}: says it again"])
async def {name}(message, task):
    """Says it again; "stay" never ends."""
    yield f"{name}: {{message.text}}"
    if message.text == "stay":
        await asyncio.Event().wait()
'''
NBAGORA = Path(sys.executable).with_name("nbagora")


def settings_of(*engines: str) -> dict[str, str]:
    """Settings of a lab on servers of these names."""
    return {name: value for engine in engines for name, value in running_server(engine).settings.items()}


class Served:
    """``nbagora serve`` of a file with one agent, on a store."""

    def __init__(self, folder: Path, store: Path, name: str, settings: dict[str, str]) -> None:
        file = folder / f"{name}.py"
        file.write_text(AGENT.format(name=name), encoding="utf-8")
        env = os.environ | {f"NBAGORA_{key.upper()}": value for key, value in settings.items()}
        command = [NBAGORA, "serve", file, "--store", store, "--json"]
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.told = json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        self.process.kill()
        self.close()

    def close(self) -> None:
        """Ends it, where it runs."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait(60)


@pytest.mark.parametrize("registry", ["embedded", pytest.param("nacos", marks=pytest.mark.server("nacos"))])
def test_two_served_files_and_a_notebook_of_which_each_is_killed_once(tmp_path: Path, registry: str) -> None:
    store = tmp_path / "store"
    settings = settings_of("rocketmq", *[registry] * (registry == "nacos"))
    settings |= {"broker": "rocketmq", "registry": registry}
    first = Served(tmp_path, store, "first", settings)
    second = Served(tmp_path, store, "second", settings)
    try:
        with Lab.start(store=store) as lab:
            assert lab.joined == first.told["url"]
            assert lab.broker.log.engine.startswith("rocketmq 5.")
            asked = lab.ask("first", "北京")
            assert (asked.text, lab.ask("second", "x").text) == ("first: 北京", "second: x")
            working = lab.send("second", "stay")
            until(lambda: lab.task(working.id).text == "second: stay")
            second.kill()
            until(lambda: lab.task(working.id).state == "FAILED")
            with pytest.raises(EndpointNotFound):
                lab.ask("second", "gone")
            assert lab.ask("first", "still").text == "first: still"
            second = Served(tmp_path, store, "second", settings)
            assert until(lambda: said(lab, "second", "again")) == "second: again"
            staying = lab.send("first", "stay")
            until(lambda: lab.task(staying.id).text == "first: stay")
            first.kill()
            with pytest.raises(LabError):
                lab.ask("first", "nobody")
            first = Served(tmp_path, store, "first", settings)
            assert until(lambda: said(lab, "first", "back")) == "first: back"
            assert until(lambda: said(lab, "second", "too")) == "second: too"
            assert lab.task(staying.id).state == "FAILED"
            assert lab.task(asked.id).text == "first: 北京"
    finally:
        for one in (second, first):
            one.kill()


def said(lab: Lab, agent: str, text: str) -> str:
    """What an agent says; empty where it can't be reached yet."""
    try:
        return lab.ask(agent, text).text
    except (EndpointNotFound, Unreachable):
        return ""


def asking(lab: Lab) -> None:
    """Hosts an agent that asks for a day."""

    @lab.agent(name="planner")
    async def planner(message: Any, task: Any) -> Any:
        """Plans a day."""
        if not task.restarted:
            message = await task.ask("Which day?")
        yield f"on {message.text}"


@pytest.fixture
def options() -> dict[str, Any]:
    """Of labs that are one on the servers."""
    return {"broker": "rocketmq", "lab_id": f"t{os.urandom(6).hex()}", **settings_of("rocketmq")}


@pytest.fixture
def labs(tmp_path: Path, options: dict[str, Any]) -> Iterator[list[Lab]]:
    """Two kernels that opened one lab, each with a folder of its own; the second one is the newer."""
    opened = []
    for name in ("older", "newer"):
        opened.append(Lab(store=tmp_path / name, **options))
        if name == "older":
            asking(opened[0])
            opened[0].asked = opened[0].ask("planner", "北京")  # type: ignore[attr-defined]
    asking(opened[1])
    yield opened
    opened[1].broker.log.shared.remove()  # type: ignore[attr-defined]
    for lab in reversed(opened):
        lab.stop()


def test_of_two_kernels_on_one_session_the_newer_ones_words_count(labs: list[Lab]) -> None:
    older, newer = labs
    asked = older.asked  # type: ignore[attr-defined]
    assert newer.broker.log.epoch == older.broker.log.epoch + 1
    assert newer.task(asked.id).state == "INPUT_REQUIRED"
    done = newer.answer(asked.id, "Friday")
    assert done.text == "on Friday"
    with pytest.raises(LabError):
        older.answer(asked.id, "Monday", timeout=20)
    for lab in labs:
        task = lab.task(asked.id)
        assert (task.state, task.text) == ("COMPLETED", "on Friday")
