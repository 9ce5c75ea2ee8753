"""An agent's inbox: every message that it is to work on waits here for its turn, on a topic of the broker.

The message and SUBMITTED are on the session topic; the inbox holds a reference to them with what decides about turns:
priority, tenant, cost, deadline. A consumer group of the inbox's own name hands references out, as many at once as the
agent has room for, so that its settings (quota, shares of tenants, aging) rule A2A traffic, too. A reference is leased
while its task is worked on and acked when the task ends or asks; a process that dies leaves it to the next one.

| topic | `inbox.<agent>/<day>`, of type PRIORITY: references of one day, dropped when all are read and a week is over |
| | `<day>@<host>:<port>`: those of a lab that joined the one that has the topics, so that who took it in works on it |
|---|---|
| group | `inbox.<agent>` |
| record | `inbox.request`, subject: the task; body: its owner and the generation of the SUBMITTED that is meant |

Owner thread: the agents' loop, but for `entry`, `place` and `queued`, which may be called from any.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import SUBMITTED, WORKING, dumps
from nbagora_lab.broker.api import Groups
from nbagora_lab.broker.delivery import Delivery
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import EVENTS, TopicSpec, join_topic
from nbagora_lab.core.clock import rfc3339
from nbagora_lab.core.errors import LabError, NotSubscribed, StoreError, TaskNotFound, Unreachable
from nbagora_lab.core.events import PLAIN, RecordType, Scheduling, decode
from nbagora_lab.core.log import logger

__all__ = ["Begin", "Inbox", "Slot", "inbox_name"]

_KEPT = 7 * 86400.0  # seconds
_FOR_GOOD = 1e9  # seconds of a lease, and of a client's silence: both end with this process, and with nothing else
_DAY = "????-??-??"
_PAGE = 1000
_log = logger.getChild("agents")


def inbox_name(agent: str) -> str:
    """Name of an agent's inbox: of its parent topic and of its group."""
    return f"inbox.{agent}"


class Begin(Protocol):
    """Has a message worked on; called on the agents' loop."""

    def __call__(self, live: LiveTask, message: dict[str, Any], slot: Slot, /, *, restarted: bool) -> None:
        """Returns at once; `slot` is released when the task ends or asks."""
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """A reference that has not been handed out.

    Attributes:
        live: The task, where this process opened it.
        message: What it is to be called with.
        begin: What works on it; None: whatever does so when its turn comes.
        priority: Its own.
    """

    live: LiveTask | None
    message: dict[str, Any] | None
    begin: Begin | None
    priority: int


class Slot:
    """A place at work, and the reference that took it. On the agents' loop."""

    def __init__(self, inbox: Inbox, delivery: Delivery) -> None:
        self._inbox: Inbox | None = inbox
        self._delivery = delivery

    def release(self, *, done: bool) -> None:
        """Gives the place to the next; a second call does nothing.

        Args:
            done: Whether the message has been dealt with; otherwise the next process is to do so.
        """
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.over(self._delivery, done=done)


class Inbox:
    """The inbox of one agent.

    Args:
        agent: Its name.
        tasks: The task log.
        groups: The broker's groups.
        begin: Works on what is taken up from an earlier process.
        runs: Whether a task's code runs in this process.
        concurrency: Tasks at work at once.

    Attributes:
        concurrency: It may be changed; `pump` looks anew.
        at_work: Number of tasks at work.
    """

    def __init__(
        self,
        agent: str,
        tasks: TaskLog,
        groups: Groups,
        begin: Begin,
        runs: Callable[[str], bool],
        concurrency: int,
    ) -> None:
        self.agent = agent
        self.name = inbox_name(agent)
        self.concurrency = concurrency
        self.at_work = 0
        self.begin = begin
        self._tasks = tasks
        self._groups = groups
        self._runs = runs
        self._waiting: dict[tuple[str, int], _Waiting] = {}
        self._source = f"/agents/{agent}".encode()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unwatch: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        place = urlsplit(tasks.home).netloc.strip("[]")
        self._mark = f"@{place}" if place else ""
        self._client = f"lab{self._mark}"
        self._holds: dict[str, int] = {}  # what held references back when they were last looked for
        tasks.log.create_topic(self.name, TopicSpec(type="PRIORITY", ttl=_KEPT, drained=True))
        if self.name not in groups.groups():  # whoever changed its settings meant them to last
            groups.create_group(self.name, GroupSpec(topic=self.name, lease=_FOR_GOOD, client_ttl=_FOR_GOOD, fair=True))
        self._subscribe()

    def _subscribe(self) -> None:
        self._groups.subscribe(self.name, self._client, [f"{_DAY}{self._mark}"])

    # -- what comes in ---------------------------------------------------------------------------------------------

    def entry(
        self, live: LiveTask, message: dict[str, Any], generation: int, plan: Scheduling, begin: Begin | None
    ) -> tuple[str, bytes]:
        """The reference to append in one step with the message and SUBMITTED.

        Args:
            live: The task.
            message: What it is to be called with.
            generation: Of SUBMITTED.
            plan: Priority, tenant, cost and deadline.
            begin: What works on it.
        """
        self._waiting[live.id, generation] = _Waiting(live, message, begin, plan.priority)
        body = dumps({"owner": live.owner, "context": live.context_id, "generation": generation})
        day = rfc3339(self._tasks.clock.now())[:10]
        return join_topic(self.name, f"{day}{self._mark}"), live.record(
            RecordType.REQUEST, body, source=self._source, scheduling=plan.pack()
        )

    def place(self, task_id: str) -> dict[str, str] | None:
        """Where a task stands in line, and what it waits for; None where it does not.

        The place counts what has a higher priority or the same and came before; shares of tenants, deadlines and
        aging may change it.
        """
        ahead = 1
        found: _Waiting | None = None
        waiting = list(self._waiting.items())
        for (task, _), one in waiting:
            if task == task_id:
                found = one
        if found is None:
            return None
        before = True
        for (task, _), one in waiting:
            if task == task_id:
                before = False
            elif one.priority > found.priority or (before and one.priority == found.priority):
                ahead += not (one.live is not None and one.live.ended)
        return {"place": str(ahead), "held": self._held()}

    def _held(self) -> str:
        if self.at_work >= self.concurrency:
            return f"{self.agent} is at work on {self.at_work} tasks and takes {self.concurrency} at once"
        return f"held back by {', '.join(sorted(self._holds))}" if self._holds else ""

    @property
    def queued(self) -> int:
        """Number of messages that wait."""
        return sum(one.live is None or not one.live.ended for one in list(self._waiting.values()))

    # -- what goes out ---------------------------------------------------------------------------------------------

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins to hand out, after taking up what an earlier process left."""
        self._loop = loop
        known = self._known()
        lost = []
        for entry in list(self._tasks.directory().values()):
            if entry.agent != self.agent or entry.ended or self._runs(entry.task):
                continue
            try:
                fold = self._tasks.find(entry.owner, entry.task)
            except TaskNotFound:
                continue  # its session has expired
            key = (entry.task, fold.generation)
            left_off = fold.state == WORKING and entry.resumable
            if left_off or (fold.state == SUBMITTED and key not in known):
                live = self._tasks.revive(entry, fold)
                lost.append((live.topic, live.claim_record()))
                lost.append(self.entry(live, fold.history[-1], fold.generation, PLAIN, None))
        if lost:
            self._tasks.log.append(lost)
        self.pump()

    def _known(self) -> set[tuple[str, int]]:
        """The references that are not acked, and perhaps some that are."""
        log = self._tasks.log
        for day in log.lites(self.name, limit=_PAGE):
            if day == EVENTS or day.partition("@")[2] != self._mark[1:]:  # those of a lab that left wait in vain
                continue
            topic = join_topic(self.name, day)
            after = self._groups.progress(self.name, topic).committed - 1
            while batch := log.scan(topic, after=after):
                for after, stored in batch:
                    record = decode(stored, topic, after)
                    key = (record.subject, int(json.loads(record.body)["generation"]))
                    self._waiting.setdefault(key, _Waiting(None, None, None, record.scheduling.priority))
        return set(self._waiting)

    def reopen(self) -> None:
        """Goes on after the lab that has it was away."""
        if self._loop is not None:
            self._rest()
            self._subscribe()
            self.pump()

    def close(self) -> None:
        """Hands nothing out any more; what waits goes on waiting, in the store."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        self._rest()
        try:
            self._groups.unsubscribe(self.name, self._client)
        except LabError as error:
            _log.warning("the inbox of %s can't be closed: %s", self.agent, error.what)

    def _rest(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pump(self) -> None:
        """Hands out what there is room for."""
        while self._loop is not None and (room := self.concurrency - self.at_work) > 0:
            try:
                if self._unwatch is None:  # before the look, so that nothing comes in between
                    self._unwatch = self._groups.when_ready(self.name, self._client, self._wake)
                batch = self._groups.receive(self.name, self._client, limit=room)
            except (Unreachable, NotSubscribed):  # the lab that has it is away, or was: it will be opened again
                return
            except StoreError as error:
                _log.error("the inbox of %s can't be read: %s", self.agent, error.what)
                return
            self._holds = batch.held
            for delivery in batch:
                self._hand_out(delivery)
            if len(batch) < room:
                if batch.wake is not None and self._loop is not None:
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = self._loop.call_later(batch.wake, self.pump)
                return

    def _wake(self) -> None:
        """In whichever thread makes something ready, under the engine's lock."""
        if (loop := self._loop) is not None:
            try:
                loop.call_soon_threadsafe(self._woken)
            except RuntimeError:  # the loop has ended
                return

    def _woken(self) -> None:
        self._unwatch = None
        self.pump()

    def _hand_out(self, delivery: Delivery) -> None:
        self.at_work += 1
        slot = Slot(self, delivery)
        record = delivery.record
        told = json.loads(record.body)
        key = (record.subject, int(told["generation"]))
        waiting = self._waiting.pop(key, None)
        live = waiting.live if waiting is not None else None
        if waiting is not None and live is not None and waiting.message is not None:
            if live.ended or (waiting.begin is None and self._runs(live.id)):  # cancelled meanwhile, or taken up before
                slot.release(done=True)
            else:
                (waiting.begin or self.begin)(live, waiting.message, slot, restarted=waiting.begin is None)
            return
        try:
            self._take_up(record.subject, told, slot)
        except LabError as error:
            _log.error("the task %s of %s can't be taken up yet: %s", record.subject, self.agent, error.what)
            self._give_back(delivery, slot)

    def _take_up(self, task_id: str, told: dict[str, Any], slot: Slot) -> None:
        """Works on what an earlier process took in, if it still waits."""
        entry = self._tasks.directory().get(task_id)
        try:
            fold = self._tasks.find(told["owner"], task_id)
        except TaskNotFound:
            slot.release(done=True)
            return
        waits = fold.state == SUBMITTED and fold.generation == told["generation"]
        if entry is None or self._runs(task_id) or not (waits or (fold.state == WORKING and entry.resumable)):
            slot.release(done=True)
            return
        live = self._tasks.revive(entry, fold)
        self._tasks.log.append([(live.topic, live.claim_record())])
        self.begin(live, fold.history[-1], slot, restarted=True)

    def _give_back(self, delivery: Delivery, slot: Slot) -> None:
        """Has a message that could not be dealt with come again, after a pause."""
        slot.release(done=False)
        try:
            self._groups.fail(self.name, [delivery.handle])
        except LabError as error:
            _log.warning("a message of %s can't be given back: %s", self.agent, error.what)

    def over(self, delivery: Delivery, *, done: bool) -> None:
        """A place is free."""
        self.at_work -= 1
        if done:
            try:
                self._groups.ack(self.name, [delivery.handle])
            except LabError as error:
                _log.warning("a message of %s can't be acked: %s", self.agent, error.what)
        if self._loop is not None:
            self._loop.call_soon(self.pump)
