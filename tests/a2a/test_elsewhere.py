"""A log that is on servers, which take their time: who waits for them is a thread, and never the loop of the doors."""

import asyncio
import contextlib
import threading
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict

from nbagora_lab.a2a.outbox import PUSH, Outbox
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.webhooks import Webhooks
from nbagora_lab.a2a.wire import CANCELED, COMPLETED, INPUT_REQUIRED
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import ServerGone
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.core.vault import Vault
from task_logs import ObedientRunner, as_owner, handler_on, say, user_says

HOOK = "http://127.0.0.1:9/hook"


class Elsewhere(EmbeddedLog):
    """A log that notes which threads ask it, and holds up one append."""

    capabilities = EmbeddedLog.capabilities | {"remote"}

    def __init__(self, *args, **options):
        self.askers = set()
        self.asked, self.back = threading.Event(), threading.Event()
        self.back.set()
        super().__init__(*args, **options)

    def scan(self, *args, **options):
        self.askers.add(threading.get_ident())
        return super().scan(*args, **options)

    def info(self, *args):
        self.askers.add(threading.get_ident())
        return super().info(*args)

    def append(self, entries):
        self.askers.add(threading.get_ident())
        self.asked.set()
        assert self.back.wait(20)
        return super().append(entries)


class Idle(ObedientRunner):
    """Leaves tasks as they are; ends those that are cancelled."""

    def start(self, live, message, generation):
        self.started.append(live)

    async def cancel(self, live):
        await asyncio.to_thread(live.end_if_open, CANCELED)


@pytest.fixture
def log(tmp_path):
    log = Elsewhere(tmp_path / "store", clock=VirtualClock())
    yield log
    log.close()


@pytest.fixture
def handler(log, tmp_path):
    tasks = TaskLog(log, VirtualClock(), SeededIds(1, log.epoch))
    handler = handler_on(tasks, runner=Idle())
    vault = Vault(tmp_path / "keys.json")
    log.create_topic(PUSH, TopicSpec(ttl=7 * 86400.0, drained=True))
    handler.outbox = Outbox(tasks, EmbeddedGroups(log), vault, Webhooks(["127.0.0.1"]))
    return handler


def sending(text, **fields):
    return pb.SendMessageRequest(
        message=ParseDict(user_says(text, **fields), pb.Message()),
        configuration=pb.SendMessageConfiguration(return_immediately=True),
    )


async def first_of(batches):
    async with contextlib.aclosing(batches):
        return await anext(batches)


def hook(task, name="own"):
    return pb.TaskPushNotificationConfig(task_id=task, id=name, url=HOOK)


OPERATIONS = {
    "send": lambda handler, _: handler.send_json(sending("new", contextId="other"), as_owner()),
    "send again": lambda handler, _: handler.send_json(sending("天气", contextId="北京"), as_owner()),
    "answer": lambda handler, task: handler.send_json(sending("yes", taskId=task), as_owner()),
    "stream": lambda handler, _: first_of(handler.stream_batches(sending("new", contextId="other"), as_owner())),
    "stream again": lambda handler, _: first_of(handler.stream_batches(sending("天气", contextId="北京"), as_owner())),
    "subscribe": lambda handler, task: first_of(
        handler.subscribe_batches(pb.SubscribeToTaskRequest(id=task), as_owner())
    ),
    "get": lambda handler, task: handler.get_json(pb.GetTaskRequest(id=task), as_owner()),
    "list": lambda handler, _: handler.on_list_tasks(pb.ListTasksRequest(), as_owner()),
    "cancel": lambda handler, task: handler.on_cancel_task(pb.CancelTaskRequest(id=task), as_owner()),
    "add a webhook": lambda handler, task: handler.on_create_task_push_notification_config(
        hook(task, "more"), as_owner()
    ),
    "get a webhook": lambda handler, task: handler.on_get_task_push_notification_config(
        pb.GetTaskPushNotificationConfigRequest(task_id=task, id="own"), as_owner()
    ),
    "list webhooks": lambda handler, task: handler.on_list_task_push_notification_configs(
        pb.ListTaskPushNotificationConfigsRequest(task_id=task), as_owner()
    ),
    "remove a webhook": lambda handler, task: handler.on_delete_task_push_notification_config(
        pb.DeleteTaskPushNotificationConfigRequest(task_id=task, id="own"), as_owner()
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_no_operation_waits_for_servers_on_the_loop(handler, log, operation):
    async def operate():
        task = (await handler.send_json(sending("天气", contextId="北京"), as_owner()))["task"]["id"]
        await handler.on_create_task_push_notification_config(hook(task), as_owner())
        live = handler.tasks.live(task)
        live.status(INPUT_REQUIRED, say(live, "which day?"))
        log.askers.clear()
        await operation(handler, task)

    asyncio.run(operate())
    assert log.askers
    assert threading.get_ident() not in log.askers


def test_who_waits_for_a_newer_generation_does_not_either(handler, log):
    async def wait():
        task = (await handler.send_json(sending("天气"), as_owner()))["task"]["id"]
        context = as_owner()
        context.state["known_generation"] = 1
        log.askers.clear()
        waiting = asyncio.ensure_future(handler.newer(task, context))
        await asyncio.to_thread(handler.tasks.live(task).status, COMPLETED)
        await waiting

    asyncio.run(wait())
    assert threading.get_ident() not in log.askers


def test_what_tells_webhooks_begins_once_the_servers_are_back(handler, log, monkeypatch):
    begun = []
    handler.outbox._service = SimpleNamespace(submit=begun.append)

    async def add(name):
        task = (await handler.send_json(sending(name), as_owner()))["task"]["id"]
        await handler.on_create_task_push_notification_config(hook(task), as_owner())

    with monkeypatch.context() as away:
        away.setattr(log, "create_topic", Mock(side_effect=ServerGone("RocketMQ is away", "start it")))
        with pytest.raises(ServerGone):
            asyncio.run(add("first"))
    assert begun == []
    for name in ("second", "third"):
        asyncio.run(add(name))
    assert begun == [handler.outbox._run]


def test_a_message_that_is_on_record_is_taken_in_although_the_servers_went_away_then(handler, log, monkeypatch):
    append = log.append

    def then_gone(entries):
        offsets = append(entries)
        monkeypatch.setattr(log, "scan", Mock(side_effect=ServerGone("RocketMQ is away", "start it")))
        return offsets

    monkeypatch.setattr(log, "append", then_gone)
    assert asyncio.run(handler.send_json(sending("天气"), as_owner()))["task"]["id"]
    [started] = handler._runner().started
    assert not started.ended


def test_a_message_whose_caller_hangs_up_meanwhile_is_worked_on_and_taken_once(handler, log):
    """Its append is under way, and will be on record: nobody may open a second task for it before it is."""

    async def hang_up():
        log.asked.clear()
        log.back.clear()
        first = asyncio.ensure_future(handler.send_json(sending("天气", contextId="北京"), as_owner()))
        await asyncio.to_thread(log.asked.wait, 20)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        again = asyncio.ensure_future(handler.send_json(sending("天气", contextId="北京"), as_owner()))
        held = [lock.locked() for lock in handler._taking.values()]
        log.back.set()
        return held, (await again)["task"]["id"]

    held, task = asyncio.run(hang_up())
    assert held == [True]
    assert list(handler.tasks.directory()) == [task]
    assert [live.id for live in handler._runner().started] == [task]
