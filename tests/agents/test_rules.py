"""The model made of rules: which tools it picks, how it fills them, and that it says what it is."""

import asyncio
from typing import Literal

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, Tool
from pydantic_ai.tools import ToolDefinition

from nbagora_lab.agents.arguments import fill
from nbagora_lab.agents.rules import rank, rules, words_of


def asked(agent, prompt, **options):
    return asyncio.run(agent.run(prompt, **options)).output


def schema(**types):
    return {"properties": {name: {"type": kind} for name, kind in types.items()}, "required": list(types)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("finds trains", {"find", "train"}),
        ("find_trains", {"find", "train"}),
        ("cities, booking, booked", {"city", "book"}),
        ("火车票", {"火车", "车票"}),
        ("of the and", set()),
        ("", set()),
    ],
)
def test_words_are_cut_alike_in_names_and_questions(text, found):
    assert set(words_of(text)) == found


@pytest.mark.parametrize(
    ("said", "types", "found"),
    [
        (
            "Plan a trip to Beijing from Shanghai",
            {"to": "string", "origin": "string"},
            {"to": "Beijing", "origin": "Shanghai"},
        ),
        ("帮我规划一次去北京的周末旅行", {"city": "string", "day": "string"}, {"city": "北京", "day": "周末"}),
        (
            "从上海出发去北京玩",
            {"origin": "string", "destination": "string"},
            {"origin": "上海", "destination": "北京"},
        ),
        (
            "hotels in New York on Saturday",
            {"city": "string", "day": "string"},
            {"city": "New York", "day": "on Saturday"},
        ),
        ("on 2026-05-01 please", {"date": "string"}, {"date": "2026-05-01"}),
        ("2 nights for 3 people", {"nights": "integer", "people": "integer"}, {"nights": 2, "people": 3}),
        ("住两晚，预算3,000元", {"nights": "integer", "budget": "number"}, {"nights": 2, "budget": 3000.0}),
        ("预算一千五百元", {"budget": "number"}, {"budget": 1500.0}),
        ("什么是智能体", {"question": "string"}, {"question": "什么是智能体"}),
    ],
)
def test_arguments_are_found_by_name_and_type(said, types, found):
    assert fill(schema(**types), [said], {}) == (found, [])


def test_what_is_not_said_is_missing_and_what_was_said_before_counts():
    wanted = schema(city="string", nights="integer")
    assert fill(wanted, ["hello"], {}) == ({}, ["city", "nights"])
    assert fill(wanted, ["make it 3 nights", "去北京玩，住2晚"], {}) == ({"city": "北京", "nights": 3}, [])


def test_options_are_picked_and_results_used():
    wanted = {
        "properties": {
            "class": {"enum": ["first", "second"]},
            "train": {"type": "string"},
            "total": {"type": "number"},
        },
        "required": ["class", "train", "total"],
    }
    results = {"find_trains": [{"train": "G1", "price": 553}, {"train": "G3"}], "find_hotels": [{"price": 480.5}]}
    assert fill(wanted, ["second class"], results) == ({"class": "second", "train": "G1", "total": 1033.5}, [])


def find_trains(to: str, day: str = "Saturday") -> list[dict[str, object]]:
    """Finds trains 火车."""
    return [{"train": "G1", "price": 553}]


def find_hotels(city: str, nights: int = 2) -> list[dict[str, object]]:
    """Finds hotels 酒店."""
    return [{"hotel": "Jade", "price": 480}]


def check_budget(total: float, budget: float) -> str:
    """Compares a total with the budget 预算."""
    return f"{total:g} of {budget:g}"


def book(train: str, hotel: str) -> str:
    """Books 预订 train and hotel."""
    return f"booked {train} and {hotel}"


TOOLS = [book, check_budget, find_hotels, find_trains]
PLAN = "Plan trips: look for trains, then hotels, then compare with the budget."


@pytest.mark.parametrize("said", ["Plan a trip to Beijing, budget 2000 yuan", "帮我规划去北京的旅行，预算2000元"])
def test_it_calls_what_the_instructions_name_in_their_order_and_sums_up(said):
    tools = [Tool(tool, requires_approval=tool is book) for tool in TOOLS]
    answer = asked(Agent(rules(), instructions=PLAN, tools=tools), said)
    assert answer.splitlines() == [
        "find_trains: train G1, price 553",
        "find_hotels: hotel Jade, price 480",
        "check_budget: 1033 of 2000",
        "(Found by rules, not by a language model.)",
    ]


def test_it_says_what_it_lacks():
    answer = asked(Agent(rules(), instructions="Look for hotels.", tools=[find_hotels]), "hello")
    assert answer.startswith("For find_hotels I need to know: city.")


def test_it_says_where_it_has_no_tool():
    assert asked(Agent(rules()), "hello").startswith("I have no tool for that. (Found by rules")


def test_a_second_question_goes_by_what_was_said_before():
    agent = Agent(rules(), tools=TOOLS)
    first = asyncio.run(agent.run("hotels in Beijing"))
    assert asked(agent, "and trains?", message_history=first.all_messages()).startswith("find_trains: train G1")


def test_it_fills_structured_output():
    class Trip(BaseModel):
        city: str
        nights: int
        means: Literal["train", "flight"]

    assert asked(Agent(rules(), output_type=Trip), "by train to Beijing, 2 nights") == Trip(
        city="Beijing", nights=2, means="train"
    )


def test_a_tool_that_fails_is_told_and_not_called_for_ever():
    from pydantic_ai import ModelRetry

    def find_ships(to: str) -> str:
        """Finds ships."""
        raise ModelRetry("no ships on land")

    assert "find_ships: not done: " in asked(Agent(rules(), tools=[find_ships]), "ships to Beijing")


def test_rank_prefers_words_that_few_tools_have():
    tools = [
        ToolDefinition(name=name, description=f"Finds {name.partition('_')[2]} in a city.")
        for name in ("find_hotels", "find_sights", "find_trains")
    ]
    assert next(tool.name for _, tool in rank("find sights", tools)) == "find_sights"
    assert rank("天气", tools) == []


def test_of_many_tools_the_one_that_shares_most_words_is_meant():
    called = []

    def make(name):
        def tool(city: str) -> str:
            called.append(name)
            return "done"

        return tool

    verbs = ("find", "book", "rate", "cancel", "compare", "list", "change", "price", "share")
    things = ("ships", "trains", "hotels", "parks", "museums", "operas", "taxis", "visas", "tickets")
    names = [f"{verb}_{thing}" for verb in verbs for thing in things]
    offered = [Tool(make(name), name=name, description=name.replace("_", " ")) for name in names]
    asyncio.run(Agent(rules(), tools=offered).run("Please rate a hotel in Beijing"))
    assert called == ["rate_hotels"]
    asyncio.run(Agent(rules(), tools=offered).run("Please tell me of Beijing"))
    assert called == ["rate_hotels"]
