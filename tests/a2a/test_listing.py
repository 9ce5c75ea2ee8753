"""ListTasks: which tasks, in which order, page by page, while tasks come and go."""

import asyncio

import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagora_lab.a2a.listing import list_tasks
from nbagora_lab.a2a.wire import COMPLETED
from nbagora_lab.core.clock import rfc3339
from official import send_request
from task_logs import as_owner, handler_on, task_log, user_says


@pytest.fixture
def tasks(tmp_path):
    with task_log(tmp_path) as tasks:
        yield tasks


@pytest.fixture
def handler(tasks):
    return handler_on(tasks)


def send(handler, text, **fields):
    request = send_request(user_says(text, **fields), returnImmediately=text == "work")
    return asyncio.run(handler.on_message_send(request, as_owner()))


def page(handler, **request):
    return asyncio.run(handler.on_list_tasks(pb.ListTasksRequest(**request), as_owner()))


def ids(found):
    return [one.id for one in found.tasks]


def stamp(text):
    moment = Timestamp()
    moment.FromJsonString(text)
    return moment


def test_newest_status_first(handler, tasks):
    made = []
    for _ in range(4):
        made.append(send(handler, "ask").id)
        tasks.clock.advance(1)
    assert ids(page(handler)) == made[::-1]
    send(handler, "x", taskId=made[1])
    assert ids(page(handler)) == [made[1], made[3], made[2], made[0]]


def test_by_state_and_context(handler):
    asked, done = send(handler, "ask", contextId="a"), send(handler, "x", contextId="b")
    working = send(handler, "work", contextId="a")
    assert ids(page(handler, status=pb.TaskState.TASK_STATE_INPUT_REQUIRED)) == [asked.id]
    assert ids(page(handler, status=pb.TaskState.TASK_STATE_COMPLETED)) == [done.id]
    assert ids(page(handler, status=pb.TaskState.TASK_STATE_WORKING)) == [working.id]
    assert ids(page(handler, status=pb.TaskState.TASK_STATE_REJECTED)) == []
    assert set(ids(page(handler, context_id="a"))) == {asked.id, working.id}
    assert ids(page(handler, context_id="none")) == []
    assert ids(page(handler, context_id="a", status=pb.TaskState.TASK_STATE_WORKING)) == [working.id]


@settings(max_examples=200)
@given(st.integers(0, 2_000_000_000_000))
def test_a_moment_is_at_or_after_itself(milliseconds):
    """A float would make 0.123 of 0.122999…"""
    from nbagora_lab.a2a.listing import _nanoseconds

    text = rfc3339(milliseconds / 1000)
    assert _nanoseconds(text) == stamp(text).ToNanoseconds()


def test_since_a_moment_includes_it(handler, tasks):
    made = []
    for _ in range(5):
        made.append(send(handler, "x"))
        tasks.clock.advance(0.123)
    for at, one in enumerate(made):
        since = page(handler, status_timestamp_after=one.status.timestamp)
        assert set(ids(since)) == {later.id for later in made[at:]}
    beyond = Timestamp()
    beyond.FromNanoseconds(made[-1].status.timestamp.ToNanoseconds() + 1)
    assert ids(page(handler, status_timestamp_after=beyond)) == []


def test_artifacts_and_history_on_request(handler):
    send(handler, "x")
    bare = page(handler, history_length=0).tasks[0]
    assert (len(bare.artifacts), len(bare.history)) == (0, 0)
    full = page(handler, include_artifacts=True).tasks[0]
    assert (len(full.artifacts), len(full.history)) == (1, 1)


def test_another_agents_tasks_are_not_listed(handler, tasks):
    send(handler_on(tasks, "other"), "x")
    mine = send(handler, "x")
    assert ids(page(handler)) == [mine.id]


def test_pages_are_whole_and_in_order(handler, tasks):
    made = []
    for number in range(23):
        made.append(send(handler, "x").id)
        if number % 4:  # some share their time: then the id decides
            tasks.clock.advance(1)
    whole = page(handler, page_size=100)
    assert whole.next_page_token == ""
    assert (whole.total_size, whole.page_size) == (23, 100)
    assert set(ids(whole)) == set(made)
    for size in (1, 5, 23):
        seen, token = [], ""
        while True:
            part = page(handler, page_size=size, page_token=token)
            assert (part.total_size, len(part.tasks) <= size) == (23, True)
            seen += ids(part)
            token = part.next_page_token
            if not token:
                break
        assert seen == ids(whole)


def test_a_page_token_stays_good_while_tasks_come_and_move(handler, tasks):
    made = []
    for _ in range(6):
        made.append(send(handler, "ask").id)
        tasks.clock.advance(1)
    first = page(handler, page_size=2)
    send(handler, "x")
    send(handler, "x", taskId=made[5])
    second = page(handler, page_size=2, page_token=first.next_page_token)
    third = page(handler, page_size=2, page_token=second.next_page_token)
    assert ids(first) + ids(second) + ids(third) == made[::-1]


def test_fifty_to_a_page_unless_asked(handler):
    for _ in range(51):
        send(handler, "x")
    found = page(handler)
    assert (len(found.tasks), found.page_size, bool(found.next_page_token)) == (50, 50, True)


UNFIT = [
    {"page_size": 0}, {"page_size": 101}, {"page_size": -1}, {"page_token": "x"}, {"page_token": "北"},
    {"history_length": -1}, {"status": -1}, {"status": 99},
]  # fmt: skip


@pytest.mark.parametrize("request_", UNFIT, ids=str)
def test_what_does_not_fit_is_refused(handler, request_):
    with pytest.raises(InvalidParamsError):
        page(handler, **request_)


def test_a_context_that_is_gone_takes_its_tasks_along(handler, tasks):
    gone, kept = send(handler, "x", contextId="gone"), send(handler, "x", contextId="kept")
    tasks.log.expire("sessions/gone")
    found = page(handler)
    assert ids(found) == [kept.id]
    assert found.total_size == 1
    fresh = send(handler, "fresh", contextId="gone")
    assert fresh.id != gone.id
    assert [one.parts[0].text for one in fresh.history] == ["fresh"]
    assert set(ids(page(handler))) == {fresh.id, kept.id}


def test_a_list_folds_no_session_of_a_task_that_has_ended_but_those_of_its_page(tmp_path, monkeypatch):
    ids = []
    with task_log(tmp_path) as tasks:
        for number in range(12):
            live, _, _ = tasks.open("", "agent", user_says(f"{number}"), context_id=f"c{number}")
            live.status(COMPLETED)
            ids.append(live.id)
    with task_log(tmp_path) as tasks:
        found = []
        find = tasks.find
        monkeypatch.setattr(tasks, "find", lambda owner, task_id: found.append(task_id) or find(owner, task_id))
        page = list_tasks(tasks, "", "agent", pb.ListTasksRequest(page_size=1))
        assert (page.total_size, [one.id for one in page.tasks], found) == (12, [max(ids)], [max(ids)])
        assert page.tasks[0].status.state == pb.TASK_STATE_COMPLETED


def test_a_list_leaves_out_what_has_expired(tmp_path):
    with task_log(tmp_path) as tasks:
        made = []
        for number in range(4):
            live, _, _ = tasks.open("", "agent", user_says(f"{number}"), context_id=f"c{number}")
            live.status(COMPLETED)
            made.append(live.id)
        assert list_tasks(tasks, "", "agent", pb.ListTasksRequest()).total_size == 4
        tasks.log.expire("sessions/c1")
        tasks.log.expire("sessions/c3")
        tasks.open("", "other", user_says("anew"), context_id="c3")
        page = list_tasks(tasks, "", "agent", pb.ListTasksRequest())
        assert (page.total_size, [one.id for one in page.tasks]) == (2, sorted([made[0], made[2]], reverse=True))
