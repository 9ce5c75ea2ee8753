"""Where a webhook may be: public places alone, and the very address that was looked at."""

import asyncio

import httpx
import pytest

from nbagora_lab.a2a.webhooks import Webhooks, is_public
from nbagora_lab.core.errors import UsageError
from webhook import webhook


def test_public_and_private_addresses():
    assert all(map(is_public, ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]))
    private = [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "2002:7f00:1::", "64:ff9b::7f00:1", "2001:db8::1",
    ]  # fmt: skip
    assert not any(map(is_public, private))


def test_a_name_with_one_private_address_is_refused():
    async def resolve(host, port):
        return ["8.8.8.8", "127.0.0.1"]

    with pytest.raises(UsageError, match="not public"):
        asyncio.run(Webhooks(resolve=resolve).check("https://example.org/"))


def test_a_name_that_is_bound_anew_leads_nowhere_else():
    """Rebinding: public while it is looked at, loopback when it is connected to; it is asked for once."""
    asked = []

    async def resolve(host, port):
        asked.append(host)
        return ["203.0.113.1"] if len(asked) == 1 else ["127.0.0.1"]

    hooks = Webhooks(allow=["rebinds.example"], resolve=resolve)

    async def post():
        connected = []

        async def nothing():
            yield b""

        class Transport(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request):
                connected.append((request.url.host, request.headers["host"], request.extensions["sni_hostname"]))
                return httpx.Response(200, content=nothing())

        hooks._http = httpx.AsyncClient(transport=Transport())
        await hooks.post("https://rebinds.example/x", b"{}", {})
        return connected

    assert asyncio.run(post()) == [("203.0.113.1", "rebinds.example", "rebinds.example")]
    assert asked == ["rebinds.example"]


def test_redirects_are_not_followed():
    with webhook() as first, webhook() as second:
        first.answer = lambda _told: (307, {"Location": second.url})
        hooks = Webhooks(allow=["127.0.0.1"])

        async def post():
            try:
                return await hooks.post(first.url, b"{}", {})
            finally:
                await hooks.close()

        assert asyncio.run(post()).status_code == 307
        assert second.told == []


def test_an_allowed_port_allows_no_other():
    hooks = Webhooks(allow=["127.0.0.1:8080"])
    assert asyncio.run(hooks.check("http://127.0.0.1:8080/")) == "127.0.0.1"
    with pytest.raises(UsageError, match="not public"):
        asyncio.run(hooks.check("http://127.0.0.1:8081/"))


def test_a_place_that_is_allowed_by_name_is_admitted_before_it_has_an_address():
    """It is looked up each time that something is posted there."""

    async def nowhere(_host, _port):
        raise OSError("no such name")

    hooks = Webhooks(["hooks.example"], nowhere)
    asyncio.run(hooks.admit("https://hooks.example/x"))
    for url in ("https://other.example/x", "https://me@hooks.example/x", "ftp://hooks.example/x"):
        with pytest.raises(UsageError):
            asyncio.run(hooks.admit(url))
