"""A line to another lab: calls of its engines, and what it says unasked, over HTTP with its token.

One long answer carries what the other lab says: that something was written or became ready, and a beat where nothing
is. Its end is how either side learns that the other is gone: at once where the process died, within `SILENCE` seconds
where it hangs. While the line is down every call raises `Unreachable` at once, and whoever waits has been woken to
find out. A thread of the line's own joins again, at the same address, for as long as it takes; where the first try
fails, calls that are still under way are broken off, so that nobody waits for a lab that hangs longer than twice that.

| what comes back | what follows |
|---|---|
| the same lab, within the seconds that it waits for a guest | watchers are woken, for what they missed |
| the same lab, too late, or one that was started anew | `lost` hooks first: what this side had open there is over |
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nbagora_lab.core.errors import LabError, NotJoined, StoreClosed, Unauthorized, Unreachable
from nbagora_lab.core.log import logger
from nbagora_lab.core.problem import error_of
from nbagora_lab.core.protocol import CALL

if TYPE_CHECKING:
    import httpx

__all__ = ["BEAT", "HEARD", "SESSION", "SILENCE", "Link"]

BEAT = 1.0
"""Seconds without a word after which the other lab gives a sign of life."""

SILENCE = 4.0
"""Seconds without any sign of life after which it counts as gone."""

SESSION = "nbagora-session"
"""The header by which a call says whose it is."""

HEARD = "nbagora-heard"
"""The header by which an answer tells what its own call brought about: its watches ring in the caller's thread."""

_ANSWER = 30.0  # seconds that a call may take; one that waits for something waits here, not there
_HELLO = 15.0  # seconds; the first one has the other lab build its doors
_IDLE = 4.0  # seconds; the server closes what is idle for 5
_AGAIN = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds between tries to join again; the last one repeats

_log = logger.getChild("link")

_Heard = Callable[[Any], None]


class _Watch(NamedTuple):
    what: list[Any]
    heard: _Heard
    once: bool


class Link:
    """A line to another lab, up once constructed. Methods may be called from any thread.

    Args:
        url: Where that lab's doors are.
        token: Its token.
        own: Where this lab's doors are.

    Attributes:
        url: Where that lab's doors are.
        about: What it said of itself when it was joined last.
        members: URLs of the labs that are joined there now, its own among them.
        lost: Called when what this side had open there is over, before any new call.
        back: Called when the line is up again.

    Raises:
        Unreachable: No lab answers there.
        Unauthorized: The token is not its.
    """

    def __init__(self, url: str, token: str, own: str) -> None:
        import httpx

        self.url = url.rstrip("/")
        self.about: dict[str, Any] = {}
        self.members: frozenset[str] = frozenset()
        self.lost: list[Callable[[], None]] = []
        self.back: list[Callable[[], None]] = []
        self._own = own
        self._http = httpx.Client(
            base_url=f"{self.url}/engine",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(_ANSWER, connect=2.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=_IDLE),
            trust_env=False,
            verify=self.url.startswith("https"),  # to load certificates takes as long as thirty calls
        )
        self._session = ""
        self._up = False
        self._lock = threading.Lock()
        self._calls = 1  # under way, and the line itself
        self._closed = threading.Event()
        self._heard: dict[int, _Watch] = {}  # by number
        self._evicted: dict[tuple[str, str], _Heard] = {}
        self._numbers = itertools.count(1)
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._noted: dict[str, Any] = {"trace": self._note}  # each request's: any may open a later one's connection
        try:
            self._join()
        except BaseException:
            self._http.close()
            raise
        self._thread = threading.Thread(target=self._run, name="nbagora-link", daemon=True)
        self._thread.start()

    @property
    def up(self) -> bool:
        """Whether the other lab answers, as far as is known."""
        return self._up

    # -- calls -----------------------------------------------------------------------------------------------------

    def post(self, path: str, content: bytes | Iterable[bytes] = b"{}", kind: str = CALL) -> bytes:
        """Calls the other lab, and gives its answer.

        Raises:
            Unreachable: It does not answer; whether it did what it was asked is not known, unless the line was down.
            LabError: What it raised.
        """
        return self._call("POST", path, content=content, headers={"content-type": kind})

    def get(self, path: str) -> bytes:
        """Reads from the other lab; errors as for `post`."""
        return self._call("GET", path)

    def delete(self, path: str) -> bytes:
        """Ends something at the other lab; errors as for `post`."""
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, **options: Any) -> bytes:
        with self._lock:
            self.check()
            self._calls += 1
        try:
            return self._ask(method, path, **options)
        finally:
            self._ended()

    def _ask(self, method: str, path: str, **options: Any) -> bytes:
        import httpx

        headers = {SESSION: self._session} | options.pop("headers", {})
        try:
            answer = self._http.request(method, path, headers=headers, extensions=self._noted, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            self._down()
            raise self._gone() from None
        except httpx.HTTPError as error:
            if self._closed.is_set():
                raise self._gone() from None
            what = f"the lab at {self.url} was lost in the middle of a call ({type(error).__name__})"
            raise Unreachable(what, "look whether what you asked for was done, and ask again") from None
        if told := answer.headers.get(HEARD):
            self._hear(json.loads(told))
        try:
            return _content(answer)
        except NotJoined:
            if self._closed.is_set():  # the call was under way as this lab left
                raise self._gone() from None
            raise

    def _ended(self) -> None:
        """A call, or the line itself, has ended: the last one out closes the connections.

        One that is closed under a call's feet would not wake it: the call would wait on for all of its patience.
        """
        with self._lock:
            self._calls -= 1
            last = self._calls == 0
        if last:
            self._http.close()

    def _note(self, event: str, about: Mapping[str, Any]) -> None:
        """Keeps each connection that is opened, as httpx tells of it, to be able to break it off."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._sockets.add(about["return_value"].get_extra_info("socket"))

    def _break_off(self) -> None:
        for link in list(self._sockets):
            with contextlib.suppress(OSError):  # closed meanwhile
                link.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Says whether calls would go through.

        Raises:
            StoreClosed: The line was closed.
            Unreachable: The other lab does not answer.
        """
        if not self._up:
            raise self._gone()

    def _gone(self) -> LabError:
        if self._closed.is_set():
            return StoreClosed("this lab has left the one that it had joined", "join it again: %lab join")
        hint = "start it again where it ran; this one joins it again by itself"
        return Unreachable(f"the lab at {self.url} does not answer", hint)

    # -- what it says unasked --------------------------------------------------------------------------------------

    def watch(self, what: list[Any], heard: _Heard, *, once: bool = False) -> Callable[[], None]:
        """Has `heard` called with what the other lab tells of a thing, from then on or `once`, on the line's thread.

        It is called with None by the end of the line, and whenever something may have been missed.

        Returns:
            What ends the watch; calling it twice does no harm.

        Raises:
            LabError: What the other lab raised.
        """
        number = next(self._numbers)
        self._heard[number] = _Watch(what, heard, once)
        try:
            self._watch_there(number, what)
        except BaseException:
            self._heard.pop(number, None)
            raise

        ended = threading.Event()

        def unwatch() -> None:
            self._heard.pop(number, None)
            if not ended.is_set() and self._up:  # also of one that has rung: who gives up passes it on
                with contextlib.suppress(LabError):  # a watch that is gone there watches nothing
                    self.delete(f"sessions/{self._session}/watches/{number}")
            ended.set()

        return unwatch

    def on_evicted(self, group: str, client: str, heard: _Heard | None) -> None:
        """Has `heard` called with the patterns that a newer client of a group took over from this one."""
        if heard is None:
            self._evicted.pop((group, client), None)
        else:
            self._evicted[group, client] = heard

    def _watch_there(self, number: int, what: list[Any]) -> None:
        self.post(f"sessions/{self._session}/watches", json.dumps({"number": number, "what": what}).encode())

    # -- life ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leaves the other lab; a second call does nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._up:
            with contextlib.suppress(LabError):
                self.delete(f"sessions/{self._session}")
        self._up = False
        if threading.current_thread() is not self._thread:
            self._thread.join(SILENCE + 1)
        self._ended()
        self._wake_all()

    def _join(self) -> None:
        """Says hello, anew or once more.

        Raises:
            Unreachable: No lab answers there.
            Unauthorized: The token is not its.
        """
        import httpx

        hello = {"url": self._own, "resume": self._session}
        try:
            limit = SILENCE if self._session else _HELLO
            answer = self._http.post("sessions", json=hello, timeout=limit, extensions=self._noted)
        except httpx.HTTPError as error:
            hint = "look whether it runs: %lab status tells its URL; or give the folder of its store"
            raise Unreachable(f"no lab answers at {self.url}: {str(error) or type(error).__name__}", hint) from None
        if answer.status_code == 404:
            raise Unreachable(f"what answers at {self.url} is no lab that can be joined", "give the URL of a lab")
        told = json.loads(_content(answer))
        first, resumed = not self._session, told["resumed"]
        if not first and not resumed:
            for hook in self.lost:
                hook()
        self._session, self.about = told["session"], told["about"]
        self.members = frozenset(told["members"])
        self._up = True
        if not first and not resumed:
            for number, watch in list(self._heard.items()):
                try:
                    self._watch_there(number, watch.what)
                except LabError:  # it watched what is not there any more: told, so that its reader finds out
                    self._heard.pop(number, None)
                    watch.heard(None)

    def _run(self) -> None:
        first, failed = True, 0
        while not self._closed.is_set():
            try:
                if not self._up:
                    self._join()
                self._follow(woken=not first)
            except LabError as error:
                if not self._up:
                    self._break_off()
                if isinstance(error, Unauthorized) and failed == 0:
                    _log.warning("%s takes this lab's token no more: %s", self.url, error.what)
            except Exception:  # noqa: BLE001 -- a fault of ours must not end the line for good
                _log.exception("the line to %s", self.url)
            first = False
            if self._closed.is_set():
                return
            self._down()
            self._closed.wait(_AGAIN[min(failed, len(_AGAIN) - 1)])
            failed = 0 if self._up else failed + 1

    def _follow(self, *, woken: bool) -> None:
        """Hears what the other lab says, until it says no more."""
        import httpx

        path, limit = f"sessions/{self._session}/notices", httpx.Timeout(SILENCE, connect=2.0)
        try:
            with self._http.stream("GET", path, timeout=limit, extensions=self._noted) as stream:
                if stream.status_code != 200:
                    stream.read()
                    _content(stream)
                if woken:
                    _log.warning("the lab at %s is back", self.url)
                    self._wake_all()
                    for hook in self.back:
                        hook()
                for line in stream.iter_lines():
                    if line:
                        self._hear(json.loads(line))
        except httpx.HTTPError:
            return
        except NotJoined:
            self._up = False

    def _hear(self, told: Mapping[str, Any]) -> None:
        for number, what in told.get("heard", ()):
            if (watch := self._heard.get(number)) is not None:
                if watch.once:
                    self._heard.pop(number, None)
                watch.heard(what)
        for group, client, patterns in told.get("evicted", ()):
            if (heard := self._evicted.get((group, client))) is not None:
                heard(patterns)
        if "members" in told:
            self.members = frozenset(told["members"])

    def _down(self) -> None:
        if self._up and not self._closed.is_set():
            self._up = False
            _log.warning("the lab at %s does not answer any more", self.url)
            self._wake_all()

    def _wake_all(self) -> None:
        for number, watch in list(self._heard.items()):
            if watch.once:
                self._heard.pop(number, None)
            watch.heard(None)


def _content(answer: httpx.Response) -> bytes:
    """What an answer holds.

    Raises:
        LabError: It tells of a problem.
    """
    if answer.status_code < 400:
        return answer.content
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    raise error_of(answer.status_code, problem if isinstance(problem, dict) else {})
