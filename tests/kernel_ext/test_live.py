from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from nbagora.live import Live
from nbagora.show import plain
from nbagora_lab.a2a.task import Task, TaskEvent
from nbagora_lab.core.errors import TaskFailed

SLOW = """%%agent slow
import asyncio
step = asyncio.Event()
async def slow(message, task):
    yield task.status("thinking")
    yield "first "
    await step.wait()
    yield "last"
"""


class Published(list[dict[str, Any]]):
    """What a front end would get."""

    def __call__(self, data: dict[str, Any], metadata: Any = None, **options: Any) -> None:
        self.append({"data": data, **options})

    @property
    def texts(self) -> list[str]:
        return [one["data"]["text/plain"] for one in self]


@pytest.fixture
def watched(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The shell of a kernel whose front end somebody watches."""
    published = Published()
    shell.kernel = SimpleNamespace(_allow_stdin=True)
    monkeypatch.setattr(shell.display_pub, "publish", published)
    return published


def test_one_output_follows_the_task_to_its_end(lab: Any, run: Any, shell: Any, watched: Published) -> None:
    run(SLOW)

    def release(data: dict[str, Any], metadata: Any = None, **options: Any) -> None:
        watched(data, **options)
        if "first" in data["text/plain"]:
            lab._runs.loop.call(shell.user_ns["step"].set)

    shell.display_pub.publish = release
    task = run("%agent ask slow hi")
    assert task.text == "first last"
    assert len({one["transient"]["display_id"] for one in watched}) == 1
    assert [one["update"] for one in watched] == [False] + [True] * (len(watched) - 1)
    assert any("thinking" in text and text.startswith("first") for text in watched.texts)
    assert watched.texts[-1] == plain(task)


def test_the_result_is_not_displayed_twice(lab: Any, run: Any, shell: Any, watched: Published) -> None:
    task = run("%agent ask echo hi")
    assert shell.display_formatter.format(task) == ({}, {})
    shell.execution_count += 1
    assert shell.display_formatter.format(task)[0]["text/plain"] == plain(task)


def test_where_nobody_watches_the_end_is_shown_once(lab: Any, run: Any, shell: Any, watched: Published) -> None:
    shell.kernel._allow_stdin = False
    task = run("%agent ask echo hi")
    assert watched.texts == [plain(task)]
    assert watched[0]["transient"] == {}
    assert not watched[0]["update"]


def test_a_failure_shows_what_came(lab: Any, run: Any, watched: Published) -> None:
    run("%%agent bad\ndef bad(message):\n    yield 'so far'\n    raise ValueError('no luck')")
    with pytest.raises(TaskFailed):
        run("%agent ask bad hi")
    assert watched.texts[-1].startswith("so far\n")
    assert "no luck" in watched.texts[-1]


def test_a_terminal_gets_the_result_alone(lab: Any, run: Any, shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    published = Published()
    monkeypatch.setattr(shell.display_pub, "publish", published)
    task = run("%agent ask echo hi")
    assert published == []
    assert shell.display_formatter.format(task)[0]["text/plain"] == plain(task)


def event(kind: str, text: str, state: str = "") -> TaskEvent:
    return TaskEvent(kind, text, state, 0, 0, {})


def test_it_is_updated_ten_times_a_second_at_most(
    shell: Any, watched: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("nbagora.live.time", SimpleNamespace(monotonic=lambda: now[0]))
    live = Live(shell, Task("a", {"id": "ctx.t", "status": {"state": "TASK_STATE_SUBMITTED"}}), updates=True)
    assert live.refresh() is None
    live.take(event("artifact", "one "))
    assert live.refresh() == pytest.approx(0.1)
    assert watched.texts == ["a · SUBMITTED · task t"]
    now[0] += 0.06
    live.take(event("artifact", "two"))
    assert live.refresh() == pytest.approx(0.04)
    now[0] += 0.05
    assert live.refresh() is None
    assert live.refresh() is None
    live.take(event("status", "busy", "WORKING"))
    now[0] += 1
    live.refresh()
    assert watched.texts[1:] == ["one two\na · SUBMITTED · task t", "one two\na · WORKING · busy · task t"]


def test_a_flood_costs_a_display_no_more_than_its_end(shell: Any, watched: Published) -> None:
    live = Live(shell, Task("a", {"id": "t"}), updates=True)
    for _ in range(100):
        live.take(event("artifact", "x" * 1000))
    live.refresh()
    assert len(watched.texts[0]) < 8100


def test_in_a_real_kernel(tmp_path: Any) -> None:
    manager, client = start_new_kernel(cwd=str(tmp_path))
    try:

        def outputs(code: str, *, watched: bool) -> list[dict[str, Any]]:
            seen: list[dict[str, Any]] = []
            client.execute_interactive(code, allow_stdin=watched, output_hook=seen.append, timeout=60)
            return [one for one in seen if one["msg_type"] not in {"status", "execute_input"}]

        assert outputs("%load_ext nbagora", watched=True) == []
        [started] = outputs("%lab start", watched=True)
        assert started["content"]["data"]["text/plain"].startswith("lab at http://127.0.0.1:")
        outputs("%%agent echo\nasync def echo(message):\n    yield message.text", watched=True)
        shown = outputs("%agent ask echo 北京, what's it like tomorrow?", watched=True)
        assert [one["msg_type"] for one in shown] == ["display_data"] + ["update_display_data"] * (len(shown) - 1)
        assert shown[-1]["content"]["data"]["text/plain"].startswith("北京, what's it like tomorrow?\necho · COMPLETED")
        [once] = outputs("%agent ask echo hi", watched=False)
        assert (once["msg_type"], once["content"]["transient"]) == ("display_data", {})
        [error] = outputs("%agent ask ecco hi", watched=False)
        assert error["content"]["ename"] == "AgentNotFound"
        assert error["content"]["traceback"] == ["AgentNotFound: no agent 'ecco'", "hint: did you mean 'echo'?"]
        [awaited] = outputs(
            "%%agent later\nimport asyncio\nx = await asyncio.sleep(0, 'ok')\ndef later(message): return x",
            watched=True,
        )
        assert awaited["msg_type"] == "execute_result"
        assert outputs("%unload_ext nbagora", watched=True) == []
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_the_wait_is_broken_by_ctrl_c_and_the_task_goes_on(lab: Any, run: Any, shell: Any, watched: Published) -> None:
    run(SLOW)

    def interrupt(data: dict[str, Any], metadata: Any = None, **options: Any) -> None:
        if "first" in data["text/plain"]:
            raise KeyboardInterrupt

    shell.display_pub.publish = interrupt
    with pytest.raises(KeyboardInterrupt):
        run("%agent ask slow hi")
    shell.display_pub.publish = watched
    assert run("%task show last").state == "WORKING"
    lab._runs.loop.call(shell.user_ns["step"].set)
    assert run("%task watch last").text == "first last"
