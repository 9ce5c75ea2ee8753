"""Nacos' own Python SDK, in an environment of its own, as the other side: reads an agent, and writes one.

    python nacos_sdk_peer.py HOST:PORT NAMESPACE USER PASSWORD NAME FOLDER

Prints what it read of NAME as JSON, then publishes ``from-sdk`` 1.0.0 with an endpoint, waits for a line, and ends.
"""

import asyncio
import json
import sys

from a2a.types import AgentCapabilities, AgentCard, AgentSkill
from v2.nacos import ClientConfigBuilder
from v2.nacos.ai.model.ai_param import GetAgentCardParam, RegisterAgentEndpointParam, ReleaseAgentCardParam
from v2.nacos.ai.nacos_ai_service import NacosAIService


async def main(address: str, namespace: str, user: str, password: str, name: str, folder: str) -> None:
    """Reads, writes, waits."""
    config = (
        ClientConfigBuilder()
        .server_address(address)
        .namespace_id(namespace)
        .username(user)
        .password(password)
        .log_level("WARNING")
        .log_dir(folder)
        .build()
    )
    service = await NacosAIService.create_ai_service(config)
    # Of 3.2.0 `get_agent_card` hands version and registration type on in each other's place, so neither is given: the
    # server then takes what the card was registered as, here SERVICE, and gives the URL of a live endpoint.
    card = await service.get_agent_card(GetAgentCardParam(agent_name=name))
    print(json.dumps(card.model_dump(mode="json", by_alias=True)), flush=True)
    skill = AgentSkill(id="s", name="s", description="d", tags=["t"])
    own = AgentCard(
        name="from-sdk",
        description="由 SDK 写的。",
        version="1.0.0",
        protocol_version="0.3.0",
        preferred_transport="JSONRPC",
        url="http://127.0.0.1:9/x",
        capabilities=AgentCapabilities(streaming=True),
        skills=[skill],
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
    )
    await service.release_agent_card(ReleaseAgentCardParam(agent_card=own, set_as_latest=True))
    await service.register_agent_endpoint(
        RegisterAgentEndpointParam(agent_name="from-sdk", version="1.0.0", address="127.0.0.1", port=9, path="/x")
    )
    print("written", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await service.shutdown()


asyncio.run(main(*sys.argv[1:]))
