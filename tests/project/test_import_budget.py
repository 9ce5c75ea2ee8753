"""What `%load_ext nbagora` may cost: a list of packages that it must not import.

Measured beside IPython itself: what a bare shell has imported is not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LATER = (
    "a2a",
    "anyio",
    "anywidget",
    "google",
    "httpx",
    "ipywidgets",
    "jsonschema",
    "nbclient",
    "nbformat",
    "numpy",
    "pandas",
    "papermill",
    "pydantic",
    "pydantic_ai",
    "rocksdict",
    "sqlite3",
    "starlette",
    "uvicorn",
    "uvloop",
)
"""Imported when something first needs it; a name stands for all below it."""

PROBE = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
{action}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
ACTIONS = {
    "import nbagora": "import nbagora",
    "%load_ext nbagora": "shell.extension_manager.load_extension('nbagora')",
}


@pytest.mark.parametrize("action", ACTIONS)
def test_loading_imports_nothing_heavy(action: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    probe = PROBE.format(action=ACTIONS[action])
    home = tmp_path_factory.mktemp("ipython")
    done = subprocess.run([sys.executable, "-c", probe], cwd=home, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in loaded if any(name == late or name.startswith(f"{late}.") for late in LATER)] == []
    assert "nbagora" in loaded
