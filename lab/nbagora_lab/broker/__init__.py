"""Topics: a durable log of records on lite topics, and later the groups that consume them.

A parent topic has settings; its lite topics come into being by their first record, have dense offsets from 0 and cost
nothing while nobody uses them. `api` says what an engine must be, `embedded` is the one on RocksDB, `broker` is the
face for people, `tail` the reads that wait. Nothing here knows what a record means.
"""

from nbagora_lab.broker.api import Log
from nbagora_lab.broker.broker import Broker
from nbagora_lab.broker.model import EVENTS, Receipt, TopicInfo, TopicRef, TopicSpec, escape_name, parse_ref

__all__ = ["EVENTS", "Broker", "Log", "Receipt", "TopicInfo", "TopicRef", "TopicSpec", "escape_name", "parse_ref"]
