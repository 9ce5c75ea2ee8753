"""Broken calls at every door, made by mutation of good ones: no 5xx, no internal error, no silence; the lab lives."""

import copy
import gc
import hashlib
import json
import logging
import os
import threading
from random import Random  # noqa: TID251 -- seeded, and the seed is shown

import httpx
import psutil
import pytest

from bindings import user_message
from raw_http import RawExchange
from waiting import until

WORKERS = (os.cpu_count() or 1) + 4  # threads that a loop keeps for what would block it

VALUES = [
    None, True, False, 0, -1, 1.5, 1e308, 2**53, 2**63, 2**64, -(2**63), 1e999, -1e999, "", "x", "\x00", "\ud800",
    "北京", "x" * 300, "../..", "a/b", "TASK_STATE_WORKING", "2026-01-01T00:00:00Z", "9999-99-99T99:99:99Z",
    [], [[]], [None], {}, {"": {}}, {"a": [1, {"b": None}]}, ["x"] * 50,
]  # fmt: skip


def good_calls(task_id, context_id):
    """Calls that work, by path: JSON-RPC of both versions, HTTP+JSON of both."""
    full = user_message("x", contextId=context_id, metadata={"a": 1}, extensions=["u"], referenceTaskIds=["r"])
    full["parts"] += [
        {"data": {"n": 1}, "metadata": {"b": [1]}},
        {"raw": "AAA=", "mediaType": "image/png", "filename": "f"},
    ]
    full["parts"].append({"url": "http://x", "mediaType": "text/plain"})
    old = {
        "kind": "message",
        "messageId": "m",
        "role": "user",
        "parts": [{"kind": "text", "text": "x"}],
        "contextId": "c",
    }
    old["parts"].append({"kind": "file", "file": {"bytes": "AAA=", "mimeType": "image/png", "name": "f"}})
    old["parts"].append({"kind": "data", "data": {"a": 1}})
    configuration = {"acceptedOutputModes": ["text/plain"], "historyLength": 1, "returnImmediately": True}
    rpc = {
        "SendMessage": {"message": full, "configuration": configuration, "metadata": {"c": 1}, "tenant": ""},
        "SendStreamingMessage": {"message": full},
        "GetTask": {"id": task_id, "historyLength": 1},
        "ListTasks": {"contextId": context_id, "status": "TASK_STATE_COMPLETED", "pageSize": 5, "historyLength": 1,
                      "statusTimestampAfter": "2026-01-01T00:00:00Z", "includeArtifacts": True},
        "CancelTask": {"id": task_id},
        "SubscribeToTask": {"id": task_id},
        "CreateTaskPushNotificationConfig": {"taskId": task_id, "url": "http://127.0.0.1:1/"},
        "GetExtendedAgentCard": {},
    }  # fmt: skip
    rpc03 = {
        "message/send": {"message": old, "configuration": {"blocking": False, "historyLength": 1}, "metadata": {}},
        "message/stream": {"message": old},
        "tasks/get": {"id": task_id, "historyLength": 1},
        "tasks/cancel": {"id": task_id},
        "tasks/resubscribe": {"id": task_id},
        "tasks/pushNotificationConfig/set": {"taskId": task_id, "pushNotificationConfig": {"url": "http://x"}},
        "agent/getAuthenticatedExtendedCard": {},
    }
    for version, calls in (("1.0", rpc), ("0.3", rpc03)):
        for method, params in calls.items():
            yield "POST", "", version, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    yield "POST", "/message:send", "1.0", rpc["SendMessage"]
    yield "POST", "/message:stream", "1.0", rpc["SendStreamingMessage"]
    yield "POST", f"/tasks/{task_id}/pushNotificationConfigs", "1.0", {"url": "http://x"}
    old_rest = {
        "message": {"messageId": "m", "role": "ROLE_USER", "content": [{"text": "x"}, {"data": {"data": {"a": 1}}}]}
    }
    yield "POST", "/v1/message:send", "0.3", old_rest
    yield "POST", "/v1/message:stream", "0.3", old_rest


def places(value, path=()):
    """The way to every value within a value."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def mutate(rng, body):
    """A copy with one to three places replaced, removed, doubled, wrapped or renamed."""
    body = copy.deepcopy(body)
    for _ in range(rng.randint(1, 3)):
        *way, last = rng.choice([path for path in places(body) if path] or [("x",)])
        holder = body
        for key in way:
            holder = holder[key]
        if isinstance(holder, dict) and last not in holder:
            continue
        match rng.randrange(6):
            case 0 | 1:
                holder[last] = copy.deepcopy(rng.choice(VALUES))
            case 2:
                del holder[last]
            case 3:
                holder[last] = [holder[last], copy.deepcopy(holder[last])]
            case 4:
                holder[last] = {rng.choice(["id", "message", "", "\x00", "parts"]): holder[last]}
            case 5 if isinstance(holder, dict):
                holder[rng.choice([last.upper(), last + "x", "", "constructor", "__class__"])] = holder.pop(last)
    return body


SPLINTERS = [b"[", b"{", b'"', b"\\", b"\xff", b"\x00", b"\xed\xa0\x80", b"1" * 30, b",", b"\\ud800"]


def spoil(rng, raw):
    """Bytes with one to four bytes changed, cut off or put in."""
    raw = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw)) if raw else 0
        match rng.randrange(4):
            case 0 if raw:
                raw[at] = rng.randrange(256)
            case 1:
                raw[at:at] = rng.choice(SPLINTERS)
            case 2:
                del raw[at : at + rng.randrange(20)]
            case _:
                del raw[at:]
    return bytes(raw)


def check(answer, what):
    """An answer that says what is wrong, or that all is well."""
    assert answer.status_code < 500, (answer.status_code, answer.text, what)
    if answer.status_code in {204, 404, 405} and not answer.content:
        return
    if answer.headers["content-type"].startswith("text/event-stream"):
        return
    body = answer.json()
    if "jsonrpc" in body:
        assert ("result" in body) != ("error" in body), (body, what)
        assert body.get("error", {}).get("code") != -32603, (body, what)


def rounds(lab, seed, count):
    rng = Random(seed)
    task = lab.ask("echo", "x")
    calls = list(good_calls(task.id, task.context_id))
    headers = {"Authorization": f"Bearer {lab.token}", "Content-Type": "application/json"}
    with httpx.Client(base_url=f"{lab.url}/agents/echo", headers=headers, timeout=20, trust_env=False) as http:
        for verb, path, version, body in calls:
            answer = http.request(verb, path, content=json.dumps(body), headers={"A2A-Version": version})
            check(answer, body)
        for _ in range(count):
            verb, path, version, body = rng.choice(calls)
            raw = json.dumps(mutate(rng, body)).encode()
            if rng.random() < 0.3:
                raw = spoil(rng, raw)
            answer = http.request(verb, path, content=raw, headers={"A2A-Version": version})
            check(answer, (path, version, raw))
        assert lab.ask("echo", "still there").text == "still there"
        page = http.get("/tasks", headers={"A2A-Version": "1.0"}, params={"includeArtifacts": "true", "pageSize": 100})
        assert page.status_code == 200, page.text


def test_broken_calls_are_refused(lab, seed):
    rounds(lab, seed, 1500)


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_a_great_many_broken_calls_are_refused(lab, seed):
    rounds(lab, seed, 60_000)


def other_doors(task_id, context_id):
    """Calls that work at the doors beside an agent's own: a body of bytes goes as it is."""
    sha = hashlib.sha256(b"x").hexdigest()
    hooks = f"/agents/echo/tasks/{task_id}/pushNotificationConfigs"
    yield "POST", f"/blobs?context={context_id}", b"x"
    yield "PUT", f"/blobs/{sha}?context={context_id}", b"x"
    yield "GET", f"/blobs/{sha}?context={context_id}", b""
    yield "POST", "/tickets", {"path": f"/agents/echo/tasks/{task_id}", "seconds": 60}
    yield "POST", hooks, {"id": "a", "url": "http://127.0.0.1:1/", "token": "t", "authentication": {"scheme": "Bearer"}}
    yield "GET", hooks, b""
    yield "GET", f"{hooks}/a", b""
    yield "DELETE", f"{hooks}/a", b""
    yield "POST", "/engine/sessions", {"session": "x", "url": "http://127.0.0.1:1", "name": "x"}
    yield "POST", "/engine/log/scan", {"topic": f"sessions/{context_id}", "after": -1}
    yield "POST", "/engine/log/append", {"entries": [["sessions/x", "AAAA"]]}
    yield "POST", "/engine/groups/groups", {}
    yield "GET", "/engine/status", b""
    yield "POST", "/engine/bodies", b"x"


def broken(rng, verb, path, body):
    """One of those calls with its path, its headers or its body spoilt."""
    headers = {
        "A2A-Version": "1.0",
        "Content-Type": "application/zip" if isinstance(body, bytes) else "application/json",
    }
    if rng.random() < 0.3:
        path = path.replace(
            rng.choice(["=", "/", "a", "x", "%"]), rng.choice(["", "%2f", "%00", "北", "..", "x" * 900]), 1
        )
    if rng.random() < 0.3:
        headers[rng.choice(["Range", "If-None-Match", "Content-Type", "nbagora-session"])] = rng.choice(
            ["bytes=9-1", "bytes=-", "bytes=0-99999999999999999999", "x", "*", "application/json", "text/plain", ""]
        )
    raw = body if isinstance(body, bytes) else json.dumps(mutate(rng, body)).encode()
    return verb, "/" + path.lstrip("/"), spoil(rng, raw) if rng.random() < 0.3 else raw, headers


def fuzz_other_doors(lab, seed, count):
    rng = Random(seed)
    task = lab.ask("echo", "x")
    calls = list(other_doors(task.id, task.context_id))
    with httpx.Client(base_url=lab.url, timeout=20, trust_env=False) as http:
        http.headers["Authorization"] = f"Bearer {lab.token}"
        for number in range(count):
            verb, path, raw, headers = broken(rng, *calls[number % len(calls)])
            try:
                request = http.build_request(verb, path, content=raw, headers=headers)
            except (httpx.InvalidURL, UnicodeError):
                continue
            answer = http.send(request)
            assert answer.status_code < 500, (verb, path, raw, headers, answer.status_code, answer.text)
    assert lab.ask("echo", "still there").text == "still there"


@pytest.mark.thorough
def test_broken_calls_at_the_other_doors_are_refused(lab, seed):
    fuzz_other_doors(lab, seed, 700)


@pytest.mark.campaign
@pytest.mark.timeout(900)
@pytest.mark.parametrize("door", [rounds, fuzz_other_doors])
def test_ten_thousand_broken_calls_leave_nothing_behind(lab, seed, monkeypatch, door):
    """Neither memory nor threads nor readers of topics nor tasks at work."""
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # pytest would keep all that is logged
    door(lab, seed, 1000)  # what is loaded and cached once
    before = usage(lab)
    door(lab, seed + 1, 10_000)
    settled = ("watches", "open")  # what was begun ends by itself
    until(lambda: all(usage(lab)[what] <= before[what] for what in settled))
    after = usage(lab)
    print(before, after)
    assert after["rss"] - before["rss"] < 64 << 20
    assert after["threads"] <= before["threads"] + WORKERS


def usage(lab):
    gc.collect()
    tasks = lab._tasks._tasklog
    return {
        "rss": psutil.Process().memory_info().rss,
        "threads": threading.active_count(),
        "watches": len(lab.broker.log._watches),
        "open": len(tasks._live),
    }


QUERIES = [
    "historyLength",
    "pageSize",
    "pageToken",
    "status",
    "contextId",
    "statusTimestampAfter",
    "includeArtifacts",
    "A2A-Version",
    "lastEventId",
    "tenant",
    "x",
]


def test_broken_queries_and_paths_are_refused(lab, seed):
    rng = Random(seed)
    task = lab.ask("echo", "x")
    paths = ["/tasks", f"/tasks/{task.id}", f"/tasks/{task.id}:subscribe", f"/v1/tasks/{task.id}"]
    paths += ["/extendedAgentCard", "/v1/card"]
    values = [str(value).encode("utf-8", "replace") for value in VALUES]
    with httpx.Client(base_url=f"{lab.url}/agents/echo", timeout=20, trust_env=False) as http:
        http.headers["Authorization"] = f"Bearer {lab.token}"
        for _ in range(400):
            query = {rng.choice(QUERIES): rng.choice(values) for _ in range(rng.randint(0, 4))}
            path = rng.choice(paths) + rng.choice(["", "", "", "/", "%00", "%2f", "%ff", "?", "//", ":x", "北京"])
            version = rng.choice(["1.0", "0.3", ""])
            answer = http.get(path, params=query, headers={"A2A-Version": version})
            check(answer, (path, query, version))


def test_broken_http_is_refused(lab, port, seed):
    """What no client of HTTP would send: the server says so or hangs up, and answers the next."""
    rng = Random(seed)
    good = (
        f"POST /agents/echo HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {lab.token}\r\nA2A-Version: 1.0\r\n"
        "Content-Type: application/json\r\nContent-Length: 62\r\nConnection: close\r\n\r\n"
        '{"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params":{}}'
    ).encode()
    for _ in range(150):
        with RawExchange(port, spoil(rng, good), timeout=0.05) as exchange:
            try:
                exchange.read()
            except TimeoutError:  # it waits for the rest of what was announced
                continue
            assert exchange.status < 500, exchange.raw
    assert lab.ask("echo", "still there").text == "still there"
