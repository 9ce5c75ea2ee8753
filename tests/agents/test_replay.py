"""Runs on record: read without a call, run again from a step with something changed, compared step by step."""

import socket

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

from nbagora_lab.agents.models import call, function, scripted
from nbagora_lab.agents.replay import Difference, replay
from nbagora_lab.core.errors import UsageError

calls: list[str] = []


def think(messages, info):
    calls.append("model")
    told = [part for message in messages for part in message.parts if part.part_kind == "tool-return"]
    if not told:
        return ModelResponse(parts=[ToolCallPart("find_trains", {"to": "北京"}, tool_call_id="call-1")])
    return ModelResponse(parts=[TextPart(f"Take {told[0].content}.")])


def find_trains(to: str) -> str:
    calls.append("tool")
    return "G1"


@pytest.fixture
def former(lab):
    lab.define("replayed", Agent(function(think), tools=[find_trains]))
    task = lab.ask("replayed", "周末去北京")
    calls.clear()
    return task


def test_a_replay_gives_every_step_and_calls_nothing(lab, former, monkeypatch):
    def no_socket(*args, **kwargs):
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", no_socket)
    steps = list(replay(lab.broker.log, f"sessions/{former.context_id}", former.id))
    assert [(step.key, step.state) for step in steps] == [
        ("model", "done"),
        ("find_trains", "done"),
        ("model.2", "done"),
    ]
    assert calls == []
    until = replay(lab.broker.log, f"sessions/{former.context_id}", former.id, until=steps[1].began)
    assert [(step.key, step.state) for step in until] == [("model", "done"), ("find_trains", "running")]


def test_another_answer_of_a_tool_is_taken_and_the_rest_is_done_anew(lab, former):
    again = lab.rerun(former, at="find_trains", answers={"find_trains": "G3"})
    assert (former.text, again.text) == ("Take G1.", "Take G3.")
    assert calls == ["model"]
    assert again.context_id != former.context_id
    assert lab.diff(former, again) == [
        Difference("find_trains", "answered", "G1", "G3"),
        Difference("model.2", "answered", "Take G1.", "Take G3."),
    ]


def test_another_answer_is_taken_as_it_was_given(lab, former):
    names = [f"{letter}{number}" for number in range(4) for letter in "zyxw"]  # metadata would put them in any order
    answer = dict.fromkeys(names, 1 << 60)
    again = lab.rerun(former, at="find_trains", answers={"find_trains": answer})
    [step] = [step for step in replay(lab.broker.log, again.topic, again.id) if step.key == "find_trains"]
    assert list(step.output.items()) == list(answer.items())


def test_another_prompt_from_a_later_step_takes_over_what_was_before(lab, former):
    again = lab.rerun(former, at="model.2", message="weekend in 北京")
    assert again.text == "Take G1."
    assert calls == ["model"]
    steps = list(replay(lab.broker.log, f"sessions/{again.context_id}", again.id))
    assert [step.about.get("from", {}).get("task") for step in steps] == [former.id, former.id, None]
    assert lab.diff(former, former) == []


def test_another_model_answers_from_there(lab, former):
    again = lab.rerun(former, at="model.2", model="rules")
    assert "(Found by rules, not by a language model.)" in again.text
    assert calls == []


def test_a_run_again_has_what_was_said_before_it_and_nothing_of_what_came_after(lab):
    heard = []

    def count(messages, info):
        heard.append([part.content for one in messages for part in one.parts if part.part_kind == "user-prompt"])
        return f"answer {len(heard)}"

    lab.define("forked", Agent(function(count)))
    first = lab.ask("forked", "one")
    second = lab.ask("forked", "two", context=first)
    lab.ask("forked", "three", context=first)
    again = lab.rerun(second, at="model")
    assert heard == [["one"], ["one", "two"], ["one", "two", "three"], ["one", "two"]]
    assert again.context_id != second.context_id
    assert lab.broker.info(again.topic).forked_from.startswith(f"{second.topic}@")
    assert lab.ask("forked", "four", context=again).text == "answer 5"
    assert heard[-1] == ["one", "two", "four"]


@pytest.mark.parametrize("options", [{"at": "nothing"}, {"at": "model", "answers": {"nothing": 1}}])
def test_a_step_that_there_is_not_is_told_at_once(lab, former, options):
    with pytest.raises(UsageError, match="has no step 'nothing'"):
        lab.rerun(former, **options)


def test_what_a_model_decided_is_compared_by_its_calls(lab):
    def one(a: int) -> str:
        return "1"

    for name, number in (("first", 1), ("second", 2)):
        lab.define(name, Agent(scripted(call("one", a=number), "done"), tools=[one]))
    first, second = (lab.ask(name, "x") for name in ("first", "second"))
    assert lab.diff(first, second) == [
        Difference("model", "decided", [{"call": "one", "with": {"a": 1}}], [{"call": "one", "with": {"a": 2}}]),
        Difference("one", "called", {"a": 1}, {"a": 2}),
    ]
