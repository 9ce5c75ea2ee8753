"""An agent's inbox: who gets a turn when, how many at once, what can be seen and done meanwhile, and after a crash."""

import json
import threading

import httpx
import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict

from a2a_agents import Gates
from bindings import Binding, user_message
from nbagora_lab.a2a.handler import LogRequestHandler
from nbagora_lab.a2a.wire import INBOX_EXTENSION
from nbagora_lab.agents.inbox import inbox_name
from nbagora_lab.core.errors import StoreError, UsageError
from nbagora_lab.core.events import RecordType, decode
from nbagora_lab.inspect.fold import LOG_EXTENSION
from nbagora_lab.lab import Lab
from task_logs import as_owner
from waiting import until


@pytest.fixture
def gates():
    return Gates()


@pytest.fixture
def narrow(lab, gates, request):
    """An agent that takes two at a time, each until its gate is opened; gives the order in which it was called."""
    name = f"narrow-{abs(hash(request.node.name))}"
    called = []

    async def narrow(message, task):
        called.append(message.text)
        gates.come("called")
        await gates(message.text)
        return message.text

    lab.define(name, narrow, concurrency=2)
    narrow.name, narrow.called = name, called
    yield narrow
    lab.remove(name)


@pytest.fixture
def busy(lab, gates, narrow):
    """`narrow`, at work on two messages: the gates "0" and "1" let it go on."""
    for number in range(2):
        lab.send(narrow.name, f"{number}")
    gates.wait_for("called", 2)
    return narrow


@pytest.fixture
def http(lab):
    with httpx.Client(headers={"Authorization": f"Bearer {lab.token}"}, timeout=30, trust_env=False) as http:
        yield http


def metadata(task):
    return task.raw["metadata"].get(INBOX_EXTENSION)


def test_only_so_many_are_at_work_and_the_others_wait_in_line(lab, gates, narrow):
    tasks = [lab.send(narrow.name, f"{number}") for number in range(5)]
    gates.wait_for("called", 2)
    assert sorted(narrow.called) == ["0", "1"]
    assert [lab.task(task.id).state for task in tasks] == ["WORKING"] * 2 + ["SUBMITTED"] * 3
    places = [metadata(lab.task(task.id)) for task in tasks]
    assert places[:2] == [None, None]
    assert [place["place"] for place in places[2:]] == ["1", "2", "3"]
    assert places[2]["held"] == f"{narrow.name} is at work on 2 tasks and takes 2 at once"
    [info] = [one for one in lab.agents() if one.name == narrow.name]
    assert (info.running, info.queued, info.concurrency) == (2, 3, 2)
    stats = lab.broker.stats(inbox_name(narrow.name))
    assert (stats.ready, len(stats.leases)) == (3, 2)
    for number in range(5):
        gates.open(f"{number}")
    assert [lab.wait(task).text for task in tasks] == ["0", "1", "2", "3", "4"]
    assert narrow.called[2:] == ["2", "3", "4"]


def test_a_task_that_waits_is_cancelled_without_a_call(lab, gates, narrow):
    tasks = [lab.send(narrow.name, f"{number}") for number in range(4)]
    gates.wait_for("called", 2)
    assert lab.cancel(tasks[2]).state == "CANCELED"
    assert metadata(lab.task(tasks[3].id))["place"] == "1"
    for number in range(4):
        gates.open(f"{number}")
    assert lab.wait(tasks[3]).text == "3"
    assert narrow.called == ["0", "1", "3"]


def test_a_higher_priority_overtakes(lab, gates, busy, http):
    call = Binding(http, f"{lab.url}/agents/{busy.name}", "HTTP+JSON")

    def send(text, metadata=None, **headers):
        message = user_message(text, **({"metadata": {INBOX_EXTENSION: metadata}} if metadata else {}))
        sent = call("SendMessage", {"message": message, "configuration": {"returnImmediately": True}}, **headers)
        return sent.task["id"]

    ordinary = send("ordinary")
    by_header = send("by header", nbagora_priority="3")
    by_metadata = send("by metadata", {"priority": 7, "tenant": "acme"})
    places = [
        call("GetTask", {"id": one}).task["metadata"][INBOX_EXTENSION]["place"]
        for one in (ordinary, by_header, by_metadata)
    ]
    assert places == ["3", "2", "1"]
    for text in ("0", "1", "ordinary", "by header", "by metadata"):
        gates.open(text)
    for task in (ordinary, by_header, by_metadata):
        lab.wait(task)
    assert busy.called[2:] == ["by metadata", "by header", "ordinary"]
    tenants = {one.tenant: one.served for one in lab.broker.stats(inbox_name(busy.name)).tenants}
    assert tenants == {"": 4, "acme": 1}


def test_who_sends_much_leaves_others_their_share(lab, gates, busy, http):
    call = Binding(http, f"{lab.url}/agents/{busy.name}", "JSONRPC")
    sent = []
    for tenant, texts in (("acme", ["a1", "a2", "a3", "a4"]), ("beta", ["b1", "b2"])):
        for text in texts:
            params = {"message": user_message(text), "configuration": {"returnImmediately": True}, "tenant": tenant}
            sent.append(call("SendMessage", params).task["id"])
            gates.open(text)
    gates.open("0")  # one place alone goes round
    for task in sent:
        lab.wait(task)
    gates.open("1")
    served = busy.called[2:]
    assert sorted(served[:4]) == ["a1", "a2", "b1", "b2"]
    assert [one for one in served if one.startswith("a")] == ["a1", "a2", "a3", "a4"]


@pytest.mark.parametrize(
    "plan", [{"priority": 256}, {"priority": 1.5}, {"priority": "x"}, {"cost": -1}, {"deadline": "soon"}, "high"]
)
def test_a_plan_that_does_not_fit_is_refused(lab, narrow, plan, http):
    call = Binding(http, f"{lab.url}/agents/{narrow.name}", "JSONRPC")
    answer = call("SendMessage", {"message": user_message("x", metadata={INBOX_EXTENSION: plan})})
    assert answer.code == -32602
    assert narrow.called == []


def test_the_groups_settings_rule(lab, gates, narrow):
    """A quota of the inbox's group holds messages back, says so, and lets go when it is lifted."""
    group = inbox_name(narrow.name)
    lab.broker.alter_group(group, quota="1/h")
    first, second = lab.send(narrow.name, "0"), lab.send(narrow.name, "1")
    gates.open("0")
    lab.wait(first)
    told = metadata(lab.task(second.id))
    assert told["place"] == "1"
    # the first one's lease may still be held: it is let go after the task has ended
    assert told["held"] in {"held back by quota", "held back by lease, quota"}
    lab.broker.alter_group(group, quota=None)
    gates.open("1")
    assert lab.wait(second).text == "1"


def test_who_waits_for_an_answer_takes_no_room(lab, gates):
    @lab.agent(concurrency=1)
    async def asks(message, task):
        gates.come(f"called {message.text}")
        answer = await task.ask("which?")
        await gates(answer.text)
        return f"{message.text} {answer.text}"

    first = lab.ask("asks", "a")
    second = lab.ask("asks", "b")  # though the first has not ended
    assert [first.state, second.state] == ["INPUT_REQUIRED"] * 2
    ended = []
    answers = [
        threading.Thread(target=lambda task=task, text=text: ended.append(lab.answer(task, text)))
        for task, text in ((first, "x"), (second, "y"))
    ]
    answers[0].start()
    gates.wait_for("x")
    answers[1].start()
    while lab.task(second.id).state != "SUBMITTED":  # its answer waits for the first to end
        gates.wait_for("x")
    assert metadata(lab.task(second.id))["place"] == "1"
    gates.open("x")
    gates.open("y")
    for one in answers:
        one.join(20)
    assert sorted(task.text for task in ended) == ["a x", "b y"]


def test_room_can_be_made(lab, gates, narrow):
    tasks = [lab.send(narrow.name, f"{number}") for number in range(4)]
    gates.wait_for("called", 2)
    lab.define(narrow.name, narrow, concurrency=4)
    gates.wait_for("called", 4)
    for number in range(4):
        gates.open(f"{number}")
    assert [lab.wait(task).text for task in tasks] == ["0", "1", "2", "3"]


def test_a_concurrency_of_nothing_is_refused(lab):
    with pytest.raises(UsageError, match="concurrency"):
        lab.define("none", lambda message: "", concurrency=0)


def test_a_burst_is_queued_and_served(lab, gates):
    """A thousand at once on an agent that takes four: none is refused, never more than four at work, each once."""
    at_work, most, done = [], [], []

    @lab.agent(concurrency=4)
    async def four(message, task):
        at_work.append(1)
        most.append(len(at_work))
        await gates("burst")
        at_work.pop()
        done.append(message.text)
        gates.come("done")

    hosted = lab._hosting._hosted["four"]
    handler = LogRequestHandler(lab._runs.tasks, "four", lambda: hosted.message, lambda: hosted.runner)
    at_once = pb.SendMessageConfiguration(return_immediately=True)

    async def burst():
        for number in range(1000):
            message = ParseDict(user_message(f"{number}"), pb.Message())
            await handler.send_json(pb.SendMessageRequest(message=message, configuration=at_once), as_owner())

    lab.service.call(burst)
    gates.wait_for("burst", 4)
    [info] = [one for one in lab.agents() if one.name == "four"]
    assert (info.running, info.queued) == (4, 996)
    gates.open("burst")
    gates.wait_for("done", 1000, timeout=120)
    assert max(most) == 4
    assert sorted(done[:4]) == ["0", "1", "2", "3"]
    assert done[4:] == [f"{number}" for number in range(4, 1000)]


def references(lab, agent):
    group = inbox_name(agent)
    return [
        (record.subject, json.loads(record.body)["generation"])
        for lite in lab.broker.ls(group)
        if lite != "_events"
        for record in lab.broker.read(f"{group}/{lite}")
    ]


def test_what_waits_outlives_its_process(tmp_path, gates):
    async def narrow(message, task):
        await gates(message.text)
        return f"{message.text} {task.restarted}"

    with Lab(store=tmp_path) as lab:
        lab.define("narrow", narrow, concurrency=1)
        tasks = [lab.send("narrow", f"{number}") for number in range(3)]
        gates.wait_for("0")
        for _ in range(200):  # until the first is WORKING on record
            if lab.task(tasks[0].id).state == "WORKING":
                break
    for number in range(3):
        gates.open(f"{number}")
    with Lab(store=tmp_path) as lab:
        place = metadata(lab.task(tasks[1].id))
        assert place == {"place": "", "held": "narrow does not run"}
        lab.define("narrow", narrow, concurrency=1)
        assert lab.task(tasks[0].id).state == "FAILED"
        assert [lab.wait(task.id).text for task in tasks[1:]] == ["1 True", "2 True"]
        assert references(lab, "narrow") == [(task.id, 1) for task in tasks]  # none was needed anew


def test_a_task_without_a_reference_gets_one(tmp_path):
    """As an engine without transactions leaves it, when it dies between the two."""

    def echo(message):
        return message.text

    with Lab(store=tmp_path) as lab:
        tasklog = lab._runs.tasks
        live, *_ = tasklog.open("", "echo", user_message("left"))
    with Lab(store=tmp_path) as lab:
        lab.define("echo", echo)
        assert lab.wait(live.id).text == "left"
        assert references(lab, "echo") == [(live.id, 1)]


def test_a_resumable_agents_task_is_called_anew_and_others_fail(tmp_path, gates):
    async def works(message, task):
        yield f"{'again' if task.restarted else 'first'} "
        gates.come(f"spoke {message.text}")
        await gates("end")

    with Lab(store=tmp_path) as lab:
        lab.define("resumable", works, resumable=True)
        lab.define("plain", works)
        tasks = [lab.send(name, name) for name in ("resumable", "plain")]
        for name in ("resumable", "plain"):
            gates.wait_for(f"spoke {name}")
    gates.open("end")
    with Lab(store=tmp_path) as lab:
        lab.define("resumable", works, resumable=True)
        lab.define("plain", works)
        resumed = lab.wait(tasks[0].id)
        assert (resumed.state, resumed.text) == ("COMPLETED", "again ")  # it repeats itself, under the former ids
        assert len(resumed.raw["artifacts"]) == 1
        assert lab.task(tasks[1].id).state == "FAILED"
        generations = [event.generation for event in resumed.events]
        assert generations == list(range(1, len(generations) + 1))
        assert int(resumed.raw["metadata"][LOG_EXTENSION]["generation"]) == generations[-1]


def test_a_stopped_agents_messages_wait_for_it(lab, gates, narrow):
    tasks = [lab.send(narrow.name, f"{number}") for number in range(3)]
    gates.wait_for("called", 2)
    lab.remove(narrow.name)
    for number in range(3):
        gates.open(f"{number}")
    for task in tasks[:2]:
        while lab.task(task.id).state != "COMPLETED":
            gates.wait_for("called", 2)
    assert lab.task(tasks[2].id).state == "SUBMITTED"
    lab.define(narrow.name, narrow, concurrency=2)
    assert lab.wait(tasks[2]).text == "2"


def test_a_message_that_can_not_be_taken_up_takes_no_room_and_comes_again(tmp_path, monkeypatch):
    """As where servers are away just then."""
    with Lab(store=tmp_path) as lab:
        waits = Gates()

        async def one(message, task):
            waits.come("called")
            await waits("open")

        lab.define("one", one, concurrency=1)
        lab.send("one", "a")
        waits.wait_for("called")
        left = lab.send("one", "b")
    with Lab(store=tmp_path) as lab:
        log, refused = lab.broker.log, []
        append = log.append

        def away(entries):
            if not refused and [decode(stored, topic, 0).type for topic, stored in entries] == [RecordType.CLAIM]:
                refused.append(entries)
                raise StoreError("no space left", "make some")
            return append(entries)

        monkeypatch.setattr(log, "append", away)
        lab.define("one", lambda message: message.text, concurrency=1)
        until(lambda: lab.task(left.id).state == "COMPLETED")
        assert len(refused) == 1
        assert lab.ask("one", "c").text == "c"
