"""Access: what each role may, what a policy lets in, and the line that a refusal leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import AgentNotFound, EndpointNotFound, Forbidden, LabError, UsageError
from nbagora_lab.registry import Registry

HERE = "http://127.0.0.1:8000/"


def bearer(registry: Registry, who: str, role: str, **options: Any) -> Registry:
    return registry.with_token(registry.grant(who, role, **options).token)  # type: ignore[arg-type]


CALLS: dict[str, tuple[str, Callable[[Registry], object]]] = {
    "find": ("read", lambda registry: registry.find("weather")),
    "get": ("read", lambda registry: registry.get("weather")),
    "resolve": ("read", lambda registry: registry.resolve("weather")),
    "publish another": ("publish", lambda registry: registry.publish(card("mine"))),
    "label": ("operate", lambda registry: registry.label("weather", "old", "1")),
    "unlabel": ("operate", lambda registry: registry.unlabel("weather", "stable")),
    "rollback": ("operate", lambda registry: registry.rollback("weather")),
    "rule": ("operate", lambda registry: registry.set_rule("weather", {"weights": {"stable": 1}})),
    "canary": ("operate", lambda registry: registry.canary("weather", "1", 5)),
    "deprecate": ("operate", lambda registry: registry.deprecate("weather", "1")),
    "register": ("operate", lambda registry: registry.register_endpoint("weather", "1", HERE)),
    "publish over": ("admin", lambda registry: registry.publish(card(description="Mine now."))),
    "give": ("admin", lambda registry: registry.give("weather", "eve")),
    "grant": ("admin", lambda registry: registry.grant("eve", "admin")),
    "policy": ("admin", lambda registry: registry.set_policy({"signed": True})),
}
ROLES = ("read", "publish", "operate", "admin")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_its_line_says_and_no_more(two: Registry, role: str, call: str) -> None:
    needed, act = CALLS[call]
    principal = bearer(two, "ann", role)
    revision = two.revision
    if ROLES.index(role) >= ROLES.index(needed):
        act(principal)
        assert {change.who for change in two.changed_since(revision)} <= {"ann"}
        return
    with pytest.raises(Forbidden):
        act(principal)
    [line] = two.changed_since(revision)
    assert (line.type, line.who) == ("refused", "ann")
    assert f"ann has the role {role}" in line.detail["reason"]


def test_who_publishes_may_do_all_with_what_is_theirs(registry: Registry) -> None:
    ann, bob = bearer(registry, "ann", "publish"), bearer(registry, "bob", "publish")
    for version in ("1", "2"):
        ann.publish(card(skills=[skill(version)]), version=version)
    endpoint = ann.register_endpoint("weather", "2", HERE)
    ann.label("weather", "stable", "1")
    ann.rollback("weather")
    ann.set_rule("weather", {"weights": {"stable": 1}})
    assert ann.drain(endpoint.id, name="weather") is True
    with pytest.raises(EndpointNotFound):
        ann.deregister(endpoint.id)  # of what, it does not say
    for act in (
        lambda: bob.publish(card(description="Bob's.")),
        lambda: bob.label("weather", "latest", "2"),
        lambda: bob.register_endpoint("weather", "1", HERE),
        lambda: bob.deregister(endpoint.id, name="weather"),
    ):
        with pytest.raises(Forbidden):
            act()
    bob.publish(card("hotel"))
    with pytest.raises(EndpointNotFound):
        bob.deregister(endpoint.id, name="hotel")
    registry.give("weather", "bob")
    assert bob.deregister(endpoint.id, name="weather") is True


def test_a_namespace_s_role_holds_there_alone(registry: Registry) -> None:
    registry.publish(card(), namespace="one")
    registry.publish(card(), namespace="two")
    ann = bearer(registry, "ann", "admin", namespace="one")
    ann.label("weather", "stable", "0.0.1", namespace="one")
    with pytest.raises(Forbidden, match="a role in 'one' alone"):
        ann.label("weather", "stable", "0.0.1", namespace="two")
    with pytest.raises(Forbidden):
        ann.find(namespace="two")
    with pytest.raises(Forbidden):
        ann.get("weather", namespace="two")
    assert {change.namespace for change in ann.changed_since(0)} == {"one"}


def test_what_is_private_is_not_there_for_others(registry: Registry) -> None:
    ann, bob = bearer(registry, "ann", "publish"), bearer(registry, "bob", "publish")
    ann.publish(card(), private=True)
    ann.publish(card("open"))
    assert [one.name for one in bob.ls()] == ["open"]
    assert [found.agent.name for found in bob.find()] == ["open"]
    assert [found.agent.name for found in ann.find()] == ["open", "weather"]
    for call in (bob.get, bob.versions, bob.labels, bob.endpoints, bob.resolve, bob.rule):
        with pytest.raises(AgentNotFound):
            call("weather")
    assert {change.name for change in bob.changed_since(0)} == {"open"}
    assert bob.impact("open") == []
    ann.give("weather", private=False)
    assert len(bob.ls()) == 2


def test_a_token_holds_until_it_runs_out_or_is_taken_back(registry: Registry, clock: VirtualClock) -> None:
    granted = registry.grant("ann", "publish", lifetime=60)
    assert granted.expires == clock.now() + 60
    registry.with_token(granted.token)
    clock.advance(60)
    with pytest.raises(Forbidden, match="ran out"):
        registry.with_token(granted.token)
    lasting = registry.grant("bob", "read").token
    assert registry.revoke("bob") == 1
    for token in (lasting, "", "nba_other", "\ud800"):
        with pytest.raises(Forbidden, match="none of this registry's"):
            registry.with_token(token)
    told = "".join(change.model_dump_json() for change in registry.changed_since(0))
    assert granted.token not in told
    assert lasting not in told
    for role, lifetime in (("king", None), ("read", 0), ("read", float("nan"))):
        with pytest.raises(UsageError):
            registry.grant("eve", role, lifetime=lifetime)  # type: ignore[arg-type]


def test_only_the_lab_s_own_caller_acts_in_another_s_name(registry: Registry) -> None:
    registry.acting("ann", why="ticket 7").publish(card())
    assert {(change.who, change.why) for change in registry.changed_since(0)} == {("ann", "ticket 7")}
    with pytest.raises(Forbidden):
        bearer(registry, "bob", "operate").acting("ann")


def test_an_approval_takes_another_who_may_operate(registry: Registry) -> None:
    registry.set_policy({"approval": True})
    ann = bearer(registry, "ann", "operate")
    published = ann.publish(card())
    assert published.state == "draft"
    assert registry.labels("weather") == {}
    with pytest.raises(Forbidden, match="themselves"):
        ann.approve("weather", "0.0.1")
    with pytest.raises(Forbidden, match="takes operate"):
        bearer(registry, "bob", "publish").approve("weather", "0.0.1")
    assert bearer(registry, "cyd", "operate").approve("weather", "0.0.1") is True
    assert registry.labels("weather") == {"latest": "0.0.1"}
    assert registry.acting("dan").approve("weather", "0.0.1") is False


SCHEMES = {"key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}}}


@pytest.mark.parametrize(
    ("policy", "good", "bad"),
    [
        ({"schemes": ["apiKey", "mtls"]}, {"securitySchemes": SCHEMES}, {}),
        (
            {"hosts": ["*.acme.example"]},
            {
                "supportedInterfaces": [
                    {"url": "https://a.acme.example/x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
                ]
            },
            {
                "supportedInterfaces": [
                    {"url": "https://evil.example/x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
                ]
            },
        ),
    ],
)
def test_a_policy_lets_in_what_fits(
    registry: Registry, policy: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    registry.set_policy(policy)
    revision = registry.revision
    with pytest.raises(Forbidden):
        registry.publish(card(**bad))
    assert [change.type for change in registry.changed_since(revision)] == ["refused"]
    registry.publish(card(**good))
    assert registry.set_policy(None) is True
    assert registry.set_policy(None) is False
    registry.publish(card("other", **bad))


def test_an_endpoint_s_host_is_the_policy_s_too(two: Registry) -> None:
    two.set_policy({"hosts": ["127.0.0.1"]})
    two.register_endpoint("weather", "1", HERE)
    for url in ("http://10.0.0.1/", "http://[::1]/", "http://127.0.0.1.evil.example/"):
        with pytest.raises(Forbidden, match="none of the hosts"):
            two.register_endpoint("weather", "1", url)
    with pytest.raises(Forbidden):
        two.register_endpoint("weather", "1", "evil.example:443", "GRPC")


def test_signed_only_asks_who_can_check(registry: Registry) -> None:
    registry.set_policy({"signed": True, "keys": {"k": {"kty": "EC"}}})
    with pytest.raises(Forbidden, match="nothing here can check"):
        registry.publish(card())
    seen = []

    def verify(signed: Mapping[str, Any], keys: Mapping[str, Mapping[str, Any]]) -> None:
        seen.append(keys)
        if "signatures" not in signed:
            raise LabError("it carries no signature", "sign it")

    registry._access.verify = verify
    with pytest.raises(Forbidden, match="carries no signature"):
        registry.publish(card())
    registry.publish(card(signatures=[{"protected": "a", "signature": "b"}]))
    assert seen == [{"k": {"kty": "EC"}}] * 2


@pytest.mark.parametrize("policy", [{"colour": 1}, {"signed": "perhaps"}, {"hosts": 5}])
def test_a_policy_that_is_none_is_refused(registry: Registry, policy: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="a policy that does not fit: /"):
        registry.set_policy(policy)
    assert registry.revision == 0
