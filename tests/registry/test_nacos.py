"""The Nacos engine on a real server: what one lab writes another reads, and what others than nbagora write, too."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from _server import free_ports
from cards import card, skill
from nacos_labs import connect, lab_of
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import BadName, TooLarge, UsageError, VersionExists
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.keys import store_lab_id
from nbagora_lab.lab import Lab
from nbagora_lab.registry import Registry
from nbagora_lab.registry.card import CARD_LIMIT
from nbagora_lab.registry.nacos import NacosCatalog
from nbagora_lab.registry.nacos_agents import GROUPS, Agents
from nbagora_lab.registry.nacos_follow import Follower
from nbagora_lab.registry.nacos_http import AGENTS, CONFIGS, COPIES, INSTANCES, Nacos
from nbagora_lab.registry.nacos_names import file_of, there
from nbagora_lab.registry.nacos_record import RECORD
from nbagora_lab.registry.stored import forget_shared_registry, registry_of
from nbagora_lab.registry.sync import sync

pytestmark = pytest.mark.thorough

HERE = "http://127.0.0.1:8001/agents/weather"
Open = Callable[..., Registry]


@pytest.fixture
def open_registry(nacos: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens the test's registry once more, with a mirror of its own; with `follow`, it is kept up to date."""
    opened: list[NacosCatalog] = []

    def open_one(*, follow: bool = False, wrap: Callable[[Nacos], None] = lambda _: None) -> Registry:
        server = connect(nacos)
        wrap(server)
        mirror = tmp_path / f"{len(opened)}.db"
        catalog = NacosCatalog(mirror, server, lab_of(tmp_path), clock=SystemClock(), ids=RandomIds())
        opened.append(catalog)
        if follow:
            catalog.follower = Follower(catalog, server)
            catalog.follower.start()
        return Registry(catalog)

    yield open_one
    for catalog in opened:
        catalog.close()


@pytest.fixture
def server(nacos: Any) -> Iterator[Any]:
    """The server, for what others do there."""
    connected = connect(nacos)
    yield connected
    connected.close()


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits until something holds that another process brings about."""
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.05)


def foreign(name: str, version: str, **more: Any) -> str:
    """A card as somebody writes it who knows nothing of this registry."""
    card = {
        "name": name, "description": "Of somebody else.", "version": version, "protocolVersion": "0.3.0",
        "preferredTransport": "JSONRPC", "url": "http://127.0.0.1:9/x", "capabilities": {"streaming": True},
        "skills": [{"id": "s", "name": "s", "description": "d", "tags": ["t"]}],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
    }  # fmt: skip
    return json.dumps(card | more, ensure_ascii=False)


def test_what_one_lab_writes_another_reads_whole(open_registry: Open) -> None:
    one = open_registry()
    one.publish(card("天气", description="一", skills=[skill("预报")]), version="1.0")
    one.publish(card("天气", description="二", documentationUrl=""), version="1.1")
    one.label("天气", "stable", "1.0")
    one.set_rule("天气", {"weights": {"stable": 1, "latest": 3}, "budget": {"errors": 0.5}})
    one.deprecate("天气", "1.0")
    one.rollback("天气")
    one.publish({"name": "plan", "description": "Plans.", "template": "Plan {{city}}."}, kind="prompt")
    one.publish({"name": "tools", "description": "T.", "tools": [{"name": "t"}]}, kind="mcp")
    two = open_registry()
    for kind, name in (("agent", "天气"), ("prompt", "plan"), ("mcp", "tools")):
        assert two.versions(name, kind=kind) == one.versions(name, kind=kind)  # type: ignore[arg-type]
        assert two.labels(name, kind=kind) == one.labels(name, kind=kind)  # type: ignore[arg-type]
    assert two.rule("天气") == one.rule("天气")
    assert two.rollback("天气").version == "1.1"  # what it pointed at before is known here, too
    assert [found.agent.name for found in two.find("预报", label="stable")] == ["天气"]


class Lagging:
    """A server whose copies follow its database late: it answers and updates from what was there before.

    Args:
        reads: How often a copy is read before it is as new as the database.
    """

    def __init__(self, reads: int) -> None:
        self.reads = reads
        self.late: list[str] = []
        """``PUT``s that came before the copy had followed."""

    def __call__(self, server: Nacos) -> None:
        real, behind = server.call, 0

        def call(method: str, path: str, values: Any) -> tuple[int, Any]:
            nonlocal behind
            if path == AGENTS and method in {"POST", "PUT"}:
                if behind and method == "PUT":
                    self.late.append(str(values["agentCard"]))
                behind = self.reads
            elif method == "GET" and behind and path == AGENTS:
                behind -= 1
                return 50101, "no such version"
            elif method == "GET" and behind and path == COPIES:
                behind -= 1
                return 0, {"md5": "what it was", "content": "{}"}
            return real(method, path, values)

        server.call = call  # type: ignore[method-assign]


def test_a_server_that_takes_its_time_is_waited_for(open_registry: Open) -> None:
    lagging = Lagging(reads=3)
    one = open_registry(wrap=lagging)
    one.publish(card("天气", description="一"), version="1.0")
    one.publish(card("天气", description="二"), version="1.1")
    one.rollback("天气")
    one.publish(card("天气", description="三"), version="1.2")
    assert lagging.late == []
    two = open_registry()
    assert two.versions("天气") == one.versions("天气")
    assert [found.version for found in two.versions("天气")] == ["1.2", "1.1", "1.0"]
    assert two.labels("天气") == {"latest": "1.2"}


def test_a_version_that_nacos_would_not_give_back_is_refused(open_registry: Open) -> None:
    registry = open_registry()
    with pytest.raises(BadName, match=r"can't give back a version 1\.1\+build"):
        registry.publish(card(), version="1.1+build")
    assert registry.ls() == []


def test_a_version_that_is_listed_before_its_card_is_there_is_read_again(open_registry: Open) -> None:
    withheld: list[str] = []

    def withhold(server: Nacos) -> None:
        real = server.get

        def get(path: str, params: Any) -> Any:
            if path == CONFIGS and params["groupName"] == "agent-version" and not withheld:
                withheld.append(params["dataId"])
                return None
            return real(path, params)

        server.get = get  # type: ignore[method-assign]

    open_registry().publish(card(), version="1.0")
    two = open_registry(wrap=withhold)
    assert withheld == [f"{file_of('weather')}-1.0"]
    assert two.ls() == []
    two.catalog.look()  # type: ignore[attr-defined]
    assert [found.version for found in two.ls()] == ["1.0"]


def test_a_lab_that_follows_hears_of_what_others_do(open_registry: Open) -> None:
    one, two = open_registry(), open_registry(follow=True)
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
    two.catalog.follower.on_round = seen.put  # type: ignore[attr-defined]

    def told(what: Callable[[], bool]) -> None:
        while not what():
            seen.get(timeout=60)

    start = two.revision
    one.publish(card(), version="1")
    told(lambda: [version.version for version in two.ls()] == ["1"])
    one.publish(card(description="Two."), version="2")
    told(lambda: two.labels("weather") == {"latest": "2"} if two.ls() else False)
    one.rollback("weather")
    told(lambda: two.labels("weather") == {"latest": "1"})
    endpoint = one.register_endpoint("weather", "1", f"{HERE}?a=b", zone="hz", lease=30)
    told(lambda: [place.id for place in two.endpoints("weather")] == [endpoint.id])
    assert two.resolve("weather", zone="hz").url == f"{HERE}?a=b"
    one.drain(endpoint.id)
    told(lambda: [place.state for place in two.endpoints("weather")] == ["draining"])
    one.deregister(endpoint.id)
    told(lambda: two.endpoints("weather") == [])
    types = [change.type for change in two.changed_since(start)]
    assert types == [
        "published", "label.moved", "published", "label.moved", "label.moved", "endpoint.up", "endpoint.draining",
        "endpoint.down",
    ]  # fmt: skip
    assert {change.who for change in two.changed_since(start)} == {"nacos"}


def test_a_version_is_published_once_whoever_is_first(open_registry: Open, server: Any, tmp_path: Path) -> None:
    one, two = open_registry(), open_registry()
    one.publish(card(description="One."), version="1.0")
    with pytest.raises(VersionExists):
        two.publish(card(description="Two."), version="1.0")
    assert two.publish(card(description="One."), version="1.0").new is False
    assert two.publish(card(description="Two.")).version == "0.0.1"
    assert one.publish(card(description="Three.")).version == "0.0.2"


def test_what_was_published_first_is_kept_where_somebody_writes_over_it(
    open_registry: Open, server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = open_registry()
    one.publish(card(description="One."), version="1.0")
    space = lab_of(tmp_path)
    given = server.get(AGENTS, {"namespaceId": space, "agentName": "weather", "version": "1.0"})
    [extension] = [one for one in given["capabilities"]["extensions"] if one["uri"] == RECORD]
    forged = json.loads(extension["params"]["card"]) | {"description": "Forged."}
    extension["params"]["card"] = json.dumps(forged)
    thing = json.loads(extension["params"]["thing"])
    thing["versions"]["1.0"][0] = "0" * 64
    extension["params"]["thing"] = json.dumps(thing)
    changed = {key: value for key, value in given.items() if value is not None}
    server.send("PUT", AGENTS, {"namespaceId": space, "agentCard": json.dumps(changed)})
    one.catalog.look()  # type: ignore[attr-defined]
    assert one.get("weather", "1.0").description == "One."
    assert "written over" in caplog.text


def test_a_signed_card_comes_back_as_it_was_given_and_no_other_in_its_place(
    open_registry: Open, server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signed = card(
        version="1.0",
        supportedInterfaces=[{"url": HERE, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        signatures=[{"protected": "e30", "signature": "c2lnbmVk"}],
    )
    open_registry().publish(signed)
    assert open_registry().signed("weather") == signed
    given = server.get(AGENTS, {"namespaceId": lab_of(tmp_path), "agentName": "weather", "version": "1.0"})
    [extension] = [one for one in given["capabilities"]["extensions"] if one["uri"] == RECORD]
    extension["params"]["signed"] = json.dumps(signed | {"description": "Forged."})
    changed = {key: value for key, value in given.items() if value is not None}
    server.send("PUT", AGENTS, {"namespaceId": lab_of(tmp_path), "agentCard": json.dumps(changed)})
    later = open_registry()
    assert later.get("weather").description == "Is weather."
    assert later.signed("weather") is None


def test_what_others_write_is_read_and_answers_where_they_say(open_registry: Open, server: Any, tmp_path: Path) -> None:
    registry = open_registry()
    space = lab_of(tmp_path)
    registry.publish(card(description="Ours."), version="1.0")  # so that the namespace is there
    server.send("POST", AGENTS, {"namespaceId": space, "agentCard": foreign("stranger", "1.0.0")})
    server.send("PUT", AGENTS, {"namespaceId": space, "agentCard": foreign("weather", "2.0"), "setAsLatest": True})
    registry.catalog.look()  # type: ignore[attr-defined]
    stranger = registry.get("stranger")
    assert (stranger.version, stranger.owner, stranger.skills) == ("1.0.0", "nacos", ("s",))
    assert registry.resolve("stranger").url == "http://127.0.0.1:9/x"
    assert registry.labels("weather") == {"latest": "2.0"}
    assert [version.version for version in registry.versions("weather")] == ["2.0", "1.0"]
    assert registry.rollback("weather").version == "1.0"
    form = {
        "namespaceId": space, "groupName": "agent-endpoints", "serviceName": f"{file_of('stranger')}::1.0.0",
        "ip": "10.0.0.7", "port": 8443, "ephemeral": True,
        "metadata": json.dumps({
            "__nacos.agent.endpoint.path__": "/a2a", "__nacos.agent.endpoint.supportTls__": "true",
            "__nacos.agent.endpoint.transport__": "HTTP+JSON",
        }),
    }  # fmt: skip
    server.send("POST", INSTANCES, form)

    def there_now() -> bool:
        registry.catalog.look()  # type: ignore[attr-defined]
        return "https://10.0.0.7:8443/a2a" in {place.url for place in registry.endpoints("stranger")}

    wait_for(there_now)
    server.call("DELETE", AGENTS, {"namespaceId": space, "agentName": "stranger"})
    registry.catalog.look()  # type: ignore[attr-defined]
    assert registry.get("stranger", "1.0.0").state == "withdrawn"
    assert registry.find(name="stranger") == []


def test_others_get_a_card_that_leads_to_where_it_answers(open_registry: Open, server: Any, tmp_path: Path) -> None:
    registry = open_registry()
    registry.publish(card("天气", description="一"), version="1.0")
    registry.register_endpoint("天气", "1.0", HERE, lease=60)
    asked = {"namespaceId": lab_of(tmp_path), "agentName": there("天气"), "registrationType": "SERVICE"}
    wait_for(lambda: server.get(AGENTS, asked)["url"] == HERE)
    assert server.get(AGENTS, asked)["description"] == "一"


def test_what_nacos_has_no_place_for_is_refused_by_its_name(open_registry: Open) -> None:
    registry = open_registry()
    registry.publish(card(), version="1")
    for call in (
        lambda: registry.grant("ann"),
        lambda: registry.set_policy({"approval": True}),
        registry.verify,
        lambda: registry.catalog.own("public", "weather", owner="ann"),
    ):
        with pytest.raises(UsageError, match=r"the nacos 3\.1\.0.* registry has no"):
            call()
    assert registry.labels("weather") == {"latest": "1"}


def test_an_endpoint_that_ended_does_not_come_back_from_a_list_that_lags(open_registry: Open) -> None:
    kept: dict[str, Any] = {}
    lags = False

    def late(server: Nacos) -> None:
        get = server.get

        def listed(path: str, params: Any) -> Any:
            if not path.endswith("/list") or path.startswith((AGENTS, CONFIGS)):
                return get(path, params)
            key = f"{path} {sorted(params.items())}"
            if not lags:
                kept[key] = get(path, params)
            return kept[key]

        server.get = listed  # type: ignore[method-assign]

    registry = open_registry(wrap=late)
    look = registry.catalog.look  # type: ignore[attr-defined]
    registry.publish(card(), version="1.0")
    endpoint = registry.register_endpoint("weather", "1.0", HERE, lease=60)
    wait_for(lambda: look() is None and any(HERE in str(found) for found in kept.values()))
    lags = True
    registry.deregister(endpoint.id)
    look()
    assert registry.endpoints("weather") == []


def test_six_endpoints_at_one_host_and_port_are_there_for_others_and_a_seventh_is_refused(open_registry: Open) -> None:
    registry = open_registry()
    registry.publish(card(), version="1.0")
    urls = [f"http://127.0.0.1:40123/agents/weather/{number}" for number in range(7)]
    for url in urls[:6]:
        registry.register_endpoint("weather", "1.0", url, lease=60)
    with pytest.raises(TooLarge) as caught:
        registry.register_endpoint("weather", "1.0", urls[6], lease=60)
    assert len(caught.value._render_traceback_()) == 2
    other = open_registry()
    wait_for(lambda: other.catalog.look() is None and len(other.endpoints("weather")) == 6)  # type: ignore[attr-defined]
    assert sorted(place.url for place in other.endpoints("weather")) == urls[:6]
    assert sorted(place.url for place in registry.endpoints("weather")) == urls[:6]


def test_a_sync_carries_a_registry_there_and_back(open_registry: Open, tmp_path: Path) -> None:
    with Lab(store=tmp_path / "lab", token="", probe=0) as lab:
        lab.registry.publish(card("天气", description="一"), version="1.0")
        lab.registry.publish(card("天气", description="二"), version="1.1")
        lab.registry.label("天气", "stable", "1.0")
        signed = card(
            "签名",
            version="1.0",
            supportedInterfaces=[{"url": HERE, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
            signatures=[{"protected": "e30", "signature": "c2lnbmVk"}],
        )
        lab.registry.publish(signed)
        other = open_registry()
        assert sync(lab.registry, other).open == []
        assert sync(lab.registry, open_registry()).differences == []
        assert other.signed("签名") == signed


def test_a_lab_on_nacos_calls_its_agents_and_another_lab_finds_them(nacos: Any, tmp_path: Path) -> None:
    async def echo(message: Any, task: Any) -> str:
        """Says it again."""
        return str(message.text)

    known = {
        "registry": "nacos", "nacos": nacos.endpoints["url"], "nacos_user": nacos.endpoints["username"],
        "nacos_password": nacos.endpoints["password"], "nacos_namespace": lab_of(tmp_path), "token": "", "probe": 0,
    }  # fmt: skip
    with Lab(store=tmp_path / "one", **known) as one, Lab(store=tmp_path / "two", **known) as two:
        one.define("echo", echo, version="1.0")
        assert one.ask("echo", "你好").text == "你好"
        assert one.status().engines["registry"].startswith("nacos 3.1")
        wait_for(lambda: bool(two.registry.ls() and two.registry.endpoints("echo")))
        assert two.ask("echo", "从那边").text == "从那边"
        wait_for(lambda: two.registry.signed("echo") is not None)
        [key] = httpx.get(f"{one.url}/.well-known/jwks.json", trust_env=False, timeout=30).json()["keys"]
        found = two.discover(
            "echo", keys={key["kid"]: key}
        )  # by what stands at Nacos, whether or not one can be reached
        assert found.signed
        assert found.card["supportedInterfaces"][0]["url"] == f"{one.url}/agents/echo"
        one.remove("echo")
        wait_for(lambda: two.registry.endpoints("echo") == [])
        assert nacos.endpoints["password"] not in "".join(map(repr, [*one.log(), *two.log(), one.settings]))
    assert (tmp_path / "one" / "keys.json").stat().st_mode & 0o777 == 0o600


def test_an_agent_that_is_hosted_elsewhere_later_is_signed_anew_and_otherwise_left_alone(
    nacos: Any, server: Any, tmp_path: Path
) -> None:
    async def echo(message: Any, task: Any) -> str:
        """Says it again."""
        return str(message.text)

    known = {
        "registry": "nacos", "nacos": nacos.endpoints["url"], "nacos_user": nacos.endpoints["username"],
        "nacos_password": nacos.endpoints["password"], "nacos_namespace": lab_of(tmp_path), "probe": 0,
    }  # fmt: skip
    cards = []
    for place in ({}, {"port": free_ports()[0]}, {}):  # the last one at the port that it had
        with Lab(store=tmp_path / "one", **known, **place) as lab:
            lab.define("echo", echo, version="1.0")
            cards.append(lab.registry.signed("echo"))
            assert cards[-1]["supportedInterfaces"][0]["url"] == f"{lab.url}/agents/echo"
    assert cards[0] != cards[1] == cards[2]
    asked = {"namespaceId": lab_of(tmp_path), "agentName": "echo", "version": "1.0"}
    [extension] = [one for one in server.get(AGENTS, asked)["capabilities"]["extensions"] if one["uri"] == RECORD]
    assert json.loads(extension["params"]["signed"]) == cards[2]


def test_a_store_that_goes_takes_what_it_has_there_with_it(nacos: Any, server: Any, tmp_path: Path) -> None:
    known = {
        "registry": "nacos", "nacos": nacos.endpoints["url"], "nacos_user": nacos.endpoints["username"],
        "nacos_password": nacos.endpoints["password"], "token": "", "probe": 0,
    }  # fmt: skip
    with Lab(store=tmp_path, **known) as lab:
        lab.registry.publish(card("天气"), version="1.0")
        lab.registry.publish(card(), namespace="else", version="1.0")
        lab.registry.publish({"name": "plan", "description": "Plans.", "template": "Plan."}, kind="prompt")
        engine = lab.registry.catalog.engine
    assert registry_of(tmp_path) == engine
    agents, own = Agents(server), store_lab_id(tmp_path)
    assert agents.spaces(own) == {own, f"{own}-else"}
    forget_shared_registry(tmp_path)
    assert agents.spaces(own) == set()
    for space in (own, f"{own}-else"):
        assert [file for kind in GROUPS for file in agents.files(space, kind)] == []


def test_a_real_server_refuses_a_wrong_password_and_the_two_lines_name_server_and_settings(nacos: Any) -> None:
    server = connect(nacos, password="battery staple")
    with pytest.raises(UsageError) as caught:
        server.check()
    server.close()
    told = caught.value._render_traceback_()
    assert len(told) == 2
    assert nacos.endpoints["url"] in told[0]
    assert "nacos_user and nacos_password" in told[1]
    assert "battery staple" not in "".join(told)


def test_a_card_goes_there_whole_up_to_what_nacos_reads_of_a_form(open_registry: Open) -> None:
    registry, fits = open_registry(), "大" * 100_000
    registry.publish(card(description=fits), version="1.0")
    assert open_registry().get("weather").description == fits
    with pytest.raises(TooLarge, match="as a form"):
        registry.publish(card(description="大" * (CARD_LIMIT // 3 - 1000)), version="1.1")
    assert [one.version for one in open_registry().versions("weather")] == ["1.0"]
