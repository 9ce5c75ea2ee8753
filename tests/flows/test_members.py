"""Members of a flow inside a real lab: agents over A2A, pydantic-ai agents, functions; what they take, and limits."""

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent

from nbagora.models import call, function, scripted
from nbagora_lab.core.errors import BadAgent, TaskFailed, UsageError
from nbagora_lab.flows import Limits, ask, chain, discuss, handoff, member_of, parallel, repeatable, supervise
from nbagora_lab.inspect.steps import read_steps
from nbagora_lab.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(store=tmp_path_factory.mktemp("store"), cancel_grace=0.5) as lab:
        yield lab


def steps(lab, task):
    return {step.key: step for step in read_steps(lab.broker.log, task.topic, task.id)}


class Plan(BaseModel):
    city: str
    days: int = 2


# -- what is a member --------------------------------------------------------------------------------------------------


def test_what_can_be_no_member_is_refused(lab):
    async def yields(value):
        yield value

    for wrong in ("", 3, None, yields, lambda a, b, c: a):
        with pytest.raises(BadAgent):
            member_of(wrong)


def test_a_flow_outside_of_an_agent_says_so():
    import asyncio

    with pytest.raises(UsageError, match="no task runs here"):
        asyncio.run(chain("x", lambda value: value))


def test_functions_of_every_kind(lab):
    def with_task(value, task):
        return f"{value} {task.context_id[:3]}"

    class Adder:
        def __call__(self, value):
            return value + "!"

    @lab.agent(name="kinds")
    async def kinds(message, task):
        return await chain(message, with_task, Adder(), lambda value: Plan(city=value))

    assert lab.ask("kinds", "北京").data == [{"city": "北京 ctx!", "days": 2}]


def test_an_agent_that_gives_data_gives_that_and_one_that_fails_fails_the_flow(lab):
    @lab.agent(name="gives-data")
    async def gives_data(message, task):
        yield {"got": message.text or message.data}

    @lab.agent(name="caller")
    async def caller(message, task):
        return await parallel(message, a="gives-data", b=lambda value: ask("gives-data", {"x": value}))

    assert lab.ask("caller", "hi").data == [{"a": {"got": "hi"}, "b": {"got": [{"x": "hi"}]}}]

    @lab.agent(name="calls-nobody")
    async def calls_nobody(message, task):
        return await ask("nobody-there", message)

    with pytest.raises(TaskFailed, match="no agent 'nobody-there'"):
        lab.ask("calls-nobody", "x")


def test_a_pydantic_agent_is_asked_in_text_and_its_own_steps_stand_below(lab):
    def find(city: str) -> str:
        return f"hotel in {city}"

    planner = Agent(scripted(call("find", city="北京"), "The Jade."), tools=[find], name="planner")
    typed = Agent(scripted(call("final_result", city="北京")), output_type=Plan)

    @lab.agent(name="runs-agents")
    async def runs_agents(message, task):
        said = await ask(planner, {"task": message.text})
        return {"said": said, "typed": await ask(typed, said, name="typed")}

    task = lab.ask("runs-agents", "go")
    assert task.data == [{"said": "The Jade.", "typed": {"city": "北京", "days": 2}}]
    found = steps(lab, task)
    assert [key for key in found if key.startswith("planner")] == [
        "planner",
        "planner/model",
        "planner/find",
        "planner/model.2",
    ]
    assert found["planner"].about["model"] == "scripted"
    assert found["planner"].tokens > 0


# -- multi-agent forms on models ---------------------------------------------------------------------------------------


def test_a_model_passes_a_conversation_on_by_a_tool(lab):
    front = Agent(scripted(call("hand_to", agent="refunds", why="money")))
    refunds = Agent(function(lambda messages, info: f"seen: {messages[-1].parts[-1].content}"))

    @lab.agent(name="service")
    async def service(message, task):
        return await handoff(message, "front", {"front": front, "refunds": refunds})

    task = lab.ask("service", "退款")
    assert task.text.startswith("seen: user: 退款\nfront:  [passes it on to refunds: money]")


def test_a_model_supervises_workers_as_tools(lab):
    @lab.agent(name="hotels")
    async def hotels(message, task):
        yield f"Jade for {message.text}"

    boss = Agent(scripted(call("ask_hotels", message="北京"), call("ask_trains", message="x"), "done"), name="boss")

    def trains(request):
        raise RuntimeError("strike")

    @lab.agent(name="supervised")
    async def supervised(message, task):
        return await supervise(message, boss, {"hotels": "hotels", "trains": trains})

    task = lab.ask("supervised", "trip")
    assert task.text == "done"
    found = steps(lab, task)
    assert found["supervise/boss/ask_hotels/hotels"].output == "Jade for 北京"
    assert found["supervise/boss/ask_trains/trains"].state == "failed"
    assert "'trains' failed: " in str(found["supervise/boss/ask_trains"].output)


def test_models_discuss(lab):
    def speak(messages, info):
        return f"after {messages[-1].parts[-1].content.count(chr(10))} lines"

    @lab.agent(name="panel")
    async def panel(message, task):
        found = await discuss(message, {"a": Agent(function(speak)), "b": Agent(function(speak))}, rounds=1)
        return found["conclusion"]

    assert lab.ask("panel", "x").text == "after 2 lines"


# -- limits ------------------------------------------------------------------------------------------------------------


def limited(lab, name, limits, flow):
    @lab.agent(name=name)
    async def agent(message, task):
        async with Limits(**limits):
            return await flow(message)

    return lab.ask(name, "x", check=False)


def words():
    return Agent(function(lambda messages, info: "so many words " * 10, name="wordy"))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"steps": 0}, "the flow's limit of 0 steps is reached, after 0 steps"),
        ({"tokens": 0}, "the flow's limit of 0 tokens is reached, after 0 steps"),
        ({"cost": 0}, "the flow's limit of a cost of $0 is reached, after 0 steps"),
        ({"seconds": 0}, "the flow's limit of 0 s is reached"),
        ({"depth": 0}, "the flow's limit of 0 depth is reached"),
        ({"tokens": 50}, "tokens"),
    ],
)
def test_a_limit_that_is_reached_ends_the_task_and_is_named(lab, limits, said):
    async def flow(message):
        return await chain(message, words(), words(), words())

    task = limited(lab, "limited", limits, flow)
    assert task.state == "FAILED"
    assert said in task.error


def test_limits_below_nought_are_refused(lab):
    for limit in ("steps", "depth", "tokens", "cost", "seconds"):
        with pytest.raises(UsageError, match=f"Limits\\({limit}=-1\\)"):
            Limits(**{limit: -1})


def test_what_hangs_is_cancelled_when_its_time_is_up(lab):
    import asyncio

    async def hangs(value):
        await asyncio.Event().wait()

    async def flow(message):
        return await ask(hangs, message)

    assert "limit of 0.05 s" in limited(lab, "hangs", {"seconds": 0.05}, flow).error


def test_a_flow_may_answer_with_what_it_has(lab):
    async def flow(message):
        said = []
        try:
            async with Limits(steps=2):
                said.extend([await ask(repeatable(str.upper), "a", name=f"s{n}") for n in range(9)])
        except Exception as error:
            said.append(type(error).__name__)
        return str(said)

    assert limited(lab, "partial", {}, flow).text == "['LimitReached']"


def test_an_agent_that_calls_itself_ends_and_says_so(lab):
    @lab.agent(name="mirror")
    async def mirror(message, task):
        return await ask("mirror", message)

    task = lab.ask("mirror", "x", check=False)
    assert task.error == "'mirror' failed: 'mirror' can't be called: no levels of calls are left"
    assert len(lab.tasks(agent="mirror")) == 17


def test_depth_is_counted_through_other_agents(lab):
    @lab.agent(name="deep")
    async def deep(message, task):
        left = int(message.text)
        return "bottom" if not left else await ask("deep", str(left - 1))

    @lab.agent(name="top")
    async def top(message, task):
        async with Limits(depth=3):
            return await ask("deep", message)

    assert lab.ask("top", "2").text == "bottom"
    assert "no levels of calls are left" in lab.ask("top", "3", check=False).error


def test_what_an_agent_took_is_counted_by_who_asked_it(lab):
    lab.define("wordy", words())

    @lab.agent(name="pays")
    async def pays(message, task):
        async with Limits(tokens=100_000):
            return await chain(message, "wordy", "wordy")

    task = lab.ask("pays", "x")
    found = steps(lab, task)
    [one, two] = [found["chain/wordy"].tokens, found["chain/wordy.2"].tokens]
    assert one > 40
    assert found["chain"].tokens == one + two
    [usage] = [event.raw["statusUpdate"]["metadata"] for event in task.events if event.state == "COMPLETED"]
    assert usage["urn:nbagora:usage:1"]["usage"]["output_tokens"] == found["chain"].about["usage"]["output_tokens"]
