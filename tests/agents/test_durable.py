"""What nbagora takes from pydantic-ai's durable seam: each request and each tool call is a step, nothing is done twice,
and two equal runs leave the same records."""

import asyncio
import contextlib
import itertools
import json
import os
from types import SimpleNamespace

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, Tool
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

from crashes import Crashes, Died
from nbagora_lab.agents.defaults import Defaults
from nbagora_lab.agents.models import call, calls, function, scripted
from nbagora_lab.agents.pydantic import run_steps
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.hosted import HostedLog
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import AgentChanged, AgentError, BadAgent, LimitReached
from nbagora_lab.core.events import RecordType
from nbagora_lab.inspect.steps import STEP_TYPES, read_steps
from servers import server_options


@pytest.fixture
def crashes(tmp_path):
    crashes = Crashes(tmp_path)
    yield crashes
    crashes.close()


def asking(agent, prompt="周末去北京", defaults=None, **options):
    """A body that runs an agent as the task and gives its output."""

    async def body(journal):
        task = SimpleNamespace(id="ctx.t", agent="trip", clock=VirtualClock(), journal=journal)
        return (await run_steps(agent, prompt, task, defaults or Defaults(), **options)).output

    return body


def steps(crashes):
    return {step.key: step for step in read_steps(crashes._log, "sessions/ctx")}


def bodies(crashes):
    return [one.body for one in crashes.records() if one.type in STEP_TYPES]


class Train(BaseModel):
    number: str
    price: float


def trip(done):
    """An agent of four model steps and three tool steps, two of them asked for at once; `done` gets what they do."""

    def find_trains(to: str) -> list[Train]:
        """Finds trains."""
        done.append(f"trains {to}")
        return [Train(number="G1", price=553.0)]

    async def find_hotels(city: str) -> dict[str, object]:
        """Finds hotels."""
        done.append(f"hotels {city}")
        return {"name": "Jade", "price": 480}

    def book(hotel: str) -> str:
        """Books a hotel."""
        done.append(f"book {hotel}")
        return f"booked {hotel}"

    def think(messages, info):
        done.append("model")
        return "The trip stands."

    model = scripted(
        calls(call("find_trains", to="北京"), call("find_hotels", city="北京")), call("book", hotel="Jade"), think
    )
    tools = [Tool(tool, metadata={"idempotent": True}) for tool in (find_trains, find_hotels, book)]
    return Agent(model, name="trip", instructions="Plan.", tools=tools)


PATHS = {"trains 北京": "find_trains", "hotels 北京": "find_hotels", "book Jade": "book", "model": "model.3"}


def test_each_request_and_each_tool_call_is_a_step(crashes):
    done = []
    assert crashes.run(asking(trip(done))) == "The trip stands."
    found = steps(crashes)
    assert list(found) == ["model", "find_trains", "find_hotels", "model.2", "book", "model.3"]
    assert found["model"].model == "scripted"
    assert found["model"].input == {"messages": 1, "new": [{"user": "周末去北京"}]}
    assert [part["tool_call_id"] for part in found["model"].output["parts"]] == ["call-1", "call-2"]
    assert found["find_trains"].input == {"to": "北京"}
    assert found["find_trains"].output == [{"number": "G1", "price": 553.0}]
    assert found["model.2"].input == {"messages": 3, "new": [{"tool": "find_trains"}, {"tool": "find_hotels"}]}
    assert found["model.3"].tokens > 0
    [run] = [run for one in bodies(crashes) for run in json.loads(one).get("agents", ())]
    was = run["is"]
    assert (run["agent"], was["instructions"], was["model"]) == ("trip", "Plan.", "scripted")
    assert set(was["tools"]) == {"find_trains", "find_hotels", "book"}


def test_two_equal_runs_leave_the_same_records(tmp_path):
    left = []
    for number in range(2):
        crashes = Crashes(tmp_path / str(number))
        crashes.run(asking(trip([])))
        left.append(bodies(crashes))
        crashes.close()
    assert left[0] == left[1]
    assert len(left[0]) == 12


def test_a_run_that_is_done_is_given_without_any_call(crashes):
    crashes.run(asking(trip([])))
    again = []
    assert crashes.run(asking(trip(again))) == "The trip stands."
    assert again == []


@contextlib.contextmanager
def embedded(folder):
    log = EmbeddedLog(folder, clock=VirtualClock())
    try:
        yield log
    finally:
        log.close()


@contextlib.contextmanager
def on_rocketmq(folder):
    from nbagora_lab.broker.rocketmq.log import RocketLog

    shared = RocketLog(**server_options("rocketmq"), lab=f"lab{os.urandom(6).hex()}", clock=VirtualClock())
    log = HostedLog(shared, EmbeddedLog(folder, clock=VirtualClock()))
    try:
        yield log
        shared.remove()
    finally:
        log.close()


ON_ROCKETMQ = pytest.param(on_rocketmq, marks=[pytest.mark.campaign, pytest.mark.server("rocketmq")])


@pytest.mark.parametrize("store", [embedded, ON_ROCKETMQ])
def test_after_a_crash_behind_any_record_nothing_finished_is_done_again(tmp_path, store):
    with store(tmp_path / "whole") as log:
        whole = Crashes(tmp_path, log=log)
        whole.run(asking(trip([])))
        wanted = {key: step.output for key, step in steps(whole).items()}
    crashed = 0
    for after in itertools.count():
        with store(tmp_path / str(after)) as log:
            crashes = Crashes(tmp_path, log=log)
            try:
                crashes.run(asking(trip([])), after=after)
            except Died:
                crashed += 1
            else:
                break
            before = {key for key, step in steps(crashes).items() if step.state == "done"}
            done = []
            assert crashes.run(asking(trip(done))) == "The trip stands."
            assert {key: step.output for key, step in steps(crashes).items()} == wanted
            assert not {PATHS[what] for what in done} & before
    assert crashed == 12  # six steps of two records


def test_a_tool_that_is_not_idempotent_and_may_have_run_is_the_users_to_decide(tmp_path):
    crashes = Crashes(tmp_path, lambda question, metadata: 'done: "booked 7"')
    booked = []

    def book(room: int) -> str:
        booked.append(room)
        return f"booked {room}"

    def agent():
        return Agent(scripted(call("book", room=7), "Done."), name="trip", tools=[book])

    with pytest.raises(Died):
        crashes.run(asking(agent()), after=3)  # two of the model's, the tool's intent
    assert booked == [7]
    assert crashes.run(asking(agent())) == "Done."
    assert booked == [7]
    assert "'book'" in crashes.questions[0]
    assert steps(crashes)["book"].about["decided"] == "user"
    crashes.close()


def test_a_retry_that_a_tool_asks_for_is_on_record_and_asked_for_again(crashes):
    done = []

    def agent():
        def find(city: str) -> str:
            done.append(city)
            if city == "Peking":
                raise ModelRetry("say 北京")
            return "found"

        return Agent(scripted(call("find", city="Peking"), call("find", city="北京"), "ok"), name="a", tools=[find])

    assert crashes.run(asking(agent())) == crashes.run(asking(agent())) == "ok"
    assert done == ["Peking", "北京"]
    found = steps(crashes)
    assert found["find"].output == {"nbagora:outcome": "retry", "message": "say 北京"}
    assert found["model.2"].input["new"] == [{"tool": "find", "is": "retried"}]


@pytest.mark.parametrize(("answer", "booked"), [("yes", ["Jade"]), ("好。", ["Jade"]), ("no, too dear", [])])
def test_a_tool_that_needs_approval_asks_the_user(tmp_path, answer, booked):
    asked, done = [], []
    crashes = Crashes(tmp_path, lambda question, metadata: asked.append(metadata) or answer)

    def agent():
        def book(hotel: str) -> str:
            done.append(hotel)
            return "booked"

        return Agent(
            scripted(call("book", hotel="Jade"), lambda messages, info: str(messages[-1].parts[0].content)),
            name="a",
            tools=[Tool(book, requires_approval=True)],
        )

    said = crashes.run(asking(agent()))
    assert done == booked
    assert said == ("booked" if booked else "The user said no: no, too dear")
    assert crashes.questions == ["May I call book with hotel Jade? Answer 'yes', or say why not."]
    assert asked == [{"choices": ["yes", "no"], "tool": "book", "input": {"hotel": "Jade"}}]
    assert crashes.run(asking(agent())) == said  # neither asked nor booked again
    assert (len(asked), done) == (1, booked)
    crashes.close()


def test_words_come_as_they_are_said_and_also_when_they_are_read(crashes):
    def agent():
        return Agent(scripted("Sunny in 北京"), name="a")

    heard, read = [], []
    crashes.run(asking(agent(), say=heard.append))
    crashes.run(asking(agent(), say=read.append))
    assert (len(heard), "".join(heard), read) == (3, "Sunny in 北京", ["Sunny in 北京"])


def test_structured_output_is_what_it_was(crashes):
    def agent():
        return Agent(scripted(call("final_result", number="G1", price=5)), name="a", output_type=Train)

    assert crashes.run(asking(agent())) == crashes.run(asking(agent())) == Train(number="G1", price=5)


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_a_changed_agent_does_not_go_on(crashes):
    with pytest.raises(Died):
        crashes.run(asking(trip([])), after=3)
    other = trip([])
    other._instructions = Agent(instructions="Plan well.")._instructions
    with pytest.raises(AgentChanged, match=r'instructions was "Plan\.", is "Plan well\."'):
        crashes.run(asking(other))


def test_a_server_that_offers_other_tools_does_not_go_on(crashes):
    from mcp.server.mcpserver import MCPServer

    from nbagora_lab.agents.task import running
    from nbagora_lab.agents.tools import mcp

    def asking_server(about):
        server = MCPServer("sky")
        server.tool(name="look", description=about)(lambda: "blue")
        agent = Agent(scripted(call("look"), "blue it is"), name="a", toolsets=[mcp(server)])

        async def body(journal):
            running.set(SimpleNamespace(journal=journal))
            return await asking(agent)(journal)

        return body

    with pytest.raises(Died):
        crashes.run(asking_server("Looks up."), after=2)
    with pytest.raises(AgentChanged, match=r"'mcp sky' has changed .*: tools: 'look' was"):
        crashes.run(asking_server("Looks down."))
    assert crashes.run(asking_server("Looks up.")) == "blue it is"


def test_a_script_of_several_runs_goes_on_with_the_next_one(crashes):
    def twice():
        agent = Agent(scripted(["one"], ["two"]), name="a")  # as a process that comes after has it

        async def body(journal):
            async def ask():
                return await asking(agent, name="a")(journal)

            return [await journal.step(RecordType.FLOW_STEP, "a", ask, idempotent=True) for _ in range(2)]

        return body

    with pytest.raises(Died):
        crashes.run(twice(), after=5)
    assert crashes.run(twice()) == ["one", "two"]


def test_a_tool_that_raises_fails_the_run_and_its_step(crashes):
    def broken() -> str:
        raise ValueError("no rails")

    with pytest.raises(ValueError, match="no rails"):
        crashes.run(asking(Agent(scripted(call("broken")), name="a", tools=[broken])))
    assert steps(crashes)["broken"].error == {"kind": "ValueError", "what": "no rails", "hint": ""}


@pytest.mark.parametrize("sync", [True, False])
def test_a_tool_that_hangs_is_left_and_the_model_is_told(crashes, sync):
    import threading

    release = threading.Event()

    def hang() -> str:
        release.wait(20)
        return "late"

    async def hang_async() -> str:
        await asyncio.sleep(20)
        return "late"

    tool = Tool(hang if sync else hang_async, name="hang")
    agent = Agent(scripted(call("hang"), lambda messages, info: messages[-1].parts[0].content), name="a", tools=[tool])

    async def body(journal):
        try:
            return await asking(agent, defaults=Defaults(tool_timeout=0.05))(journal)
        finally:
            release.set()

    assert crashes.run(body) == "hang took longer than 0.05 s"


def test_a_tool_that_gives_50_mb_is_refused_and_the_model_is_told(crashes):
    agent = Agent(
        scripted(call("large"), lambda messages, info: messages[-1].parts[0].content),
        name="a",
        tools=[Tool(lambda: "x" * 50_000_000, name="large", takes_ctx=False)],
    )
    assert crashes.run(asking(agent)) == "large gave 50,000,000 characters, more than the 1,048,576 allowed"
    assert max(len(body) for body in bodies(crashes)) < 10_000


def test_a_tool_that_gives_what_json_can_not_hold_fails(crashes):
    agent = Agent(scripted(call("odd"), "x"), name="a", tools=[Tool(object, name="odd", takes_ctx=False)])
    with pytest.raises(Exception, match="object"):
        crashes.run(asking(agent))
    assert steps(crashes)["odd"].state == "failed"


def test_a_model_that_loops_reaches_its_limit(crashes):
    def again(messages, info):
        return ModelResponse(parts=[ToolCallPart("tick", {}, tool_call_id=f"call-{len(messages)}")])

    agent = Agent(function(again), name="a", tools=[Tool(lambda: "tock", name="tick", takes_ctx=False)])
    with pytest.raises(LimitReached, match="request_limit of 5"):
        crashes.run(asking(agent, defaults=Defaults(requests=5)))
    assert sum(step.kind == "model" for step in steps(crashes).values()) == 5


def test_a_budget_of_nothing_asks_nobody(crashes):
    with pytest.raises(LimitReached, match="request_limit of 0"):
        crashes.run(asking(Agent(scripted("x"), name="a"), defaults=Defaults(requests=0)))
    assert steps(crashes) == {}


def test_no_tool_calls_are_left_to_a_budget_of_nothing(crashes):
    agent = Agent(scripted(call("tick"), "x"), name="a", tools=[Tool(lambda: "tock", name="tick", takes_ctx=False)])
    with pytest.raises(LimitReached, match="tool_calls_limit of 0"):
        crashes.run(asking(agent, defaults=Defaults(tool_calls=0)))
    assert "tick" not in steps(crashes)


def test_a_model_that_calls_a_tool_that_there_is_not_is_told_and_then_fails(crashes):
    agent = Agent(scripted(*[call("missing")] * 5), name="a", tools=[Tool(lambda: "x", name="there", takes_ctx=False)])
    with pytest.raises(AgentError, match="missing"):
        crashes.run(asking(agent))
    assert steps(crashes)["model.2"].input["new"][0]["tool"] == "missing"


def test_a_model_that_answers_a_broken_schema_is_told_and_then_fails(crashes):
    agent = Agent(scripted(*[call("final_result", number=1, price="dear")] * 5), name="a", output_type=Train)
    with pytest.raises(AgentError, match="scripted"):
        crashes.run(asking(agent))
    assert len(steps(crashes)) == 2


def test_an_agent_without_a_model_says_so(crashes):
    with pytest.raises(BadAgent, match="no model"):
        crashes.run(asking(Agent(name="a")))


def test_a_model_that_fails_fails_the_run(crashes):
    def broken(messages, info):
        raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        crashes.run(asking(Agent(FunctionModel(broken), name="a")))
    assert steps(crashes)["model"].error["kind"] == "ConnectionError"


def test_text_beside_a_tool_call_is_said_too(crashes):
    said = []

    def talk(messages, info):
        if len(messages) == 1:
            return ModelResponse(parts=[TextPart("Looking."), ToolCallPart("tick", {}, tool_call_id="call-1")])
        return "Found."

    agent = Agent(function(talk), name="a", tools=[Tool(lambda: "tock", name="tick", takes_ctx=False)])
    assert crashes.run(asking(agent, say=said.append)) == "Found."
    assert said == ["Looking.", "Found."]


def test_an_agent_without_a_name_goes_by_its_tasks_each_time(lab):
    lab.define("nameless", Agent(scripted(["one"], ["two"])))
    tasks = [lab.ask("nameless", "x") for _ in range(2)]
    runs = [
        run["agent"]
        for task in tasks
        for one in lab.broker.read(task.topic)
        if one.type == RecordType.STEP_MODEL
        for run in json.loads(one.body).get("agents", ())
    ]
    assert runs == ["nameless", "nameless"]
