"""`%agent`, `%%agent` and `%%ask`: agents, and what they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nbagora.card import CardSheet
from nbagora.command import Arg, Command, Face
from nbagora.show import Note
from nbagora.table import Table

if TYPE_CHECKING:
    from nbagora_lab.a2a.task import Task
    from nbagora_lab.inspect.status import AgentInfo

__all__ = ["Ask", "Card", "Define", "Find", "List", "Login", "Logout", "Send", "Stop"]

_Agent = Annotated[str, Arg(kind="agent", positional=True)]
_Message = Annotated[str, Arg(rest=True)]
_Context = Annotated[str | None, Arg(kind="context", metavar="CONTEXT")]
_Timeout = Annotated[float | None, Arg(metavar="SECONDS")]
_Check = Annotated[bool, Arg(option="--no-raise")]

_Credentials = Annotated[tuple[str, ...], Arg(metavar="CREDENTIALS")]

_AGENT = "the agent's name"
_MESSAGE = "the message: the rest of the line as it stands"
_CONTEXT = "goes on in this context; last: the newest one"
_TIMEOUT = "seconds to wait at most; the task itself goes on"
_CREDENTIALS = "what is shown: 'bearer TOKEN', 'basic USER:PASSWORD', 'apikey KEY', 'oauth2 CLIENT:SECRET'; or env:NAME"
_CHECK = "returns a task that failed, instead of raising TaskFailed"


def _agents_table(agents: list[AgentInfo], empty: str) -> Table[AgentInfo]:
    """Agents in rows."""
    return Table(
        agents,
        {
            "name": lambda agent: agent.name,
            "version": lambda agent: agent.version,
            "description": lambda agent: agent.description,
            "skills": lambda agent: agent.skills,
            "kind": lambda agent: agent.kind,
            "running": lambda agent: agent.running,
            "queued": lambda agent: agent.queued,
            "url": lambda agent: agent.url,
        },
        empty,
    )


class List(Command, noun="agent", verb="ls"):
    """Lists the agents that this lab hosts."""

    def run(self, face: Face) -> Table[AgentInfo]:
        """The agents, with their open tasks."""
        return _agents_table(face.lab.agents(), "no agents yet: %%agent NAME defines one from a cell")


class Ask(Command, noun="agent", verb="ask", cell="ask"):
    """Asks an agent, shows what comes, and returns the finished task.

    Options stand before or after the message; the message is taken as it stands, {variables} put in.
    A task that asks for input returns too, and shows the line that answers it.
    """

    agent: _Agent = Field(description=_AGENT)
    message: _Message = Field(description=_MESSAGE)
    context: _Context = Field(None, description=_CONTEXT)
    model: str = Field("", description="what answers this once, for a pydantic-ai Agent, such as rules or live:NAME")
    timeout: _Timeout = Field(None, ge=0, description=_TIMEOUT)
    check: _Check = Field(True, description=_CHECK)
    credentials: _Credentials = Field((), description=_CREDENTIALS)

    def run(self, face: Face) -> Task:
        """The task, ended or asking for input."""
        shown = self.credentials
        task = face.lab.send(self.agent, self.message, context=self.context, model=self.model, credentials=shown)
        return face.follow(task, timeout=self.timeout, check=self.check)


class Send(Command, noun="agent", verb="send"):
    """Sends an agent a message and returns its task at once."""

    agent: _Agent = Field(description=_AGENT)
    message: _Message = Field(description=_MESSAGE)
    context: _Context = Field(None, description=_CONTEXT)
    credentials: _Credentials = Field((), description=_CREDENTIALS)

    def run(self, face: Face) -> Task:
        """The task, just opened."""
        return face.lab.send(self.agent, self.message, context=self.context, credentials=self.credentials)


class Login(Command, noun="agent", verb="login"):
    """Keeps what an agent is shown from now on, in the store's key file; the agent's card chooses among several.

    A secret in a cell is a secret in the notebook: 'apikey env:WEATHER_KEY' has it read from the environment.
    """

    agent: _Agent = Field(description="the agent's name, its URL, or a URL below which all agents are meant")
    credentials: _Credentials = Field(description=_CREDENTIALS)

    def run(self, face: Face) -> Note:
        """That it is kept."""
        face.lab.keyring.keep(self.agent, self.credentials)
        kinds = ", ".join(face.lab.keyring.kept()[self.agent.rstrip("/")])
        return Note(f"{self.agent} is shown {kinds} from now on")


class Logout(Command, noun="agent", verb="logout"):
    """Forgets what an agent is shown."""

    agent: _Agent = Field(description="the agent's name or URL, as it was given to login")

    def run(self, face: Face) -> Note:
        """That it is forgotten."""
        face.lab.keyring.forget(self.agent)
        return Note(f"{self.agent} is shown nothing any more")


class Card(Command, noun="agent", verb="card"):
    """Shows an agent's card, of a name, a URL or a file, and checks it: all its problems, and its signature."""

    agent: _Agent = Field(description=_AGENT)

    def run(self, face: Face) -> CardSheet:
        """The AgentCard as ProtoJSON, with what was found about it."""
        return CardSheet(face.lab.check_card(self.agent))


class Find(Command, noun="agent", verb="find"):
    """Finds agents by name, description and skill."""

    text: Annotated[str, Arg(rest=True)] = Field("", description="what their name, description or skills say")
    skill: str | None = Field(None, description="id of a skill that they have")
    tag: str | None = Field(None, description="tag that they carry")

    def run(self, face: Face) -> object:
        """The versions that fit, best first."""
        from nbagora.listings import found_table

        return found_table(face.lab.registry.find(text=self.text or None, skill=self.skill, tag=self.tag))


class Stop(Command, noun="agent", verb="stop"):
    """Takes an agent out of the lab; its versions stay in the registry, its tasks in their topics."""

    agent: _Agent = Field(description=_AGENT)

    def run(self, face: Face) -> Note:
        """That it is done."""
        face.lab.remove(self.agent)
        return Note(f"agent {self.agent} stopped")


class Define(Command, cell="agent"):
    """Runs the cell and makes what it defines under the agent's name an agent of the lab.

    The function or pydantic-ai Agent named like the agent (hotel-finder: hotel_finder) is the agent. A function is
    sync or async, takes (message, task), and returns or yields; its docstring becomes the card's description. Running
    the cell again replaces the agent.
    """

    name: Annotated[str, Arg(kind="agent", positional=True)] = Field(description="the agent's name")
    skill: Annotated[tuple[str, ...], Arg(metavar='"ID: DESCRIPTION"')] = Field((), description="what it can do")
    tag: tuple[str, ...] = Field((), description="word that it can be found by")
    version: str | None = Field(None, description="version of its card; unset, the next 0.0.N where the card changed")
    reply: Literal["task", "message", "either"] = Field("task", description="what it may answer with")
    description: str | None = Field(None, description="what it does; unset, the first paragraph of its docstring")
    model: str = Field("", description="what answers for a pydantic-ai Agent: rules, router, tape:FILE, live:NAME")
    window: int | None = Field(
        None, ge=0, description="turns that an Agent's model gets word for word, the rest in short; 0: all"
    )
    concurrency: int | None = Field(None, ge=1, description="tasks at once; the others wait in its inbox")
    auth: Annotated[tuple[str, ...], Arg(metavar="WAY")] = Field(
        (),
        description="how callers show who they are: bearer, basic, 'apikey header NAME', 'oauth2 URL', 'oidc URL'",
    )
    scope: Annotated[tuple[str, ...], Arg(metavar='"SKILL: SCOPE"')] = Field(
        (), description="what a skill wants of its callers"
    )
    resumable: bool = Field(False, description="called anew for what was at work when its process died")
    source: Annotated[str, Arg(rest=True)] = Field(description="the cell's body")

    def run(self, face: Face) -> AgentInfo:
        """The agent."""
        return face.lab.define(
            self.name,
            face.defined(self.name, self.source),
            skills=self.skill,
            tags=self.tag,
            version=self.version,
            reply=self.reply,
            description=self.description,
            model=self.model,
            window=self.window,
            concurrency=self.concurrency,
            auth=self.auth,
            scopes=self.scope,
            resumable=self.resumable,
        )
