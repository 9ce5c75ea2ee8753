"""A client of a lab's broker over HTTP, and paths with names of any letters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from nbagora_lab.lab import Lab

__all__ = ["at", "client_of", "port_of"]


def at(topic: str, what: str = "records") -> str:
    """The path of a lite topic's doors, below the broker's."""
    parent, _, lite = topic.partition("/")
    return f"/topics/{quote(parent, safe='')}/{quote(lite, safe='').replace('.', '%2E')}/{what}".removesuffix("/")


@contextmanager
def client_of(lab: Lab, **options: Any) -> Iterator[httpx.Client]:
    """An HTTP client of a lab's broker, with the lab's token."""
    headers = {"Authorization": f"Bearer {lab.token}"}
    with httpx.Client(base_url=f"{lab.url}/broker", headers=headers, timeout=30, **options) as client:
        yield client


def port_of(lab: Lab) -> int:
    """The port of a lab's doors."""
    return urlsplit(lab.url).port or 0
