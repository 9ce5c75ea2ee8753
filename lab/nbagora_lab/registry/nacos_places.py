"""Endpoints at Nacos: ephemeral instances of its naming, one service a version, kept alive by heartbeats.

| here | there |
|---|---|
| an agent's version | the service ``NAME::VERSION`` in the group ``agent-endpoints`` |
| URL and transport | ip, port, and the metadata that Nacos itself puts into cards that it serves |
| a lease | the instance's time-outs; without a heartbeat it is gone when the lease is |
| the id, state, zone, tenant, weight | further metadata, under ``nbagora`` |

To Nacos an instance that was registered over HTTP is its ip and port, so endpoints of one version at one host and port
share one, which tells of all of them, as far as 1,024 characters of metadata go (`ParamCheckRule` of 3.1). Others, whom
an SDK of Nacos registered, get an id of their place. A read may lag behind a write by some 0.6 s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from nbagora_lab.core.errors import TooLarge
from nbagora_lab.registry.model import Endpoint, Kind
from nbagora_lab.registry.nacos_names import file_of, there

__all__ = ["CARD", "GROUPS", "OwnPlaces", "card_place", "end", "instance", "places_of", "service", "spot"]

GROUPS: dict[Kind, str] = {
    "agent": "agent-endpoints",
    "mcp": "nbagora-mcp-endpoints",
    "prompt": "nbagora-prompt-endpoints",
}
"""The group of naming in which a kind's services are."""

CARD = "nacos-card-"
"""How the id of an endpoint begins that a card alone tells of."""

_PATH, _TRANSPORT, _TLS = (f"__nacos.agent.endpoint.{name}__" for name in ("path", "transport", "supportTls"))
_OURS = "nbagora"
_KEPT = ("id", "url", "transport", "lease", "registered", "weight", "zone", "tenant", "state", "reason")
_MOST = 1024  # characters of all metadata of an instance
_REASON = 100  # characters of why an endpoint is as it is
_FOREIGN_LEASE = 30.0  # seconds; Nacos' own for an instance that sends no heartbeat
_ALWAYS = 10 * 365 * 86400.0  # seconds: the lease of an endpoint that a card alone tells of
_REMEMBERED = 10_000  # endpoints that have ended


class OwnPlaces:
    """Which endpoints are this lab's. Those that it has ended are remembered: a list at Nacos may still have them."""

    def __init__(self) -> None:
        self._own: set[str] = set()
        self._ended: dict[str, None] = {}

    def __contains__(self, id: str) -> bool:  # noqa: A002 -- the endpoint's own word
        return id in self._own

    def begin(self, id: str) -> None:  # noqa: A002
        """It is this lab's, and lives."""
        self._own.add(id)
        self._ended.pop(id, None)

    def end(self, id: str) -> None:  # noqa: A002
        """It is over."""
        self._own.discard(id)
        self._ended[id] = None
        while len(self._ended) > _REMEMBERED:
            self._ended.pop(next(iter(self._ended)), None)

    def others(self, places: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
        """Those of a list that are somebody else's."""
        return {key: place for key, place in places.items() if key not in self._own and key not in self._ended}


def service(name: str, version: str) -> str:
    """The service of a version of a thing."""
    return f"{file_of(there(name))}::{version}"


def spot(endpoint: Endpoint) -> tuple[str, int]:
    """Host and port of an endpoint, as Nacos knows it."""
    parts = urlsplit(endpoint.url if "://" in endpoint.url else f"tcp://{endpoint.url}")
    try:
        port = parts.port
    except ValueError:
        port = None
    return parts.hostname or "127.0.0.1", port or (443 if parts.scheme == "https" else 80)


def instance(space: str, kind: Kind, endpoints: Sequence[Endpoint]) -> dict[str, object]:
    """Endpoints of one version at one spot as an instance: the form of a registration and of a heartbeat.

    Raises:
        TooLarge: They take more than Nacos has room for.
    """
    first = endpoints[0]
    parts = urlsplit(first.url if "://" in first.url else f"tcp://{first.url}")
    lease = max(1000, round(1000 * max(one.lease for one in endpoints)))
    metadata = {
        _PATH: f"{parts.path}{f'?{parts.query}' if parts.query else ''}",
        _TRANSPORT: first.transport,
        _TLS: str(parts.scheme == "https").lower(),
        "preserved.heart.beat.timeout": str(lease),
        "preserved.ip.delete.timeout": str(lease),
        _OURS: json.dumps([_told(one) for one in endpoints], ensure_ascii=False, separators=(",", ":")),
    }
    if (size := sum(len(key) + len(value) for key, value in metadata.items())) > _MOST:
        raise TooLarge(
            f"what is to be told of '{first.name}' {first.version} at {parts.netloc} takes {size} characters, "
            f"Nacos keeps {_MOST}",
            "register fewer endpoints of one version at one host and port, or under shorter URLs",
        )
    return end(space, kind, first) | {
        "weight": min(10_000.0, max(0.01, first.weight)),
        "metadata": json.dumps(metadata, ensure_ascii=False),
    }


def _told(endpoint: Endpoint) -> dict[str, Any]:
    return endpoint.model_copy(update={"reason": endpoint.reason[:_REASON]}).model_dump(
        include=set(_KEPT), exclude_defaults=True
    )


def end(space: str, kind: Kind, endpoint: Endpoint) -> dict[str, object]:
    """The form of the end of the instance at an endpoint's spot."""
    host, port = spot(endpoint)
    return {
        "namespaceId": space,
        "groupName": GROUPS[kind],
        "serviceName": service(endpoint.name, endpoint.version),
        "ip": host,
        "port": port,
        "ephemeral": True,
    }


def places_of(given: Mapping[str, Any], namespace: str, name: str, version: str, now: float) -> list[Endpoint]:
    """The endpoints that an instance is, as they are seen now; none where it is no longer alive."""
    if not (given.get("healthy") and given.get("enabled")):
        return []
    metadata = given.get("metadata") or {}
    where: dict[str, Any] = {"epoch": 0, "namespace": namespace, "name": name, "version": version}
    try:
        known = json.loads(metadata[_OURS])
        return [Endpoint(**one, **where, expires=now + float(one["lease"])) for one in known]
    except (KeyError, TypeError, ValueError):  # somebody else's
        pass
    scheme = "https" if str(metadata.get(_TLS)).lower() == "true" else "http"
    path = str(metadata.get(_PATH) or "")
    host = f"[{given['ip']}]" if ":" in str(given["ip"]) else given["ip"]
    url = f"{scheme}://{host}:{given['port']}{path if path.startswith('/') or not path else f'/{path}'}"
    place = hashlib.sha256(f"{namespace}/{name}/{version} {url}".encode()).hexdigest()[:16]
    alone = Endpoint(
        **where,
        id=f"nacos-{place}",
        url=url,
        transport=str(metadata.get(_TRANSPORT) or "JSONRPC"),
        lease=_FOREIGN_LEASE,
        registered=now,
        expires=now + _FOREIGN_LEASE,
        weight=float(given.get("weight") or 1.0),
    )
    return [alone]


def card_place(namespace: str, name: str, version: str, url: str, now: float) -> Endpoint:
    """The endpoint that somebody else's card tells of."""
    return Endpoint(
        id=f"{CARD}{file_of(there(name))}-{version}", epoch=0, namespace=namespace, name=name, version=version, url=url,
        transport="JSONRPC", lease=_ALWAYS, registered=now, expires=now + _ALWAYS,
    )  # fmt: skip
