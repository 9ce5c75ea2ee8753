"""A session moved to another store, or another engine, goes on there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbagora_lab.broker.stored import forget_shared
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import TopicExists, TopicNotFound, UsageError
from nbagora_lab.lab import Lab
from nbagora_lab.moving import export_topic, import_topic
from servers import server_options


def chatty(lab: Lab) -> None:
    """Hosts an agent that asks, and remembers what was said."""

    @lab.agent(name="chat")
    async def chat(message: Any, task: Any) -> Any:
        """Asks for a day; called anew, it has the answer."""
        if not task.restarted:
            yield f"{message.text}: "
            message = await task.ask("Which day?")
        yield f"on {message.text}"


def options_of(engine: str) -> dict[str, Any]:
    if engine == "embedded":
        return {}
    told = server_options("rocketmq")
    return {"broker": "rocketmq", "rocketmq": told["endpoints"], "rocketmq_namesrv": told["namesrv"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("embedded", "embedded"),
        pytest.param("embedded", "rocketmq", marks=[pytest.mark.thorough, pytest.mark.server("rocketmq")]),
        pytest.param("rocketmq", "embedded", marks=[pytest.mark.thorough, pytest.mark.server("rocketmq")]),
    ],
)
def test_a_task_that_waits_goes_on_where_its_session_is_moved_to(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / "session.jsonl"
    with Lab(store=tmp_path / "one", **options_of(before)) as lab:
        chatty(lab)
        asked = lab.ask("chat", "北京")
        topic = f"sessions/{asked.context_id}"
        records = [(record.offset, record.type, record.body) for record in lab.broker.read(topic)]
        assert export_topic(lab.broker.log, topic, file) == len(records)
    forget_shared(tmp_path / "one", SystemClock())
    with Lab(store=tmp_path / "two", **options_of(after)) as lab:
        chatty(lab)
        assert import_topic(lab.broker.log, file).next == len(records)
        assert [(record.offset, record.type, record.body) for record in lab.broker.read(topic)] == records
        assert lab.task(asked.id).state == asked.state
        answered = lab.answer(asked.id, "Friday")
        assert answered.text == "北京: on Friday"
        with pytest.raises(TopicExists):
            import_topic(lab.broker.log, file)
    forget_shared(tmp_path / "two", SystemClock())


def test_a_large_body_goes_along(tmp_path: Path) -> None:
    body = bytes(range(256)) * 10_000
    with Lab(store=tmp_path / "one") as lab:
        lab.broker.create_topic("files")
        lab.broker.send("files/a", body)
        export_topic(lab.broker.log, "files/a", tmp_path / "file")
    with Lab(store=tmp_path / "two") as lab:
        with pytest.raises(TopicNotFound, match="no topic 'files'"):
            import_topic(lab.broker.log, tmp_path / "file")
        lab.broker.create_topic("files")
        import_topic(lab.broker.log, tmp_path / "file")
        [record] = lab.broker.read("files/a")
        assert lab.broker.body(record) == body


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "no json", '{"format": 99, "topic": "a/b"}', '{"format": 1, "topic": "a"}']
)
def test_what_is_no_export_is_told_in_two_lines(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with Lab(store=tmp_path / "store") as lab:
        for path in (tmp_path / "file", tmp_path / "missing"):
            with pytest.raises(UsageError) as caught:
                import_topic(lab.broker.log, path)
            assert len(caught.value._render_traceback_()) == 2
