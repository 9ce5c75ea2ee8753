"""pydantic-ai agents, on models that need no key."""

import pytest
from pydantic_ai import Agent

from nbagora.models import call, function, scripted
from nbagora_lab.core.errors import TaskFailed


def test_a_scripted_agent_streams_its_words(lab):
    lab.define("scripted", Agent(scripted("Sunny in 北京"), instructions="Tells the weather.\nAlways."))

    task = lab.ask("scripted", "x")

    assert task.text == "Sunny in 北京"
    assert len([event for event in task.events if event.kind == "artifact"]) > 2
    [info] = [info for info in lab.agents() if info.name == "scripted"]
    assert (info.kind, info.model, info.description) == ("pydantic-ai", "scripted", "Tells the weather.")


def test_tools_are_called_with_the_scripts_arguments(lab):
    called = []

    def find_hotels(city: str) -> str:
        called.append(city)
        return "The Jade"

    lab.define("tools", Agent(scripted(call("find_hotels", city="北京"), "The Jade it is."), tools=[find_hotels]))

    assert lab.ask("tools", "x").text == "The Jade it is."
    assert called == ["北京"]


def test_a_script_too_short_or_too_long_fails_the_task(lab):
    def tool() -> str:
        return "x"

    lab.define("short", Agent(scripted(call("tool")), tools=[tool]))
    lab.define("long", Agent(scripted("one", "two")))
    lab.define("once", Agent(scripted("one")))

    with pytest.raises(TaskFailed, match="the script has 1 step"):
        lab.ask("short", "x")
    with pytest.raises(TaskFailed, match=r"1 step.s. of the script were left over"):
        lab.ask("long", "x")
    assert lab.ask("once", "x").text == "one"
    with pytest.raises(TaskFailed, match="asked once more"):
        lab.ask("once", "x")


def test_what_was_said_before_is_the_models_history(lab):
    def repeat(messages, info):
        return " / ".join(str(part.content) for message in messages for part in message.parts)

    lab.define("repeats", Agent(function(repeat)))

    first = lab.ask("repeats", "one")
    assert lab.ask("repeats", "two", context=first).text == "one / one / two"


def test_structured_output_is_data(lab):
    from pydantic import BaseModel

    class Plan(BaseModel):
        city: str

    lab.define("structured", Agent(scripted(call("final_result", city="北京")), output_type=Plan))

    assert lab.ask("structured", "x").data == [{"city": "北京"}]


def test_an_agent_without_a_model_says_so(lab):
    lab.define("modelless", Agent())

    with pytest.raises(TaskFailed, match="no model"):
        lab.ask("modelless", "x")
