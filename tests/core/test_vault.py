"""Secrets in one file, whichever process of the store wrote them."""

import pytest

from nbagora_lab.core.errors import StoreCorrupt
from nbagora_lab.core.vault import Vault, write_private


def test_two_that_have_the_same_file_lose_nothing_of_each_other(tmp_path):
    one, other = Vault(tmp_path / "keys.json"), Vault(tmp_path / "keys.json")
    one.put("keyring", "weather", "a")
    assert other.get("keyring", "weather") == "a"
    other.put("webhooks", "w", "b")
    one.put("keyring", "hotels", "c")
    assert other.all("keyring") == {"weather": "a", "hotels": "c"}
    assert one.get("webhooks", "w") == "b"
    other.drop("keyring", "weather")
    assert one.all("keyring") == {"hotels": "c"}
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_what_else_stands_in_the_file_stays(tmp_path):
    write_private(tmp_path / "keys.json", {"token": "t"})
    vault = Vault(tmp_path / "keys.json")
    vault.put("keyring", "weather", "a")
    assert '"token": "t"' in (tmp_path / "keys.json").read_text()
    vault.drop("keyring", "weather")
    vault.drop("keyring", "weather")
    assert vault.get("keyring", "weather") is None


def test_a_file_that_can_not_be_read_is_told(tmp_path):
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(StoreCorrupt):
        Vault(tmp_path / "keys.json")
