"""Language models behind a real server that speaks OpenAI's chat completions: streams, tool calls, what goes wrong."""

import asyncio

import pydantic_ai.models as library
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent

from nbagora_lab.agents.live import check, live
from nbagora_lab.agents.models import choose, kind_of
from nbagora_lab.core.errors import TaskFailed, UsageError
from openai_server import chat_server
from waiting import until


@pytest.fixture(scope="module")
def chat():
    with chat_server() as chat:
        yield chat


@pytest.fixture(autouse=True)
def _closed_again():
    yield
    library.ALLOW_MODEL_REQUESTS = False


def find_hotels(city: str, nights: int) -> list[dict[str, object]]:
    """Finds hotels 酒店 in a city."""
    return [{"hotel": "Jade", "price": 480 * nights, "city": city}]


def test_no_request_goes_out_until_a_live_model_is_chosen(chat):
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    own = OpenAIChatModel("rules", provider=OpenAIProvider(base_url=chat.url, api_key="none"))
    with pytest.raises(RuntimeError, match="ALLOW_MODEL_REQUESTS"):
        asyncio.run(Agent(own).run("hello"))
    assert asyncio.run(Agent(live(own)).run("hello")).output.startswith("I have no tool for that.")


def test_an_agent_runs_on_it_with_tools_streamed_and_on_record(lab, chat):
    agent = Agent(instructions="Look for hotels.", tools=[find_hotels])
    lab.define("hotels", agent, model=f"live:openai-chat:rules@{chat.url}")

    task = lab.ask("hotels", "去北京玩，住2晚")

    assert task.text.startswith("find_hotels: hotel Jade, price 960, city 北京")
    assert len([event for event in task.events if event.kind == "artifact"]) > 3
    assert [info.model for info in lab.agents() if info.name == "hotels"] == [f"live:openai-chat:rules@{chat.url}"]
    assert all(body["stream"] for body in chat.requests[-2:])
    assert chat.keys[-1] == "Bearer none"


@pytest.mark.parametrize("name", ["live:openai-chat:rules@{}", "record:{tape}:live:openai-chat:rules@{}"])
def test_a_model_that_a_task_named_keeps_no_connection_once_it_has_answered(tmp_path, lab, name):
    with chat_server() as chat:
        model = name.format(chat.url, tape=tmp_path / "hotels.tape.json")
        lab.define("hotels", Agent(instructions="Look for hotels.", tools=[find_hotels]), model=model, window=1)
        lab.ask("hotels", "去北京玩，住2晚", context="stay")
        lab.ask("hotels", "去上海玩，住3晚", context="stay")
        task = lab.ask("hotels", "去广州玩，住1晚", context="stay")  # for which the model puts the former in short
        assert "summary" in [step.name for step in lab.steps(task)]
        assert until(lambda: not chat.connections, seconds=20)


def test_a_check_of_it_keeps_no_connection():
    with chat_server() as chat:
        asyncio.run(check(choose(f"live:openai-chat:rules@{chat.url}")))
        assert until(lambda: not chat.connections, seconds=20)


@pytest.mark.parametrize(
    ("model", "told"),
    [("broken", "500"), ("cut", "(?i)peer closed|connection|incomplete"), ("no-tools", "400")],
)
def test_what_goes_wrong_ends_the_task_with_what_it_was(lab, chat, model, told):
    lab.define("wrong", Agent(tools=[find_hotels], instructions="hotels"), model=f"live:openai-chat:{model}@{chat.url}")

    with pytest.raises(TaskFailed, match=told) as failed:
        lab.ask("wrong", "去北京玩，住2晚")
    assert failed.value.task.state == "FAILED"


def test_arguments_that_are_no_json_are_told_to_the_model(lab, chat):
    lab.define("babble", Agent(tools=[find_hotels], instructions="hotels"), model=f"live:openai-chat:babble@{chat.url}")

    task = lab.ask("babble", "去北京玩，住2晚")

    assert "find_hotels: not done: " in task.text
    assert chat.requests[-1]["messages"][-1]["role"] == "tool"


def test_a_busy_server_is_asked_again(lab, chat):
    lab.define("busy", Agent(), model=f"live:openai-chat:busy-2@{chat.url}")
    assert lab.ask("busy", "hello").text.startswith("I have no tool for that.")


def test_a_server_that_names_a_pause_is_given_it(lab, chat):
    lab.define("patient", Agent(), model=f"live:openai-chat:later-1@{chat.url}")
    assert lab.ask("patient", "hello").text.startswith("I have no tool for that.")
    refused, answered = chat.times[-2:]
    assert answered - refused >= 1.0  # the client's own pause would be half a second at most


def test_a_server_that_stays_busy_ends_the_task(lab, chat):
    lab.define("busier", Agent(), model=f"live:openai-chat:busy-9@{chat.url}")
    with pytest.raises(TaskFailed, match="429"):
        lab.ask("busier", "hello")


def test_what_its_answers_cost_is_on_record_where_the_price_is_known(lab, chat):
    for name in ("gpt-4o-mini", "rules"):
        lab.define(f"priced-{name}", Agent(), model=f"live:openai-chat:{name}@{chat.url}")
    dear, unknown = (lab.ask(f"priced-{name}", "hello") for name in ("gpt-4o-mini", "rules"))
    [step] = [step for step in lab.steps(dear) if step.kind == "model"]
    assert (step.tokens, step.cost) == (18, pytest.approx((11 * 0.15 + 7 * 0.6) / 1e6))
    assert [step.cost for step in lab.steps(unknown) if step.kind == "model"] == [None]


def test_structured_output_comes_back(chat):
    class City(BaseModel):
        city: str
        nights: int

    agent = Agent(choose(f"live:openai-chat:rules@{chat.url}"), output_type=City)
    assert asyncio.run(agent.run("去北京玩，住2晚")).output == City(city="北京", nights=2)


def test_a_check_says_what_works(chat):
    checks = asyncio.run(check(choose(f"live:openai-chat:rules@{chat.url}")))
    assert [(one.what, one.works) for one in checks] == [("text", True), ("tool call", True), ("schema", True)]
    checks = asyncio.run(check(choose(f"live:openai-chat:no-tools@{chat.url}")))
    assert [(one.what, one.works) for one in checks] == [("text", True), ("tool call", False), ("schema", False)]
    assert "does not support tools" in checks[1].told


def test_a_recording_of_it_answers_without_it(tmp_path, chat):
    path = tmp_path / "hotels.tape.json"
    before = len(chat.requests)
    recorded = Agent(choose(f"record:{path}:live:openai-chat:rules@{chat.url}"), tools=[find_hotels], instructions="h")
    said = asyncio.run(recorded.run("hotels in 北京, 2 nights")).output
    asked = len(chat.requests)
    assert asked > before
    again = Agent(choose(f"tape:{path}"), tools=[find_hotels], instructions="h")
    assert asyncio.run(again.run("hotels in 北京, 2 nights")).output == said
    assert len(chat.requests) == asked


def test_its_kind_says_which_it_is(chat):
    assert kind_of(choose(f"live:openai-chat:rules@{chat.url}")) == "live:openai:rules"


def test_a_model_that_there_is_not_is_an_error_of_two_lines():
    with pytest.raises(UsageError, match="no model nobody:x"):
        choose("live:nobody:x")
