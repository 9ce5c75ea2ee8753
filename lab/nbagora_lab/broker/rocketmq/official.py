"""The official Python client, rocketmq-python-client, with its defects guarded.

Each guard holds for the versions in which the defect was seen, and `tests/broker/rocketmq/test_official.py` says when
one is no longer needed. What is guarded here: the client opens a log file in the home folder when it is imported; its
`LiteSimpleConsumer` asks for a kind of consumer that a 5.5.0 server refuses; `subscribe_lite` sends a name letter by
letter; `ack_async` and `change_invisible_duration_async` give nothing back, and what they should give nobody can wait
for; each send hops between four threads; a proxy that was away for long is not tried again for up to two minutes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import importlib
import importlib.metadata
import logging
import sys
import types
from typing import Any

from nbagora_lab.core.errors import Unsupported

__all__ = ["VERSION", "client", "lite_consumer", "producer", "version"]

VERSION = "5.1.2"
"""The version whose defects are known; another one is taken as it is, where it is newer."""


def version() -> str:
    """The installed version.

    Raises:
        Unsupported: It is not installed.
    """
    try:
        return importlib.metadata.version("rocketmq-python-client")
    except importlib.metadata.PackageNotFoundError:
        raise Unsupported(
            "the rocketmq engine needs RocketMQ's own client, which is not installed", "pip install 'nbagora[rocketmq]'"
        ) from None


@functools.cache
def client() -> Any:
    """The client's module `rocketmq`, imported when it is first needed.

    Raises:
        Unsupported: It is not installed.
    """
    version()
    name = "rocketmq.v5.log"
    if name not in sys.modules:  # the client's own one makes ~/logs/rocketmq_python and writes there
        quiet = types.ModuleType(name)
        quiet.logger = logging.getLogger("rocketmq-python-client")  # type: ignore[attr-defined]
        quiet.logger.addHandler(logging.NullHandler())
        quiet.logger.propagate = False
        quiet.logger.setLevel(logging.CRITICAL)
        sys.modules[name] = quiet
    import rocketmq

    if version() == VERSION:
        _reconnect_soon()
    return rocketmq


def _reconnect_soon() -> None:
    """Has a proxy that was away be tried each second again; gRPC's own pauses grow to two minutes."""
    module: Any = importlib.import_module("rocketmq.v5.client.connection.rpc_channel")
    aio, pauses = module.aio, [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]

    def insecure_channel(target: str, options: list[tuple[str, Any]]) -> Any:
        return aio.insecure_channel(target, [*options, *pauses])

    def secure_channel(target: str, credentials: Any, options: list[tuple[str, Any]]) -> Any:
        return aio.secure_channel(target, credentials, [*options, *pauses])

    module.aio = types.SimpleNamespace(insecure_channel=insecure_channel, secure_channel=secure_channel)


def lite_consumer(parent: str, configuration: Any, group: str, *, wait: int) -> Any:
    """A started consumer of lite topics that receives on demand.

    Args:
        parent: The parent topic, as it is spelt there.
        configuration: The client's `ClientConfiguration`.
        group: The group, as it is spelt there.
        wait: Seconds that the server holds a receive back; below 5 it waits 5.
    """
    kind = _guarded() if version() == VERSION else client().LiteSimpleConsumer
    made = kind(parent, configuration, group, wait)
    made.startup()
    return made


def producer(configuration: Any) -> Any:
    """A started producer that also sends on the client's own loop.

    Args:
        configuration: The client's `ClientConfiguration`.

    Returns:
        The client's `Producer`, with the attribute `loop` and the coroutine function `deliver`, which sends a message
        on that loop and returns once it is stored; it raises what the client raises.
    """
    made = _producing()(configuration, ())
    made.startup()
    return made


@functools.cache
def _producing() -> Any:
    rocketmq = client()
    from rocketmq.v5.exception import IllegalArgumentException
    from rocketmq.v5.util import MessagingResultChecker

    class Plain(rocketmq.Producer):  # type: ignore[name-defined,misc]
        """The client's producer, as it is."""

        @property
        def loop(self) -> asyncio.AbstractEventLoop:
            return self._rpc_channel_io_loop()  # type: ignore[no-any-return]

        async def deliver(self, message: Any) -> None:
            await asyncio.wrap_future(self.send_async(message))

    class Direct(Plain):
        """The same, which leaves out the ways between threads.

        For each message the client's `send_async` goes from the caller's thread to its loop, from there to a pool of
        threads, and back. Here a coroutine on that loop makes the same call, once, on the same connection, by the
        client's route, request and signature.
        """

        async def deliver(self, message: Any) -> None:
            if message.topic not in self.topics:  # the client waits for the route, which comes on this very loop
                await self.loop.run_in_executor(None, self._retrieve_topic_route_data, message.topic)
            self._Producer__wrap_sending_message(message, False)
            queue = self._Producer__select_send_queue(message)
            if message.message_type not in queue.accept_message_types:
                raise IllegalArgumentException("message type not match")  # type: ignore[no-untyped-call]
            channel = self.rpc_client.retrieve_or_create_channel(queue.endpoints)
            request, timeout = self._Producer__send_req(message), self.client_configuration.request_timeout
            answer = await channel.async_stub.SendMessage(request, metadata=self.sign(), timeout=timeout)
            MessagingResultChecker.check(answer.status)

    return Direct if version() == VERSION else Plain


@functools.cache
def _guarded() -> Any:
    rocketmq = client()
    from rocketmq.grpc_protocol import ClientType

    module: Any = importlib.import_module("rocketmq.v5.consumer.consumer")
    module.Future = concurrent.futures.Future  # it means this one, but takes asyncio's, which no thread can wait for

    class Guarded(rocketmq.LiteSimpleConsumer):  # type: ignore[name-defined,misc]
        """The client's consumer, such that a 5.5.0 server takes it and names arrive whole."""

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            # 5.5.0 knows no LITE_SIMPLE_CONSUMER (apache/rocketmq PR 10570, 5.5.1); a push consumer's settings do, and
            # start-up then waits for them, so that a subscription at once is not refused with "exceed quota: 0".
            self._Client__client_type = ClientType.LITE_PUSH_CONSUMER
            manager = self._LiteSimpleConsumer__subscription_manager
            manager_name = "_LiteTopicSubscriptionManager__sync_lite_subscription_req"
            build = getattr(manager, manager_name)

            def whole(lite_topics: Any, *rest: Any) -> Any:
                return build({lite_topics} if isinstance(lite_topics, str) else lite_topics, *rest)

            setattr(manager, manager_name, whole)

        def ack_async(self, message: Any) -> Any:
            return self._ack_async(message)

        def change_invisible_duration_async(self, message: Any, invisible_duration: int) -> Any:
            return self._change_invisible_duration_async(message, invisible_duration)

    return Guarded
