"""The official client's defects: each test fails once the client is mended, and its guard can go.

They look at what the client would send, so no server is needed.
"""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nbagora_lab.broker.rocketmq import official
from nbagora_lab.core.errors import Unsupported

rocketmq = official.client()


def test_the_guards_are_for_the_version_that_is_pinned() -> None:
    assert official.version() == official.VERSION


def request_of(kind: Any, name: str) -> Any:
    """What a consumer of that kind would send to subscribe to a lite topic."""
    configuration = rocketmq.ClientConfiguration("127.0.0.1:1", rocketmq.Credentials(), "")
    consumer = kind("parent", configuration, "group", 5)
    manager = consumer._LiteSimpleConsumer__subscription_manager
    build = manager._LiteTopicSubscriptionManager__add_lite_subscription_req
    return build(name, "group", configuration)


def test_a_lite_topic_is_subscribed_to_letter_by_letter() -> None:
    assert sorted(request_of(rocketmq.LiteSimpleConsumer, "s-42").lite_topic_set) == ["-", "2", "4", "s"]


def test_under_the_guard_it_is_whole() -> None:
    assert list(request_of(official._guarded(), "s-42").lite_topic_set) == ["s-42"]


def test_under_the_guard_it_is_a_kind_of_consumer_that_5_5_0_takes() -> None:
    from rocketmq.grpc_protocol import ClientType

    configuration = rocketmq.ClientConfiguration("127.0.0.1:1", rocketmq.Credentials(), "")
    assert rocketmq.LiteSimpleConsumer("p", configuration, "g", 5).client_type == ClientType.LITE_SIMPLE_CONSUMER
    assert official._guarded()("p", configuration, "g", 5).client_type == ClientType.LITE_PUSH_CONSUMER


@pytest.mark.parametrize("name", ["ack_async", "change_invisible_duration_async"])
def test_what_should_give_a_future_gives_nothing(name: str) -> None:
    assert "return self" not in inspect.getsource(getattr(rocketmq.SimpleConsumer, name))
    assert "return self" in inspect.getsource(getattr(official._guarded(), name))


def test_what_it_should_give_is_a_future_of_asyncio_and_under_the_guard_one_that_a_thread_can_wait_for() -> None:
    code = "import rocketmq.v5.consumer.consumer as module; print(module.Future.__module__)"
    quiet = "from nbagora_lab.broker.rocketmq import official; official.client(); "
    for guard, home in (("", "_asyncio"), ("official._guarded(); ", "concurrent.futures._base")):
        done = subprocess.run([sys.executable, "-c", quiet + guard + code], check=True, capture_output=True, text=True)
        assert done.stdout.strip() == home


def test_a_receipt_comes_by_a_pool_of_threads_and_under_the_guard_on_the_loop_itself() -> None:
    assert "_submit_callback" in inspect.getsource(rocketmq.Producer._Producer__handle_send_response_async)
    assert "SendMessage" in inspect.getsource(official._producing().deliver)


def test_its_connections_wait_as_long_as_grpc_lets_them_before_they_try_again() -> None:
    module: Any = importlib.import_module("rocketmq.v5.client.connection.rpc_channel")
    assert "reconnect_backoff" not in inspect.getsource(module)
    assert module.aio.insecure_channel.__module__ == official.__name__


def test_importing_it_leaves_no_folder_at_home(tmp_path: Path) -> None:
    guarded = "from nbagora_lab.broker.rocketmq.official import client; client()"
    for code, left in ((guarded, []), ("import rocketmq", ["logs"])):
        environment = {"HOME": str(tmp_path), "PATH": ""}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        assert [path.name for path in tmp_path.iterdir()] == left


def test_without_the_client_two_lines_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise official.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(official.importlib.metadata, "version", missing)
    with pytest.raises(Unsupported) as caught:
        official.version()
    assert caught.value._render_traceback_()[1] == "hint: pip install 'nbagora[rocketmq]'"
