"""What goes wrong in tools, models, recordings and budgets, as the user of a task sees it: how the task ends, what its
records say, and that the lab serves the next one."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, Tool
from pydantic_ai.messages import ModelResponse, ToolCallPart

from nbagora_lab.agents.documents import Documents
from nbagora_lab.agents.models import call, function, scripted
from nbagora_lab.agents.tools import remote, repeatable, tools
from nbagora_lab.inspect.steps import Step, read_steps
from nbagora_lab.lab import Lab


class City(BaseModel):
    city: str
    nights: int


def last(messages: Any, info: Any) -> str:
    return str(messages[-1].parts[0].content)


def tick(messages: Any, info: Any) -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart("tock", {}, tool_call_id=f"call-{len(messages)}")])


def raises() -> str:
    raise ValueError("没有火车")


async def hangs() -> str:
    await asyncio.Event().wait()
    return "late"


def hangs_in_a_thread() -> str:
    return str(_released.wait(30))


_released = threading.Event()


def no_json() -> Any:
    return object()


def no_text() -> str:
    return "\ud800"


def large() -> str:
    return "x" * 50_000_000


def using(tool: Any, then: Any = last, **options: Any) -> Agent[Any, Any]:
    return Agent(scripted(call(tool.__name__), then), tools=[repeatable(tool)], **options)


# how it ends, what the user reads, the step that tells of it and its state
CASES: dict[str, tuple[Any, dict[str, Any], str, str, str, str]] = {
    "a tool raises": (lambda: using(raises), {}, "FAILED", "没有火车", "raises", "failed"),
    "a tool hangs": (lambda: using(hangs), {"tool_timeout": 0.05}, "COMPLETED", "longer than 0.05 s", "hangs", "done"),
    "a tool hangs in a thread": (
        lambda: using(hangs_in_a_thread), {"tool_timeout": 0.05}, "COMPLETED", "longer than 0.05 s",
        "hangs_in_a_thread", "done",
    ),
    "a tool gives 50 MB": (lambda: using(large), {}, "COMPLETED", "50,000,000 characters", "large", "done"),
    "a tool gives no JSON": (lambda: using(no_json), {}, "FAILED", "object", "no_json", "failed"),
    "a tool gives half a character": (lambda: using(no_text, "went on"), {}, "COMPLETED", "went on", "no_text", "done"),
    "a model loops": (
        lambda: Agent(function(tick), tools=[Tool(lambda: "tock", name="tock", takes_ctx=False)]),
        {"model_requests_limit": 3}, "FAILED", "request_limit of 3", "model.3", "done",
    ),
    "a model loops in its tools": (
        lambda: Agent(function(tick), tools=[Tool(lambda: "tock", name="tock", takes_ctx=False)]),
        {"tool_calls_limit": 2}, "FAILED", "tool_calls_limit of 2", "tock.2", "done",
    ),
    "a model calls what there is not": (
        lambda: Agent(scripted(*[call("missing")] * 5), tools=[raises]), {}, "FAILED", "missing", "model.2", "done",
    ),
    "a model breaks its schema": (
        lambda: Agent(scripted(*[call("final_result", city=7, nights="many")] * 5), output_type=City),
        {}, "FAILED", "scripted", "model.2", "done",
    ),
    "a model fails": (lambda: Agent(scripted(ConnectionError("cut"))), {}, "FAILED", "cut", "model", "failed"),
    "no requests are allowed": (
        lambda: Agent(scripted("x")), {"model_requests_limit": 0}, "FAILED", "request_limit of 0", "", "",
    ),
    "no tools are allowed": (
        lambda: using(no_text), {"tool_calls_limit": 0}, "FAILED", "tool_calls_limit of 0", "model", "done",
    ),
}  # fmt: skip


def steps(lab: Lab, task: Any) -> dict[str, Step]:
    return {step.key: step for step in read_steps(lab.broker.log, task.topic, task.id)}


@pytest.mark.parametrize("case", CASES)
def test_it_is_a_clear_end_of_the_task_and_on_its_records(lab: Lab, tmp_path: Path, case: str) -> None:
    agent, limits, state, told, step, ended = CASES[case]
    _released.clear()
    with Lab(store=tmp_path, **limits) if limits else nullcontext(lab) as host:
        host.define("bad", agent())
        task = host.ask("bad", "周末去北京", check=False, timeout=60)
        _released.set()
        assert (task.state, told in (task.error or task.text)) == (state, True), task.error or task.text
        found = steps(host, task)
        assert (found[step].state if step else found) == (ended or {})
        assert max(len(record.body) for record in host.broker.read(task.topic)) < 100_000

        @host.agent(name="good")
        async def good(message: Any, task: Any) -> str:
            return "here"

        assert host.ask("good", "still there?").text == "here"


def test_an_agent_that_calls_itself_ends_each_level_with_the_reason(lab: Lab) -> None:
    def again(messages: Any, info: Any) -> Any:
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("ask_narcissus", {"message": "who?"}, tool_call_id="call-1")])
        return last(messages, info)

    lab.define("narcissus", Agent(function(again), toolsets=[tools(remote("narcissus"))]))
    task = lab.ask("narcissus", "mirror, mirror", check=False, timeout=120)
    levels = lab.tasks(agent="narcissus")
    assert len(levels) == 17
    assert "no levels of calls are left" in (task.error or task.text)
    assert {one.state for one in levels} <= {"COMPLETED", "FAILED"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1, "recordings": [{"asked": 7}]}'])
def test_a_corrupt_tape_fails_the_task_and_is_left_as_it_is(lab: Lab, tmp_path: Path, text: str) -> None:
    path = tmp_path / "trip.tape.json"
    path.write_text(text, encoding="utf-8")
    lab.define("taped", Agent(name="taped"), model=f"tape:{path}")
    task = lab.ask("taped", "x", check=False)
    assert task.state == "FAILED"
    assert path.name in task.error
    assert steps(lab, task) == {}
    assert path.read_text(encoding="utf-8") == text


def test_a_folder_of_binaries_and_links_out_gives_what_can_be_read_and_says_so(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("the password is 故宫", encoding="utf-8")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "round").symlink_to(folder)
    (folder / "binary.md").write_bytes(bytes(range(256)) * 100)
    (folder / "guide.md").write_text("故宫周一闭馆。", encoding="utf-8")
    guide = Documents(folder)
    lab.define("librarian", Agent(scripted(call("look_up", question="故宫"), last), tools=[guide.tool()]))
    task = lab.ask("librarian", "故宫")
    assert "故宫周一闭馆" in task.text
    assert "password" not in task.text
    assert {"out.txt", "binary.md"} <= set(guide.skipped)
    guide.close()
