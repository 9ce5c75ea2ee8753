"""What is shown to others: how it is written, whom it is for, and that it stays in the key file."""

import os

import pytest

from nbagora_lab.a2a.keyring import Credential, Keyring, parse_credential, parse_credentials
from nbagora_lab.core.errors import NotFound, UsageError
from nbagora_lab.core.vault import Vault


@pytest.fixture
def keyring(tmp_path):
    return Keyring(Vault(tmp_path / "keys.json"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bearer abc", Credential("bearer", secret="abc")),
        ("  apikey   abc ", Credential("apikey", secret="abc")),
        ("basic 小明:a b:c", Credential("basic", "小明", "a b:c")),
        ("oauth2 bob:s:t", Credential("oauth2", "bob", "s:t")),
        ("oauth2 bob:s https://i.example/", Credential("oauth2", "bob", "s", "https://i.example")),
        ("bearer env:TOKEN", Credential("bearer", secret="env:TOKEN")),
    ],
)
def test_what_is_written_is_read(text, found):
    assert parse_credential(text) == found


@pytest.mark.parametrize(
    "text",
    ["", "bearer", "bearer a b", "basic s3cret", "apikey", "oauth2 s3cret", "oauth2 b:s3cret ftp://x", "s3cret",
     "oauth2 b:", "basic b:\x00s3cret", "oauth2 b:s3cret https://a https://b", "token s3cret"],
)  # fmt: skip
def test_what_is_none_is_refused_and_not_repeated(text):
    with pytest.raises(UsageError) as caught:
        parse_credential(text)
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint


def test_no_secret_stands_in_what_is_shown_of_credentials():
    assert "s3cret" not in repr(parse_credentials(["basic bob:s3cret", "bearer s3cret", "oauth2 bob:s3cret https://i"]))


def test_a_secret_of_the_environment_is_read_when_it_is_needed(monkeypatch):
    one = parse_credential("apikey env:NBAGORA_TEST_KEY")
    monkeypatch.delenv("NBAGORA_TEST_KEY", raising=False)
    with pytest.raises(UsageError, match="NBAGORA_TEST_KEY"):
        one.value()
    monkeypatch.setenv("NBAGORA_TEST_KEY", "k1\n")
    assert one.value() == "k1"
    monkeypatch.setenv("NBAGORA_TEST_KEY", "k\n1")
    with pytest.raises(UsageError):
        one.value()


def test_none_one_or_several():
    assert parse_credentials(None) == parse_credentials([]) == ()
    assert [one.kind for one in parse_credentials("bearer x")] == ["bearer"]
    assert [one.kind for one in parse_credentials(["bearer x", "apikey y"])] == ["bearer", "apikey"]


def test_what_is_kept_is_found_by_name_and_by_the_longest_part_of_the_url(keyring):
    keyring.keep("weather", "bearer name")
    keyring.keep("https://a.example", "bearer host")
    keyring.keep("https://a.example/agents/x/", ["bearer x", "apikey y"])
    secrets = {
        ("weather", "http://anywhere"): ["name"],
        ("x", "https://a.example/agents/x"): ["x", "y"],
        ("x", "https://a.example/agents/xy"): ["host"],
        ("x", "https://a.example"): ["host"],
        ("x", "https://a.example.evil.example/agents/x"): [],
        ("x", "http://a.example"): [],
        ("weathers", "http://b.example"): [],
    }
    assert {asked: [one.secret for one in keyring.find(*asked)] for asked in secrets} == secrets


def test_what_is_kept_is_in_the_key_file_alone_and_can_be_forgotten(keyring, tmp_path):
    keyring.keep("weather", ["basic bob:pw", "apikey env:KEY"])
    again = Keyring(Vault(tmp_path / "keys.json"))
    assert again.kept() == {"weather": ["basic", "apikey"]}
    assert [one.secret for one in again.find("weather", "")] == ["pw", "env:KEY"]
    assert os.stat(tmp_path / "keys.json").st_mode & 0o777 == 0o600
    with pytest.raises(NotFound, match="wether"):
        again.forget("wether")
    again.forget("weather")
    assert again.kept() == {}
    assert Keyring(Vault(tmp_path / "keys.json")).find("weather", "") == ()


@pytest.mark.parametrize(
    ("agent", "credentials"), [("", "bearer x"), ("weather", []), ("weather", "x"), ("weather", ["bearer x", "y"])]
)
def test_what_can_not_be_kept_is_refused_whole(keyring, agent, credentials):
    with pytest.raises(UsageError):
        keyring.keep(agent, credentials)
    assert keyring.kept() == {}
