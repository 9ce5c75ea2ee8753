"""Sends records by the official client: one in flight a lite topic, many topics at once, again where that is safe.

With many sends of one topic in flight the server stores them out of order, so the next one of a topic goes out when the
one before is stored. A send whose outcome nobody knows is sent again under the same id; readers leave out the second.
One that came to another broker than its topic is on (`owners`) is sent again, too, once all brokers are there.
All of a call's sends are one task on the client's own loop, so that a thread waits once and not for each of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from nbagora_lab.broker.rocketmq.cluster import no_room
from nbagora_lab.broker.rocketmq.official import client, producer
from nbagora_lab.broker.rocketmq.packing import ID, ON, packed
from nbagora_lab.core.errors import Forbidden, LabError, QuotaExceeded, ServerGone, StoreClosed, StoreError, TooLarge
from nbagora_lab.core.log import logger

__all__ = ["Send", "Sender"]

_log = logger.getChild("broker")
_PAUSES = (0.05, 0.2, 0.5, 1.0)  # seconds between tries; the last one repeats
_PASSING = {"NotFoundException", "TooManyRequestsException"}
"""What passes by itself: a proxy learns of a new topic with some delay, a broker that is behind refuses for a while."""
_ASTRAY = 2.0  # seconds until what came to the wrong broker is sent again; a proxy looks for brokers every 20 s
_SURE = 3  # refusals in a row, while the brokers answer, that are believed
_WINDOW = 128  # sends of a call in flight: what waits longer in the client than its time-out counts as failed
_Given = TypeVar("_Given")


class Send(NamedTuple):
    """A record to be sent; names as they are spelt there.

    Attributes:
        topic: The parent.
        lite: The lite topic.
        stored: The record.
        number: The message's id over all tries.
        seen: Whether it was seen to be stored.
        home: Which broker its topic is on; None where there is but one.
        arrived: Whether it came there; waits until that is known. None likewise.
    """

    topic: str
    lite: str
    stored: bytes
    number: str
    seen: Callable[[], bool]
    home: Callable[[], Awaitable[str]] | None = None
    arrived: Callable[[], Awaitable[bool]] | None = None


class Sender:
    """The producer of a lab.

    Args:
        endpoints: ``host:port`` of the proxy.
        access_key: User, where the servers want one.
        secret_key: Its password.
        patience: Seconds that a send is tried again while servers are away.
        alive: Whether the brokers answer now, as far as they can be asked.

    Raises:
        ServerGone: The proxy can't be reached.
        Unsupported: The client is not installed.
    """

    def __init__(
        self, endpoints: str, *, access_key: str, secret_key: str, patience: float, alive: Callable[[], bool]
    ) -> None:
        self._endpoints = endpoints
        self._patience = patience
        self._alive = alive
        self._closed = False
        rocketmq = client()
        self.configuration = rocketmq.ClientConfiguration(endpoints, rocketmq.Credentials(access_key, secret_key), "")
        try:
            self._producer = producer(self.configuration)
        except Exception as error:  # noqa: BLE001 -- the client raises what it likes
            raise self._mapped(error) from None

    def send(self, chains: Sequence[Sequence[Send]]) -> None:
        """Sends records and returns once all are stored: those of a chain one after the other, chains side by side.

        Raises:
            LabError: One is refused, or the servers are away for longer than a lab has patience. Those behind it in
                its chain were not sent, nor those of chains that had not begun.
        """
        running = asyncio.run_coroutine_threadsafe(self._send_all(chains), self._producer.loop)
        try:
            running.result()
        finally:
            running.cancel()  # where this thread was interrupted

    async def _send_all(self, chains: Sequence[Sequence[Send]]) -> None:
        waiting = iter(chains)
        failures: list[LabError] = []
        lanes = [self._send_some(waiting, failures) for _ in range(min(_WINDOW, len(chains)))]
        await (lanes[0] if len(lanes) == 1 else asyncio.gather(*lanes))
        if failures:
            raise failures[0]

    async def _send_some(self, waiting: Iterable[Sequence[Send]], failures: list[LabError]) -> None:
        for chain in waiting:
            try:
                for one in chain:
                    await self._send(one)
            except LabError as error:
                failures.append(error)
            if failures:
                return

    async def _send(self, one: Send) -> None:
        """Sends a record, again while that may help."""
        began, tries, refusals, astray = time.monotonic(), 0, 0, ""
        while True:
            error, astray = await self._try(one, astray)
            if error is None or one.seen():
                return
            mapped = self._mapped(error)
            if self._closed:
                raise StoreClosed("the lab is stopping", "what was not acknowledged was not sent")
            refused = _answered(error) and type(error).__name__ not in _PASSING
            alive = refused and await self._aside(self._alive)
            refusals = refusals + 1 if alive else 0
            final = isinstance(mapped, (Forbidden, QuotaExceeded, TooLarge))
            if final or refusals >= _SURE or time.monotonic() > began + self._patience:
                raise mapped from None
            if not tries:
                _log.warning("%s; sending again for up to %g s", mapped.what, self._patience)
            await asyncio.sleep(_ASTRAY if astray else _PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1

    async def _try(self, one: Send, astray: str) -> tuple[Exception | None, str]:
        """Sends a record once.

        Args:
            one: The record.
            astray: The broker that its topic is on, where it came to another one before.

        Returns:
            What went wrong, if anything, and the same of this time.
        """
        try:
            if astray and not await self._aside(self._alive):
                return self._misplaced(one, astray), astray
            home = await one.home() if one.home is not None else ""
            await self._producer.deliver(_message(one, home))
            if one.arrived is None or await one.arrived():
                return None, ""
        except Exception as error:  # noqa: BLE001 -- gRPC's, asyncio's and the client's own
            return error, astray
        return self._misplaced(one, home), home

    async def _aside(self, look: Callable[[], _Given]) -> _Given:
        """What takes its time, off the client's loop."""
        return await self._producer.loop.run_in_executor(None, look)  # type: ignore[no-any-return]

    def _misplaced(self, one: Send, home: str) -> ServerGone:
        return ServerGone(
            f"RocketMQ at {self._endpoints} puts messages of {one.topic}/{one.lite} elsewhere than on {home}, "
            "where the topic is",
            f"see that {home} runs and that the proxy knows it: scripts/engines status",
        )

    def close(self) -> None:
        """Ends it; what is in flight fails."""
        self._closed = True
        try:
            self._producer.shutdown()
        except Exception as error:  # noqa: BLE001 -- it has nothing left that matters
            _log.debug("the producer did not end well: %s", error)

    def _mapped(self, error: BaseException) -> LabError:
        """The client's error as one of ours."""
        kind, text = type(error).__name__, " ".join(str(error).split())[:200]
        where = f"RocketMQ at {self._endpoints}"
        if isinstance(error, LabError):
            return error
        if kind in {"UnauthorizedException", "ForbiddenException"} or "uthenticat" in text:
            return Forbidden(
                f"{where} refuses the credentials: {text}",
                "set NBAGORA_ROCKETMQ_ACCESS_KEY and NBAGORA_ROCKETMQ_SECRET_KEY to a user that may do so",
            )
        if kind == "LiteTopicQuotaExceededException":
            return no_room(where, text)
        if kind == "PayloadTooLargeException" or "size exceeds" in text:
            return TooLarge(
                f"{where} takes no message of that size: {text}",
                "raise maxMessageSize in broker.conf and rmq-proxy.json, or lower the setting record_limit",
            )
        if kind == "IllegalArgumentException" and "not match" in text:
            return StoreError(
                f"a topic at {where} is not of type LITE: {text}",
                "a type can't be changed: take another setting lab_id, or remove that topic",
            )
        return ServerGone(
            f"{where} does not take messages: {kind}{f': {text}' if text else ''}",
            "see that broker and proxy run and have disk left: scripts/engines status; the setting rocketmq names them",
        )


def _answered(error: Exception) -> bool:
    """Whether a server, or the client itself, refused it; else nobody answered, and the proxy may be away."""
    return isinstance(getattr(error, "code", None), int) or type(error).__name__ == "IllegalArgumentException"


def _message(one: Send, home: str) -> Any:
    message = client().Message()
    body, properties = packed(one.stored)
    message.topic, message.lite_topic, message.body = one.topic, one.lite, body
    for name, value in properties.items():
        message.add_property(name, value)
    message.add_property(ID, one.number)
    if home:
        message.add_property(ON, home)
    return message
