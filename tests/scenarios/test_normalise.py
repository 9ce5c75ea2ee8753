from __future__ import annotations

import hashlib
import json

import pytest

from nbagora_lab.inspect.fold import LOG_EXTENSION
from nbagora_lab.scenarios.normalise import (
    NORMALISERS,
    SCRATCH,
    Normaliser,
    addresses,
    durations,
    fingerprint,
    ports,
    processes,
    scratch,
    stamps,
    times,
    uuids,
)

CASES: list[tuple[Normaliser, str, object, object]] = [
    (stamps, LOG_EXTENSION, {"topic": "t", "offset": "3", "generation": "1", "epoch": 2}, {"topic": "t"}),
    (stamps, "metadata", {"offset": "3"}, {"offset": "3"}),
    (stamps, LOG_EXTENSION, "3", "3"),
    (times, "timestamp", "2026-01-01T00:00:00.123Z", "<time>"),
    (times, "text", "from 2026-01-01 00:00:00+01:00 on", "from <time> on"),
    (times, "created_at", 1767225600.5, "<time>"),
    (times, "createdAt", 5, "<time>"),
    (times, "rate", 1767225600.5, 1767225600.5),
    (times, "time", True, True),
    (times, "day", "2026-01-01", "2026-01-01"),
    (durations, "text", "took 0.125 s, then 3.5ms", "took <duration>, then <duration>"),
    (durations, "text", "wait 5 s", "wait 5 s"),
    (durations, "elapsed_ms", 12, "<duration>"),
    (durations, "duration", 1.5, "<duration>"),
    (durations, "seconds", 12, 12),
    (ports, "url", "http://127.0.0.1:43121/agents/x", "http://127.0.0.1:<port>/agents/x"),
    (ports, "url", "http://localhost:8000 and http://[::1]:8000", "http://localhost:<port> and http://[::1]:<port>"),
    (ports, "owner", "bob%40http%3A%2F%2F127.0.0.1%3A43121:ctx-1", "bob%40http%3A%2F%2F127.0.0.1%3A<port>:ctx-1"),
    (ports, "url", "http://example.org:8000", "http://example.org:8000"),
    (addresses, "text", "<object at 0x7f3a2b1c>", "<object at 0x<address>>"),
    (addresses, "text", "0xff", "0xff"),
    (processes, "pid", 4711, "<pid>"),
    (processes, "text", "File /tmp/ipykernel_4711/23.py, line 1", "File /tmp/ipykernel_<pid>/23.py, line 1"),
    (processes, "text", "killed pid 4711", "killed pid <pid>"),
    (processes, "paid", 4711, 4711),
    (scratch, "text", f"the store /tmp/{SCRATCH}a1_b2/store is locked", "the store <scratch>/store is locked"),
    (scratch, "text", "/tmp/agora", "/tmp/agora"),
    (uuids, "id", "m-0b5c1f0e-7a52-4E0c-9d5c-3f1e8a7b6c5d", "m-<uuid>"),
    (uuids, "id", "ctx-0123456789ab", "ctx-0123456789ab"),
]


@pytest.mark.parametrize(("normalise", "key", "value", "expected"), CASES)
def test_a_normaliser_takes_out_what_its_name_says(
    normalise: Normaliser, key: str, value: object, expected: object
) -> None:
    assert normalise(key, value) == expected


def test_every_normaliser_has_cases() -> None:
    assert {case[0] for case in CASES} == set(NORMALISERS)


def test_a_body_is_told_by_its_content() -> None:
    one = {"statusUpdate": {"status": {"timestamp": "2026-01-01T00:00:00Z", "text": "北京"}, "n": [1, {"pid": 7}]}}
    same = {"statusUpdate": {"n": [1, {"pid": 8}], "status": {"text": "北京", "timestamp": "2027-02-03T04:05:06Z"}}}
    other = {"statusUpdate": {"n": [1, {"pid": 8}], "status": {"text": "上海", "timestamp": "2027-02-03T04:05:06Z"}}}
    prints = [fingerprint(json.dumps(body, ensure_ascii=False).encode()) for body in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_the_log_extension_is_looked_into_wherever_it_stands() -> None:
    def body(offset: str) -> bytes:
        return json.dumps({"message": {"metadata": {LOG_EXTENSION: {"topic": "t", "offset": offset}}}}).encode()

    assert fingerprint(body("1")) == fingerprint(body("2"))


def test_text_is_normalised_and_bytes_are_not() -> None:
    assert fingerprint(b"at 2026-01-01T00:00:00Z") == fingerprint(b"at 2027-01-01T00:00:00Z")
    assert fingerprint(b"\xff 2026") == hashlib.sha256(b"\xff 2026").hexdigest()
    assert fingerprint(b"") == hashlib.sha256(b"").hexdigest()


DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000


@pytest.mark.timeout(30)  # a pattern that looks at a long word from each of its letters would take minutes
@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, DEEP, b"7" * 300_000, b"pid" + b" " * 300_000, b"a-" * 150_000, b"7." * 150_000],
    ids=["open", "deep", "digits", "spaces", "words", "points"],
)
def test_a_long_body_is_read_in_one_pass(body: bytes) -> None:
    assert len(fingerprint(body)) == 64


def test_half_a_surrogate_pair_still_has_a_fingerprint() -> None:
    assert fingerprint(b'["\\ud800"]') != fingerprint(b'["\\ud801"]')
