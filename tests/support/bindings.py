"""Every operation of A2A 1.0 by either binding, as one call whose answers can be compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

__all__ = ["BINDINGS", "Answer", "Binding", "user_message"]

BINDINGS = ("JSONRPC", "HTTP+JSON")


def user_message(text: str, **fields: Any) -> dict[str, Any]:
    """A user's message of one text part."""
    return {"messageId": fields.pop("messageId", f"m-{text}"), "role": "ROLE_USER", "parts": [{"text": text}], **fields}


@dataclass(frozen=True)
class Answer:
    """What an operation answered.

    Attributes:
        status: The HTTP status.
        result: The result; None for an error.
        events: A stream's events; the result is the first.
        ids: A stream's SSE ids.
        code: The JSON-RPC error's code; 0 on HTTP+JSON and without an error.
        reason: The error's reason as A2A names it, such as ``TASK_NOT_FOUND``; empty without an error.
        said: The error's message.
    """

    status: int
    result: Any = None
    events: tuple[Any, ...] = ()
    ids: tuple[str, ...] = ()
    code: int = 0
    reason: str = ""
    said: str = ""

    @property
    def task(self) -> dict[str, Any]:
        """The task of a result that wraps one, or that is one."""
        assert self.result is not None, self
        found: dict[str, Any] = self.result.get("task", self.result)
        return found

    @property
    def state(self) -> str:
        """The task's state, short."""
        return str(self.task["status"]["state"]).removeprefix("TASK_STATE_")


class Binding:
    """Calls one agent by one binding.

    Args:
        http: The client, with the token.
        url: The agent's doors.
        kind: One of `BINDINGS`.
    """

    def __init__(self, http: httpx.Client, url: str, kind: str) -> None:
        self._http, self._url, self.kind = http, url, kind

    def __call__(self, method: str, params: dict[str, Any] | None = None, **headers: str) -> Answer:
        """Calls an operation; names of headers have ``_`` for ``-``."""
        named = {"A2A-Version": "1.0"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.kind == "JSONRPC":
            body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}
            return self._read(self._post("", body, named))
        return self._read(self._rest(method, dict(params or {}), named))

    def _rest(self, method: str, params: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        task = quote(str(params.get("id", "") if method.endswith("Task") else params.get("taskId", "")), safe="")
        push = f"/tasks/{task}/pushNotificationConfigs"
        verb, path = {
            "SendMessage": ("POST", "/message:send"),
            "SendStreamingMessage": ("POST", "/message:stream"),
            "GetTask": ("GET", f"/tasks/{task}"),
            "ListTasks": ("GET", "/tasks"),
            "CancelTask": ("POST", f"/tasks/{task}:cancel"),
            "SubscribeToTask": ("POST", f"/tasks/{task}:subscribe"),
            "CreateTaskPushNotificationConfig": ("POST", push),
            "GetTaskPushNotificationConfig": ("GET", f"{push}/{params.get('id')}"),
            "ListTaskPushNotificationConfigs": ("GET", push),
            "DeleteTaskPushNotificationConfig": ("DELETE", f"{push}/{params.get('id')}"),
            "GetExtendedAgentCard": ("GET", "/extendedAgentCard"),
        }[method]
        if verb == "POST" and not method.endswith("ToTask"):
            return self._post(path, params, headers)
        query = {
            name: (str(value).lower() if isinstance(value, bool) else value)
            for name, value in params.items()
            if name not in {"id", "taskId"}
        }
        return self._http.request(verb, self._url + path, params=query, headers=headers)

    def _post(self, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        content = json.dumps(body).encode()  # in ASCII: whatever httpx would not write
        named = headers | {"Content-Type": "application/json"}
        return self._http.post(self._url + path, content=content, headers=named)

    def _read(self, response: httpx.Response) -> Answer:
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            fields = [line.partition(": ") for line in response.text.split("\r\n") if line and not line.startswith(":")]
            bodies = [self._unwrapped(json.loads(value)) for name, _, value in fields if name == "data"]
            ids = tuple(value for name, _, value in fields if name == "id")
            return Answer(response.status_code, bodies[0] if bodies else None, tuple(bodies), ids)
        if response.status_code == 204:
            return Answer(204)
        body = response.json()
        if "error" not in body:
            return Answer(response.status_code, self._unwrapped(body))
        error = body["error"]
        code = error["code"] if self.kind == "JSONRPC" else 0
        details = error.get("data" if self.kind == "JSONRPC" else "details") or [{}]
        return Answer(response.status_code, code=code, reason=details[0].get("reason", ""), said=error["message"])

    def _unwrapped(self, body: dict[str, Any]) -> Any:
        if self.kind != "JSONRPC":
            return body
        assert (body["jsonrpc"], body["id"]) == ("2.0", 7)
        return body["result"]
