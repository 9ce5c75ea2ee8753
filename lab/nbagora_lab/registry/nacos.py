"""The Nacos engine: a registry that many labs share, on a Nacos 3.1 or later.

Reads are answered from a mirror (`nacos_mirror`), which a follower keeps up to date: a change of a known thing is
pushed by Nacos' long poll, a new thing and what becomes of endpoints are looked for every `LOOK` seconds. A write looks
first what others wrote of the thing, is then done in the mirror and pushed before it is committed.

What Nacos can't hold to, and what this engine does about it, stands in `DEVIATIONS` of its conformance suite: versions
can be written over there (looked at before and after a write; what was published first is kept), two labs that move
labels of one thing in the same moment may lose one move, and reads of naming lag by some 0.6 s.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.ids import Ids
from nbagora_lab.core.log import logger
from nbagora_lab.registry.api import CAPABILITIES
from nbagora_lab.registry.audit import take_down
from nbagora_lab.registry.change import Change
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.leases import all_live, live
from nbagora_lab.registry.model import LOCAL, NAMESPACE, By, Draft, Endpoint, Kind, Published, State
from nbagora_lab.registry.nacos_agents import GROUPS, Agents, Read, check_readable
from nbagora_lab.registry.nacos_http import INSTANCES, NAMESPACES, UNKNOWN_INSTANCE, Nacos
from nbagora_lab.registry.nacos_mirror import ELSEWHERE, MirrorStore, take_in, take_place
from nbagora_lab.registry.nacos_names import file_of, name_of, space_of, there
from nbagora_lab.registry.nacos_places import CARD, OwnPlaces, card_place, end, instance, places_of, spot
from nbagora_lab.registry.nacos_places import GROUPS as PLACES
from nbagora_lab.registry.nacos_record import NOWHERE, Record, latest_of, record_of
from nbagora_lab.registry.names import check_version
from nbagora_lab.registry.rows import entry_of, signed_of
from nbagora_lab.registry.sqlite import Run, SqliteStore

__all__ = ["Following", "NacosCatalog"]


class Following(Protocol):
    """What ends with the catalog."""

    def stop(self) -> None:
        """Ends."""
        ...


_LISTED = 10.0  # seconds until a namespace that others made is found
_log = logger.getChild("registry")


class NacosCatalog(EmbeddedCatalog):
    """A registry at a Nacos.

    Args:
        mirror: File of the mirror; made if absent.
        nacos: The server.
        lab: What its namespaces there are called by.
        clock: Time of publication and of leases.
        ids: Makes the endpoints' ids.

    Raises:
        ServerGone: Nothing answers there, or no Nacos.
        UsageError: It is too old, or refuses the user.
        StoreError: The mirror can't be opened.
    """

    capabilities = frozenset(CAPABILITIES) - {"access", "audit"}

    def __init__(self, mirror: Path, nacos: Nacos, lab: str, *, clock: Clock, ids: Ids) -> None:
        self._nacos = nacos
        self._agents = Agents(nacos)
        self._lab = lab
        self.follower: Following | None = None
        """What keeps the mirror up to date beside the writes; whoever opens the catalog starts it."""
        self._own = OwnPlaces()
        self._spaces: set[str] = set()
        self._listed = 0.0
        self._turn = threading.RLock()
        self.seen: dict[tuple[str, Kind, str], str] = {}
        """MD5 of every thing's file when it was taken in, by Nacos' namespace, kind and the file's name."""
        self.engine = f"nacos {nacos.check()}"
        super().__init__(mirror, clock=clock, ids=ids)
        try:
            for space in self.spaces():
                self._agents.check_kept(space)
            self.look()
        except BaseException:
            self._store.close()
            raise

    def _open(self, path: Path, durability: str, patience: float) -> SqliteStore:  # noqa: ARG002 -- it can be made anew
        return MirrorStore(path, self._push, patience=patience)

    @property
    def _mirror(self) -> MirrorStore:
        assert isinstance(self._store, MirrorStore)
        return self._store

    def close(self) -> None:
        """See `Catalog.close`."""
        if self.follower is not None:
            self.follower.stop()
        self._store.close()
        self._nacos.close()

    # -- what others wrote -------------------------------------------------------------------------------------------

    def spaces(self) -> set[str]:
        """Nacos' namespaces of this lab. They are listed once in `_LISTED` seconds, since that takes Nacos longest."""
        if not self._spaces or time.monotonic() > self._listed + _LISTED:
            self._spaces |= self._agents.spaces(self._lab)
            self._listed = time.monotonic()
        return set(self._spaces)

    def namespace_of(self, space: str) -> str:
        """Our namespace that one of this lab's at Nacos stands for."""
        return NAMESPACE if space == self._lab else name_of(space.removeprefix(f"{self._lab}-"))

    def look(self) -> None:
        """Takes in all that is new or other at Nacos."""
        for space in self.spaces():
            namespace = self.namespace_of(space)
            for kind in GROUPS:
                files = dict(self._agents.files(space, kind))
                for data_id, digest in files.items():
                    if self.seen.get((space, kind, data_id)) != digest:
                        self.take(space, namespace, kind, data_id)
                gone = [key for key in list(self.seen) if key[:2] == (space, kind) and key[2] not in files]
                for key in gone:
                    self.take(space, namespace, kind, key[2])
                self._look_at_places(space, namespace, kind)

    def take(self, space: str, namespace: str, kind: Kind, data_id: str) -> None:
        """Takes in a thing from its file."""
        with self._turn:
            found = self._agents.file(space, kind, data_id)
            if found is None:
                self._forget(space, namespace, kind, data_id)
                return
            digest, content = found
            with self._store.reading() as run:
                base = self._known(run, kind, namespace, data_id)
            hashes = {version: told[0] for version, told in base.versions.items()} if base else {}
            read = self._agents.read(space, namespace, kind, content, hashes, base)
            if read is not None and read.record.versions:
                with self._mirror.taking_in() as run:
                    for version in take_in(run, self._clock.now(), read.record, read.drafts, read.last):
                        _log.warning("'%s' %s was written over at Nacos", read.record.name, version)
                    if read.url.startswith(("http://", "https://")):
                        self._take_card_place(run, kind, read)
            if read is None or read.whole:
                self.seen[space, kind, data_id] = digest
            else:  # read once more at the next look
                self.seen.pop((space, kind, data_id), None)

    def _take_card_place(self, run: Run, kind: Kind, read: Read) -> None:
        """Takes in where somebody else's card says that it answers."""
        record, now = read.record, self._clock.now()
        version = latest_of(record) or next(reversed(record.versions))
        take_place(run, now, kind, card_place(record.namespace, record.name, version, read.url, now))

    def _known(self, run: Run, kind: Kind, namespace: str, data_id: str) -> Record | None:
        """The thing of a file, as the mirror has it."""
        names = run("SELECT name FROM entries WHERE kind = ? AND namespace = ?", (kind, namespace)).fetchall()
        name = next((name for (name,) in names if file_of(there(name)) == data_id), None)
        return None if name is None else record_of(run, kind, namespace, name)

    def _forget(self, space: str, namespace: str, kind: Kind, data_id: str) -> None:
        """Withdraws a thing that was deleted there."""
        self.seen.pop((space, kind, data_id), None)
        with self._mirror.taking_in() as run:
            record = self._known(run, kind, namespace, data_id)
            if record is not None and record.versions:
                take_in(run, self._clock.now(), record._replace(versions={}, labels={}, rule=None), {})

    def _fresh(self, kind: Kind, namespace: str, name: str) -> str:
        """Takes in what others wrote of a thing; gives Nacos' namespace, made if need be."""
        space = space_of(self._lab, namespace)
        with self._store.reading():  # refuses at once where it is closed
            pass
        if space not in self._spaces:
            self._nacos.call(
                "POST", NAMESPACES, {"namespaceId": space, "namespaceName": space}
            )  # one that is there already is refused
            self._spaces.add(space)
        data_id = file_of(there(name))
        found = self._agents.file(space, kind, data_id)
        if found is not None and self.seen.get((space, kind, data_id)) != found[0]:
            self.take(space, namespace, kind, data_id)
        return space

    # -- writes ------------------------------------------------------------------------------------------------------

    def publish(
        self,
        draft: Draft,
        *,
        version: str | None = None,
        state: State = "published",
        private: bool = False,
        as_owner: bool = False,
        by: By = LOCAL,
    ) -> Published:
        """See `Catalog.publish`."""
        if version is not None and draft.kind == "agent":
            check_readable(check_version(version))
        with self._turn:
            self._fresh(draft.kind, draft.namespace, draft.name)
            return super().publish(draft, version=version, state=state, private=private, as_owner=as_owner, by=by)

    def label(
        self, namespace: str, name: str, label: str, version: str, *, kind: Kind = "agent", by: By = LOCAL
    ) -> bool:
        """See `Catalog.label`."""
        with self._turn:
            self._fresh(kind, namespace, name)
            return super().label(namespace, name, label, version, kind=kind, by=by)

    def unlabel(self, namespace: str, name: str, label: str, *, kind: Kind = "agent", by: By = LOCAL) -> bool:
        """See `Catalog.unlabel`."""
        with self._turn:
            self._fresh(kind, namespace, name)
            return super().unlabel(namespace, name, label, kind=kind, by=by)

    def rollback(self, namespace: str, name: str, label: str, *, kind: Kind = "agent", by: By = LOCAL) -> Change:
        """See `Catalog.rollback`."""
        with self._turn:
            self._fresh(kind, namespace, name)
            return super().rollback(namespace, name, label, kind=kind, by=by)

    def set_state(
        self, namespace: str, name: str, version: str, state: State, *, kind: Kind = "agent", by: By = LOCAL
    ) -> bool:
        """See `Catalog.set_state`."""
        with self._turn:
            self._fresh(kind, namespace, name)
            return super().set_state(namespace, name, version, state, kind=kind, by=by)

    def set_rule(
        self, namespace: str, name: str, rule: dict[str, Any] | None, *, kind: Kind = "agent", by: By = LOCAL
    ) -> bool:
        """See `Catalog.set_rule`."""
        with self._turn:
            self._fresh(kind, namespace, name)
            return super().set_rule(namespace, name, rule, kind=kind, by=by)

    def _push(self, run: Run, before: int) -> None:
        """Writes to Nacos what changed past a revision, within the transaction that changed it."""
        rows = run(
            "SELECT type, kind, namespace, name, version, detail FROM changes WHERE revision > ? ORDER BY revision",
            (before,),
        ).fetchall()
        things: dict[tuple[Kind, str, str], list[str]] = {}
        signed: dict[tuple[Kind, str, str], str] = {}
        for what, kind, namespace, name, version, detail in rows:
            if what.startswith("endpoint."):
                told = json.loads(detail)
                place = Endpoint(
                    id=told["id"], epoch=0, namespace=namespace, name=name, version=version, url=told["url"],
                    transport=told["transport"], lease=1, registered=0, expires=0,
                )  # fmt: skip
                self._push_place(run, what, kind, place, told)
            else:
                made = things.setdefault((kind, namespace, name), [])
                if what == "published":
                    made.append(version)
                elif what == "signed":
                    signed[kind, namespace, name] = version
        for thing, made in things.items():
            self._push_thing(run, *thing, made, signed.get(thing))

    def _push_thing(self, run: Run, kind: Kind, namespace: str, name: str, made: list[str], signed: str | None) -> None:
        record = record_of(run, kind, namespace, name)
        assert record is not None
        target = made[-1] if made else signed or latest_of(record) or next(reversed(record.versions))
        entry = entry_of(run, kind, namespace, name)
        wanted = "" if kind != "agent" else " AND version = ?"
        cards = {
            version: json.loads(content)
            for version, content in run(
                f"SELECT version, content FROM versions WHERE entry = ?{wanted}",
                (entry, *([target] if wanted else [])),
            )
        }
        space = space_of(self._lab, namespace)
        places = live(run, self._clock.now(), entry or 0, target)
        url = next((place.url for place in places if place.transport == "JSONRPC"), NOWHERE)
        self._agents.write(
            space, record, cards, target, new=bool(made), fresh=len(record.versions) == len(made), url=url,
            signed=signed_of(run, entry or 0, target),
        )  # fmt: skip
        self.seen.pop((space, kind, file_of(there(name))), None)  # the follower reads it once more, and finds it equal

    # -- endpoints ---------------------------------------------------------------------------------------------------

    def renew(self, id: str) -> Endpoint:  # noqa: A002 -- the endpoint's own word
        """See `Catalog.renew`."""
        endpoint = super().renew(id)
        with self._store.reading() as run:
            here = "SELECT kind FROM entries WHERE id = (SELECT entry FROM endpoints WHERE id = ?)"
            [kind] = run(here, (id,)).fetchone()
            form = self._instance(run, kind, endpoint) or {}
        code, _ = self._nacos.call("POST", INSTANCES, form | {"heartBeat": True})
        if code == UNKNOWN_INSTANCE:  # the server was started again
            self._nacos.send("POST", INSTANCES, form)
        self._own.begin(id)
        return endpoint

    def _instance(self, run: Run, kind: Kind, endpoint: Endpoint) -> dict[str, object] | None:
        """The instance at an endpoint's spot, None where nothing of its version answers there."""
        entry = entry_of(run, kind, endpoint.namespace, endpoint.name) or 0
        every = live(run, self._clock.now(), entry, endpoint.version)
        here = [one for one in every if spot(one) == spot(endpoint) and not one.id.startswith(CARD)]
        return instance(space_of(self._lab, endpoint.namespace), kind, here) if here else None

    def _push_place(self, run: Run, what: str, kind: Kind, endpoint: Endpoint, detail: dict[str, Any]) -> None:
        if what == "endpoint.up":
            self._own.end(detail.get("replaces", ""))
            self._own.begin(endpoint.id)
        ours = endpoint.id in self._own or detail.get("reason") == "deregistered"
        if what == "endpoint.down":
            if not ours:  # it ran out here; at Nacos it is whose heartbeat it has
                return
            self._own.end(endpoint.id)
        form = self._instance(run, kind, endpoint)
        if form is not None:
            self._nacos.send("POST", INSTANCES, form)
        else:
            self._nacos.call("DELETE", INSTANCES, end(space_of(self._lab, endpoint.namespace), kind, endpoint))

    def _look_at_places(self, space: str, namespace: str, kind: Kind) -> None:
        """Takes in which endpoints others registered, and which of theirs are gone."""
        form = {"namespaceId": space, "groupNameParam": PLACES[kind], "serviceNameParam": "", "pageSize": 500}
        page, services = 1, []
        while True:
            found = self._nacos.get("/v3/admin/ns/service/list", form | {"pageNo": page}) or {}
            services += [one["name"] for one in found.get("pageItems") or () if int(one.get("ipCount") or 0)]
            if page >= int(found.get("pagesAvailable") or 0):
                break
            page += 1
        now = self._clock.now()
        with self._store.reading() as run:
            rows = run(
                "SELECT e.name, v.version FROM entries e JOIN versions v ON v.entry = e.id "
                "WHERE e.kind = ? AND e.namespace = ?",
                (kind, namespace),
            ).fetchall()
            known = [one for one in all_live(run, now, kind) if one.namespace == namespace]
        names = {f"{file_of(there(name))}::{version}": (name, version) for name, version in rows}
        places: dict[str, Endpoint] = {}
        for service in services:
            if service in names:
                given = self._nacos.get(
                    f"{INSTANCES}/list", {"namespaceId": space, "groupName": PLACES[kind], "serviceName": service}
                )
                for one in given or ():
                    places |= {place.id: place for place in places_of(one, namespace, *names[service], now)}
        with self._turn:
            theirs = self._own.others(places)
            gone = [
                one for one in known
                if one.id not in self._own and not one.id.startswith(CARD) and one.id not in theirs
            ]  # fmt: skip
            if gone or theirs:
                with self._mirror.taking_in() as run:
                    for place in theirs.values():
                        take_place(run, now, kind, place)
                    for one in gone:
                        take_down(run, now, one, kind, "gone", ELSEWHERE)

    # -- what it lacks -----------------------------------------------------------------------------------------------

    def put(self, *_args: Any, **_more: Any) -> bool:
        """Refused: see `capabilities`."""
        raise self._lacks("access")

    def own(self, *_args: Any, **_more: Any) -> bool:
        """Refused: see `capabilities`."""
        raise self._lacks("access")

    def refuse(self, *_args: Any, **_more: Any) -> None:
        """Refused: see `capabilities`."""
        raise self._lacks("access")

    def _lacks(self, capability: str) -> UsageError:
        with self._store.reading():  # one that is closed says that first
            return UsageError(
                f"the {self.engine} registry has no {CAPABILITIES[capability]}", "use the embedded registry"
            )
