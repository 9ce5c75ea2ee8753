"""What every test gets: it leaves nothing behind, and it says what it needs of the system.

`./scripts/test` sets ``NBAGORA_STRICT``, ``NBAGORA_CAMPAIGN`` and ``NBAGORA_FAILED_CHECKS``; the first two are options
as well.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import _engines
import _system
from _server import Server
from _setup import Failed
from leaks import held, leaked

os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the environment's kernel, not a namesake in the home folder


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every process that a test starts and then interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}  # how busy a machine is fails no test
settings.register_profile("same", derandomize=True, **_SLOW)
# Said outright: where CI is set, hypothesis would take neither the one nor the other by itself.
settings.register_profile("campaign", derandomize=False, print_blob=True, **_SLOW)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nbagora")
    group.addoption("--strict-env", action="store_true", help="a test that would be skipped fails instead")
    group.addoption("--campaign", action="store_true", help="run the tests marked campaign, too")


def _wanted(config: pytest.Config, option: str, variable: str) -> bool:
    return bool(config.getoption(option) or os.environ.get(variable))


def pytest_configure(config: pytest.Config) -> None:
    # The package of a plugin has its assertions rewritten as it is imported. A lab imports in several threads, and
    # CPython 3.11 can't build the trees of two modules at once (gh-106905): "AST constructor recursion depth mismatch".
    config.pluginmanager.rewrite_hook._must_rewrite.discard("nbagora_lab")  # type: ignore[attr-defined]
    settings.load_profile("campaign" if _wanted(config, "--campaign", "NBAGORA_CAMPAIGN") else "same")
    if not hasattr(config, "workerinput"):
        os.environ["NBAGORA_SERVERS"] = tempfile.mkdtemp(prefix="nbagora-servers-")  # workers inherit it


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop("NBAGORA_SERVERS"))
        for name in _engines.ENGINES:
            _engines.down(folder / name, grace=0)
        shutil.rmtree(folder)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = set()
    if not _wanted(config, "--campaign", "NBAGORA_CAMPAIGN"):
        left_out.add("campaign")
        if not _wanted(config, "--strict-env", "NBAGORA_STRICT"):
            left_out.add("thorough")
    if long := [item for item in items if any(item.get_closest_marker(name) for name in left_out)]:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]


def _require(name: str, config: pytest.Config) -> str:
    if (path := _system.find(name)) is None:
        end = pytest.fail if _wanted(config, "--strict-env", "NBAGORA_STRICT") else pytest.skip
        end(f"needs {name}: {_system.hint(name)}")
    return path


@pytest.fixture
def require(pytestconfig: pytest.Config) -> Callable[[str], str]:
    """``require("chromium")`` is the program's path; where the system lacks it, the test is skipped and says why."""
    return lambda name: _require(name, pytestconfig)


def _server(name: str, config: pytest.Config) -> Server:
    """A real server, one for all workers: started here where nothing may be skipped, else the one that runs."""
    if not (_wanted(config, "--strict-env", "NBAGORA_STRICT") or _wanted(config, "--campaign", "NBAGORA_CAMPAIGN")):
        if server := _engines.running(_engines.FOLDER / name):
            return server
        pytest.skip(f"needs {name}: ./scripts/engines up {name} starts it")
    try:
        return _engines.up(name, Path(os.environ["NBAGORA_SERVERS"]) / name)
    except Failed as failure:
        pytest.fail(f"{name} doesn't start: {failure}", pytrace=False)


@pytest.fixture(scope="session")
def rocketmq(pytestconfig: pytest.Config) -> Server:
    """A RocketMQ cluster, shared by all tests: what a test makes there has a namespace of its own."""
    return _server("rocketmq", pytestconfig)


@pytest.fixture(scope="session")
def nacos(pytestconfig: pytest.Config) -> Server:
    """A Nacos server, shared by all tests: what a test makes there has a namespace of its own."""
    return _server("nacos", pytestconfig)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, name in (("browser", "chromium"), ("node", "node")):
        if item.get_closest_marker(marker):
            _require(name, item.config)
    for mark in item.iter_markers("server"):
        _server(mark.args[0], item.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under ``--strict-env`` a skip is a failure, but for one that a mark declares (another platform)."""
    report = yield
    declared = hasattr(report, "wasxfail") or next(item.iter_markers("skipif"), None) is not None
    if report.skipped and not declared and _wanted(item.config, "--strict-env", "NBAGORA_STRICT"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"nothing may be skipped here. {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips itself."""
    report = yield
    if report.outcome == "skipped" and _wanted(collector.config, "--strict-env", "NBAGORA_STRICT"):
        report.outcome, report.longrepr = "failed", f"nothing may be skipped here. {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _leaves_nothing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.getbasetemp()
    before = held(folder)
    yield
    if request.node.get_closest_marker("leaves"):
        return
    if problems := leaked(before, folder):
        pytest.fail("left behind:\n" + "\n".join(problems), pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if failed := os.environ.get("NBAGORA_FAILED_CHECKS"):
        terminalreporter.section("failed checks", red=True)
        terminalreporter.line(f"{failed}: scripts/check shows why")
