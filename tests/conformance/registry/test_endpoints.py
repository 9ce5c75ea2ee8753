"""Endpoints: they live by their lease, and only who holds the lease may renew or end it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cards import draft
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import EndpointNotFound, VersionNotFound
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.model import Endpoint

HERE = "http://127.0.0.1:8001/agents/weather"
THERE = "http://127.0.0.1:8002/agents/weather"


@pytest.fixture
def weather(catalog: Catalog) -> Catalog:
    catalog.publish(draft(description="One."), version="1")
    catalog.publish(draft(description="Two."), version="2")
    return catalog


def register(
    catalog: Catalog, url: str = HERE, *, version: str = "2", transport: str = "JSONRPC", lease: float = 30
) -> Endpoint:
    return catalog.register("public", "weather", version, url, transport, lease)


def live(catalog: Catalog, version: str | None = None) -> list[str]:
    return [endpoint.id for endpoint in catalog.endpoints("public", "weather", version)]


def test_an_endpoint_is_live_for_its_lease_and_not_a_moment_longer(weather: Catalog, clock: VirtualClock) -> None:
    endpoint = register(weather, lease=30)
    assert (endpoint.version, endpoint.url, endpoint.transport) == ("2", HERE, "JSONRPC")
    assert (endpoint.registered, endpoint.lease, endpoint.expires) == (1000.0, 30.0, 1030.0)
    clock.advance(29.999)
    assert weather.endpoints("public", "weather") == [endpoint]
    clock.advance(0.001)
    assert live(weather) == []


def test_renewing_starts_the_lease_anew(weather: Catalog, clock: VirtualClock) -> None:
    endpoint = register(weather, lease=30)
    clock.advance(20)
    renewed = weather.renew(endpoint.id)
    assert renewed == endpoint.model_copy(update={"expires": 1050.0})
    clock.advance(20)
    assert live(weather) == [endpoint.id]


def test_a_late_renewal_does_not_raise_the_dead(weather: Catalog, clock: VirtualClock) -> None:
    endpoint = register(weather, lease=30)
    clock.advance(30)
    with pytest.raises(EndpointNotFound):
        weather.renew(endpoint.id)
    weather.expire()
    with pytest.raises(EndpointNotFound):
        weather.renew(endpoint.id)
    assert live(weather) == []


def test_deregistering_ends_it_once(weather: Catalog) -> None:
    one, two = register(weather, HERE), register(weather, THERE)
    assert weather.deregister(one.id) is True
    assert weather.deregister(one.id) is False
    assert live(weather) == [two.id]


def test_a_late_deregistration_finds_nothing_to_end(weather: Catalog, clock: VirtualClock) -> None:
    endpoint = register(weather, lease=30)
    clock.advance(30)
    assert weather.deregister(endpoint.id) is False


def test_unknown_ids_end_and_renew_nothing(weather: Catalog) -> None:
    endpoint = register(weather)
    assert weather.deregister("no such") is False
    with pytest.raises(EndpointNotFound):
        weather.renew("no such")
    assert live(weather) == [endpoint.id]


def test_who_registers_a_place_again_takes_it_over_and_the_former_holder_can_harm_nothing(weather: Catalog) -> None:
    former = register(weather, lease=30)
    holder = register(weather, lease=60)
    assert holder.id != former.id
    assert holder.epoch > former.epoch
    assert live(weather) == [holder.id]
    with pytest.raises(EndpointNotFound):
        weather.renew(former.id)
    assert weather.deregister(former.id) is False
    assert weather.endpoints("public", "weather") == [holder]


@pytest.mark.parametrize(
    "other", [{"url": THERE}, {"version": "1"}, {"transport": "HTTP+JSON"}], ids=["url", "version", "transport"]
)
def test_another_place_stands_beside_it(weather: Catalog, other: dict[str, str]) -> None:
    one = register(weather)
    two = register(weather, **other)  # type: ignore[arg-type]
    assert live(weather) == [two.id, one.id]


def test_endpoints_come_newest_first_and_by_version(weather: Catalog) -> None:
    one = register(weather, HERE, version="1")
    two = register(weather, HERE, version="2")
    three = register(weather, THERE, version="1")
    assert live(weather) == [three.id, two.id, one.id]
    assert live(weather, "1") == [three.id, one.id]
    assert live(weather, "2") == [two.id]
    assert live(weather, "3") == []
    weather.renew(one.id)
    assert live(weather) == [three.id, two.id, one.id]


def test_only_a_version_that_exists_gets_an_endpoint(weather: Catalog) -> None:
    with pytest.raises(VersionNotFound):
        register(weather, version="3")
    assert live(weather) == []


def test_agents_keep_their_endpoints_apart(weather: Catalog) -> None:
    weather.publish(draft("hotel"), version="2")
    weather.publish(draft("weather", namespace="other"), version="2")
    one = register(weather)
    hotel = weather.register("public", "hotel", "2", HERE, "JSONRPC", 30)
    other = weather.register("other", "weather", "2", HERE, "JSONRPC", 30)
    assert live(weather) == [one.id]
    assert weather.endpoints("public", "hotel") == [hotel]
    assert weather.endpoints("other", "weather") == [other]
    assert weather.all_endpoints() == [other, hotel, one]
    assert weather.all_endpoints(kind="mcp") == []


def test_expiring_takes_what_ran_out_and_says_when_the_next_does(weather: Catalog, clock: VirtualClock) -> None:
    assert weather.expire() is None
    register(weather, HERE, lease=10)
    late = register(weather, THERE, lease=25)
    assert weather.expire() == 10.0
    clock.advance(10)
    assert weather.expire() == 15.0
    assert live(weather) == [late.id]
    clock.advance(100)
    assert weather.expire() is None
    assert live(weather) == []


def test_a_lease_outlives_who_opened_the_store(reopen: Callable[[], Catalog], clock: VirtualClock) -> None:
    first = reopen()
    first.publish(draft(), version="2")
    endpoint = register(first, lease=30)
    first.close()
    clock.advance(10)
    again = reopen()
    assert again.endpoints("public", "weather") == [endpoint]
    assert again.renew(endpoint.id).expires == 1040.0
