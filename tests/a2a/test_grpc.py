"""gRPC, by the official client: the same operations on the same log, one port for all agents, closed to strangers."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest
from a2a.client import A2ACardResolver, ClientCallContext, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotFoundError

from nbagora_lab.lab import Lab
from official import send_request


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(store=tmp_path_factory.mktemp("grpc"), grpc=0) as lab:

        @lab.agent
        async def words(message, task):
            for word in message.text.split():
                yield word + " "

        @lab.agent(auth=["bearer"])
        async def asks(message, task):
            answer = await task.ask("哪天？")
            return answer.text

        yield lab


@asynccontextmanager
async def client(lab, agent, token):
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {lab.token}"}, trust_env=False, timeout=30) as http:
        card = await A2ACardResolver(http, f"{lab.url}/agents/{agent}").get_agent_card()
    config = ClientConfig(supported_protocol_bindings=["GRPC"], grpc_channel_factory=grpc.aio.insecure_channel)
    made = ClientFactory(config).create(card)
    shown = {"authorization": f"Bearer {token}"} if token else {}
    try:
        yield made, lambda **more: ClientCallContext(service_parameters={**shown, **more})
    finally:
        await made.close()


def message(text, **fields):
    return {"messageId": f"m-{text}", "role": "ROLE_USER", "parts": [{"text": text}], **fields}


def test_a_stream_is_that_of_the_log_and_resumes(lab):
    async def run():
        async with client(lab, "words", lab.token) as (grpc_client, shown):
            events = [one async for one in grpc_client.send_message(send_request(message("a b 你好")), context=shown())]
            task_id = events[0].task.id
            chunk = next(one.artifact_update for one in events if one.HasField("artifact_update"))
            offset = chunk.metadata["urn:nbagora:a2a-log:1"]["offset"]
            request = pb.SubscribeToTaskRequest(id=task_id)
            rest = [one async for one in grpc_client.subscribe(request, context=shown(**{"last-event-id": offset}))]
            return events, rest, chunk

    events, rest, chunk = asyncio.run(run())
    assert rest == events[events.index(next(one for one in events if one.artifact_update == chunk)) + 1 :]
    texts = [one.artifact_update.artifact.parts[0].text for one in events if one.HasField("artifact_update")]
    assert "".join(texts) == "a b 你好 "
    assert events[-1].status_update.status.state == pb.TASK_STATE_COMPLETED
    assert lab.task(events[0].task.id).text == "a b 你好 "


def test_a_caller_with_a_name_has_its_own_tasks(lab):
    bob, eve = lab.credentials.grant("bob"), lab.credentials.grant("eve")

    async def run():
        async with client(lab, "asks", bob) as (grpc_client, shown):
            [asked] = [one async for one in grpc_client.send_message(send_request(message("x")), context=shown())][-1:]
            task_id = asked.status_update.task_id
            answer = send_request(message("周五", taskId=task_id))
            said = [one async for one in grpc_client.send_message(answer, context=shown())]
            listed = await grpc_client.list_tasks(pb.ListTasksRequest(), context=shown())
            assert [one.id for one in listed.tasks] == [task_id]
        async with client(lab, "asks", eve) as (grpc_client, shown):
            with pytest.raises(TaskNotFoundError):
                await grpc_client.get_task(pb.GetTaskRequest(id=task_id), context=shown())
        return said

    assert asyncio.run(run())[-1].status_update.status.state == pb.TASK_STATE_COMPLETED


@pytest.mark.parametrize("token", ["", "wrong"])
def test_strangers_are_not_let_in(lab, token):
    async def run():
        async with client(lab, "words", token) as (grpc_client, shown):
            await grpc_client.get_task(pb.GetTaskRequest(id="x"), context=shown())

    with pytest.raises(Exception, match="show who you are"):
        asyncio.run(run())


def test_no_such_agent_and_no_such_version(lab):
    from a2a.types.a2a_pb2_grpc import A2AServiceStub

    async def call(tenant, version):
        address = next(one for one in lab.card("words")["supportedInterfaces"] if one["protocolBinding"] == "GRPC")
        async with grpc.aio.insecure_channel(address["url"]) as channel:
            metadata = (("authorization", f"Bearer {lab.token}"), ("a2a-version", version))
            await A2AServiceStub(channel).GetTask(pb.GetTaskRequest(id="x", tenant=tenant), metadata=metadata)

    for tenant, version, code in (
        ("none", "1.0", grpc.StatusCode.NOT_FOUND),
        ("words", "1.7", grpc.StatusCode.FAILED_PRECONDITION),
        ("words", "1.0", grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            asyncio.run(call(tenant, version))
        assert refused.value.code() is code
