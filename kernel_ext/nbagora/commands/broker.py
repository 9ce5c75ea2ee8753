"""`%broker`: the consumer groups of the lab's broker, what they are handed, and what holds the rest back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from nbagora.command import Arg, Command, Face
from nbagora.commands.lab import SettingsOptions
from nbagora.show import Json, Note, moment, payload
from nbagora.table import Table
from nbagora_lab.core.errors import GroupNotFound, UsageError, did_you_mean

if TYPE_CHECKING:
    from nbagora_lab.broker.dead import DeadLetter
    from nbagora_lab.broker.group import GroupSpec
    from nbagora_lab.broker.model import Receipt
    from nbagora_lab.broker.stats import GroupStats, TenantStats
    from nbagora_lab.lab import Lab

__all__ = ["Group", "GroupReport", "Start", "Stats", "Status", "Stop"]

_SETTINGS = (
    "mode", "start", "lease", "max_attempts", "quota", "topic_quota", "tenant_quota", "fair", "aging", "client_ttl"
)  # fmt: skip
_Setting = Annotated[str | None, Arg()]


def _spec(face: Face, name: str) -> GroupSpec:
    """The settings of a group.

    Raises:
        GroupNotFound: There is none of that name; says which is near.
    """
    groups = face.lab.broker.groups()
    if name not in groups:
        raise GroupNotFound(f"no group '{name}'", did_you_mean(name, groups))
    return groups[name]


class GroupReport(Table["TenantStats"]):
    """What a group did for each tenant, in rows.

    Attributes:
        stats: The whole report, leases and what is held back among it.
    """

    def __init__(self, stats: GroupStats) -> None:
        self.stats = stats
        super().__init__(
            stats.tenants,
            {
                "tenant": lambda one: one.tenant or "(none)",
                "backlog": lambda one: one.backlog,
                "served": lambda one: one.served,
                "cost": lambda one: round(one.cost, 3),
                "share": lambda one: round(one.share, 4),
                "weight": lambda one: one.weight,
                "wait p50": lambda one: round(one.wait_p50, 3),
                "wait p99": lambda one: round(one.wait_p99, 3),
                "starving": lambda one: round(one.starving, 3),
                "missed": lambda one: one.missed,
            },
            f"the group '{stats.group}' was handed nothing yet",
        )

    @property
    def tenants(self) -> dict[str, TenantStats]:
        """Each tenant's row by its name; an empty name for records without one."""
        return {one.tenant: one for one in self.stats.tenants}


class Start(SettingsOptions, noun="broker", verb="start"):
    """Starts the broker alone: topics and groups with their doors, without registry, agents and tasks.

    Where it runs already, alone or in a lab, that is returned.
    """

    def run(self, face: Face) -> Lab:
        """What runs."""
        from nbagora_lab.alone import BrokerLab
        from nbagora_lab.lab import Lab

        running = Lab.running_labs()
        return running[-1] if running else BrokerLab(**face.settings() | self.model_dump(exclude_none=True))


class Stop(Command, noun="broker", verb="stop"):
    """Stops the broker that runs alone; its store stays, and a lab may be started on it."""

    def run(self, face: Face) -> Lab:
        """What ran.

        Raises:
            UsageError: It is part of a lab.
        """
        from nbagora_lab.alone import BrokerLab

        lab = face.lab
        if not isinstance(lab, BrokerLab):
            raise UsageError("the broker is part of a whole lab", "stop that: lab stop")
        lab.stop()
        return lab


class Status(Command, noun="broker", verb="status"):
    """Tells which engine holds the topics, and how many parents and groups there are."""

    def run(self, face: Face) -> Json:
        """What is known."""
        broker = face.lab.broker
        return Json(
            engine=broker.log.engine,
            epoch=broker.log.epoch,
            topics=len(broker.topics()),
            groups=len(broker.groups()),
            can=sorted(broker.log.capabilities | broker.group_engine.capabilities),
        )


class Stats(Command, noun="broker", verb="stats"):
    """Shows what groups have waiting, and what one did for each of its tenants.

    Waits and starvation are seconds; share and weight compare what tenants were served with what they are due.
    """

    group: Annotated[str | None, Arg(kind="group", positional=True)] = Field(
        None, description="the group; left out, all of them in a row each"
    )

    def run(self, face: Face) -> GroupReport | Table[GroupStats]:
        """The report."""
        broker = face.lab.broker
        if self.group is not None:
            _spec(face, self.group)
            return GroupReport(broker.stats(self.group))
        return Table(
            [broker.stats(name) for name in broker.groups()],
            {
                "group": lambda one: one.group,
                "clients": lambda one: len(one.clients),
                "ready": lambda one: one.ready,
                "unread": lambda one: one.unread,
                "leased": lambda one: sum(lease.records for lease in one.leases),
                "held": lambda one: [f"{rule} {count}" for rule, count in one.held.items()],
                "received": lambda one: one.received,
                "acked": lambda one: one.acked,
                "redelivered": lambda one: one.redelivered,
                "dead": lambda one: one.dead,
            },
            "no groups yet: %broker group create NAME --topic PARENT",
        )


class Group(Command, noun="broker", verb="group"):
    """Makes, changes and removes consumer groups; shows and replays what they gave up on.

    ls lists them; create and alter take the settings below, and alter leaves those that are not named; rm ends a group
    with its progress; dead shows its dead letters, replay sends these to their topics again.
    """

    action: Annotated[Literal["ls", "create", "alter", "rm", "dead", "replay"], Arg(positional=True)] = Field(
        "ls", description="what to do"
    )
    name: Annotated[str | None, Arg(kind="group", positional=True)] = Field(None, description="the group's name")
    topic: Annotated[str | None, Arg(kind="parent")] = Field(None, description="the parent topic that it reads")
    mode: Literal["shared", "exclusive"] | None = Field(
        None, description="whether a topic goes to any subscriber, or to the newest"
    )
    start: _Setting = Field(None, description="where it starts: first, last, an offset, tail-10 or a time")
    lease: _Setting = Field(None, description="how long a batch is leased for, such as 60s")
    max_attempts: int | None = Field(None, ge=1, description="deliveries of a record before it is a dead letter")
    quota: _Setting = Field(None, description="what the whole group may be handed, such as 50/s")
    topic_quota: _Setting = Field(None, description="what each lite topic may be handed")
    tenant_quota: _Setting = Field(None, description="what each tenant may be handed")
    weight: Annotated[tuple[tuple[str, float], ...], Arg(metavar="TENANT WEIGHT")] = Field(
        (), description="a tenant's share against others' 1"
    )
    fair: bool = Field(False, description="has tenants share by weight")
    aging: _Setting = Field(None, description="waiting that raises a priority by one, such as 30s")
    client_ttl: _Setting = Field(None, description="how long a silent client stays subscribed")

    def run(self, face: Face) -> Table[tuple[str, GroupSpec]] | Table[DeadLetter] | Table[Receipt] | Note:
        """What came of it."""
        given = self._given()
        if self.action == "ls":
            return self._list(face)
        if self.name is None:
            raise UsageError(f"%broker group {self.action} needs a name", f"%broker group {self.action} NAME")
        if given and self.action not in {"create", "alter"}:
            raise UsageError(
                f"%broker group {self.action} takes no {min(given)}", "only create and alter take settings"
            )
        broker = face.lab.broker
        if self.action == "create":
            return self._create(face, self.name, given)
        spec = _spec(face, self.name)
        if self.action == "alter":
            if "weights" in given:
                given["weights"] = spec.weights | given["weights"]
            before = spec
            after = broker.alter_group(self.name, **given)
            return Note(f"group {self.name} altered: {before.difference(after) or 'nothing differs'}")
        if self.action == "rm":
            broker.delete_group(self.name)
            return Note(f"group {self.name} removed")
        return self._dead(face, self.name) if self.action == "dead" else self._replay(face, self.name)

    def _given(self) -> dict[str, Any]:
        given: dict[str, Any] = {
            name: value for name in _SETTINGS if (value := getattr(self, name)) not in (None, False)
        }
        if self.topic is not None:
            given["topic"] = self.topic
        return given | ({"weights": dict(self.weight)} if self.weight else {})

    def _create(self, face: Face, name: str, given: dict[str, Any]) -> Note:
        if self.topic is None:
            raise UsageError("%broker group create needs a topic", f"%broker group create {name} --topic PARENT")
        new = face.lab.broker.create_group(name, **given)
        return Note(f"group {name} {'reads' if new else 'reads already'} {self.topic}")

    @staticmethod
    def _list(face: Face) -> Table[tuple[str, GroupSpec]]:
        return Table(
            list(face.lab.broker.groups().items()),
            {
                "group": lambda item: item[0],
                "topic": lambda item: item[1].topic,
                "mode": lambda item: item[1].mode,
                "lease": lambda item: item[1].lease,
                "quota": lambda item: item[1].quota and str(item[1].quota),
                "weights": lambda item: [f"{tenant} {weight:g}" for tenant, weight in item[1].weights.items()],
            },
            "no groups yet: %broker group create NAME --topic PARENT",
        )

    @staticmethod
    def _dead(face: Face, name: str) -> Table[DeadLetter]:
        return Table(
            face.lab.broker.dead_letters(name),
            {
                "letter": lambda letter: letter.offset,
                "topic": lambda letter: letter.record.topic,
                "offset": lambda letter: letter.record.offset,
                "attempts": lambda letter: letter.attempts,
                "given up": lambda letter: moment(letter.time),
                "says": lambda letter: payload(letter.record),
            },
            f"the group '{name}' gave up on nothing",
        )

    @staticmethod
    def _replay(face: Face, name: str) -> Table[Receipt]:
        return Table(
            face.lab.broker.replay_dead(name),
            {"topic": lambda receipt: receipt.topic, "offset": lambda receipt: receipt.offset},
            f"the group '{name}' gave up on nothing",
        )
