"""The outbox of push notifications: what webhooks are to be told waits on topics of the broker until it was told.

An event of a task with webhooks is appended together with a reference to it on each webhook's own lite topic below
``push``; so nothing is told that is not on record, nothing on record is forgotten, and no event waits for a webhook.
The group ``push`` hands the references out, in order within a webhook, to this lab's workers: delivered at least once,
again after a pause that grows (with jitter) where a webhook fails, and a dead letter in the end, which `Broker`'s
``replay_dead("push")`` sends again. Its settings (``backoff``, ``max_attempts``) are the group's.

What is posted is the event's `StreamResponse` as ``application/a2a+json``, with these headers:

| header | |
|---|---|
| ``Authorization`` | scheme and credentials of the configuration's ``authentication`` |
| ``X-A2A-Notification-Token`` | the configuration's ``token`` |
| ``webhook-id`` | names the event for this webhook, the same whenever it is told again |
| ``webhook-timestamp``, ``webhook-signature`` | HMAC-SHA256 by that token, as https://www.standardwebhooks.com has it |
| ``X-A2A-Signature`` | a JWS (ES256, detached payload) by the lab's key, at ``/.well-known/jwks.json`` |
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.webhooks import Webhooks
from nbagora_lab.a2a.wire import dumps
from nbagora_lab.broker.api import Groups
from nbagora_lab.broker.consumer import Consumer
from nbagora_lab.broker.delivery import Delivery
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.tail import aside
from nbagora_lab.core.errors import Suspend, TaskNotFound, UsageError
from nbagora_lab.core.events import Flags, RecordType, encode, head_of
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.core.vault import Vault
from nbagora_lab.inspect.fold import TaskFold

__all__ = ["PUSH", "Outbox"]

PUSH = "push"
"""Name of the parent topic of all webhooks' topics, and of the group that tells them."""

_KEPT = 7 * 86400.0  # seconds
_BACKOFF = (1, 5, 15, 60, 300, 900, 1800, 3600)  # seconds
_ATTEMPTS = 9  # over two hours
_WEBHOOKS = 32  # that are told at once
_JITTER = 0.5  # of a pause, at most, on top of it
_log = logger.getChild("a2a")


class Outbox:
    """Webhooks of tasks, and what tells them.

    Args:
        tasks: The task log.
        groups: The broker's groups.
        vault: Where credentials are kept.
        hooks: What posts.
        sign: Gives the detached JWS of a body.
    """

    def __init__(
        self,
        tasks: TaskLog,
        groups: Groups,
        vault: Vault,
        hooks: Webhooks,
        sign: Callable[[bytes], str] | None = None,
    ) -> None:
        self.hooks = hooks
        self._tasks = tasks
        self._groups = groups
        self._vault = vault
        self._sign = sign
        self._service: ServiceLoop | None = None
        self._starting = threading.Lock()
        self._running = False
        self._read: dict[str, int] = {}  # by webhook, the offset of the event that was told last

    # -- configurations --------------------------------------------------------------------------------------------

    def added(self, live: LiveTask | None, fold_id: str, config: dict[str, Any]) -> bytes:
        """The record of a webhook that is added to a task, whose next events it is told.

        Args:
            live: The task, where this process writes it.
            fold_id: The task's id.
            config: Its configuration as ProtoJSON, with id and URL.
        """
        target = f"{PUSH}/{self._tasks.ids.new('push', fold_id)}"
        secrets = {
            name: value
            for name, value in (
                ("token", config.get("token")),
                ("credentials", config.get("authentication", {}).get("credentials")),
            )
            if value
        }
        if secrets:
            self._vault.put(PUSH, target, secrets)
        scheme = config.get("authentication", {}).get("scheme")
        body = {"id": config["id"], "url": config["url"], "target": target} | ({"scheme": scheme} if scheme else {})
        self._open()
        if live is not None:
            live.targets = (*live.targets, target)
        return self._record(fold_id, body)

    def removed(self, live: LiveTask | None, fold: TaskFold, config_id: str) -> bytes | None:
        """The record that a webhook is told nothing more; None where the task has none of that id."""
        config = fold.webhooks.get(config_id)
        if config is None:
            return None
        if live is not None:
            live.targets = tuple(one for one in live.targets if one != config["target"])
        self._vault.drop(PUSH, config["target"])
        return self._record(fold.id, {"id": config_id, "removed": True})

    def shown(self, fold: TaskFold, config: dict[str, Any]) -> dict[str, Any]:
        """A configuration as its owner gave it, but for the credentials, which are told to nobody."""
        secrets = self._vault.get(PUSH, config["target"]) or {}
        found = {"taskId": fold.id, "id": config["id"], "url": config["url"]}
        if "token" in secrets:
            found["token"] = secrets["token"]
        if "scheme" in config:
            found["authentication"] = {"scheme": config["scheme"]}
        return found

    def _record(self, task_id: str, body: dict[str, Any]) -> bytes:
        log = self._tasks.log
        now = self._tasks.clock.now()
        return encode(RecordType.WEBHOOK, dumps(body), subject=task_id.encode(), time=now, epoch=log.epoch)

    # -- telling ---------------------------------------------------------------------------------------------------

    def start(self, service: ServiceLoop) -> None:
        """Tells what an earlier process left, and from now on what comes."""
        self._service = service
        if PUSH in self._tasks.log.parents():
            self._open()

    def _open(self) -> None:
        if self._service is None:
            return
        with self._starting:  # where the log is elsewhere, each caller has a thread of its own
            if self._running:
                return
            self._tasks.log.create_topic(PUSH, TopicSpec(ttl=_KEPT, drained=True))
            if PUSH not in self._groups.groups():  # whoever changed its settings meant them to last
                self._groups.create_group(PUSH, GroupSpec(topic=PUSH, backoff=_BACKOFF, max_attempts=_ATTEMPTS))
            self._running = True  # not before: where the servers are away, the next webhook tries again
            self._service.submit(self._run)

    async def _run(self) -> None:
        consumer = Consumer(self._groups, self._tasks.clock, PUSH, "lab", subscribe=["*"])
        try:
            await consumer.arun(self._tell, concurrency=_WEBHOOKS)
        finally:
            await self.hooks.close()
            consumer.close()

    async def _tell(self, delivery: Delivery) -> None:
        """Tells a webhook of one event; returns where there is nothing to tell any more."""
        record = delivery.record
        told = json.loads(record.body)
        try:
            fold = await aside(self._tasks.log, partial(self._tasks.find, told["owner"], record.subject))
        except TaskNotFound:
            return  # its session has expired
        config = next((one for one in fold.webhooks.values() if one["target"] == delivery.topic), None)
        if config is None:
            return
        body = await asyncio.to_thread(self._event, fold, delivery.topic, told)
        if body is None:
            return
        try:
            response = await self.hooks.post(
                config["url"],
                body,
                self._headers(config, body, f"{delivery.topic}.{told['generation']}")
                | ({"traceparent": record.traceparent} if record.traceparent else {}),
            )
        except UsageError as error:
            raise self._again(delivery, error.what) from None
        except (OSError, TimeoutError) as error:
            raise self._again(delivery, repr(error)) from None
        if response.is_success:
            return
        if response.status_code == 410:  # it wants to hear nothing more
            if (removal := self.removed(self._tasks.live(fold.id), fold, config["id"])) is not None:
                entries = [(self._tasks.topic(told["owner"], fold.id), removal)]
                await aside(self._tasks.log, partial(self._tasks.log.append, entries))
            return
        if response.status_code in {429, 503} and "Retry-After" in response.headers:
            response.raise_for_status()
        raise self._again(delivery, f"it answered {response.status_code}")

    def _again(self, delivery: Delivery, why: str) -> Suspend:
        pause = self._groups.groups()[PUSH].pause(delivery.attempt)
        share = int.from_bytes(hashlib.sha256(str(delivery.handle).encode()).digest()[:4]) / (1 << 32)
        return Suspend(
            f"the webhook of {delivery.record.subject} was not told: {why}",
            seconds=pause * (1 + _JITTER * share),
            counted=True,
        )

    def _event(self, fold: TaskFold, target: str, told: dict[str, Any]) -> bytes | None:
        """The event as streams give it; each webhook reads on from where it was."""
        from nbagora_lab.a2a.frames import frame_of

        topic, subject = self._tasks.topic(told["owner"], fold.id), fold.id.encode()
        generation = told["generation"]
        after = self._read.get(target, fold.opened - 1)
        for start in {after, fold.opened - 1}:  # the second where something is told again
            at = start
            while batch := self._tasks.log.scan(topic, after=at):
                for at, stored in batch:
                    head = head_of(stored)
                    if head.subject == subject and head.generation == generation and head.epoch >= fold.claim_at(at):
                        if head.flags & Flags.TERMINAL:  # its last
                            self._read.pop(target, None)
                        else:
                            self._read[target] = at - 1
                        return frame_of(at, head, stored).body
        return None

    def _headers(self, config: dict[str, Any], body: bytes, name: str) -> dict[str, str]:
        secrets = self._vault.get(PUSH, config["target"]) or {}
        stamp = str(int(self._tasks.clock.now()))
        headers = {
            "Content-Type": "application/a2a+json",
            "A2A-Version": "1.0",
            "webhook-id": name,
            "webhook-timestamp": stamp,
        }
        if token := secrets.get("token"):
            headers["X-A2A-Notification-Token"] = token
            signed = f"{name}.{stamp}.".encode() + body
            mac = base64.b64encode(hmac.digest(token.encode(), signed, "sha256")).decode()
            headers["webhook-signature"] = f"v1,{mac}"
        if credentials := secrets.get("credentials"):
            headers["Authorization"] = f"{config.get('scheme') or 'Bearer'} {credentials}"
        if self._sign is not None:
            headers["X-A2A-Signature"] = self._sign(body)
        return headers
