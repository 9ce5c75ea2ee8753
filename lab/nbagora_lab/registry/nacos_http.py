"""Nacos over HTTP: its calls, its envelope, its token, and its refusals in the house's words.

Proven against 3.1.0 (`scripts/engines up nacos`); the paths below ``/v3`` are those of 3.2 and 3.3 as well, read and
not run. What may be otherwise there is asked, not taken from the version: whether agents are kept as configs
(`nacos_agents`), and whether the long poll of ``/v1`` is there (`nacos_follow`).
Writes are form-encoded; every answer is ``{code, message, data}``, and a refusal may come as HTTP 200 with another
code, as plain text, or as Spring's own page. A login's token is taken anew before it runs out, and once more where the
server doesn't know it: it was started again, with another secret.
"""

from __future__ import annotations

import functools
import ssl
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nbagora_lab.core.errors import ServerGone, StoreClosed, StoreError, TooLarge, UsageError

if TYPE_CHECKING:
    import httpx

__all__ = ["AGENTS", "CONFIGS", "COPIES", "EXISTS", "INSTANCES", "NAMESPACES", "NOT_FOUND", "UNKNOWN_INSTANCE", "Nacos"]

AGENTS = "/v3/admin/ai/a2a"
CONFIGS = "/v3/admin/cs/config"
COPIES = "/v3/client/cs/config"
INSTANCES = "/v3/client/ns/instance"
NAMESPACES = "/v3/admin/core/namespace"
"""Nacos' paths below its context; of configs, what was written last, and the copy that follows behind."""

EXISTS = 20005
"""What the registration of an agent answers that the server has."""

NOT_FOUND = frozenset({20004, 50100, 50101})
"""Codes that say that there is none."""

UNKNOWN_INSTANCE = 21003
"""What a heartbeat of an instance answers that the server does not have."""

_LOGIN = "/v3/auth/user/login"
_PATIENCE = 15.0  # seconds
_FORM = 2 << 20  # bytes that Tomcat reads (maxPostSize); of a larger form it says that a parameter is missing
_HINT = "see the setting nacos; ./scripts/engines up nacos starts one here"
_OLDEST = (3, 1)


class Nacos:
    """A Nacos server. Methods may be called from any thread.

    Args:
        address: ``host:port`` of its main port, or its URL with the context path.
        user: Whom to log in as; empty for a server without authentication.
        password: Their password.

    Attributes:
        url: The server's URL.
        version: What it says that it is, once `check` was called.
    """

    def __init__(self, address: str, user: str = "", password: str = "") -> None:
        import httpx

        self.url = address.rstrip("/") if "://" in address else f"http://{address}/nacos"
        self.version = ""
        self._user = user
        self._password = password
        self._token = ""
        self._until = 0.0
        self._lock = threading.Lock()
        self._closed = False
        self._http = httpx.Client(timeout=_PATIENCE, trust_env=False, verify=_trusted())

    def close(self) -> None:
        """Gives the connections back; a second call does nothing."""
        self._closed = True
        self._http.close()

    def check(self) -> str:
        """Makes sure that a Nacos that can be used answers there; gives its version.

        Raises:
            ServerGone: Nothing answers there, or no Nacos.
            UsageError: It is too old, or refuses the user.
        """
        if self._user:
            self._log_in()
        answer = self._ask("GET", "/v3/admin/core/state", {}, {})
        state = self._data(answer, "/v3/admin/core/state")
        self.version = str(state.get("version", "")) if isinstance(state, dict) else ""
        number = tuple(int(part) for part in self.version.partition("-")[0].split(".")[:2] if part.isdigit())
        if number < _OLDEST:
            raise UsageError(
                f"the Nacos at {self.url} is {self.version or 'of no version that it tells'}",
                "it takes 3.1 or later: upgrade it, or name another one in the setting nacos",
            )
        if "a2a" not in self._abilities():
            raise UsageError(
                f"the Nacos at {self.url} keeps no agents",
                "start it with nacos.extension.ai.enabled=true, and give the user the right to ai resources",
            )
        return self.version

    def _abilities(self) -> frozenset[str]:
        """What of Nacos' registry for AI answers here."""
        code, _ = self.call("GET", f"{AGENTS}/list", {"agentName": "", "search": "blur", "pageNo": 1, "pageSize": 1})
        return frozenset({"a2a"} if code == 0 else ())

    def get(self, path: str, params: Mapping[str, object]) -> Any:
        """What is there; None where there is none."""
        code, data = self.call("GET", path, params)
        return None if code in NOT_FOUND else data

    def send(self, method: str, path: str, form: Mapping[str, object]) -> Any:
        """Writes; gives what the server answers.

        Raises:
            StoreError: It refuses.
        """
        code, data = self.call(method, path, form)
        if code:
            raise StoreError(
                f"the Nacos at {self.url} refuses {method} {path}: {data} (code {code})",
                "nothing was written here; its logs say more",
            )
        return data

    def call(self, method: str, path: str, values: Mapping[str, object]) -> tuple[int, Any]:
        """One call; its code, 0 where it went well, and what it answers.

        Raises:
            ServerGone: Nothing answers there.
            UsageError: The user may not do that.
            TooLarge: It is above the server's limit.
        """
        params, form = (values, {}) if method in {"GET", "DELETE"} else ({}, values)
        if (size := len(urlencode(form))) > _FORM:
            raise TooLarge(
                f"what is sent to {path} is {size} bytes as a form, the Nacos at {self.url} reads {_FORM}",
                "make it smaller; a Chinese character takes nine bytes there",
            )
        answer = self._ask(method, path, params, form)
        if answer.status_code in {401, 403} and self._user:
            self._log_in()
            answer = self._ask(method, path, params, form)
        if answer.status_code in {401, 403}:
            raise UsageError(
                f"the Nacos at {self.url} refuses {self._user or 'whoever does not log in'} at {path}",
                "see the settings nacos_user and nacos_password, and what that user may",
            )
        if answer.status_code == 413:
            raise TooLarge(f"what is sent to {path} is too large for the Nacos at {self.url}", "make it smaller")
        return self._coded(answer, path)

    def headers(self) -> dict[str, str]:
        """What a call of somebody else's must carry."""
        if self._user and time.monotonic() > self._until:
            self._log_in()
        return {"accessToken": self._token} if self._token else {}

    def _coded(self, answer: httpx.Response, path: str) -> tuple[int, Any]:
        try:
            body = answer.json()
            code = int(body["code"])
        except (ValueError, KeyError, TypeError):
            if answer.status_code == 404:
                raise ServerGone(f"no Nacos 3 answers at {self.url}{path}: 404", _HINT) from None
            return answer.status_code, answer.text[:300]
        return code, body.get("data") if not code else body.get("data") or body.get("message")

    def _data(self, answer: httpx.Response, path: str) -> Any:
        code, data = self._coded(answer, path)
        if code:
            raise ServerGone(f"no Nacos that can be used answers at {self.url}: {str(data)[:200]}", _HINT)
        return data

    def _ask(self, method: str, path: str, params: Mapping[str, object], form: Mapping[str, object]) -> httpx.Response:
        import httpx

        headers = {} if path == _LOGIN else self.headers()
        try:
            if self._closed:
                raise StoreClosed("the registry is closed", "start the lab again")
            return self._http.request(
                method, self.url + path, params=_plain(params), data=_plain(form) or None, headers=headers
            )
        except httpx.HTTPError as error:
            raise ServerGone(
                f"Nacos does not answer at {self.url}: {str(error) or type(error).__name__}", _HINT
            ) from None
        except RuntimeError:  # closed by another thread in the middle
            raise StoreClosed("the registry is closed", "start the lab again") from None

    def _log_in(self) -> None:
        with self._lock:
            answer = self._ask("POST", _LOGIN, {}, {"username": self._user, "password": self._password})
            if answer.status_code == 404:
                raise ServerGone(f"no Nacos 3 answers at {self.url}: its login answers 404", _HINT)
            try:
                said = answer.json()
                self._token, lifetime = str(said["accessToken"]), float(said["tokenTtl"])
            except (ValueError, KeyError, TypeError):
                raise UsageError(
                    f"the Nacos at {self.url} does not let {self._user} in",
                    "see the settings nacos_user and nacos_password, and the setting nacos, which names the server",
                ) from None
            self._until = time.monotonic() + 0.8 * lifetime


@functools.cache
def _trusted() -> ssl.SSLContext:
    """What certificates are checked by; to make it takes longer than all calls of an opening."""
    import httpx

    return httpx.create_ssl_context()


def _plain(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
