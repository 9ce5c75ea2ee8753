"""The service loop: one daemon thread with an event loop of its own, on which all doors and readers live.

A kernel's own loop stands still for as long as a cell runs, so nothing of the lab may live there. anyio's blocking
portal is the model of what stands here; but it waits for the loop before it has even handed a call over, so that on a
loop that somebody's code blocks neither a time-out nor Ctrl-C nor `stop` would be heard, and another loop that hands
work over would stand still as well. Here handing over never waits.

Thread rules: `start`, `stop` and `call` are for other threads; calling them on the loop's own thread would wait for
oneself and raises `WrongThread`. Everything that the loop owns is touched on the loop's thread alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from nbagora_lab.core.errors import NotStarted, StartTimeout, WrongThread
from nbagora_lab.core.log import logger

if TYPE_CHECKING:
    from anyio import CancelScope

__all__ = ["ServiceLoop", "waker"]

T = TypeVar("T")

_SLICE = 0.5  # seconds
_THREADS = 64  # at most; each may wait for a server that is away, and others are not to wait for it

_log = logger.getChild("service")


def waker(event: asyncio.Event) -> Callable[[], None]:
    """What sets an event of the loop that runs here, from any thread; once that loop has closed, it does nothing."""
    loop = asyncio.get_running_loop()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # whoever calls writes, or turns a clock: it is no matter of theirs
            loop.call_soon_threadsafe(event.set)

    return wake


def _uvloop() -> bool:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


def _told(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Writes into the lab's log what asyncio would print."""
    error = context.get("exception")
    _log.error("%s", context["message"], exc_info=error if isinstance(error, BaseException) else None)


def _result(future: Future[T], timeout: float | None) -> T:
    """What the future gives; waits in slices, so that Ctrl-C is heard on every platform and at every moment."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while not future.done():
        left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError
        with contextlib.suppress(TimeoutError):
            return future.result(left)
    return future.result()


def _drop(future: Future[Any]) -> None:
    """Cancels a call that nobody will run, and tells whoever waits for it."""
    future.cancel()
    future.set_running_or_notify_cancel()


class _Life:
    """One life of a loop, from its start to its end; a loop that is started again gets another.

    Attributes:
        ready: Done once the loop runs; cancelled by a starter who waits no more.
        calls: What was handed over and has no result yet.
        thread: The loop's.
        ending: Whether it takes no more calls.
    """

    def __init__(self, name: str) -> None:
        self.ready: Future[None] = Future()
        self.calls: set[Future[Any]] = set()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.ending = False
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._work: set[asyncio.Task[None]] = set()
        self._scopes: set[CancelScope] = set()

    def end(self) -> None:
        """Tells the loop to end; returns at once."""
        self.ending = True
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stopping.set)

    def hand_over(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Future[Any]:
        """Has the loop run a function; returns at once.

        Raises:
            RuntimeError: The loop is closed.
        """
        future: Future[Any] = Future()
        self.calls.add(future)  # first, so that the end of the loop finds it
        future.add_done_callback(self.calls.discard)
        self._loop.call_soon_threadsafe(self._spawn, function, args, future)
        return future

    def _run(self) -> None:
        import anyio

        try:
            anyio.run(self._main, backend_options={"use_uvloop": _uvloop()})
        except BaseException as error:  # noqa: BLE001 -- told to whoever waits; a thread has no caller
            if not self.ready.done():
                self.ready.set_exception(error)
            elif not self.ready.cancelled():
                _log.error("%s ended by itself: %r", self.thread.name, error)
        finally:
            self.ending = True
            for future in list(self.calls):  # nobody will run them any more
                _drop(future)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if not self.ready.set_running_or_notify_cancel():
            return
        self._loop.set_exception_handler(_told)
        self._loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="asyncio"))
        self.ready.set_result(None)
        await self._stopping.wait()
        for scope in self._scopes:
            scope.cancel()
        if self._work:
            await asyncio.wait(self._work)

    def _spawn(self, function: Callable[..., Any], args: tuple[Any, ...], future: Future[Any]) -> None:
        task = self._loop.create_task(self._serve(function, args, future), name=self.thread.name)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _serve(self, function: Callable[..., Any], args: tuple[Any, ...], future: Future[Any]) -> None:
        from anyio import CancelScope

        if self._stopping.is_set() or future.cancelled():
            _drop(future)
            return
        scope = CancelScope()

        def cancelled(_: Future[Any]) -> None:
            if future.cancelled():
                with contextlib.suppress(RuntimeError):  # the loop has ended, and the work with it
                    self._loop.call_soon_threadsafe(scope.cancel)

        result: Any = None
        try:
            self._scopes.add(scope)
            with scope:
                future.add_done_callback(cancelled)
                result = function(*args)
                if inspect.isawaitable(result):
                    result = await result
            if scope.cancelled_caught:  # the future was cancelled, or the loop ends
                future.cancel()
        except asyncio.CancelledError:  # the work gave up on itself
            future.cancel()
        except BaseException as error:  # noqa: BLE001 -- the caller's; a SystemExit here would end everybody's loop
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            return
        finally:
            self._scopes.discard(scope)
        if future.set_running_or_notify_cancel():
            future.set_result(result)


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
        True
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._life: _Life | None = None
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether the loop takes calls."""
        life = self._life
        return life is not None and not life.ending

    @property
    def thread_id(self) -> int | None:
        """Identifier of the loop's thread (`threading.get_ident`), None while it is stopped."""
        life = self._life
        return life.thread.ident if life is not None else None

    def start(self, timeout: float = 10.0) -> None:
        """Starts the thread and returns once its loop runs; a second start does nothing.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            StartTimeout: The thread died before its loop ran, or was too slow.
            WrongThread: Called on the loop's own thread.
        """
        self._refuse_own_thread("start")
        with self._lock:
            if self.running:
                return
            life = _Life(self.name)
            try:
                life.thread.start()
                with contextlib.suppress(Exception):  # looked at below
                    _result(life.ready, timeout)
            except BaseException:  # Ctrl-C
                if not life.ready.cancel():
                    life.end()
                raise
            if life.ready.cancel():  # from here on the thread ends as soon as it can
                raise StartTimeout(f"{self.name} was not ready after {timeout} s", "see %lab status")
            if (error := life.ready.exception()) is not None:
                raise StartTimeout(f"{self.name} ended as it started: {error!r}", "see %lab status") from error
            self._life = life

    def stop(self, timeout: float | None = None) -> bool:
        """Cancels what still runs on the loop, ends the thread and waits for it; a second stop does nothing.

        Args:
            timeout: Seconds to wait for a loop that somebody blocks; None waits for as long as it takes.

        Returns:
            Whether the thread has ended; False leaves it behind, as a daemon that ends when it is let.

        Raises:
            WrongThread: Called on the loop's own thread.
        """
        self._refuse_own_thread("stop")
        with self._lock:
            life = self._life
            if life is None:
                return True
            life.end()
            life.thread.join(timeout)
            self._life = None
            return not life.thread.is_alive()

    @overload
    def call(self, function: Callable[..., Awaitable[T]], *args: Any, timeout: float | None = None) -> T: ...
    @overload
    def call(self, function: Callable[..., T], *args: Any, timeout: float | None = None) -> T: ...
    def call(self, function: Any, *args: Any, timeout: float | None = None) -> Any:
        """Runs a function or coroutine function on the loop and waits for what it returns.

        Ctrl-C, or the time-out, cancels it there; what has not begun by then never does.

        Args:
            function: What to run; an awaitable that it returns is awaited on the loop.
            args: Its positional arguments.
            timeout: Seconds to wait at most; None waits for as long as it takes.

        Raises:
            NotStarted: The loop does not run, or ended before the function had.
            WrongThread: Called on the loop's own thread.
            TimeoutError: `timeout` ran out.
        """
        self._refuse_own_thread("call")
        life = self._taking()
        future = self._hand_over(life, function, args)
        try:
            return _result(future, timeout)
        except CancelledError:
            if not life.ending:
                raise
            raise NotStarted(f"{self.name} stopped before the call had ended", "start it with %lab start") from None
        except BaseException:
            future.cancel()
            raise

    @overload
    def submit(self, function: Callable[..., Awaitable[T]], *args: Any) -> Future[T]: ...
    @overload
    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]: ...
    def submit(self, function: Any, *args: Any) -> Future[Any]:
        """Has the loop run a function or coroutine function and returns at once, from any thread.

        Returns:
            A future whose cancellation cancels the work, and which is cancelled when the loop ends first.

        Raises:
            NotStarted: The loop does not run.
        """
        return self._hand_over(self._taking(), function, args)

    def iterate(self, values: AsyncGenerator[T]) -> Iterator[T]:
        """The values of an async generator that runs on the loop, for a caller in another thread.

        It runs up to 256 values ahead of the caller. Leaving the iteration closes it.
        """
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

    def _taking(self) -> _Life:
        life = self._life
        if life is None or life.ending:
            raise NotStarted(f"{self.name} is not running", "start it with %lab start")
        return life

    def _hand_over(self, life: _Life, function: Callable[..., Any], args: tuple[Any, ...]) -> Future[Any]:
        try:
            return life.hand_over(function, args)
        except RuntimeError as error:  # the loop was closed in between
            raise NotStarted(f"{self.name} has stopped", "start it with %lab start") from error

    def _refuse_own_thread(self, verb: str) -> None:
        if self.thread_id == threading.get_ident():
            raise WrongThread(
                f"{verb} on {self.name}'s own thread would wait for itself", "await the coroutine there instead"
            )
