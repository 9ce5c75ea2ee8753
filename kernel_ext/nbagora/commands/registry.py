"""`%registry`: the agents that are published, and their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from nbagora.command import Arg, Command, Face
from nbagora.show import moment
from nbagora.table import Table

if TYPE_CHECKING:
    from nbagora_lab.registry.model import AgentVersion, Found

__all__ = ["Find", "List", "Show", "Versions", "found_table"]

_Name = Annotated[str, Arg(kind="agent", positional=True)]


def _versions_table(versions: list[AgentVersion], empty: str) -> Table[AgentVersion]:
    """Versions in rows."""
    return Table(
        versions,
        {
            "name": lambda version: version.name,
            "version": lambda version: version.version,
            "labels": lambda version: version.labels,
            "description": lambda version: version.description,
            "skills": lambda version: version.skills,
            "published": lambda version: moment(version.published),
            "hash": lambda version: version.hash[:12],
        },
        empty,
    )


def found_table(found: list[Found]) -> Table[Found]:
    """Findings in rows, with why they were found."""
    return Table(
        found,
        {
            "name": lambda one: one.agent.name,
            "version": lambda one: one.agent.version,
            "description": lambda one: one.agent.description,
            "skills": lambda one: one.agent.skills,
            "why": lambda one: [f"{why.field}: {why.text}" for why in one.why],
        },
        "no agent fits",
    )


class List(Command, noun="registry", verb="ls"):
    """Lists the published agents, each in its latest version."""

    limit: int = Field(1000, ge=1, description="number of agents at most")

    def run(self, face: Face) -> Table[AgentVersion]:
        """The latest versions."""
        return _versions_table(face.lab.registry.ls(limit=self.limit), "nothing is published yet")


class Find(Command, noun="registry", verb="find"):
    """Finds agents by what their cards say."""

    text: Annotated[str, Arg(rest=True)] = Field("", description="words, in any order and script")
    name: str | None = Field(None, description="a name, or a pattern of one with * and ?")
    skill: str | None = Field(None, description="id or name of a skill")
    tag: str | None = Field(None, description="a skill's tag")
    limit: int = Field(20, ge=1, description="number of results at most")

    def run(self, face: Face) -> Table[Found]:
        """The findings, best first."""
        found = face.lab.registry.find(
            text=self.text or None, name=self.name, skill=self.skill, tag=self.tag, limit=self.limit
        )
        return found_table(found)


class Show(Command, noun="registry", verb="show"):
    """Shows a version of an agent with its card."""

    name: _Name = Field(description="the agent's name")
    ref: Annotated[str, Arg(positional=True, metavar="VERSION")] = Field("latest", description="a version or a label")

    def run(self, face: Face) -> AgentVersion:
        """The version."""
        return face.lab.registry.get(self.name, self.ref)


class Versions(Command, noun="registry", verb="versions"):
    """Lists all versions of an agent, newest first."""

    name: _Name = Field(description="the agent's name")

    def run(self, face: Face) -> Table[AgentVersion]:
        """The versions."""
        return _versions_table(face.lab.registry.versions(self.name), "no versions")
