"""What a2a-sdk 0.3 does with our agents: ``official_03.py URL BINDING``, one line of JSON for each thing tried."""

import asyncio
import json
import sys
from itertools import count

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import Message, Part, Role, TaskIdParams, TaskQueryParams, TextPart, TransportProtocol

BASE, BINDING = sys.argv[1:3]
NUMBERS = count()


def say(text, **more):
    """A user's message."""
    return Message(
        message_id=f"old-{BINDING}-{next(NUMBERS)}", role=Role.user, parts=[Part(root=TextPart(text=text))], **more
    )


def text_of(task):
    """The text of a task's artifacts."""
    parts = [part.root for artifact in task.artifacts or [] for part in artifact.parts]
    return "".join(getattr(part, "text", "") for part in parts)


async def main():
    """Tries one thing after the other."""
    async with httpx.AsyncClient(timeout=30) as http:

        async def client(agent, *, streaming=True):
            base = f"{BASE}/agents/{agent}/v0.3"
            card = await A2ACardResolver(http, base).get_agent_card()
            if BINDING == "HTTP+JSON":
                card.preferred_transport = TransportProtocol.http_json
            config = ClientConfig(
                httpx_client=http, streaming=streaming, supported_transports=[TransportProtocol(BINDING)]
            )
            return ClientFactory(config).create(card)

        async def last(events):
            found = None
            async for event in events:
                found = event[0] if isinstance(event, tuple) else event
            return found

        async def check(name, act):
            try:
                ok, said = await act()
            except Exception as error:
                ok, said = False, f"{type(error).__name__}: {error}"[:200]
            print(json.dumps({"name": name, "ok": bool(ok), "said": str(said)}), flush=True)

        async def card():
            found = await (await client("echo")).get_card()
            return found.name == "echo" and found.protocol_version == "0.3", found.protocol_version

        async def send():
            task = await last((await client("echo", streaming=False)).send_message(say("你好")))
            return task.status.state == "completed" and text_of(task) == "你好", text_of(task)

        async def plain():
            found = await last((await client("plain")).send_message(say("x")))
            return isinstance(found, Message), type(found).__name__

        async def stream():
            seen = [event async for event in (await client("everything")).send_message(say("x"))]
            return len(seen) > 8 and seen[-1][0].status.state == "completed", f"{len(seen)} events"

        async def get():
            sent = await last((await client("echo")).send_message(say("x")))
            got = await (await client("echo")).get_task(TaskQueryParams(id=sent.id))
            return got.id == sent.id, got.status.state

        async def question():
            asker = await client("asker")
            asked = await last(asker.send_message(say("day")))
            done = await last(asker.send_message(say("Friday", task_id=asked.id, context_id=asked.context_id)))
            return asked.status.state == "input-required" and text_of(done) == "Friday", text_of(done)

        async def cancel():
            gated = await client("gated")
            events = gated.send_message(say(f"old {BINDING}"))
            opened = (await anext(events))[0]
            await events.aclose()
            seen = []
            async for task, _ in gated.resubscribe(TaskIdParams(id=opened.id)):
                seen.append(task.status.state)
                if len(seen) == 1:
                    await gated.cancel_task(TaskIdParams(id=opened.id))
            return seen[-1] == "canceled", f"{len(seen)} events"

        async def error():
            try:
                await (await client("echo")).get_task(TaskQueryParams(id="ctx.none"))
            except Exception as problem:
                return "-32001" in str(problem) or "not found" in str(problem).lower() or "404" in str(problem), problem
            return False, "none"

        for name, act in (
            ("card", card),
            ("send", send),
            ("plain message", plain),
            ("stream", stream),
            ("get and list", get),
            ("question and answer", question),
            ("subscribe and cancel", cancel),
            ("an error by its kind", error),
        ):
            await check(name, act)


asyncio.run(main())
