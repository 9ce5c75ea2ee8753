"""Things at Nacos, read and written: agents by its registry of agents, MCP servers and prompts as configs.

Nacos 3.1 has no prompts, and of MCP servers one version cannot be deleted without the others; so both are kept as
configs, one a thing, in groups of their own. Any of these files is read by the same two calls.

Nacos writes to its database, sleeps 0.2 s, and answers from a copy that follows (``SimpleSyncEffectService`` and
``ConfigQueryChainService`` of 3.1): on a busy machine later than that. Worse, a ``PUT`` puts its version into the copy
of the agent's list of versions and writes that back, so that one too soon after another loses the former's version. So
what is read here is read from the database, by the admin's read of configs, and a ``PUT`` waits until the copy has come
up to it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from nbagora_lab.core.errors import BadName, LabError, StoreError, UsageError, VersionExists
from nbagora_lab.core.log import logger
from nbagora_lab.registry.card import read_content
from nbagora_lab.registry.model import LATEST, Draft, Kind
from nbagora_lab.registry.nacos_http import AGENTS, CONFIGS, COPIES, EXISTS, NAMESPACES, Nacos
from nbagora_lab.registry.nacos_names import file_of, name_of, there
from nbagora_lab.registry.nacos_record import (
    NOWHERE,
    Record,
    card_there,
    content_of,
    latest_of,
    read_record,
)

__all__ = ["GROUPS", "Agents", "Read", "check_readable"]

GROUPS: dict[Kind, str] = {"agent": "agent", "mcp": "nbagora-mcp-servers", "prompt": "nbagora-prompts"}
"""The group of configs in which each kind's things are; the first is Nacos' own."""

_VERSIONS = "agent-version"
"""Nacos' group of agents' versions; the file of one is that of its agent, ``-``, and the version."""

_READABLE = re.compile(r"[A-Za-z0-9_.:-]+\Z")

_PAGE = 500
_SETTLES = 30.0  # seconds that the copy may take to follow
_STEP = 0.05  # seconds between two looks at it
_log = logger.getChild("registry")


class Read(NamedTuple):
    """A thing as it was read.

    Attributes:
        record: The thing.
        drafts: Contents of those of its versions that were asked for.
        url: Where a card that somebody else wrote says that it answers.
        whole: Whether all that was asked for is there: Nacos lists a version before it writes its card.
        last: The version of an agent that was written last, and its content, which may have been signed anew.
    """

    record: Record
    drafts: dict[str, Draft]
    url: str = ""
    whole: bool = True
    last: tuple[str, Draft] | None = None


def check_readable(version: str) -> str:
    """Returns `version` if Nacos gives back what is written as it.

    Raises:
        BadName: It does not: it takes others and answers HTTP 400, or an error of its own, to whoever asks for them.
    """
    if not _READABLE.match(version):
        raise BadName(f"Nacos can't give back a version {version}", "use '-' in place of '+' and '~', such as 1.0-rc1")
    return version


class Agents:
    """Reads and writes things. Methods may be called from any thread.

    Args:
        nacos: The server.
    """

    def __init__(self, nacos: Nacos) -> None:
        self._nacos = nacos

    def spaces(self, lab: str) -> set[str]:
        """Nacos' namespaces of a lab."""
        found = {str(one["namespace"]) for one in self._nacos.get(f"{NAMESPACES}/list", {}) or ()}
        return {one for one in found if one == lab or one.startswith(f"{lab}-")}

    def remove(self, space: str) -> None:
        """Removes a namespace with all that is in it; Nacos would leave its agents."""
        for kind, group in GROUPS.items():
            for data_id, _ in list(self.files(space, kind)):
                found = self.file(space, kind, data_id)
                if kind == "agent" and found is not None:
                    self._nacos.send("DELETE", AGENTS, {"namespaceId": space, "agentName": found[1]["name"]})
                else:
                    file = {"namespaceId": space, "groupName": group, "dataId": data_id}
                    self._nacos.send("DELETE", CONFIGS, file)
        self._nacos.send("DELETE", NAMESPACES, {"namespaceId": space})

    def files(self, space: str, kind: Kind) -> Iterator[tuple[str, str]]:
        """Name and MD5 of every thing's file."""
        form = {"namespaceId": space, "groupName": GROUPS[kind], "dataId": "", "search": "blur", "pageSize": _PAGE}
        page = 1
        while True:
            found = self._nacos.get(f"{CONFIGS}/list", form | {"pageNo": page}) or {}
            for one in found.get("pageItems") or ():
                yield one["dataId"], one["md5"]
            if page >= int(found.get("pagesAvailable") or 0):
                return
            page += 1

    def check_kept(self, space: str) -> None:
        """Makes sure that agents are kept as configs, as 3.1 and 3.2 do, and 3.3 where it is told to.

        Raises:
            UsageError: They are kept elsewhere, where they can't be followed.
        """
        form = {"namespaceId": space, "agentName": "", "search": "blur", "pageNo": 1, "pageSize": 1}
        listed = (self._nacos.get(f"{AGENTS}/list", form) or {}).get("pageItems") or ()
        if listed and next(self.files(space, "agent"), None) is None:
            raise self._kept_elsewhere()

    def _kept_elsewhere(self) -> UsageError:
        return UsageError(
            f"the Nacos at {self._nacos.url} ({self._nacos.version}) does not keep its agents as configs",
            "set nacos.ai.a2a.compatibility.mode=LEGACY there, which 3.3 has, or use a Nacos 3.1 or 3.2",
        )

    def file(self, space: str, kind: Kind, data_id: str) -> tuple[str, dict[str, Any]] | None:
        """MD5 and content of a thing's file, None where there is none; as it was written last."""
        return self._file(space, GROUPS[kind], data_id)

    def _file(self, space: str, group: str, data_id: str) -> tuple[str, dict[str, Any]] | None:
        found = self._nacos.get(CONFIGS, {"namespaceId": space, "groupName": group, "dataId": data_id})
        if not found or not found.get("content"):
            return None
        try:
            content = json.loads(found["content"])
        except ValueError:
            return None
        return (str(found["md5"]), content) if isinstance(content, dict) else None

    def read(
        self,
        space: str,
        namespace: str,
        kind: Kind,
        content: Mapping[str, Any],
        known: Mapping[str, str],
        base: Record | None = None,
    ) -> Read | None:
        """A thing from its file.

        Args:
            space: Nacos' namespace.
            namespace: Ours.
            kind: What it is.
            content: The file's content.
            known: Versions, with their hashes, whose content is not needed.
            base: The thing as it is known, for where somebody wrote a card without a record last.
        """
        if kind == "agent":
            return self._agent(space, namespace, content, known, base)
        record = read_record(kind, namespace, content.get("thing"))
        if record is None:
            return None
        drafts = {}
        for version, card in (content.get("cards") or {}).items():
            if version not in known:
                try:
                    drafts[version] = read_content(kind, card, namespace)
                except LabError as error:
                    _log.warning("'%s' %s at Nacos can't be read: %s", record.name, version, error.what)
        return Read(record, drafts)

    def write(
        self,
        space: str,
        record: Record,
        cards: Mapping[str, Mapping[str, Any]],
        target: str,
        *,
        new: bool,
        fresh: bool,
        url: str = NOWHERE,
        signed: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes a thing, with its record.

        Args:
            space: Nacos' namespace.
            record: The thing.
            cards: Contents by version; of an agent that of `target` is enough.
            target: The version whose card is written.
            new: Whether that version is new.
            fresh: Whether the thing is.
            url: Where that version answers.
            signed: The signed card that it was published with.

        Raises:
            VersionExists: Somebody else published the same version at the same moment.
            UsageError: Nacos took it, and does not keep it where it can be read.
        """
        if record.kind != "agent":
            content = json.dumps({"thing": record.text(), "cards": cards}, ensure_ascii=False)
            file = {"namespaceId": space, "groupName": GROUPS[record.kind], "dataId": file_of(there(record.name))}
            self._nacos.send("POST", CONFIGS, file | {"content": content, "type": "json"})
            return
        known = there(record.name)
        card = card_there(record, known, target, cards[target], url, signed)
        form: dict[str, object] = {"namespaceId": space, "agentCard": card, "registrationType": "SERVICE"}
        digest = record.versions[target][0]
        if not (fresh and self._registers(form)):
            self._settle(space, file_of(known))
            if new:
                _check(record, target, self._card(space, known, target), digest)
            self._nacos.send("PUT", AGENTS, form | {"setAsLatest": target == latest_of(record)})
        if new:
            written = self._card(space, known, target)
            if written is None:
                raise self._kept_elsewhere()
            _check(record, target, written, digest)

    def _registers(self, form: Mapping[str, object]) -> bool:
        """Registers an agent; False where somebody else did since it was looked for."""
        code, said = self._nacos.call("POST", AGENTS, form)
        if code not in {0, EXISTS}:
            raise StoreError(f"Nacos refuses POST {AGENTS}: {said} (code {code})", "nothing was written here")
        return code == 0

    def _settle(self, space: str, data_id: str) -> None:
        """Waits until the copy of an agent's list of versions is what was written last."""
        asked = {"namespaceId": space, "groupName": GROUPS["agent"], "dataId": data_id}
        ends = time.monotonic() + _SETTLES
        while True:
            written, copy = self._nacos.get(CONFIGS, asked), self._nacos.get(COPIES, asked)
            if not written or (copy and copy.get("md5") == written.get("md5")):
                return
            if time.monotonic() > ends:
                raise StoreError(
                    f"the Nacos at {self._nacos.url} does not answer yet with what was written of {data_id}",
                    "nothing was written here; do it again once the server is less busy",
                )
            time.sleep(_STEP)

    def _card(self, space: str, known: str, version: str) -> Mapping[str, Any] | None:
        """The card of a version, None where there is none."""
        read = self._file(space, _VERSIONS, f"{file_of(known)}-{version}")
        return read[1] if read else None

    def _agent(
        self,
        space: str,
        namespace: str,
        content: Mapping[str, Any],
        known: Mapping[str, str],
        base: Record | None,
    ) -> Read | None:
        named = str(content.get("name", ""))
        details = {str(one["version"]): one for one in content.get("versionDetails") or ()}
        last, carried = content_of(content, namespace, named)
        records = [read_record("agent", namespace, carried)]
        name = records[0].name if records[0] is not None else name_of(named) if base is None else base.name
        drafts, url, whole = {}, "", True
        for version in details:
            if version in known:
                continue
            if not _READABLE.match(version):
                _log.warning("'%s' %s at Nacos has a version that it took and can't give", name, version)
                continue
            card = self._card(space, named, version)
            if card is None:
                whole = False
                continue
            draft, told = content_of(card, namespace, name)
            if draft is None or draft.name != name:
                _log.warning("'%s' %s at Nacos is no card that can be read here", name, version)
                continue
            drafts[version] = draft
            records.append(read_record("agent", namespace, told))
            if told is None and carried is None:
                url = str(card.get("url") or "")
        if records[0] is None:  # somebody else wrote last: what was known before holds
            records.append(base)
        own = [one for one in records if one is not None]
        nobody = Record("agent", namespace, name, "nacos", False, {}, {}, None)
        record = records[0] or max(own, key=lambda one: one.written, default=nobody)
        versions = {version: told for version, told in record.versions.items() if version in details}
        if base is not None:  # somebody wrote who had not seen them all
            versions |= {one: told for one, told in base.versions.items() if one in details and one not in versions}
        for version, draft in drafts.items():
            if version in versions and draft.hash != versions[version][0]:
                _log.warning("'%s' %s was written over at Nacos after it was published", name, version)
            rest = versions.get(version, ("", "published", _seconds(details[version])))[1:]
            versions[version] = (draft.hash, *rest)
        written = None if last is None else (str(content.get("version")), last)
        return Read(_with_native(record._replace(versions=versions), content), drafts, url, whole, written)


def _with_native(record: Record, content: Mapping[str, Any]) -> Record:
    """The record with ``latest`` where Nacos has it: whoever uses another client moves it there alone."""
    native = str(content.get("latestPublishedVersion") or "")
    if native not in record.versions or record.versions[native][1] not in {"published", "deprecated"}:
        return record
    before = record.labels.get(LATEST, ("", ""))
    if before[0] == native:
        return record
    return record._replace(labels={**record.labels, LATEST: (native, before[0])})


def _seconds(detail: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(detail["createdAt"]).replace("Z", "+00:00")).timestamp()
    except (KeyError, ValueError):
        return 0.0


def _check(record: Record, version: str, card: Mapping[str, Any] | None, digest: str) -> None:
    """Refuses what stands at Nacos as a version with another hash than ours."""
    draft = None if card is None else content_of(card, record.namespace, record.name)[0]
    if card is not None and (draft is None or draft.hash != digest):
        raise VersionExists(
            f"'{record.name}' {version} was published by somebody else at the same moment, with other content",
            "publish it as another version, or without one for the next 0.0.N",
        )
