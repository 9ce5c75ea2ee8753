"""Peers that don't stream: they are asked, or they push; and what each costs when they go away."""

import asyncio

import httpx
import pytest

from nbagora_lab.a2a import polling
from nbagora_lab.a2a.polling import Patience, polled
from nbagora_lab.a2a.pushed import Pushed
from nbagora_lab.a2a.task import event_of
from nbagora_lab.core.errors import Unreachable
from nbagora_lab.lab import Lab
from stock_agent import StockAgent

QUICK = Patience(first=0.001, longest=0.002, total=0.02)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(store=tmp_path_factory.mktemp("polls")) as lab:
        yield lab


def task(state, **fields):
    return event_of({"task": {"id": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}, **fields}})


def polls(answers, known=None, **options):
    """What `polled` gives of these answers, one a look; and the number of looks."""
    looks = []

    async def look():
        looks.append(answers[min(len(looks), len(answers) - 1)])
        if isinstance(looks[-1], Exception):
            raise looks[-1]
        return looks[-1]

    async def main():
        return [event.state async for event in polled(look, known, options.pop("patience", QUICK), **options)]

    return asyncio.run(main()), len(looks)


def test_a_task_is_given_each_time_that_it_stands_otherwise():
    working, more = task("WORKING"), task("WORKING", artifacts=[{"artifactId": "a"}])
    answers = [task("SUBMITTED"), working, working, more, more, task("COMPLETED")]
    assert polls(answers) == (["SUBMITTED", "WORKING", "WORKING", "COMPLETED"], 6)
    assert polls(answers[1:], known=answers[0]) == (["WORKING", "WORKING", "COMPLETED"], 5)
    assert polls([task("INPUT_REQUIRED")]) == (["INPUT_REQUIRED"], 1)
    assert polls([], known=task("COMPLETED")) == ([], 0)


@pytest.mark.parametrize("known", [None, task("WORKING")])
def test_a_peer_that_does_not_answer_is_asked_again_and_given_up_in_the_end(known):
    gone = Unreachable("gone", "wait")
    assert polls([gone, gone, task("COMPLETED")], known=known) == (["COMPLETED"], 3)
    with pytest.raises(Unreachable):
        polls([gone], known=known)


def test_a_long_silence_of_a_task_is_no_silence_of_its_peer():
    """Patience is for peers that don't answer, not for tasks that take their time."""
    assert polls([task("WORKING")] * 50 + [task("COMPLETED")])[0] == ["WORKING", "COMPLETED"]


def test_a_knock_ends_the_wait(monkeypatch):
    monkeypatch.setattr(polling, "_PUSHED", 1000.0)
    knocked = asyncio.Event()
    knocked.set()
    assert polls([task("COMPLETED")], known=task("WORKING"), knocked=knocked) == (["COMPLETED"], 1)


# -- with a peer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_a_peer_that_pushes_is_waited_for(lab, binding, monkeypatch):
    """A look without a knock would come after a quarter of an hour."""
    monkeypatch.setattr(polling, "_PUSHED", 1000.0)
    with StockAgent(binding, streaming=False, pushing=True) as peer:
        answered = lab.service.submit(lambda: lab._calls.ask(peer.url, lab._calls.message("one !gate two")))
        peer.wait_for("gate")
        peer.go("gate")
        assert answered.result(20).text == "one !gate two "
        assert lab._calls.pushed._doors == {}


def test_a_peer_that_only_polls_is_polled(lab):
    with StockAgent(streaming=False) as peer:
        answered = lab.service.submit(lambda: lab._calls.ask(peer.url, lab._calls.message("one !gate two")))
        peer.wait_for("gate")
        peer.go("gate")
        assert answered.result(20).text == "one !gate two "


def test_a_peer_that_refuses_to_push_there_is_polled(lab):
    """Our own servers push to no private address."""
    with Lab(store=lab.store / "theirs", token="") as theirs:
        theirs.define("echo", lambda message: message.text)
        card = theirs.card("echo")
        card = card | {"capabilities": card["capabilities"] | {"streaming": False}, "signatures": []}
        transport = lab.service.call(serve_card_instead, lab, card)
        try:
            assert lab.ask(f"{theirs.url}/agents/echo", "x").text == "x"
        finally:
            lab.service.call(transport)


async def serve_card_instead(lab, card):
    """Has the lab see that card in place of any."""
    lab._calls.http()
    inner = lab._calls._transport.handle_async_request

    async def answer(request):
        if request.url.path.endswith("agent-card.json"):
            return httpx.Response(200, json=card, request=request)
        return await inner(request)

    lab._calls._transport.handle_async_request = answer

    async def undo():
        lab._calls._transport.handle_async_request = inner

    return undo


# -- the door ----------------------------------------------------------------------------------------------------------


def test_whoever_knocks_must_have_been_told_of_the_door(lab):
    """Also where the lab's own token is shown: a door is told of to one peer."""

    async def opened():
        context = lab._calls.pushed.door("http://127.0.0.1:1")
        return context, context.__enter__()

    context, door = lab.service.call(opened)
    token, url = door.config["token"], door.config["url"]
    statuses = [
        httpx.post(at, json={}, headers=headers, trust_env=False).status_code
        for at, headers in [
            (url, {}),
            (url, {"Authorization": "Bearer wrong"}),
            (url, {"X-A2A-Notification-Token": "wröng".encode()}),
            (f"{url}x", {"Authorization": f"Bearer {token}"}),
            (url, {"Authorization": f"Bearer {lab.token}"}),
            (f"{lab.url}/agents/x", {"Authorization": f"Bearer {token}"}),
            (f"{lab.url}/broker/topics", {"Authorization": f"Bearer {token}"}),
        ]
    ]
    assert statuses == [401, 401, 401, 401, 404, 401, 401]
    assert not door.knocked.is_set()
    assert httpx.post(url, json={}, headers={"X-A2A-Notification-Token": token}, trust_env=False).status_code == 204
    assert door.knocked.is_set()
    assert httpx.post(url, json={}, headers={"Authorization": f"Bearer {token}"}, trust_env=False).status_code == 204
    lab.service.call(lambda: asyncio.to_thread(context.__exit__, None, None, None))
    assert httpx.post(url, json={}, headers={"Authorization": f"Bearer {token}"}, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    ("peer", "public", "place"),
    [
        ("http://127.0.0.1:5/x", "", "http://127.0.0.1:9"),
        ("http://localhost:5/x", "", "http://127.0.0.1:9"),
        ("https://far.example/x", "", None),
        ("https://far.example/x", "https://near.example/", "https://near.example"),
    ],
)
def test_a_peer_is_told_of_a_door_that_it_can_reach(peer, public, place):
    pushed = Pushed("http://127.0.0.1:9")
    pushed.public = public
    with pushed.door(peer) as door:
        assert (door.config["url"].rpartition("/pushed/")[0] if door is not None else None) == place
