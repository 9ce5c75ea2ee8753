"""`%registry`: what is published, who is led to it, and who changed what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from nbagora.carrying import Export, Import, Sync
from nbagora.command import Arg, Command, Face
from nbagora.listings import changes_table, endpoints_table, found_table, versions_table
from nbagora.show import Json, Note
from nbagora.table import Table

if TYPE_CHECKING:
    from nbagora_lab.registry import AgentVersion, Change, Endpoint, Found, Impact, Published

__all__ = [
    "Audit",
    "Canary",
    "Deprecate",
    "Diff",
    "Endpoints",
    "Explain",
    "Export",
    "Find",
    "Impacts",
    "Import",
    "Label",
    "List",
    "Probe",
    "Publish",
    "Rollback",
    "Show",
    "Sync",
    "Versions",
    "View",
    "Watch",
    "Withdraw",
]

_Kind = Literal["agent", "mcp", "prompt"]
_Name = Annotated[str, Arg(kind="agent", positional=True)]
_Word = Annotated[str, Arg(positional=True)]
_Version = Annotated[str, Arg(positional=True, metavar="VERSION")]
_KIND = "agent, mcp (an MCP server) or prompt"
_NAME = "the agent's name"
_WHY = "the reason, which stands in the audit"


class List(Command, noun="registry", verb="ls"):
    """Lists what is published, each in its latest version."""

    kind: _Kind = Field("agent", description=_KIND)
    limit: int = Field(1000, ge=1, description="number of results at most")

    def run(self, face: Face) -> Table[AgentVersion]:
        """The latest versions."""
        return versions_table(face.lab.registry.ls(kind=self.kind, limit=self.limit), "nothing is published yet")


class Find(Command, noun="registry", verb="find"):
    """Finds agents by what their cards say and how they are.

    A filter takes a whole value, whatever its case, or a pattern with * and ?; repeated, all of them must hold.
    """

    text: Annotated[str, Arg(rest=True)] = Field("", description="words, in any order and script")
    name: str | None = Field(None, description="a name, or a pattern of one with * and ?")
    skill: tuple[str, ...] = Field((), description="id or name of a skill")
    tag: tuple[str, ...] = Field((), description="a skill's tag")
    provider: tuple[str, ...] = Field((), description="name or URL of who provides it")
    capability: tuple[str, ...] = Field((), description="streaming, pushNotifications or extendedAgentCard")
    input: tuple[str, ...] = Field((), description="a media type that it takes")
    output: tuple[str, ...] = Field((), description="a media type that it gives")
    scheme: tuple[str, ...] = Field((), description="name or kind of a security scheme")
    extension: tuple[str, ...] = Field((), description="URI of an extension")
    transport: tuple[str, ...] = Field((), description="a transport of one of its live endpoints")
    health: tuple[str, ...] = Field((), description="up, down or draining; none: it answers nowhere")
    where: str | None = Field(None, description="conditions, such as 'tag=travel and not (health=none or tag=old)'")
    label: str = Field("latest", description="the label whose versions are meant")
    kind: _Kind = Field("agent", description=_KIND)
    limit: int = Field(20, ge=1, description="number of results at most")

    def asked(self) -> dict[str, Any]:
        """What is asked, as `Registry.query` takes it."""
        return {name: value for name, value in self.model_dump().items() if value not in ((), "", None)}

    def run(self, face: Face) -> Table[Found]:
        """The findings, best first."""
        registry = face.lab.registry
        return found_table(registry.search(registry.query(self.asked())))


class Explain(Command, noun="registry", verb="explain"):
    """Says why a search finds an agent, or why it does not."""

    name: _Name = Field(description=_NAME)
    text: Annotated[str, Arg(rest=True)] = Field("", description="words that are searched for")
    where: str | None = Field(None, description="conditions, as for find")
    kind: _Kind = Field("agent", description=_KIND)
    limit: int = Field(20, ge=1, description="number of results asked for")

    def run(self, face: Face) -> Table[Any]:
        """Each condition, and whether it holds; the reason first."""
        registry = face.lab.registry
        given = {"text": self.text or None, "where": self.where, "kind": self.kind, "limit": self.limit}
        explained = registry.explain(registry.query(given), self.name)
        rows = [("found" if explained.found else "not found", explained.found, (explained.reason,)), *explained.checks]
        return Table(
            rows,
            {"what": lambda row: row[0], "holds": lambda row: row[1], "has": lambda row: row[2]},
            "nothing was asked",
        )


class Show(Command, noun="registry", verb="show"):
    """Shows a version with its card."""

    name: _Name = Field(description=_NAME)
    ref: _Version = Field("latest", description="a version or a label")
    kind: _Kind = Field("agent", description=_KIND)

    def run(self, face: Face) -> AgentVersion:
        """The version."""
        return face.lab.registry.get(self.name, self.ref, kind=self.kind)


class Versions(Command, noun="registry", verb="versions"):
    """Lists all versions, newest first."""

    name: _Name = Field(description=_NAME)
    kind: _Kind = Field("agent", description=_KIND)

    def run(self, face: Face) -> Table[AgentVersion]:
        """The versions."""
        return versions_table(face.lab.registry.versions(self.name, kind=self.kind), "no versions")


class Diff(Command, noun="registry", verb="diff"):
    """Says where two versions differ."""

    name: _Name = Field(description=_NAME)
    before: _Version = Field(description="a version or a label")
    after: _Version = Field("latest", description="a version or a label")
    kind: _Kind = Field("agent", description=_KIND)

    def run(self, face: Face) -> Note:
        """The places, a line each."""
        places = face.lab.registry.diff(self.name, self.before, self.after, kind=self.kind)
        return Note("\n".join(places) or f"{self.before} and {self.after} are equal")


class Publish(Command, noun="registry", verb="publish"):
    """Publishes the card in a file, or at a URL; of an MCP server, what its tools say that it is."""

    source: Annotated[str, Arg(positional=True, kind="file")] = Field(description="a file, a URL, or 'stdio:COMMAND'")
    version: str | None = Field(None, description="its version; unset, the card's, or the next 0.0.N")
    draft: bool = Field(False, description="makes a draft, which nobody is led to until it is approved")
    kind: _Kind = Field("agent", description=_KIND)
    why: str = Field("", description=_WHY)

    def run(self, face: Face) -> Published:
        """What became of it."""
        return face.lab.registry.because(self.why).publish(
            self._content(face), version=self.version, state="draft" if self.draft else "published", kind=self.kind
        )

    def _content(self, face: Face) -> dict[str, Any]:
        if self.kind == "agent":
            return face.lab.discover(self.source).card
        if self.kind == "mcp" and self.source.startswith(("http://", "https://", "stdio:")):
            from nbagora_lab.mcp_servers import describe_server

            return describe_server(self.source)
        return _read(Path(self.source))


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    from nbagora_lab.core.objects import read_object

    return read_object(path)


class Label(Command, noun="registry", verb="label"):
    """Points a label at a version; without a version, takes the label away."""

    name: _Name = Field(description=_NAME)
    label: _Word = Field(description="the label, such as stable")
    version: _Version = Field("", description="the version")
    kind: _Kind = Field("agent", description=_KIND)
    why: str = Field("", description=_WHY)

    def run(self, face: Face) -> Note:
        """Where it points."""
        registry = face.lab.registry.because(self.why)
        if not self.version:
            gone = registry.unlabel(self.name, self.label, kind=self.kind)
            return Note(f"{self.label} of {self.name} {'is gone' if gone else 'was not there'}")
        moved = registry.label(self.name, self.label, self.version, kind=self.kind)
        return Note(f"{self.label} of {self.name} {'points' if moved else 'pointed already'} at {self.version}")


class Rollback(Command, noun="registry", verb="rollback"):
    """Points a label at the version that it pointed at before; a second rollback undoes the first."""

    name: _Name = Field(description=_NAME)
    label: _Word = Field("latest", description="the label")
    kind: _Kind = Field("agent", description=_KIND)
    why: str = Field("", description=_WHY)

    def run(self, face: Face) -> Note:
        """Where it points now."""
        change = face.lab.registry.because(self.why).rollback(self.name, self.label, kind=self.kind)
        return Note(f"{self.label} of {self.name} points at {change.version} again, no more at {change.detail['from']}")


class Deprecate(Command, noun="registry", verb="deprecate"):
    """Says that a version is on its way out; --undo takes that back, and approves a draft."""

    name: _Name = Field(description=_NAME)
    version: _Version = Field(description="the version")
    undo: bool = Field(False, description="makes it a published one again")
    kind: _Kind = Field("agent", description=_KIND)
    why: str = Field("", description=_WHY)

    def run(self, face: Face) -> Note:
        """How far it is."""
        registry = face.lab.registry.because(self.why)
        (registry.restore if self.undo else registry.deprecate)(self.name, self.version, kind=self.kind)
        return Note(f"{self.name} {self.version} is {'published' if self.undo else 'deprecated'}")


class Withdraw(Command, noun="registry", verb="withdraw"):
    """Ends a version for good; refused while a label or a rule leads to it."""

    name: _Name = Field(description=_NAME)
    version: _Version = Field(description="the version")
    kind: _Kind = Field("agent", description=_KIND)
    why: str = Field("", description=_WHY)

    def run(self, face: Face) -> Note:
        """That it is done."""
        face.lab.registry.because(self.why).withdraw(self.name, self.version, kind=self.kind)
        return Note(f"{self.name} {self.version} is withdrawn")


class Canary(Command, noun="registry", verb="canary"):
    """Leads a share of all conversations to a version, and takes it back by itself where it costs too much.

    Without a version, the rule goes away and all are led to latest again. --dry-run tries it on past contexts.
    """

    name: _Name = Field(description=_NAME)
    version: _Version = Field("", description="the version that is tried")
    weight: float = Field(10.0, ge=0, le=100, description="its share in percent")
    rest: str = Field("latest", description="the version or label that the others are led to")
    errors: float | None = Field(None, ge=0, le=1, description="largest share of failed calls, 0 to 1")
    latency: float | None = Field(None, gt=0, description="largest 95th percentile of the calls' seconds")
    calls: int = Field(20, ge=1, description="number of calls before it is judged")
    dry_run: bool = Field(False, description="changes nothing; says whom it would lead where")
    why: str = Field("", description=_WHY)

    def run(self, face: Face) -> Json | Note:
        """The rule that stands now, or what it would do."""
        registry = face.lab.registry.because(self.why)
        if not self.version:
            registry.set_rule(self.name, None)
            return Note(f"everybody who asks {self.name} goes to latest")
        if self.dry_run:
            contexts = list(dict.fromkeys(task.context_id for task in face.lab.tasks(agent=self.name, limit=100_000)))
            rule = {"weights": {self.version: self.weight, self.rest: 100 - self.weight}, "otherwise": self.rest}
            return Json(registry.dry_run(self.name, rule, contexts)._asdict())
        made = registry.canary(
            self.name, self.version, self.weight, rest=self.rest, errors=self.errors, latency=self.latency,
            calls=self.calls,
        )  # fmt: skip
        return Json(made.model_dump(mode="json", exclude={"slots"}))


class Endpoints(Command, noun="registry", verb="endpoints"):
    """Lists where an agent answers; --drain has one of them take no new calls."""

    name: _Name = Field(description=_NAME)
    drain: str | None = Field(None, description="id of an endpoint that is to leave")
    kind: _Kind = Field("agent", description=_KIND)

    def run(self, face: Face) -> Table[Endpoint]:
        """The live endpoints."""
        registry = face.lab.registry
        if self.drain is not None:
            registry.drain(self.drain, name=self.name, kind=self.kind)
        return endpoints_table(registry.endpoints(self.name, kind=self.kind))


class Probe(Command, noun="registry", verb="probe"):
    """Looks at every endpoint of a thing: does it answer there, with its card or its tools?"""

    name: _Name = Field(description=_NAME)
    kind: Literal["agent", "mcp"] = Field("agent", description="agent or mcp")

    def run(self, face: Face) -> Table[Endpoint]:
        """The endpoints, as they were found."""
        face.lab.service.call(face.lab.upkeep.probe, self.name, self.kind)
        return endpoints_table(face.lab.registry.endpoints(self.name, kind=self.kind))


class Impacts(Command, noun="registry", verb="impact"):
    """Says what breaks if a thing changes: who uses it, by itself or by way of others."""

    name: _Name = Field(description="name of what changes")
    version: _Version = Field("", description="only those who use this version of it")
    kind: _Kind = Field("agent", description=_KIND)

    def run(self, face: Face) -> Table[Impact]:
        """Who is touched."""
        return Table(
            face.lab.registry.impact(self.name, self.version or None, kind=self.kind),
            {
                "kind": lambda one: one.version.kind,
                "name": lambda one: one.version.name,
                "version": lambda one: one.version.version,
                "uses": lambda one: f"{' → '.join(one.via)} {one.ref}",
                "endpoints": lambda one: one.endpoints,
            },
            "nobody uses it",
        )


class Watch(Command, noun="registry", verb="watch"):
    """Shows changes past a revision, and waits for those to come."""

    after: int = Field(-1, ge=-1, description="revision to begin after; unset, what comes from now on")
    count: int = Field(1000, ge=1, description="number of changes at most")
    timeout: float = Field(1.0, ge=0, description="seconds without a change after which it ends")

    def run(self, face: Face) -> Table[Change]:
        """The changes."""
        changes = face.lab.registry.watch(None if self.after < 0 else self.after, timeout=self.timeout)
        return changes_table([change for change, _ in zip(changes, range(self.count), strict=False)], "nothing came")


class Audit(Command, noun="registry", verb="audit"):
    """Shows who changed what, when and why, refused calls too; --verify checks that nobody altered it."""

    name: Annotated[str, Arg(kind="agent", positional=True)] = Field("", description="only this one's")
    verify: bool = Field(False, description="checks the seals, and shows the newest")
    kind: _Kind = Field("agent", description=_KIND)

    def run(self, face: Face) -> Table[Change] | Note:
        """The changes, oldest first."""
        if self.verify:
            verdict = face.lab.registry.verify()
            what = "whole" if verdict.whole else f"broken: {verdict.reason}"
            return Note(f"the audit of {verdict.changes} changes is {what}; seal {verdict.seal.chain}")
        return changes_table(face.lab.registry.audit(self.name or None, kind=self.kind), "nothing was changed yet")


class View(Command, noun="registry", verb="view"):
    """Shows the registry live: search with facets, versions and labels, endpoints, changes; moves labels."""

    name: Annotated[str | None, Arg(kind="agent", positional=True)] = Field(None, description="what to look at first")
    text: str = Field("", description="words to search for at first")
    kind: _Kind = Field("agent", description=_KIND)

    def run(self, face: Face) -> object:
        """The widget."""
        from nbagora_lab.views import RegistryViewSource
        from nbagora_widgets import RegistryView

        lab = face.lab
        if self.name is not None:
            lab.registry.get(self.name, kind=self.kind)
        source = RegistryViewSource(lab.service, lab.registry, lab.url)
        return RegistryView(source, name=self.name, kind=self.kind, text=self.text, rate=lab.settings.view_rate)
