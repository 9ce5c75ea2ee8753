"""What `tests/conftest.py` does to a run: tried on small suites of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs pytest with our conftest over a module's source; gives exit status and output."""

    def run(source: str, *options: str, **env: str) -> tuple[int, str]:
        (tmp_path / "test_it.py").write_text(source)
        (tmp_path / "pytest.ini").write_text(
            f"[pytest]\npythonpath = {ROOT}/scripts {ROOT}/tests/support {ROOT}/tests\n"
            "markers =\n    browser\n    campaign\n    leaves\n    node\n    thorough\n"
        )
        env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # none of them matters here, and they take seconds to import
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NBAGORA_")}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "conftest",
            "-p",
            "no:cacheprovider",
            "-ra",
            *options,
            tmp_path,
        ]
        done = subprocess.run(
            command, cwd=tmp_path, env={**clean, **env}, capture_output=True, encoding="utf-8", check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_test_that_leaves_a_thread_fails_by_name(run: Run) -> None:
    status, output = run(
        "import threading\n"
        "over = threading.Event()\n"
        "def test_a(): threading.Thread(target=over.wait, name='forgotten').start()\n"
        "def test_b(): over.set()\n"
    )
    assert status == 1
    assert "left behind:\nthread 'forgotten'" in output
    assert "2 passed, 1 error" in output


def test_the_mark_leaves_lets_a_test_off(run: Run) -> None:
    status, output = run(
        "import pytest, subprocess, sys\n"
        "@pytest.mark.leaves('a process, on purpose')\n"
        "def test_a():\n"
        "    global child; child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "def test_b(): child.communicate()\n"
    )
    assert (status, "2 passed" in output) == (0, True), output


def test_what_a_module_fixture_keeps_open_is_not_left(run: Run) -> None:
    status, output = run(
        "import pytest, socket\n"
        "@pytest.fixture(scope='module')\n"
        "def server(tmp_path_factory):\n"
        "    with socket.create_server(('127.0.0.1', 0)), (tmp_path_factory.mktemp('s') / 'log').open('w'): yield\n"
        "def test_a(server): pass\n"
        "def test_b(server): pass\n"
    )
    assert (status, "2 passed" in output) == (0, True), output


NEEDS_CHROMIUM = (
    "import pytest\n"
    "@pytest.mark.browser\n"
    "@pytest.mark.skipif(False, reason='another platform')\n"
    "def test_a(): pass\n"
    "def test_b(require): require('chromium')\n"
)


def test_without_a_browser_its_tests_are_skipped_with_the_line_that_installs_it(run: Run) -> None:
    status, output = run(NEEDS_CHROMIUM, CHROMIUM="/nowhere/chromium")
    assert (status, "2 skipped" in output) == (0, True), output
    assert "needs chromium: " in output


@pytest.mark.thorough
@pytest.mark.parametrize(("options", "env"), [(["--strict-env"], {}), ([], {"NBAGORA_STRICT": "1"})])
def test_strictly_they_fail(run: Run, options: list[str], env: dict[str, str]) -> None:
    status, output = run(NEEDS_CHROMIUM, *options, CHROMIUM="/nowhere/chromium", **env)
    assert status == 1
    assert "Failed: needs chromium: " in output
    assert re.search(r"1 failed, 1 error|2 failed", output.splitlines()[-1])


@pytest.mark.thorough
def test_strictly_a_skip_in_a_test_fails(run: Run) -> None:
    status, output = run("import pytest\ndef test_a(): pytest.skip('not today')\n", "--strict-env")
    assert status == 1
    assert "nothing may be skipped here. Skipped: not today" in output


@pytest.mark.thorough
def test_strictly_a_module_that_skips_itself_fails(run: Run) -> None:
    status, output = run("import pytest\npytest.importorskip('no_such_module')\ndef test_a(): pass\n", "--strict-env")
    assert status != 0
    assert "nothing may be skipped here" in output


@pytest.mark.thorough
def test_strictly_a_skip_declared_by_a_mark_and_an_expected_failure_stand(run: Run) -> None:
    status, output = run(
        "import pytest\n"
        "@pytest.mark.skipif(True, reason='another platform')\n"
        "def test_a(): pass\n"
        "@pytest.mark.xfail(reason='known')\n"
        "def test_b(): assert False\n",
        "--strict-env",
    )
    assert (status, "1 skipped, 1 xfailed" in output) == (0, True), output


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "env", "expected"),
    [([], {}, "1 passed, 1 deselected"), (["--campaign"], {}, "2 passed"), ([], {"NBAGORA_CAMPAIGN": "1"}, "2 passed")],
)
def test_long_tests_run_in_a_campaign_only(run: Run, options: list[str], env: dict[str, str], expected: str) -> None:
    source = "import pytest\n@pytest.mark.campaign\ndef test_a(): pass\ndef test_b(): pass\n"
    status, output = run(source, *options, **env)
    assert (status, expected in output) == (0, True), output


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "1 passed, 2 deselected"),
        (["--strict-env"], "2 passed, 1 deselected"),
        (["--campaign"], "3 passed"),
    ],
)
def test_thorough_tests_run_under_strict_and_in_a_campaign(run: Run, options: list[str], expected: str) -> None:
    source = (
        "import pytest\n@pytest.mark.campaign\ndef test_a(): pass\n"
        "@pytest.mark.thorough\ndef test_b(): pass\n"
        "def test_c(): pass\n"
    )
    status, output = run(source, *options)
    assert (status, expected in output) == (0, True), output


@pytest.mark.parametrize(
    ("options", "env", "same"),
    [
        ([], {}, True),
        (["--strict-env"], {}, True),
        ([], {"NBAGORA_CAMPAIGN": "1"}, False),
        ([], {"NBAGORA_CAMPAIGN": "1", "CI": "1"}, False),
    ],
)
def test_examples_are_random_in_a_campaign_only(run: Run, options: list[str], env: dict[str, str], same: bool) -> None:
    source = (
        "import hypothesis, hypothesis.strategies as st\n"
        "@hypothesis.given(st.integers(0, 2**64))\n"
        "def test_a(number): print('tried', number)\n"
    )
    runs = [run(source, "-s", *options, **env) for _ in range(2)]
    assert [status for status, _ in runs] == [0, 0], runs
    tried = [[line for line in output.splitlines() if "tried" in line] for _, output in runs]
    assert len(tried[0]) > 20
    assert (tried[0] == tried[1]) is same


def test_failed_checks_stand_above_the_summary_which_stays_last(run: Run) -> None:
    _, output = run("def test_a(): pass\n", NBAGORA_FAILED_CHECKS="ruff mypy")
    assert "ruff mypy: scripts/check shows why" in output
    assert "1 passed" in output.splitlines()[-1]
