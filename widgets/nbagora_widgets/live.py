"""A live view: snapshots from the service thread to the browser, commands from the browser to the service thread.

A cell that runs keeps the kernel's own thread, so nothing here needs that: the service thread looks at the source's
version at the view's rate and sets the `snapshot` trait when it changed, which sends it. Whole snapshots, not
differences: Jupyter's server drops messages above 1,000 a second and a view must not notice.

Threads: `_version` and `_shown` belong to the service thread. The trait is set and sent under `_lock`, in the order in
which snapshots were taken. What the browser sends comes on a thread of the kernel's choice (a subshell's, or the main
one) and is handed to the service thread, where alone a source is called.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, ClassVar, TypeVar

import anywidget
import traitlets
from pydantic import BaseModel, TypeAdapter, ValidationError

from nbagora_lab.core.errors import LabError, NotStarted, StartTimeout, StoreClosed, Unreachable, UsageError
from nbagora_lab.core.log import logger
from nbagora_lab.inspect.model import AWAY, STOPPED, Bye, Command, Hello, Problem, Reply, Snapshot
from nbagora_widgets.source import LiveSource

__all__ = ["MAX_RATE", "LiveView", "flush_all", "living", "stop_all"]

T = TypeVar("T")

MAX_RATE = 20.0
"""Snapshots a second of one view at most: a kernel's views together should stay below 50 messages a second."""

_FIRST = 5.0  # seconds that the service thread has for a view's first snapshot
_FLUSH = 1.0  # seconds that it has for the one at the end of a cell

_living: weakref.WeakSet[LiveView] = weakref.WeakSet()
_living_lock = threading.Lock()


def living() -> list[LiveView]:
    """The views that are neither stopped nor closed."""
    with _living_lock:
        return list(_living)


def flush_all() -> None:
    """Brings every living view's snapshot up to date and sends it from this thread.

    nbclient and papermill store only what is sent in the name of the running cell: call this at the end of each
    (IPython's ``post_run_cell``). Without a change since the last call it costs microseconds. Never raises.
    """
    for view in living():
        view.flush()


def stop_all() -> None:
    """Stops every living view; their tables stay."""
    for view in living():
        view.stop()


class LiveView(anywidget.AnyWidget):
    """Base of the live views.

    Subclasses say what a snapshot is (`_take`), how it reads without scripts (`_stands_for`), what commands they know
    (`_commands`) and what those do (`_obey`).

    Args:
        source: Where snapshots come from.
        rate: Snapshots a second that are sent at most, up to `MAX_RATE`.

    Raises:
        NotStarted: The source's lab does not run.
        StartTimeout: The service thread gave no first snapshot within 5 s.
        UsageError: `rate` is out of range.
    """

    _commands: ClassVar[TypeAdapter[Any]]
    _stored: ClassVar[tuple[str, ...]] = ("snapshot",)
    """Traits that a stored notebook keeps as they were at the end of the last cell."""

    snapshot = traitlets.Dict(help="the newest snapshot, as JSON").tag(sync=True)
    ref = traitlets.Unicode(help="the model's id, by which the browser asks whether its kernel lives").tag(sync=True)

    def __init__(self, source: LiveSource, *, rate: float = 10.0) -> None:
        if not 0 < rate <= MAX_RATE:
            raise UsageError(f"a view's rate of {rate} a second", f"choose one above 0 and up to {MAX_RATE:g}")
        self._source = source
        self._rate = rate
        self._lock = threading.RLock()  # observers of the trait run under it and may ask the view for more
        self._version: int | None = None
        self._shown: set[str] = set()
        self._halt: Callable[[], None] | None = None
        self._stopped = False
        self._unflushed = False
        self._complaint = ""
        self._latest: Snapshot = self._first()
        super().__init__(snapshot=self._latest.model_dump(mode="json"))
        self._leave_subshells_to_the_browser()
        self.ref = self.model_id
        self.on_msg(self._received)
        with _living_lock:
            _living.add(self)
        self._resume()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundled = super()._repr_mimebundle_(**kwargs)
        if bundled is None:
            return None
        self.flush()
        data, metadata = bundled
        return data | self._stands_for(), metadata

    # What a subclass says.

    def _take(self) -> Snapshot:
        """The snapshot of now; on the service thread."""
        raise NotImplementedError

    def _obey(self, command: Any) -> Future[object] | None:
        """Does what a command asks; on the service thread. A `LabError` goes to the browser as its two lines.

        Returns:
            The end of what takes longer, which is when the browser is told; None where it is done.
        """
        raise NotImplementedError

    def _stands_for(self) -> dict[str, str]:
        """What readers without a kernel or scripts see of the newest snapshot, by MIME type."""
        raise NotImplementedError

    # Life.

    @property
    def stopped(self) -> bool:
        """Whether it gets no more snapshots."""
        return self._stopped

    def flush(self) -> None:
        """Brings the snapshot up to date and sends it from this thread, if anything was sent or changed since."""
        if self._stopped:
            return
        try:
            self._on_service(self._tick, _FLUSH)
        except LabError:
            self.stop()
        except TimeoutError:
            logger.warning("a view's snapshot was not ready in %g s at the end of a cell", _FLUSH)
        with self._lock:
            if self._unflushed and self.comm is not None:
                self._unflushed = False
                self.send_state([*self._stored])

    def stop(self) -> None:
        """Ends the updates. The table stays as it is and says that the lab is not running. From any thread."""
        with _living_lock:
            _living.discard(self)
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._pause()
            self._put(self._latest.model_copy(update={"lab": STOPPED}))

    def close(self) -> None:
        """Ends the updates and takes the view off the page."""
        if hasattr(self, "_latest"):  # also called, by `__del__`, on what was never built
            with _living_lock:
                _living.discard(self)
            with self._lock:
                self._stopped = True
                self._pause()
        super().close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._latest.lab}, seq {self._latest.seq}>"

    # From the service thread to the browser.

    def _resume(self) -> None:
        with self._lock:
            if self._halt is None and not self._stopped:
                self._halt = self._source.every(1 / self._rate, self._tick)

    def _pause(self) -> None:
        with self._lock:
            halt, self._halt = self._halt, None
            if halt is not None:
                halt()

    def _first(self) -> Snapshot:
        def take() -> Snapshot:
            self._version = self._source.version()
            return self._take()

        try:
            return self._on_service(take, _FIRST)
        except TimeoutError:
            raise StartTimeout(f"the lab gave no snapshot in {_FIRST:g} s", "see %lab status") from None

    def _tick(self) -> None:
        """Sends a snapshot if the source's version moved."""
        self._refresh(only_changed=True)

    def _refresh(self, *, only_changed: bool = False) -> None:
        try:
            version = self._source.version()
            if only_changed and version == self._version:
                return
            self._version = version  # before the snapshot: a change while it is taken makes another
            self._put(self._take())
        except (NotStarted, StoreClosed):
            self.stop()
        except Unreachable:  # the lab that was joined is away; the next look that succeeds draws anew
            self._version = None
            if self._latest.lab != AWAY:
                self._put(self._latest.model_copy(update={"lab": AWAY}))
        except Exception as error:  # noqa: BLE001 -- a view that can't be drawn must not end the source's loop
            # At ten times a second, the same words again would push all else out of the log.
            if (complaint := repr(error)) != self._complaint:
                self._complaint = complaint
                logger.exception("a view could not be drawn")

    def _put(self, snapshot: Snapshot) -> None:
        with self._lock:
            if self._stopped and snapshot.lab != STOPPED:
                return
            self._latest = snapshot
            self._unflushed = True
            self.snapshot = snapshot.model_dump(mode="json")

    def _keep(self, trait: str, value: BaseModel | None) -> None:
        """Sends, and has the notebook store, what is looked at beside the snapshot; None for nothing."""
        with self._lock:
            if not self._stopped:
                self._unflushed = True
                self.set_trait(trait, value.model_dump(mode="json") if value is not None else {})

    def _on_service(self, function: Callable[[], T], timeout: float) -> T:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 -- it is raised where it is waited for
                future.set_exception(error)

        self._source.soon(run)
        return future.result(timeout)

    def _leave_subshells_to_the_browser(self) -> None:
        """Lets the browser's messages go to the subshell that they name, where ipykernel would send them elsewhere.

        ipykernel 7.4.0 remembers on which subshell the kernel last sent on a comm and routes the browser's messages
        there. What a thread sends counts as the main shell's, so that each snapshot would pull the next click behind
        the running cell. A browser test tells when this has become needless.
        """
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda _data, named: named  # noqa: SLF001 -- there is no public way

    # From the browser to the service thread.

    def _received(self, _view: object, content: Any, _buffers: object) -> None:
        """Takes a command on a foreign thread and hands it over."""
        try:
            command = self._commands.validate_python(content)
        except ValidationError as error:
            request = content.get("request") if isinstance(content, dict) else None
            problems = "; ".join(item["msg"] for item in error.errors(include_input=False, include_url=False))
            self._reply(
                request if isinstance(request, int) else -1,
                UsageError(f"a command that this view does not know: {problems}", "reload the page"),
            )
            return
        try:
            self._source.soon(partial(self._run, command))
        except LabError as error:
            self._reply(command.request, error)
            self.stop()

    def _run(self, command: Command) -> None:
        problem: LabError | None = None
        try:
            match command:
                case Hello():
                    self._shown.add(command.view)
                    self._resume()
                    self._tick()
                case Bye():
                    self._shown.discard(command.view)
                    if not self._shown:
                        self._pause()  # nobody looks; the end of each cell still brings it up to date
                case _:
                    pending = self._obey(command)
                    if pending is not None:
                        pending.add_done_callback(partial(self._ended, command))
                        return
        except Exception as error:  # noqa: BLE001 -- whoever pressed the button is told, whatever it is
            problem = _told(error)
        self._reply(command.request, problem)

    def _ended(self, command: Command, pending: Future[object]) -> None:
        """What a command began has ended; on whatever thread that was."""
        if pending.cancelled():
            self._reply(command.request, NotStarted("the lab stopped before that was done", "start it with %lab start"))
        else:
            error = pending.exception()
            self._reply(command.request, None if error is None else _told(error))

    def _reply(self, request: int, error: LabError | None) -> None:
        problem = None
        if error is not None:
            problem = Problem(name=type(error).__name__, what=error.what, hint=error.hint or "see %lab status")
        self.send(Reply(reply=request, problem=problem).model_dump(mode="json"))


def _told(error: BaseException) -> LabError:
    """An error as the browser is told of it."""
    if isinstance(error, LabError):
        return error
    logger.error("a view's command failed", exc_info=error)
    return LabError(f"{type(error).__name__}: {error}", "see %lab status")
