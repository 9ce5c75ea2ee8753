"""Every door of the broker, with what its OpenAPI document allows and what it does not: never a fault, never a hang.

`--campaign` runs a thousand times as many examples; ``--hypothesis-seed`` repeats a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from broker_doors import at, client_of
from nbagora_lab.broker.http_groups import group_doors
from nbagora_lab.broker.http_records import RECORD_DOORS
from nbagora_lab.broker.http_topics import TOPIC_DOORS
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.openapi import document
from nbagora_lab.lab import Lab

DOCUMENT = document("nbagora broker", (*TOPIC_DOORS, *RECORD_DOORS, *group_doors()))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {f"{one.ok().method.upper()} {one.ok().path}": one.ok() for one in SCHEMA.get_all_operations()}
KNOWN = {"parent": ["chat", "jobs"], "lite": ["s", "t", "会话"], "group": ["workers", "alone"], "client": ["c1", "c2"]}
QUICK = {
    "deadline": None,
    "phases": [Phase.generate],  # a fault is told as it was found; to shrink it takes longer than the whole run
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(store=tmp_path_factory.mktemp("lab") / "store", clock=VirtualClock()) as lab:
        yield lab


def furnish(lab: Lab) -> None:
    """Puts there what the examples speak of; what earlier ones took away comes back."""
    broker = lab.broker
    for parent, kind in (("chat", "LITE"), ("jobs", "PRIORITY")):
        if parent not in broker.topics():
            broker.create_topic(parent, type=kind)
    for group, settings_ in (("workers", {"topic": "chat"}), ("alone", {"topic": "jobs", "mode": "exclusive"})):
        if group not in broker.groups():
            broker.create_group(group, **settings_)
            for client in KNOWN["client"]:
                broker.group_engine.subscribe(group, client, ["*"])
    for topic in ("chat/s", "jobs/s", "chat/会话"):
        broker.send(topic, b'{"n": [1, "\xe4\xbd\xa0"]}', datacontenttype="application/json", tenant="acme")


def cases(name: str) -> st.SearchStrategy[Any]:
    operation = OPERATIONS[name]
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    return st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))


def check(lab: Lab, case: Any, known: int) -> None:
    """Sends a case, most of them with names of what is there, and looks at the answer."""
    for part, names in KNOWN.items():
        if part in case.path_parameters and known < 6:
            case.path_parameters[part] = names[known % len(names)]
    if isinstance(case.body, dict) and isinstance(wait := case.body.get("wait"), int | float) and wait > 0.02:
        case.body["wait"] = 0.02
    response = case.call(base_url=lab.url, headers={"Authorization": f"Bearer {lab.token}"}, timeout=30)
    case.validate_response(response, checks=[not_a_server_error, content_type_conformance, response_schema_conformance])


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_door_answers_whatever_comes(lab: Lab, name: str) -> None:
    @settings(max_examples=2, **QUICK)
    @given(case=cases(name), known=st.integers(0, 7))
    def fuzz(case: Any, known: int) -> None:
        check(lab, case, known)

    furnish(lab)
    fuzz()


@pytest.mark.campaign
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_door_answers_whatever_comes_for_long(lab: Lab, name: str) -> None:
    @settings(max_examples=4000, **QUICK)
    @given(case=cases(name), known=st.integers(0, 7))
    def fuzz(case: Any, known: int) -> None:
        furnish(lab)
        check(lab, case, known)

    fuzz()


@settings(max_examples=15, **QUICK)
@given(
    query=st.dictionaries(
        st.sampled_from(["after", "since", "before", "limit", "x"]),
        st.one_of(st.integers().map(str), st.floats().map(str), st.text(max_size=5)),
        max_size=2,
    ),
    last=st.none() | st.integers(-5, 10**20).map(str) | st.text("0123456789abc é²", max_size=20),
)
def test_a_tail_begins_or_is_refused(lab: Lab, query: dict[str, str], last: str | None) -> None:
    furnish(lab)
    headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last.strip()})
    encoded = httpx.Headers(headers, encoding="latin-1")
    with client_of(lab) as door, door.stream("GET", at("chat/s"), params=query, headers=encoded) as tail:
        assert tail.status_code in {200, 400}, (query, last)
        if tail.status_code == 200:
            assert next(tail.iter_bytes()).startswith(b": tailing")
