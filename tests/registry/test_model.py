"""The rules for versions, labels and endpoints."""

from __future__ import annotations

import math

import pytest

from nbagora_lab.core.errors import BadName, UsageError
from nbagora_lab.registry.names import automatic_number, check_endpoint, check_label, check_version, is_version


@pytest.mark.parametrize("version", ["1", "0.0.1", "1.0.0-rc.1+build_7~2", "2026-03-01", "9" * 64])
def test_a_version_begins_with_a_digit(version: str) -> None:
    assert check_version(version) == version
    assert is_version(version)
    with pytest.raises(BadName):
        check_label(version)


@pytest.mark.parametrize("label", ["latest", "v1", "stable-2", "稳定", "Ä.b_c", "x" * 64])
def test_a_label_begins_with_a_letter(label: str) -> None:
    assert check_label(label) == label
    assert not is_version(label)
    with pytest.raises(BadName):
        check_version(label)


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", ".1", "_a", "1 0", "a b", "1/2", "a/b", "1\n", "a\n", "1" * 65, "a" * 65, "²", "１", "\ud800"],
)
def test_what_is_neither_is_refused_in_two_lines(text: str) -> None:
    for check in (check_version, check_label):
        with pytest.raises(BadName) as raised:
            check(text)
        assert raised.value.hint
        assert "\n" not in raised.value.what
        raised.value.what.encode()


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("0.0.0", 0),
        ("0.0.12", 12),
        ("0.0.012", None),
        ("0.0.1-rc", None),
        ("0.1.0", None),
        ("0.0.", None),
        ("0.0." + "9" * 18, 10**18 - 1),
        ("0.0." + "9" * 19, None),
    ],
)
def test_the_number_of_an_automatic_version(version: str, number: int | None) -> None:
    assert automatic_number(version) == number


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("http://127.0.0.1:8000/agents/weather", "JSONRPC"),
        ("https://a.example/%E5%A4%A9", "HTTP+JSON"),
        ("http://[::1]:80/a/天气?x=1", "JSONRPC"),
        ("a.example:443", "GRPC"),
        ("unix:/run/agent", "custom-binding"),
    ],
)
def test_an_endpoint_that_fits(url: str, transport: str) -> None:
    check_endpoint(url, transport, 0.5)


@pytest.mark.parametrize(
    ("url", "transport", "lease"),
    [
        ("", "JSONRPC", 30),
        ("a.example:443", "JSONRPC", 30),
        ("ftp://a.example", "HTTP+JSON", 30),
        ("http://", "JSONRPC", 30),
        ("http://a b/", "JSONRPC", 30),
        ("http://a.example:99999/", "JSONRPC", 30),
        ("http://[::1/", "JSONRPC", 30),
        ("http://a/\x00", "JSONRPC", 30),
        ("http://a/" + "x" * 2048, "JSONRPC", 30),
        ("", "GRPC", 30),
        ("http://a", "", 30),
        ("http://a", "JSON RPC", 30),
        ("http://a", "x" * 65, 30),
        ("http://a", "JSONRPC", 0),
        ("http://a", "JSONRPC", -1),
        ("http://a", "JSONRPC", math.inf),
        ("http://a", "JSONRPC", math.nan),
    ],
)
def test_an_endpoint_that_does_not_fit_is_refused(url: str, transport: str, lease: float) -> None:
    with pytest.raises(UsageError) as raised:
        check_endpoint(url, transport, lease)
    assert raised.value.hint
