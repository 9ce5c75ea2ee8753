"""The task log: A2A contexts and tasks on session topics, the one truth that every door reads.

A context has one session topic, whose name includes its owner, so that another owner's context id is as unknown as
one that never was. A task's id starts with its context's id, so that finding a task needs no index. What a task says
is a fold over its records; the folds kept here are caches that note how far they are folded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Collection
from functools import partial
from typing import Any

from nbagora_lab.a2a.bodies import Bodies
from nbagora_lab.a2a.live import LiveTask, Refer, nothing_more
from nbagora_lab.a2a.sessions import SESSIONS, context_key, context_of, parse_context_key
from nbagora_lab.a2a.snapshots import EVERY, Snapshots
from nbagora_lab.a2a.wire import (
    FAILED,
    INBOX_EXTENSION,
    SUBMITTED,
    WORKING,
    dumps,
    message_body,
    message_of,
    task_body,
)
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.model import EVENTS, TopicSpec, join_topic
from nbagora_lab.broker.tail import aside, tail_batches
from nbagora_lab.core.clock import Clock, rfc3339
from nbagora_lab.core.errors import BadName, ServerGone, TaskNotFound, TopicNotFound, Unreachable
from nbagora_lab.core.events import Flags, Head, RecordType, decode, head_of
from nbagora_lab.core.ids import Ids, new_traceparent
from nbagora_lab.inspect.directory import DIRECTORY, LEVELS, DirectoryEntry, DirectoryFold
from nbagora_lab.inspect.fold import SessionFold, TaskFold

__all__ = ["SESSIONS", "TaskLog", "context_key", "parse_context_key"]

_LIFE = f"{SESSIONS}/{EVENTS}"
_TTL = 7 * 86400.0  # seconds
_LONG_POLL = 30.0  # seconds
_FOLDS = 256  # sessions whose folds are kept


class TaskLog:
    """All contexts and tasks of a store.

    Methods may be called from any thread.

    Args:
        log: The broker's engine.
        clock: Time of the records.
        ids: What makes context, task and message ids.
        home: URL of the lab that writes, where it joined the one whose log this is; it stands in the directory.
        merge: Whether chunks of text that come while one is being appended become one event.

    Attributes:
        lock: Held while folds change; who reads more than one fact of a fold holds it, too.
        home: URL of this lab, where it joined the one whose log this is; else empty.
        merge: Whether chunks are merged.
        bodies: Large bodies of sessions.
        snapshots: What folds of long sessions start from.
        place: Where a task of an agent stands in line and what holds it, as the runtime says; None: it does not wait.
    """

    def __init__(self, log: Log, clock: Clock, ids: Ids, home: str = "", *, merge: bool = False) -> None:
        self.log = log
        self.home = home
        self.merge = merge
        self.clock = clock
        self.ids = ids
        self._live: dict[str, LiveTask] = {}
        self._folds: OrderedDict[str, SessionFold] = OrderedDict()
        self._there: set[str] = set()  # session topics that exist
        self.lock = threading.RLock()
        self._directory = DirectoryFold(log)
        self.bodies = Bodies(self)
        self.snapshots = Snapshots(self)
        self.place: Callable[[str, str], dict[str, str] | None] = lambda _agent, _task: None
        log.create_topic(SESSIONS, TopicSpec(ttl=_TTL))
        log.create_topic(DIRECTORY.partition("/")[0], TopicSpec())
        self._life = -1  # offset that the life of session topics is known to
        with contextlib.suppress(TopicNotFound):
            self._life = log.info(_LIFE).next - 1

    def open(
        self,
        owner: str,
        agent: str,
        message: dict[str, Any],
        *,
        context_id: str = "",
        refer: Refer = nothing_more,
        provisional: bool = False,
        resumable: bool = False,
        traceparent: str = "",
        parent: str = "",
        version: str = "",
        levels: int = LEVELS,
        until: float | None = None,
    ) -> tuple[LiveTask, int, dict[str, Any]]:
        """Opens a task for a message: the message, the claim and SUBMITTED, in one batch with the directory's entry.

        Args:
            owner: Whose it is.
            agent: Name of the agent that it is for.
            message: The user's message.
            context_id: The context that it belongs to; empty makes a new one.
            refer: Gives what is to be appended in the same step: the reference in the agent's inbox.
            provisional: Withholds SUBMITTED until the agent's first word, which may be a plain message instead.
            resumable: Whether it is called anew where the process that runs it dies.
            traceparent: W3C trace context; empty starts a trace.
            parent: Id of the task that calls.
            version: The agent's version that was called.
            levels: Levels of calls to other agents that are left below it.
            until: When its caller stops waiting for it.

        Returns:
            The task to write, the offset of SUBMITTED, and the task as it stands there, as ProtoJSON.

        Raises:
            BadName: The context id can't be part of a topic's name.
        """
        context_id = context_id or f"ctx-{self.ids.new('context', parent)}"
        topic = join_topic(SESSIONS, context_key(owner, context_id))
        task_id = f"{context_id}.{self.ids.new('task', context_id)[:8]}"
        trace = traceparent or new_traceparent(self.ids, task_id)
        live = LiveTask(
            self,
            task_id=task_id,
            context_id=context_id,
            agent=agent,
            owner=owner,
            topic=topic,
            traceparent=trace,
            levels=levels,
        )
        message = {**message, "taskId": task_id, "contextId": context_id}
        live.stamp = now = rfc3339(self.clock.now())
        flags = Flags.TASK | Flags.SPLICED | (Flags.PROVISIONAL if provisional else Flags.NONE)
        opened = live.event_record(RecordType.TASK, task_body(task_id, context_id, SUBMITTED, now, topic), flags, 1)
        live.until = until
        entry: dict[str, Any] = {"context": context_id, "agent": agent, "owner": owner, "topic": topic}
        named = {"parent": parent, "version": version, "home": self.home, "resumable": resumable, "until": until}
        entry |= {one: value for one, value in named.items() if value}
        entry |= {"levels": levels} if levels != LEVELS else {}
        with self.lock:
            self._live[task_id] = live
        try:
            offsets = self.log.append(
                [
                    (topic, live.claim_record()),
                    (topic, live.record(RecordType.MESSAGE, message_body(message, topic), source=b"/users")),
                    (topic, opened),
                    (DIRECTORY, live.record(RecordType.TASK_OPENED, dumps(entry))),
                    *refer(live, message, 1),
                    *live.due(1),
                ]
            )
        except BaseException:
            live.void()
            raise
        if offsets[0] == 0:  # the context's first task: its fold begins with nothing, and need not look up with what
            with self.lock, contextlib.suppress(ServerGone, Unreachable):  # the next look will tell
                self.folded(topic, context_id, new=True)
        task = {
            "id": task_id,
            "contextId": context_id,
            "status": {"state": SUBMITTED, "timestamp": now},
            "history": [message],
        }
        return live, offsets[2], task

    def topic(self, owner: str, task_id: str) -> str:
        """Full name of the session topic of an owner's task."""
        return join_topic(SESSIONS, context_key(owner, context_of(task_id)))

    def live(self, task_id: str) -> LiveTask | None:
        """The task's writer, if this process has one."""
        return self._live.get(task_id)

    def revive(self, entry: DirectoryEntry, fold: TaskFold) -> LiveTask:
        """A writer for an open task that another process left."""
        live = LiveTask(
            self,
            task_id=entry.task,
            context_id=entry.context,
            agent=entry.agent,
            owner=entry.owner,
            topic=entry.topic,
            traceparent=entry.traceparent,
            state=fold.state,
            stamp=fold.stamp,
            generation=fold.generation,
            levels=entry.levels,
        )
        live.targets = tuple(config["target"] for config in fold.webhooks.values())
        live.until = entry.until or None
        with self.lock:
            return self._live.setdefault(entry.task, live)

    def forget(self, live: LiveTask) -> None:
        """Lets go of a task that has ended."""
        with self.lock:
            self._live.pop(live.id, None)

    def directory(self) -> dict[str, DirectoryEntry]:
        """All tasks by id, oldest first."""
        with self.lock:
            self._forget_removed()
            return self._directory.refresh().entries

    def session(self, owner: str, context_id: str) -> SessionFold:
        """The fold of a context, up to now.

        Raises:
            TopicNotFound: The owner has no such context.
        """
        topic = join_topic(SESSIONS, context_key(owner, context_id))
        with self.lock:
            fold = self.folded(topic, context_id)
            while batch := self.log.scan(topic, after=fold.offset):
                fold.feed(batch)
            return fold

    def folded(self, topic: str, context_id: str, *, new: bool = False) -> SessionFold:
        """The fold of a context, as far as it is; of a `new` one, with nothing. Under the lock.

        Raises:
            TopicNotFound: There is no such context.
        """
        self._forget_removed()
        fold = self._folds.get(topic)
        if fold is None:
            fold = self._folds[topic] = self._begun(topic, context_id, new=new)
            if len(self._folds) > _FOLDS:
                self._folds.popitem(last=False)
        self._folds.move_to_end(topic)
        return fold

    def _begun(self, topic: str, context_id: str, up_to: int | None = None, *, new: bool = False) -> SessionFold:
        """What a fold starts from, not above the offset `up_to`: the newest snapshot, or nothing."""
        info = None if new else self.log.info(topic)
        if info is None or info.next <= EVERY or (fold := self.snapshots.newest(topic, up_to)) is None:
            forked_from = (info and info.forked_from) or "@-1"
            fold = SessionFold(topic, context_id, forked_at=int(forked_from.rpartition("@")[2]))
        fold.first = lambda: self.log.info(topic).first
        return fold

    def exists(self, topic: str) -> bool:
        """Whether a session topic was there when the directory was read; asked again, it costs nothing."""
        with self.lock, contextlib.suppress(TopicNotFound):
            if topic not in self._there:
                self.log.info(topic)
                self._there.add(topic)
            return True
        return False

    def _forget_removed(self) -> None:
        """Lets go of what is known of contexts that were removed: their topics may begin anew, at offset 0."""
        while batch := self.log.scan(_LIFE, after=self._life):
            for self._life, stored in batch:
                record = decode(stored, _LIFE, self._life)
                if record.type == "topic.expired":
                    topic = json.loads(record.body)["topic"]
                    self._folds.pop(topic, None)
                    self._there.discard(topic)

    def find(self, owner: str, task_id: str) -> TaskFold:
        """A task, folded up to now.

        Raises:
            TaskNotFound: The owner has no such task.
        """
        context_id, fold = context_of(task_id), None
        with contextlib.suppress(TopicNotFound, BadName):
            fold = self.session(owner, context_id).tasks.get(task_id) if context_id else None
        if fold is None or fold.opened < 0 or fold.inherited:
            raise TaskNotFound(f"no task '{task_id}'", "see %task ls")
        return fold

    def fold_at(self, owner: str, task_id: str, offset: int) -> TaskFold:
        """A task as it stood at `offset` of its session topic.

        Raises:
            TaskNotFound: The owner has no such task.
        """
        fold = self.find(owner, task_id)
        past = fold.offset > offset
        return self.past(self.topic(owner, task_id), context_of(task_id), offset).tasks[task_id] if past else fold

    def past(self, topic: str, context_id: str, offset: int) -> SessionFold:
        """The fold of a context as it stood at `offset` of its session topic."""
        past = self._begun(topic, context_id, offset)
        while past.offset < offset and (batch := self.log.scan(topic, after=past.offset, limit=offset - past.offset)):
            past.feed(batch)
        return past

    def task_json(
        self, owner: str, task_id: str, *, at: int | None = None, history: int | None = None, artifacts: bool = True
    ) -> dict[str, Any]:
        """A task as ProtoJSON, stamped with topic, offset and generation.

        Args:
            owner: Whose it is.
            task_id: Its id.
            at: Offset to fold to; None for now.
            history: Number of newest messages to include; None for all.
            artifacts: Whether to include artifacts.

        Raises:
            TaskNotFound: The owner has no such task.
        """
        with self.lock:
            fold = self.find(owner, task_id) if at is None else self.fold_at(owner, task_id, at)
            task = fold.stamped(self.topic(owner, task_id), history=history, artifacts=artifacts)
        if at is None and fold.state == SUBMITTED and (place := self.place(fold.agent, task_id)) is not None:
            task["metadata"][INBOX_EXTENSION] = place
        return task

    async def events(self, owner: str, task_id: str, after: int) -> AsyncGenerator[list[tuple[int, Head, bytes]]]:
        """A task's events past an offset, for ever, in batches of what is there: offset, head, stored record.

        Reads the log at the reader's own pace. Records of a writer that had lost the task are left out.

        Raises:
            TaskNotFound: The owner has no such task.
        """
        subject = task_id.encode()
        claim = (await aside(self.log, partial(self.find, owner, task_id))).claim_at(after)
        async for batch in tail_batches(self.log, self.topic(owner, task_id), after=after):
            found = []
            for offset, stored in batch:
                head = head_of(stored)
                if head.subject != subject or head.epoch < claim:
                    continue
                if head.flags & Flags.CLAIM:
                    claim = head.epoch
                elif head.generation:
                    found.append((offset, head, stored))
            if found:
                yield found

    def abandon(self) -> None:
        """Lets go of the tasks that are at work here, as the lab whose log this is has ended them meanwhile."""
        for live in [one for one in list(self._live.values()) if one.state == WORKING]:
            live.abandon()

    async def newer(self, fold: TaskFold, owner: str, known: int) -> None:
        """Waits until a task that has not ended has a newer generation than `known`; 30 s at most."""
        if fold.generation <= known and not fold.terminal:
            events = self.events(owner, fold.id, fold.offset)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LONG_POLL):
                        await anext(events)
            finally:
                await events.aclose()

    def settle(self, only: Collection[str] | None = None) -> list[str]:
        """Ends what a dead epoch, or a lab that had joined, left WORKING, as FAILED with the reason.

        SUBMITTED tasks, those that wait for somebody, and those that can be resumed stay as they are.

        Args:
            only: Ids of the tasks that are meant; None: all that this process does not run.

        Returns:
            Ids of the tasks that it ended.
        """
        ended = []
        for entry in list(self.directory().values()):
            if entry.ended or entry.task in self._live or (only is not None and entry.task not in only):
                continue
            try:
                fold = self.find(entry.owner, entry.task)
            except TaskNotFound:
                continue  # its session has expired
            if fold.state != WORKING or entry.resumable:
                continue
            live = self.revive(entry, fold)
            said = message_of(
                "ROLE_AGENT",
                self.ids.new("message", entry.task),
                [{"text": "The process that ran this task ended before the task did."}],
                task_id=entry.task,
                context_id=entry.context,
            )
            self.log.append([(live.topic, live.claim_record())])
            live.status(FAILED, said)
            ended.append(entry.task)
        return ended
