"""What a lab says of itself, for `%lab status` and `%agent ls`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from nbagora_lab.core.log import LogLine

__all__ = ["AgentInfo", "LabStatus"]


class AgentInfo(BaseModel):
    """One agent of a lab.

    Attributes:
        name: Its name.
        version: The version that runs.
        description: What it does.
        skills: Ids of its skills.
        url: Where its doors are.
        kind: ``async function``, ``sync function`` or ``pydantic-ai``.
        model: What answers: ``code``, or the model's name.
        reply: ``task``, ``message`` or ``either``.
        running: Number of its tasks whose code runs now.
        queued: Number of messages that wait in its inbox.
        concurrency: Number of tasks that it works on at once.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    description: str
    skills: tuple[str, ...]
    url: str
    kind: str
    model: str
    reply: str
    running: int
    queued: int = 0
    concurrency: int = 0


class LabStatus(BaseModel):
    """A lab at one moment.

    Attributes:
        url: Where its doors are; of a lab that joined another, that one's.
        here: Where the doors of this process are, where that is another place.
        guests: Where the labs are that joined it.
        store: Its folder.
        epoch: How often that folder was opened.
        engines: Engine and version of the broker and the registry.
        agents: Its agents.
        open_tasks: Number of tasks that have not ended.
        sessions: Number of session topics, 1000 at most.
        settled: Tasks of an earlier process that it ended when it opened the store.
        log: The newest lines of its log, oldest first.
    """

    model_config = ConfigDict(frozen=True)

    url: str
    here: str = ""
    guests: tuple[str, ...] = ()
    store: str
    epoch: int
    engines: dict[str, str]
    agents: tuple[AgentInfo, ...]
    open_tasks: int
    sessions: int
    settled: tuple[str, ...]
    log: tuple[LogLine, ...]
