"""Flows whose members are agents elsewhere: questions that these ask, and releases of theirs, reach the flow's user."""

import pytest
from pydantic_ai import Agent

from nbagora_lab.agents.models import call, scripted
from nbagora_lab.agents.tools import remote, tools
from nbagora_lab.core.errors import EndpointNotFound, TaskFailed
from nbagora_lab.flows import Discussion, ask, chain, discuss, parallel, person, repeatable
from nbagora_lab.lab import Lab


async def hotel(message, task):
    """Finds a room on a day."""
    day = (await task.ask("Which day?")).text
    nights = (await task.ask(f"On {day}: how many nights?")).text
    return f"a room in {message.text} on {day}, {nights} nights"


async def trip(message, task):
    """Plans a trip."""
    return await chain(message, "hotel", str.upper)


def told(messages, info):
    return messages[-1].parts[0].content


@pytest.fixture
def lab(tmp_path):
    with Lab(store=tmp_path / "here", token="") as lab:
        yield lab


def answered(lab, task, *answers):
    """The task once it was given these answers, and its questions."""
    asked = []
    for answer in answers:
        asked.append(task.question)
        task = lab.answer(task, answer)
    return task, asked


# -- questions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flow", "tool", "call", "sync"])
def test_what_a_called_agent_asks_is_asked_of_the_user_and_answered(lab, how):
    lab.define("hotel", hotel)
    if how == "flow":
        lab.define("trip", trip)
    elif how == "tool":
        model = scripted(call("ask_hotel", message="北京"), told)
        lab.define("trip", Agent(model, toolsets=[tools(remote("hotel"))]))
    elif how == "call":

        async def calls(message, task):
            return (await task.call("hotel", message, forward=True)).text

        lab.define("trip", calls)
    else:

        def calls_at_once(message, task):
            return task.call("hotel", message, forward=True).text

        lab.define("trip", calls_at_once)

    task, asked = answered(lab, lab.ask("trip", "北京"), "Friday", "2")

    assert asked == ["hotel asks: Which day?", "hotel asks: On Friday: how many nights?"]
    assert task.text.lower() == "a room in 北京 on friday, 2 nights"
    [called] = lab.tasks(agent="hotel")
    assert called.state == "COMPLETED"
    assert [row.lane for row in lab.steps(task) if row.kind == "task"] == ["trip", "hotel"]


def test_a_question_of_an_agent_in_another_lab_is_answered_there(lab, tmp_path):
    with Lab(store=tmp_path / "there", token="") as there:
        info = there.define("hotel", hotel)

        async def trip(message, task):
            return await ask(info.url, message)

        lab.define("trip", trip)
        task, _ = answered(lab, lab.ask("trip", "北京"), "Friday", "2")
        assert task.text == "a room in 北京 on Friday, 2 nights"
        assert [one.state for one in there.tasks()] == ["COMPLETED"]


def test_a_question_outlives_the_lab_that_asked_it(tmp_path):
    def lab():
        lab = Lab(store=tmp_path / "store", token="")
        lab.define("hotel", hotel, resumable=True)
        lab.define("trip", trip, resumable=True)
        return lab

    with lab() as first:
        task = first.ask("trip", "北京")
        assert task.question == "hotel asks: Which day?"
    with lab() as second:
        task = second.answer(task.id, "Friday")
        assert task.question == "hotel asks: On Friday: how many nights?"
    with lab() as third:
        task = third.answer(task.id, "2")
        assert task.text == "A ROOM IN 北京 ON FRIDAY, 2 NIGHTS"
        assert len(third.tasks(agent="hotel")) == 1


# -- releases ----------------------------------------------------------------------------------------------------------


def version(text):
    async def inn(message, task):
        if text == "broken":
            raise OSError("no rooms")
        return text

    return inn


async def stay(message, task):
    """Asks for rooms, twice, each time in a conversation of its own."""
    return sorted((await parallel(message, one="inn", two="inn")).values())


def versions_of(lab, task):
    """The versions that answered a flow's calls."""
    return {one.text for one in lab.tasks(agent="inn") if one.context_id != task.context_id}


def test_a_flow_reaches_the_version_that_the_rules_lead_to(lab):
    lab.define("stay", stay)
    lab.define("inn", version("old"), version="1.0")
    lab.define("inn", version("new"), version="2.0")
    assert lab.ask("stay", "x").data[0] == ["new", "new"]

    lab.registry.rollback("inn")
    assert lab.ask("stay", "x").data[0] == ["old", "old"]

    lab.registry.label("inn", "stable", "1.0")
    lab.registry.canary("inn", "2.0", 50, rest="stable")
    answers = [room for _ in range(12) for room in lab.ask("stay", "x").data[0]]
    assert set(answers) == {"old", "new"}


def test_a_bad_release_is_taken_back_by_the_calls_of_flows(lab):
    lab.define("stay", stay)
    lab.define("inn", version("old"), version="1.0")
    lab.define("inn", version("broken"), version="2.0")
    lab.registry.label("inn", "stable", "1.0")
    lab.registry.canary("inn", "2.0", 50, rest="stable", errors=0.1, calls=3)

    ends = [lab.ask("stay", "x", check=False).state for _ in range(30)]

    assert "FAILED" in ends
    assert set(ends[-5:]) == {"COMPLETED"}
    assert lab.registry.rule("inn").weights == {"stable": 50.0}


def test_a_drained_endpoint_ends_what_it_has_and_a_flow_s_new_calls_go_elsewhere(lab, tmp_path):
    with Lab(store=tmp_path / "there", token="") as there:
        lab.define("trip", trip)
        info = there.define("hotel", hotel)
        lab.registry.publish(there.registry.get("hotel").card)
        far = lab.registry.register_endpoint("hotel", info.version, info.url)
        asking = lab.ask("trip", "北京")
        assert asking.question == "hotel asks: Which day?"

        lab.registry.drain(far.id)

        with pytest.raises((TaskFailed, EndpointNotFound)):  # nobody else has it yet
            lab.ask("trip", "上海")
        ended, _ = answered(lab, asking, "Friday", "2")
        assert ended.text == "A ROOM IN 北京 ON FRIDAY, 2 NIGHTS"
        lab.define("hotel", version("here"), version="9.0")
        assert lab.ask("trip", "上海").text == "HERE"
        assert [one.state for one in there.tasks()] == ["COMPLETED"]


# -- from other places -------------------------------------------------------------------------------------------------


def test_a_discussion_is_read_and_joined_from_another_lab_and_waits_for_a_person(lab, tmp_path):
    async def panel(message, task):
        """Discusses."""
        talk = repeatable(lambda asked: f"turn {len(asked['turns'])}")
        found = await discuss(message, {"ruled": talk, "you": person()}, rounds=2)
        return [turn["author"] for turn in found["turns"]]

    lab.define("panel", panel)
    task = lab.ask("panel", "去哪里")
    with Lab(store=tmp_path / "elsewhere", join=lab.url, token="") as other:
        heard = Discussion(other.broker, task.topic)
        assert [word.author for word in heard.words] == ["ruled"]
        heard.say("不要坐飞机", author="韩梅梅")
        task = other.answer(task.id, "北京!")
        assert "韩梅梅: 不要坐飞机" in task.question
        task = other.answer(task.id, "By train, then.")
        assert [word.author for word in heard.words] == ["ruled", "you", "韩梅梅", "ruled", "you"]
    assert lab.task(task.id).data == [["ruled", "you", "韩梅梅", "ruled", "you"]]


def test_the_records_of_a_flow_over_two_labs_have_one_trace_id(lab, tmp_path):
    lab.define("trip", trip)
    with Lab(store=tmp_path / "elsewhere", join=lab.url, token="") as other:
        other.define("hotel", version("far"))
        task = lab.ask("trip", "北京")
        assert task.text == "FAR"
        topics = {step.topic for step in lab.steps(task)}
        records = [record for topic in topics for record in lab.broker.read(topic)]
        assert len(topics) == 2
        assert len({record.traceparent.split("-")[1] for record in records if record.traceparent}) == 1
        assert {span["trace_id"] for span in lab.spans(task)} == {records[0].traceparent.split("-")[1]}
