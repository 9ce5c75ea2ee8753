"""House rules that hold in every source: names, lengths, docstrings, and words that must lead somewhere."""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbagora_lab.core import errors
from sources import PACKAGES, ROOT, modules, parse, tracked

LONGEST = 400
UNBOUNDED = {"nbagora_lab.core.errors"}
"""Every error class is in this one module, so that whoever meets one knows where to look."""
ROOTS = {"kernel_ext", "widgets", "lab"}
"""Folders that look like packages from the repository's root, and are none."""


@pytest.mark.parametrize("name", sorted(modules().keys() - UNBOUNDED))
def test_a_module_fits_the_eye(name: str) -> None:
    lines = len(modules()[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, "split it by nouns"


@pytest.mark.parametrize("name", modules())
def test_a_module_begins_with_a_paragraph(name: str) -> None:
    docstring = ast.get_docstring(parse(modules()[name])) or ""
    first, *_ = docstring.split("\n\n")
    assert first.rstrip().endswith((".", ":")), "a sentence that says what it is for"


@pytest.mark.parametrize("package", [path for path in modules().values() if path.name == "__init__.py"], ids=str)
def test_every_folder_of_sources_is_a_package(package: Path) -> None:
    bare = [
        p for p in package.parent.iterdir() if p.is_dir() and any(p.glob("*.py")) and not (p / "__init__.py").exists()
    ]
    assert bare == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (PACKAGES[package] / "py.typed").is_file()


@pytest.mark.parametrize("name", [name for name in modules() if not name.startswith("nbagora.")])
def test_runtime_and_views_print_nothing(name: str) -> None:
    prints = [
        node.lineno
        for node in ast.walk(parse(modules()[name]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "pprint"}
    ]
    assert prints == [], "a print from a thread lands in whichever cell runs; use core.log"


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _code(path: Path) -> str:
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code").splitlines()
    return "\n".join(line for line in lines if re.match(r"\s*(from|import)\s", line))


@pytest.mark.thorough
def test_nothing_imports_a_source_folder_by_its_name() -> None:
    wrong = []
    for path in tracked():
        if path.suffix == ".py":
            wrong += [(path, name) for name in _imports(parse(path)) if name.partition(".")[0] in ROOTS]
        elif path.suffix == ".ipynb":
            wrong += [(path, line) for line in _code(path).splitlines() if line.split()[1].partition(".")[0] in ROOTS]
    assert wrong == []


def _raised(tree: ast.Module) -> Iterator[str]:
    """Names that stand in a docstring's section ``Raises:``, one a line at the section's own indentation."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        section = re.search(r"^Raises:\n((?:[ ]{4}.*\n?|\n)+)", ast.get_docstring(node) or "", re.MULTILINE)
        yield from re.findall(r"^ {4}(\S[^:]*):", section[1], re.MULTILINE) if section else ()


@pytest.mark.parametrize("name", modules())
def test_the_errors_that_a_docstring_names_exist(name: str) -> None:
    module = importlib.import_module(name)
    unknown = [
        error
        for names in _raised(parse(modules()[name]))
        for error in names.split(", ")
        if not any(hasattr(home, error) for home in (errors, builtins, module))
    ]
    assert unknown == []


def test_every_error_class_lives_in_one_module() -> None:
    elsewhere = [
        (name, node.name)
        for name, path in modules().items()
        if name != errors.__name__
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")  # such a one never leaves its module
        and any(isinstance(base, ast.Name) and base.id.endswith(("Error", "Exception")) for base in node.bases)
    ]
    assert elsewhere == []


SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "cloud key": r"\bAKIA[0-9A-Z]{16}\b",
    "access token": r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,}|sk-[A-Za-z0-9-]{32,}|xox[abp]-[\w-]{20,})",
    "signed token": r"\beyJ[\w-]{20,}\.eyJ[\w-]{20,}\.[\w-]{20,}",
    "Jupyter's token": r"\?token=[0-9a-f]{32,}",
}
PATHS = {
    "somebody's home": r"(?<![\w.])/(home|Users)/\w|(?<![\w.])/root/[\w.]|C:\\+Users\\+\w",
    "a folder of one machine": r"(?<![\w.])/(work|opt|srv|mnt)/\w",
}
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".ipynb", ".js", ".mjs", ".css", ".json", ".jsonl", ".txt", ""}


def _found(patterns: dict[str, str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {what}: {match[0][:60]}"
        for path in tracked()
        if path.suffix in TEXT and path != Path(__file__).resolve()
        for what, pattern in patterns.items()
        for match in re.finditer(pattern, path.read_text(encoding="utf-8", errors="replace"))
    ]


def test_no_file_holds_a_secret() -> None:
    assert _found(SECRETS) == []


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    assert _found(PATHS) == []


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (SECRETS, "-----BEGIN RSA " + "PRIVATE KEY-----"),
        (SECRETS, "AKIA" + "A" * 16),
        (SECRETS, "ghp_" + "a1" * 18),
        (SECRETS, "sk-" + "a1" * 20),
        (SECRETS, ".".join(["eyJ" + "a" * 20] * 2 + ["b" * 20])),
        (SECRETS, "lab?token=" + "0a" * 24),
        (PATHS, "/home/ada/agora"),
        (PATHS, 'open("/Users/ada/x")'),
        (PATHS, "/root/.cache"),
        (PATHS, r"C:\Users\ada"),
        (PATHS, "in /mnt/data"),
    ],
)
def test_the_patterns_find_what_they_are_for(patterns: dict[str, str], text: str) -> None:
    assert any(re.search(pattern, text) for pattern in patterns.values())
