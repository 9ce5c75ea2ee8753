"""Joining: the engines of another lab in place of a store of one's own; what labs that are together know of each other.

A lab that joined has doors, agents and tasks like any other; its topics, its registry and its token are the other's.
So a task of an agent that is hosted here stands on the other lab's topics, and there is one directory, one task list
and one registry, whichever kernel is asked. What each process keeps for itself is what runs in it: agents, their open
tasks, and the doors to them.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from nbagora_lab.core.errors import AgentNotFound, NotStarted, RemoteError, Unreachable
from nbagora_lab.core.log import logger
from nbagora_lab.core.problem import error_of
from nbagora_lab.inspect.status import AgentInfo, LabStatus
from nbagora_lab.keys import read_lab

if TYPE_CHECKING:
    from nbagora_lab.hosting import Hosting

__all__ = ["Found", "House", "Neighbours", "find_lab", "holder_of"]

_PATIENCE = 3.0  # seconds
_STARTING = (0.1, 0.2, 0.5, 1.0, 1.0, 2.0)  # seconds between looks for a lab that holds its store and may be starting


class Found(NamedTuple):
    """A lab that runs.

    Attributes:
        url: Where its doors are.
        token: Their token; empty for none.
    """

    url: str
    token: str


def find_lab(where: str | Path, *, token: str | None = None, store: Path = Path(".nbagora")) -> Found:
    """The lab that runs at a URL, or on a folder.

    Args:
        where: The URL, or the folder of its store.
        token: Its token; None: the one that a lab of `where` or `store` wrote down.
        store: The folder in which to look for the token of a URL.

    Raises:
        NotStarted: No lab runs on that folder.
        StoreCorrupt: What stands there can't be read.
    """
    url = str(where).rstrip("/")
    if url.startswith(("http://", "https://")):
        known = read_lab(Path(store))
        return Found(
            url, token if token is not None else str(known.get("token", "")) if known.get("url") == url else ""
        )
    known = read_lab(Path(where))
    if not known.get("running"):
        raise NotStarted(f"no lab runs on {where}", "start one there: %lab start, or nbagora serve --store")
    return Found(str(known["url"]), token if token is not None else str(known.get("token", "")))


def holder_of(store: Path) -> Found | None:
    """The lab that holds a store, once it answers; None where none does within some seconds."""
    import httpx

    for seconds in _STARTING:
        with contextlib.suppress(NotStarted, httpx.HTTPError):
            found = find_lab(store)
            httpx.get(f"{found.url}/healthz", timeout=_PATIENCE, trust_env=False)
            return found
        time.sleep(seconds)
    return None


class House(NamedTuple):
    """What a lab shows of itself to those that have its token.

    Attributes:
        hosting: Gives the agents that it hosts.
        status: What it says of itself.
        stop: Stops it; returns at once.
    """

    hosting: Callable[[], Hosting]
    status: Callable[[], LabStatus]
    stop: Callable[[], None]


class Neighbours:
    """The other labs that are together with this one. Methods may be called from any thread, and wait for answers.

    Args:
        own: This lab's URL.
        token: The token that all of them have.
        members: URLs of all of them, this one among them.
    """

    def __init__(self, own: str, token: str, members: Callable[[], Collection[str]]) -> None:
        self._own = own
        self._token = token
        self._members = members

    def urls(self) -> list[str]:
        """Where the others are."""
        return sorted(set(self._members()) - {self._own})

    def agents(self) -> list[AgentInfo]:
        """The agents that the others host; one that does not answer is left out, and the log says so."""
        found = []
        for url in self.urls():
            try:
                told = json.loads(self._ask("GET", url, "agents"))
            except RemoteError as error:
                logger.warning("the agents of %s are not known: %s", url, error.what)
                continue
            found += [AgentInfo.model_validate(one) for one in told]
        return found

    def remove(self, agent: str) -> bool:
        """Has whoever hosts an agent do so no longer; whether somebody did."""
        done = False
        for url in self.urls():
            try:
                self._ask("DELETE", url, f"agents/{quote(agent, safe='')}")
                done = True
            except AgentNotFound:
                continue
        return done

    def status(self, url: str) -> LabStatus:
        """What one of them says of itself.

        Raises:
            Unreachable: It does not answer.
        """
        return LabStatus.model_validate_json(self._ask("GET", url, "status"))

    def stop(self, url: str) -> None:
        """Stops one of them.

        Raises:
            Unreachable: It does not answer.
        """
        self._ask("POST", url, "stop")

    def _ask(self, method: str, url: str, what: str) -> bytes:
        import httpx

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            secure = url.startswith("https")  # to load certificates takes long
            with httpx.Client(headers=headers, timeout=_PATIENCE, trust_env=False, verify=secure) as http:
                answer = http.request(method, f"{url}/engine/{what}", json={} if method == "POST" else None)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"{url} does not answer: {str(error) or type(error).__name__}", "see %lab status"
            ) from None
        if answer.status_code >= 400:
            raise error_of(answer.status_code, _problem(answer.content))
        return answer.content


def _problem(content: bytes) -> dict[str, object]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
