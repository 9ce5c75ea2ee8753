"""The writing side of a task: its agent's own thread appends each event to the session topic, as the bytes that go out.

Whoever ends a task first wins: completing, failing and cancelling are decided here, under the task's lock, and the
loser's append raises `TaskEnded`. An append returns once its record is durable; that is the agent's back-pressure.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from nbagora_lab.a2a.breath import breathe, give_way
from nbagora_lab.a2a.chunks import Chunks
from nbagora_lab.a2a.snapshots import EVERY
from nbagora_lab.a2a.stop import Stop
from nbagora_lab.a2a.wire import (
    CANCELED,
    INTERRUPTED_STATES,
    SUBMITTED,
    TERMINAL_STATES,
    artifact_body,
    dumps,
    message_body,
    short_state,
    status_body,
    text_part,
)
from nbagora_lab.broker.blobs import CHUNK
from nbagora_lab.core.clock import Clock, rfc3339
from nbagora_lab.core.errors import TaskEnded
from nbagora_lab.core.events import Flags, RecordType, encode
from nbagora_lab.inspect.directory import DIRECTORY, LEVELS

if TYPE_CHECKING:
    from nbagora_lab.a2a.bodies import Bodies
    from nbagora_lab.a2a.tasklog import TaskLog

__all__ = ["Entries", "LiveTask", "Refer", "current_task", "nothing_more"]

current_task: ContextVar[LiveTask | None] = ContextVar("nbagora_task", default=None)
"""The task of the run that this code is part of."""

Entries = Sequence[tuple[str, bytes]]


class Refer(Protocol):
    """Gives the records to append in one step with a message and its SUBMITTED."""

    def __call__(self, live: LiveTask, message: dict[str, Any], generation: int, /) -> Entries:
        """Full topic names and encoded records; `generation` is that of SUBMITTED."""
        ...


def nothing_more(_live: LiveTask, _message: dict[str, Any], _generation: int) -> Entries:
    """A `Refer` for who has no inbox."""
    return ()


_Event = tuple[str, bytes, int, Entries]
"""Type, body and flags of an event to append, and what goes with it in the same step."""


class LiveTask:
    """A task that this process writes.

    Every writing method raises `TaskEnded` when the task has ended, and `StoreError` when nothing could be written.

    Attributes:
        id, context_id, agent, owner: Whose and which task it is.
        topic: Full name of its session topic.
        traceparent: W3C trace context that it was opened with.
        state: Full name of the state that it is in.
        stamp: Timestamp of that state.
        generation: Number of its events so far.
        prompts: Versions of the prompts that its agent has used, newest of each, by name; on all that it writes.
        levels: Levels of calls to other agents that it, and those whom it calls, may still go down.
        until: When its caller stops waiting and it is cancelled, in seconds since the Unix epoch; None: never.
        cancelled: Set once somebody asked to cancel it.
        stop: What those wait for who have no use for what comes before it.
        targets: Topics of the webhooks that are told of its events.
    """

    def __init__(
        self,
        log: TaskLog,
        *,
        task_id: str,
        context_id: str,
        agent: str,
        owner: str,
        topic: str,
        traceparent: str,
        state: str = SUBMITTED,
        stamp: str = "",
        generation: int = 1,
        levels: int = LEVELS,
    ) -> None:
        self.id, self.context_id, self.agent, self.owner, self.topic = task_id, context_id, agent, owner, topic
        self.traceparent = traceparent
        self.state, self.stamp = state, stamp
        self.generation = generation
        self.prompts: dict[str, str] = {}
        self._prompts: tuple[str, ...] = ()
        self.levels = levels
        self.until: float | None = None
        self.cancelled = threading.Event()
        self.stop = Stop(lambda: self._ended or self.state in INTERRUPTED_STATES)
        self.targets: tuple[str, ...] = ()
        self._log = log
        self._lock = threading.Lock()
        self._ended = False
        self._held: list[_Event] = []
        self._noted = 0  # offset up to which the session's growth was told
        self._asked = state in INTERRUPTED_STATES
        self._chunks = Chunks(self._more) if log.merge else None
        self._ids = b'"taskId":%b,"contextId":%b,' % (dumps(task_id), dumps(context_id))
        self._envelope: dict[str, Any] = {
            "source": f"/agents/{agent}".encode(),
            "subject": task_id.encode(),
            "traceparent": traceparent.encode(),
        }

    @property
    def clock(self) -> Clock:
        """Time of its records."""
        return self._log.clock

    @property
    def ended(self) -> bool:
        """Whether nothing can be added any more."""
        return self._ended

    def use_prompt(self, name: str, version: str) -> None:
        """Has all that is written from now on say that it was written with a version of a prompt."""
        if self.prompts.get(name) != version:
            self.prompts = {**self.prompts, name: version}
            self._prompts = tuple(f"{one}@{ref}" for one, ref in sorted(self.prompts.items()))

    def void(self) -> None:
        """Ends a task of which nothing could be recorded."""
        with self._lock:
            self._ended = True
            self._log.forget(self)
            self.stop.tell()

    def status(self, state: str, message: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None) -> int:
        """Appends a status; a terminal one ends the task.

        Returns:
            The record's offset.
        """
        self._flush()
        log = self._log
        now = rfc3339(log.clock.now())
        body = status_body(self._ids, state, now, self.topic, message, metadata, self._prompts)
        flags = Flags.SPLICED
        more: list[tuple[str, bytes]] = []
        if state in TERMINAL_STATES:
            flags |= Flags.TERMINAL
            more.append(self._ending(state, now))
        elif state in INTERRUPTED_STATES:
            flags |= Flags.INTERRUPTED
            self._asked = True
        offset = self._append(RecordType.STATUS, body, flags, more, state, now)
        breathe()
        return offset

    def artifact(
        self,
        artifact: bytes,
        parts: bytes,
        *,
        append: bool = False,
        last: bool = False,
        metadata: dict[str, Any] | None = None,
        blobs: Entries = (),
        hold: bool = False,
    ) -> None:
        """Appends an artifact update; arguments as `wire.artifact_body` takes them.

        Args:
            blobs: The records that refer to large bodies which it links to, from `bodies.stage`.
            hold: Whether the task's next word comes at once, so that both are to be appended in one step.
        """
        self._flush()
        body = artifact_body(
            self._ids, artifact, parts, self.topic, append=append, last=last, metadata=metadata, prompts=self._prompts
        )
        if hold:
            with self._lock:
                if self._ended:
                    raise self._refusal()
                self._held.append((RecordType.ARTIFACT, body, Flags.SPLICED, blobs))
            return
        self._append(RecordType.ARTIFACT, body, Flags.SPLICED, blobs, self.state)
        breathe()

    def chunk(self, artifact: bytes, text: str) -> None:
        """Appends one more chunk of text to an artifact; merged with its neighbours where the log's `merge` says so.

        Raises:
            TaskEnded: The task has ended; with merged chunks perhaps one chunk late.
        """
        if self._chunks is None:
            self.artifact(artifact, text_part(text), append=True)
        else:
            self._chunks.put(artifact, text)

    def _flush(self) -> None:
        if self._chunks is not None:  # what comes next stands behind them
            self._chunks.flush()

    def _more(self, artifact: bytes, text: str) -> None:
        body = artifact_body(self._ids, artifact, text_part(text), self.topic, append=True, prompts=self._prompts)
        self._append(RecordType.ARTIFACT, body, Flags.SPLICED, (), self.state)

    @property
    def bodies(self) -> Bodies:
        """Large bodies of sessions."""
        return self._log.bodies

    def reply(self, message: dict[str, Any]) -> int:
        """Answers with a plain message; there is no task then.

        Returns:
            The record's offset.
        """
        self._flush()
        flags = Flags.SPLICED | Flags.MESSAGE | Flags.TERMINAL
        body = message_body(message, self.topic, self._prompts)
        return self._append(RecordType.MESSAGE, body, flags, [self._ending("MESSAGE", "")], "MESSAGE")

    def answer(
        self, message: dict[str, Any], refer: Refer = nothing_more, *, claim: bool, expected: int | None = None
    ) -> int | None:
        """Takes in the user's answer to a question: the message, and SUBMITTED in the same batch.

        Args:
            message: The user's message.
            refer: Gives what is to be appended in the same step.
            claim: Whether this process takes the task over from one that ended.
            expected: The generation at which it takes the answer; None: at any.

        Returns:
            The offset of SUBMITTED, with which the follow-up's stream opens; None where the task asks for nothing, or
            has moved on.
        """
        before = [(self.topic, self.record(RecordType.MESSAGE, message_body(message, self.topic), source=b"/users"))]
        if claim:
            before.insert(0, (self.topic, self.claim_record()))
        now = rfc3339(self._log.clock.now())
        body = status_body(self._ids, SUBMITTED, now, self.topic, None, None)
        with self._lock:
            if self._ended:
                raise self._refusal()
            if self.state not in INTERRUPTED_STATES or expected not in {None, self.generation}:
                return None
            stored = self.event_record(RecordType.STATUS, body, Flags.SPLICED, self.generation + 1)
            more = [*refer(self, message, self.generation + 1), *self.due(self.generation + 1)]
            offsets = self._log.log.append([*before, (self.topic, stored), *more])
            self.generation += 1
            self.state, self.stamp = SUBMITTED, now
        return offsets[len(before)]

    def note(self, type_: str, body: dict[str, Any]) -> int:
        """Appends a record about the task that is no event of it: a call, a log line, a step.

        Returns:
            The record's offset.
        """
        self._flush()
        if self._prompts:
            body = {**body, "prompts": self._prompts}
        log, packed = self._log.log, dumps(body)
        if len(packed) <= CHUNK:
            return log.append([(self.topic, self.record(type_, packed))])[0]
        ref = log.stage([packed])
        try:
            return log.append([(self.topic, self.record(type_, ref.body(), flags=Flags.REFERENCE))])[0]
        except BaseException:
            log.unstage(ref)
            raise

    def abandon(self) -> None:
        """Takes no more words, as somebody else has ended it."""
        with self._lock:
            self._ended = True
            self._log.forget(self)
            self.stop.tell()

    def end_if_open(self, state: str, message: dict[str, Any] | None = None) -> bool:
        """Ends the task unless it has ended already.

        Returns:
            Whether this call ended it.
        """
        try:
            self.status(state, message)
        except TaskEnded:
            return False
        return True

    def record(
        self,
        type_: str,
        body: bytes,
        *,
        flags: int = Flags.NONE,
        source: bytes | None = None,
        scheduling: bytes = b"",
    ) -> bytes:
        """Encodes a record of this task that is no event."""
        envelope = self._envelope if source is None else {**self._envelope, "source": source}
        log = self._log
        return encode(
            type_, body, time=log.clock.now(), epoch=log.log.epoch, flags=flags, scheduling=scheduling, **envelope
        )

    def due(self, generation: int) -> Entries:
        """The references to one of its events for its webhooks, to be appended with it, whoever writes it and when."""
        body = dumps({"owner": self.owner, "generation": generation})
        return [(target, self.record(RecordType.WEBHOOK_DUE, body)) for target in self.targets]

    def claim_record(self) -> bytes:
        """The record by which this process's epoch takes the task."""
        return self.record(RecordType.CLAIM, b"{}", flags=Flags.CLAIM)

    def event_record(self, type_: str, body: bytes, flags: int, generation: int) -> bytes:
        """Encodes an event of the task."""
        log = self._log
        return encode(
            type_,
            body,
            time=log.clock.now(),
            epoch=log.log.epoch,
            generation=generation,
            flags=flags,
            **self._envelope,
        )

    def _append(self, type_: str, body: bytes, flags: int, more: Entries, state: str, stamp: str = "") -> int:
        """Appends an event, and those held before it, in one step; its offset."""
        with self._lock:
            if self._ended:
                raise self._refusal()
            held = len(self._held)
            if held or self.targets:
                entries = self._entries([*self._held, (type_, body, flags, more)])
            else:  # as a chunk, which should cost little
                entries = [(self.topic, self.event_record(type_, body, flags, self.generation + 1)), *more]
            offset = self._log.log.append(entries)[held]
            self._held.clear()
            self.generation += held + 1
            self.state, self.stamp = state, stamp or self.stamp
            if offset - self._noted >= EVERY:
                self._noted = offset - offset % EVERY
                self._log.snapshots.note(self.topic)
            if flags & Flags.TERMINAL:
                self._ended = True
                self._log.forget(self)
            woke = bool(flags & (Flags.TERMINAL | Flags.INTERRUPTED)) and self.stop.tell()
        if woke:
            give_way()
        return offset

    def _entries(self, events: list[_Event]) -> list[tuple[str, bytes]]:
        """The records of events in a row, then what goes with them and tells webhooks of each."""
        entries, beside = [], []
        for generation, (type_, body, flags, more) in enumerate(events, self.generation + 1):
            entries.append((self.topic, self.event_record(type_, body, flags, generation)))
            beside += [*more, *(self.due(generation) if self.targets else ())]
        return entries + beside

    def _ending(self, state: str, now: str) -> tuple[str, bytes]:
        asked = {"asked": True} if self._asked else {}  # how long it took says nothing of the agent then
        at = {"at": now} if now else {}
        return DIRECTORY, self.record(RecordType.TASK_ENDED, dumps({"state": state} | at | asked))

    def _refusal(self) -> TaskEnded:
        what = "was canceled" if self.state == CANCELED else f"has ended {short_state(self.state)}"
        return TaskEnded(f"the task {self.id} {what}", "its later output is dropped")
