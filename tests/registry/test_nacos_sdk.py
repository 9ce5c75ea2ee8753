"""Nacos' own Python SDK as the other side: it reads what we wrote, and we read what it writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import _jars
from cards import card
from nacos_labs import lab_of, open_nacos
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.registry import Registry

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1800)]  # an environment is made, the first time

SDK = "3.2.0"
PEER = Path(__file__).parents[1] / "support" / "nacos_sdk_peer.py"
HERE = "http://127.0.0.1:8001/agents/weather"


@pytest.fixture(scope="module")
def sdk() -> Path:
    """A Python with the SDK, which wants an older A2A than ours: an environment of its own, kept beside the servers."""
    home = _jars.cache() / f"nacos-sdk-python-{SDK}"
    python = home / "bin" / "python"
    if not (home / "whole").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        wanted = f"nacos-sdk-python=={SDK}"
        if uv := shutil.which("uv"):
            steps = [[uv, "venv", "-q", "-p", sys.executable, home], [uv, "pip", "install", "-q", "-p", python, wanted]]
        else:
            steps = [[sys.executable, "-m", "venv", home], [python, "-m", "pip", "install", "-q", wanted]]
        for step in steps:
            subprocess.run(step, check=True, timeout=1200)
        (home / "whole").touch()
    return python


def test_the_sdk_reads_what_we_wrote_and_we_read_what_it_writes(sdk: Path, nacos: Any, tmp_path: Path) -> None:
    catalog = open_nacos(nacos, tmp_path, SystemClock(), RandomIds())
    registry = Registry(catalog)
    known = nacos.endpoints
    try:
        registry.publish(card(description="一"), version="1.0")
        registry.register_endpoint("weather", "1.0", HERE, lease=600)
        command = [
            sdk, PEER, urlsplit(known["url"]).netloc, lab_of(tmp_path), known["username"], known["password"],
            "weather", tmp_path,
        ]  # fmt: skip
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
            assert peer.stdout is not None
            read = json.loads(peer.stdout.readline())
            assert (read["name"], read["version"], read["description"]) == ("weather", "1.0", "一")
            assert read["url"] == HERE
            assert peer.stdout.readline() == "written\n"
            ends = time.monotonic() + 60
            while not _there(registry) and time.monotonic() < ends:
                catalog.look()
                time.sleep(0.2)
            assert registry.resolve("from-sdk").url == "http://127.0.0.1:9/x"
            assert registry.get("from-sdk").description == "由 SDK 写的。"
            peer.communicate("\n", timeout=60)
    finally:
        catalog.close()


def _there(registry: Registry) -> bool:
    return "from-sdk" in {version.name for version in registry.ls()} and bool(registry.endpoints("from-sdk"))
