"""The A2A operations, straight on the log: what is sent is appended, what is asked for is read or folded.

An SDK `RequestHandler` for one agent. Its `*_json` and `*_batches` methods are what the doors for 1.0 use: stored
bytes and folded dicts, unparsed. The `on_*` methods give the same as protobuf messages to the other faces (0.3, REST's
unary calls).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from a2a.server.context import ServerCallContext
from a2a.server.owner_resolver import resolve_user_scope
from a2a.server.request_handlers.request_handler import RequestHandler, validate_request_params
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    ContentTypeNotSupportedError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.input_mode_validator import validate_input_modes
from a2a.utils.proto_utils import validate_proto_required_fields
from a2a.utils.task import validate_history_length
from google.protobuf.json_format import MessageToDict, ParseDict

from nbagora_lab.a2a.listing import history_length, list_tasks
from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import CANCELED, INTERRUPTED_STATES, dumps, splice, whole_numbers
from nbagora_lab.core.errors import BadName, TaskEnded, TaskNotFound, TopicNotFound
from nbagora_lab.core.events import Flags, Head
from nbagora_lab.inspect.fold import LOG_EXTENSION, TaskFold, message_key

__all__ = ["AgentRunner", "Frame", "LogRequestHandler", "validated"]

_STOPS_STREAM = Flags.TERMINAL | Flags.MESSAGE
_STOPS_SEND = _STOPS_STREAM | Flags.INTERRUPTED


@dataclass(frozen=True, slots=True)
class Frame:
    """One event on its way out.

    Attributes:
        offset: Its place on the session topic: the SSE id.
        body: JSON of the `StreamResponse`.
    """

    offset: int
    body: bytes


class AgentRunner(Protocol):
    """What runs an agent's tasks; the agents' room implements it."""

    @property
    def reply(self) -> str:
        """``task``, ``message`` or ``either``: what the agent may answer with."""
        ...

    def start(self, live: LiveTask, message: dict[str, Any]) -> None:
        """Runs the agent on a task that has just been opened, or on the answer to a question of a task that no
        function waits for any more."""
        ...

    def resume(self, live: LiveTask, message: dict[str, Any]) -> bool:
        """Hands an answer to the function that waits for it; False where none waits."""
        ...

    async def cancel(self, live: LiveTask) -> None:
        """Has a task end CANCELED, and returns when it has ended."""
        ...


class LogRequestHandler(RequestHandler):
    """The operations of one agent.

    Args:
        tasks: The task log.
        agent: Name of the agent.
        card: Gives the agent's card as it is now.
        runner: Runs its tasks.
    """

    def __init__(
        self, tasks: TaskLog, agent: str, card: Callable[[], pb.AgentCard], runner: Callable[[], AgentRunner]
    ) -> None:
        self.tasks = tasks
        self.agent = agent
        self._card = card
        self._runner = runner

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send_json(self, params: pb.SendMessageRequest, context: ServerCallContext) -> dict[str, Any]:
        """SendMessage: the task (or plain message) once it has ended, asks for something, or at once if asked to.

        Returns:
            ``{"task": …}`` or ``{"message": …}``.
        """
        history = history_length(params.configuration)
        task_id, start, opening = self._accept(params, context)
        owner = resolve_user_scope(context)
        if params.configuration.return_immediately and self._runner().reply != "message":
            return {"task": self.tasks.task_json(owner, task_id, history=history) if opening is None else opening}
        async for batch in self._read(owner, task_id, after=start):
            for offset, head, _ in batch:
                if head.flags & Flags.MESSAGE:
                    return {"message": self.tasks.find(owner, task_id).reply or {}}
                if head.flags & _STOPS_SEND:
                    return {"task": self.tasks.task_json(owner, task_id, at=offset, history=history)}
        raise AssertionError("a task's events end with a stop")  # pragma: no cover

    async def stream_batches(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[list[Frame]]:
        """SendStreamingMessage: the task as it was opened, then its events until it ends or asks for something."""
        history = history_length(params.configuration)
        task_id, start, opening = self._accept(params, context)
        owner = resolve_user_scope(context)
        snapshot = self.tasks.task_json(owner, task_id, at=start, history=history) if opening is None else None
        if opening is not None:
            topic = self._topic(owner, task_id)
            snapshot = _limited(opening, history) | {"metadata": _stamp(topic, start, 1)}
        first = [Frame(start, b'{"task":%b}' % dumps(snapshot))]
        provisional = self._runner().reply != "task" and opening is not None
        if not provisional:
            yield first
        async for batch in self._read(owner, task_id, after=start):
            frames = []
            if provisional and not batch[0][1].flags & Flags.MESSAGE:
                frames += first
            provisional = False
            for offset, head, stored in batch:
                frames.append(_frame(offset, head, stored))
                if head.flags & _STOPS_SEND:
                    yield frames
                    return
            yield frames

    def _accept(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> tuple[str, int, dict[str, Any] | None]:
        """Takes a message in: opens a task, answers one, or finds the one that it opened before.

        Returns:
            The task's id, the offset at which its stream starts, and the new task's ProtoJSON (None for an old one).
        """
        message = params.message
        if not message.parts:
            raise InvalidParamsError("the message has no parts")
        validate_input_modes(message, self._card())
        validate_history_length(params.configuration)
        if params.configuration.HasField("task_push_notification_config"):
            raise PushNotificationNotSupportedError
        _check_output_modes(params.configuration, self._card())
        owner = resolve_user_scope(context)
        content = whole_numbers(MessageToDict(message))
        named = message.context_id or message.task_id
        if named and (known := self._repeated(owner, message, content)) is not None:
            return *known, None
        if message.task_id:
            return self._follow_up(owner, message, content)
        headers = context.state.get("headers", {})
        runner = self._runner()
        try:
            live, offset, task = self.tasks.open(
                owner,
                self.agent,
                content,
                context_id=message.context_id,
                provisional=runner.reply != "task",
                traceparent=headers.get("traceparent", ""),
                parent=headers.get("nbagora-parent-task", ""),
            )
        except BadName as error:
            raise InvalidParamsError(f"the contextId can't be used: {error.what}") from None
        runner.start(live, task["history"][0])
        return live.id, offset, task

    def _repeated(self, owner: str, message: pb.Message, content: dict[str, Any]) -> tuple[str, int] | None:
        """The task that the very same message, id and content, went to before, and the offset of its SUBMITTED."""
        context_id = message.context_id or _context_of(message.task_id)
        try:
            session = self.tasks.session(owner, context_id)
        except (TopicNotFound, BadName):
            return None
        task_id, offset = session.messages.get(message_key(content), ("", -1))
        task = session.tasks.get(task_id)
        if task is None or task.agent != self.agent or task.inherited:
            return None
        return task_id, offset + 1  # SUBMITTED follows the message in the same batch

    def _follow_up(self, owner: str, message: pb.Message, content: dict[str, Any]) -> tuple[str, int, None]:
        fold = self._find(owner, message.task_id)
        context_id = _context_of(fold.id)
        if message.context_id and message.context_id != context_id:
            raise InvalidParamsError(f"the task {fold.id} is of context {context_id}, not {message.context_id}")
        if fold.terminal:
            raise UnsupportedOperationError(f"the task {fold.id} has ended; it takes no more messages")
        if fold.state not in INTERRUPTED_STATES:
            raise UnsupportedOperationError(f"the task {fold.id} is at work; it takes a message when it asks for one")
        live = self.tasks.live(fold.id)
        entry = self.tasks.directory()[fold.id]
        revived = live is None
        live = live or self.tasks.revive(entry, fold)
        answer = {**content, "contextId": context_id}
        try:
            offset = live.answer(answer, claim=revived)
        except TaskEnded as error:
            raise UnsupportedOperationError(error.what) from None
        runner = self._runner()
        if not runner.resume(live, answer):
            runner.start(live, answer)
        return fold.id, offset, None

    # -- reading ---------------------------------------------------------------------------------------------------

    async def subscribe_batches(
        self, params: pb.SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[list[Frame]]:
        """SubscribeToTask: with a cursor what follows it, also after the end; else a snapshot and what follows that."""
        owner = resolve_user_scope(context)
        fold = self._find(owner, params.id)
        cursor = _cursor(context)
        if cursor is not None and fold.opened <= cursor <= self.tasks.session(owner, _context_of(fold.id)).offset:
            after = cursor
            if fold.terminal and fold.offset <= after:
                return
        else:
            if fold.terminal:
                raise UnsupportedOperationError(f"the task {fold.id} has ended; GetTask tells how")
            after = fold.offset
            yield [Frame(after, b'{"task":%b}' % dumps(self.tasks.task_json(owner, fold.id, at=after)))]
        async for batch in self._read(owner, fold.id, after=after):
            yield [_frame(offset, head, stored) for offset, head, stored in batch]
            if batch[-1][1].flags & _STOPS_STREAM:
                return

    def get_json(self, params: pb.GetTaskRequest, context: ServerCallContext) -> dict[str, Any]:
        """GetTask."""
        validate_history_length(params)
        owner = resolve_user_scope(context)
        self._find(owner, params.id)
        return self.tasks.task_json(owner, params.id, history=history_length(params))

    def list_page(self, params: pb.ListTasksRequest, context: ServerCallContext) -> pb.ListTasksResponse:
        """ListTasks: newest status first, with a cursor that stays valid while tasks move."""
        return list_tasks(self.tasks, resolve_user_scope(context), self.agent, params)

    async def _read(self, owner: str, task_id: str, *, after: int) -> AsyncGenerator[list[tuple[int, Head, bytes]]]:
        reader = self.tasks.events(self._topic(owner, task_id), task_id, after)
        try:
            async for batch in reader:
                yield batch
        finally:
            await reader.aclose()

    def _find(self, owner: str, task_id: str) -> TaskFold:
        try:
            fold = self.tasks.find(owner, task_id)
        except (TaskNotFound, BadName):
            raise TaskNotFoundError(f"no task '{task_id}'") from None
        if fold.agent != self.agent or fold.reply is not None:
            raise TaskNotFoundError(f"no task '{task_id}'")
        return fold

    def _topic(self, owner: str, task_id: str) -> str:
        return self.tasks.session(owner, _context_of(task_id)).topic

    # -- the SDK's interface ---------------------------------------------------------------------------------------

    @validate_request_params
    async def on_message_send(self, params: pb.SendMessageRequest, context: ServerCallContext) -> pb.Task | pb.Message:
        """See `send_json`."""
        answer = await self.send_json(params, context)
        if "task" in answer:
            return _filled(answer["task"], pb.Task())
        return _filled(answer["message"], pb.Message())

    @validate_request_params
    async def on_message_send_stream(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Any]:
        """See `stream_batches`."""
        async for event in _parsed(self.stream_batches(params, context)):
            yield event

    @validate_request_params
    async def on_subscribe_to_task(
        self, params: pb.SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Any]:
        """See `subscribe_batches`."""
        async for event in _parsed(self.subscribe_batches(params, context)):
            yield event

    @validate_request_params
    async def on_get_task(self, params: pb.GetTaskRequest, context: ServerCallContext) -> pb.Task:
        """See `get_json`."""
        return _filled(self.get_json(params, context), pb.Task())

    @validate_request_params
    async def on_list_tasks(self, params: pb.ListTasksRequest, context: ServerCallContext) -> pb.ListTasksResponse:
        """See `list_page`."""
        return self.list_page(params, context)

    @validate_request_params
    async def on_cancel_task(self, params: pb.CancelTaskRequest, context: ServerCallContext) -> pb.Task:
        """CancelTask: a task that waits or runs ends CANCELED; the agent is given a moment to end by itself."""
        owner = resolve_user_scope(context)
        fold = self._find(owner, params.id)
        if fold.terminal:
            raise TaskNotCancelableError(f"the task {fold.id} has ended")
        live = self.tasks.live(fold.id)
        if live is None:
            live = self.tasks.revive(self.tasks.directory()[fold.id], fold)
            self.tasks.log.append([(live.topic, live.claim_record())])
        await self._runner().cancel(live)
        task = self.tasks.task_json(owner, fold.id)
        if task["status"]["state"] != CANCELED:
            raise TaskNotCancelableError(f"the task {fold.id} ended before it could be canceled")
        return _filled(task, pb.Task())

    async def on_create_task_push_notification_config(
        self, _params: pb.TaskPushNotificationConfig, _context: ServerCallContext
    ) -> pb.TaskPushNotificationConfig:
        """Refused: the card offers no push."""
        raise PushNotificationNotSupportedError

    async def on_get_task_push_notification_config(
        self, _params: pb.GetTaskPushNotificationConfigRequest, _context: ServerCallContext
    ) -> pb.TaskPushNotificationConfig:
        """Refused: the card offers no push."""
        raise PushNotificationNotSupportedError

    async def on_list_task_push_notification_configs(
        self, _params: pb.ListTaskPushNotificationConfigsRequest, _context: ServerCallContext
    ) -> pb.ListTaskPushNotificationConfigsResponse:
        """Refused: the card offers no push."""
        raise PushNotificationNotSupportedError

    async def on_delete_task_push_notification_config(
        self, _params: pb.DeleteTaskPushNotificationConfigRequest, _context: ServerCallContext
    ) -> None:
        """Refused: the card offers no push."""
        raise PushNotificationNotSupportedError

    async def on_get_extended_agent_card(
        self, _params: pb.GetExtendedAgentCardRequest, _context: ServerCallContext
    ) -> pb.AgentCard:
        """Refused: the card offers no extended one."""
        raise UnsupportedOperationError("this agent has no extended card")


def validated(params: Any) -> Any:
    """`params`, once its required fields are there; for paths that bypass the SDK's decorator."""
    validate_proto_required_fields(params)
    return params


M = TypeVar("M", pb.Task, pb.Message)


def _filled(content: dict[str, Any], message: M) -> M:
    ParseDict(content, message, ignore_unknown_fields=True)
    return message


def _context_of(task_id: str) -> str:
    return task_id.rpartition(".")[0]


def _frame(offset: int, head: Head, stored: bytes) -> Frame:
    body = stored[head.body_at :]
    return Frame(offset, splice(body, offset, head.generation) if head.flags & Flags.SPLICED else body)


def _stamp(topic: str, offset: int, generation: int) -> dict[str, Any]:
    return {LOG_EXTENSION: {"topic": topic, "offset": str(offset), "generation": str(generation)}}


def _limited(task: dict[str, Any], history: int | None) -> dict[str, Any]:
    if history is None:
        return task
    kept = task["history"][-history:] if history else []
    return {key: value for key, value in task.items() if key != "history"} | ({"history": kept} if kept else {})


def _check_output_modes(config: pb.SendMessageConfiguration, card: pb.AgentCard) -> None:
    wanted, offered = set(config.accepted_output_modes), set(card.default_output_modes)
    if wanted and offered and not wanted & offered and not any(mode.endswith("*") for mode in wanted | offered):
        raise ContentTypeNotSupportedError(f"none of {', '.join(sorted(wanted))} is offered by {card.name}")


def _cursor(context: ServerCallContext) -> int | None:
    """The offset after which the caller wants to go on; None where it gives none that could be one."""
    text = str(context.state.get("headers", {}).get("last-event-id", "")).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def _parsed(batches: AsyncGenerator[list[Frame]]) -> AsyncGenerator[Any]:
    """The events as protobuf messages, for the faces that convert them."""
    from google.protobuf.json_format import Parse

    try:
        async for batch in batches:
            for frame in batch:
                response = Parse(frame.body, pb.StreamResponse(), ignore_unknown_fields=True)
                yield getattr(response, cast("str", response.WhichOneof("payload")))
    finally:
        await batches.aclose()
