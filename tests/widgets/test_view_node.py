"""The pure parts of the views' JavaScript, tested by node in the files named ``*.test.mjs``."""

import subprocess
from pathlib import Path

import pytest

from nbagora_widgets.esm import STATIC, bundle

HERE = Path(__file__).parent
MODULES = sorted(path.stem for path in STATIC.glob("*.js"))


@pytest.mark.node
def test_the_pure_parts_hold_in_node(require):
    command = [require("node"), "--test", *(str(path) for path in sorted(HERE.glob("*.test.mjs")))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "# fail 0" in ended.stdout
    assert "# pass 0" not in ended.stdout


@pytest.mark.node
@pytest.mark.parametrize(
    "module", [*MODULES, "bundle of tasks", "bundle of topics", "bundle of registry", "bundle of flow"]
)
def test_a_module_parses_as_it_ships(require, module):
    name = module.removeprefix("bundle of ")
    text = bundle(name) if name != module else (STATIC / f"{name}.js").read_text(encoding="utf-8")
    command = [require("node"), "--input-type=module", "--check"]
    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
