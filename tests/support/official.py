"""The official SDK's client on an agent of a lab, by any binding, through any port; and what it gives as plain JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from a2a.client import A2ACardResolver, Client, ClientCallContext, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseDict

__all__ = ["canonical", "official", "resume_after", "send_request"]

_CARDS = {"1.0": "/.well-known/agent-card.json", "0.3": "/v0.3/.well-known/agent-card.json"}


@asynccontextmanager
async def official(
    url: str, token: str, *, binding: str = "JSONRPC", version: str = "1.0", port: int | None = None
) -> AsyncIterator[Client]:
    """The official client, each call on a connection of its own.

    Args:
        url: The agent's doors.
        token: Bearer token.
        binding: ``JSONRPC`` or ``HTTP+JSON``.
        version: Of the card, and so of the protocol.
        port: Where to connect to instead of the port that the card names.
    """
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=30,
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
    ) as http:
        card = await A2ACardResolver(http, url, _CARDS[version]).get_agent_card()
        if version == "0.3":  # served beside JSON-RPC, though the card names only that
            card.supported_interfaces.add(url=url, protocol_binding="HTTP+JSON", protocol_version="0.3")
        if port is not None:
            for interface in card.supported_interfaces:
                interface.url = _moved(interface.url, port)
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding])
        yield ClientFactory(config).create(card)


def _moved(url: str, port: int) -> str:
    return urlunsplit(urlsplit(url)._replace(netloc=f"127.0.0.1:{port}"))


def send_request(message: dict[str, Any], **configuration: Any) -> pb.SendMessageRequest:
    """The request that sends a message given as ProtoJSON."""
    return ParseDict({"message": message, "configuration": configuration}, pb.SendMessageRequest())


def resume_after(offset: int | None) -> ClientCallContext:
    """The call context that asks for what follows an offset; None asks for nothing special."""
    return ClientCallContext(service_parameters=None if offset is None else {"Last-Event-ID": str(offset)})


def canonical(response: dict[str, Any] | pb.StreamResponse) -> dict[str, Any]:
    """A `StreamResponse`, as the SDK itself would write it."""
    if isinstance(response, dict):
        response = ParseDict(response, pb.StreamResponse())
    return MessageToDict(response)
