"""The registry: which agents there are, in which versions, and where they answer now.

A version of an agent is its card, named by number and by a hash of its content, and never changes; labels such as
``latest`` point at versions and move; an endpoint is a lease on a place where a version answers, and is gone when
nobody renews it. `registry` is the face for people, `api` says what an engine must be, `embedded` is the one on SQLite
(import it from there: a lab on another engine has no use for it). `card` knows the fields of a card and what of it is
content. The room knows no A2A beyond that: it opens no connection and serves none.
"""

from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.card import CARD_LIMIT, Problem, card_problems, content_hash
from nbagora_lab.registry.model import (
    LATEST,
    NAMESPACE,
    AgentVersion,
    Change,
    Endpoint,
    Found,
    Published,
    Query,
    Why,
)
from nbagora_lab.registry.registry import Registry

__all__ = [
    "CARD_LIMIT",
    "LATEST",
    "NAMESPACE",
    "AgentVersion",
    "Catalog",
    "Change",
    "Endpoint",
    "Found",
    "Problem",
    "Published",
    "Query",
    "Registry",
    "Why",
    "card_problems",
    "content_hash",
]
