"""A lab whose engines can't be had, or are away: two lines, nothing left open, and who needs none of them goes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.errors import LabError
from nbagora_lab.lab import Lab


class Away:
    """What makes the embedded log one on servers: those who write "hold" wait until `back` is set."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.asked, self.back = threading.Event(), threading.Event()
        append = EmbeddedLog.append

        def waiting(log: EmbeddedLog, entries: Any) -> list[int]:
            if any(b"hold" in stored for _, stored in entries):
                self.asked.set()
                assert self.back.wait(60)
            return append(log, entries)

        patch.setattr(EmbeddedLog, "capabilities", EmbeddedLog.capabilities | {"remote"})
        patch.setattr(EmbeddedLog, "append", waiting)


@pytest.mark.parametrize("way", ["opened", "answered", "cancelled"])
def test_who_writes_to_servers_that_are_away_waits_and_no_other_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    away = Away(monkeypatch)
    with Lab(store=tmp_path) as lab:

        @lab.agent
        async def echo(message: Any, task: Any) -> Any:
            if message.text == "ask":
                return (await task.ask("What?")).text
            return message.text

        asked = lab.ask("echo", "ask")
        write: dict[str, Callable[[], Any]] = {
            "opened": lambda: lab.ask("echo", "hold").text,
            "answered": lambda: lab.answer(asked, "hold").text,
            "cancelled": lambda: lab.cancel(asked).state,
        }
        if way == "cancelled":
            note = LiveTask.note
            monkeypatch.setattr(LiveTask, "note", lambda live, type_, body: note(live, type_, body | {"why": "hold"}))
        said: list[str] = []
        writing = threading.Thread(target=lambda: said.append(write[way]()))
        writing.start()
        try:
            assert away.asked.wait(20)
            with httpx.Client(headers={"Authorization": f"Bearer {lab.token}"}, timeout=30) as client:
                assert client.get(f"{lab.url}/healthz").status_code == 200
                assert client.get(f"{lab.url}/broker/topics").status_code == 200
            assert lab.ask("echo", "meanwhile").text == "meanwhile"
        finally:
            away.back.set()
            writing.join()
        assert said == ["CANCELED" if way == "cancelled" else "hold"]


def nowhere() -> str:
    """Where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize(
    ("settings", "setting"),
    [({"broker": "rocketmq"}, "rocketmq_namesrv"), ({"registry": "nacos"}, "nacos")],
    ids=["rocketmq", "nacos"],
)
@pytest.mark.parametrize("answers", [False, True], ids=["absent", "something else"])
def test_a_server_that_can_not_be_had_is_named_with_its_setting(
    tmp_path: Path, settings: dict[str, Any], setting: str, answers: bool
) -> None:
    with Lab(store=tmp_path) as lab:
        lab.broker.create_topic("chat")
        lab.broker.send("chat/s", b"before")
        address = lab.url.removeprefix("http://") if answers else nowhere()
        with pytest.raises(LabError) as caught:
            Lab(store=tmp_path / "other", **settings, **{setting: address})
        told = caught.value._render_traceback_()
        assert len(told) == 2
        assert address in told[0]
        assert f"the setting {setting}" in told[1]
        assert not (tmp_path / "other" / "lab.json").exists()
        assert [record.body for record in lab.broker.read("chat/s")] == [b"before"]
    with Lab(store=tmp_path / "other") as lab:  # the store is no worse for it
        lab.broker.create_topic("chat")
        assert lab.broker.send("chat/s", b"one").offset == 0
