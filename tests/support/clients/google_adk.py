"""What Google ADK's remote agent does with our agents: ``google_adk.py URL``, one line of JSON for each thing tried.

It is a user of agents rather than a client of the protocol: it asks, hears what is said, and goes on in a session.
"""

import asyncio
import json
import logging
import sys
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

from google.adk.agents.remote_a2a_agent import RemoteA2aAgent  # noqa: E402
from google.adk.runners import Runner  # noqa: E402
from google.adk.sessions import InMemorySessionService  # noqa: E402
from google.genai import types  # noqa: E402

BASE = sys.argv[1]


class Talk:
    """A conversation with one agent."""

    def __init__(self, agent):
        url = f"{BASE}/agents/{agent}/.well-known/agent-card.json"
        self.agent = RemoteA2aAgent(name="remote", agent_card=url, use_legacy=False)
        self.sessions = InMemorySessionService()
        self.runner = Runner(app_name="app", agent=self.agent, session_service=self.sessions)
        self.session = None

    async def say(self, text):
        """What it hears: the texts of the events, and the events."""
        if self.session is None:
            self.session = (await self.sessions.create_session(app_name="app", user_id="u")).id
        message = types.Content(role="user", parts=[types.Part(text=text)])
        events = [one async for one in self.runner.run_async(user_id="u", session_id=self.session, new_message=message)]
        if failed := next((one for one in events if one.error_message), None):
            raise RuntimeError(failed.error_message)
        parts = [part for one in events if one.content for part in one.content.parts or []]
        return [part.text for part in parts if part.text and not part.thought], events


async def main():
    """Tries one thing after the other."""

    async def check(name, act):
        try:
            ok, said = await act()
        except Exception as error:
            ok, said = False, f"{type(error).__name__}: {error}"[:300]
        print(json.dumps({"name": name, "ok": bool(ok), "said": str(said)[:300]}), flush=True)

    async def card():
        talk = Talk("echo")
        await talk.say("x")
        return "Says the same." in talk.agent.description, talk.agent.description

    async def send():
        texts, _ = await Talk("echo").say("你好")
        return "你好" in texts, texts

    async def plain():
        texts, _ = await Talk("plain").say("x")
        return texts == ["plain x"], texts

    async def stream():
        _, events = await Talk("everything").say("x")
        return len(events) > 3, f"{len(events)} events"

    async def question():
        talk = Talk("asker")
        await talk.say("day")
        texts, _ = await talk.say("Friday")
        return "Friday" in "".join(texts), texts

    async def error():
        try:
            await Talk("none").say("x")
        except Exception as problem:
            return "404" in str(problem), problem
        return False, "none"

    for name, act in (
        ("card", card),
        ("send", send),
        ("plain message", plain),
        ("stream", stream),
        ("question and answer", question),
        ("an error by its kind", error),
    ):
        await check(name, act)


asyncio.run(main())
