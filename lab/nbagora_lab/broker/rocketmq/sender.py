"""Sends records by the official client: one in flight a lite topic, many topics at once, again where that is safe.

With many sends of one topic in flight the server stores them out of order, so the next one of a topic goes out when the
one before is stored. A send whose outcome nobody knows is sent again under the same id; readers leave out the second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from nbagora_lab.broker.rocketmq.official import client
from nbagora_lab.broker.rocketmq.packing import ID, packed
from nbagora_lab.core.errors import Forbidden, LabError, QuotaExceeded, ServerGone, StoreClosed, StoreError, TooLarge
from nbagora_lab.core.log import logger

__all__ = ["Sender"]

_log = logger.getChild("broker")
_PAUSES = (0.05, 0.2, 0.5, 1.0)  # seconds between tries; the last one repeats
_SURE = 3  # refusals in a row, while the broker answers, that are believed


class Sender:
    """The producer of a lab.

    Args:
        endpoints: ``host:port`` of the proxy.
        access_key: User, where the servers want one.
        secret_key: Its password.
        patience: Seconds that a send is tried again while servers are away.
        alive: Whether the servers answer now, as far as they can be asked.

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
        self._producer = rocketmq.Producer(self.configuration, ())
        try:
            self._producer.startup()
        except Exception as error:  # noqa: BLE001 -- the client raises what it likes
            raise self._mapped(error) from None

    def start(self, topic: str, lite: str, stored: bytes, number: str) -> Future[Any]:
        """Begins to send a record; names as they are spelt there.

        Args:
            topic: The parent.
            lite: The lite topic.
            stored: The record.
            number: The message's id over all tries.
        """
        message = client().Message()
        body, properties = packed(stored)
        message.topic, message.lite_topic, message.body = topic, lite, body
        for name, value in properties.items():
            message.add_property(name, value)
        message.add_property(ID, number)
        try:
            future: Future[Any] = self._producer.send_async(message)
        except Exception as error:  # noqa: BLE001 -- the client finds some of it out by itself
            future = Future()
            future.set_exception(error)
        return future

    def finish(self, future: Future[Any], again: Callable[[], Future[Any]], stored: Callable[[], bool]) -> None:
        """Waits until a send is stored, and sends again while the servers are away.

        Args:
            future: What `start` gave.
            again: Starts the same once more.
            stored: Whether it was seen to be stored.

        Raises:
            LabError: It is refused, or the servers are away for longer than a lab has patience.
        """
        deadline, tries, refusals = time.monotonic() + self._patience, 0, 0
        while True:
            try:
                future.result(timeout=self._patience + 10)
                return
            except Exception as failure:  # noqa: BLE001 -- gRPC's, asyncio's and the client's own
                error = failure
            if stored():
                return
            mapped = self._mapped(error)
            if self._closed:
                raise StoreClosed("the lab is stopping", "what was not acknowledged was not sent")
            new = type(error).__name__ == "NotFoundException"  # a proxy learns of a new topic with some delay
            refusals = refusals + 1 if not new and self._alive() else 0
            final = isinstance(mapped, (Forbidden, QuotaExceeded, TooLarge))
            if final or refusals >= _SURE or time.monotonic() > deadline:
                raise mapped from None
            if not tries:
                _log.warning("%s; sending again for up to %g s", mapped.what, self._patience)
            time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1
            future = again()

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
            return QuotaExceeded(
                f"{where} holds as many lite topics as it may: {text}",
                "raise maxLmqConsumeQueueNum in its broker.conf, or let topics end sooner",
            )
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
            "see that broker and proxy run: scripts/engines status; the setting rocketmq names them",
        )
