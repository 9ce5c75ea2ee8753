"""Tools of all kinds in one list: functions, an official MCP server on standard input and over HTTP, other agents; what
is told where one of them dies in mid-call; and the search over many."""

import os
import signal
import sys
import threading

import pytest
from pydantic_ai import Agent

from mcp_server import serving
from nbagora_lab.agents.models import call, scripted
from nbagora_lab.agents.rules import rules
from nbagora_lab.agents.tools import approve, mcp, remote, repeatable, search_tools, tools
from nbagora_lab.core.errors import BadAgent, TaskFailed, UsageError
from nbagora_lab.inspect.steps import read_steps

SERVER = """
import os, sys, time
from mcp.server.mcpserver import MCPServer

server = MCPServer("sky", version="1.2.0")

@server.tool()
def look(city: str) -> dict[str, str]:
    '''看天空: the sky over a city.'''
    return {"city": city, "sky": "blue"}

@server.tool()
def stand_still(file: str) -> str:
    '''Waits for ever.'''
    open(file, "w").write(str(os.getpid()))
    time.sleep(60)
    return "late"

@server.tool()
def fail() -> str:
    '''Fails.'''
    raise ValueError("no sky")

if len(sys.argv) > 1:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run()
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("mcp") / "sky.py"
    path.write_text(SERVER, encoding="utf-8")
    return path


@pytest.fixture
def over_http(program):
    with serving(program) as url:
        yield url


def last(messages, info):
    return str(messages[-1].parts[0].content)


def steps(lab, task):
    return {step.key: step for step in read_steps(lab.broker.log, f"sessions/{task.context_id}", task.id)}


def test_a_server_on_standard_input_is_an_agents_tool(lab, program):
    sky = mcp(f"stdio:{sys.executable} {program}")
    lab.define("sky", Agent(scripted(call("look", city="北京"), last), toolsets=[tools(sky)]))
    task = lab.ask("sky", "x")
    assert task.text == "{'city': '北京', 'sky': 'blue'}"
    step = steps(lab, task)["look"]
    assert (step.output, step.about["source"]) == ({"city": "北京", "sky": "blue"}, "mcp sky")


def test_a_server_over_http_does_the_same_and_the_rules_find_it(lab, over_http):
    lab.define("sky-http", Agent(rules(), toolsets=[tools(mcp(over_http))]))
    assert lab.ask("sky-http", "look at the sky over Beijing").text.startswith("look: city Beijing, sky blue")


def test_what_a_servers_tool_raises_is_told_to_the_model(lab, program):
    sky = mcp(f"stdio:{sys.executable} {program}")
    lab.define("sky-fails", Agent(scripted(call("fail"), last), toolsets=[sky]))
    assert lab.ask("sky-fails", "x").text == "Error executing tool fail"


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["stdio", "http"])
def test_a_server_that_is_killed_in_mid_call_is_told_and_the_run_goes_on(lab, program, over_http, tmp_path, how):
    file = tmp_path / "pid"
    server = over_http if how == "http" else f"stdio:{sys.executable} {program}"
    model = scripted(call("stand_still", file=str(file)), last)
    lab.define("sky-dies", Agent(model, toolsets=[mcp(server, name="sky")]))
    task = lab.send("sky-dies", "x")
    until = threading.Event()
    while not (file.exists() and file.read_text()):
        assert lab.task(task.id).state in {"SUBMITTED", "WORKING"}
        until.wait(0.05)
    os.kill(int(file.read_text()), signal.SIGKILL)
    ended = lab.wait(task, timeout=60)
    assert "nobody knows whether it was carried out" in ended.text
    assert steps(lab, ended)["stand_still"].output["nbagora:outcome"] == "failed"


def test_a_server_that_does_not_start_fails_the_task_with_the_reason(lab):
    lab.define("no-sky", Agent(scripted("x"), toolsets=[mcp("stdio:/bin/false")]))
    with pytest.raises(TaskFailed, match="can't be reached"):
        lab.ask("no-sky", "x")


@pytest.mark.parametrize("server", ["", "stdio:", "sky"])
def test_what_names_no_server_is_refused_where_it_is_written(server):
    with pytest.raises(UsageError, match="names no MCP server"):
        mcp(server)


def test_another_agent_is_a_tool_and_its_task_is_a_child(lab):
    @lab.agent(name="hotels")
    async def hotels(message, task):
        yield f"Jade, for {message.text!r}"

    lab.define("asks", Agent(scripted(call("ask_hotels", message="北京"), last), toolsets=[tools(remote("hotels"))]))
    task = lab.ask("asks", "x")
    assert task.text == "Jade, for '北京'"
    assert steps(lab, task)["ask_hotels"].about["source"] == "agent hotels"


def test_an_agent_that_calls_itself_comes_to_an_end(lab):
    lab.define("narcissus", Agent(rules(), toolsets=[tools(remote("narcissus", "Mirrors what is said."))]))
    task = lab.ask("narcissus", "mirror mirror", timeout=120, check=False)
    assert task.state == "COMPLETED" or "no levels of calls are left" in task.error


def test_functions_servers_and_agents_stand_in_one_list(program):
    def find() -> str:
        return ""

    one = tools(find, mcp(f"stdio:{sys.executable} {program}"), "hotels")
    labels: list[str] = []
    one.apply(lambda leaf: labels.append(leaf.id))
    assert labels == ["functions", f"mcp stdio:{sys.executable} {program}", "agents hotels"]
    with pytest.raises(BadAgent, match="a int among the tools"):
        tools(7)


def test_what_a_tool_declares_is_kept():
    def book() -> str:
        return ""

    assert approve(book).requires_approval
    assert repeatable(approve(book)).metadata == {"idempotent": True}


def test_a_tool_that_needs_approval_names_the_answers_for_the_view(lab):
    def book(hotel: str) -> str:
        return f"booked {hotel}"

    lab.define("books", Agent(scripted(call("book", hotel="Jade"), last), tools=[approve(book)]))
    task = lab.ask("books", "x")
    shown = lab.view_source().tasks(selected=None, agent="books", state=None, limit=9).rows[0]
    assert (shown.question, shown.choices) == (task.question, ("yes", "no"))
    assert lab.answer(task, "yes").text == "booked Jade"
    assert lab.view_source().tasks(selected=None, agent="books", state=None, limit=9).rows[0].choices == ()


def many():
    def make(number):
        def tool(city: str) -> str:
            return f"{number} {city}"

        return tool

    from pydantic_ai import Tool

    things = ["ship", "train", "hotel", "museum", "park", "opera", "taxi", "visa", "ticket", "bridge"]
    verbs = ["find", "book", "cancel", "rate", "compare", "list"]
    named = [(f"{verb}_{thing}s", f"{verb.title()}s {thing}s in a city.") for verb in verbs for thing in things]
    return [Tool(make(name), name=name, description=about) for name, about in named]


def test_many_tools_are_searched_and_not_read(lab):
    from pydantic_ai.models.function import FunctionModel

    seen = []

    def watching(messages, info):
        seen.append([tool.name for tool in info.function_tools])
        return rules().function(messages, info)

    together = tools(*many())
    assert search_tools([together])
    lab.define("many", Agent(FunctionModel(watching), toolsets=[together]))
    task = lab.ask("many", "compare museums in Beijing")
    assert seen[0] == ["search_tools"]
    assert "compare_museums: compare_museums Beijing" in task.text
    assert len(seen[1]) <= 6
    assert list(steps(lab, task))[:2] == ["model", "search_tools"]
