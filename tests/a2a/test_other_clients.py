"""Clients that others wrote, of other versions and in another language, on our agents: what each did.

Each lives in an environment of its own, made here from PyPI or npm; the table is printed (``-s``), and is the README's.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from a2a_agents import define_agents
from nbagora_lab.lab import Lab

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]

CLIENTS = Path(__file__).parents[1] / "support" / "clients"
BINDINGS = ("JSONRPC", "HTTP+JSON")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(store=tmp_path_factory.mktemp("others") / "store", token="") as lab:
        define_agents(lab)
        yield lab


def told(command, cwd=None):
    """What a client says it did, by name; it is printed as a row of the table."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    print(*(f"{row['name']}: {'ok' if row['ok'] else 'FAILED'} {row.get('said', '')}" for row in rows), sep="\n")
    return {row["name"]: row["ok"] or row.get("said", "failed") for row in rows}


def python_with(home, *packages):
    """A Python of its own with these packages."""
    python = home / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], check=True)
    return python


@pytest.fixture(scope="module")
def python_03(tmp_path_factory):
    """A Python with a2a-sdk 0.3."""
    return python_with(tmp_path_factory.mktemp("a2a-0.3"), "a2a-sdk>=0.3.26,<0.4", "httpx")


@pytest.fixture(scope="module")
def python_adk(tmp_path_factory):
    """A Python with Google's Agent Development Kit."""
    return python_with(tmp_path_factory.mktemp("adk"), "google-adk[a2a]>=2.13,<3")


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory):
    """A folder with @a2a-js/sdk."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("needs node and npm")
    home = tmp_path_factory.mktemp("js")
    install = ["npm", "install", "--silent", "--no-fund", "--no-audit", "@a2a-js/sdk@1.3.0"]
    subprocess.run(install, cwd=home, check=True)
    shutil.copy(CLIENTS / "official_js.mjs", home)
    return home


@pytest.mark.parametrize("binding", BINDINGS)
def test_the_python_client_of_0_3(lab, python_03, binding):
    rows = told([python_03, CLIENTS / "official_03.py", lab.url, binding])
    assert len(rows) == 8
    assert {name: said for name, said in rows.items() if said is not True} == {}


@pytest.mark.parametrize("binding", BINDINGS)
def test_the_javascript_client(lab, node_folder, binding):
    rows = told(["node", "official_js.mjs", lab.url, binding], cwd=node_folder)
    assert len(rows) == 8
    assert {name: said for name, said in rows.items() if said is not True} == {}


def test_the_remote_agent_of_googles_adk(lab, python_adk):
    rows = told([python_adk, CLIENTS / "google_adk.py", lab.url])
    assert len(rows) == 6
    assert {name: said for name, said in rows.items() if said is not True} == {}
