"""Holes of the stock SDK that are seen in process alone; each test names the one of ours that closes it."""

import asyncio
import base64
import socket

import httpx
import jwt
import pytest
from a2a.client.auth import AuthInterceptor, CredentialService
from a2a.client.interceptors import BeforeArgs
from a2a.server.agent_execution import AgentExecutor
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import BasePushNotificationSender, InMemoryPushNotificationConfigStore, InMemoryTaskStore
from a2a.types import a2a_pb2 as pb
from a2a.utils._jcs import canonicalize
from a2a.utils.push_url_validator import validate_push_notification_url
from a2a.utils.signing import create_agent_card_signer
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from bindings import user_message
from official import send_request
from webhook import webhook


class Burst(AgentExecutor):
    """Says many words at once."""

    def __init__(self, count):
        self._count = count
        self.done = asyncio.Event()

    async def execute(self, context, event_queue):
        ids = {"task_id": context.task_id, "context_id": context.context_id}
        status = pb.TaskStatus(state=pb.TASK_STATE_WORKING)
        await event_queue.enqueue_event(pb.Task(id=ids["task_id"], context_id=ids["context_id"], status=status))
        for number in range(self._count):
            artifact = pb.Artifact(artifact_id="a", parts=[pb.Part(text=f"{number} ")])
            await event_queue.enqueue_event(pb.TaskArtifactUpdateEvent(**ids, artifact=artifact, append=number > 0))
            if number % 10 == 0:
                await asyncio.sleep(0)
        status = pb.TaskStatus(state=pb.TASK_STATE_COMPLETED)
        await event_queue.enqueue_event(pb.TaskStatusUpdateEvent(**ids, status=status))
        self.done.set()

    async def cancel(self, context, event_queue):
        raise NotImplementedError


def stock_handler(executor):
    card = pb.AgentCard(name="stock", version="1", capabilities=pb.AgentCapabilities(streaming=True))
    return DefaultRequestHandler(executor, InMemoryTaskStore(), card)


def test_the_stock_sdk_doubles_chunks_after_a_resubscribe():
    """E2; here: `test_a_snapshot_in_a_burst_and_what_follows_double_nothing`."""

    async def trial():
        handler, context = stock_handler(Burst(400)), ServerCallContext()
        stream = handler.on_message_send_stream(send_request(user_message("x")), context)
        first = await anext(stream)
        words = []
        async for event in handler.on_subscribe_to_task(pb.SubscribeToTaskRequest(id=first.id), context):
            if isinstance(event, pb.Task):
                for _ in range(20):  # as a transport does before it has written it: the task grows meanwhile
                    await asyncio.sleep(0)
                words = [part.text for one in event.artifacts for part in one.parts]
            elif isinstance(event, pb.TaskArtifactUpdateEvent):
                words += [part.text for part in event.artifact.parts]
        await stream.aclose()
        return words

    told = [asyncio.run(trial()) for _ in range(4)]
    assert any(words != [f"{number} " for number in range(400)] for words in told)


def test_the_stock_sdk_is_led_inside_by_a_name_that_is_bound_anew(monkeypatch):
    """With its own check on, off by default; here: `test_a_name_that_is_bound_anew_leads_nowhere_else`."""
    resolve, asked = socket.getaddrinfo, []

    def rebound(host, *args, **options):
        if host in {"rebinds.example", b"rebinds.example"}:
            asked.append(host)
            host = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return resolve(host, *args, **options)

    async def tell(url):
        configs = InMemoryPushNotificationConfigStore()
        config = pb.TaskPushNotificationConfig(id="c", task_id="t", url=url)
        await configs.set_info("t", config, ServerCallContext())
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            sender = BasePushNotificationSender(http, configs, push_url_validator=validate_push_notification_url)
            await sender.send_notification("t", pb.Task(id="t"))

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with webhook() as hook:
        asyncio.run(tell(hook.url.replace("127.0.0.1", "rebinds.example")))
        assert len(hook.told) == 1


@pytest.mark.thorough
def test_the_stock_sdk_cuts_a_slow_reader_off_without_a_word():
    """E3; here: `test_a_slow_reader_is_given_all`."""

    async def run():
        executor = Burst(5000)
        found = []
        async for event in stock_handler(executor).on_message_send_stream(
            send_request(user_message("x")), ServerCallContext()
        ):
            found.append(event)
            if len(found) == 5:
                await executor.done.wait()
        return found

    found = asyncio.run(run())
    assert len(found) < 5000
    assert not any(isinstance(one, pb.TaskStatusUpdateEvent) for one in found)  # and its stream just ended


def test_the_stock_sdk_writes_a_task_anew_with_each_event():
    """Here: `test_all_snapshots_of_a_session_have_less_than_twice_its_bytes`."""

    class Counting(InMemoryTaskStore):
        written = 0

        async def save(self, task, *args, **options):
            self.written += task.ByteSize()
            await super().save(task, *args, **options)

    async def run():
        store = Counting()
        card = pb.AgentCard(name="stock", version="1", capabilities=pb.AgentCapabilities(streaming=True))
        handler = DefaultRequestHandler(Burst(400), store, card)
        stream = handler.on_message_send_stream(send_request(user_message("x")), ServerCallContext())
        told = sum([event.ByteSize() async for event in stream])
        return told, store.written

    told, written = asyncio.run(run())
    assert written > 10 * told, (told, written)


def test_the_stock_sdk_signs_no_required_field_that_is_empty():
    """A reader of the specification (8.4.1) takes its signature for a forged one; here: `test_a_card_is_whole`."""
    key = jwt.PyJWK(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True), "ES256")
    sign = create_agent_card_signer(key, {"kid": "k", "alg": "ES256", "jku": None, "typ": "JOSE"})
    [signature] = sign(pb.AgentCard(name="x")).signatures

    def covers(content):
        payload = base64.urlsafe_b64encode(canonicalize(content).encode()).decode().rstrip("=")
        try:
            jwt.api_jws.decode(f"{signature.protected}.{payload}.{signature.signature}", key, ["ES256"])
        except jwt.InvalidSignatureError:
            return False
        return True

    assert covers({"name": "x"})
    assert not covers({"name": "x", "description": "", "version": "", "skills": []})


@pytest.mark.parametrize(
    "scheme",
    [
        pb.SecurityScheme(http_auth_security_scheme=pb.HTTPAuthSecurityScheme(scheme="basic")),
        pb.SecurityScheme(api_key_security_scheme=pb.APIKeySecurityScheme(location="query", name="key")),
        pb.SecurityScheme(api_key_security_scheme=pb.APIKeySecurityScheme(location="cookie", name="sid")),
    ],
    ids=["basic", "query", "cookie"],
)
def test_the_stock_sdks_client_shows_nothing_where_the_card_asks_for_it(scheme):
    """Here: `test_what_the_card_asks_for_is_shown`."""

    class Known(CredentialService):
        async def get_credentials(self, security_scheme_name, context):
            return "hush"

    wanted = pb.SecurityRequirement(schemes={"s": pb.StringList()})
    card = pb.AgentCard(name="x", security_schemes={"s": scheme}, security_requirements=[wanted])
    asked = BeforeArgs(input=None, method="send_message", agent_card=card)
    asyncio.run(AuthInterceptor(Known()).before(asked))
    assert asked.context is None or not asked.context.service_parameters
