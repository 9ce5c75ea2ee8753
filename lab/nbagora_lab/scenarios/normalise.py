"""What two runs of one notebook may differ in: taken out of a record's body before it is hashed.

Each normaliser is a function of a key and a value of the body's JSON, applied from the outside in; of a body that is
text it gets the text, under the key ``""``. All of them stand in `NORMALISERS`, and a trace names them in its header:
two traces made with different ones can't be compared.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

__all__ = [
    "NORMALISERS",
    "SCRATCH",
    "Normaliser",
    "addresses",
    "durations",
    "fingerprint",
    "ports",
    "processes",
    "scratch",
    "stamps",
    "times",
    "uuids",
]

Normaliser = Callable[[str, Any], Any]

SCRATCH = "nbagora-scenario-"
"""What the names of the folders start with in which scenarios keep their stores."""

_LOG_EXTENSION = "urn:nbagora:a2a-log:"
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_TIME_KEY = re.compile(r"(?:^|_)(?:time|timestamp|created|updated|opened|ended|at)$|(?:Time|At)$")
_DURATION = re.compile(r"(?<!\d)\d++\.\d++ ?(?:ns|µs|us|ms|s|seconds)\b")
_DURATION_KEY = re.compile(r"(?:^|_)(?:duration|elapsed|latency|took)(?:_(?:ms|s|us|ns))?$")
_PORT = re.compile(r"(?:\b|(?<=%2F))(127\.0\.0\.1|localhost)(:|%3A)\d{2,5}\b|(\[::1\]:)\d{2,5}\b")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_PROCESS = re.compile(r"\b(ipykernel_|pid[ =:]+)\d+")
_SCRATCH_PATH = re.compile(r"(?<![^\s\"'(])[^\s\"'(]*" + SCRATCH + r"\w+")  # from a word's start: else quadratic
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)


def stamps(key: str, value: Any) -> Any:
    """The log extension's stamps: where a record lay is what the trace says of it already."""
    if key.startswith(_LOG_EXTENSION) and isinstance(value, dict):
        return {name: item for name, item in value.items() if name not in {"offset", "generation", "epoch"}}
    return value


def times(key: str, value: Any) -> Any:
    """Times: RFC 3339 within text, and numbers under a key such as ``time`` or ``created_at``."""
    if isinstance(value, str):
        return _TIME.sub("<time>", value)
    return "<time>" if _is_number(value) and _TIME_KEY.search(key) else value


def durations(key: str, value: Any) -> Any:
    """Durations: ``0.12 s`` within text, and numbers under a key such as ``elapsed_ms``."""
    if isinstance(value, str):
        return _DURATION.sub("<duration>", value)
    return "<duration>" if _is_number(value) and _DURATION_KEY.search(key) else value


def ports(_key: str, value: Any) -> Any:
    """Ports of loopback addresses."""
    if not isinstance(value, str):
        return value
    return _PORT.sub(lambda found: f"{found[3] or found[1] + found[2]}<port>", value)


def addresses(_key: str, value: Any) -> Any:
    """Addresses in memory, as a `repr` shows them."""
    return _ADDRESS.sub("0x<address>", value) if isinstance(value, str) else value


def processes(key: str, value: Any) -> Any:
    """Process ids: a member ``pid``, ``pid 123`` within text, and in the name that a cell's code has in a traceback."""
    if isinstance(value, str):
        return _PROCESS.sub(r"\1<pid>", value)
    return "<pid>" if key == "pid" and _is_number(value) else value


def scratch(_key: str, value: Any) -> Any:
    """The folder of the run's store."""
    return _SCRATCH_PATH.sub("<scratch>", value) if isinstance(value, str) else value


def uuids(_key: str, value: Any) -> Any:
    """UUIDs, which libraries draw at random; nbagora's own ids have another form and come from the seed."""
    return _UUID.sub("<uuid>", value) if isinstance(value, str) else value


NORMALISERS: tuple[Normaliser, ...] = (stamps, times, durations, ports, addresses, processes, scratch, uuids)
"""All normalisers, in the order in which they are applied."""


def fingerprint(body: bytes, normalisers: tuple[Normaliser, ...] = NORMALISERS) -> str:
    """The SHA-256 of a record's body once normalised, in hexadecimal.

    JSON is hashed by its content, whatever the order of its members; text after normalisation; other bytes as they are.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return hashlib.sha256(body).hexdigest()
    try:
        parsed = json.loads(text)
        if isinstance(parsed, dict | list):
            text = json.dumps(
                _normalised("", parsed, normalisers), sort_keys=True, ensure_ascii=False, separators=(",", ":")
            )
        else:
            text = str(_leaf("", text, normalisers))
    except (ValueError, RecursionError):  # no JSON, or nested too deep to be looked into
        text = str(_leaf("", text, normalisers))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _normalised(key: str, value: Any, normalisers: tuple[Normaliser, ...]) -> Any:
    value = _leaf(key, value, normalisers)
    if isinstance(value, dict):
        return {name: _normalised(name, item, normalisers) for name, item in value.items()}
    if isinstance(value, list):
        return [_normalised(key, item, normalisers) for item in value]
    return value


def _leaf(key: str, value: Any, normalisers: tuple[Normaliser, ...]) -> Any:
    for normalise in normalisers:
        value = normalise(key, value)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
