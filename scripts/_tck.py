"""Runs the protocol's Technology Compatibility Kit against `nbagora serve`, and counts.

The kit is none of this project's: a checkout of it is given. It runs in an environment of its own, which is made in
that checkout, and leaves its reports there.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from _setup import ROOT, Failed, command, environment, run, say, step, tool

__all__ = ["main"]

HELP = """usage: scripts/tck CHECKOUT [CHECKOUT…]

  CHECKOUT   a folder with a2aproject/a2a-tck in it: branch 1.0-dev, or 0.3.x

  git clone -b 1.0-dev https://github.com/a2aproject/a2a-tck tck-1.0
  git clone -b 0.3.x https://github.com/a2aproject/a2a-tck tck-0.3
  scripts/tck tck-1.0 tck-0.3"""

SUT = ROOT / "tests" / "support" / "tck_agents.py"
STREAMING_TIMEOUT = "2.0"
"""Seconds that both the kit and the agents are told that a stream waits."""
KINDS = ("passed", "failed", "skipped", "xfailed", "xpassed")


@dataclass(frozen=True)
class Suite:
    """One run of pytest in the kit.

    Attributes:
        name: What the table calls it.
        args: Arguments of pytest, beside the address.
    """

    name: str
    args: tuple[str, ...]


SUITES = {
    "1.0": [Suite("1.0-dev, JSON-RPC and HTTP+JSON", ("tests/compatibility/", "--transport=jsonrpc,http_json"))],
    "0.3": [
        Suite("0.3.x JSON-RPC, mandatory", ("tests/mandatory/", "-m", "mandatory_jsonrpc or mandatory_protocol")),
        Suite("0.3.x JSON-RPC, capabilities", ("tests/optional/capabilities/",)),
        Suite("0.3.x JSON-RPC, quality", ("tests/optional/quality/",)),
        Suite("0.3.x JSON-RPC, features", ("tests/optional/features/",)),
    ],
}


@command
def main(args: list[str]) -> int:
    """``scripts/tck CHECKOUT…``; see `HELP`."""
    if not args or {"-h", "--help"} & set(args):
        say(HELP)
        return 0 if args else 2
    environment("test")
    failed = 0
    for checkout in map(Path, args):
        version = _version(checkout)
        python = _kit(checkout.resolve())
        with _serving(*(("tck", "1.0") if version == "1.0" else ("tck-03", "0.3"))) as url:
            for suite in SUITES[version]:
                failed += _run(checkout.resolve(), python, suite, url, version)
    return 1 if failed else 0


def _version(checkout: Path) -> str:
    """Which branch of the kit a folder holds."""
    if (checkout / "tests" / "compatibility").is_dir():
        return "1.0"
    if (checkout / "tests" / "mandatory").is_dir():
        return "0.3"
    raise Failed(f"{checkout} holds neither branch 1.0-dev nor 0.3.x of a2aproject/a2a-tck")


def _kit(checkout: Path) -> Path:
    """The Python of the kit's own environment, made on first use."""
    home = checkout / ".venv"
    python = home / tool("python").relative_to(tool("python").parent.parent)
    if not python.exists():
        with step(f"an environment for the kit in {home}"):
            run([tool("python"), "-m", "venv", home])
            run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", checkout, "pytest-json-report"])
    return python


@contextlib.contextmanager
def _serving(root: str, protocol: str) -> Iterator[str]:
    """The agents, served without a token on a store that is thrown away; gives their address."""
    with tempfile.TemporaryDirectory(prefix="nbagora-tck-") as store:
        allowed = [word for host in ("example.com", "localhost", "127.0.0.1") for word in ("--push-allow", host)]
        options = [*allowed, "--root", root, "--root-protocol", protocol, "--token", "", "--store", store, "--json"]
        args = [str(tool("nbagora")), "serve", str(SUT), *options]
        env = {**os.environ, "TCK_STREAMING_TIMEOUT": STREAMING_TIMEOUT}
        with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                raise Failed("nbagora serve ended before it was ready; its words are above")
            try:
                yield json.loads(line)["url"]
            finally:
                server.stdin.close()  # by which it ends


def _run(checkout: Path, python: Path, suite: Suite, url: str, version: str) -> int:
    """Runs one suite and prints its line and what failed.

    Returns:
        Number of tests that failed.
    """
    reports = checkout / "reports"
    reports.mkdir(exist_ok=True)
    junit = reports / "nbagora.xml"
    junit.unlink(missing_ok=True)
    where = (
        [f"--sut-host={url}"] if version == "1.0" else [f"--sut-url={url}/", "--test-scope=all", "--transports=jsonrpc"]
    )
    env = {**os.environ, "TCK_STREAMING_TIMEOUT": STREAMING_TIMEOUT}
    env.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "--tb=line", f"--junitxml={junit}", *suite.args, *where],
        cwd=checkout,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if not junit.exists():
        raise Failed(f"{done.stdout[-4000:]}\nthe kit did not run")
    counts, names = _count(ET.parse(junit).getroot())
    say(f"{suite.name:<32} " + "  ".join(f"{counts[kind]:>3} {kind}" for kind in KINDS if counts[kind]))
    for name in names:
        say(f"    {name}")
    return counts["failed"]


def _count(report: ET.Element) -> tuple[Counter[str], list[str]]:
    """How many tests ended how, and those that failed."""
    counts: Counter[str] = Counter()
    names = []
    for case in report.iter("testcase"):
        kind = "passed"
        for child in case:
            if child.tag in {"failure", "error"}:
                kind = "failed"
                said = (child.get("message") or "").strip().partition("\n")[0]
                names.append(f"{case.get('classname')}::{case.get('name')}: {said[:160]}")
            elif child.tag == "skipped":
                kind = "xfailed" if child.get("type") == "pytest.xfail" else "skipped"
        counts[kind] += 1
    return counts, names
