"""What the room costs to import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("a2a", "google", "httpx", "ipywidgets", "IPython", "numpy", "pandas", "pydantic_ai", "rocksdict", "starlette")


@pytest.mark.parametrize("module", ["nbagora_lab.registry", "nbagora_lab.registry.embedded"])
def test_the_room_imports_nothing_heavy(module: str) -> None:
    probe = (
        f"import json, sys; import {module}; print(json.dumps(sorted({{n.partition('.')[0] for n in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, encoding="utf-8", check=True)
    loaded = json.loads(done.stdout)
    assert "pydantic" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_the_engine_is_loaded_when_it_is_chosen() -> None:
    probe = "import sys; import nbagora_lab.registry; print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "False\n"
