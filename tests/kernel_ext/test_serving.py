from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbagora.serving import load_agents
from nbagora_lab.core.errors import BadAgent, LabError, NotFound, UsageError
from nbagora_lab.lab import Lab

PARROT = '''
from nbagora import agent
from neighbour import SUFFIX

@agent(skills=["again: says it again"], tags=["birds"])
async def my_parrot(message, task):
    """Says it again."""
    yield message.text + SUFFIX

@agent
def second(message):
    return __name__

if __name__ == "__main__":
    raise SystemExit("not as a program")
'''


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(store=tmp_path / "store") as lab:
        yield lab


def notebook(path: Path, *cells: str) -> Path:
    content = [{"cell_type": "code", "source": cell.splitlines(keepends=True), "metadata": {}} for cell in cells]
    markdown = {"cell_type": "markdown", "source": "%%agent not_this", "metadata": {}}
    path.write_text(json.dumps({"cells": [markdown, *content], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    return path


def test_a_python_files_marks_are_hosted(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("SUFFIX = '!'")
    path = tmp_path / "my agents.py"
    path.write_text(PARROT)
    before = list(sys.path)
    infos = load_agents(path, lab)
    assert [info.name for info in infos] == ["my-parrot", "second"]
    assert infos[0].skills == ("again",)
    assert lab.ask("my-parrot", "hi").text == "hi!"
    assert lab.ask("second", "hi").text == "nbagora_served_my_agents"
    assert sys.path == before
    del sys.modules["neighbour"]


def test_a_notebooks_agent_cells_are_hosted_and_its_lab_magics_do_nothing(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebook(
        tmp_path / "nb.ipynb",
        "%load_ext nbagora\n%lab start --seed 9\nimport math\nprint('said')",
        "HELP = 2",
        "# the first\n%%agent doubler --skill 'double: twice'\nimport asyncio\nawait asyncio.sleep(0)\n"
        "async def doubler(message):\n    return message.text * HELP",
        "%%agent 天气\ndef 天气(message): return str(math.pi)[:4]",
        "%%ask doubler\nhi",
        "task = %agent ask doubler hi",
        "task.text",
        "%lab stop",
        "%unload_ext nbagora",
    )
    infos = load_agents(path, lab)
    assert [info.name for info in infos] == ["doubler", "天气"]
    assert lab.running
    assert lab.settings.seed is None
    assert lab.ask("doubler", "ab").text == "abab"
    assert lab.ask("天气", "?").text == "3.14"
    out, err = capsys.readouterr()
    assert out == ""
    assert "said" in err
    assert [task.agent for task in lab.tasks()] == ["天气", "doubler"]
    assert [line.message for line in lab.log() if line.logger == "nbagora.serve"] == [
        f"{path}, code cell 7 was left out: AttributeError: 'NoneType' object has no attribute 'text'"
    ]


def refused(path: Path, lab: Lab) -> LabError:
    with pytest.raises(LabError) as caught:
        load_agents(path, lab)
    assert len(caught.value._render_traceback_()) == 2
    return caught.value


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("x = 1", "defines no agent"),
        ("x = (", "can't be run: SyntaxError: '(' was never closed, line 1"),
        ("x = 1\n\n1 / 0", "can't be run: ZeroDivisionError: division by zero, line 3"),
        ("import nothing_of_that_name", "can't be run: ModuleNotFoundError"),
        ("from nbagora import agent\nagent(name='x')(7)", "'x' is a int, not an agent"),
    ],
)
def test_a_python_file_that_defines_none_is_refused(lab: Lab, tmp_path: Path, source: str, what: str) -> None:
    path = tmp_path / "a.py"
    path.write_text(source)
    error = refused(path, lab)
    assert isinstance(error, BadAgent)
    assert what in error.what


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("x = 1", "defines no agent"),
        ("%%agent a\n1 / 0", "code cell 1: ZeroDivisionError: division by zero"),
        ("%%agent a\ndef b(message): ...", "code cell 1: the cell of the agent 'a' defines no 'a'"),
        ("%%agent a --nope\ndef a(message): ...", "code cell 1: %%agent has no option '--nope'"),
        ("%%agent a\ndef a(:", "code cell 1: SyntaxError"),
    ],
)
def test_a_notebook_whose_agent_cell_fails_is_refused(lab: Lab, tmp_path: Path, cell: str, what: str) -> None:
    error = refused(notebook(tmp_path / "a.ipynb", cell), lab)
    assert isinstance(error, BadAgent)
    assert what in error.what


def test_files_that_are_none_are_refused(lab: Lab, tmp_path: Path) -> None:
    assert isinstance(refused(tmp_path / "gone.py", lab), NotFound)
    (tmp_path / "a.txt").write_text("")
    assert isinstance(refused(tmp_path / "a.txt", lab), UsageError)
    for content in ("", "[]", '{"cells": [{"cell_type": "code"}]}', '{"cells": 3}'):
        (tmp_path / "a.ipynb").write_text(content)
        assert isinstance(refused(tmp_path / "a.ipynb", lab), BadAgent)


def test_it_leaves_the_callers_shell_alone(lab: Lab, tmp_path: Path) -> None:
    main, hooks = sys.modules["__main__"], (sys.displayhook, sys.excepthook)
    load_agents(notebook(tmp_path / "a.ipynb", "%%agent a\ndef a(message): return __name__"), lab)
    assert sys.modules["__main__"] is main
    assert (sys.displayhook, sys.excepthook) == hooks
    assert lab.ask("a", "x").text == "nbagora_served_a"


def test_agents_of_two_files_live_side_by_side(lab: Lab, tmp_path: Path) -> None:
    for name in ("one", "two"):
        load_agents(
            notebook(tmp_path / f"{name}.ipynb", f"W = '{name}'\n", f"%%agent {name}\ndef {name}(message): return W"),
            lab,
        )
    assert [lab.ask(name, "x").text for name in ("one", "two")] == ["one", "two"]
