"""Any sequence of calls, with clocks that move and stores that close and open, against a few dictionaries."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import AgentNotFound, EndpointNotFound, InUse, VersionExists, VersionNotFound, WrongState
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry import Change, Endpoint, Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog

NAMES = ("weather", "酒店")
CONTENTS = {name: card("", description=f"About {name}.", skills=[skill(name)]) for name in ("sun", "rain", "snow")}
VERSIONS = ("1", "2", "0.0.5")
LABELS = ("latest", "stable")
NEXT = {
    "draft": {"published", "withdrawn"},
    "published": {"deprecated", "withdrawn"},
    "deprecated": {"published", "withdrawn"},
    "withdrawn": set(),
}
NOBODY = {"draft", "withdrawn"}  # states in which nobody may be led to a version
PLACES = ("http://127.0.0.1:1/a", "http://127.0.0.1:2/a")

names = st.sampled_from(NAMES)
contents = st.sampled_from(sorted(CONTENTS))


@dataclass
class Agent:
    """What the model knows of one agent."""

    versions: dict[str, str] = field(default_factory=dict)  # in order of publication: version, content
    labels: dict[str, str] = field(default_factory=dict)
    before: dict[str, str | None] = field(default_factory=dict)  # where each label pointed before its last move
    states: dict[str, str] = field(default_factory=dict)  # other than published
    rule: str = ""  # what its rule leads to beside latest

    def move(self, label: str, version: str) -> None:
        self.before[label] = self.labels.get(label)
        self.labels[label] = version

    def next(self) -> str:
        numbers = [int(version[4:]) for version in self.versions if version.startswith("0.0.")]
        return f"0.0.{max(numbers, default=0) + 1}"


class RegistryMachine(RuleBasedStateMachine):
    """The registry, and beside it what it ought to be."""

    endpoints = Bundle("endpoints")

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = VirtualClock(0)
        self.agents: dict[str, Agent] = {}
        self.live: dict[str, Endpoint] = {}
        self.told: list[tuple[str, str, str]] = []
        self.hashes: dict[tuple[str, str], str] = {}
        self.open()

    def open(self) -> None:
        catalog = EmbeddedCatalog(Path(self.folder.name) / "registry.db", clock=self.clock, ids=SeededIds(1))
        self.registry = Registry(catalog, clock=self.clock)

    def teardown(self) -> None:
        if hasattr(self, "registry"):
            self.registry.catalog.close()
            self.folder.cleanup()

    @rule()
    def reopen(self) -> None:
        self.registry.catalog.close()
        self.open()

    @rule(
        name=names, content=contents, version=st.none() | st.sampled_from(VERSIONS),
        state=st.sampled_from(("published", "published", "draft")),
    )  # fmt: skip
    def publish(self, name: str, content: str, version: str | None, state: Any) -> None:
        agent = self.agents.get(name, Agent())
        latest = agent.versions.get(agent.labels.get("latest", ""))
        wanted = agent.labels["latest"] if version is None and latest == content else version or agent.next()
        there = agent.versions.get(wanted)
        try:
            published = self.registry.publish(CONTENTS[content] | {"name": name}, version=version, state=state)
        except VersionExists:
            assert there is not None
            assert there != content
            return
        assert there in {None, content}
        assert (published.version, published.new) == (wanted, there is None)
        if there is None:
            self.agents[name] = agent
            agent.versions[wanted] = content
            self.told.append(("published", name, wanted))
            if state == "draft":
                agent.states[wanted] = "draft"
            else:
                agent.move("latest", wanted)
                self.told.append(("label.moved", name, wanted))
        assert self.hashes.setdefault((name, wanted), published.hash) == published.hash

    @rule(name=names, label=st.sampled_from(LABELS), version=st.sampled_from((*VERSIONS, "0.0.1", "0.0.6")))
    def label(self, name: str, label: str, version: str) -> None:
        agent = self.agents.get(name)
        try:
            moved = self.registry.label(name, label, version)
        except AgentNotFound:
            assert agent is None
            return
        except VersionNotFound:
            assert agent is not None
            assert version not in agent.versions
            return
        except WrongState:
            assert agent is not None
            assert agent.states[version] in NOBODY
            return
        assert agent is not None
        assert moved == (agent.labels.get(label) != version)
        if moved:
            agent.move(label, version)
            self.told.append(("label.moved", name, version))

    @rule(name=names, label=st.sampled_from(LABELS))
    def rollback(self, name: str, label: str) -> None:
        agent = self.agents.get(name)
        before = agent.before.get(label) if agent is not None else None
        try:
            change = self.registry.rollback(name, label)
        except (AgentNotFound, VersionNotFound):
            assert before is None
            return
        except WrongState:
            assert agent is not None
            assert agent.states[str(before)] == "withdrawn"
            return
        assert agent is not None
        assert before is not None
        assert change.version == before
        agent.move(label, before)
        self.told.append(("label.moved", name, before))

    @rule(name=names)
    def unlabel(self, name: str) -> None:
        agent = self.agents.get(name)
        try:
            gone = self.registry.unlabel(name, "stable")
        except AgentNotFound:
            assert agent is None
            return
        except InUse:
            assert agent is not None
            assert agent.rule == "stable"
            return
        assert agent is not None
        assert gone == ("stable" in agent.labels)
        if gone:
            self.told.append(("label.removed", name, agent.labels.pop("stable")))
            del agent.before["stable"]

    @rule(name=names, ref=st.sampled_from(("", "stable", "1", "0.0.1")))
    def set_rule(self, name: str, ref: str) -> None:
        agent = self.agents.get(name)
        try:
            self.registry.set_rule(name, {"matches": [{"key": "user", "value": "ann", "to": ref}]} if ref else None)
        except AgentNotFound:
            assert agent is None
            return
        except VersionNotFound:
            assert agent is not None
            assert ref not in agent.labels | agent.versions
            return
        except WrongState:
            assert agent is not None
            assert agent.states[ref] in NOBODY
            return
        assert agent is not None
        if agent.rule != ref:
            self.told.append(("rule.changed", name, ""))
        agent.rule = ref

    @rule(name=names, version=st.sampled_from((*VERSIONS, "0.0.1")), state=st.sampled_from(sorted(NEXT)))
    def set_state(self, name: str, version: str, state: Any) -> None:
        agent = self.agents.get(name)
        was = agent.states.get(version, "published") if agent is not None else ""
        call = {
            "published": self.registry.restore,
            "deprecated": self.registry.deprecate,
            "withdrawn": self.registry.withdraw,
        }
        try:
            if state == "draft":  # no call of the face goes back to it
                moved = self.registry.catalog.set_state("public", name, version, state)
            else:
                moved = call[state](name, version)
        except (AgentNotFound, VersionNotFound):
            assert agent is None or version not in agent.versions
            return
        except InUse:
            assert agent is not None
            assert version in agent.labels.values() or version == agent.rule
            return
        except WrongState:
            assert state not in NEXT[was]
            return
        assert agent is not None
        assert moved == (state != was)
        assert state in NEXT[was] | {was}
        if moved:
            agent.states[version] = state
            self.told.append(("state.changed", name, version))
            if was == "draft" and state == "published":
                agent.move("latest", version)
                self.told.append(("label.moved", name, version))

    @rule(
        target=endpoints,
        name=names,
        version=st.sampled_from((*VERSIONS, "0.0.1", "0.0.6")),
        url=st.sampled_from(PLACES),
        lease=st.sampled_from((5, 20)),
    )
    def register(self, name: str, version: str, url: str, lease: int) -> object:
        agent = self.agents.get(name)
        try:
            endpoint = self.registry.register_endpoint(name, version, url, lease=lease)
        except (AgentNotFound, VersionNotFound):
            assert agent is None or version not in agent.versions
            return multiple()
        assert agent is not None
        assert version in agent.versions
        self.expire_model()
        self.live = {
            known: other
            for known, other in self.live.items()
            if (other.name, other.version, other.url) != (name, version, url)
        }
        assert endpoint.id not in self.live
        self.live[endpoint.id] = endpoint
        self.told.append(("endpoint.up", name, version))
        assert endpoint.expires == self.clock.now() + lease
        return endpoint.id

    @rule(endpoint_id=endpoints)
    def renew(self, endpoint_id: str) -> None:
        endpoint = self.live.get(endpoint_id)
        alive = endpoint is not None and endpoint.expires > self.clock.now()
        try:
            renewed = self.registry.renew(endpoint_id)
        except EndpointNotFound:
            assert not alive
            return
        assert alive
        assert endpoint is not None
        self.live[endpoint_id] = endpoint.model_copy(update={"expires": self.clock.now() + endpoint.lease})
        assert renewed == self.live[endpoint_id]

    @rule(endpoint_id=endpoints)
    def drain(self, endpoint_id: str) -> None:
        endpoint = self.live.get(endpoint_id)
        alive = endpoint is not None and endpoint.expires > self.clock.now()
        try:
            drained = self.registry.drain(endpoint_id)
        except EndpointNotFound:
            assert not alive
            return
        assert alive
        assert endpoint is not None
        assert drained == (endpoint.state != "draining")
        if drained:
            self.live[endpoint_id] = endpoint.model_copy(update={"state": "draining", "reason": "is leaving"})
            self.told.append(("endpoint.draining", endpoint.name, endpoint.version))

    @rule(endpoint_id=endpoints)
    def deregister(self, endpoint_id: str) -> None:
        endpoint = self.live.get(endpoint_id)
        alive = endpoint is not None and endpoint.expires > self.clock.now()
        assert self.registry.deregister(endpoint_id) == alive
        if alive:
            assert endpoint is not None
            del self.live[endpoint_id]
            self.told.append(("endpoint.down", endpoint.name, endpoint.version))

    @rule(seconds=st.sampled_from((1, 5, 15, -3)))
    def move_clock(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def expire(self) -> None:
        self.expire_model()
        deadlines = [endpoint.expires - self.clock.now() for endpoint in self.live.values()]
        assert self.registry.expire() == min(deadlines, default=None)

    def expire_model(self) -> None:
        lapsed = [endpoint for endpoint in self.live.values() if endpoint.expires <= self.clock.now()]
        for endpoint in sorted(lapsed, key=lambda endpoint: (endpoint.expires, endpoint.epoch)):
            del self.live[endpoint.id]
            self.told.append(("endpoint.down", endpoint.name, endpoint.version))

    @invariant()
    def versions_and_labels_are_the_model_s(self) -> None:
        led_to = [name for name, agent in self.agents.items() if "latest" in agent.labels]
        assert [agent.name for agent in self.registry.ls()] == sorted(led_to)
        for name, agent in self.agents.items():
            versions = self.registry.versions(name)
            assert [version.version for version in versions] == list(reversed(agent.versions))
            assert self.registry.labels(name) == agent.labels
            for version in versions:
                assert version.hash == self.hashes[name, version.version]
                assert version.skills == (agent.versions[version.version],)
                pointing = [label for label, target in agent.labels.items() if target == version.version]
                assert version.labels == tuple(sorted(pointing))
                assert version.state == agent.states.get(version.version, "published")
                assert not pointing or version.state not in NOBODY
            for label, target in agent.labels.items():
                assert self.registry.get(name, label).version == target

    @invariant()
    def a_search_finds_what_latest_points_at(self) -> None:
        for content in CONTENTS:
            expected = sorted(
                (name, agent.labels["latest"])
                for name, agent in self.agents.items()
                if "latest" in agent.labels and agent.versions[agent.labels["latest"]] == content
            )
            for found in (self.registry.find(skill=content), self.registry.find(content)):
                assert sorted((result.agent.name, result.agent.version) for result in found) == expected

    @invariant()
    def endpoints_are_those_whose_lease_runs(self) -> None:
        for name, agent in self.agents.items():
            live = [
                endpoint
                for endpoint in self.live.values()
                if endpoint.name == name and endpoint.expires > self.clock.now()
            ]
            live.sort(key=lambda endpoint: -endpoint.epoch)
            assert self.registry.endpoints(name) == live
            of_latest = [one for one in live if one.version == agent.labels.get("latest") and one.state != "draining"]
            try:
                assert self.registry.resolve(name, key="any").endpoint.id == of_latest[0].id
            except EndpointNotFound:
                assert of_latest == []
            except VersionNotFound:
                assert "latest" not in agent.labels

    @invariant()
    def every_change_is_told_once_and_in_order(self) -> None:
        def shown(changes: list[Change]) -> list[tuple[str, str, str]]:
            return [(change.type, change.name, change.version) for change in changes]

        assert self.registry.revision == len(self.told)
        verdict = self.registry.verify()
        assert verdict.whole
        assert verdict.changes == len(self.told)
        assert shown(self.registry.changed_since(0)) == self.told
        assert shown(self.registry.changed_since(len(self.told) // 2)) == self.told[len(self.told) // 2 :]


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.generate],  # a fault is told as it was found; to shrink it takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
