"""Records over HTTP: both of CloudEvents' modes, pages, and tails that are cut and resumed."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker_doors import at, client_of, port_of
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.problem import PROBLEM
from nbagora_lab.lab import Lab
from raw_http import RawExchange, get
from waiting import until

RECORDS = "/broker/topics/chat/s/records"
STREAM = {"Accept": "text/event-stream"}
MIB = 1 << 20
NOT_JSON = [b"{", b"NaN", b"[1e999]", b'"\xff"', b"[" * 5000 + b"]" * 5000, b"9" * 5000]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(store=tmp_path_factory.mktemp("lab") / "store", clock=VirtualClock(1000)) as lab:
        lab.broker.create_topic("chat")
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Iterator[Lab]:
    """A lab in which the topic chat/s does not exist yet."""
    yield shared
    if "s" in shared.broker.ls("chat"):
        shared.broker.rm("chat/s")


@pytest.fixture
def door(lab: Lab) -> Iterator[httpx.Client]:
    with client_of(lab) as client:
        yield client


def page(door: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = door.get(at("chat/s"), params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("application/json", b'{"city": "\xe5\x8c\x97\xe4\xba\xac"}', {"data": {"city": "北京"}}),
        ("application/vnd.a+json; v=1", b"null", {"data": None}),
        ("application/json", b'"\\ud800"', {"data": "\ud800"}),
        ("text/plain; charset=utf-8", "你好\r\n".encode(), {"data": "你好\r\n"}),
        ("text/plain", b"\xff", {"data_base64": "/w=="}),
        ("image/png", b"\x89PNG\x00", {"data_base64": "iVBORwA="}),
        ("image/png", b"", {"data_base64": ""}),
        *(("application/json", body, {"data_base64": base64.b64encode(body).decode()}) for body in NOT_JSON[:3]),
    ],
)
def test_a_body_comes_back_as_it_went(door: httpx.Client, lab: Lab, kind: str, body: bytes, told: Any) -> None:
    if body in NOT_JSON:
        lab.broker.send("chat/s", body, datacontenttype=kind)
    else:
        answer = door.post(at("chat/s"), content=body, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()) == (201, {"topic": "chat/s", "offset": 0, "offsets": [0]})
    [stored] = lab.broker.read("chat/s")
    assert (stored.body, stored.datacontenttype) == (body, kind)
    [record] = page(door)["records"]
    assert {key: record[key] for key in record if key.startswith("data_") or key == "data"} == told


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_calls_itself_json_and_is_none_is_told_as_bytes(door: httpx.Client, lab: Lab, body: bytes) -> None:
    lab.broker.send("chat/s", body, datacontenttype="application/json")
    assert base64.b64decode(page(door)["records"][0]["data_base64"]) == body
    request = get(f"{RECORDS}?after=0", lab.token, **STREAM)
    with RawExchange(port_of(lab), request) as tail:
        lab.broker.send("chat/s", body, datacontenttype="application/json")
        assert base64.b64decode(tail.read(events=1).events()[0].json()["data_base64"]) == body


def test_attributes_and_schedule_come_as_headers_or_in_the_query(door: httpx.Client, lab: Lab) -> None:
    headers = {
        "ce-specversion": "1.0", "ce-id": "7", "ce-type": "note.said", "ce-source": "/me", "ce-subject": "%E4%BD%A0",
        "ce-time": "2020-01-01T00:00:00Z", "ce-priority": "9", "ce-tenant": "acme", "ce-cost": "2.5",
        "traceparent": "00-1-2-01", "Content-Type": "text/plain",
    }  # fmt: skip
    door.post(at("chat/s"), content=b"x", headers=headers, params={"priority": 3, "deadline": 2000})
    [record] = lab.broker.read("chat/s")
    assert (record.id, record.type, record.source, record.subject) == ("7", "note.said", "/me", "你")
    assert (record.time, record.traceparent) == (1000, "00-1-2-01")
    assert record.scheduling == (3, "acme", 2.5, 2000)
    told = page(door)["records"][0]
    assert (told["priority"], told["tenant"], told["cost"], told["deadline"]) == (3, "acme", 2.5, 2000)
    assert (told["time"], told["subject"]) == ("1970-01-01T00:16:40.000Z", "你")


def test_structured_events_and_batches(door: httpx.Client, lab: Lab) -> None:
    def send(kind: str, content: Any) -> httpx.Response:
        headers = {"Content-Type": f"application/{kind}+json; charset=utf-8"}
        return door.post(at("chat/s"), content=json.dumps(content), headers=headers)

    one = {"specversion": "1.0", "id": "1", "source": "/me", "type": "a", "data": {"n": 1}, "priority": 4}
    assert send("cloudevents", one).json()["offset"] == 0
    several = [{"data": "t", "datacontenttype": "text/plain"}, {"data_base64": "AP8="}, {"data": None}, {}]
    assert send("cloudevents-batch", several).json() == {"topic": "chat/s", "offset": 4, "offsets": [1, 2, 3, 4]}
    records = lab.broker.read("chat/s")
    assert [record.body for record in records] == [b'{"n": 1}', b"t", b"\0\xff", b"null", b""]
    assert records[0].scheduling.priority == 4
    told = page(door)["records"][0]
    back = {key: told[key] for key in told if key not in {"topic", "offset", "time"}}
    assert send("cloudevents", back).json()["offset"] == 5
    assert lab.broker.read("chat/s")[-1].body == b'{"n": 1}'
    for bad in (
        {"data": 1, "data_base64": "AA=="}, {"data_base64": "?"}, {"specversion": "0.3"}, {"colour": 1},
        {"data": {}, "datacontenttype": "text/plain"}, {"priority": 256}, {"cost": -1}, {"id": "\ud800"}, [one], 7,
    ):  # fmt: skip
        assert send("cloudevents", bad).status_code == 400, bad
    for bad in ([], one, [{"priority": 999}, one]):
        assert send("cloudevents-batch", bad).status_code == 400, bad
    assert lab.broker.info("chat/s").next == 6


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"ce-priority": "x"}, "ce-priority can't be 'x'"),
        ({"ce-priority": "256"}, "priority=256"),
        ({"ce-subject": "%ff"}, "ce-subject can't be"),
        ({"ce-colour": "red"}, "no attribute 'colour'"),
        ({"ce-specversion": "0.3"}, "CloudEvents 0.3"),
    ],
)
def test_attributes_that_do_not_fit_append_nothing(
    door: httpx.Client, lab: Lab, headers: dict[str, str], says: str
) -> None:
    answer = door.post(at("chat/s"), content=b"x", headers=headers | {"Content-Type": "image/png"})
    assert answer.status_code == 400
    assert says in answer.json()["detail"]
    assert "s" not in lab.broker.ls("chat")


def test_pages_by_offset_and_time_move_nobody(door: httpx.Client, lab: Lab) -> None:
    assert isinstance(lab.clock, VirtualClock)
    began = lab.clock.now()
    for number in range(250):
        lab.broker.send("chat/s", str(number))
        lab.clock.advance(1)
    lab.broker.create_group("workers", topic="chat")
    seen, after = [], None
    while True:
        found = page(door, limit=99, **({} if after is None else {"after": after}))
        seen += [record["offset"] for record in found["records"]]
        if (after := found["after"]) is None:
            break
    assert seen == list(range(250))
    assert [record["data"] for record in page(door, after=3, before=6)["records"]] == ["4", "5"]
    assert page(door, after=3, before=6)["after"] is None
    assert page(door, since=began + 247.5)["records"][0]["offset"] == 248
    assert page(door, since=began + 999)["records"] == []
    assert lab.broker.progress("workers", "chat/s").committed == 0


def test_a_tail_that_is_cut_goes_on_after_its_last_event(lab: Lab) -> None:
    seen: list[int] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            lab.broker.send("chat/s", str(number))
            number += 1

    lab.broker.send("chat/s", "first")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(12):
            again = {"Last_Event_ID": str(seen[-1])} if seen else {}
            with RawExchange(port_of(lab), get(f"{RECORDS}?after=0", lab.token, **STREAM, **again)) as tail:
                events = tail.read(events=20).events()
                seen += [int(event.id) for event in events]
                tail.reset()
            assert [event.json()["offset"] for event in events] == [int(event.id) for event in events]
    finally:
        stop.set()
        writer.join()
    assert len(seen) >= 240
    assert seen == list(range(1, len(seen) + 1))


def test_a_tail_begins_now_or_where_it_is_told_also_before_its_topic_comes(lab: Lab) -> None:
    def first(query: str) -> Any:
        with RawExchange(port_of(lab), get(RECORDS + query, lab.token, **STREAM)) as tail:
            tail.read(until=len(b"HTTP/1.1 200 OK"))
            while b": tailing" not in tail.raw:
                tail.read(until=len(tail.raw) + 1)
            lab.broker.send("chat/s", "new")
            return tail.read(events=1).events()[0].json()["offset"]

    assert first("") == 0
    assert first("") == 1
    assert first("?after=0") == 1
    assert first("?since=0") == 0
    assert first("?since=500000") == 4


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("?limit=3", {}, 400),
        ("", {"Last-Event-ID": "x"}, 400),
        ("", {"Last-Event-ID": "9" * 30}, 400),
        ("?after=-1", {}, 400),
    ],
)
def test_a_tail_that_does_not_fit_is_refused(
    door: httpx.Client, query: str, headers: dict[str, str], status: int
) -> None:
    assert door.get(at("chat/s") + query, headers=STREAM | headers).status_code == status
    assert door.get(at("chut/s") + query, headers=STREAM).status_code in {400, 404}


def test_tails_that_were_cut_leave_no_watch(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    ended = threading.Semaphore(0)
    watch = lab.broker.log.watch

    def counted(topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        begun.append(topic)
        end = watch(topic, wake)
        return lambda: (end(), ended.release())[0]

    monkeypatch.setattr(lab.broker.log, "watch", counted)
    for _ in range(3):
        with RawExchange(port_of(lab), get(RECORDS, lab.token, **STREAM)) as tail:
            while b": tailing" not in tail.raw:
                tail.read(until=len(tail.raw) + 1)
            lab.broker.send("chat/s", "x")
            tail.read(events=1)
            tail.reset()
        assert ended.acquire(timeout=20)
    assert begun == ["chat/s"] * 3


def test_a_large_body_stands_apart_and_is_streamed(door: httpx.Client, lab: Lab) -> None:
    body = bytes(range(256)) * (3 << 12)  # 3 MiB
    assert door.post(at("chat/s"), content=body, headers={"Content-Type": "image/png"}).json()["offset"] == 0
    [record] = page(door)["records"]
    assert not {"data", "data_base64"} & record.keys()
    answer = door.get(f"{lab.url}{record['dataref']}")
    assert (answer.content == body, answer.headers["content-type"]) == (True, "image/png")
    assert "sandbox" in answer.headers["content-security-policy"]
    door.post(at("chat/s"), content="小".encode(), headers={"Content-Type": "text/plain; charset=utf-8"})
    assert door.get(at("chat/s", "records/1/body")).text == "小"
    assert door.get(at("chat/s", "records/2/body")).status_code == 404
    assert door.get(at("chat/s", "records/x/body")).status_code == 400


def pieces(count: int, *, size: int = 64 << 10) -> Iterator[bytes]:
    """A body whose bytes tell where they are."""
    for number in range(count):
        yield number.to_bytes(4) * (size // 4)


def test_a_large_body_is_stored_as_it_comes_and_memory_holds_little_of_it(door: httpx.Client, lab: Lab) -> None:
    count = 24 * 16  # 24 MiB: three times what a JSON body may have
    door.post(at("chat/s"), content=pieces(17), headers={"Content-Type": "image/png"})  # imports, and the first thread
    tracemalloc.start()
    answer = door.post(at("chat/s"), content=pieces(count), headers={"Content-Type": "image/png"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 201, answer.text
    assert peak < 6 * MIB  # two chunks, and what the sockets hold
    record = lab.broker.read("chat/s", after=0)[0]
    assert record.datacontenttype == "image/png"
    assert hashlib.sha256(lab.broker.body(record)).digest() == hashlib.sha256(b"".join(pieces(count))).digest()
    tracemalloc.start()
    digest = hashlib.sha256()
    with door.stream("GET", f"{at('chat/s')}/1/body") as stream:
        for piece in stream.iter_bytes():
            digest.update(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * MIB
    assert digest.digest() == hashlib.sha256(b"".join(pieces(count))).digest()


@pytest.mark.parametrize("length", [True, False])
def test_a_body_above_the_limit_of_the_store_leaves_nothing(tmp_path: Path, length: bool) -> None:
    with Lab(store=tmp_path / "store", stored_body_limit=2 * MIB) as lab, client_of(lab) as door:
        lab.broker.create_topic("chat")
        body = bytes(3 * MIB)
        answer = door.post(
            at("chat/s"), content=body if length else iter([body]), headers={"Content-Type": "image/png"}
        )
        assert answer.status_code == 413, answer.text
        assert answer.headers["content-type"] == PROBLEM
        assert lab.broker.ls("chat") == []
        assert not list((tmp_path / "store").rglob("incoming/*"))


def test_a_sender_that_hangs_up_in_the_middle_of_a_large_body_leaves_nothing(tmp_path: Path) -> None:
    with Lab(store=tmp_path / "store") as lab:
        lab.broker.create_topic("chat")
        incoming = tmp_path / "store" / "topics"
        head = (
            f"POST /broker{at('chat/s')} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {lab.token}\r\n"
            f"Content-Type: image/png\r\nContent-Length: {8 * MIB}\r\n\r\n"
        )
        with RawExchange(port_of(lab), head.encode() + bytes(3 * MIB)):
            until(lambda: [*incoming.rglob("incoming/part.*")])
        until(lambda: not [*incoming.rglob("incoming/*")])
        assert lab.broker.ls("chat") == []
        assert lab.broker.send("chat/s", b"after it").offset == 0
