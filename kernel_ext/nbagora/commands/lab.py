"""`%lab`: the lab of this kernel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, create_model

from nbagora.command import Arg, Command, Face
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import LabRunning
from nbagora_lab.core.settings import Settings

if TYPE_CHECKING:
    from nbagora.table import Table
    from nbagora_lab.agents.live import Check
    from nbagora_lab.lab import Lab

__all__ = ["Doctor", "Join", "SettingsOptions", "Start", "Status", "Stop"]


def _options() -> dict[str, Any]:
    """Each field of `Settings` as a field that may be left out."""
    made = {}
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f" (default: {field.default})"
        checked = Annotated[field.annotation, Arg(), *field.metadata]  # type: ignore[name-defined]  # made at run time
        made[name] = (checked | None, Field(None, description=f"{field.description}{default}"))
    return made


if TYPE_CHECKING:

    class SettingsOptions(Command):
        """Every setting of a lab as an option, None where it is not given; base of the commands that start one."""

else:
    SettingsOptions = create_model("SettingsOptions", __base__=Command, **_options())


class Start(SettingsOptions, noun="lab", verb="start"):
    """Starts the lab of this kernel: registry, broker and A2A doors.

    Where one runs already it is returned, unless an option here asks for what it is not. Where another process has the
    store, its lab is joined: the same agents, topics, tasks and registry.
    What is not given here is taken from %config Lab, the environment (NBAGORA_PORT), [tool.nbagora] in the nearest
    pyproject.toml, or its default.
    """

    def run(self, face: Face) -> Lab:
        """The lab, running.

        Raises:
            LabRunning: One runs already that differs in what is given.
        """
        from nbagora_lab.lab import Lab

        given = self.model_dump(exclude_none=True)
        if not (running := Lab.running_labs()):
            return Lab.start(**face.settings() | given)
        lab = running[-1]
        for name, wanted in given.items():
            now = _in_force(lab, name, wanted)
            if now != wanted:
                raise LabRunning(
                    f"a lab runs in this kernel with {name} {now}, not {wanted}",
                    "%lab stop first, or go on with the one that runs: %lab start",
                )
        return lab


class Join(SettingsOptions, noun="lab", verb="join"):
    """Joins a lab that runs: this kernel sees its agents, topics, tasks and registry, and hosts agents in it.

    Its token is taken from its store's lab.json, where that is at hand, else from --token or NBAGORA_TOKEN. Where this
    kernel has joined it already, that is returned.
    """

    where: Annotated[str, Arg(positional=True, metavar="URL")] = Field(
        ".nbagora", description="URL of the lab, or the folder of its store"
    )

    def run(self, face: Face) -> Lab:
        """The lab, joined.

        Raises:
            LabRunning: Another one runs in this kernel.
            NotStarted: None runs on that folder.
            Unreachable: None answers at that URL.
        """
        from nbagora_lab.joining import find_lab
        from nbagora_lab.lab import Lab

        given = self.model_dump(exclude_none=True, exclude={"where"})
        if not (running := Lab.running_labs()):
            return Lab(**face.settings() | given | {"join": self.where})
        lab = running[-1]
        if lab.joined != find_lab(self.where).url:
            raise LabRunning(f"a lab runs in this kernel: {lab!r}", "%lab stop first, then join the other")
        return lab


class Stop(Command, noun="lab", verb="stop"):
    """Stops the lab of this kernel; its store stays, and the next start goes on with it.

    A lab that was joined goes on without this kernel. In a terminal it is the running lab that stops.
    """

    def run(self, face: Face) -> object:
        """The lab, stopped."""
        return face.end()


class Status(Command, noun="lab", verb="status"):
    """Tells how the lab fares: agents, open tasks, sessions, engines, the newest lines of its log."""

    def run(self, face: Face) -> object:
        """The lab's `LabStatus`."""
        return face.lab.status()


class Doctor(Command, noun="lab", verb="doctor"):
    """Tells what works here: the installation, the store and servers; or a model, by trying it.

    A model is asked for a text, one call of a tool and one answer of a schema: local servers may know the first alone.
    No lab need run.
    """

    model: str | None = Field(None, description="the model to try: rules, tape:FILE, live:NAME")

    def run(self, face: Face) -> Table[Check]:
        """What was looked at, and what came of it."""
        from nbagora.table import Table
        from nbagora_lab.doctor import examine, try_model
        from nbagora_lab.lab import Lab

        if self.model is not None:
            checks = try_model(self.model)
        else:
            labs = Lab.running_labs()
            checks = examine(labs[-1].settings if labs else Settings.load(**face.settings()))
        words = {True: "yes", False: "no", None: "not needed"}
        return Table(
            checks,
            {"what": lambda one: one.what, "works": lambda one: words[one.works], "told": lambda one: one.told},
            widest=250,
        )


def _in_force(lab: Lab, name: str, wanted: Any) -> object:
    """What a running lab has for a setting, in the words of `wanted`: a relative path, port 0 for any."""
    if name == "store":
        return wanted if Path(wanted).absolute() == lab.store else lab.store
    if name == "port":
        return urlsplit(lab.url).port if wanted else wanted
    if name == "token":
        return wanted if wanted == lab.token else "of its own"
    if name == "clock":
        return "virtual" if isinstance(lab.clock, VirtualClock) else "system"
    return getattr(lab.settings, name)
