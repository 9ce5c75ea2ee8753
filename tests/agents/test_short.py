"""Short memory: what an agent is told of its conversation, at any offset, without what was undone, and in short."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from nbagora_lab.agents.short import short_memory
from nbagora_lab.core.errors import NotFound, TopicNotFound, UsageError
from nbagora_lab.core.events import RecordType
from nbagora_lab.inspect.snapshot import restored, written
from nbagora_lab.lab import Lab


@pytest.fixture(scope="module", autouse=True)
def agents(lab: Lab) -> None:
    @lab.agent(name="parrot")
    async def parrot(message: Any, task: Any) -> str:
        return f"{message.text}!"

    @lab.agent(name="knows")
    async def knows(message: Any, task: Any) -> str:
        if message.text == "wait":
            await task.ask("for what?")
        return "|".join(one.text for one in task.session)


def words(lab: Lab, context: Any, **options: Any) -> list[str]:
    return [one.text for one in lab.memory(context, **options).messages]


def test_what_an_agent_is_told_can_be_had_as_it_was(lab: Lab) -> None:
    first = lab.ask("parrot", "一")
    second = lab.ask("parrot", "二", context=first)
    assert words(lab, second) == ["一", "一!", "二", "二!"]
    assert words(lab, second, at=first.events[-1].offset) == ["一", "一!"]
    assert words(lab, second.context_id, at=first.events[0].offset) == ["一"]
    assert [turn.task for turn in lab.memory(first).turns] == [first.id, second.id]


def test_undo_takes_the_newest_turn_out_and_leaves_its_records(lab: Lab) -> None:
    first = lab.ask("parrot", "one")
    second = lab.ask("parrot", "two", context=first)
    assert lab.undo(first).id == second.id
    assert words(lab, first) == ["one", "one!"]
    assert lab.ask("knows", "?", context=first).text == "one|one!|?"
    assert lab.task(second.id).text == "two!"
    assert words(lab, first, at=second.events[-1].offset) == ["one", "one!", "two", "two!"]
    for _ in range(2):
        lab.undo(first)
    with pytest.raises(NotFound, match="nothing is left to undo"):
        lab.undo(first)
    records = [record for record in lab.broker.read(first.topic) if record.type == RecordType.UNDO]
    assert [record.subject for record in records][:1] == [second.id]


def test_what_was_undone_stays_so_in_a_fork_and_in_a_snapshot(lab: Lab) -> None:
    first = lab.ask("parrot", "one")
    second = lab.ask("parrot", "two", context=first)
    lab.undo(second)
    lab.broker.fork(first.topic, "sessions/undone-fork", at=lab.broker.info(first.topic).next - 1)
    assert words(lab, "undone-fork") == ["one", "one!"]
    fold = lab._tasks._tasklog.session("", first.context_id)
    again = restored(fold.topic, written(fold.copy()))
    assert again is not None
    assert [task.undone for task in again.tasks.values()] == [False, True]


def test_what_has_not_ended_is_not_undone_and_nothing_is_known_of_nobody(lab: Lab) -> None:
    asking = lab.ask("knows", "wait")
    with pytest.raises(UsageError, match="has not ended"):
        lab.undo(asking)
    lab.cancel(asking)
    assert lab.undo(asking).id == asking.id
    with pytest.raises(TopicNotFound):
        lab.memory("nobody")
    with pytest.raises(TopicNotFound):
        lab.undo("nobody")


@given(steps=st.lists(st.sampled_from(["ask", "undo"]), max_size=8))
@settings(max_examples=15, deadline=None)
def test_after_any_steps_the_memory_is_what_was_asked_and_not_undone(lab: Lab, steps: list[str]) -> None:
    asked = ["0"]
    last = lab.ask("parrot", "0")
    for number, step in enumerate(steps, start=1):
        if step == "ask":
            lab.ask("parrot", str(number), context=last)
            asked.append(str(number))
        elif asked:
            lab.undo(last)
            asked.pop()
        else:
            with pytest.raises(NotFound):
                lab.undo(last)
    assert words(lab, last) == [text for one in asked for text in (one, f"{one}!")]


class Recorder:
    """A model that says how many messages it was given, and keeps them."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.briefs = 0

    async def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        given = [str(part.content) for one in messages for part in one.parts if hasattr(part, "content")]
        if info.instructions and "Put this conversation" in info.instructions:
            self.briefs += 1
            return ModelResponse(parts=[TextPart(f"brief {self.briefs}")])
        self.seen.append(given)
        return ModelResponse(parts=[TextPart(f"answer {len(self.seen)}")])


def test_beyond_the_window_a_model_is_given_a_summary_that_is_a_record(lab: Lab) -> None:
    model = Recorder()
    lab.define("windowed", Agent(FunctionModel(model)), window=4)
    task = lab.ask("windowed", "q1")
    for number in range(2, 9):
        lab.ask("windowed", f"q{number}", context=task)
    short = "What was said before, in short:\n"
    assert model.seen[4] == ["q1", "answer 1", "q2", "answer 2", "q3", "answer 3", "q4", "answer 4", "q5"]
    assert model.seen[5] == [f"{short}brief 1", "q4", "answer 4", "q5", "answer 5", "q6"]
    assert model.seen[7] == [
        f"{short}brief 1", "q4", "answer 4", "q5", "answer 5", "q6", "answer 6", "q7", "answer 7", "q8",
    ]  # fmt: skip
    lab.ask("windowed", "q9", context=task)
    assert model.seen[8] == [f"{short}brief 2", "q7", "answer 7", "q8", "answer 8", "q9"]
    assert model.briefs == 2
    told = lab.memory(task)
    assert (told.summary, told.covered, len(told.turns)) == ("brief 2", 6, 9)
    assert words(lab, task)[:2] == ["q1", "answer 1"]  # nothing is lost: the turns are still there
    for _ in range(4):
        lab.undo(task)
    assert (lab.memory(task).summary, lab.memory(task).covered) == ("brief 1", 3)
    for _ in range(3):
        lab.undo(task)
    assert lab.memory(task).summary == ""


def test_without_a_window_a_model_is_given_all(lab: Lab) -> None:
    model = Recorder()
    lab.define("whole", Agent(FunctionModel(model)))
    task = lab.ask("whole", "q1")
    for number in range(2, 7):
        lab.ask("whole", f"q{number}", context=task)
    assert len(model.seen[-1]) == 11
    assert model.briefs == 0


def test_a_task_that_goes_on_after_a_crash_finds_the_memory_that_it_began_with(lab: Lab) -> None:
    lab.define("again", Agent(FunctionModel(Recorder())), window=1)
    task = lab.ask("again", "q1")
    lab.ask("again", "q2", context=task)
    third = lab.ask("again", "q3", context=task)
    tasks = lab._tasks._tasklog
    assert short_memory(tasks, "", task.context_id).summary == "brief 1"
    assert short_memory(tasks, "", task.context_id, reader=third.id).summary == ""


def test_the_model_made_of_rules_quotes_in_its_summary(lab: Lab) -> None:
    lab.define("ruled", Agent(), window=1, model="rules")
    task = lab.ask("ruled", "我想去北京")
    for words_ in ("two", "three"):
        lab.ask("ruled", words_, context=task)
    assert lab.memory(task).summary.startswith("user: 我想去北京\nagent: ")
