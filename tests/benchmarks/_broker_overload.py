"""Ten times more work than there is room for, on a virtual clock: what quotas, shares and priorities then hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from nbagora_lab.broker import Broker
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.core.clock import VirtualClock

__all__ = ["Overload", "overload"]

WEIGHTS = {"a": 5.0, "b": 3.0, "c": 2.0}
RATE = 100  # messages a second that the quota lets through
TIMES = 10  # what is offered, in units of what there is room for
TOPICS = 20  # of each tenant
SERVICE = 1.0  # seconds that the worker takes for a message
GOLDEN = 0.6180339887  # its multiples fall anywhere in a service time


class Overload(NamedTuple):
    """What was seen.

    Attributes:
        offered: Messages sent under the quota.
        served: Those handed out.
        quota_error: Part by which `served` differs from what the bucket allows in the time.
        share_error: Largest part by which a tenant's share differs from its weight's.
        wait: Longest wait of a message of top priority, in service times.
        urgent: Number of these.
    """

    offered: int
    served: int
    quota_error: float
    share_error: float
    wait: float
    urgent: int


def overload(folder: Path, parent_type: str, seconds: int) -> Overload:
    """Runs both parts on a store in `folder`, each for so many seconds of virtual time."""
    clock = VirtualClock()
    log = EmbeddedLog(folder, clock=clock)
    try:
        broker = Broker(log, clock, EmbeddedGroups(log))
        offered, served, quota_error = _limited(broker, clock, parent_type, seconds)
        total, weights = sum(served.values()), sum(WEIGHTS.values())
        shares = (abs(served[name] / total / (weight / weights) - 1) for name, weight in WEIGHTS.items())
        wait, urgent = _urgent(broker, clock, parent_type, seconds)
        return Overload(offered, total, quota_error, max(shares), wait / SERVICE, urgent)
    finally:
        log.close()


def _limited(broker: Broker, clock: VirtualClock, parent_type: str, seconds: int) -> tuple[int, Counter[str], float]:
    """Three tenants offer the same, each more than the quota lets through; what each was served."""
    broker.create_topic("limited", type=parent_type)
    broker.create_group("limited", topic="limited", quota=f"{RATE}/s", weights=WEIGHTS)
    served: Counter[str] = Counter()
    steps = 10 * seconds
    for tenant in WEIGHTS:  # what the burst takes of them all is shared by weight as well
        broker.send_many([(f"limited/{tenant}-{one % TOPICS}", b"work") for one in range(RATE)], tenant=tenant)
    offered = RATE * len(WEIGHTS)
    with broker.consumer("limited", "worker", subscribe="*") as consumer:
        for step in range(steps + 1):
            for tenant in WEIGHTS:
                number = RATE * TIMES // 30 + (step % 3 == 0)  # a third of 1,000 in ten steps
                names = [f"limited/{tenant}-{(step + one) % TOPICS}" for one in range(number)]
                broker.send_many([(name, b"work") for name in names], tenant=tenant)
                offered += number
            while batch := consumer.receive(1000):
                served.update(delivery.topic[len("limited/")] for delivery in batch)
                consumer.ack(batch)
            if step < steps:
                clock.advance(0.1)
    allowed = RATE + RATE * seconds  # the burst, which is a second's worth, and the rate
    return offered, served, abs(sum(served.values()) / allowed - 1)


def _urgent(broker: Broker, clock: VirtualClock, parent_type: str, services: int) -> tuple[float, int]:
    """One worker, ten messages in each service time, at times one of top priority; its longest wait, in seconds."""
    broker.create_topic("urgent", type=parent_type)
    broker.create_group("urgent", topic="urgent", quota="1000000/s", weights=WEIGHTS)
    sent: dict[str, float] = {}
    waits: list[float] = []
    tenants = list(WEIGHTS)
    with broker.consumer("urgent", "worker", subscribe="*", lease="1h") as consumer:
        broker.send("urgent/a-0", b"work", tenant="a")
        for turn in range(services):
            [delivery] = consumer.receive(1)
            if delivery.topic in sent:
                waits.append(clock.now() - sent.pop(delivery.topic))
            urgent_at = (turn + 1) * GOLDEN % 1 * SERVICE if turn % 5 == 0 and turn + 5 < services else None
            passed = 0.0
            for one in range(TIMES):
                at = (one + 0.5) * SERVICE / TIMES
                if urgent_at is not None and passed <= urgent_at < at:
                    clock.advance(urgent_at - passed)
                    passed = urgent_at
                    sent[f"urgent/vip-{turn}"] = clock.now()
                    broker.send(f"urgent/vip-{turn}", b"now", priority=9, tenant=tenants[turn % 3])
                clock.advance(at - passed)
                passed = at
                tenant = tenants[one % 3]
                broker.send(f"urgent/{tenant}-{(turn + one) % TOPICS}", b"work", priority=one % 8, tenant=tenant)
            clock.advance(SERVICE - passed)
            consumer.ack(delivery)
    assert waits, "no message of top priority came"
    assert len(sent) <= 1, f"{len(sent)} messages of top priority were left behind"
    return max(waits), len(waits)
