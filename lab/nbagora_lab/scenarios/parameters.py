"""A notebook's parameters: what its cell declares, what a command line says, and how both are checked.

The cell is the first one tagged `parameters`, as papermill has it. Papermill injects a cell below it, and only warns
about a name that the cell does not have; here that is an error, because a run with a misspelt parameter tests the
defaults.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbagora_lab.core.errors import UnknownParameter, UsageError, did_you_mean

__all__ = ["check_parameters", "declared_parameters", "format_value", "parse_parameters", "parse_value"]

_LITERALS: dict[str, Any] = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_MAGIC = re.compile(r"^\s*[%!?]")


def parse_value(text: str) -> Any:
    """The value that a word on the command line stands for.

    Numbers, `True`, `False` and `None` are read as papermill reads them; JSON's own literals, lists, objects and quoted
    strings as JSON; everything else is the string itself.

    Example:
        >>> parse_value("7"), parse_value('"7"'), parse_value("[1, 2]"), parse_value("北京")
        (7, '7', [1, 2], '北京')
    """
    if text in _LITERALS:
        return _LITERALS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if text[:1] in {"[", "{", '"'}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def format_value(value: Any) -> str:
    """The word that `parse_value` reads back as `value`.

    Example:
        >>> format_value("7"), format_value("seven")
        ('"7"', 'seven')
    """
    if isinstance(value, str):
        return value if parse_value(value) == value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def parse_parameters(pairs: Mapping[str, Any] | Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The parameters of a run.

    Args:
        pairs: Names and values; as a mapping they are taken as they are, as pairs of words each value is parsed.

    Raises:
        UsageError: A name that is no Python identifier, or a value that a notebook can't be given.
    """
    values = dict(pairs) if isinstance(pairs, Mapping) else {name: parse_value(text) for name, text in pairs}
    for name, value in values.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise UsageError(f"'{name}' can't be a parameter", "parameters are Python names: -p seed 7")
        if not _is_plain(value):
            raise UsageError(
                f"the parameter '{name}' is {type(value).__name__}: {value!r}",
                "a parameter is None, a bool, a number, a string, or a list or dict with string keys of these",
            )
    return values


def declared_parameters(cells: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a notebook's `parameters` cell assigns.

    Args:
        cells: The notebook's cells.

    Returns:
        Names and their defaults, None where a default is no literal; or None if there is no such cell.
    """
    for cell in cells:
        if "parameters" in cell["metadata"].get("tags", ()):
            source = cell["source"]
            return _assigned(source if isinstance(source, str) else "".join(source))
    return None


def check_parameters(notebook: Path, declared: Mapping[str, Any] | None, given: Mapping[str, Any]) -> None:
    """Holds the given parameters against what the notebook declares.

    Raises:
        UnknownParameter: There is no `parameters` cell, or it lacks a name.
    """
    if not given:
        return
    if declared is None:
        names = ", ".join(given)
        raise UnknownParameter(
            f"{notebook.name} has no parameters cell, but was given {names}",
            "tag one of its cells 'parameters', or run it without -p",
        )
    if unknown := [name for name in given if name not in declared]:
        raise UnknownParameter(f"{notebook.name} has no parameter '{unknown[0]}'", did_you_mean(unknown[0], declared))


def _assigned(source: str) -> dict[str, Any]:
    """Names that a cell assigns at its top level, with their literal values; {} if it is no Python."""
    plain = "\n".join("" if _MAGIC.match(line) else line for line in source.splitlines())
    try:
        body = ast.parse(plain).body
    except SyntaxError:
        return {}
    names: dict[str, Any] = {}
    for statement in body:
        targets: list[ast.expr]
        if isinstance(statement, ast.AnnAssign):
            targets, value = [statement.target], statement.value
        elif isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                names[target.id] = _literal(value)
            else:
                names |= {node.id: None for node in ast.walk(target) if isinstance(node, ast.Name)}
    return names


def _literal(value: ast.expr | None) -> Any:
    try:
        return None if value is None else ast.literal_eval(value)
    except ValueError:
        return None


def _is_plain(value: Any) -> bool:
    """Whether papermill writes the value into a cell such that it comes out the same."""
    if isinstance(value, str):
        return value == value.encode(errors="replace").decode()  # half a surrogate pair can't be written to a file
    if value is None or isinstance(value, bool | int | float):
        return True
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, dict) and all(_is_plain(item) and isinstance(key, str) for key, item in value.items())
