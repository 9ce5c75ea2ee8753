"""A loop on a thread of its own: every corner of its life, and of the calls that are made to it."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import os
import signal
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import CancelledError, Future, wait

import anyio
import pytest

from nbagora_lab.core import service
from nbagora_lab.core.errors import NotStarted, StartTimeout, WrongThread
from nbagora_lab.core.log import RingLog
from nbagora_lab.core.service import ServiceLoop

NAME = "nbagora-test"
PATIENCE = 20.0
"""Seconds after which a test gives up; none waits so long when all is well."""


@pytest.fixture
def loop() -> Iterator[ServiceLoop]:
    loop = ServiceLoop(NAME)
    loop.start()
    yield loop
    loop.stop()


@pytest.fixture
def ring() -> Iterator[RingLog]:
    ring = RingLog()
    ring.install()
    yield ring
    ring.uninstall()


class Blocked:
    """Work that blocks the loop's thread until it is released."""

    def __init__(self, loop: ServiceLoop) -> None:
        self.began, self.released = threading.Event(), threading.Event()
        self.future = loop.submit(self._block)
        assert self.began.wait(PATIENCE)

    def _block(self) -> None:
        self.began.set()
        assert self.released.wait(PATIENCE)


class Forever:
    """Work that waits on the loop until it is cancelled."""

    def __init__(self) -> None:
        self.began, self.cancelled = threading.Event(), threading.Event()

    async def __call__(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


# -- calls ---------------------------------------------------------------------------------------------------------


def test_a_call_runs_on_the_loops_thread_and_gives_what_it_returns(loop: ServiceLoop) -> None:
    assert loop.call(double, 21) == 42
    assert loop.call(threading.current_thread).name == NAME
    assert loop.call(lambda: double(4)) == 8
    assert loop.call(threading.get_ident) == loop.thread_id != threading.get_ident()


def test_what_a_call_raises_comes_back_and_the_loop_goes_on(loop: ServiceLoop) -> None:
    async def fail() -> None:
        raise ValueError("no such city")

    with pytest.raises(ValueError, match="no such city"):
        loop.call(fail)
    with pytest.raises(ZeroDivisionError):
        loop.call(lambda: 1 / 0)
    assert loop.call(double, 1) == 2


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_call_that_wants_to_end_the_process_ends_itself_alone(loop: ServiceLoop, error: BaseException) -> None:
    async def leave() -> None:
        raise error

    other = Forever()
    waiting = loop.submit(other)
    with pytest.raises(type(error)):
        loop.submit(leave).result(PATIENCE)
    assert loop.running
    assert other.began.wait(PATIENCE)
    assert not waiting.done()


def test_anyio_and_asyncio_are_both_at_home_there(loop: ServiceLoop) -> None:
    async def work() -> str:
        with anyio.move_on_after(60):
            await asyncio.create_task(asyncio.sleep(0))
            return await anyio.to_thread.run_sync(lambda: threading.current_thread().name)
        return "late"

    assert loop.call(work) != NAME


def test_the_work_sees_the_callers_context(loop: ServiceLoop) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("the caller's")

    async def look() -> str:
        return variable.get()

    assert loop.call(look) == loop.call(variable.get) == "the caller's"


def test_a_submitted_call_is_not_waited_for(loop: ServiceLoop) -> None:
    blocked = Blocked(loop)
    later = loop.submit(double, 21)
    assert not later.done()
    blocked.released.set()
    assert later.result(PATIENCE) == 42


def test_a_loop_may_hand_work_to_itself(loop: ServiceLoop) -> None:
    async def submit() -> int:
        return await asyncio.wrap_future(loop.submit(double, 21))

    assert loop.call(submit) == 42


def test_a_loop_may_hand_work_to_one_that_is_blocked(loop: ServiceLoop) -> None:
    other = ServiceLoop("nbagora-other")
    other.start()
    blocked = Blocked(other)
    future = loop.call(lambda: other.submit(double, 21), timeout=PATIENCE)
    assert not future.done()
    blocked.released.set()
    assert future.result(PATIENCE) == 42
    other.stop()


@pytest.mark.parametrize("verb", ["call", "stop", "start"])
def test_on_its_own_thread_a_blocking_verb_is_refused(loop: ServiceLoop, verb: str) -> None:
    arguments = (len, "abc") if verb == "call" else ()
    with pytest.raises(WrongThread) as caught:
        loop.call(lambda: getattr(loop, verb)(*arguments))
    assert caught.value._render_traceback_() == [
        f"WrongThread: {verb} on nbagora-test's own thread would wait for itself",
        "hint: await the coroutine there instead",
    ]
    assert loop.call(double, 1) == 2


# -- calling off ---------------------------------------------------------------------------------------------------


def test_cancelling_the_future_cancels_the_work(loop: ServiceLoop) -> None:
    work = Forever()
    future = loop.submit(work)
    assert work.began.wait(PATIENCE)
    assert future.cancel()
    assert work.cancelled.wait(PATIENCE)
    assert wait([future], PATIENCE).done


def test_what_is_cancelled_before_it_began_never_does(loop: ServiceLoop) -> None:
    blocked, ran = Blocked(loop), []
    future = loop.submit(lambda: ran.append("ran"))
    assert future.cancel()
    blocked.released.set()
    loop.call(double, 1)
    assert ran == []
    assert wait([future], PATIENCE).done


def test_a_time_out_cancels_the_work(loop: ServiceLoop) -> None:
    work = Forever()
    with pytest.raises(TimeoutError):
        loop.call(work, timeout=0.01)
    assert work.cancelled.wait(PATIENCE) or not work.began.is_set()
    assert loop.call(double, 1) == 2


def test_a_time_out_is_heard_though_the_loop_is_blocked(loop: ServiceLoop) -> None:
    blocked, ran = Blocked(loop), []
    with pytest.raises(TimeoutError):
        loop.call(lambda: ran.append("ran"), timeout=0.01)
    assert not blocked.released.is_set()
    blocked.released.set()
    loop.call(double, 1)
    assert ran == []


def test_a_time_out_of_the_works_own_is_an_error_like_any(loop: ServiceLoop) -> None:
    async def late() -> None:
        raise TimeoutError("the model said nothing")

    with pytest.raises(TimeoutError, match="the model said nothing"):
        loop.call(late, timeout=PATIENCE)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")
def test_ctrl_c_cancels_the_work(loop: ServiceLoop) -> None:
    work = Forever()

    async def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await work()

    with pytest.raises(KeyboardInterrupt):
        loop.call(interrupted)
    assert work.cancelled.wait(PATIENCE) or not work.began.is_set()
    assert loop.call(double, 1) == 2


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")
def test_ctrl_c_is_heard_though_the_loop_is_blocked(loop: ServiceLoop) -> None:
    blocked, ran = Blocked(loop), []
    killer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
    killer.start()
    with pytest.raises(KeyboardInterrupt):
        loop.call(lambda: ran.append("ran"))
    blocked.released.set()
    killer.join()
    loop.call(double, 1)
    assert ran == []


def test_an_interrupt_that_wakes_nobody_is_heard_all_the_same(loop: ServiceLoop) -> None:
    """As on Windows, or where the signal comes just before the wait."""
    work = Forever()

    async def interrupted() -> None:
        _thread.interrupt_main()
        await work()

    with pytest.raises(KeyboardInterrupt):
        loop.call(interrupted)
    assert work.cancelled.wait(PATIENCE) or not work.began.is_set()


def test_work_that_gives_up_on_itself_is_cancelled(loop: ServiceLoop) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(CancelledError):
        loop.call(give_up)


def test_a_result_that_comes_after_the_cancel_is_dropped(loop: ServiceLoop) -> None:
    began, ended = threading.Event(), threading.Event()

    async def stubborn() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
        return "all the same"

    future = loop.submit(stubborn)
    assert began.wait(PATIENCE)
    future.cancel()
    assert ended.wait(PATIENCE)
    with pytest.raises(CancelledError):
        future.result(PATIENCE)


# -- starting ------------------------------------------------------------------------------------------------------


def test_before_its_start_and_after_its_stop_nothing_is_taken() -> None:
    loop = ServiceLoop(NAME)
    for _ in range(2):
        assert not loop.running
        assert loop.thread_id is None
        for verb in (loop.call, loop.submit):
            with pytest.raises(NotStarted) as caught:
                verb(double, 1)
            assert len(caught.value._render_traceback_()) == 2
        loop.start()
        assert loop.running
        loop.stop()


def test_starting_and_stopping_twice_is_starting_and_stopping_once(loop: ServiceLoop) -> None:
    [thread] = threads()
    loop.start()
    assert threads() == [thread]
    assert loop.stop()
    assert threads() == []
    assert loop.stop()


def test_it_starts_again_on_another_thread(loop: ServiceLoop) -> None:
    first = loop.call(asyncio.get_running_loop)
    loop.stop()
    loop.start()
    assert loop.call(asyncio.get_running_loop) is not first
    assert loop.call(double, 21) == 42


def test_a_thread_that_dies_as_it_starts_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bool:
        raise OSError("no more file descriptors")

    monkeypatch.setattr(service, "_uvloop", broken)
    loop = ServiceLoop(NAME)
    with pytest.raises(StartTimeout, match=r"nbagora-test ended as it started: .*no more file descriptors"):
        loop.start()
    assert not loop.running
    monkeypatch.undo()
    loop.start()
    assert loop.stop()


class SlowStart:
    """Holds the thread up before its loop runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.released = threading.Event(), threading.Event()
        monkeypatch.setattr(service, "_uvloop", self._wait)

    def _wait(self) -> bool:
        self.began.set()
        assert self.released.wait(PATIENCE)
        return False


def test_a_start_that_takes_too_long_leaves_no_loop_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, loop = SlowStart(monkeypatch), ServiceLoop(NAME)
    with pytest.raises(StartTimeout, match=r"nbagora-test was not ready after 0.01 s"):
        loop.start(timeout=0.01)
    assert not loop.running
    [late] = threads()
    slow.released.set()
    late.join(PATIENCE)
    assert not late.is_alive()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")
def test_ctrl_c_during_the_start_leaves_no_loop_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, loop = SlowStart(monkeypatch), ServiceLoop(NAME)
    killer = threading.Thread(target=lambda: slow.began.wait(PATIENCE) and os.kill(os.getpid(), signal.SIGINT))
    killer.start()
    with pytest.raises(KeyboardInterrupt):
        loop.start()
    killer.join()
    assert not loop.running
    [late] = threads()
    slow.released.set()
    late.join(PATIENCE)
    assert not late.is_alive()


# -- ending --------------------------------------------------------------------------------------------------------


def test_stopping_cancels_what_runs_and_waits_for_it(loop: ServiceLoop) -> None:
    works = [Forever() for _ in range(3)]
    futures = [loop.submit(work) for work in works]
    assert all(work.began.wait(PATIENCE) for work in works)
    assert loop.stop()
    assert all(work.cancelled.is_set() for work in works)
    assert all(future.cancelled() for future in futures)


def test_stopping_is_stronger_than_work_that_swallows_a_cancel(loop: ServiceLoop) -> None:
    began, cancels = threading.Event(), []

    async def stubborn() -> None:
        while len(cancels) < 3:
            try:
                began.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancels.append("again")

    loop.submit(stubborn)
    assert began.wait(PATIENCE)
    assert loop.stop(PATIENCE)
    assert len(cancels) == 3


def test_who_waits_for_a_call_hears_that_the_loop_stopped(loop: ServiceLoop) -> None:
    work: Forever = Forever()
    heard: list[BaseException] = []

    def call() -> None:
        try:
            loop.call(work)
        except BaseException as error:
            heard.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert work.began.wait(PATIENCE)
    loop.stop()
    caller.join(PATIENCE)
    assert [type(error) for error in heard] == [NotStarted]
    assert "stopped before the call had ended" in str(heard[0])


def test_who_waits_hears_it_though_the_loop_has_started_again(
    loop: ServiceLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, again = service._result, threading.Event()

    def late(future: Future[object], timeout: float | None) -> object:
        try:
            return result(future, timeout)
        finally:
            assert again.wait(PATIENCE)

    work, heard = Forever(), []

    def call() -> None:
        try:
            loop.call(work)
        except BaseException as error:
            heard.append(type(error))

    monkeypatch.setattr(service, "_result", late)
    caller = threading.Thread(target=call)
    caller.start()
    assert work.began.wait(PATIENCE)
    monkeypatch.undo()
    loop.stop()
    loop.start()
    again.set()
    caller.join(PATIENCE)
    assert heard == [NotStarted]


def test_a_blocked_loop_is_left_behind_after_the_time_out_and_ends_when_it_is_let(loop: ServiceLoop) -> None:
    blocked = Blocked(loop)
    [thread] = threads()
    never: Future[int] = loop.submit(double, 21)
    assert loop.stop(timeout=0.01) is False
    assert not loop.running
    with pytest.raises(NotStarted):
        loop.call(double, 1)
    blocked.released.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert never.cancelled()


def test_ctrl_c_in_a_stop_does_not_lose_the_thread(loop: ServiceLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    [thread] = threads()
    blocked, join = Blocked(loop), thread.join

    def interrupted(timeout: float | None = None) -> None:
        thread.join = join  # type: ignore[method-assign]
        raise KeyboardInterrupt

    thread.join = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        loop.stop()
    assert not loop.running
    assert loop.stop(timeout=0.01) is False
    blocked.released.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def crash(loop: ServiceLoop) -> None:
    """Ends the loop from within, as a task that somebody made there and that leaves does."""
    [thread] = threads()

    async def leave() -> None:
        raise SystemExit(3)

    loop.submit(lambda: asyncio.ensure_future(leave()))
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_loop_that_died_takes_nothing_lets_waiters_go_and_starts_again(loop: ServiceLoop, ring: RingLog) -> None:
    waiting = loop.submit(Forever())
    crash(loop)
    assert wait([waiting], PATIENCE).done
    assert waiting.cancelled()
    assert not loop.running
    with pytest.raises(NotStarted):
        loop.call(double, 1)
    assert "nbagora-test ended by itself: SystemExit(3)" in [line.message for line in ring.lines()]
    loop.start()
    assert loop.call(double, 21) == 42


def test_a_call_in_the_queue_of_a_loop_that_dies_is_let_go(loop: ServiceLoop, ring: RingLog) -> None:
    [thread] = threads()
    began, released = threading.Event(), threading.Event()

    async def leave() -> None:
        raise SystemExit(3)

    def die() -> asyncio.Future[None]:
        leaving = asyncio.ensure_future(leave())
        began.set()
        assert released.wait(PATIENCE)
        return leaving

    loop.submit(die)
    assert began.wait(PATIENCE)
    queued = loop.submit(Forever())
    released.set()
    thread.join(PATIENCE)
    assert wait([queued], PATIENCE).done
    assert queued.cancelled()


def test_stopping_a_loop_that_died_does_nothing(loop: ServiceLoop, ring: RingLog) -> None:
    crash(loop)
    assert loop.stop()


def test_what_dies_unheard_goes_to_the_log_and_not_to_the_screen(
    loop: ServiceLoop, ring: RingLog, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fail() -> None:
        raise ValueError("no such city")

    async def forget() -> None:
        task = asyncio.ensure_future(fail())
        await asyncio.wait([task])

    def burst() -> None:
        raise ValueError("in a callback")

    loop.call(forget)
    loop.call(lambda: asyncio.get_running_loop().call_soon(burst))
    loop.call(double, 1)
    loop.stop()
    lines = [line.message for line in ring.lines()]
    assert any("never retrieved" in line and "ValueError: no such city" in line for line in lines)
    assert any("ValueError: in a callback" in line for line in lines)
    assert capfd.readouterr() == ("", "")


def test_starts_stops_and_calls_at_random_leave_nothing_waiting() -> None:
    """Ten rounds of fifty starts and stops under two callers: each call ends, and no thread is left."""
    ended, up = threading.Event(), threading.Event()
    answers: list[int | str] = []

    def keep_calling(loop: ServiceLoop) -> None:
        while not ended.is_set():
            try:
                answers.append(loop.call(double, 21, timeout=PATIENCE))
            except NotStarted:
                up.wait(PATIENCE)
            except BaseException as error:
                answers.append(repr(error))

    for _ in range(10):
        loop = ServiceLoop(NAME)
        ended.clear()
        callers = [threading.Thread(target=keep_calling, args=(loop,)) for _ in range(2)]
        for one in callers:
            one.start()
        for _ in range(50):
            loop.start()
            up.set()
            loop.call(double, 21)
            up.clear()
            assert loop.stop()
        ended.set()
        up.set()
        for one in callers:
            one.join(PATIENCE)
            assert not one.is_alive()
        assert threads() == []
    assert set(answers) == {42}


# -- iterating -----------------------------------------------------------------------------------------------------


async def numbers(many: int) -> AsyncGenerator[int]:
    for number in range(many):
        yield number


def test_a_generator_there_is_an_iterator_here(loop: ServiceLoop) -> None:
    assert list(loop.iterate(numbers(0))) == []
    assert list(loop.iterate(numbers(1000))) == list(range(1000))


def test_what_ends_a_generator_is_raised_after_its_values(loop: ServiceLoop) -> None:
    async def failing() -> AsyncGenerator[int]:
        yield 1
        raise ValueError("no such city")

    values = loop.iterate(failing())
    assert next(values) == 1
    with pytest.raises(ValueError, match="no such city"):
        next(values)


def test_leaving_an_iteration_closes_its_generator(loop: ServiceLoop) -> None:
    closed = threading.Event()

    async def endless() -> AsyncGenerator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    generator = endless()  # held, so that nobody but the iteration closes it
    values = loop.iterate(generator)
    assert next(values) == 1
    values.close()  # type: ignore[attr-defined]
    assert closed.wait(PATIENCE)
    del generator


def test_a_generator_runs_no_more_than_its_queue_ahead(loop: ServiceLoop) -> None:
    made, full = [], threading.Event()

    async def endless() -> AsyncGenerator[int]:
        while True:
            made.append(1)
            if len(made) > 256:
                full.set()
            yield 1

    values = loop.iterate(endless())
    next(values)
    assert full.wait(PATIENCE)
    loop.call(double, 1)
    assert len(made) <= 2 * 257
    values.close()  # type: ignore[attr-defined]


def test_an_iteration_hears_that_the_loop_stopped(loop: ServiceLoop) -> None:
    async def silent() -> AsyncGenerator[int]:
        yield 1
        await asyncio.Event().wait()

    values = loop.iterate(silent())
    assert next(values) == 1
    threading.Thread(target=loop.stop).start()
    with pytest.raises(NotStarted):
        next(values)
