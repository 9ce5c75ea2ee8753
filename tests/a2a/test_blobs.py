"""Large parts: links in place of them, streamed both ways, seen by nobody but their owner."""

import base64
import contextlib
import gc
import hashlib
import os
import socket
import threading
import tracemalloc

import httpx
import pytest

from bindings import user_message
from nbagora_lab.broker.blobs import CHUNK, BlobRef
from nbagora_lab.core.errors import BodyNotFound
from nbagora_lab.lab import Lab

HTTP = httpx.Client(verify=False, trust_env=False, timeout=60)  # one for all: each reads the certificates
MIB = 1 << 20


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "大.bin"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(MIB))
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory, large):
    with Lab(store=tmp_path_factory.mktemp("blobs")) as lab:

        @lab.agent
        async def gives(message, task):
            yield large

        @lab.agent(auth=["bearer"])
        async def takes(message, task):
            [file] = message.files
            with file.open() as opened:
                return f"{file.name} {hashlib.sha256(opened.read()).hexdigest()} {file.content is None}"

        @lab.agent
        async def bytes_of(message, task):
            yield b"x" * int(message.text)

        yield lab


def own(lab):
    return {"Authorization": f"Bearer {lab.token}"}


def url_of(task):
    [artifact] = task.raw["artifacts"]
    [part] = artifact["parts"]
    return part["url"]


def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) << 10


def test_64_mib_go_from_agent_to_client_in_pieces(lab, large):
    """The whole way in one process, server and client, without ever holding more than a few chunks."""
    before, most, stop = peak(), [0], threading.Event()

    def watch():
        while not stop.wait(0.005):
            most[0] = max(most[0], peak())

    watcher = threading.Thread(target=watch)
    watcher.start()
    digest, size = hashlib.sha256(), 0
    try:
        task = lab.ask("gives", "x")
        with HTTP.stream("GET", url_of(task), headers=own(lab)) as response:
            for piece in response.iter_bytes():
                digest.update(piece)
                size += len(piece)
    finally:
        stop.set()
        watcher.join()
    assert size == 64 * MIB
    assert digest.hexdigest() == hashlib.sha256(large.read_bytes()).hexdigest()
    assert task.raw["artifacts"][0]["parts"][0]["filename"] == "大.bin"
    assert most[0] - before < 16 * MIB


def test_a_large_file_takes_two_of_its_pieces_of_memory_on_its_way(lab, large):
    """Of the lab's own: from the file to the log, and from the log to a socket whose reader keeps nothing."""
    sink = bytearray(1 << 16)

    def sent_and_read():
        task = lab.ask("gives", "x")
        url = httpx.URL(url_of(task))
        with socket.create_connection((url.host, url.port), timeout=60) as reader:
            target, head = url.raw_path.decode(), f"Host: {url.host}\r\nAuthorization: Bearer {lab.token}"
            reader.sendall(f"GET {target} HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n".encode())
            size = 0
            while got := reader.recv_into(sink):
                size += got
        return size

    sent_and_read()  # what is imported and cached by the first is not its memory
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert sent_and_read() > 64 * MIB
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{(most - before) / CHUNK:.2f} chunks")
    assert most - before < 2.25 * CHUNK  # and what calls and events take


def test_small_parts_stay_in_their_events(lab):
    assert "raw" in lab.ask("bytes-of", f"{CHUNK}").raw["artifacts"][0]["parts"][0]
    assert "url" in lab.ask("bytes-of", f"{CHUNK + 1}").raw["artifacts"][0]["parts"][0]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=1048570-1048580", MIB - 6, MIB + 4), ("bytes=67108860-", 64 * MIB - 4, 64 * MIB - 1),
     ("bytes=-3", 64 * MIB - 3, 64 * MIB - 1), ("bytes=67108863-99999999", 64 * MIB - 1, 64 * MIB - 1)],
)  # fmt: skip
def test_ranges(lab, large, asked, first, last):
    url = url_of(lab.ask("gives", "x"))
    response = HTTP.get(url, headers=own(lab) | {"Range": asked})
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {first}-{last}/{64 * MIB}"
    with large.open("rb") as file:
        file.seek(first)
        assert response.content == file.read(last - first + 1)


def test_head_etag_and_what_can_not_be_satisfied(lab):
    url = url_of(lab.ask("gives", "x"))
    head = HTTP.head(url, headers=own(lab))
    assert (head.status_code, head.headers["content-length"]) == (200, str(64 * MIB))
    assert head.headers["content-security-policy"].startswith("sandbox")
    assert head.headers["x-content-type-options"] == "nosniff"
    assert head.headers["content-disposition"] == "attachment"
    assert head.headers["cache-control"].startswith("private")
    assert HTTP.get(url, headers=own(lab) | {"If-None-Match": head.headers["etag"]}).status_code == 304
    for asked in ("bytes=67108864-", "bytes=5-4"):
        refused = HTTP.get(url, headers=own(lab) | {"Range": asked})
        assert refused.status_code == 416
        assert refused.headers["content-range"] == f"bytes */{64 * MIB}"


@pytest.mark.parametrize(
    ("headers", "status", "length"),
    [
        ({"Range": "bytes=-99999999999"}, 206, 64 * MIB),
        ({"Range": "bytes=5-9", "If-Range": "ETAG"}, 206, 5),
        ({"Range": "bytes=5-9", "If-Range": '"another"'}, 200, 64 * MIB),
        ({"Range": "bytes=-"}, 200, 64 * MIB),
        ({"Range": "bytes=0-1,4-5"}, 200, 64 * MIB),
        ({"Range": "lines=1-2"}, 200, 64 * MIB),
        ({"Range": f"bytes={'9' * 5000}-"}, 200, 64 * MIB),
        ({"Range": f"bytes=1-{'9' * 18}"}, 206, 64 * MIB - 1),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_a_range_is_and_what_it_is_of(lab, headers, status, length):
    url = url_of(lab.ask("gives", "x"))
    etag = HTTP.head(url, headers=own(lab)).headers["etag"]
    asked = own(lab) | {name: value.replace("ETAG", etag) for name, value in headers.items()}
    head = HTTP.head(url, headers=asked)
    assert (head.status_code, head.headers["content-length"]) == (status, str(length))


def send(lab, secret, part, **fields):
    message = user_message("x", **fields) | {"parts": [part]}
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    headers = {"Authorization": f"Bearer {secret}", "A2A-Version": "1.0"}
    return HTTP.post(f"{lab.url}/agents/takes", json=body, headers=headers).json()["result"]["task"]


def test_base64_is_taken_and_becomes_a_link(lab):
    bob, eve = lab.credentials.grant("bob"), lab.credentials.grant("eve")
    content = os.urandom(3 * MIB)
    raw = {"raw": base64.b64encode(content).decode(), "filename": "f", "mediaType": "image/png"}
    task = send(lab, bob, raw)
    assert task["artifacts"][0]["parts"][0]["text"] == f"f {hashlib.sha256(content).hexdigest()} True"
    [part] = task["history"][0]["parts"]
    assert "raw" not in part
    got = HTTP.get(part["url"], headers={"Authorization": f"Bearer {bob}"})
    assert (got.content, got.headers["content-type"]) == (content, "image/png")
    for other in (eve, lab.token):
        assert HTTP.get(part["url"], headers={"Authorization": f"Bearer {other}"}).status_code == 404
    assert HTTP.get(part["url"]).status_code == 401
    path = httpx.URL(part["url"]).path
    ticket = HTTP.post(f"{lab.url}/tickets", json={"path": path}, headers={"Authorization": f"Bearer {bob}"}).json()
    assert HTTP.get(part["url"], params={"ticket": ticket["ticket"], "context": task["contextId"]}).content == content


def test_the_same_message_again_is_the_same_task(lab):
    bob = lab.credentials.grant("bob")
    raw = {"raw": base64.b64encode(b"y" * 2 * MIB).decode()}
    first, second = (send(lab, bob, raw, contextId="again") for _ in range(2))
    assert first["id"] == second["id"]


def test_an_upload_is_used_by_a_message(lab):
    bob = lab.credentials.grant("bob")
    content = os.urandom(20 * MIB)
    headers = {"Authorization": f"Bearer {bob}", "Content-Type": "application/zip"}

    def pieces():
        for at in range(0, len(content), 100_000):
            yield content[at : at + 100_000]

    told = HTTP.post(f"{lab.url}/blobs?context=uploads", content=pieces(), headers=headers)
    assert told.status_code == 201
    assert told.json()["sha256"] == hashlib.sha256(content).hexdigest()
    task = send(lab, bob, {"url": told.json()["url"], "filename": "up"}, contextId="uploads")
    assert task["artifacts"][0]["parts"][0]["text"].startswith(f"up {told.json()['sha256']}")
    right, wrong = hashlib.sha256(b"z").hexdigest(), "0" * 64
    assert HTTP.put(f"{lab.url}/blobs/{right}?context=uploads", content=b"z", headers=headers).status_code == 201
    assert HTTP.put(f"{lab.url}/blobs/{wrong}?context=uploads", content=b"other", headers=headers).status_code == 409
    with pytest.raises(BodyNotFound):  # what nobody refers to is not kept
        lab.broker.log.open_body(BlobRef(hashlib.sha256(b"other").hexdigest(), 5))
    lab.broker.log.open_body(BlobRef(right, 1)).close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/blobs/x", 404), ("GET", "/blobs/" + "0" * 64, 404),
     ("GET", "/blobs/" + "0" * 64 + "?context=a%2Fb", 404), ("DELETE", "/blobs/" + "0" * 64, 405),
     ("GET", "/blobs", 405), ("POST", "/blobs?context=a%2Fb", 400)],
)  # fmt: skip
def test_what_is_no_blob(lab, method, path, status):
    headers = own(lab) | {"Content-Type": "application/zip"}
    assert HTTP.request(method, lab.url + path, headers=headers).status_code == status


def test_an_upload_above_the_limit_leaves_nothing(tmp_path):
    """Its answer comes once the part is gone: a refusal by the door must not overtake the thread that writes."""
    with Lab(store=tmp_path, stored_body_limit=2 * MIB) as lab:
        headers = own(lab) | {"Content-Type": "application/zip"}

        def pieces():
            for _ in range(40):
                yield bytes(100_000)

        for _ in range(10):
            with contextlib.suppress(httpx.WriteError):  # it was told before it had sent all
                assert HTTP.post(f"{lab.url}/blobs", content=pieces(), headers=headers).status_code == 413
            assert list((tmp_path / "topics").rglob("part.*")) == []
