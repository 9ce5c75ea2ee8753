"""What a run can't bring about at will; the rest of the engine is tested by the runs in `test_runner`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbagora_lab.core.errors import ScenarioError
from nbagora_lab.scenarios import engine

OK = {"status": "ok", "data": {"text/plain": """'{"labs": []}'"""}}
BROKEN = {"status": "error", "ename": "ModuleNotFoundError", "evalue": "No module named 'psutil'"}


def asked(*replies: dict[str, Any]) -> Any:
    """What the client makes of these replies of a kernel, one after the other."""
    left = list(replies)

    async def reply_to(expression: str, deadline: float) -> dict[str, Any]:
        return left.pop(0)

    client: Any = SimpleNamespace(_reply_to=reply_to, session=SimpleNamespace(name="a"))
    ask: Callable[..., Any] = engine._Client._async_ask
    answer = asyncio.run(ask(client, "1"))
    assert left == []
    return answer


def test_a_question_that_the_kernel_dropped_is_asked_again() -> None:
    answered = {"status": "ok", "user_expressions": {"answer": OK}}
    assert asked({"status": "aborted"}, {"status": "aborted"}, answered) == {"labs": []}


def test_a_kernel_that_can_t_be_looked_into_is_an_error() -> None:
    with pytest.raises(ScenarioError) as caught:
        asked({"status": "ok", "user_expressions": {"answer": BROKEN}})
    assert caught.value.what == (
        "the kernel of a could not be looked into: ModuleNotFoundError: No module named 'psutil'"
    )


def test_a_cancelled_session_without_a_kernel_is_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+b") as output:
        session = engine.Session("a", tmp_path, {}, output, 1.0)
        session.cancel()
        assert session.cancelled
