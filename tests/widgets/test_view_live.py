"""A live view sends snapshots when they changed, hands commands over, and ends when its lab does."""

import gc
import logging
import threading
from types import SimpleNamespace

import pytest

from fake_lab import FakeLab, FakeTasks
from nbagora_lab.core.errors import NotStarted, StartTimeout, UsageError
from nbagora_lab.inspect.model import STOPPED
from nbagora_widgets import TaskView, flush_all, living, stop_all


class Stepped(FakeTasks):
    """A source whose service thread is the test: calls are made at once, ticks when the test says so."""

    def __init__(self):
        super().__init__()
        self.ticking = {}
        self.running = True
        self.taken = 0

    def tasks(self, **filters):
        self.taken += 1
        return super().tasks(**filters)

    def soon(self, function):
        if not self.running:
            raise NotStarted("the lab is not running", "start it with %lab start")
        function()

    def every(self, seconds, function):
        self.ticking[function] = seconds
        return lambda: self.ticking.pop(function, None)

    def tick(self):
        for function in list(self.ticking):
            function()


class Comm:
    """ipykernel 7.4's comm, as far as a view knows it; keeps what was sent."""

    kernel = "a kernel"
    comm_id = "c0"

    def __init__(self):
        self.sent = []

    def send(self, data=None, metadata=None, buffers=None):
        self.sent.append(data)

    def _reply_subshell_for(self, data, named):
        return "where the kernel last sent"

    def on_msg(self, handler):
        self.handler = handler

    def close(self, *args, **kwargs):
        self.closed = True

    @property
    def snapshots(self):
        return [data["state"]["snapshot"] for data in self.sent if "snapshot" in data.get("state", {})]

    @property
    def replies(self):
        return [data["content"] for data in self.sent if data["method"] == "custom"]

    def receive(self, **content):
        message = {"method": "custom", "content": content}
        self.handler({"content": {"data": message}, "buffers": []})


@pytest.fixture(autouse=True)
def _no_view_lives_on():
    yield
    for view in living():
        view.close()


@pytest.fixture
def source():
    source = Stepped()
    source.add("t1")
    return source


@pytest.fixture
def view(source):
    view = TaskView(source)
    view.comm = Comm()
    return view


def states(snapshot):
    return {row["id"]: row["state"] for row in snapshot["rows"]}


def test_the_first_snapshot_is_there_at_once(source):
    assert states(TaskView(source).snapshot) == {"t1": "WORKING"}


def test_a_tick_sends_one_snapshot_however_many_changes_there_were(source, view):
    for number in range(50):
        source.change("t1", text=f"word {number}")
    taken = source.taken
    source.tick()
    source.tick()
    assert source.taken == taken + 1
    assert [sent["rows"][0]["text"] for sent in view.comm.snapshots] == ["word 49"]


def test_a_tick_without_a_change_takes_and_sends_nothing(source, view):
    taken = source.taken
    for _ in range(10):
        source.tick()
    assert source.taken == taken
    assert view.comm.sent == []


def test_a_change_while_a_snapshot_is_taken_makes_another(source, view):
    first = source.tasks

    def change_behind(**filters):
        source.tasks = first
        snapshot = first(**filters)
        source.change("t1", state="COMPLETED")
        return snapshot

    source.tasks = change_behind
    source.change("t1", text="one")
    source.tick()
    assert states(view.snapshot) == {"t1": "WORKING"}
    source.tick()
    assert states(view.snapshot) == {"t1": "COMPLETED"}


def test_the_rate_sets_the_time_between_ticks(source):
    TaskView(source, rate=4)
    assert list(source.ticking.values()) == [0.25]


@pytest.mark.parametrize("rate", [0, -1, 20.1, float("nan")])
def test_a_rate_out_of_range_is_refused(source, rate):
    with pytest.raises(UsageError):
        TaskView(source, rate=rate)


def test_no_more_than_200_rows_are_sent(source):
    for number in range(300):
        source.add(f"more-{number}")
    source.tasks, full = lambda limit, **filters: full(limit=1000, **filters), source.tasks
    view = TaskView(source)
    assert len(view.snapshot["rows"]) == 200
    assert view.snapshot["total"] == 301


def test_selecting_shows_events_and_the_reply_says_so(source, view):
    view.comm.receive(do="select", request=7, task_id="t1")
    assert view.snapshot["selected"]["row"]["id"] == "t1"
    assert view.comm.replies == [{"reply": 7, "problem": None}]
    view.comm.receive(do="select", request=8, task_id=None)
    assert view.snapshot["selected"] is None


def test_filters_choose_and_are_told(source, view):
    source.add("t2", agent="trip", state="FAILED")
    view.comm.receive(do="filter", request=1, agent="trip", state=None)
    assert states(view.snapshot) == {"t2": "FAILED"}
    assert (view.snapshot["agent"], view.snapshot["state"]) == ("trip", None)
    view.comm.receive(do="filter", request=2, agent=None, state="WORKING")
    assert states(view.snapshot) == {"t1": "WORKING"}


def test_cancel_and_answer_reach_the_source(source, view):
    view.comm.receive(do="answer", request=1, task_id="t1", text="周五")
    view.comm.receive(do="cancel", request=2, task_id="t1")
    assert source.asked == [("answer", "t1", "周五"), ("cancel", "t1")]
    assert [reply["reply"] for reply in view.comm.replies] == [1, 2]


def test_a_refused_command_is_told_in_two_lines(source, view):
    view.comm.receive(do="cancel", request=3, task_id="t9")
    problem = {"name": "TaskNotFound", "what": "no task 't9'", "hint": "see %task ls"}
    assert view.comm.replies == [{"reply": 3, "problem": problem}]


def test_a_command_that_breaks_is_told_and_logged(source, view, caplog):
    source.cancel = lambda task_id: 1 / 0
    with caplog.at_level(logging.ERROR, "nbagora"):
        view.comm.receive(do="cancel", request=3, task_id="t1")
    assert view.comm.replies[0]["problem"]["what"] == "ZeroDivisionError: division by zero"
    assert "a view's command failed" in caplog.text


@pytest.mark.parametrize("content", [{"do": "rm", "request": 4}, {"do": "cancel", "request": 4, "task_id": ["t1"]}])
def test_what_is_no_command_is_refused_by_its_number(source, view, content):
    view.comm.receive(**content)
    assert source.asked == []
    assert [(reply["reply"], reply["problem"]["name"]) for reply in view.comm.replies] == [(4, "UsageError")]


def test_commands_run_on_the_service_thread_whatever_thread_they_come_on():
    lab = FakeLab()
    try:
        lab.add("t1")
        threads = []
        lab.cancel = lambda task_id: threads.append(threading.current_thread())
        done = threading.Event()
        view = TaskView(lab)
        view.comm = Comm()
        view._reply = lambda *args: done.set()
        threading.Thread(target=view.comm.receive, kwargs={"do": "cancel", "request": 1, "task_id": "t1"}).start()
        assert done.wait(30)
        assert threads == [lab.thread]
    finally:
        stop_all()
        lab.stop()


def test_nobody_looks_then_no_ticks_until_somebody_does(source, view):
    for name in ("a", "b"):
        view.comm.receive(do="hello", request=1, view=name)
    view.comm.receive(do="bye", request=2, view="a")
    assert len(source.ticking) == 1
    view.comm.receive(do="bye", request=3, view="b")
    assert source.ticking == {}
    source.change("t1", state="COMPLETED")
    assert states(view.snapshot) == {"t1": "WORKING"}
    view.comm.receive(do="hello", request=4, view="c")
    assert states(view.snapshot) == {"t1": "COMPLETED"}
    assert len(source.ticking) == 1


def test_a_flush_sends_the_newest_from_the_calling_thread_once(source, view):
    source.change("t1", state="COMPLETED")
    flush_all()
    assert states(view.comm.snapshots[-1]) == {"t1": "COMPLETED"}
    sent = len(view.comm.sent)
    flush_all()
    assert len(view.comm.sent) == sent
    source.change("t1", text="more")
    source.tick()  # sent, but in no cell's name
    sent = len(view.comm.sent)
    flush_all()
    assert len(view.comm.sent) == sent + 1


def test_a_flush_brings_a_view_up_to_date_that_nobody_looks_at(source, view):
    view.comm.receive(do="hello", request=1, view="a")
    view.comm.receive(do="bye", request=2, view="a")
    source.change("t1", state="COMPLETED")
    flush_all()
    assert states(view.comm.snapshots[-1]) == {"t1": "COMPLETED"}


def test_a_lab_that_stopped_leaves_the_table(source, view):
    source.running = False
    flush_all()
    assert view.stopped
    assert view.snapshot["lab"] == STOPPED
    assert states(view.snapshot) == {"t1": "WORKING"}
    assert source.ticking == {}
    assert view.comm.snapshots[-1]["lab"] == STOPPED
    assert view not in living()


def test_a_command_to_a_lab_that_stopped_is_refused_and_ends_the_view(source, view):
    source.running = False
    view.comm.receive(do="cancel", request=1, task_id="t1")
    assert view.comm.replies[0]["problem"]["name"] == "NotStarted"
    assert view.stopped


def test_a_lab_that_stops_while_a_snapshot_is_taken_ends_the_view(source, view):
    def stopped(**filters):
        raise NotStarted("stopped", "start it")

    source.tasks = stopped
    source.change("t1", text="more")
    source.tick()
    assert view.snapshot["lab"] == STOPPED


def test_a_late_snapshot_does_not_bring_a_stopped_view_back(source, view):
    late = view._take()
    view.stop()
    view._put(late)
    assert view.snapshot["lab"] == STOPPED


def test_a_source_that_fails_keeps_the_last_snapshot_and_is_logged_once(source, view, caplog):
    def broken(**filters):
        raise ValueError("no rows today")

    source.tasks, whole = broken, source.tasks
    with caplog.at_level(logging.ERROR, "nbagora"):
        for _ in range(5):
            source.change("t1", text="more")
            source.tick()
    assert caplog.text.count("a view could not be drawn") == 1
    source.tasks = whole
    source.change("t1", text="well again")
    source.tick()
    assert view.snapshot["rows"][0]["text"] == "well again"


def test_close_ends_the_ticks_and_the_comm(source, view):
    comm = view.comm
    view.close()
    assert comm.closed
    assert source.ticking == {}
    assert view not in living()
    flush_all()
    view.close()


def test_a_view_of_a_stopped_lab_is_an_error(source):
    source.running = False
    with pytest.raises(NotStarted):
        TaskView(source)
    gc.collect()  # what was half built goes without a word


def test_a_service_thread_that_does_not_answer_is_an_error(source, monkeypatch):
    monkeypatch.setattr("nbagora_widgets.live._FIRST", 0.01)
    source.soon = lambda function: None
    with pytest.raises(StartTimeout):
        TaskView(source)


def test_a_flush_does_not_wait_for_ever(source, view, monkeypatch, caplog):
    monkeypatch.setattr("nbagora_widgets.live._FLUSH", 0.01)
    source.soon = lambda function: None
    with caplog.at_level(logging.WARNING, "nbagora"):
        flush_all()
    assert "was not ready" in caplog.text
    assert not view.stopped


def test_the_browser_chooses_the_subshell_of_its_messages(source, monkeypatch):
    comm = Comm()
    monkeypatch.setattr("comm.create_comm", lambda **_: comm)
    view = TaskView(source)
    assert view.comm is comm
    assert comm._reply_subshell_for({}, "the browser's") == "the browser's"


def test_a_kernel_that_remembers_no_subshell_is_left_alone(source, monkeypatch):
    comm = SimpleNamespace(kernel=1, comm_id="c1", on_msg=print, send=lambda **_: None, close=lambda **_: None)
    monkeypatch.setattr("comm.create_comm", lambda **_: comm)
    view = TaskView(source)
    assert view.comm is comm
    assert not hasattr(comm, "_reply_subshell_for")


def test_the_repr_is_short_and_takes_no_snapshot(source):
    for number in range(300):
        source.add(f"more-{number}")
    view = TaskView(source)
    taken = source.taken
    assert repr(view) == "<TaskView of http://127.0.0.1:1, 301 tasks, seq 301>"
    assert source.taken == taken
