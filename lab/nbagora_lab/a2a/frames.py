"""Events on their way out: stored bodies with their place put in, and the same parsed for the faces that convert."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, NamedTuple, cast

from a2a.types import a2a_pb2 as pb

from nbagora_lab.a2a.wire import dumps, splice
from nbagora_lab.core.events import Flags, Head

__all__ = ["Frame", "frame_of", "parsed", "task_frame"]


class Frame(NamedTuple):
    """One event on its way out.

    Attributes:
        offset: Its place on the session topic: the SSE id.
        body: JSON of the `StreamResponse`.
    """

    offset: int
    body: bytes


def frame_of(offset: int, head: Head, stored: bytes) -> Frame:
    """A stored event as it goes out."""
    body = stored[head.body_at :]
    return Frame(offset, splice(body, offset, head.generation) if head.flags & Flags.SPLICED else body)


def task_frame(offset: int, task: dict[str, Any]) -> Frame:
    """A task as it stands at `offset`, with which a stream opens."""
    return Frame(offset, b'{"task":%b}' % dumps(task))


async def parsed(batches: AsyncGenerator[list[Frame]]) -> AsyncGenerator[Any]:
    """The events as protobuf messages, for the faces that convert them."""
    from google.protobuf.json_format import Parse

    try:
        async for batch in batches:
            for frame in batch:
                response = Parse(frame.body, pb.StreamResponse(), ignore_unknown_fields=True)
                yield getattr(response, cast("str", response.WhichOneof("payload")))
    finally:
        await batches.aclose()
