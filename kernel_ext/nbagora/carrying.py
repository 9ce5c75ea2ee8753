"""The verbs of `%registry` that carry its content elsewhere and back: files, and another registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from nbagora.command import Arg, Command, Face
from nbagora.show import Note
from nbagora.table import Table
from nbagora_lab.core.errors import UsageError

if TYPE_CHECKING:
    from nbagora_lab.registry.sync import Difference

__all__ = ["Export", "Import", "Sync"]

_Shape = Literal["files", "nacos"]
_SHAPE = "files as one keeps them in git, or cards and configs as Nacos has them"


class Export(Command, noun="registry", verb="export"):
    """Writes all versions, labels and rules into a folder, as files that one would keep in git, or in Nacos' shape."""

    folder: Annotated[str, Arg(positional=True, kind="file")] = Field(description="the folder")
    shape: _Shape = Field("files", description=_SHAPE)

    def run(self, face: Face) -> Note:
        """How many versions it has now."""
        from nbagora_lab.registry.files import export_files
        from nbagora_lab.registry.nacos_files import export_nacos

        export = export_nacos if self.shape == "nacos" else export_files
        return Note(f"{export(face.lab.registry, Path(self.folder))} versions are in {self.folder}")


class Import(Command, noun="registry", verb="import"):
    """Publishes what a folder holds that was exported; what is there already, equal, stays."""

    folder: Annotated[str, Arg(positional=True, kind="file")] = Field(description="the folder")
    shape: _Shape = Field("files", description=_SHAPE)
    why: str = Field("", description="the reason, which stands in the audit")

    def run(self, face: Face) -> Note:
        """What it did."""
        from nbagora_lab.registry.files import import_files
        from nbagora_lab.registry.nacos_files import import_nacos

        take = import_nacos if self.shape == "nacos" else import_files
        done = take(face.lab.registry.because(self.why), Path(self.folder))
        return Note(f"{done.made} versions are new, {done.there} were there; {done.labels} labels moved")


class Sync(Command, noun="registry", verb="sync"):
    """Makes the registry at a Nacos what this one is, or with --both each what they are together; says what differed.

    User and password are those of the settings nacos_user and nacos_password.
    """

    target: Annotated[str, Arg(positional=True, metavar="URL")] = Field(
        description="nacos://HOST:PORT/NAMESPACE, the namespace at Nacos"
    )
    both: bool = Field(False, description="takes what only the other has, too")
    dry_run: bool = Field(False, description="changes nothing; says what differs")

    def run(self, face: Face) -> Table[Difference]:
        """Where they differed, and what was done."""
        from nbagora_lab.engines import open_elsewhere
        from nbagora_lab.registry.sync import sync

        parts = urlsplit(self.target)
        if parts.scheme != "nacos" or not parts.netloc or not parts.path.strip("/"):
            raise UsageError(f"'{self.target}' names no registry", "write nacos://127.0.0.1:8848/NAMESPACE")
        lab = face.lab
        with open_elsewhere(lab.store, lab.clock, lab.settings, parts.netloc, parts.path.strip("/")) as other:
            report = sync(lab.registry.because(f"sync with {self.target}"), other, both=self.both, dry=self.dry_run)
        return Table(
            report.differences,
            {
                "kind": lambda one: one.kind,
                "name": lambda one: one.name,
                "what": lambda one: one.what,
                "here": lambda one: one.here,
                "there": lambda one: one.there,
                "done": lambda one: one.done,
            },
            f"{report.things} things, no difference",
        )
