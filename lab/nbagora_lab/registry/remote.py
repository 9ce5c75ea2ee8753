"""The registry's engine of a lab that was joined: each call is the same call there, over a line to it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import cast

from nbagora_lab.core.link import Link
from nbagora_lab.core.protocol import Method, methods_of
from nbagora_lab.core.remote import Remote
from nbagora_lab.registry.api import Catalog

__all__ = ["CATALOG", "catalog_methods", "remote_catalog"]

CATALOG = "catalog"
"""What a registry's engine is called on a line."""


@cache
def catalog_methods() -> Mapping[str, Method]:
    """What travels of it."""
    return methods_of(Catalog, without={"close"})


def remote_catalog(link: Link) -> Catalog:
    """The registry's engine of the lab at the other end."""
    return cast("Catalog", _RemoteCatalog(link))


class _RemoteCatalog(Remote):
    def __init__(self, link: Link) -> None:
        super().__init__(link, CATALOG, catalog_methods())
        self.engine: str = link.about["registry"]
        self.capabilities = frozenset(link.about["catalog_capabilities"])

    def close(self) -> None:
        self._link.close()
