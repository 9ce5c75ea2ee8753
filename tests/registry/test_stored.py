"""Which registry a store is on: nothing, the embedded one, or what a Nacos answered."""

from __future__ import annotations

from pathlib import Path

from nbagora_lab.lab import Lab
from nbagora_lab.registry.stored import forget_shared_registry, note_registry, registry_of


def test_a_store_says_which_registry_it_is_on(tmp_path: Path) -> None:
    assert registry_of(tmp_path) is None
    with Lab(store=tmp_path, token="", probe=0):
        pass
    assert registry_of(tmp_path) == "embedded"
    note_registry(tmp_path, "nacos 3.1.0", nacos="127.0.0.1:1", user="nacos", lab="")
    assert registry_of(tmp_path) == "nacos 3.1.0"
    forget_shared_registry(tmp_path)  # others share it: nothing is asked of anybody
