"""Groups over HTTP: clients on both faces in one group, long polls on the loop, leases by handle, dead letters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from broker_doors import client_of, port_of
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.lab import Lab
from raw_http import RawExchange, post

GROUP = "/groups/workers"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(store=tmp_path_factory.mktemp("lab") / "store", clock=VirtualClock(1000)) as lab:
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Iterator[Lab]:
    """A lab with the parent ``chat``, which is empty, and the group ``workers`` on it."""
    broker = shared.broker
    broker.create_topic("chat")
    broker.create_group("workers", topic="chat", max_attempts=2, backoff=(0.0,), lease=60)
    yield shared
    for group in broker.groups():
        broker.delete_group(group)
    for lite in broker.ls("chat", limit=1000):
        if not lite.startswith("_"):
            broker.rm(f"chat/{lite}")


@pytest.fixture
def door(lab: Lab) -> Iterator[httpx.Client]:
    with client_of(lab) as client:
        yield client


@pytest.fixture
def asleep(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Is released whenever a long poll has begun to watch."""
    watching = threading.Semaphore(0)
    when_ready = lab.broker.group_engine.when_ready

    def watched(*args: Any) -> Callable[[], None]:
        end = when_ready(*args)
        watching.release()
        return end

    monkeypatch.setattr(lab.broker.group_engine, "when_ready", watched)
    return watching


def subscribe(door: httpx.Client, client: str, *patterns: str, **more: Any) -> None:
    answer = door.put(f"{GROUP}/subscriptions/{client}", json={"patterns": patterns or ["*"]} | more)
    assert answer.status_code == 204, answer.text


def receive(door: httpx.Client, client: str = "c1", **more: Any) -> Any:
    answer = door.post(f"{GROUP}/receive", json={"client": client} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def handles(received: Any) -> list[str]:
    return [delivery["handle"] for delivery in received["deliveries"]]


def test_a_group_s_life(door: httpx.Client, lab: Lab) -> None:
    given = {
        "name": "组 1", "topic": "chat", "quota": "6000 tokens/min",
        "tenant_quota": {"rate": 0.001, "unit": "tokens", "burst": 3},
        "start": "tail-12345678", "lease": "2m", "weights": {"acme": 2}, "aging": 5,
    }  # fmt: skip
    assert door.post("/groups", json=given).json() == {"created": True}
    assert door.post("/groups", json=given).json() == {"created": False}
    told = door.get("/groups/组 1").json()
    assert told["quota"] == {"rate": 100, "unit": "tokens", "burst": 6000}
    assert (told["start"], told["lease"], told["weights"]) == ("tail-12345678", 120, {"acme": 2})
    assert door.post("/groups", json=told).json() == {"created": False}
    assert told in door.get("/groups").json()["groups"]
    changed = door.patch("/groups/组 1", json={"weights": {"acme": 5, "zen": 1}, "quota": None, "tenant_quota": None})
    assert (changed.json()["weights"], changed.json()["quota"]) == ({"acme": 5, "zen": 1}, None)
    assert changed.json()["lease"] == 120
    assert lab.broker.groups()["组 1"].weights == {"acme": 5, "zen": 1}
    other = door.post("/groups", json=given)
    assert (other.status_code, other.json()["title"]) == (409, "Group exists")
    assert door.patch("/groups/组 1", json={"topic": "sessions"}).status_code == 409
    assert door.delete("/groups/组 1").status_code == 204
    assert door.delete("/groups/组 1").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"name": "g"}, 400, "/topic: Field required"),
        ({"name": "g", "topic": "none"}, 404, "none"),
        ({"name": "a/b", "topic": "chat"}, 400, "'/'"),
        ({"name": "g", "topic": "chat", "quota": "0/s"}, 400, "lets nothing through"),
        ({"name": "g", "topic": "chat", "quota": "fast"}, 400, "no quota"),
        ({"name": "g", "topic": "chat", "quota": {"rate": 0, "burst": 1}}, 400, "rate"),
        ({"name": "g", "topic": "chat", "weights": {"acme": 0}}, 400, "weight of tenant 'acme'"),
        ({"name": "g", "topic": "chat", "start": -1}, 400, "no start"),
        ({"name": "g", "topic": "chat", "start": "tail-x"}, 400, "no start"),
        ({"name": "g", "topic": "chat", "start": "9" * 5000}, 400, "start"),
        ({"name": "g", "topic": "chat", "lease": "soon"}, 400, "no duration"),
        ({"name": "g", "topic": "chat", "lease": "-1s"}, 400, "lease"),
        ({"name": "g", "topic": "chat", "backoff": []}, 400, "backoff"),
        ({"name": "g", "topic": "chat", "mode": "both"}, 400, "mode"),
        ({"name": "g", "topic": "chat", "colour": 1}, 400, "/colour"),
    ],
)
def test_settings_that_do_not_fit_make_no_group(
    door: httpx.Client, lab: Lab, body: Any, status: int, says: str
) -> None:
    answer = door.post("/groups", json=body)
    assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text
    assert list(lab.broker.groups()) == ["workers"]


def test_two_clients_over_http_and_one_in_python_share_a_group(door: httpx.Client, lab: Lab) -> None:
    topics, each = [f"chat/s-{number}" for number in range(12)], 8
    seen: dict[str, list[int]] = {topic: [] for topic in topics}
    left = threading.Semaphore(0)

    def over_http(client: str) -> None:
        with client_of(lab) as own:
            while found := receive(own, client, max=10, wait=20)["deliveries"]:
                if any(one["record"]["type"] == "end" for one in found):
                    break
                for one in found:
                    seen[one["record"]["topic"]].append(one["record"]["offset"])
                    left.release()
                assert own.post(f"{GROUP}/ack", json={"handles": [one["handle"] for one in found]}).status_code == 200

    def in_python() -> None:
        with lab.broker.consumer("workers", "python", subscribe="s-*") as consumer:
            while not done.is_set():
                for one in consumer.receive(max=10, wait=0.2):
                    seen[one.topic].append(one.offset)
                    left.release()
                    consumer.ack(one)

    done = threading.Event()
    for client in ("c1", "c2"):
        subscribe(door, client, "s-*", f"end-{client}")
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(over_http, client) for client in ("c1", "c2")] + [pool.submit(in_python)]
        for number in range(each):
            lab.broker.send_many([(topic, str(number)) for topic in topics])
        for _ in range(each * len(topics)):
            assert left.acquire(timeout=30)
        done.set()
        for client in ("c1", "c2"):
            lab.broker.send(f"chat/end-{client}", "x", type="end")
        for one in running:
            one.result(30)
    assert seen == {topic: list(range(each)) for topic in topics}


def test_a_long_poll_is_woken_by_a_send_and_holds_no_thread(
    door: httpx.Client, lab: Lab, asleep: threading.Semaphore
) -> None:
    clients = [f"c-{number}" for number in range(40)]  # more than a pool of threads has
    for client in clients:
        subscribe(door, client, client)

    def poll(client: str) -> Any:
        with client_of(lab) as own:
            return receive(own, client, wait=30)["deliveries"]

    with ThreadPoolExecutor(len(clients)) as pool:
        polls = [pool.submit(poll, client) for client in clients]
        for _ in clients:
            assert asleep.acquire(timeout=30)
        assert door.get(f"{GROUP}/stats").json()["clients"].keys() == set(clients)  # the doors answer meanwhile
        for client in clients:
            lab.broker.send(f"chat/{client}", "x")
        assert [len(one.result(30)) for one in polls] == [1] * len(clients)


def test_a_long_poll_that_is_cut_loses_nothing(door: httpx.Client, lab: Lab, asleep: threading.Semaphore) -> None:
    subscribe(door, "c1")
    for _ in range(3):
        body = {"client": "c1", "wait": 60}
        with RawExchange(port_of(lab), post(f"/broker{GROUP}/receive", body, lab.token)) as poll:
            assert asleep.acquire(timeout=20)
            poll.reset()
    lab.broker.send("chat/s", "x")
    # whichever of them was still thought to be there gives back what it got
    with client_of(lab) as other:
        found = receive(other, "c1", wait=20)["deliveries"]
    assert [one["record"]["data"] for one in found] == ["x"]


def test_what_comes_as_the_caller_hangs_up_is_given_back(
    door: httpx.Client, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe(door, "c1")
    engine = lab.broker.group_engine
    asked, hung_up = threading.Event(), threading.Event()
    receive_now = engine.receive

    def slow(*args: Any, **more: Any) -> Any:
        batch = receive_now(*args, **more)
        asked.set()
        assert hung_up.wait(20)
        return batch

    given_back = threading.Event()
    release = engine.release

    def told(*args: Any, **more: Any) -> None:
        release(*args, **more)
        given_back.set()

    monkeypatch.setattr(engine, "receive", slow)
    monkeypatch.setattr(engine, "release", told)
    lab.broker.send("chat/s", "x")
    with RawExchange(port_of(lab), post(f"/broker{GROUP}/receive", {"client": "c1"}, lab.token)) as poll:
        assert asked.wait(20)
        poll.reset()
    hung_up.set()  # the loop hears of both at once
    assert given_back.wait(20)
    monkeypatch.undo()
    [again] = receive(door)["deliveries"]
    assert (again["record"]["data"], again["attempt"]) == ("x", 1)


def test_a_receive_that_is_repeated_by_its_id_gives_the_same(door: httpx.Client, lab: Lab) -> None:
    subscribe(door, "c1")
    lab.broker.send("chat/s", "x")
    first = receive(door, attempt_id="a-1")
    assert receive(door, attempt_id="a-1") == first
    held = receive(door, attempt_id="a-2")
    assert (held["deliveries"], held["held"]) == ([], {"lease": 1})
    assert 0 < held["wake"] <= 60


def test_acks_extend_fail_and_late_ones_are_told(door: httpx.Client, lab: Lab) -> None:
    assert isinstance(lab.clock, VirtualClock)
    subscribe(door, "c1")
    for number in range(3):
        lab.broker.send("chat/会话.1", str(number))
    given = handles(receive(door, lease=10))
    assert door.post(f"{GROUP}/extend", json={"handles": given, "lease": 100}).status_code == 204
    lab.clock.advance(50)
    send = [{"topic": "chat/out", "data": {"n": 1}, "type": "done"}]
    acked = door.post(f"{GROUP}/ack", json={"handles": given[:1], "costs": {given[0]: 2.5}, "send": send})
    assert acked.json() == {"offsets": [0]}
    assert lab.broker.read("chat/out")[0].type == "done"
    assert door.post(f"{GROUP}/ack", json={"handles": given[:1]}).json() == {"offsets": []}
    assert door.post(f"{GROUP}/fail", json={"handles": given[1:], "pause": 0}).status_code == 204
    late = door.post(f"{GROUP}/ack", json={"handles": given[1:]})
    assert (late.status_code, late.json()["title"]) == (409, "Lease lost")
    assert late.json()["handles"] == given[1:]
    again = receive(door)["deliveries"]
    assert {(one["record"]["topic"], one["attempt"]) for one in again} == {("chat/会话.1", 2), ("chat/out", 1)}


def test_a_release_does_not_count_and_bytes_bound_a_receive(door: httpx.Client, lab: Lab) -> None:
    subscribe(door, "c1")
    for lite in "ab":
        lab.broker.send(f"chat/{lite}", "x" * 1000)
    for _ in range(3):  # more often than the group tries anything
        [first] = receive(door, max_bytes=1500)["deliveries"]
        assert (first["record"]["topic"], first["attempt"]) == ("chat/a", 1)
        assert door.post(f"{GROUP}/release", json={"handles": [first["handle"]]}).status_code == 204
        [second] = receive(door, max_bytes=1)["deliveries"]  # the first comes however large it is
        assert (second["record"]["topic"], second["attempt"]) == ("chat/b", 1)
        assert door.post(f"{GROUP}/release", json={"handles": [second["handle"]]}).status_code == 204
    late = door.post(f"{GROUP}/release", json={"handles": [first["handle"]]})
    assert (late.status_code, late.json()["handles"]) == (409, [first["handle"]])


def test_suspend_seek_and_progress(door: httpx.Client, lab: Lab) -> None:
    subscribe(door, "c1")
    for number in range(4):
        lab.broker.send("chat/s", str(number))
    assert door.post(f"{GROUP}/suspend", json={"topic": "chat/s", "pause": "1m"}).status_code == 204
    assert receive(door)["held"] == {"suspended": 1}
    assert door.post(f"{GROUP}/suspend", json={"topic": "chat/s", "pause": 0}).status_code == 204
    for start, following in (("tail-1", 3), (2, 2), ("first", 0), ("last", 4), ("1970-01-01T00:00:00+00:00", 0)):
        assert door.post(f"{GROUP}/seek", json={"topic": "chat/s", "start": start}).json() == {"next": following}
    told = door.get(f"{GROUP}/progress", params={"topic": "chat/s"}).json()
    assert told == lab.broker.progress("workers", "chat/s")._asdict()
    stats = door.get(f"{GROUP}/stats").json()
    assert (stats["group"], stats["ready"], stats["clients"]) == ("workers", 1, {"c1": 1})


def test_dead_letters_are_told_whole_and_replayed(door: httpx.Client, lab: Lab) -> None:
    subscribe(door, "c1")
    lab.broker.send("chat/s", b'{"n": 1}', datacontenttype="application/json", tenant="acme")
    for _ in range(2):
        door.post(f"{GROUP}/fail", json={"handles": handles(receive(door)), "pause": 0})
    [letter] = door.get(f"{GROUP}/dead-letters").json()["letters"]
    assert (letter["attempts"], letter["record"]["data"], letter["record"]["tenant"]) == (2, {"n": 1}, "acme")
    assert door.get(f"{GROUP}/dead-letters", params={"after": 0}).json() == {"letters": [], "after": None}
    assert door.post(f"{GROUP}/dead-letters/replay").json() == {"receipts": [{"topic": "chat/s", "offset": 1}]}
    assert door.get(f"{GROUP}/dead-letters").json()["letters"] == []
    assert receive(door)["deliveries"][0]["record"]["offset"] == 1


def test_a_newer_client_of_an_exclusive_group_evicts(door: httpx.Client, lab: Lab) -> None:
    lab.broker.create_group("alone", topic="chat", mode="exclusive")
    at = "/groups/alone"
    assert door.put(f"{at}/subscriptions/old", json={"patterns": ["s", "t"]}).status_code == 204
    assert door.put(f"{at}/subscriptions/new", json={"patterns": ["s"]}).status_code == 204
    assert door.post(f"{at}/receive", json={"client": "old"}).json()["evicted"] == ["s"]
    assert door.post(f"{at}/receive", json={"client": "old"}).json()["evicted"] == []


def test_subscriptions_are_put_told_and_ended(door: httpx.Client, lab: Lab) -> None:
    subscribe(door, "客户 1", "a", "b*", durable=True)
    subscribe(door, "客户 1", "b*", "c", durable=True)
    told = door.get(f"{GROUP}/subscriptions").json()["subscriptions"]
    assert {client: sorted(patterns) for client, patterns in told.items()} == {"客户 1": ["b*", "c"]}
    assert door.delete(f"{GROUP}/subscriptions/客户 1").status_code == 204
    assert door.get(f"{GROUP}/subscriptions").json() == {"subscriptions": {}}
    lost = door.post(f"{GROUP}/receive", json={"client": "客户 1"})
    assert (lost.status_code, lost.json()["title"]) == (404, "Not subscribed")


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("receive", {}),
        ("receive", {"client": "c1", "max": 0}),
        ("receive", {"client": "c1", "wait": -1}),
        ("receive", {"client": "c1", "wait": 1e9}),
        ("receive", {"client": "c1", "lease": 0}),
        ("receive", {"client": "c1", "max_bytes": 0}),
        ("release", {"handles": ["x"]}),
        ("ack", {"handles": ["x"]}),
        ("ack", {"handles": ["1.99999999999999999999999.chat/s"]}),
        ("ack", {"handles": [], "costs": {"x": 1}}),
        ("ack", {"handles": [], "send": [{"topic": "s"}]}),
        ("extend", {"handles": [], "lease": 0}),
        ("fail", {"handles": [], "pause": -1}),
        ("suspend", {"topic": "chat/s", "pause": "soon"}),
        ("suspend", {"topic": "chat/s", "pause": -1}),
        ("suspend", {"topic": "chat", "pause": 1}),
        ("seek", {"topic": "chat/s", "start": -1}),
        ("seek", {"topic": "chat/s", "start": 2**63}),
        ("seek", {"topic": "chat/s", "start": f"tail-{'9' * 50}"}),
        ("subscriptions/c1", {"patterns": []}),
        ("subscriptions/c1", {"patterns": ["[a"]}),
        ("subscriptions/c1", {"patterns": ["a/b"]}),
        (f"subscriptions/{'x' * 600}", {"patterns": ["a"]}),
    ],
)
def test_what_does_not_fit_is_refused(door: httpx.Client, lab: Lab, what: str, body: Any) -> None:
    subscribe(door, "c1")
    lab.broker.send("chat/s", "x")
    answer = door.request("PUT" if "subscriptions" in what else "POST", f"{GROUP}/{what}", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text
    assert answer.json()["hint"]
    assert len(receive(door)["deliveries"]) == 1
