"""Topics, a durable log of records on lite topics, and the groups that consume them.

A parent topic has settings; its lite topics come into being by their first record, have dense offsets from 0 and cost
nothing while nobody uses them. A group hands their records out:

    waiting ──receive──▶ leased ──ack──▶ done
       ▲                   │
       └── lease over, fail (after the back-off), suspend ──┴──(too many attempts)──▶ dead letter ──replay──▶ waiting

`api` says what an engine must be; `embedded` and `embedded_groups` are the one on RocksDB; `broker` is the face for
people, `consumer` and `handler` what waits and works. Nothing here knows what a record means.
"""

from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.broker import Broker
from nbagora_lab.broker.consumer import Consumer
from nbagora_lab.broker.delivery import Batch, Delivery, Handle
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.handler import Handled
from nbagora_lab.broker.model import EVENTS, Receipt, TopicInfo, TopicRef, TopicSpec, escape_name, parse_ref
from nbagora_lab.broker.stats import GroupStats, LeaseInfo, TenantStats, TopicProgress
from nbagora_lab.core.errors import Suspend

__all__ = [
    "EVENTS",
    "Batch",
    "Broker",
    "Consumer",
    "Delivery",
    "GroupSpec",
    "GroupStats",
    "Groups",
    "Handle",
    "Handled",
    "LeaseInfo",
    "Log",
    "Receipt",
    "Start",
    "Suspend",
    "TenantStats",
    "TopicInfo",
    "TopicProgress",
    "TopicRef",
    "TopicSpec",
    "escape_name",
    "parse_ref",
]
