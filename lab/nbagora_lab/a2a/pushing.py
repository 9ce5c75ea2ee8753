"""The four operations on a task's webhooks; what tells them is the outbox's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import RequestHandler, validate_request_params
from a2a.server.tasks.push_notification_config_store import normalize_push_notification_config
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError, PushNotificationNotSupportedError, TaskNotFoundError

from nbagora_lab.a2a.protojson import filled, written
from nbagora_lab.a2a.requests import validated
from nbagora_lab.broker.tail import aside
from nbagora_lab.core.errors import UsageError

if TYPE_CHECKING:
    from nbagora_lab.a2a.outbox import Outbox
    from nbagora_lab.a2a.tasklog import TaskLog
    from nbagora_lab.inspect.fold import TaskFold

__all__ = ["PushOperations"]

T = TypeVar("T")

_PAGE = 100
_WEBHOOKS = 20  # of one task


class PushOperations(RequestHandler):
    """Webhooks of an agent's tasks.

    Attributes:
        tasks: The task log.
        outbox: What tells webhooks; None where the agent offers no push.
    """

    tasks: TaskLog
    outbox: Outbox | None

    def _owner(self, context: ServerCallContext) -> str:
        """Who calls, whose request is one that may be answered at all."""
        raise NotImplementedError

    def _find(self, owner: str, task_id: str) -> TaskFold:
        """An owner's task of this agent."""
        raise NotImplementedError

    async def aside(self, do: Callable[[], T]) -> T:
        """Does what reads or writes the log, so that the doors go on; see `broker.tail.aside`."""
        return await aside(self.tasks.log, do)

    async def found(self, owner: str, task_id: str) -> TaskFold:
        """See `_find`."""
        return await self.aside(partial(self._find, owner, task_id))

    async def checked_config(self, config: pb.TaskPushNotificationConfig, task_id: str) -> dict[str, Any]:
        """A configuration that may be taken, as ProtoJSON.

        Raises:
            PushNotificationNotSupportedError: The agent offers no push.
            InvalidParamsError: Its URL leads where it may not, or a header can't hold its credentials.
        """
        if self.outbox is None:
            raise PushNotificationNotSupportedError
        content: dict[str, Any] = written(normalize_push_notification_config(task_id, config))
        authentication = content.get("authentication", {})
        for text in (content.get("token", ""), *authentication.values()):
            if not (text.isascii() and text.isprintable()) or len(text) > 8192:
                raise InvalidParamsError("a webhook's token, scheme and credentials are printable ASCII")
        try:
            await self.outbox.hooks.admit(content.get("url", ""))
        except UsageError as error:
            raise InvalidParamsError(f"{error.what}; {error.hint}") from None
        return content

    @validate_request_params
    async def on_create_task_push_notification_config(
        self, params: pb.TaskPushNotificationConfig, context: ServerCallContext
    ) -> pb.TaskPushNotificationConfig:
        """CreateTaskPushNotificationConfig: the webhook is told what comes from now on; the same id takes its place."""
        owner = self._owner(context)
        outbox = self._outbox()
        await self.found(owner, params.task_id)
        config = await self.checked_config(params, params.task_id)
        live = self.tasks.live(params.task_id)
        fold = await self.found(owner, params.task_id)
        if len(fold.webhooks) >= _WEBHOOKS and config["id"] not in fold.webhooks:
            raise InvalidParamsError(f"the task has {_WEBHOOKS} webhooks, which is the limit")
        topic = self.tasks.topic(owner, fold.id)

        def add() -> None:
            records = [outbox.removed(live, fold, config["id"]), outbox.added(live, fold.id, config)]
            self.tasks.log.append([(topic, record) for record in records if record is not None])

        await self.aside(add)
        return self._shown(await self.found(owner, fold.id), config["id"])

    async def on_get_task_push_notification_config(
        self, params: pb.GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> pb.TaskPushNotificationConfig:
        """GetTaskPushNotificationConfig; 0.3 may leave out the id, and means the newest."""
        self._outbox()
        old = context.state.get("headers", {}).get("a2a-version", "") in {"", "0.3"}
        if params.id or not old:
            validated(params)
        fold = await self.found(self._owner(context), params.task_id)
        return self._shown(fold, params.id or next(reversed(fold.webhooks), ""))

    @validate_request_params
    async def on_list_task_push_notification_configs(
        self, params: pb.ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> pb.ListTaskPushNotificationConfigsResponse:
        """ListTaskPushNotificationConfigs: oldest first; a page's token is the last one's id."""
        self._outbox()
        fold = await self.found(self._owner(context), params.task_id)
        ids = list(fold.webhooks)
        if params.page_token:
            if params.page_token not in fold.webhooks:
                raise InvalidParamsError("the page token is not one of this task's")
            ids = ids[ids.index(params.page_token) + 1 :]
        size = params.page_size or _PAGE
        if not 1 <= size <= _PAGE:
            raise InvalidParamsError(f"the page size is 1 to {_PAGE}")
        page = ids[:size]
        return pb.ListTaskPushNotificationConfigsResponse(
            configs=[self._shown(fold, one) for one in page], next_page_token=page[-1] if len(ids) > size else ""
        )

    @validate_request_params
    async def on_delete_task_push_notification_config(
        self, params: pb.DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        """DeleteTaskPushNotificationConfig: one that is not there does no harm."""
        owner = self._owner(context)
        outbox = self._outbox()
        fold = await self.found(owner, params.task_id)
        record = outbox.removed(self.tasks.live(fold.id), fold, params.id)
        if record is not None:
            entries = [(self.tasks.topic(owner, fold.id), record)]
            await self.aside(lambda: self.tasks.log.append(entries))

    def _outbox(self) -> Outbox:
        if self.outbox is None:
            raise PushNotificationNotSupportedError
        return self.outbox

    def _shown(self, fold: TaskFold, config_id: str) -> pb.TaskPushNotificationConfig:
        config = fold.webhooks.get(config_id)
        if config is None:
            raise TaskNotFoundError(f"the task {fold.id} has no push notification config '{config_id}'")
        return filled(self._outbox().shown(fold, config), pb.TaskPushNotificationConfig(), strict=True)
