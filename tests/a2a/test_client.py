"""The client that resumes: with peers that know offsets and with those that don't, refusals, and how long it tries."""

import asyncio
import functools
import json
import socket

import httpx
import pytest

from cutting_proxy import CuttingProxy
from nbagora_lab.a2a.cardauth import OwnToken
from nbagora_lab.a2a.client import AgentClient, collect
from nbagora_lab.a2a.polling import Patience
from nbagora_lab.a2a.task import event_of
from nbagora_lab.core.errors import LabError, RemoteError, TaskNotFound, Unauthorized, Unreachable, UsageError
from stock_agent import StockAgent
from told import in_the_log, offset_of

QUICK = Patience(first=0.001, longest=0.002, total=0.01)


def say(text, **fields):
    return {"messageId": f"m-{text}", "contextId": "ctx", "role": "ROLE_USER", "parts": [{"text": text}], **fields}


def using(url, use, *, token="", name="agent", patience=None, cuts=None, options=None, **http):
    """What ``use(client)`` gives, with a client on `url`."""

    async def main():
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        on_cut = cuts.append if cuts is not None else None
        async with httpx.AsyncClient(headers=headers, timeout=20, trust_env=False, **http) as client:
            return await use(AgentClient(name, url, client, patience=patience, on_cut=on_cut, **(options or {})))

    return asyncio.run(main())


async def all_of(events):
    return [event async for event in events]


def streamed(message):
    """Sends a message and takes all events."""
    return lambda client: all_of(client.stream(message))


# -- our own doors -----------------------------------------------------------------------------------------------------


@pytest.fixture
def url(lab):
    return f"{lab.url}/agents"


def test_a_stream_is_what_the_log_has(lab, url):
    events = using(f"{url}/everything", streamed(say("x", contextId="client-1")), token=lab.token)
    told = in_the_log(lab, events[0].raw["task"]["id"])
    assert [(event.offset, event.generation) for event in events] == [
        (int(one["metadata"]["urn:nbagora:a2a-log:1"]["offset"]), number)
        for number, [one] in enumerate(map(dict.values, told), 1)
    ]
    assert [event.last for event in events] == [False] * (len(events) - 1) + [True]


def test_a_stream_stops_where_it_is_asked_something(lab, url):
    events = using(f"{url}/asker", streamed(say("day", contextId="client-2")), token=lab.token)
    assert (events[-1].state, events[-1].text) == ("INPUT_REQUIRED", "day?")


def test_following_a_task_from_the_beginning_in_the_middle_and_after_the_end(lab, url):
    task = lab.ask("everything", "x")
    told = in_the_log(lab, task.id)

    async def use(client):
        return [await all_of(client.follow(task.id, after=after)) for after in (-1, 2, task.events[4].offset, 10**6)]

    whole, after_first, middle, beyond = using(f"{url}/everything", use, token=lab.token)
    assert [(event.kind, event.state) for event in whole] == [("task", "COMPLETED")]
    assert [event.generation for event in after_first] == list(range(2, len(told) + 1))
    assert [event.generation for event in middle] == list(range(6, len(told) + 1))
    assert [event.kind for event in beyond] == ["task"]


def test_send_get_cancel(lab, url):
    async def use(client):
        sent = await client.send(say("gate of the client", contextId="client-3"))
        await asyncio.to_thread(lab.gates.wait_for, "gate of the client")
        return sent, await client.get(sent.id), await client.cancel(sent.id), await client.card()

    sent, got, canceled, card = using(f"{url}/gated", use, token=lab.token)
    assert [sent.state, got.state, canceled.state] == ["SUBMITTED", "WORKING", "CANCELED"]
    assert sent.topic == got.topic == "sessions/client-3"
    assert (got.status_text, card["name"]) == ("at the gate", "gated")


def test_a_plain_message(lab, url):
    async def use(client):
        return await client.send(say("x", contextId="client-4")), await all_of(
            client.stream(say("y", contextId="client-4"))
        )

    sent, events = using(f"{url}/plain", use, token=lab.token)
    assert (sent.plain, sent.text, sent.id) == (True, "plain x", "")
    assert [(event.kind, event.text, event.last) for event in events] == [("message", "plain y", True)]


def test_whole_numbers_stay_whole(lab, url):
    events = using(f"{url}/everything", streamed(say("x", contextId="client-5")), token=lab.token)
    artifacts = [event.raw["artifactUpdate"]["artifact"] for event in events if event.kind == "artifact"]
    [data] = [part["data"] for artifact in artifacts for part in artifact["parts"] if "data" in part]
    assert data == {"number": 1.5, "of": ["a", None, 3]}
    assert type(data["of"][2]) is int


def test_an_agent_is_called_by_its_card_in_hand(lab, tmp_path):
    with StockAgent(streaming=False) as peer:
        card = httpx.get(f"{peer.url}/.well-known/agent-card.json", trust_env=False, timeout=30).json()
        file = tmp_path / "card.json"
        file.write_text(json.dumps(card), encoding="utf-8")
        for whom in (card, file, str(file)):
            asked = lab.ask(whom, "one ?")
            assert (asked.agent, asked.state) == (peer.url, "INPUT_REQUIRED")
            assert lab.cancel(asked).state == "CANCELED"
            assert [event.text for event in lab.stream(whom, "plain")] == ["hello"]
            assert lab.send(whom, "plain").text == "hello"


@pytest.mark.parametrize(
    "card", [{}, {"name": "x"}, {"supportedInterfaces": []}, {"supportedInterfaces": [{"url": "ftp://x"}]}]
)
def test_a_card_that_leads_nowhere_is_told(lab, card):
    whole = {name: value for name, value in lab.card("echo").items() if name != "supportedInterfaces"}
    with pytest.raises(UsageError) as caught:
        lab.ask(whole | card if "supportedInterfaces" in card else card, "x")
    assert caught.value.hint


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_wrong_token_is_told_and_not_tried_again(url, token):
    cuts = []
    with pytest.raises(Unauthorized):
        using(f"{url}/echo", streamed(say("x")), token=token, cuts=cuts)
    assert cuts == []


def test_a_token_that_goes_bad_in_between(lab, url):
    async def use(client):
        await client.connect()
        client._http.headers["Authorization"] = "Bearer wrong"
        cuts.clear()
        calls = [client.send(say("x")), client.get("a.b"), all_of(client.follow("a.b")), streamed(say("x"))(client)]
        for call in calls:
            with pytest.raises(Unauthorized):
                await call

    cuts = []
    using(f"{url}/echo", use, token=lab.token, cuts=cuts)
    assert cuts == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda client: client.get("ctx.none"), TaskNotFound),
        (lambda client: client.cancel("ctx.none"), TaskNotFound),
        (lambda client: all_of(client.follow("ctx.none")), TaskNotFound),
        (lambda client: all_of(client.follow("ctx.none", after=5)), TaskNotFound),
        (lambda client: client.send(say("x", taskId="ctx.none")), TaskNotFound),
        (streamed(say("x", contextId="a/b")), RemoteError),
        (streamed(say("x", parts=[])), RemoteError),
    ],
)
def test_what_the_peer_refuses_is_told_in_two_lines(lab, url, call, error):
    cuts = []
    with pytest.raises(error) as caught:
        using(f"{url}/echo", call, token=lab.token, cuts=cuts)
    assert (bool(caught.value.what), bool(caught.value.hint), cuts) == (True, True, [])


def test_an_agent_that_is_not_there(lab, url):
    with pytest.raises(RemoteError) as caught:
        using(f"{url}/nobody", lambda client: client.connect(), token=lab.token)
    assert "404" in caught.value.what


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable):
        using(f"http://127.0.0.1:{port}/agents/x", lambda client: client.connect())


def card_of(binding, version):
    interface = {"url": "http://127.0.0.1:1", "protocolBinding": binding, "protocolVersion": version}
    return json.dumps({"name": "x", "supportedInterfaces": [interface]}).encode()


CARDS = {
    "no JSON": b"<html>",
    "no object": b"[]",
    "empty": b"{}",
    "no interface": json.dumps({"name": "x", "version": "1"}).encode(),
    "only gRPC": card_of("GRPC", "1.0"),
    "a strange binding": card_of("SMOKE", "1.0"),
    "a strange version": card_of("JSONRPC", "x"),
    "another form": json.dumps({"name": {"a": 1}, "supportedInterfaces": 5}).encode(),
}


@pytest.mark.parametrize("card", CARDS)
def test_a_card_that_is_none_is_told(card):
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=CARDS[card]))
    with pytest.raises(LabError) as caught:
        using("http://peer.example", lambda client: client.connect(), transport=transport)
    assert caught.value.hint


# -- patience ----------------------------------------------------------------------------------------------------------


def test_it_gives_up_when_nothing_comes_for_too_long(lab, url, port):
    cuts = []
    with CuttingProxy(port) as proxy:

        async def use(client):
            await client.connect()
            proxy.cuts.extend([1] * 1000)
            proxied = client._client._transport
            proxied.url = proxied.url.replace(str(port), str(proxy.port))
            return await all_of(client.stream(say("x", contextId="client-6")))

        with pytest.raises(Unreachable) as caught:
            using(f"{url}/chunks", use, token=lab.token, patience=QUICK, cuts=cuts)
    assert len(cuts) >= 3
    assert "stayed cut off" in caught.value.what
    assert caught.value.hint


def test_each_event_renews_its_patience(lab, url, port):
    """More cuts than patience in one go would mend, but between them something comes."""
    cuts = []
    with CuttingProxy(port) as proxy:

        async def use(client):
            client._http._limits = None
            await client.connect()
            proxied = client._client._transport
            proxied.url = proxied.url.replace(str(port), str(proxy.port))
            proxy.cuts.extend([1500] * 60)
            message = say("x", contextId="client-7", parts=[{"data": {"chunks": 100}}])
            return await all_of(client.stream(message))

        limits = httpx.Limits(max_keepalive_connections=0)
        events = using(f"{url}/chunks", use, token=lab.token, patience=QUICK, cuts=cuts, limits=limits)
    assert len(cuts) > 20
    assert [event.generation for event in events] == list(range(1, len(events) + 1))
    assert events[-1].state == "COMPLETED"


@pytest.mark.parametrize("gone", [True, False], ids=["the peer stays away", "the peer comes back"])
def test_where_the_log_is_at_hand_a_cut_stream_misses_nothing_and_tells_nothing_twice(lab, url, port, gone):
    cuts = []
    with CuttingProxy(port) as proxy:

        async def use(client):
            await client.connect()
            proxied = client._client._transport
            proxied.url = proxied.url.replace(str(port), str(proxy.port))
            proxy.cuts.extend([3000] + [1] * 100_000 if gone else [3000, 1500, 1, 1500])
            message = say("x", contextId=f"client-at-hand-{gone}", parts=[{"data": {"chunks": 300, "pause": 0.001}}])
            return await all_of(client.stream(message))

        at_hand = {"recorded": functools.partial(lab._tasks.recorded, url)}
        limits = httpx.Limits(max_keepalive_connections=0)
        events = using(f"{url}/chunks", use, token=lab.token, cuts=cuts, options=at_hand, limits=limits)
    assert cuts
    assert [event.generation for event in events] == list(range(1, len(events) + 1))
    told = in_the_log(lab, events[0].raw["task"]["id"])
    assert [event.offset for event in events] == [offset_of(one) for one in told]
    assert (events[-1].state, len(events) > 300) == ("COMPLETED", True)


def test_what_the_log_at_hand_has_of_a_task(lab, url):
    asked = lab.ask("asker", "day hour")
    known = functools.partial(lab._tasks.recorded, f"{url}/asker", asked.id)
    assert [(one.kind, one.state) for one in known(-1)] == [("task", "INPUT_REQUIRED")]
    assert [one.raw for one in known(asked.events[0].offset)] == [one.raw for one in asked.events[1:]]
    assert known(asked.events[-1].offset) == []
    assert lab._tasks.recorded("http://127.0.0.1:1/agents/asker", asked.id, -1) == []
    assert lab._tasks.recorded(f"{url}/asker", "ctx.none", -1) == []


def test_following_from_the_last_event_on_gives_nothing(lab, url):
    task = lab.ask("echo", "x")
    cuts = []
    last = task.events[-1].offset
    found = using(f"{url}/echo", lambda client: all_of(client.follow(task.id, after=last)), token=lab.token, cuts=cuts)
    assert (found, cuts) == ([], [])


# -- peers that know nothing of offsets --------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_a_peer_of_the_stock_sdk(binding):
    with StockAgent(binding) as agent:

        async def use(client):
            events = await all_of(client.stream(say("one two three", contextId="")))
            plain = await all_of(client.stream(say("plain", contextId="")))
            asked = await all_of(client.stream(say("?", contextId="")))
            canceled = await client.cancel(asked[0].raw["task"]["id"])
            return events, plain, asked, canceled

        events, plain, asked, canceled = using(agent.url, use)
    assert collect("stock", events).text == "one two three "
    assert {(event.offset, event.generation) for event in events} == {(-1, 0)}
    assert [event.text for event in plain] == ["hello"]
    assert asked[-1].state == "INPUT_REQUIRED"
    assert canceled.state == "CANCELED"


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_a_cut_that_a_stock_peer_ends_behind_is_mended_by_its_task(binding):
    agent = StockAgent(binding)
    with CuttingProxy(agent.port) as proxy:
        agent.advertised = proxy.port
        with agent:

            async def use(client):
                await client.connect()
                proxy.cuts.append(700)  # within what is said before the gate
                return await all_of(client.stream(say("one two !gate three four", contextId="")))

            cuts = Released(agent, "gate")
            events = using(agent.url, use, cuts=cuts, limits=httpx.Limits(max_keepalive_connections=0))
    task = collect("stock", events)
    assert (task.text, task.state, len(cuts)) == ("one two !gate three four ", "COMPLETED", 1)


class Released(list):
    """Takes the cuts; at the first, the task that waits goes on to its end before the client comes back."""

    def __init__(self, agent, gate):
        super().__init__()
        self.agent, self.gate = agent, gate

    def append(self, cut):
        super().append(cut)
        self.agent.go(self.gate)


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_a_cut_in_a_stock_peers_pause_is_mended_by_a_snapshot(binding):
    agent = StockAgent(binding)
    with CuttingProxy(agent.port) as proxy:
        agent.advertised = proxy.port
        with agent:

            async def use(client):
                await client.connect()
                proxy.cuts.append(700)  # within what is said before the gate
                seen = []
                async for event in client.stream(say("one two !gate three four", contextId="")):
                    seen.append(event)
                    if event.kind == "task" and len(seen) > 1:
                        agent.go("gate")
                return seen

            events = using(agent.url, use, limits=httpx.Limits(max_keepalive_connections=0))
    assert proxy.made == 1
    assert [event.kind for event in events].count("task") == 2
    assert collect("stock", events).text == "one two !gate three four "


def test_a_stock_peer_that_does_not_stream():
    with StockAgent(streaming=False) as agent:
        events = using(agent.url, streamed(say("one two", contextId="")))
        plain = using(agent.url, streamed(say("plain", contextId="")))
        asked = using(agent.url, streamed(say("?", contextId="")))
    assert {event.kind for event in events} == {"task"}
    assert [event.last for event in events] == [False] * (len(events) - 1) + [True]
    assert collect("stock", events).text == "one two "
    assert [event.text for event in plain] == ["hello"]
    assert asked[-1].state == "INPUT_REQUIRED"


# -- collecting, tokens ------------------------------------------------------------------------------------------------


def test_collecting_leaves_the_events_as_they_were(lab, url):
    events = using(f"{url}/everything", streamed(say("x", contextId="client-8")), token=lab.token)
    before = json.dumps([event.raw for event in events])
    task = collect("everything", events)
    assert json.dumps([event.raw for event in events]) == before
    known = lab.task(task.id)
    assert (task.text, task.data, task.state) == (known.text, known.data, known.state)
    assert task.raw["artifacts"] == known.raw["artifacts"]
    assert task.raw["metadata"] == known.raw["metadata"]


def test_collecting_begins_anew_at_each_snapshot():
    task = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
    chunk = {
        "artifactUpdate": {"taskId": "t", "contextId": "c", "artifact": {"artifactId": "a", "parts": [{"text": "1"}]}}
    }
    later = {"task": task | {"artifacts": [{"artifactId": "a", "parts": [{"text": "1"}, {"text": "2"}]}]}}
    end = {"statusUpdate": {"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}}}
    found = collect("x", [event_of(one) for one in ({"task": task}, chunk, later, end)])
    assert (found.text, found.state, found.id) == ("12", "COMPLETED", "t")


def test_nothing_collects_to_nothing():
    assert (collect("x", []).text, collect("x", []).state) == ("", "")


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("http://127.0.0.1:8000/agents/x", True),
        ("http://127.0.0.1:8001/agents/x", False),
        ("https://127.0.0.1:8000/agents/x", False),
        ("http://localhost:8000/agents/x", False),
        ("http://127.0.0.1.evil.example:8000/", False),
        ("http://127.0.0.1:8000@evil.example/", False),
    ],
)
def test_a_labs_token_goes_to_that_lab_alone(url, given):
    request = httpx.Request("GET", url)
    next(OwnToken(lambda: ["http://127.0.0.1:8000"], "secret").auth_flow(request))
    assert ("Authorization" in request.headers) == given
