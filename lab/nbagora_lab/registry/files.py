"""The registry as files that one would keep in git: a folder a thing, a file a version, and one for what moves.

    agents/weather/1.0.0.json        the version's content, as it is hashed
    agents/weather/registry.json     its labels, the states of its versions, its rule
    prompts/trip/0.0.3.json

Names are percent-encoded where a file's name can't hold them. JSON is indented and its keys are in order, so that two
exports of one state are equal, byte by byte. Endpoints are leases and stay where they are; the audit is this
registry's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from nbagora_lab.core.errors import StoreReadOnly, UsageError
from nbagora_lab.core.objects import read_object
from nbagora_lab.registry.model import LATEST, NAMESPACE, Kind
from nbagora_lab.registry.names import automatic_number
from nbagora_lab.registry.registry import Registry

__all__ = ["FOLDERS", "Imported", "export_files", "import_files"]

FOLDERS: dict[Kind, str] = {"agent": "agents", "mcp": "mcp-servers", "prompt": "prompts"}
"""The folder of each kind."""

_STATE = "registry.json"


class Imported(NamedTuple):
    """What an import did.

    Attributes:
        made: Versions that were new.
        there: Versions that were there already, equal.
        labels: Labels that moved.
        rules: Rules that were set.
    """

    made: int
    there: int
    labels: int
    rules: int


def export_files(registry: Registry, folder: Path, *, namespace: str = NAMESPACE) -> int:
    """Writes a namespace into a folder; how many versions it wrote.

    Files that are there are written over; those of things that are not there any more stay.

    Raises:
        StoreReadOnly: The folder can't be written.
    """
    count = 0
    try:
        for kind, plural in FOLDERS.items():
            for latest in registry.ls(kind=kind, namespace=namespace, limit=1_000_000):
                home = folder / plural / _encoded(latest.name)
                home.mkdir(parents=True, exist_ok=True)
                versions = registry.versions(latest.name, kind=kind, namespace=namespace)
                for version in versions:
                    content = {name: value for name, value in version.card.items() if name != "version"}
                    _write(home / f"{_encoded(version.version)}.json", content)
                rule = registry.catalog.rule(namespace, latest.name, kind=kind)
                state: dict[str, Any] = {
                    "labels": registry.labels(latest.name, kind=kind, namespace=namespace),
                    "states": {one.version: one.state for one in versions if one.state != "published"},
                    "order": [one.version for one in reversed(versions)],
                }
                _write(home / _STATE, state | ({"rule": rule} if rule else {}))
                count += len(versions)
    except OSError as error:
        raise StoreReadOnly(f"{folder} can't be written: {error.strerror}", "choose another folder") from None
    return count


def import_files(registry: Registry, folder: Path, *, namespace: str = NAMESPACE) -> Imported:
    """Publishes what a folder holds, and points the labels as it says.

    What is there already, equal, stays; so the same import again does nothing.

    Raises:
        UsageError: The folder holds nothing of the kind, or a file does not fit.
        VersionExists: A version is there with other content.
    """
    made = there = labels = rules = found = 0
    for kind, plural in FOLDERS.items():
        for home in sorted((folder / plural).glob("*/")):
            found += 1
            name, state = unquote(home.name), _read(home / _STATE)
            labelled, states = dict(state.get("labels", {})), dict(state.get("states", {}))
            files = {unquote(path.stem): path for path in sorted(home.glob("*.json")) if path.name != _STATE}
            order = [version for version in state.get("order", ()) if version in files]
            order += sorted(files.keys() - set(order), key=lambda version: (automatic_number(version) or 0, version))
            kept = _latest(registry, name, kind, namespace)
            for version in order:
                as_draft = states.get(version) == "draft"
                published = registry.publish(
                    _read(files[version]) | {"name": name},
                    version=version,
                    state="draft" if as_draft else "published",
                    kind=kind,
                    namespace=namespace,
                )
                made += published.new
                there += not published.new
            if kept is not None:
                labelled.setdefault(LATEST, kept)
            for label, version in sorted(labelled.items()):
                labels += registry.label(name, label, version, kind=kind, namespace=namespace)
            for version, wanted in sorted(states.items()):
                if version in files and wanted in {"deprecated", "withdrawn"}:
                    act = registry.deprecate if wanted == "deprecated" else registry.withdraw
                    act(name, version, kind=kind, namespace=namespace)
            if rule := state.get("rule"):
                given = {key: value for key, value in rule.items() if key != "needs"}
                rules += registry.set_rule(name, given, kind=kind, namespace=namespace)
    if not found:
        raise UsageError(f"{folder} holds no registry", f"it takes folders {', '.join(FOLDERS.values())}")
    return Imported(made, there, labels, rules)


def _latest(registry: Registry, name: str, kind: Kind, namespace: str) -> str | None:
    """Where ``latest`` points before the import, None where the thing is new."""
    known = {version.name: version.version for version in registry.ls(kind=kind, namespace=namespace, limit=1_000_000)}
    return known.get(name)


def _encoded(name: str) -> str:
    """A file's name for a name: letters of all scripts stay, what a path could read otherwise does not."""
    text = "".join(letter if letter.isalnum() or letter in "-_+~." else quote(letter, safe="") for letter in name)
    return f"%2E{text[1:]}" if text.startswith(".") else text


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is no file for what moves."""
    return read_object(path) if path.exists() else {}
