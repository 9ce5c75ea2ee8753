"""Another owner's contexts and tasks are as unknown as those that never were, in every operation and to the letter."""

import asyncio

import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import A2AError
from google.protobuf.json_format import MessageToDict

from nbagora_lab.a2a.tasklog import context_key, parse_context_key
from official import send_request
from task_logs import as_owner, handler_on, task_log, user_says


@pytest.fixture
def tasks(tmp_path):
    with task_log(tmp_path) as tasks:
        yield tasks


@pytest.fixture
def handler(tasks):
    return handler_on(tasks)


OPERATIONS = {
    "get": lambda handler, task, who: handler.on_get_task(pb.GetTaskRequest(id=task), who),
    "cancel": lambda handler, task, who: handler.on_cancel_task(pb.CancelTaskRequest(id=task), who),
    "subscribe": lambda handler, task, who: collect(
        handler.on_subscribe_to_task(pb.SubscribeToTaskRequest(id=task), who)
    ),
    "answer": lambda handler, task, who: handler.on_message_send(send_request(user_says("x", taskId=task)), who),
    "answer in its context": lambda handler, task, who: handler.on_message_send(
        send_request(user_says("x", taskId=task, contextId="ctx")), who
    ),
}


async def collect(stream):
    return [one async for one in stream]


async def outcome(call):
    try:
        return await call
    except A2AError as error:
        return type(error).__name__, error.message, error.data


def send(handler, text, who, **fields):
    return asyncio.run(handler.on_message_send(send_request(user_says(text, **fields)), as_owner(who)))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("owner", "other"), [("alice", "bob"), ("alice", ""), ("", "bob"), ("a", "a:ctx"), ("", ":")])
def test_anothers_task_is_as_unknown_as_one_that_never_was(handler, tasks, operation, owner, other):
    task = send(handler, "ask", owner, contextId="ctx")
    never = task.id[:-1] + ("0" if task.id[-1] != "0" else "1")
    before = list(tasks.log.scan(tasks.topic(owner, task.id)))

    async def main():
        call = OPERATIONS[operation]
        return await outcome(call(handler, task.id, as_owner(other))), await outcome(
            call(handler, never, as_owner(other))
        )

    seen, unseen = asyncio.run(main())
    kind, said, data = unseen
    assert kind == "TaskNotFoundError"
    assert seen == (kind, said.replace(never, task.id), data)
    assert list(tasks.log.scan(tasks.topic(owner, task.id))) == before
    assert asyncio.run(handler.on_get_task(pb.GetTaskRequest(id=task.id), as_owner(owner))).id == task.id


def test_anothers_context_is_a_new_one_of_ones_own(handler):
    mine = send(handler, "x", "alice", contextId="ctx")
    theirs = send(handler, "x", "bob", contextId="ctx")
    again = send(handler, "x", "alice", contextId="ctx")
    assert mine.id != theirs.id
    assert mine.id == again.id
    assert [one.parts[0].text for one in theirs.history] == ["x"]


def test_each_lists_ones_own(handler):
    ids = {who: {send(handler, text, who, contextId="ctx").id for text in ("a", "b")} for who in ("alice", "bob", "")}
    for who, own in ids.items():
        for request in (pb.ListTasksRequest(), pb.ListTasksRequest(context_id="ctx")):
            page = asyncio.run(handler.on_list_tasks(request, as_owner(who)))
            assert {one.id for one in page.tasks} == own
            assert page.total_size == 2


def test_anothers_page_token_gives_nothing_of_theirs(handler):
    for number in range(3):
        send(handler, f"a{number}", "alice")
        send(handler, f"b{number}", "bob")
    first = asyncio.run(handler.on_list_tasks(pb.ListTasksRequest(page_size=1), as_owner("alice")))
    request = pb.ListTasksRequest(page_size=10, page_token=first.next_page_token)
    page = asyncio.run(handler.on_list_tasks(request, as_owner("bob")))
    assert {one.history[0].parts[0].text[0] for one in page.tasks} <= {"b"}


def test_anothers_cursor_shows_nothing(handler):
    """Offsets are of the context's own topic; another's task can't be reached with one."""
    task = send(handler, "x", "alice", contextId="ctx")
    send(handler, "x", "bob", contextId="ctx")

    async def main():
        who = as_owner("bob", last_event_id="2")
        return await outcome(collect(handler.on_subscribe_to_task(pb.SubscribeToTaskRequest(id=task.id), who)))

    assert asyncio.run(main())[0] == "TaskNotFoundError"


@pytest.mark.parametrize("owner", ["", "bob", "bob:x", ":", "a/b", "北京", "a%3Ab", " "])
@pytest.mark.parametrize("context", ["c", "a:b", ":c", "a%3Ab", "北:京", "bob:c"])
def test_a_key_tells_whose_context_it_is(owner, context):
    assert parse_context_key(context_key(owner, context)) == (owner, context)


def test_no_two_contexts_have_the_same_key():
    owners = ["", "b", "b:c", "b%3Ac", ":"]
    contexts = ["c", "b:c", ":c", "b%3Ac:c", "c:c"]
    keys = [context_key(owner, context) for owner in owners for context in contexts]
    assert len(set(keys)) == len(keys)


def test_a_task_says_nothing_of_its_owner(handler):
    task = send(handler, "x", "alice-secret-name", contextId="ctx")
    bare = MessageToDict(task)
    bare.pop("metadata")  # names the topic
    assert "alice" not in str(bare)
