"""A RocketMQ cluster as its administrator sees it: brokers, topics, groups, and queues read by offset."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from nbagora_lab.broker.rocketmq.owners import Owners
from nbagora_lab.broker.rocketmq.remoting import Answer, Asked, Message, Remote, loads, messages_in
from nbagora_lab.core.errors import Forbidden, QuotaExceeded, ServerGone, StoreError, Unsupported

__all__ = ["PAGE", "Cluster", "Page", "Pull", "Server", "no_room"]

_PULL, _MAX, _MIN, _CONFIG, _RUNTIME, _BROKERS, _TOPICS = 11, 30, 31, 26, 28, 106, 206
_NOTE, _NOTED, _UNNOTE, _LITE = 100, 101, 102, 200074
_CREATE_TOPIC, _CREATE_GROUP, _DELETE_TOPIC, _FORGET_TOPIC, _DELETE_GROUP, _TOPIC = 17, 200, 215, 216, 207, 351
_FOUND, _NOTHING, _AGAIN, _MOVED, _DENIED, _UNKNOWN = 0, 19, 20, 21, 16, 3
_KEPT = "nbagora"  # the name server's namespace in which each lab's brokers are noted
PAGE = 32
"""Messages that a broker gives at once at most."""

_OLDEST = (5, 5)
_NAMESRV = "see that it runs and that the setting rocketmq_namesrv names it; scripts/engines up rocketmq starts one"
_BROKER = "see that this broker runs: scripts/engines status; the name server in the setting rocketmq_namesrv lists it"


class Server(NamedTuple):
    """What a broker said of itself.

    Attributes:
        name: Its name.
        version: ``5.5.0``.
        settings: Of its configuration.
    """

    name: str
    version: str
    settings: dict[str, str]


class Page(NamedTuple):
    """What a pull brought: messages, where the next one starts, and the queue's ends."""

    messages: list[Message]
    next: int
    first: int
    end: int


class Pull:
    """A pull that is under way. Its page is taken once, or it is dropped."""

    def __init__(self, asked: Asked, offset: int, refuse: Callable[[Answer], object]) -> None:
        self._asked = asked
        self._offset = offset
        self._refuse = refuse

    def page(self) -> Page:
        """Waits for it; errors as for `Cluster.pull`."""
        answer = self._asked.answer()
        if answer.code not in {_FOUND, _NOTHING, _AGAIN, _MOVED}:
            self._refuse(answer)
        fields = answer.fields
        first, end = int(fields.get("minOffset", 0)), int(fields.get("maxOffset", 0))
        found = messages_in(answer.body) if answer.code == _FOUND else []
        return Page(found, int(fields.get("nextBeginOffset", self._offset)), first, end)

    def drop(self) -> None:
        """Gives up; nobody's progress is moved either way."""
        self._asked.drop()


class Cluster:
    """The brokers that a name server lists. Any thread may call.

    Args:
        namesrv: ``host:port`` of the name server.
        access_key: User, where the servers want one.
        secret_key: Its password.
        reader: Name of the group in whose name queues are read; progress is never stored for it.

    Attributes:
        owners: Which broker each lite topic is on.

    Raises:
        ServerGone: The name server can't be reached.
    """

    def __init__(self, namesrv: str, *, access_key: str = "", secret_key: str = "", reader: str) -> None:
        self._namesrv = Remote(namesrv, _NAMESRV)
        self._key, self._secret = access_key, secret_key
        self._reader = reader
        self._lock = threading.Lock()
        self._brokers: dict[str, Remote] = {}
        self._bounded: set[str] = set()  # brokers that have no more lite topics than they may
        self.owners = Owners(self)
        self.closed = False
        try:
            self.look()
        except BaseException:
            self.close()
            raise

    @property
    def brokers(self) -> dict[str, Remote]:
        """The brokers known now, by name."""
        return dict(self._brokers)

    def look(self) -> None:
        """Asks the name server which brokers there are; one that it no longer lists is kept, it may come back."""
        answer = self._ask(self._namesrv, _BROKERS)
        if answer.code == _UNKNOWN:
            raise ServerGone(
                f"what answers at {self._namesrv.address} is a part of RocketMQ, but no name server", _NAMESRV
            )
        if answer.code:
            self._refuse(self._namesrv, answer)
        with self._lock:
            for name, told in loads(answer.body)["brokerAddrTable"].items():
                address = told["brokerAddrs"].get("0") or next(iter(told["brokerAddrs"].values()))
                if name not in self._brokers or self._brokers[name].address != address:
                    self._brokers[name] = Remote(address, _BROKER)
        if not self._brokers:
            raise ServerGone(
                f"the name server {self._namesrv.address} lists no broker", "start one, or wait until it has registered"
            )

    def hold(self, lab: str) -> None:
        """Makes sure that all brokers are there that a lab has had, and notes those that it has.

        The name server forgets a broker that goes away, and without it the lab would seem to have fewer topics.

        Raises:
            ServerGone: One is away.
        """
        noted = self._ask(self._namesrv, _NOTED, namespace=_KEPT, key=lab).fields.get("value", "")
        if missing := sorted({*noted.split()} - self._brokers.keys()):
            raise ServerGone(
                f"the RocketMQ broker {missing[0]}, which has topics of this lab, is away",
                "start it, and then the lab; it is noted at the name server under nbagora, where it is gone for good",
            )
        if (now := " ".join(sorted(self._brokers))) != noted:
            self._call(self._namesrv, _NOTE, namespace=_KEPT, key=lab, value=now)

    def check(self, *, ttl: float) -> list[Server]:
        """What the brokers are.

        Args:
            ttl: Longest time in seconds that a topic of the lab is to live.

        Raises:
            Unsupported: One has no lite topics, because it is too old or they are switched off.
            StoreError: One removes messages earlier than the lab's topics end.
        """
        found = []
        for name, remote in self.brokers.items():
            told = loads(self._call(remote, _RUNTIME).body)["table"].get("brokerVersionDesc", "V?")
            version = told.removeprefix("V").partition("-")[0].replace("_", ".")
            numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
            if numbers < _OLDEST:
                raise Unsupported(
                    f"the RocketMQ broker {name} at {remote.address} is {version}, lite topics came with 5.5.0",
                    "upgrade it, or name another one in the settings rocketmq and rocketmq_namesrv",
                )
            lines = self._call(remote, _CONFIG).body.decode().splitlines()
            settings = dict(line.split("=", 1) for line in lines if "=" in line)
            for switch in ("enableLmq", "enableMultiDispatch"):
                if settings.get(switch) != "true":
                    raise Unsupported(
                        f"the RocketMQ broker {name} at {remote.address} has no lite topics: {switch} is "
                        f"{settings.get(switch, 'unset')}",
                        f"set {switch}=true in its broker.conf and restart it",
                    )
            hours = float(settings.get("fileReservedTime", 72))
            if hours * 3600 <= ttl:
                raise StoreError(
                    f"the RocketMQ broker {name} keeps messages for {hours:g} h, a topic is to live for {ttl / 3600:g}",
                    f"set fileReservedTime={int(ttl // 3600) + 24} in its broker.conf and restart it",
                )
            if settings.get("enableLmqQuota") == "true":
                self._bounded.add(name)
            found.append(Server(name, version, settings))
        return found

    def topics(self) -> list[str]:
        """Names of all topics that the name server knows."""
        return list(loads(self._call(self._namesrv, _TOPICS).body)["topicList"])

    def create_topic(self, name: str, *, minutes: int) -> None:
        """Makes a parent of lite topics on every broker, or sets its TTL.

        Args:
            name: As it is spelt there.
            minutes: Until a lite topic ends after its last message; -1: never.

        Raises:
            StoreError: There is one of that name and another type.
        """
        for remote in self.brokers.values():
            there = self._ask(remote, _TOPIC, topic=name)
            if there.code == 0:
                kind = (loads(there.body).get("attributes") or {}).get("message.type", "NORMAL")
                if kind != "LITE":
                    raise StoreError(
                        f"the topic {name} at {remote.address} is of type {kind}, not LITE",
                        "a type can't be changed: take another setting lab_id, or remove that topic",
                    )
            self._call(
                remote,
                _CREATE_TOPIC,
                topic=name,
                defaultTopic="TBW102",
                readQueueNums=1,
                writeQueueNums=1,
                perm=6,
                topicFilterType="SINGLE_TAG",
                topicSysFlag=0,
                order=False,
                attributes=f"+message.type=LITE,+lite.topic.expiration={minutes}",
            )

    def create_group(self, name: str, *, parent: str | None = None, events: int = 10_000, retries: int = 16) -> None:
        """Makes a group on every broker.

        Args:
            name: As it is spelt there.
            parent: The parent topic whose lite topics it reads, as spelt there; None: a group that only pulls.
            events: Topics with something to receive that a client is told of at once.
            retries: Deliveries after the first one.
        """
        attributes = {
            "+lite.bind.topic": parent,
            "+lite.sub.client.quota": "100000",
            "+lite.sub.client.max.event.cnt": str(events),
        }
        settings = {
            "groupName": name,
            "consumeEnable": True,
            "consumeFromMinEnable": True,
            "consumeBroadcastEnable": True,
            "consumeMessageOrderly": parent is not None,
            "retryQueueNums": 1,
            "retryMaxTimes": retries,
            "brokerId": 0,
            "whichBrokerWhenConsumeSlowly": 1,
            "notifyConsumerIdsChangedEnable": True,
            "attributes": attributes if parent else {},
        }
        for remote in self.brokers.values():
            self._call(remote, _CREATE_GROUP, json.dumps(settings).encode())

    def remove(self, *, topics: Iterable[str] = (), groups: Iterable[str] = ()) -> None:
        """Removes topics with all that is below them, groups, and notes; what is not there is no matter."""
        for remote in self.brokers.values():
            for name in topics:
                self._ask(remote, _DELETE_TOPIC, topic=name)
            for name in groups:
                self._ask(remote, _DELETE_GROUP, groupName=name, cleanOffset=True)
        for name in topics:
            self._ask(self._namesrv, _FORGET_TOPIC, topic=name)
            self._ask(self._namesrv, _UNNOTE, namespace=_KEPT, key=name)

    def check_room(self, queue: str) -> None:
        """Makes sure that a lite topic's broker may have one more.

        Where `enableLmqQuota` is set a broker refuses by itself what is new, but takes a topic whose end was ever asked
        for to be there (5.5.0, `RocksDBConsumeQueueOffsetTable.isLmqExist`), and a lab asks before it opens one.

        Raises:
            QuotaExceeded: It has as many as it may.
        """
        if not self._bounded or (name := self.owners.of(queue)) not in self._bounded:
            return
        remote = self._brokers[name]
        told = loads(self._call(remote, _LITE).body)
        if told["currentLmqNum"] >= told["maxLmqNum"]:
            raise no_room(f"the broker {name} of RocketMQ at {remote.address}", f"{told['currentLmqNum']} of them")

    def ends(self, queue: str) -> tuple[int, int]:
        """First offset of a queue, and the one past its last; 0 and 0 where it has nothing."""
        remote = self._brokers[self.owners.of(queue)]
        return max(0, self._end(remote, queue, _MIN)), self._end(remote, queue, _MAX)

    def end_on(self, broker: str, queue: str) -> int:
        """The offset past a queue's last one on one broker."""
        return self._end(self._brokers[broker], queue, _MAX)

    def pull(self, queue: str, offset: int, *, limit: int = PAGE, broker: str | None = None, wait: float = 0) -> Page:
        """Messages of a queue from an offset on; moves nobody's progress.

        Args:
            queue: A topic's name, or `names.lmq`.
            offset: Where to begin; before the first one that is kept, there.
            limit: Messages at most; a broker gives 32 at once.
            broker: Which one to ask; None: the owner.
            wait: Seconds that the broker may hold the answer back until there is something. A lite topic's queue does
                not wake it, its parent's does.
        """
        return self.pulling(queue, offset, limit=limit, broker=broker, wait=wait).page()

    def pulling(
        self, queue: str, offset: int, *, limit: int = PAGE, broker: str | None = None, wait: float = 0
    ) -> Pull:
        """The same, under way: it is to be waited for, or dropped."""
        remote = self._brokers[broker or self.owners.of(queue)]
        fields = self._fields(
            b"",
            consumerGroup=self._reader,
            topic=queue,
            queueId=0,
            queueOffset=offset,
            maxMsgNums=limit,
            sysFlag=6 if wait else 4,
            commitOffset=0,
            suspendTimeoutMillis=int(wait * 1000),
            subscription="*",
            subVersion=0,
            expressionType="TAG",
        )
        asked = remote.ask(_PULL, fields, timeout=wait + 10 if wait else None)
        return Pull(asked, offset, lambda answer: self._refuse(remote, answer))

    def close(self) -> None:
        """Ends all connections; calls under way fail."""
        self.closed = True
        for remote in (self._namesrv, *self._brokers.values()):
            remote.close()

    def _end(self, remote: Remote, queue: str, code: int) -> int:
        return int(self._call(remote, code, topic=queue, queueId=0).fields["offset"])

    def _fields(self, body: bytes, /, **fields: Any) -> dict[str, Any]:
        """What goes into a request's header, signed where the servers want a user."""
        return _signed(fields, body, self._key, self._secret) if self._key else fields

    def _ask(self, remote: Remote, code: int, body: bytes = b"", **fields: Any) -> Answer:
        return remote.call(code, self._fields(body, **fields), body)

    def _call(self, remote: Remote, code: int, body: bytes = b"", **fields: Any) -> Answer:
        answer = self._ask(remote, code, body, **fields)
        if answer.code:
            self._refuse(remote, answer)
        return answer

    def _refuse(self, remote: Remote, answer: Answer) -> None:
        remark = answer.remark.splitlines()[0][:200] if answer.remark else f"code {answer.code}"
        if answer.code == _DENIED or "uthenticat" in remark or "uthoriz" in remark:
            raise Forbidden(
                f"RocketMQ at {remote.address} refuses the credentials: {remark}",
                "set NBAGORA_ROCKETMQ_ACCESS_KEY and NBAGORA_ROCKETMQ_SECRET_KEY to a user that may do so",
            )
        raise StoreError(f"RocketMQ at {remote.address} refuses: {remark}", "its logs say more")


def no_room(where: str, told: str) -> QuotaExceeded:
    """What is said of a server that has as many lite topics as it may."""
    return QuotaExceeded(
        f"{where} holds as many lite topics as it may: {told}",
        "raise maxLmqConsumeQueueNum in its broker.conf, or let topics end sooner",
    )


def _signed(fields: dict[str, Any], body: bytes, key: str, secret: str) -> dict[str, Any]:
    """Fields with the signature of RocketMQ's access control: HMAC-SHA1 over the values, by name, and the body."""
    told: dict[str, Any] = {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in fields.items()
    }
    told["AccessKey"] = key
    content = "".join(told[name] for name in sorted(told)).encode() + body
    told["Signature"] = base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha1).digest()).decode()
    return told
