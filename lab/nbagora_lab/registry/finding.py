"""Finding: the registry's search as people use it, with its reasons, its counts, and why something was not found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import AgentNotFound, LabError, UsageError, VersionNotFound
from nbagora_lab.registry import where as conditions
from nbagora_lab.registry.fields import CARD_FIELDS, values_of
from nbagora_lab.registry.governed import Governed
from nbagora_lab.registry.model import FILTERS, LATEST, NAMESPACE, AgentVersion, Found, Kind, Query, Values, Why
from nbagora_lab.registry.words import texts_of

__all__ = ["Checked", "Explanation", "Finding", "Impact"]

_RANK = 60  # of reciprocal rank fusion: how slowly a lower place counts less
_MEANING = 0.6  # weight of meaning beside words
_NEAREST = 0.35  # cosine below which a vector means something else
_CANDIDATES = 1000  # versions that are compared by meaning at most


class Checked(NamedTuple):
    """One thing that a query asks for, and whether a version has it.

    Attributes:
        what: The condition.
        holds: Whether it holds.
        has: What the version has there.
    """

    what: str
    holds: bool
    has: tuple[str, ...] = ()


class Explanation(NamedTuple):
    """Why something was found, or was not.

    Attributes:
        found: Whether the query finds it among its results.
        place: Its place among these, from 1, or None.
        checks: Every condition.
        reason: In a sentence.
    """

    found: bool
    place: int | None
    checks: tuple[Checked, ...]
    reason: str


class Impact(NamedTuple):
    """Something that a change would touch.

    Attributes:
        version: The version that uses what changes, itself or by way of others.
        via: Names on the way to it, what changes first.
        ref: The version or label that it uses of the last of these.
        endpoints: Number of its live endpoints.
    """

    version: AgentVersion
    via: tuple[str, ...]
    ref: str
    endpoints: int


class Finding(Governed):
    """The part of the registry's face that searches."""

    def find(
        self,
        text: str | None = None,
        *,
        name: str | None = None,
        skill: Values | None = None,
        tag: Values | None = None,
        provider: Values | None = None,
        capability: Values | None = None,
        input: Values | None = None,  # noqa: A002 -- the card's own word
        output: Values | None = None,
        scheme: Values | None = None,
        extension: Values | None = None,
        transport: Values | None = None,
        health: Values | None = None,
        state: Values | None = None,
        where: str | None = None,
        label: str = LATEST,
        kind: Kind = "agent",
        namespace: str = NAMESPACE,
        limit: int = 20,
    ) -> list[Found]:
        """The agents (or servers, or prompts) that have all that is asked for; each says why it was found.

        A filter takes one value, or several of which all must be there, whatever their case; ``*`` and ``?`` make a
        pattern of it.

        Args:
            text: Words in any order and script. One of them is enough, more of them, and rarer ones, rank higher.
            name: The name, or a pattern of it.
            skill: Id or name of a skill.
            tag: A skill's tag.
            provider: Name or URL of who provides it.
            capability: ``streaming``, ``pushNotifications`` or ``extendedAgentCard``.
            input: A media type that it takes.
            output: A media type that it gives.
            scheme: Name or kind of a security scheme.
            extension: URI of an extension.
            transport: A transport of one of its live endpoints.
            health: ``up``, ``down`` or ``draining`` of one of its endpoints; ``none``: it has no live one.
            state: ``published`` or ``deprecated``.
            where: Conditions joined as one likes: ``capability=streaming and not (tag=beta or tag=old)``.
            label: The label whose versions are meant.
            kind: ``agent``, ``mcp`` or ``prompt``.
            namespace: Where to look.
            limit: Number of results at most.

        Returns:
            The best first where a text was given, otherwise by name.

        Raises:
            UsageError: A value that does not fit.

        Example:
            >>> [found.agent.name for found in lab.registry.find(capability="streaming", skill="image-generation")]
            []
        """
        given = {key: value for key, value in locals().items() if key != "self"}
        return self.search(self.query(given))

    def query(self, given: dict[str, Any]) -> Query:
        """A query, as this caller may ask it.

        Raises:
            UsageError: A value that does not fit, or nothing to ask of.
        """
        check_name(str(given.get("namespace", NAMESPACE)), "namespace")
        try:
            query = Query.model_validate(given)
        except ValidationError as error:
            problems = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
            raise UsageError(
                f"a search that does not fit: {problems}", f"give text, name, where, limit, or {', '.join(FILTERS)}"
            ) from None
        if query.where is not None:
            conditions.parse(query.where)
        self._may("searching", (query.kind, query.namespace, ""), "read")
        admin = self.principal.may("admin", query.namespace)
        return query if admin else query.model_copy(update={"seen_by": self.principal.name})

    def search(self, query: Query) -> list[Found]:
        """What a query finds."""
        found = self.catalog.find(query)
        if self._embed is None or not query.text:
            return found
        return self._by_meaning(query, found)

    def counts(self, query: Query) -> dict[str, dict[str, int]]:
        """How many of all that a query finds have each value of each filter over cards, the most frequent first."""
        return self.catalog.counts(query)

    def explain(self, query: Query, name: str) -> Explanation:
        """Why a query finds something, or does not."""
        check_name(name, "agent")
        every = self.search(query.model_copy(update={"limit": 10_000}))
        place = next((place for place, one in enumerate(every, 1) if one.agent.name == name), None)
        thing = (query.kind, query.namespace, name)
        try:
            self._see(thing)
            version = self.catalog.get(query.namespace, name, query.label, kind=query.kind)
        except LabError as error:
            return Explanation(False, None, (Checked("it is there", False),), error.what)
        checks = tuple(self._checks(query, version))
        failed = [check for check in checks if not check.holds]
        if place is None:
            what = "; ".join(f"{one.what} does not hold (it has {', '.join(one.has) or 'nothing'})" for one in failed)
            return Explanation(False, None, checks, what or "it may not be seen by who asks")
        if place > query.limit:
            return Explanation(False, place, checks, f"it is number {place}, and {query.limit} were asked for")
        return Explanation(True, place, checks, f"it is number {place} of {len(every)}")

    def impact(
        self, name: str, version: str | None = None, *, kind: Kind = "agent", namespace: str = NAMESPACE
    ) -> list[Impact]:
        """What breaks if this changes: every version under a label that uses it, itself or by way of others.

        Args:
            name: Name of what changes.
            version: Only those who use this version of it; None: any.
            kind: Its kind.
            namespace: Its namespace.
        """
        thing = self._thing(kind, namespace, name)
        self._see(thing)
        self._need("links")
        found: list[Impact] = []
        seen = {thing}
        waiting: list[tuple[Kind, str, tuple[str, ...]]] = [(kind, name, (name,))]
        while waiting:
            of_kind, of_name, via = waiting.pop(0)
            for user, ref in self.catalog.users(namespace, of_name, kind=of_kind):
                if version is not None and len(via) == 1 and not self._is(ref, version, thing):
                    continue
                if not self._sees((user.kind, namespace, user.name)):
                    continue
                live = self.catalog.endpoints(namespace, user.name, user.version, kind=user.kind)
                found.append(Impact(user, via, ref, len(live)))
                if (user.kind, namespace, user.name) not in seen:
                    seen.add((user.kind, namespace, user.name))
                    waiting.append((user.kind, user.name, (*via, user.name)))
        return found

    def _is(self, ref: str, version: str, thing: tuple[Kind, str, str]) -> bool:
        """Whether a version or label of a thing is a version now."""
        kind, namespace, name = thing
        try:
            return ref == version or self.catalog.get(namespace, name, ref, kind=kind).version == version
        except (AgentNotFound, VersionNotFound):
            return False

    def _checks(self, query: Query, version: AgentVersion) -> list[Checked]:
        """Each condition of a query by itself."""
        bare = Query(limit=20, kind=query.kind, namespace=query.namespace, label=query.label, seen_by=query.seen_by)
        literal = "".join(f"\\{letter}" if letter in "*?\\" else letter for letter in version.name)

        def holds(**part: Any) -> bool:
            return bool(self.catalog.find(bare.model_copy(update={"name": literal, **part})))

        checks = []
        if query.name is not None:
            names = [
                one.agent.name
                for one in self.catalog.find(bare.model_copy(update={"name": query.name, "limit": 10_000}))
            ]
            checks.append(Checked(f"name is {query.name}", version.name in names, (version.name,)))
        for field, value in query.asked():
            has = tuple(values_of(version.card, field)) if field in CARD_FIELDS else self._standing(version, field)
            checks.append(Checked(f"{field} is {value}", holds(**{field: value}), has))
        if query.where is not None:
            checks.append(Checked(query.where, holds(where=query.where)))
        if query.text:
            has = tuple(text for texts in texts_of(version.card).values() for text in texts)
            checks.append(Checked(f"a word of '{query.text}'", holds(text=query.text), has))
        return checks

    def _standing(self, version: AgentVersion, field: str) -> tuple[str, ...]:
        if field == "state":
            return (version.state,)
        places = self.catalog.endpoints(version.namespace, version.name, version.version, kind=version.kind)
        return tuple(dict.fromkeys(place.transport if field == "transport" else place.state for place in places))

    def _by_meaning(self, query: Query, found: list[Found]) -> list[Found]:
        """Joins what words found with what vectors find, by reciprocal ranks."""
        every = self.catalog.find(query.model_copy(update={"text": None, "limit": _CANDIDATES}))
        known = {one.agent.name: one for one in [*every, *found]}
        texts = {
            name: "\n".join(text for part in texts_of(one.agent.card).values() for text in part)
            for name, one in known.items()
        }
        [asked, *vectors] = self._vectors_of([query.text or "", *texts.values()])
        nearness = {name: _cosine(asked, vector) for name, vector in zip(texts, vectors, strict=True)}
        near = sorted((name for name in nearness if nearness[name] >= _NEAREST), key=lambda name: -nearness[name])
        scores: dict[str, float] = {}
        for rank, one in enumerate(found, 1):
            scores[one.agent.name] = 1 / (_RANK + rank)
        for rank, name in enumerate(near, 1):
            scores[name] = scores.get(name, 0.0) + _MEANING / (_RANK + rank)
        best = sorted(scores, key=lambda name: (-scores[name], name))[: query.limit]
        return [
            known[name].model_copy(
                update={
                    "score": scores[name],
                    "why": (
                        *known[name].why,
                        *([Why(field="meaning", text=f"{nearness[name]:.2f}")] if name in near else []),
                    ),
                }
            )
            for name in best
        ]

    def _vectors_of(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Vectors, each made once."""
        assert self._embed is not None
        new = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if new:
            vectors = self._embed(new)
            if len(vectors) != len(new):
                raise UsageError(f"the embedder gave {len(vectors)} vectors for {len(new)} texts", "give one for each")
            self._vectors.update(zip(new, vectors, strict=True))
        return [self._vectors[text] for text in texts]


def _cosine(one: Sequence[float], two: Sequence[float]) -> float:
    size = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in two))
    return sum(x * y for x, y in zip(one, two, strict=True)) / size if size else 0.0
