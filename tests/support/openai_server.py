"""A small server that speaks OpenAI's chat completions, for tests of live models: real HTTP, streamed or not, with tool
calls; its brain is the model made of rules. What goes wrong depends on the model that is asked for:

| model | does |
|---|---|
| ``rules`` | answers |
| ``busy-N`` | answers 429 with Retry-After N times, then as ``rules`` |
| ``later-N`` | the same, and asks for a second's pause each time |
| ``broken`` | answers 500 |
| ``cut`` | cuts the connection in mid-answer |
| ``no-tools`` | answers 400 where tools are given, as small local servers do |
| ``babble`` | answers with a tool call whose arguments are no JSON |
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import uvicorn
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from nbagora_lab.agents.rules import rules

__all__ = ["ChatServer", "chat_server"]


class ChatServer:
    """The server.

    Attributes:
        url: Its base URL, ``http://127.0.0.1:port/v1``.
        requests: The bodies that it was sent.
        keys: The Authorization headers that it was sent.
        times: When they came, in seconds of a clock that only goes on.
        connections: Those that are open, which it ends itself only where they were idle for a minute.
    """

    def __init__(self) -> None:
        self.url = ""
        self.connections: Collection[object] = ()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.times: list[float] = []
        self._refused: Counter[str] = Counter()
        self.app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        model = body["model"]
        self.times.append(time.monotonic())
        kind, _, number = model.partition("-")
        if kind in {"busy", "later"} and self._refused[model] < int(number):
            self._refused[model] += 1
            pause = "1" if kind == "later" else "0"
            return JSONResponse({"error": {"message": "busy"}}, 429, headers={"Retry-After": pause})
        if model == "broken":
            return JSONResponse({"error": {"message": "out of order"}}, 500)
        if model == "no-tools" and body.get("tools"):
            return JSONResponse({"error": {"message": "this model does not support tools"}}, 400)
        message = _answer(body, babble=model == "babble")
        if body.get("stream"):
            return StreamingResponse(_stream(message, model, cut=model == "cut"), media_type="text/event-stream")
        if model == "cut":
            return StreamingResponse(_half(), media_type="application/json", headers={"Content-Length": "1000"})
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
        return JSONResponse(_envelope(model, "chat.completion") | {"choices": [choice], "usage": _USAGE})


_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def _envelope(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chat-1", "object": kind, "created": 1_767_225_600, "model": model}


async def _half() -> AsyncIterator[bytes]:
    yield b'{"id": "chat-1", "choices": [{"ind'


async def _stream(message: dict[str, Any], model: str, *, cut: bool) -> AsyncIterator[bytes]:
    pieces: list[dict[str, Any]] = [{"role": "assistant"}]
    if message.get("content"):
        words = message["content"].split(" ")
        pieces += [{"content": f" {word}" if number else word} for number, word in enumerate(words)]
    for index, call in enumerate(message.get("tool_calls", ())):
        pieces.append({"tool_calls": [{"index": index, **call}]})
    if cut:
        pieces = pieces[:2]
    for piece in pieces:
        yield _event(_envelope(model, "chat.completion.chunk") | {"choices": [{"index": 0, "delta": piece}]})
        await asyncio.sleep(0)
    if cut:
        raise ConnectionResetError
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": _USAGE}
    yield _event(_envelope(model, "chat.completion.chunk") | last)
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _answer(body: dict[str, Any], *, babble: bool) -> dict[str, Any]:
    """What the rules answer, in OpenAI's form."""
    tools = [
        ToolDefinition(
            name=tool["function"]["name"],
            description=tool["function"].get("description"),
            parameters_json_schema=tool["function"].get("parameters", {}),
        )
        for tool in body.get("tools", ())
    ]
    outputs = [tool for tool in tools if tool.name.startswith("final_result")]
    instructions = " ".join(one["content"] for one in body["messages"] if one["role"] == "system")
    info: Any = SimpleNamespace(
        function_tools=[tool for tool in tools if tool not in outputs], output_tools=outputs, instructions=instructions
    )
    response = rules().function(_messages(body["messages"]), info)  # type: ignore[misc]
    assert isinstance(response, ModelResponse)
    said: dict[str, Any] = {"content": "".join(part.content for part in response.parts if isinstance(part, TextPart))}
    called = [part for part in response.parts if isinstance(part, ToolCallPart)]
    if called:
        arguments = ["{not json" if babble else part.args_as_json_str() for part in called]
        said = {
            "content": None,
            "tool_calls": [
                {"id": part.tool_call_id, "type": "function", "function": {"name": part.tool_name, "arguments": given}}
                for part, given in zip(called, arguments, strict=True)
            ],
        }
    return said


def _messages(said: list[dict[str, Any]]) -> list[ModelMessage]:
    messages: list[ModelMessage] = []
    names: dict[str, str] = {}
    for one in said:
        if one["role"] == "user":
            messages.append(ModelRequest(parts=[UserPromptPart(_text(one["content"]))]))
        elif one["role"] == "assistant":
            parts: list[Any] = [TextPart(one["content"])] if one.get("content") else []
            for call in one.get("tool_calls", ()):
                names[call["id"]] = call["function"]["name"]
                parts.append(ToolCallPart(call["function"]["name"], call["function"]["arguments"], call["id"]))
            messages.append(ModelResponse(parts=parts))
        elif one["role"] == "tool":
            messages.append(ModelRequest(parts=[_returned(one, names[one["tool_call_id"]])]))
    return messages


def _returned(said: dict[str, Any], tool: str) -> ToolReturnPart:
    """What a tool gave; what went wrong comes wrapped, since this protocol has no field for it."""
    text = _text(said["content"])
    try:
        wrapped = json.loads(text)
    except ValueError:
        wrapped = None
    if isinstance(wrapped, dict) and list(wrapped) == ["error"]:
        return ToolReturnPart(tool, str(wrapped["error"]), said["tool_call_id"], outcome="failed")
    return ToolReturnPart(tool, text, said["tool_call_id"])


def _text(content: Any) -> str:
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Runs the server in a thread, on a free port."""
    chat = ChatServer()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    chat.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server = uvicorn.Server(uvicorn.Config(chat.app, log_level="critical", lifespan="off", timeout_keep_alive=60))
    chat.connections = server.server_state.connections
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield chat
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
