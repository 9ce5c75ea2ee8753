"""The service loop: one daemon thread with an event loop of its own, on which all doors and readers live.

A kernel's own loop stands still for as long as a cell runs, so nothing of the lab may live there. The thread is
anyio's blocking portal; what is added here is a name, a bounded life, and errors that say what to do.

Thread rules: `start`, `stop` and `call` are for other threads; calling them on the loop's own thread would wait for
oneself and raises `WrongThread`. Everything that the loop owns is touched on the loop's thread alone.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from nbagora_lab.core.errors import NotStarted, StartTimeout, WrongThread

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

__all__ = ["ServiceLoop"]

T = TypeVar("T")


def _uvloop() -> bool:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


class ServiceLoop:
    """An event loop on a daemon thread.

    Args:
        name: Name of the thread, as debuggers and `%lab status` show it.

    Example:
        >>> loop = ServiceLoop("example")
        >>> loop.start()
        >>> async def double(x): return 2 * x
        >>> loop.call(double, 21)
        42
        >>> loop.stop()
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._portal: BlockingPortal | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether the loop takes calls."""
        return self._portal is not None

    @property
    def thread_id(self) -> int | None:
        """Identifier of the loop's thread (`threading.get_ident`), None while it is stopped."""
        return self._thread.ident if self._thread is not None else None

    def start(self, timeout: float = 10.0) -> None:
        """Starts the thread and returns once its loop runs; a second start does nothing.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            StartTimeout: The thread died before its loop ran, or was too slow.
        """
        import anyio
        from anyio.from_thread import BlockingPortal

        with self._lock:
            if self._portal is not None:
                return
            ready: Future[BlockingPortal] = Future()

            async def main() -> None:
                async with BlockingPortal() as portal:
                    ready.set_result(portal)
                    await portal.sleep_until_stopped()

            def run() -> None:
                try:
                    anyio.run(main, backend_options={"use_uvloop": _uvloop()})
                except BaseException as error:  # noqa: BLE001 -- told to whoever waits; a thread has no caller
                    if not ready.done():
                        ready.set_exception(error)

            thread = threading.Thread(target=run, name=self.name, daemon=True)
            thread.start()
            try:
                self._portal = ready.result(timeout)
            except TimeoutError:
                raise StartTimeout(f"{self.name} was not ready after {timeout} s", "see %lab status") from None
            except Exception as error:
                raise StartTimeout(f"{self.name} ended as it started: {error}", "see %lab status") from error
            self._thread = thread

    def stop(self, timeout: float | None = None) -> bool:
        """Cancels what still runs on the loop, ends the thread and waits for it; a second stop does nothing.

        Args:
            timeout: Seconds to wait for a loop that somebody blocks; None waits for as long as it takes.

        Returns:
            Whether the thread has ended; False leaves it behind, as a daemon.
        """
        self._refuse_own_thread("stop")
        with self._lock:
            if self._portal is None or self._thread is None:
                return True
            portal, thread = self._portal, self._thread
            self._portal = None
            with contextlib.suppress(RuntimeError):  # its loop has ended by itself
                portal.start_task_soon(portal.stop, True)
            thread.join(timeout)
            self._thread = None
            return not thread.is_alive()

    @overload
    def call(self, function: Callable[..., Awaitable[T]], *args: Any, timeout: float | None = None) -> T: ...
    @overload
    def call(self, function: Callable[..., T], *args: Any, timeout: float | None = None) -> T: ...
    def call(self, function: Any, *args: Any, timeout: float | None = None) -> Any:
        """Runs a function or coroutine function on the loop and waits for what it returns.

        Ctrl-C, or the time-out, cancels it there.

        Args:
            function: What to run; an awaitable that it returns is awaited on the loop.
            args: Its positional arguments.
            timeout: Seconds to wait at most; None waits for as long as it takes.

        Raises:
            NotStarted: The loop does not run.
            WrongThread: Called on the loop's own thread.
            TimeoutError: `timeout` ran out.
        """
        self._refuse_own_thread("call")
        future = self.submit(function, *args)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    @overload
    def submit(self, function: Callable[..., Awaitable[T]], *args: Any) -> Future[T]: ...
    @overload
    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]: ...
    def submit(self, function: Any, *args: Any) -> Future[Any]:
        """Runs a function or coroutine function on the loop and returns at once.

        Returns:
            A future whose cancellation cancels the work.

        Raises:
            NotStarted: The loop does not run.
        """
        portal = self._portal
        if portal is None:
            raise NotStarted(f"{self.name} is not running", "start it with %lab start")
        try:
            future: Future[Any] = portal.start_task_soon(function, *args)
        except RuntimeError as error:  # the portal was stopped in between
            raise NotStarted(f"{self.name} has stopped", "start it with %lab start") from error
        return future

    def iterate(self, values: AsyncGenerator[T]) -> Iterator[T]:
        """The values of an async generator that runs on the loop, for a caller in another thread.

        It runs up to 256 values ahead of the caller. Leaving the iteration closes it.
        """
        import asyncio

        end = object()
        queue: asyncio.Queue[object] = asyncio.Queue(256)

        async def pump() -> None:
            try:
                async for value in values:
                    await queue.put(value)
            finally:
                await values.aclose()
                await queue.put(end)

        async def pull() -> list[object]:
            batch = [await queue.get()]
            while not queue.empty():
                batch.append(queue.get_nowait())
            return batch

        pumping = self.submit(pump)
        try:
            while True:
                for value in self.call(pull):
                    if value is end:
                        pumping.result()  # raises what ended it
                        return
                    yield cast("T", value)
        finally:
            pumping.cancel()

    def _refuse_own_thread(self, verb: str) -> None:
        if self.thread_id == threading.get_ident():
            raise WrongThread(
                f"{verb} on {self.name}'s own thread would wait for itself", "await the coroutine there instead"
            )
