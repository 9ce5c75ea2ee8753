"""Cards at well-known places: the address that was looked at is the one that is asked."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from card_site import Site
from nbagora_lab.core.errors import Unreachable, UsageError
from nbagora_lab.lab import Lab
from nbagora_lab.wellknown import WellKnown


def resolving(monkeypatch: pytest.MonkeyPatch, name: str, *answers: list[str]) -> list[str]:
    """Has `name` resolve to each of the answers in turn, and the last from then on; gives the names that were asked."""
    real, asked, left = socket.getaddrinfo, [], list(answers)

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != name:
            return real(host, port, *args, **options)
        asked.append(host)
        now = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in now]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_a_name_that_points_elsewhere_a_moment_later_is_asked_where_it_was_looked_at(
    lab: Lab, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.body = b'{"name": "painter", "description": "Draws.", "skills": []}'
    asked = resolving(monkeypatch, "rebind.test", ["127.0.0.1"], ["10.0.0.1"])
    place = f"http://rebind.test:{site.url.rpartition(':')[2]}"
    assert lab.discover(place).card["name"] == "painter"
    assert asked == ["rebind.test"]
    assert site.hosts == [place.removeprefix("http://")]
    with pytest.raises(UsageError, match=r"at the private address 10\.0\.0\.1"):
        lab.discover(place)
    assert len(site.hosts) == 1


def test_one_private_address_among_several_is_enough_to_refuse(
    lab: Lab, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "many.test", ["127.0.0.1", "192.168.0.1"])
    with pytest.raises(UsageError, match=r"private address 192\.168\.0\.1"):
        lab.discover(f"http://many.test:{site.url.rpartition(':')[2]}")
    assert site.hosts == []


def test_a_pinned_url_keeps_its_name_for_host_and_certificate(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "bücher.test", ["2001:db8::1", "93.184.216.34"])
    cards = WellKnown(lab._calls.http)

    def pin(url: str) -> Any:
        return lab.service.call(lambda: cards.pin(url))

    pinned = pin("https://user:pw@bücher.test:8443/a?b=c")
    assert pinned.url == "https://user:pw@93.184.216.34:8443/a?b=c"
    assert pinned.headers == {"Host": "xn--bcher-kva.test:8443", "Connection": "close"}
    assert pinned.extensions == {"sni_hostname": "xn--bcher-kva.test"}
    assert pin("http://127.0.0.1:8/x") == ("http://127.0.0.1:8/x", {}, {})
    for broken in ("http://", "http://[", "http://nowhere.invalid/"):
        with pytest.raises(Unreachable):
            pin(broken)


def test_private_addresses_may_be_allowed(lab: Lab) -> None:
    allowed = WellKnown(lab._calls.http, private=True)
    assert lab.service.call(lambda: allowed.pin("http://10.0.0.1/")).url == "http://10.0.0.1/"


@pytest.mark.parametrize("host", ["[64:ff9b::a00:1]", "[::ffff:10.0.0.1]", "[2002:a00:1::]", "224.0.0.1", "100.64.0.1"])
def test_a_private_address_is_one_however_it_is_wrapped(lab: Lab, host: str) -> None:
    with pytest.raises(UsageError, match="at the private address"):
        lab.discover(f"http://{host}/")


@pytest.mark.parametrize(
    ("addresses", "inside"),
    [
        (["93.184.216.34"], ""),
        (["93.184.216.34", "2606:2800:220::1"], ""),
        (["93.184.216.34", "10.0.0.1"], "10.0.0.1"),
        (["127.0.0.1"], "127.0.0.1"),
        (["fe80::1%2"], "fe80::1"),
    ],
)
def test_whether_a_name_leads_inside(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, addresses: list[str], inside: str
) -> None:
    resolving(monkeypatch, "some.test", addresses)
    for private, found in ((False, inside), (True, "")):
        cards = WellKnown(lab._calls.http, private=private)
        assert lab.service.call(cards.inside, "http://some.test/x") == found


def test_what_nests_without_end_is_no_card(lab: Lab, site: Site) -> None:
    site.body = b"[" * 500_000
    with pytest.raises(UsageError, match="is no JSON"):
        lab.discover(site.url)
