"""The operations that read: a task's stream from where a caller is, a task as it stands, pages of tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import validate_request_params
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import UnsupportedOperationError
from a2a.utils.task import validate_history_length

from nbagora_lab.a2a.frames import Frame, frame_of, parsed, task_frame
from nbagora_lab.a2a.listing import list_tasks
from nbagora_lab.a2a.protojson import filled
from nbagora_lab.a2a.pushing import PushOperations
from nbagora_lab.a2a.requests import SHOWN, cursor_of, history_length
from nbagora_lab.a2a.sessions import context_of
from nbagora_lab.core.events import Flags, Head

__all__ = ["STOPS_STREAM", "ReadOperations"]

STOPS_STREAM = Flags.TERMINAL | Flags.MESSAGE


class ReadOperations(PushOperations):
    """What may be read of an agent's tasks.

    Attributes:
        agent: Name of the agent.
    """

    agent: str

    async def subscribe_batches(
        self, params: pb.SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[list[Frame]]:
        """SubscribeToTask: with a cursor what follows it, also after the end; else a snapshot and what follows that.

        The first batch comes at once, as in `stream_batches`.
        """
        owner = self._owner(context)
        if (found := await self.aside(partial(self._subscription, owner, params.id, cursor_of(context)))) is None:
            return
        after, snapshot, ended = found
        yield [snapshot] if snapshot is not None else []
        if ended:
            return
        async for batch in self._read(owner, params.id, after=after):
            yield [frame_of(offset, head, stored) for offset, head, stored in batch]
            if batch[-1][1].flags & STOPS_STREAM:
                return

    def _subscription(self, owner: str, task_id: str, cursor: int | None) -> tuple[int, Frame | None, bool] | None:
        """Where a subscriber goes on, what it is given first, and whether that is all; None where nothing follows."""
        with self.tasks.lock:  # an end that another thread folds in between would never be waited for in vain
            fold = self._find(owner, task_id)
            topic = self.tasks.topic(owner, task_id)
            gap = None
            if cursor is not None and fold.opened <= cursor <= self.tasks.session(owner, context_of(task_id)).offset:
                if fold.terminal and fold.offset <= cursor:
                    return None
                if (first := self.tasks.log.info(topic).first) <= cursor + 1:
                    return cursor, None, False
                gap = cursor, first  # what came between is kept no more
            elif fold.terminal:
                raise UnsupportedOperationError(f"the task {task_id} has ended; GetTask tells how")
            # as it is folded, and not up to now: what came since is told after it
            task = fold.stamped(topic, gap=gap, history=SHOWN)
            return fold.offset, task_frame(fold.offset, task), fold.terminal

    async def newer(self, task_id: str, context: ServerCallContext) -> None:
        """Waits for a newer generation than the caller says that it knows, if it does."""
        if (known := context.state.get("known_generation")) is not None:
            owner = self._owner(context)
            await self.tasks.newer(await self.found(owner, task_id), owner, known)

    async def get_json(self, params: pb.GetTaskRequest, context: ServerCallContext) -> dict[str, Any]:
        """GetTask."""
        validate_history_length(params)
        return await self.aside(partial(self._told, self._owner(context), params.id, history_length(params)))

    def _told(self, owner: str, task_id: str, history: int) -> dict[str, Any]:
        self._find(owner, task_id)
        return self.tasks.task_json(owner, task_id, history=history)

    async def _read(self, owner: str, task_id: str, *, after: int) -> AsyncGenerator[list[tuple[int, Head, bytes]]]:
        reader = self.tasks.events(owner, task_id, after)
        try:
            async for batch in reader:
                yield batch
        finally:
            await reader.aclose()

    @validate_request_params
    async def on_subscribe_to_task(
        self, params: pb.SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Any]:
        """See `subscribe_batches`."""
        async for event in parsed(self.subscribe_batches(params, context)):
            yield event

    @validate_request_params
    async def on_get_task(self, params: pb.GetTaskRequest, context: ServerCallContext) -> pb.Task:
        """See `get_json`."""
        return filled(await self.get_json(params, context), pb.Task())

    @validate_request_params
    async def on_list_tasks(self, params: pb.ListTasksRequest, context: ServerCallContext) -> pb.ListTasksResponse:
        """ListTasks: newest status first, with a cursor that stays valid while tasks move."""
        return await self.aside(partial(list_tasks, self.tasks, self._owner(context), self.agent, params))
