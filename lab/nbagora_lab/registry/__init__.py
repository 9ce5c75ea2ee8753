"""The registry: which agents, MCP servers and prompts there are, in which versions, and where they answer now.

A version is its content, named by number and by a hash, and never changes; it is draft, published, deprecated or
withdrawn; labels such as ``latest`` point at versions and move; an endpoint is a lease on a place where a version
answers, and is gone when nobody renews it.

`registry` is the face for people, of which `finding`, `placing` and `governed` are parts; `rules` and `routing` lead
callers, `watch` tells of changes, `access` says who may. `api` says what an engine must be, `embedded` is the one on
SQLite (import it from there: a lab on another engine has no use for it). `card`, `shapes` and `prompt` know what fits
and what of it is content. `http` is the face for other processes. The room knows no A2A beyond that: it opens no
connection.
"""

from nbagora_lab.registry.access import Grant, Policy, Principal
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.card import CARD_LIMIT, Problem, card_problems, content_hash, with_links
from nbagora_lab.registry.change import Change, Seal, Verdict
from nbagora_lab.registry.finding import Explanation, Impact
from nbagora_lab.registry.model import LATEST, NAMESPACE, AgentVersion, By, Endpoint, Found, Link, Published, Query, Why
from nbagora_lab.registry.registry import Registry
from nbagora_lab.registry.routing import Resolution
from nbagora_lab.registry.rules import Budget, Caller, DryRun, Match, Rule

__all__ = [
    "CARD_LIMIT",
    "LATEST",
    "NAMESPACE",
    "AgentVersion",
    "Budget",
    "By",
    "Caller",
    "Catalog",
    "Change",
    "DryRun",
    "Endpoint",
    "Explanation",
    "Found",
    "Grant",
    "Impact",
    "Link",
    "Match",
    "Policy",
    "Principal",
    "Problem",
    "Published",
    "Query",
    "Registry",
    "Resolution",
    "Rule",
    "Seal",
    "Verdict",
    "Why",
    "card_problems",
    "content_hash",
    "with_links",
]
