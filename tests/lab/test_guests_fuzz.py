"""Every call that a joined lab can make, with what the doors' OpenAPI document allows and what it does not.

`--campaign` runs a thousand times as many examples; ``--hypothesis-seed`` repeats a run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from joined import TOKEN, Joined, join_engines
from logs import record, scratch
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.remote import GROUPS, LOG, group_methods, log_methods
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.core.link import SESSION
from nbagora_lab.core.problem import PROBLEM
from nbagora_lab.core.protocol import CALL
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.remote import CATALOG, catalog_methods

CALLS = [
    f"/engine/{engine}/{name}"
    for engine, methods in ((LOG, log_methods()), (GROUPS, group_methods()), (CATALOG, catalog_methods()))
    for name in methods
]
KNOWN = {"topic": "chat/s", "parent": "chat", "group": "workers", "client": "c", "name": "workers", "to": "chat/t"}
EXTREMES = [-1, 0, 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30), math.inf, -math.inf, math.nan, 1e308]
QUICK = {
    "deadline": None,
    "phases": [Phase.generate],  # a fault is told as it was found; to shrink it takes longer than the whole run
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


@pytest.fixture(scope="module")
def joined() -> Iterator[Joined]:
    with scratch() as folder:
        clock = VirtualClock(1000)
        log = EmbeddedLog(folder / "store", clock=clock)
        catalog = EmbeddedCatalog(folder / "registry.db", clock=clock, ids=RandomIds())
        joined = join_engines(log, EmbeddedGroups(log), catalog)
        yield joined
        joined.link.close()


@pytest.fixture(scope="module")
def door(joined: Joined) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=joined.link.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def schema(door: httpx.Client) -> Any:
    told = door.get("/engine/openapi.json").text.replace(CALL, "application/json")  # which schemathesis can write
    return schemathesis.openapi.from_dict(json.loads(told))


def furnish(joined: Joined) -> None:
    """Puts there what the examples speak of; what earlier ones took away comes back."""
    if "chat" not in joined.log.parents():
        joined.log.create_topic("chat", TopicSpec())
    if "workers" not in joined.groups.groups():
        joined.groups.create_group("workers", GroupSpec(topic="chat"))
    joined.groups.subscribe("workers", "c", ["*"])
    joined.log.append([("chat/s", record())])


def numbers(body: Any, draw: Any) -> Any:
    """The same body with some of its numbers at the edges of what numbers are."""
    if isinstance(body, dict):
        return {key: numbers(value, draw) for key, value in body.items()}
    if isinstance(body, list):
        return [numbers(value, draw) for value in body]
    plain = type(body) in {int, float}
    return draw(st.sampled_from(EXTREMES)) if plain and draw(st.booleans()) else body


def fuzz(joined: Joined, door: httpx.Client, schema: Any, path: str, examples: int) -> None:
    operation = schema[path]["POST"]
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @settings(max_examples=examples, **QUICK)
    @given(case=cases, known=st.integers(0, 3), edges=st.booleans(), data=st.data())
    def run(case: Any, known: int, edges: bool, data: st.DataObject) -> None:
        furnish(joined)
        body = case.body
        if isinstance(body, dict) and known:
            body = {key: KNOWN.get(key, value) for key, value in body.items()}
        if edges:
            body = numbers(body, data.draw)
        try:
            content = json.dumps(body).encode()
        except TypeError:  # what schemathesis means by leaving the body out
            content = b""
        session = next(iter(joined.guests.sessions))
        answer = door.post(path, content=content, headers={"Content-Type": CALL, SESSION: session})
        assert answer.status_code < 500, (path, content[:2000], answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == PROBLEM
            assert answer.json()["title"]

    run()


@pytest.mark.thorough
@pytest.mark.parametrize("path", CALLS)
def test_a_call_answers_whatever_comes(joined: Joined, door: httpx.Client, schema: Any, path: str) -> None:
    fuzz(joined, door, schema, path, examples=6)


@pytest.mark.campaign
@pytest.mark.parametrize("path", CALLS)
def test_a_call_answers_whatever_comes_for_long(joined: Joined, door: httpx.Client, schema: Any, path: str) -> None:
    fuzz(joined, door, schema, path, examples=1000)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/engine/sessions"),
        ("POST", "/engine/sessions/{session}/watches"),
        ("DELETE", "/engine/sessions/{session}/watches/7"),
        ("DELETE", "/engine/sessions/none"),
        ("GET", "/engine/bodies/{any}"),
        ("GET", "/engine/bodies/{any}/bytes?start={number}&size={number}"),
        ("POST", "/engine/log/{any}"),
    ],
)
def test_the_other_doors_answer_whatever_comes(joined: Joined, door: httpx.Client, method: str, path: str) -> None:
    parts = st.text("abc0/.%é天 \x7f", min_size=1, max_size=8)
    bodies = st.one_of(
        st.binary(max_size=20),
        st.recursive(
            st.none() | st.booleans() | st.sampled_from(EXTREMES) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["number", "what"]), inner),
            max_leaves=6,
        ).map(lambda body: json.dumps(body).encode()),
        st.sampled_from([["topic", "x"], ["parent", "none"], ["ready", "workers", "x"], ["topic"]]).map(
            lambda what: json.dumps({"number": 1, "what": what}).encode()
        ),
    )

    @settings(max_examples=10, **QUICK)
    @given(body=bodies, part=parts, number=st.sampled_from(["", "-1", "0", "9" * 15, "9" * 30, "٣", "x"]))
    def run(body: bytes, part: str, number: str) -> None:
        furnish(joined)
        session = next(iter(joined.guests.sessions))
        at = path.replace("{session}", session).replace("{any}", httpx.URL("/", params={"q": part}).query[2:].decode())
        answer = door.request(
            method, at.replace("{number}", number), content=body, headers={"Content-Type": CALL, SESSION: session}
        )
        assert answer.status_code < 500, (method, at, body, answer.text)

    run()
