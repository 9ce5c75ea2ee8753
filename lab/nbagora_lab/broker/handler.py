"""Runs a handler over a consumer's deliveries: in order within a topic, in parallel across topics.

A topic's deliveries go to the handler one after the other, each acked when the handler returns; up to `concurrency`
topics at once. Leases are renewed for as long as the handler lives. A handler that raises fails its delivery, which
comes again after the group's back-off; one that raises `Suspend`, or an HTTP error with status 429 or 503, has its
topic suspended for as long as it, or the error's ``Retry-After``, says, without counting as an attempt unless
it says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from nbagora_lab.broker.delivery import Delivery
from nbagora_lab.core.errors import LabError, LeaseLost, Suspend, UsageError
from nbagora_lab.core.log import logger

if TYPE_CHECKING:
    from nbagora_lab.broker.consumer import Consumer

__all__ = ["Handled", "Handling", "run"]

_log = logger.getChild("broker")
_LONG_POLL = 5.0  # seconds
_PAUSE = 1.0  # seconds to suspend for, where an error names none
_SLICE = 0.2  # seconds after which who waits looks up: for Ctrl-C, and whether handlers are done
_ENDING = 10.0  # seconds that a run has to end in after Ctrl-C; a second one does not wait


class Handled(NamedTuple):
    """What a run did.

    Attributes:
        acked: Deliveries that were handled.
        failed: Those whose handler raised.
        suspended: Times that a topic was suspended.
        lost: Deliveries whose lease was lost before they were done.
    """

    acked: int
    failed: int
    suspended: int
    lost: int


class Handling:
    """A run.

    Args:
        consumer: Where deliveries come from.
        handler: Takes a `Delivery`; a plain function runs in a thread, an async one on the loop. What it returns is
            ignored, but a number, which is the delivery's real cost.
        concurrency: Topics at once.
        idle: Seconds without anything to do after which it ends; None: it ends when it is cancelled.
    """

    def __init__(
        self,
        consumer: Consumer,
        handler: Callable[[Delivery], Any],
        *,
        concurrency: int = 8,
        idle: float | None = None,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"a concurrency of {concurrency}", "it is 1 or more")
        self._consumer = consumer
        self._handler = handler
        self._async = inspect.iscoroutinefunction(handler)
        self._concurrency = concurrency
        self._idle = idle
        self._lease = consumer.lease or consumer.groups.groups()[consumer.group].lease
        self._busy: dict[asyncio.Task[None], list[Delivery]] = {}
        self._counts = {"acked": 0, "failed": 0, "suspended": 0, "lost": 0}
        self._last = 0.0  # when there was something to do, in the loop's time
        self._pool: ThreadPoolExecutor | None = None

    async def run(self) -> Handled:
        """Runs until idle or cancelled; what a cancelled run has out is given back."""
        renewing = asyncio.create_task(self._renew())
        try:
            await self._loop()
        finally:
            renewing.cancel()
            for task in self._busy:
                task.cancel()
            left = [delivery for deliveries in self._busy.values() for delivery in deliveries]
            await asyncio.gather(renewing, *self._busy, return_exceptions=True)
            self._give_back(left)
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
        return Handled(**self._counts)

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        while True:
            free = self._concurrency - len(self._busy)
            if not free:
                await asyncio.wait(self._busy, return_when=asyncio.FIRST_COMPLETED)
                continue
            wait = _LONG_POLL if self._idle is None else min(_LONG_POLL, self._last + self._idle - loop.time())
            batch = await self._consumer.areceive(free, max(wait, _SLICE if self._busy else 0.0))  # a cancel loses none
            by_topic: dict[Any, list[Delivery]] = {}
            for delivery in batch:
                key = delivery.handle if self._consumer.independent else delivery.topic
                by_topic.setdefault(key, []).append(delivery)
            for deliveries in by_topic.values():
                task = asyncio.create_task(self._handle(deliveries))
                self._busy[task] = deliveries
                task.add_done_callback(self._done)
            if self._busy:
                self._last = loop.time()
                await asyncio.sleep(0)  # handlers begin before the next receive does
            elif self._idle is not None and loop.time() - self._last >= self._idle:
                return

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._busy[task]
        self._last = task.get_loop().time()

    async def _handle(self, deliveries: list[Delivery]) -> None:
        consumer = self._consumer
        while deliveries:
            delivery = deliveries[0]
            try:
                result = await self._call(delivery)
                consumer.ack(delivery, cost=float(result) if type(result) in {int, float} else None)
                self._counts["acked"] += 1
            except LeaseLost as lost:
                self._counts["lost"] += 1
                _log.warning("%s of %s: %s", consumer.client, consumer.group, lost.what)
                return
            except asyncio.CancelledError as error:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                self._put_back(delivery, error)  # the handler's own affair
                return
            except Exception as error:  # noqa: BLE001 -- whatever a handler raises concerns its delivery alone
                self._put_back(delivery, error)
                return
            deliveries.pop(0)

    async def _call(self, delivery: Delivery) -> Any:
        if self._async:
            return await self._handler(delivery)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix=f"nbagora-{self._consumer.group}")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._handler, delivery)

    def _give_back(self, deliveries: list[Delivery]) -> None:
        """Ends the leases of a cancelled run as if nothing had been handed out."""
        try:
            self._consumer.release(deliveries)
        except LeaseLost:  # they went back by themselves
            return
        except LabError as error:
            _log.warning("what %s had can't be given back: %s", self._consumer.client, error.what)

    def _put_back(self, delivery: Delivery, error: BaseException) -> None:
        seconds = _asks_to_wait(error, self._consumer.clock.now())
        try:
            if seconds is None:
                self._counts["failed"] += 1
                _log.warning("record %s of %s failed: %r", delivery.offset, delivery.topic, error)
                self._consumer.fail(delivery)
            elif isinstance(error, Suspend) and error.counted:
                self._counts["failed"] += 1
                self._consumer.fail(delivery, pause=seconds)
            else:
                self._counts["suspended"] += 1
                self._consumer.suspend(delivery.topic, seconds)
        except LabError as lost:
            self._counts["lost"] += 1
            _log.warning("%s of %s: %s", self._consumer.client, self._consumer.group, lost.what)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            held = [delivery for deliveries in self._busy.values() for delivery in deliveries]
            if held:
                try:
                    self._consumer.extend(held, self._lease)
                except LeaseLost:  # who handles it is told by its ack
                    continue
                except LabError as error:
                    _log.warning("leases of %s can't be renewed: %s", self._consumer.client, error.what)


def run(
    consumer: Consumer, handler: Callable[[Delivery], Any], *, concurrency: int = 8, idle: float | None = None
) -> Handled:
    """Runs a handler from a thread of its own, also where an event loop runs in this one; Ctrl-C ends it.

    What it waits for is an event: a `Thread.join` that Ctrl-C interrupts takes the thread for ended while it runs
    (CPython up to 3.12 releases its lock), and the run would be left before it has given back what it has.
    """
    handling = Handling(consumer, handler, concurrency=concurrency, idle=idle)
    outcome: list[Handled | BaseException] = []
    ended = threading.Event()
    loop = asyncio.new_event_loop()
    running = loop.create_task(handling.run())

    def work() -> None:
        try:
            outcome.append(loop.run_until_complete(running))
        except BaseException as error:  # noqa: BLE001 -- raised where it was asked for
            outcome.append(error)
        finally:
            loop.close()
            ended.set()

    threading.Thread(target=work, name=f"nbagora-{consumer.group}", daemon=True).start()
    try:
        while not ended.wait(_SLICE):
            pass
    except KeyboardInterrupt:
        with contextlib.suppress(RuntimeError):  # it has just ended by itself
            loop.call_soon_threadsafe(running.cancel)
        ended.wait(_ENDING)
        raise
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _asks_to_wait(error: BaseException, now: float) -> float | None:
    """For how many seconds an error asks to be left alone; None: it asks for nothing."""
    if isinstance(error, Suspend):
        return error.seconds
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) not in {429, 503}:
        return None
    after = str(getattr(response, "headers", {}).get("Retry-After", "")).strip()
    if after.isdigit():
        return float(after)
    try:
        return max(0.0, parsedate_to_datetime(after).timestamp() - now)
    except ValueError:
        return _PAUSE
