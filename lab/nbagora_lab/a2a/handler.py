"""The A2A operations, straight on the log: what is sent is appended, what is asked for is read or folded.

An SDK `RequestHandler` for one agent. Its `*_json` and `*_batches` methods are what the doors for 1.0 use: stored
bytes and folded dicts, unparsed. The `on_*` methods give the same as protobuf messages to the other faces (0.3, REST's
unary calls).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from a2a.server.context import ServerCallContext
from a2a.server.owner_resolver import resolve_user_scope
from a2a.server.request_handlers.request_handler import validate_request_params
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    ExtendedAgentCardNotConfiguredError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.input_mode_validator import validate_input_modes
from a2a.utils.task import validate_history_length

from nbagora_lab.a2a.frames import Frame, frame_of, parsed, task_frame
from nbagora_lab.a2a.live import Entries, LiveTask, Refer
from nbagora_lab.a2a.outbox import Outbox
from nbagora_lab.a2a.protojson import filled
from nbagora_lab.a2a.reading import STOPS_STREAM, ReadOperations
from nbagora_lab.a2a.requests import (
    check_output_modes,
    check_request,
    check_scopes,
    content_of,
    generation_mismatch,
    history_length,
    limits_of,
    plan_of,
    trace_of,
)
from nbagora_lab.a2a.running import AgentRunner
from nbagora_lab.a2a.sessions import context_of
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import CANCELED, INTERRUPTED_STATES
from nbagora_lab.core.errors import BadName, TaskEnded, TaskNotFound, TopicNotFound
from nbagora_lab.core.events import Flags, Scheduling
from nbagora_lab.inspect.fold import LOG_EXTENSION, TaskFold, message_key

__all__ = ["LogRequestHandler"]

T = TypeVar("T")

_STOPS_SEND = STOPS_STREAM | Flags.INTERRUPTED


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A message that was taken in.

    Attributes:
        owner: Whose it is.
        task_id: The task that it went to.
        start: The offset at which its stream starts: that of SUBMITTED.
        opening: The task as it was opened; None where it was there before.
        withheld: Whether that opening is held back until the agent's first word.
    """

    owner: str
    task_id: str
    start: int
    opening: dict[str, Any] | None = None
    withheld: bool = False


class LogRequestHandler(ReadOperations):
    """The operations of one agent.

    Args:
        tasks: The task log.
        agent: Name of the agent.
        card: Gives the agent's card as it is now.
        runner: Runs its tasks.
        outbox: What tells webhooks; None where the agent offers no push.
        extended: Gives the extended card, where there is one.
    """

    def __init__(
        self,
        tasks: TaskLog,
        agent: str,
        card: Callable[[], pb.AgentCard],
        runner: Callable[[], AgentRunner],
        outbox: Outbox | None = None,
        extended: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self.tasks = tasks
        self.agent = agent
        self.outbox = outbox
        self._card = card
        self._runner = runner
        self._extended = extended
        self._going: set[asyncio.Future[Any]] = set()  # what goes on where its caller hangs up
        self._taking: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()  # by owner and context

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send_json(self, params: pb.SendMessageRequest, context: ServerCallContext) -> dict[str, Any]:
        """SendMessage: the task (or plain message) once it has ended, asks for something, or at once if asked to.

        Returns:
            ``{"task": …}`` or ``{"message": …}``.
        """
        history = history_length(params.configuration)
        accepted = await self._accept(params, context)
        task_id, owner = accepted.task_id, accepted.owner
        at_once = params.configuration.return_immediately
        if at_once and not accepted.withheld:
            if accepted.opening is None:
                return {"task": await self.aside(partial(self.tasks.task_json, owner, task_id, history=history))}
            return {"task": await self._opening(accepted, history)}
        if not at_once and (live := self.tasks.live(task_id)) is not None:
            await live.stop.wait()  # nobody is woken for the words before
            if (answer := await self.aside(partial(self._answer, accepted, history))) is not None:
                return answer
        async for batch in self._read(owner, task_id, after=accepted.start):
            for offset, head, _ in batch:
                if head.flags & Flags.MESSAGE:
                    return {"message": (await self.aside(partial(self.tasks.find, owner, task_id))).reply or {}}
                if at_once or head.flags & _STOPS_SEND:
                    told = partial(self.tasks.task_json, owner, task_id, at=offset, history=history)
                    return {"task": await self.aside(told)}
        raise AssertionError("a task's events end with a stop")  # pragma: no cover

    def _answer(self, accepted: _Accepted, history: int) -> dict[str, Any] | None:
        """The task, or the plain message, once the agent has stopped; None where it is at work."""
        with self.tasks.lock:
            fold = self.tasks.find(accepted.owner, accepted.task_id)
            if fold.reply is not None:
                return {"message": fold.reply}
            if fold.offset <= accepted.start or not (fold.terminal or fold.state in INTERRUPTED_STATES):
                return None
            return {"task": fold.stamped(self.tasks.topic(accepted.owner, fold.id), history=history)}

    async def stream_batches(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[list[Frame]]:
        """SendStreamingMessage: the task as it was opened, then its events until it ends or asks for something.

        The first batch comes at once, empty if need be, so that the response begins before the agent says a word.
        """
        history = history_length(params.configuration)
        accepted = await self._accept(params, context)
        owner = accepted.owner
        first = [task_frame(accepted.start, await self._opening(accepted, history))]
        withheld = accepted.withheld
        yield [] if withheld else first
        async for batch in self._read(owner, accepted.task_id, after=accepted.start):
            frames = []
            if withheld and not batch[0][1].flags & Flags.MESSAGE:
                frames += first
            withheld = False
            for offset, head, stored in batch:
                frames.append(frame_of(offset, head, stored))
                if head.flags & _STOPS_SEND:
                    yield frames
                    return
            yield frames

    async def _opening(self, accepted: _Accepted, history: int) -> dict[str, Any]:
        """The task with which an accepted message's stream opens."""
        task = accepted.opening
        if task is None:
            task_id, start = accepted.task_id, accepted.start
            return await self.aside(partial(self.tasks.task_json, accepted.owner, task_id, at=start, history=history))
        topic = self.tasks.topic(accepted.owner, accepted.task_id)
        place = {"topic": topic, "offset": str(accepted.start), "generation": "1"}
        kept = task["history"][-history:] if history else []
        bare = {key: value for key, value in task.items() if key != "history"}
        return bare | ({"history": kept} if kept else {}) | {"metadata": {LOG_EXTENSION: place}}

    async def _accept(self, params: pb.SendMessageRequest, context: ServerCallContext) -> _Accepted:
        """Takes a message in: opens a task, answers one, or finds the one that it opened before."""
        message = params.message
        content = content_of(message)
        validate_input_modes(message, self._card())
        validate_history_length(params.configuration)
        check_output_modes(params.configuration, self._card())
        owner = self._owner(context)
        context_id = message.context_id or context_of(message.task_id)
        try:
            blobs = self.tasks.bodies.lighten(owner, content, [part.raw for part in message.parts], context_id)
        except BadName as error:
            raise InvalidParamsError(f"the contextId can't be used: {error.what}") from None
        check_scopes(message, self._card(), context)
        config = None
        if params.configuration.HasField("task_push_notification_config"):
            given = params.configuration.task_push_notification_config
            config = await self.checked_config(given, message.task_id)
        refer = partial(self._entries, plan_of(params, context, owner), config, blobs)
        take = partial(self._take, message, context, owner, content, refer)
        if message.context_id or message.task_id:
            again = partial(self._repeated, owner, message, content)
            taking = self._take_once((owner, context_id), take, again)
        else:
            taking = take()
        return await (self._to_its_end(taking) if "remote" in self.tasks.log.capabilities else taking)

    async def _take_once(
        self,
        place: tuple[str, str],
        take: Callable[[], Awaitable[_Accepted]],
        repeated: Callable[[], _Accepted | None],
    ) -> _Accepted:
        """Takes a message in unless it was before; the same one may come twice at once."""
        async with self._taking.setdefault(place, asyncio.Lock()):
            known = await self.aside(repeated)
            return known if known is not None else await take()

    async def _to_its_end(self, call: Coroutine[Any, Any, T]) -> T:
        """Awaits what goes on to its end though its caller hangs up meanwhile."""
        going = asyncio.ensure_future(call)
        self._going.add(going)
        going.add_done_callback(self._going.discard)
        return await asyncio.shield(going)

    async def _take(
        self, message: pb.Message, context: ServerCallContext, owner: str, content: dict[str, Any], refer: Refer
    ) -> _Accepted:
        """Opens a task for a message that was not taken in before, or answers the one that it names."""
        if message.task_id:
            expected = context.state.get("if_generation")
            live, answer, accepted = await self.aside(
                partial(self._follow_up, owner, message, content, refer, expected)
            )
            self._runner().start(live, answer, live.generation)
            return accepted
        if context.state.get("if_generation") is not None:
            raise InvalidParamsError("ifGenerationMatch is of a task, and the message names none")
        runner = self._runner()
        withheld = runner.reply != "task"
        try:
            opened = partial(
                self.tasks.open,
                owner,
                self.agent,
                content,
                context_id=message.context_id or content.get("contextId", ""),
                refer=refer,
                provisional=withheld,
                resumable=runner.resumable,
                traceparent=trace_of(context),
                parent=context.state.get("headers", {}).get("nbagora-parent-task", ""),
                version=self._card().version,
                **limits_of(context, self.tasks.clock.now()),
            )
            live, offset, task = await self.aside(opened)
        except BadName as error:
            raise InvalidParamsError(f"the contextId can't be used: {error.what}") from None
        runner.start(live, task["history"][0], 1)
        return _Accepted(owner, live.id, offset, task, withheld)

    def _entries(
        self,
        plan: Scheduling,
        config: dict[str, Any] | None,
        blobs: dict[int, bytes],
        live: LiveTask,
        message: dict[str, Any],
        generation: int,
    ) -> Entries:
        """What is appended in one step with a message: its place in the inbox, and the webhook that came with it."""
        entries = list(self._runner().entries(live, message, generation, plan))
        for number, body in blobs.items():
            kind = message["parts"][number].get("mediaType", "application/octet-stream")
            entries.append(self.tasks.bodies.stage(live.topic, (body,), kind)[1])
        if config is not None and self.outbox is not None:
            config = {**config, "id": config.get("id") or live.id}
            entries.append((live.topic, self.outbox.added(live, live.id, config)))
        return entries

    def _repeated(self, owner: str, message: pb.Message, content: dict[str, Any]) -> _Accepted | None:
        """What the very same message, id and content, was taken in as before."""
        with self.tasks.lock:
            try:
                session = self.tasks.session(owner, message.context_id or context_of(message.task_id))
            except (TopicNotFound, BadName):
                return None
            for task_id, offset in session.messages.get(message_key(content), {}).items():
                task = session.tasks[task_id]
                if task.agent == self.agent and not task.inherited and message.task_id in {"", task_id}:
                    start = offset + 1  # SUBMITTED follows the message in the same batch
                    return _Accepted(owner, task_id, start, withheld=task.provisional and start == task.opened)
        return None

    def _follow_up(
        self, owner: str, message: pb.Message, content: dict[str, Any], refer: Refer, expected: int | None
    ) -> tuple[LiveTask, dict[str, Any], _Accepted]:
        live = self.tasks.live(message.task_id)  # before the fold: without a writer no end can come after it
        fold = self._find(owner, message.task_id)
        if expected is not None and expected != fold.generation:
            raise generation_mismatch(fold.id, fold.generation, expected)
        context_id = context_of(fold.id)
        if message.context_id and message.context_id != context_id:
            raise InvalidParamsError(f"the task {fold.id} is of context {context_id}, not {message.context_id}")
        if fold.terminal:
            raise UnsupportedOperationError(f"the task {fold.id} has ended; it takes no more messages")
        at_work = UnsupportedOperationError(f"the task {fold.id} is at work; it takes a message when it asks for one")
        if fold.state not in INTERRUPTED_STATES:
            raise at_work
        revived = live is None
        live = live or self.tasks.revive(self.tasks.directory()[fold.id], fold)
        answer = {**content, "contextId": context_id}
        try:
            offset = live.answer(answer, refer, claim=revived, expected=expected)
        except TaskEnded as error:
            raise UnsupportedOperationError(error.what) from None
        if offset is None:
            raise at_work
        return live, answer, _Accepted(owner, fold.id, offset)

    def _owner(self, context: ServerCallContext) -> str:
        check_request(context, self._card())
        return resolve_user_scope(context)

    def _find(self, owner: str, task_id: str) -> TaskFold:
        try:
            fold = self.tasks.find(owner, task_id)
        except (TaskNotFound, BadName):
            raise TaskNotFoundError(f"task not found: '{task_id}'") from None
        if fold.agent != self.agent or fold.reply is not None:
            raise TaskNotFoundError(f"task not found: '{task_id}'")
        return fold

    # -- the SDK's interface ---------------------------------------------------------------------------------------

    @validate_request_params
    async def on_message_send(self, params: pb.SendMessageRequest, context: ServerCallContext) -> pb.Task | pb.Message:
        """See `send_json`."""
        answer = await self.send_json(params, context)
        if "task" in answer:
            return filled(answer["task"], pb.Task())
        return filled(answer["message"], pb.Message())

    @validate_request_params
    async def on_message_send_stream(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Any]:
        """See `stream_batches`."""
        async for event in parsed(self.stream_batches(params, context)):
            yield event

    @validate_request_params
    async def on_cancel_task(self, params: pb.CancelTaskRequest, context: ServerCallContext) -> pb.Task:
        """CancelTask: a task that waits or runs ends CANCELED; the agent is given a moment to end by itself."""
        owner = self._owner(context)
        live = await self._to_its_end(self._cancel(owner, params.id))
        task = await self.aside(partial(self.tasks.task_json, owner, live.id))
        if task["status"]["state"] != CANCELED:
            raise TaskNotCancelableError(f"the task {live.id} ended before it could be canceled")
        return filled(task, pb.Task())

    async def _cancel(self, owner: str, task_id: str) -> LiveTask:
        live = await self.aside(partial(self._to_cancel, owner, task_id))
        await self._runner().cancel(live)
        return live

    def _to_cancel(self, owner: str, task_id: str) -> LiveTask:
        """The task with what can write it."""
        live = self.tasks.live(task_id)  # before the fold: without a writer no end can come after it
        fold = self._find(owner, task_id)
        if fold.terminal:
            raise TaskNotCancelableError(f"the task {fold.id} has ended")
        if live is None:
            live = self.tasks.revive(self.tasks.directory()[fold.id], fold)
            self.tasks.log.append([(live.topic, live.claim_record())])
        return live

    async def on_get_extended_agent_card(
        self, _params: pb.GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> pb.AgentCard:
        """GetExtendedAgentCard: what only callers who show who they are may know."""
        self._owner(context)
        if not self._card().capabilities.extended_agent_card:
            raise UnsupportedOperationError("this agent has no extended card")
        if self._extended is None:
            raise ExtendedAgentCardNotConfiguredError("this agent's extended card is not at hand")
        return filled(self._extended(), pb.AgentCard())
