"""Streams that are cut at a random byte and resumed give what the log has, each event once: the official client, a
plain socket and our own client, mid-stream and after the end."""

import asyncio
import threading
from random import Random  # noqa: TID251 -- seeded, and the seed is shown

import httpx
import pytest
from a2a.client import A2AClientError
from a2a.types import a2a_pb2 as pb

from a2a_agents import WORDS
from cutting_proxy import CuttingProxy
from official import canonical, official, resume_after, send_request
from raw_http import RawExchange, get, post
from told import check_order, in_the_log, offset_of, task_id_of, terminal

BYTES = 420
"""About as many as an event of the agent `chunks` takes on the wire."""
RAW, OFFICIAL, OWN, MANY = 60, 40, 30, 450
"""Rounds, those of all but our own for each binding: 200 with clients that we did not write; many in campaigns."""


def message(rng, number):
    """A message for `chunks`; it names its context, so that it can be sent again."""
    asked = {"chunks": int(40 * 5 ** rng.random()), "pause": rng.choice([0, 0.001, 0.002])}
    context = f"ctx-{rng.getrandbits(40):x}"
    return {"messageId": f"m{number}", "contextId": context, "role": "ROLE_USER", "parts": [{"data": asked}]}


def cut_for(rng, sent):
    """The byte to cut at: within the stream, or within its head, or beyond its end."""
    chunks = sent["parts"][0]["data"]["chunks"]
    return rng.choice([rng.randint(1, 200), rng.randint(1, BYTES * (chunks + 8)), rng.randint(1, BYTES * (chunks + 8))])


def wait_for_end(lab, seen, rng):
    """Every other time the task has ended before the caller comes back. Says whether it still ran."""
    if not seen:
        return False
    if rng.random() < 0.5:
        lab.wait(task_id_of(seen[0]), check=False)
    return lab.task(task_id_of(seen[0])).state in {"SUBMITTED", "WORKING"}


def check(lab, seen):
    check_order(seen)
    assert terminal(seen[-1])
    assert seen == in_the_log(lab, task_id_of(seen[0]))


class RawCaller:
    """Sends and resumes over a plain socket."""

    def __init__(self, lab, port, binding):
        self.token, self.port, self.rpc = lab.token, port, binding == "JSONRPC"

    def send(self, sent):
        if self.rpc:
            return self._rpc("SendStreamingMessage", {"message": sent})
        return post("/agents/chunks/message:stream", {"message": sent}, self.token)

    def resume(self, task_id, cursor):
        if self.rpc:
            return self._rpc("SubscribeToTask", {"id": task_id}, Last_Event_ID=str(cursor))
        return get(f"/agents/chunks/tasks/{task_id}:subscribe", self.token, Last_Event_ID=str(cursor))

    def _rpc(self, method, params, **headers):
        body = {"jsonrpc": "2.0", "id": "ü\u2028", "method": method, "params": params}
        return post("/agents/chunks", body, self.token, **headers)

    def events(self, request, cut):
        """The events until the cut, and the status."""
        with RawExchange(self.port, request) as exchange:
            exchange.read(until=cut)
            exchange.reset()
            found = []
            for event in exchange.events():
                body = event.json()
                if self.rpc:
                    assert body.keys() == {"jsonrpc", "id", "result"}
                    assert body["id"] == "ü\u2028"
                    body = body["result"]
                found.append(canonical(body))
                assert event.id == str(offset_of(found[-1]))
            return found, exchange.status


@pytest.mark.parametrize("binding", ["JSONRPC", pytest.param("HTTP+JSON", marks=pytest.mark.thorough)])
def test_a_socket_cut_at_any_byte_resumes(lab, port, binding, seed):
    cut_and_resume(lab, port, binding, seed, RAW, longest=0)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_many_streams_that_are_cut_and_come_back_after_a_while(lab, port, binding, seed):
    """With `test_kill.py`'s 100 over kill -9: a thousand."""
    cut_and_resume(lab, port, binding, seed, MANY, longest=0.2)


def cut_and_resume(lab, port, binding, seed, rounds, longest):
    """Streams one after the other; each caller stays away for a random time, of `longest` seconds at most."""
    rng = Random(seed)
    caller = RawCaller(lab, port, binding)
    resumed = {"running": 0, "ended": 0}
    for number in range(rounds):
        sent = message(rng, number)
        seen, request, cut = [], caller.send(sent), cut_for(rng, sent)
        while not (seen and terminal(seen[-1])):
            found, _ = caller.events(request, cut)
            seen += found
            running = wait_for_end(lab, seen, rng)
            threading.Event().wait(longest * rng.random())
            if seen:
                resumed["running" if running else "ended"] += 1
                request = caller.resume(task_id_of(seen[0]), offset_of(seen[-1]))
            cut = rng.choice([None, cut_for(rng, sent)])
        check(lab, seen)
        nothing, status = caller.events(caller.resume(task_id_of(seen[0]), offset_of(seen[-1])), None)
        assert (nothing, status) == ([], 200 if binding == "JSONRPC" else 204)
    assert min(resumed.values()) > 0, resumed


@pytest.mark.thorough
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_the_official_client_cut_at_any_byte_resumes(lab, port, binding, seed):
    rng = Random(seed)
    resumed = {"running": 0, "ended": 0}

    async def go(number):
        sent = message(rng, number)
        seen, cuts = [], 0
        while not (seen and terminal(seen[-1])):
            proxy.cuts.append(cut_for(rng, sent) if cuts < 4 else None)
            cuts += 1
            if not seen:
                stream = client.send_message(send_request(sent))
            else:
                running = await asyncio.to_thread(wait_for_end, lab, seen, rng)
                resumed["running" if running else "ended"] += 1
                request = pb.SubscribeToTaskRequest(id=task_id_of(seen[0]))
                stream = client.subscribe(request, context=resume_after(offset_of(seen[-1])))
            cut = "Network communication error"
            try:
                async for response in stream:
                    seen.append(canonical(response))  # noqa: PERF401 -- what came before the cut counts
            except A2AClientError as error:
                cut = str(error)
            assert "Network communication error" in cut
        check(lab, seen)

    async def main():
        nonlocal client
        async with official(f"{lab.url}/agents/chunks", lab.token, binding=binding, port=proxy.port) as client:
            for number in range(OFFICIAL):
                await go(number)

    client = None
    with CuttingProxy(port) as proxy:
        asyncio.run(main())
        assert proxy.made >= OFFICIAL
    assert min(resumed.values()) > 0, resumed  # how many of each is the machine's to say


@pytest.fixture
def proxied(lab, port):
    """The lab, whose own calls go through a cutting proxy while the test runs; the proxy; the cuts that it mended."""
    with CuttingProxy(port) as proxy:
        lab.service.call(lab._calls.close)
        lab._calls._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {lab.token}"},
            timeout=30,
            transport=Through(proxy.port, limits=httpx.Limits(max_keepalive_connections=0)),
        )
        cuts = []
        lab._calls.on_cut = cuts.append
        direct, lab._calls.direct = lab._calls.direct, lambda _url: None  # its own agents are called without HTTP
        recorded, lab._calls.recorded = lab._calls.recorded, lambda *_where: ()  # and read on from the log at hand
        yield lab, proxy, cuts
        lab._calls.on_cut, lab._calls.direct, lab._calls.recorded = None, direct, recorded
        lab.service.call(lab._calls.close)


class Through(httpx.AsyncHTTPTransport):
    """Connects to another port than a request's."""

    def __init__(self, port, **options):
        super().__init__(**options)
        self.port = port

    async def handle_async_request(self, request):
        request.url = request.url.copy_with(port=self.port)
        return await super().handle_async_request(request)


def test_the_labs_own_stream_hides_every_cut(proxied, seed):
    lab, proxy, cuts = proxied
    rng = Random(seed)
    lab.ask("chunks", {"chunks": 1})  # reads the card
    for number in range(OWN):
        sent = message(rng, number)
        made, mended = proxy.made, len(cuts)
        proxy.cuts.extend(cut_for(rng, sent) for _ in range(rng.randint(1, 4)))
        seen = [canonical(event.raw) for event in lab.stream("chunks", sent["parts"][0]["data"])]
        check(lab, seen)
        assert len(cuts) - mended in {proxy.made - made, proxy.made - made - 1}  # the last may come after the end
        proxy.cuts.clear()
    assert len(cuts) >= OWN


def test_asking_hides_a_cut(proxied):
    lab, proxy, cuts = proxied
    lab.ask("chunks", {"chunks": 1})
    proxy.cuts.extend([150, 2000, 9000])
    task = lab.ask("chunks", {"chunks": 60, "pause": 0.001})
    assert [canonical(event.raw) for event in task.events[1:]] == in_the_log(lab, task.id)[1:]
    assert task.text == "".join(f"{number} {WORDS[number % len(WORDS)]}" for number in range(60))
    assert len(cuts) == 3
