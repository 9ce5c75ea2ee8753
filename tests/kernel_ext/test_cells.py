from __future__ import annotations

import traceback
from typing import Any

import pytest

from nbagora.cells import identifier, rewrite
from nbagora_lab.core.errors import BadAgent, NotStarted, UsageError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("weather", "weather"),
        ("hotel-finder", "hotel_finder"),
        ("天气", "天气"),
        ("a.b c", "a_b_c"),
        ("2nd", "_2nd"),
        ("class", "class_"),
        ("ﬁnder", "finder"),  # Python reads names in NFKC, too
        ("…", "___"),
    ],
)
def test_an_agents_name_as_python_writes_it(name: str, expected: str) -> None:
    assert identifier(name) == expected


def test_other_cells_stay_as_they_are() -> None:
    for source in (
        "x = 1\n",
        "%%time\n%%agent x\n",
        "%%agents x\n",
        "'''\n%%agent x\n'''\n",
        "%agent ls\n",
        "\n",
        "%%agent?\n",
    ):
        lines = source.splitlines(keepends=True)
        assert rewrite(lines) == lines


def test_lines_keep_their_numbers() -> None:
    lines = ["# above\n", "\n", "%%agent a --tag x\n", "one\n", "two"]
    rewritten = rewrite(lines)
    assert rewritten[:2] == lines[:2]
    assert rewritten[3:5] == lines[3:5]
    assert len([line for line in rewritten if ".open(" in line]) == 1


def test_the_cell_is_run_as_any_other(lab: Any, run: Any, shell: Any) -> None:
    info = run(
        "%%agent hotel-finder -o info\nimport math\nhelper = 1\nasync def hotel_finder(message):\n    return 'ok'"
    )
    assert info.name == "hotel-finder"
    assert shell.user_ns["info"] is info
    assert shell.user_ns["helper"] == 1
    assert shell.user_ns["math"].pi
    assert run("%agent ask hotel-finder hi").text == "ok"


def test_it_may_await_at_its_top(lab: Any, run: Any) -> None:
    assert run("%%agent a\nimport asyncio\nx = await asyncio.sleep(0, 7)\ndef a(message): return str(x)").name == "a"
    assert run("%agent ask a hi").text == "7"


def test_it_may_hold_magics_and_future_imports(lab: Any, run: Any, shell: Any) -> None:
    run("%%agent a\n%env NBAGORA_TEST_CELL=1\nfrom __future__ import annotations\ndef a(message): return 'x'")
    assert run("%agent ask a hi").text == "x"
    run("import os; assert os.environ.pop('NBAGORA_TEST_CELL')")


def test_its_errors_are_the_users_own(lab: Any, run: Any, shell: Any) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run("%%agent a\ndef a(message): ...\n\n1 / 0")
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.lineno == 4
    assert "nbagora" not in last.filename
    with pytest.raises(SyntaxError) as wrong:
        run("%%agent a\n\ndef a(:\n")
    assert wrong.value.lineno == 3


def test_a_failing_cell_leaves_the_former_agent(lab: Any, run: Any) -> None:
    run("%%agent a\ndef a(message): return 'one'")
    with pytest.raises(ZeroDivisionError):
        run("%%agent a\n1 / 0\ndef a(message): return 'two'")
    assert run("%agent ask a hi").text == "one"


def test_running_it_again_replaces_the_agent(lab: Any, run: Any) -> None:
    run("%%agent a\ndef a(message): return 'one'")
    run("%%agent a\ndef a(message): return 'two'")
    assert run("%agent ask a hi").text == "two"
    assert [agent.name for agent in lab.agents()] == ["a", "echo"]


def test_a_pydantic_ai_agent_of_the_name_is_the_agent(lab: Any, run: Any) -> None:
    run(
        "%%agent trip-planner\nfrom pydantic_ai import Agent\nfrom pydantic_ai.models.test import TestModel\n"
        "trip_planner = Agent(TestModel(custom_output_text='by train'), instructions='Plan.')"
    )
    assert run("%agent ask trip-planner 北京").text == "by train"


@pytest.mark.parametrize(
    ("body", "defines"),
    [
        ("def wether(message): ...", "it defines wether;"),
        (
            "import os\nfrom math import pi as p\nfor i in []: pass\nx: int = 1\nclass C: inner = 1",
            "it defines C, i, os, p, x;",
        ),
        ("", "it defines nothing;"),
        ("print()", "it defines nothing;"),
    ],
)
def test_a_cell_without_it_says_what_it_defines(lab: Any, run: Any, body: str, defines: str) -> None:
    with pytest.raises(BadAgent) as caught:
        run(f"%%agent weather\n{body}")
    assert caught.value.what == "the cell of the agent 'weather' defines no 'weather'"
    assert defines in caught.value.hint


def test_a_name_that_another_cell_defined_is_not_this_cells(lab: Any, run: Any) -> None:
    run("def weather(message): return 'x'")
    with pytest.raises(BadAgent, match="defines no 'weather'"):
        run("%%agent weather\npass")
    run("import sys; sys.modules['somewhere'] = type('M', (), {'weather': weather})")
    assert run("%%agent weather\nfrom somewhere import weather").name == "weather"
    run("del sys.modules['somewhere']")


@pytest.mark.parametrize("thing", ["7", "'text'", "None", "dict"])
def test_what_is_no_agent_is_refused(lab: Any, run: Any, thing: str) -> None:
    with pytest.raises(BadAgent):
        run(f"%%agent a\na = {thing}")


def test_wrong_options_and_no_lab_are_told_before_the_body_runs(shell: Any, run: Any) -> None:
    with pytest.raises(NotStarted):
        run("%%agent a\nran = True\ndef a(message): ...")
    with pytest.raises(UsageError, match="no option '--skil'"):
        run("%%agent a --skil x\nran = True")
    with pytest.raises(UsageError, match="required: NAME"):
        run("%%agent\nran = True")
    assert "ran" not in shell.user_ns
    assert "usage: %%agent" in run("%%agent --help\n")


def test_a_program_may_hand_over_a_cell(lab: Any, run: Any, shell: Any) -> None:
    info = shell.run_cell_magic("agent", "handed --tag x", "def handed(message):\n    return 'ok'\n")
    assert info.name == "handed"
    with pytest.raises(ZeroDivisionError):
        shell.run_cell_magic("agent", "handed", "1 / 0")


def test_a_backslash_at_the_end_takes_in_nothing(lab: Any, shell: Any) -> None:
    done = shell.run_cell("%%agent a\ndef a(message): ...\nx = 1 + \\")
    assert isinstance(done.error_before_exec, SyntaxError)  # as any cell's


def test_an_editor_still_sees_a_cell_magic(shell: Any) -> None:
    assert shell.check_complete("%%agent a\ndef a(m): ...")[0] == "incomplete"
    assert shell.check_complete("%%agent a\ndef a(m): ...\n\n")[0] == "complete"


def test_ask_as_a_cell_takes_the_body_as_it_is(lab: Any, run: Any, shell: Any) -> None:
    run("x = 1")
    task = run("%%ask echo --context {'ctx-' + str(x)} -o y\n多行 {x} $x\n  %not a magic\n# nor a comment?")
    assert task.text == "多行 {x} $x\n  %not a magic\n# nor a comment?"
    assert task.context_id == "ctx-1"
    assert shell.user_ns["y"] is task
    with pytest.raises(UsageError):
        run("%%ask echo")
    with pytest.raises(UsageError, match="required: AGENT"):
        run("%%ask\nhello")
