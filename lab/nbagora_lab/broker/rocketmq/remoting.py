"""RocketMQ's own protocol, as far as the official client has no call: administration, and reading by offset.

A frame is ``u32 length, u32 header length, JSON header, body``; the second word's top byte says how the header is
serialised (0: JSON). The header is ``{code, language, version, opaque, flag, serializeTypeCurrentRPC, extFields}``, all
values of `extFields` being texts; the answer's `code` is 0 where it worked, and its `remark` says why not.

Nothing here waits longer than its time-out, and nothing is sent twice: whoever calls knows what may be repeated.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from nbagora_lab.core.errors import ServerGone

__all__ = ["Answer", "Asked", "Message", "Remote", "loads", "messages_in"]

_VERSION = 521  # the protocol's number of 5.5.0
_LARGEST = 256 << 20  # an answer above this is none
_BARE_KEY = re.compile(r"([{,]\s*)(\d+)(\s*:)")
_COMPRESSED, _BORN_V6, _STORE_V6 = 1, 1 << 4, 1 << 5
_MAGIC_V2 = 0xDAA320A7 + 4


class Answer(NamedTuple):
    """What a server answered.

    Attributes:
        code: 0 where it worked.
        fields: Of the answer's header.
        body: What came with it.
        remark: Why it did not work.
    """

    code: int
    fields: dict[str, str]
    body: bytes
    remark: str


class Message(NamedTuple):
    """A message as a broker stores it.

    Attributes:
        offset: Its place on the queue that is the topic's own; on a lite topic that is its parent's.
        born: When it was sent, in seconds since the Unix epoch.
        body: What it carries.
        properties: The system's and the user's.
    """

    offset: int
    born: float
    body: bytes
    properties: dict[str, str]


class Remote:
    """A server, with as many connections as calls are under way at once. Any thread may call.

    Args:
        address: ``host:port``.
        hint: What to do where it does not answer.
        timeout: Seconds that a call takes at most, unless it says otherwise.
    """

    def __init__(self, address: str, hint: str, *, timeout: float = 5.0) -> None:
        self.address = address
        self._hint = hint
        self._timeout = timeout
        self._idle: deque[socket.socket] = deque()
        self._lock = threading.Lock()
        self._all: set[socket.socket] = set()
        self._closed = False

    def call(
        self, code: int, fields: dict[str, Any] | None = None, body: bytes = b"", *, timeout: float | None = None
    ) -> Answer:
        """Asks once.

        Args:
            code: Of the request.
            fields: Of the request's header.
            body: What goes with it.
            timeout: Seconds, where they are not the usual ones.

        Raises:
            ServerGone: It can't be reached, or broke off; the request may have been carried out.
        """
        return self.ask(code, fields, body, timeout=timeout).answer()

    def ask(
        self, code: int, fields: dict[str, Any] | None = None, body: bytes = b"", *, timeout: float | None = None
    ) -> Asked:
        """The same, without waiting for the answer; what is given must be asked for it, or dropped."""
        header = {
            "code": code,
            "language": "OTHER",
            "version": _VERSION,
            "opaque": 1,
            "flag": 0,
            "serializeTypeCurrentRPC": "JSON",
            "extFields": {name: _text(value) for name, value in (fields or {}).items()},
        }
        packed = json.dumps(header).encode()
        frame = b"".join((struct.pack(">II", 4 + len(packed) + len(body), len(packed)), packed, body))
        with self._told(None):
            link = self._link()
        with self._told(link):
            link.settimeout(timeout or self._timeout)
            link.sendall(frame)
        return Asked(self, link)

    def close(self) -> None:
        """Ends all connections; calls under way fail."""
        with self._lock:
            self._closed = True
            links, self._all = list(self._all), set()
            self._idle.clear()
        for link in links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def _link(self) -> socket.socket:
        with self._lock:
            if self._closed:
                raise OSError("closed")
            while self._idle:
                if _open(link := self._idle.pop()):
                    return link
                self._all.discard(link)
                link.close()
        host, _, port = self.address.rpartition(":")
        link = socket.create_connection((host.strip("[]"), int(port)), timeout=self._timeout)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._all.add(link)
        return link

    def take(self, link: socket.socket) -> Answer:
        """The answer to what was sent on a connection, which is idle then; see `Asked`."""
        with self._told(link):
            answer = _read(link)
        with self._lock:
            if not self._closed:
                self._idle.append(link)
                return answer
        self.drop(link)
        return answer

    @contextlib.contextmanager
    def _told(self, link: socket.socket | None) -> Iterator[None]:
        """Ends a connection on which something goes wrong, and says so."""
        try:
            yield
        except (OSError, ValueError) as error:
            self.drop(link)
            raise ServerGone(f"RocketMQ at {self.address} does not answer: {error}", self._hint) from None
        except BaseException:  # interrupted: what comes on this connection is no answer to the next call
            self.drop(link)
            raise

    def drop(self, link: socket.socket | None) -> None:
        """Ends a connection."""
        if link is not None:
            with self._lock:
                self._all.discard(link)
            link.close()


class Asked:
    """A request that is under way, on a connection of its own. Its answer is taken once, or it is dropped."""

    def __init__(self, remote: Remote, link: socket.socket) -> None:
        self._remote = remote
        self._link = link

    def answer(self) -> Answer:
        """Waits for it; errors as for `Remote.call`."""
        return self._remote.take(self._link)

    def drop(self) -> None:
        """Gives up; the server may have carried it out."""
        self._remote.drop(self._link)


def _open(link: socket.socket) -> bool:
    """Whether an idle connection is there still: these servers close one that was idle for two minutes."""
    link.settimeout(0)
    try:
        link.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False  # its end, or an answer that nobody asked for


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(link: socket.socket) -> Answer:
    (length,) = struct.unpack(">I", _exactly(link, 4))
    if not 4 <= length <= _LARGEST:
        raise ValueError("what answers there is no RocketMQ")
    frame = _exactly(link, length)
    cut = 4 + (int.from_bytes(frame[:4], "big") & 0xFFFFFF)
    if frame[0] != 0 or cut > length:
        raise ValueError("what answers there is no RocketMQ that speaks JSON")
    header = json.loads(frame[4:cut])
    return Answer(
        int(header["code"]), header.get("extFields") or {}, bytes(frame[cut:]), str(header.get("remark") or "")
    )


def _exactly(link: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view, have = memoryview(buffer), 0
    while have < size:
        got = link.recv_into(view[have:])
        if not got:
            raise OSError("the connection was closed")
        have += got
    return buffer


def loads(body: bytes) -> Any:
    """JSON as these servers write it: numbers as keys may stand bare."""
    text = body.decode()
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(_BARE_KEY.sub(r'\1"\2"\3', text))


def messages_in(body: bytes) -> list[Message]:
    """The messages that a pull brought."""
    found, at, view = [], 0, memoryview(body)
    while at + 4 <= len(body):
        (size,) = struct.unpack_from(">I", body, at)
        found.append(_message(view[at : at + size]))
        at += size
    return found


def _message(view: memoryview) -> Message:
    magic, _, _, _, offset, _, flags, born = struct.unpack_from(">IIIIQQIQ", view, 4)
    at = 4 + 44 + (20 if flags & _BORN_V6 else 8) + 8 + (20 if flags & _STORE_V6 else 8) + 4 + 8
    (size,) = struct.unpack_from(">I", view, at)
    body = bytes(view[at + 4 : at + 4 + size])
    at += 4 + size
    wide = magic == _MAGIC_V2  # the length of the topic's name has two bytes
    at += (2 + struct.unpack_from(">H", view, at)[0]) if wide else (1 + view[at])
    (size,) = struct.unpack_from(">H", view, at)
    text = bytes(view[at + 2 : at + 2 + size]).decode()
    pairs = (pair.partition("\1") for pair in text.split("\2") if pair)
    return Message(
        offset,
        born / 1e3,
        zlib.decompress(body) if flags & _COMPRESSED else body,
        {name: value for name, _, value in pairs},
    )
