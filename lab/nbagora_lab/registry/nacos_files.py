"""The registry as files in Nacos' own shape: each agent's cards as Nacos takes and gives them, prompts as its configs.

    agents/weather/1.0.0.json       the card of A2A 0.3's form, as in ``POST /v3/admin/ai/a2a``
    prompts/trip.json               a config: content and record of all its versions

What of a thing Nacos has no field for is in each card's record, so that an import has it all again; cards that were
taken out of a Nacos without one are imported by what they say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbagora_lab.core.errors import LabError, StoreReadOnly, UsageError
from nbagora_lab.core.objects import read_object
from nbagora_lab.registry.files import FOLDERS, Imported
from nbagora_lab.registry.model import LATEST, NAMESPACE, Draft, Kind, State
from nbagora_lab.registry.nacos_names import name_of, there
from nbagora_lab.registry.nacos_record import NOWHERE, Record, card_there, content_of, read_record
from nbagora_lab.registry.registry import Registry

__all__ = ["export_nacos", "import_nacos"]


def export_nacos(registry: Registry, folder: Path, *, namespace: str = NAMESPACE) -> int:
    """Writes a namespace into a folder; how many versions it wrote.

    Raises:
        StoreReadOnly: The folder can't be written.
    """
    count = 0
    try:
        for kind, plural in FOLDERS.items():
            for latest in registry.ls(kind=kind, namespace=namespace, limit=1_000_000):
                record, cards = _thing(registry, kind, namespace, latest.name)
                known = there(latest.name)
                if kind == "agent":
                    for version, card in cards.items():
                        text = card_there(record, known, version, card, NOWHERE)
                        _write(folder / plural / known / f"{version}.json", json.loads(text))
                else:
                    _write(folder / plural / f"{known}.json", {"thing": record.text(), "cards": cards})
                count += len(cards)
    except OSError as error:
        raise StoreReadOnly(f"{folder} can't be written: {error.strerror}", "choose another folder") from None
    return count


def import_nacos(registry: Registry, folder: Path, *, namespace: str = NAMESPACE) -> Imported:
    """Publishes what a folder in Nacos' shape holds, and points the labels as it says.

    Raises:
        UsageError: The folder holds nothing of the kind, or a file does not fit.
        VersionExists: A version is there with other content.
    """
    done = Imported(0, 0, 0, 0)
    found = 0
    for kind, plural in FOLDERS.items():
        homes = sorted((folder / plural).glob("*/" if kind == "agent" else "*.json"))
        for home in homes:
            found += 1
            record, drafts = _read(home, kind, namespace)
            done = _publish(registry, record, drafts, done)
    if not found:
        raise UsageError(f"{folder} holds nothing of Nacos' shape", f"it takes folders {', '.join(FOLDERS.values())}")
    return done


def _thing(registry: Registry, kind: Kind, namespace: str, name: str) -> tuple[Record, dict[str, dict[str, Any]]]:
    versions = list(reversed(registry.versions(name, kind=kind, namespace=namespace)))
    labels = registry.labels(name, kind=kind, namespace=namespace)
    record = Record(
        kind,
        namespace,
        name,
        versions[0].owner,
        versions[0].private,
        {label: (version, "") for label, version in labels.items()},
        {one.version: (one.hash, one.state, one.published) for one in versions},
        registry.catalog.rule(namespace, name, kind=kind),
    )
    return record, {one.version: {k: v for k, v in one.card.items() if k != "version"} for one in versions}


def _read(home: Path, kind: Kind, namespace: str) -> tuple[Record, dict[str, Draft]]:
    drafts: dict[str, Draft] = {}
    record: Record | None = None
    if kind == "agent":
        for path in sorted(home.glob("*.json")):
            card = read_object(path)
            draft, carried = content_of(card, namespace, name_of(home.name))
            if draft is None:
                raise UsageError(f"{path} holds no card that can be published", "see lab.discover for what is wrong")
            drafts[str(card.get("version") or path.stem)] = draft
            record = record or read_record(kind, namespace, carried)
    else:
        content = read_object(home)
        record = read_record(kind, namespace, content.get("thing"))
        if record is None:
            raise UsageError(f"{home} holds no record of a {kind}", "export it anew")
        from nbagora_lab.registry.card import read_content

        drafts = {one: read_content(kind, card, namespace) for one, card in dict(content.get("cards", {})).items()}
    if record is None:
        name = next(iter(drafts.values())).name if drafts else name_of(home.name)
        record = Record(kind, namespace, name, "", False, {}, dict.fromkeys(drafts, ("", "published", 0.0)), None)
    return record, drafts


def _publish(registry: Registry, record: Record, drafts: dict[str, Draft], done: Imported) -> Imported:
    made, there_, labels, rules = done
    where: dict[str, Any] = {"kind": record.kind, "namespace": record.namespace}
    order = [version for version in record.versions if version in drafts]
    try:
        kept = registry.labels(record.name, **where).get(LATEST)
    except LabError:
        kept = None
    for version in order:
        state: State = "draft" if record.versions[version][1] == "draft" else "published"
        published = registry.publish(drafts[version].card, version=version, state=state, **where)
        made, there_ = made + published.new, there_ + (not published.new)
    wanted = {label: version for label, (version, _) in record.labels.items() if version in drafts}
    if kept is not None:
        wanted.setdefault(LATEST, kept)
    for label, version in sorted(wanted.items()):
        labels += registry.label(record.name, label, version, **where)
    for version in order:
        if record.versions[version][1] in {"deprecated", "withdrawn"}:
            act = registry.deprecate if record.versions[version][1] == "deprecated" else registry.withdraw
            act(record.name, version, **where)
    if record.rule is not None:
        given = {key: value for key, value in record.rule.items() if key != "needs"}
        rules += registry.set_rule(record.name, given, **where)
    return Imported(made, there_, labels, rules)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")
