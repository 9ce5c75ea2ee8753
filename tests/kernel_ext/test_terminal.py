"""Commands in a terminal, on a lab that runs: what is written, as text and as JSON, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbagora.cli import main
from nbagora.commands import nouns
from nbagora.terminal import as_json
from nbagora_lab.lab import Lab

Terminal = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(store=tmp_path_factory.mktemp("lab") / "store") as lab:

        @lab.agent(skills=["echo: says it again"])
        async def echo(message: Any, task: Any) -> Any:
            """Says it again."""
            yield task.status("one moment")
            for word in message.text.split():
                yield f"{word} "

        @lab.agent
        async def asker(_: Any, task: Any) -> str:
            """Asks for a day."""
            return f"on {(await task.ask('Which day?')).text}"

        @lab.agent
        async def broken(_: Any) -> None:
            """Fails."""
            raise ValueError("no such city")

        lab.broker.create_topic("chat")
        lab.broker.send("chat/会话", '{"n": 1}', datacontenttype="application/json")
        lab.broker.create_group("workers", topic="chat", quota="50/s")
        yield lab


@pytest.fixture
def terminal(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Runs a command line on the lab; its status, and what it wrote to stdout and stderr."""
    monkeypatch.setenv("NBAGORA_LAB", str(lab.store))

    def run(*words: str) -> tuple[int, str, str]:
        status = main(words)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def json_of(answer: tuple[int, str, str]) -> Any:
    status, out, err = answer
    assert (status, err) == (0, "")
    return json.loads(out)


def test_an_answer_is_written_as_it_comes_and_what_is_no_answer_goes_to_stderr(terminal: Terminal) -> None:
    status, out, err = terminal("agent", "ask", "echo", "你好", "world")
    assert (status, out) == (0, "你好 world \n")
    assert "COMPLETED" in err


def test_a_question_is_answered_by_another_command(terminal: Terminal) -> None:
    status, out, err = terminal("agent", "ask", "asker", "when")
    assert (status, out) == (0, "")
    assert "asks: Which day?" in err
    status, out, err = terminal("task", "answer", "last", "Friday")
    assert status == 0
    assert "on Friday" in out


def test_a_task_that_failed_ends_with_1_and_two_lines(terminal: Terminal) -> None:
    status, out, err = terminal("agent", "ask", "broken", "x")
    assert (status, out) == (1, "")
    first, second = err.splitlines()
    assert first.startswith("TaskFailed: ")
    assert "no such city" in first
    assert second.startswith("hint: ")
    assert terminal("agent", "ask", "broken", "x", "--no-raise")[0] == 0


def test_json_has_every_field(terminal: Terminal, lab: Lab) -> None:
    asked = json_of(terminal("agent", "ask", "echo", "hi", "-o", "json"))
    assert asked["status"]["state"] == "TASK_STATE_COMPLETED"
    assert asked == lab.task(asked["id"]).raw
    agents = json_of(terminal("agent", "ls", "-o", "json"))
    assert [(one["name"], one["skills"]) for one in agents if one["name"] == "echo"] == [("echo", ["echo"])]
    assert json_of(terminal("topic", "info", "chat/会话", "-o", "json"))["next"] == 1
    [record] = json_of(terminal("topic", "read", "chat/会话", "-o", "json"))
    assert (record["data"], record["topic"], record["offset"]) == ({"n": 1}, "chat/会话", 0)
    assert {one["topic"] for one in json_of(terminal("topic", "ls", "-o", "json"))} >= {"chat", "sessions"}
    [group] = [one for one in json_of(terminal("broker", "group", "-o", "json")) if one["group"] == "workers"]
    assert group["quota"] == "50 messages/s burst 50"
    [tenant] = json_of(terminal("broker", "stats", "workers", "-o", "json"))
    assert (tenant["tenant"], tenant["weight"], tenant["backlog"], tenant["served"]) == ("", 1.0, 1, 0)
    assert json_of(terminal("agent", "card", "echo", "-o", "json"))["name"] == "echo"
    assert json_of(terminal("lab", "status", "-o", "json"))["url"] == lab.url
    assert {one["name"] for one in json_of(terminal("registry", "ls", "-o", "json"))} >= {"echo", "asker"}


def test_what_a_terminal_writes_stands_in_the_lab(terminal: Terminal, lab: Lab) -> None:
    status, out, _ = terminal("topic", "send", "chat/s-1", "--priority", "5", "--", "-o", "is text")
    assert status == 0
    assert "offset=0" in out
    [record] = lab.broker.read("chat/s-1")
    assert (record.body.decode(), record.scheduling.priority) == ("-o is text", 5)
    assert json_of(terminal("topic", "fork", "chat/s-1@0", "--to", "chat/s-2", "-o", "json"))["topic"] == "chat/s-2"
    assert json_of(terminal("topic", "rm", "chat/s-2", "-o", "json")) == {"note": "topic chat/s-2 removed"}
    assert lab.broker.ls("chat", prefix="s-") == ["s-1"]


def test_an_error_is_the_lab_s_own(terminal: Terminal) -> None:
    status, out, err = terminal("topic", "read", "chat/never")
    assert (status, out) == (1, "")
    assert err.splitlines()[0] == "TopicNotFound: no topic 'chat/never'"
    status, _, err = terminal("agent", "ask", "ehco", "hi")
    assert status == 1
    assert err.splitlines() == ["AgentNotFound: no agent 'ehco'", "hint: did you mean 'echo'?"]


def test_an_agent_is_stopped_wherever_it_runs(terminal: Terminal, lab: Lab) -> None:
    lab.define("passing", lambda message: message.text)
    assert terminal("agent", "stop", "passing")[:2] == (0, "agent passing stopped\n")
    assert "passing" not in {info.name for info in lab.agents()}


def test_a_terminal_leaves_as_it_came(terminal: Terminal, lab: Lab) -> None:
    before = lab.status().guests
    terminal("lab", "status")
    assert lab.status().guests == before == ()


def test_lab_stop_stops_the_lab_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from waiting import until

    with Lab(store=tmp_path) as lab:
        assert main(["lab", "stop", "--lab", str(tmp_path)]) == 0
        assert capsys.readouterr().out == f"the lab at {lab.url} stops\n"
        until(lambda: not lab.running)


@pytest.mark.parametrize("noun", nouns())
def test_every_noun_tells_its_options_here(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    from nbagora.command import verbs

    verb = next(iter(verbs(noun)))
    assert main([noun, verb, "--help"]) == 0
    told = capsys.readouterr().out
    assert "--lab URL" in told
    assert "-o {text,json}" in told


def test_json_of_odd_things() -> None:
    assert json.loads(as_json({"a": b"\xff", "b": (1, None, {2.5}), "c": {1: "x"}})) == {
        "a": "/w==", "b": [1, None, "{2.5}"], "c": {"1": "x"},
    }  # fmt: skip
