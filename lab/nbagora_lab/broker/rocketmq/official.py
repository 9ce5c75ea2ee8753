"""The official Python client, rocketmq-python-client, with its defects guarded.

Each guard holds for the versions in which the defect was seen, and `tests/broker/rocketmq/test_official.py` says when
one is no longer needed. What is guarded here: the client opens a log file in the home folder when it is imported; its
`LiteSimpleConsumer` asks for a kind of consumer that a 5.5.0 server refuses; `subscribe_lite` sends a name letter by
letter; `ack_async` and `change_invisible_duration_async` give nothing back.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import sys
import types
from typing import Any

from nbagora_lab.core.errors import Unsupported

__all__ = ["VERSION", "client", "lite_consumer", "version"]

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

    return rocketmq


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


@functools.cache
def _guarded() -> Any:
    rocketmq = client()
    from rocketmq.grpc_protocol import ClientType

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
