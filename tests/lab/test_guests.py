"""The doors through which labs that joined use this one's engines: sessions, watches, and what does not fit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cards import draft
from joined import TOKEN, Joined, join_engines
from logs import Bell, record, scratch
from nbagora_lab.broker.blobs import CHUNK
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import StoreCorrupt, TopicNotFound
from nbagora_lab.core.events import Flags, encode
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.core.problem import PROBLEM
from nbagora_lab.core.protocol import CALL
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.model import Query
from waiting import until


@pytest.fixture
def store() -> Iterator[Path]:
    with scratch() as folder:
        yield folder / "store"


@pytest.fixture
def joined(store: Path) -> Iterator[Joined]:
    clock = VirtualClock(1000)
    log = EmbeddedLog(store, clock=clock)
    log.create_topic("chat", TopicSpec())
    catalog = EmbeddedCatalog(store.parent / "registry.db", clock=clock, ids=RandomIds())
    joined = join_engines(log, EmbeddedGroups(log), catalog, grace=30)
    yield joined
    joined.link.close()


class Away(EmbeddedLog):
    """A log on servers that take their time."""

    capabilities = EmbeddedLog.capabilities | {"remote"}
    asked, back = threading.Event(), threading.Event()

    def scan(self, *args: Any, **options: Any) -> Any:
        self.asked.set()
        assert self.back.wait(20)
        return super().scan(*args, **options)


def test_servers_that_are_away_hold_up_nobody_but_who_reads_of_them() -> None:
    with scratch() as folder:
        clock = VirtualClock(1000)
        log = Away(folder / "store", clock=clock)
        log.create_topic("chat", TopicSpec())
        log.append([("chat/a", record())])
        joined = join_engines(log, EmbeddedGroups(log), None)
        found: list[Any] = []
        reading = threading.Thread(target=lambda: found.extend(joined.log.scan("chat/a")))
        reading.start()
        try:
            assert log.asked.wait(20)
            headers = {"Authorization": f"Bearer {TOKEN}"}
            answer = httpx.get(f"{joined.link.url}/engine/openapi.json", headers=headers, timeout=30)
            assert answer.status_code == 200
        finally:
            log.back.set()
            reading.join()
        assert len(found) == 1
        joined.link.close()


@pytest.fixture
def door(joined: Joined) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"{joined.link.url}/engine", headers=headers, timeout=30) as client:
        yield client


def session_of(joined: Joined) -> str:
    [session] = joined.guests.sessions
    return session


def test_a_guest_that_was_taken_for_gone_joins_anew_and_what_it_had_open_is_over(
    joined: Joined, door: httpx.Client
) -> None:
    lost = threading.Event()
    joined.link.lost.append(lost.set)
    bell = Bell()
    unwatch = joined.log.watch("chat/a", bell)
    former = session_of(joined)
    assert door.delete(f"/sessions/{former}").status_code == 204
    assert lost.wait(20)
    until(lambda: joined.link.up and list(joined.guests.sessions) not in ([], [former]))
    bell.wait()  # it may have missed something
    rung = bell.rung
    joined.log.append([("chat/a", record())])
    until(lambda: bell.rung > rung)  # its watches stand again
    unwatch()
    stale = door.post("/log/parents", content=b"{}", headers={"Content-Type": CALL, "nbagora-session": former})
    assert (stale.status_code, stale.json()["type"]) == (404, "urn:nbagora:error:NotJoined")


def test_a_line_that_is_cut_is_mended_within_the_grace_and_nothing_is_lost(joined: Joined) -> None:
    lost: list[int] = []
    joined.link.lost.append(lambda: lost.append(1))
    former = session_of(joined)
    until(lambda: joined.guests.sessions[former].lines == 1)
    joined.guests.sessions[former].lines += 1  # the long answer ends, as when its connection broke
    until(lambda: joined.guests.sessions[former].lines > 2)
    until(lambda: joined.link.up)
    assert session_of(joined) == former
    assert lost == []


def test_a_call_brings_its_own_notices_with_its_answer(joined: Joined) -> None:
    seen: list[tuple[str, int, int]] = []
    unwatch = joined.log.watch_parent("chat", lambda topic, offset: seen.append((topic, offset, threading.get_ident())))
    joined.log.append([("chat/a", record()), ("chat/b", record()), ("chat/a", record())])
    assert seen == [("chat/a", 0, threading.get_ident()), ("chat/b", 0, threading.get_ident())]
    unwatch()
    joined.log.append([("chat/a", record())])
    assert len(seen) == 2


def test_many_notices_come_the_other_way(joined: Joined) -> None:
    bells = [Bell() for _ in range(150)]
    unwatches = [joined.log.watch(f"chat/{number}", bell) for number, bell in enumerate(bells)]
    joined.log.append([(f"chat/{number}", record()) for number in range(150)])
    for bell in bells:
        bell.wait()
    for unwatch in unwatches:
        unwatch()


def test_what_a_guest_that_left_holds_comes_again_by_itself_and_at_once_where_its_lease_has_no_end(
    joined: Joined, door: httpx.Client
) -> None:
    groups = joined.groups
    for name, lease in (("short", 60.0), ("inbox", 1e9)):
        groups.create_group(name, GroupSpec(topic="chat", lease=lease, client_ttl=1e9))
        groups.subscribe(name, "c", ["*"])
    joined.log.append([("chat/a", record())])
    assert [len(groups.receive(name, "c")) for name in ("short", "inbox")] == [1, 1]
    former = session_of(joined)
    door.delete(f"/sessions/{former}")
    until(lambda: joined.link.up and list(joined.guests.sessions) not in ([], [former]))
    assert [len(groups.stats(name).leases) for name in ("short", "inbox")] == [1, 0]
    assert [list(groups.subscriptions(name)) for name in ("short", "inbox")] == [["c"], []]


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/log/nothing", b"{}", 404, "nothing is at"),
        ("/nothing/scan", b"{}", 404, "nothing is at"),
        ("/log/scan", b"{", 400, "the call of scan does not fit"),
        ("/log/scan", b'{"topic": 1}', 400, "the call of scan does not fit"),
        ("/log/scan", b'{"topic": "chat"}', 400, "names no lite topic"),
        ("/log/scan", b'{"topic": "chat/a", "more": 1}', 400, "the call of scan does not fit"),
        ("/log/append", b'{"entries": [["chat/a", "AAAA"]]}', 400, "no record"),
        ("/log/append", b'{"entries": [["chut/a", "%s"]]}', 404, "no topic 'chut'"),
        ("/log/append", b'{"entries": [["chat/a", "=="]]}', 400, "the call of append does not fit"),
        ("/log/close", b"{}", 404, "nothing is at"),
        ("/groups/receive", b'{"group": "none", "client": "c"}', 404, "no group 'none'"),
        ("/groups/create_group", b'{"name": "g", "spec": {"topic": "chat", "quota": [1]}}', 400, "does not fit"),
        ("/groups/create_group", b'{"name": "g", "spec": {"topic": "chat", "start": {}}}', 400, "no start"),
        ("/catalog/get", b'{"namespace": "public", "name": "x", "ref": "latest"}', 404, "no agent 'x'"),
        ("/sessions", b"[]", 400, "no JSON object"),
        ("/bodies/xx", None, 400, "no body's name"),
        ("/bodies/ab/bytes?start=-1&size=1", None, 400, "no range of a body"),
        ("/bodies/ab", None, 404, "no body ab… is stored"),
        ("/bodies/ab/bytes?start=0&size=1", None, 404, "no body ab… is stored"),
    ],
)
def test_what_does_not_fit_is_a_problem(
    joined: Joined, door: httpx.Client, path: str, body: bytes | None, status: int, says: str
) -> None:
    import base64

    if body is not None:
        body = body.replace(b"%s", base64.b64encode(record()))
    headers = {"Content-Type": CALL, "nbagora-session": session_of(joined)}
    answer = door.get(path) if body is None else door.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_body_is_told_as_damaged_and_not_as_unknown(
    joined: Joined, door: httpx.Client, damage: str, store: Path
) -> None:
    ref = joined.log.stage([bytes(CHUNK + 9)])
    joined.log.append([("chat/a", encode("note", ref.body(), flags=Flags.REFERENCE))])
    path = store / "blobs" / ref.sha256
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + b"x" if damage == "flip" else raw[:-5])
    if damage == "gone":
        path.unlink()
    about, piece = door.get(f"/bodies/{ref.sha256}"), door.get(f"/bodies/{ref.sha256}/bytes?start={CHUNK}&size=9")
    assert about.status_code == (503 if damage == "gone" else 200)
    assert (piece.status_code, piece.headers["content-type"]) == (503, PROBLEM)
    assert piece.json()["type"] == "urn:nbagora:error:StoreCorrupt"
    with pytest.raises(StoreCorrupt), joined.log.open_body(ref) as reader:
        reader.readall()


@pytest.mark.parametrize(
    "what", [None, [], ["topic"], ["topic", 1], ["topic", "chat"], ["parent", "chut"], ["ready", "g", "c"]]
)
def test_what_can_not_be_watched_is_refused(joined: Joined, door: httpx.Client, what: Any) -> None:
    content = json.dumps({"number": 1, "what": what}).encode()
    answer = door.post(f"/sessions/{session_of(joined)}/watches", content=content, headers={"Content-Type": CALL})
    assert answer.status_code in {400, 404}, answer.text
    assert answer.headers["content-type"] == PROBLEM


def test_the_document_tells_every_call(door: httpx.Client) -> None:
    paths = door.get("/openapi.json").json()["paths"]
    assert {"/engine/log/append", "/engine/groups/receive", "/engine/catalog/publish"} <= set(paths)
    assert len(paths) > 45


def test_without_a_session_no_call_is_made(door: httpx.Client) -> None:
    answer = door.post("/log/parents", content=b"{}", headers={"Content-Type": CALL})
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
    assert answer.json()["type"] == "urn:nbagora:error:NotJoined"


def test_errors_of_the_other_side_are_the_same_here(joined: Joined) -> None:
    with pytest.raises(TopicNotFound, match="no topic 'chut'\ndid you mean 'chat'"):
        joined.log.append([("chut/a", record())])


def test_a_publication_that_is_no_card_is_refused_and_search_goes_on(joined: Joined, door: httpx.Client) -> None:
    headers = {"Content-Type": CALL, "nbagora-session": session_of(joined)}
    whole = draft()
    signed = {"signatures": [{"protected": "e30", "signature": "c2lnbmVk"}]}
    for forged in (
        whole._replace(card={}),
        whole._replace(card={"name": "weather"}),
        whole._replace(hash="0" * 64),
        whole._replace(signed={}),
        whole._replace(signed=whole.card),
        whole._replace(signed=whole.card | signed | {"description": "Is another."}),
        whole._replace(signed=whole.card | signed, card=whole.card | {"description": "Is another."}),
    ):
        answer = door.post("/catalog/publish", content=json.dumps({"draft": forged}), headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM), answer.text
    assert joined.catalog.publish(whole._replace(signed=whole.card | signed)).new
    assert [found.agent.name for found in joined.catalog.find(Query())] == ["weather"]
