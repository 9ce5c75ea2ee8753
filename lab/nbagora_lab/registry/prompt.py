"""Prompts: a template with variables in double braces, and what is put in for them.

``{{city}}`` stands for the variable of that name, blanks inside the braces are free, and ``\\{{`` is two braces and no
variable. A variable has a type and may have a default; one that the prompt does not tell of is a string that must be
given. Values are put in as they are and never read again, so what they hold can't become a variable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from nbagora_lab.core.errors import UsageError, did_you_mean
from nbagora_lab.registry.shapes import Problem

__all__ = ["TYPES", "check_prompt", "render", "variables_of"]

TYPES = ("string", "integer", "number", "boolean", "json")
"""What a variable may be."""

_VARIABLE = re.compile(r"\\\{\{|\{\{\s*([^\W\d]\w*)\s*\}\}")


def variables_of(template: str) -> list[str]:
    """Names of a template's variables, each once, in their order.

    Example:
        >>> variables_of("Plan {{days}} days in {{ city }}, all in \\\\{{braces}}.")
        ['days', 'city']
    """
    return list(dict.fromkeys(match[1] for match in _VARIABLE.finditer(template) if match[1]))


def check_prompt(content: dict[str, Any]) -> list[Problem]:
    """What is wrong between a prompt's template and its variables; those that it does not tell of are added to it."""
    problems = []
    used = variables_of(content.get("template", ""))
    told: dict[str, int] = {}
    variables = [dict(variable) for variable in content.get("variables", ())]
    for index, variable in enumerate(variables):
        pointer, name = f"/variables/{index}", variable.get("name", "")
        kind = variable.setdefault("type", "string")
        if name in told:
            problems.append(Problem(f"{pointer}/name", f"is there already, at /variables/{told[name]}"))
        elif name and name not in used:
            problems.append(Problem(f"{pointer}/name", f"'{name}' is not in the template"))
        told.setdefault(name, index)
        if kind not in TYPES:
            problems.append(Problem(f"{pointer}/type", f"is '{kind}'; it takes {', '.join(TYPES)}"))
        elif "default" in variable and not _is(variable["default"], kind):
            problems.append(Problem(f"{pointer}/default", f"is no {kind}"))
    variables += [{"name": name, "type": "string"} for name in used if name not in told]
    if variables:
        content["variables"] = variables
    return problems


def render(prompt: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """A prompt's text with the values of its variables.

    Args:
        prompt: A prompt's content.
        values: Values by the variables' names; what is left out is its default.

    Raises:
        UsageError: A value is missing, of another type, or of no variable; names all of them.
    """
    variables = {variable["name"]: variable for variable in prompt.get("variables", ())}
    problems = [f"no variable '{name}' ({did_you_mean(name, variables)})" for name in values if name not in variables]
    texts = {}
    for name, variable in variables.items():
        if name not in values and "default" not in variable:
            problems.append(f"'{name}' is missing")
            continue
        value = values.get(name, variable.get("default"))
        if not _is(value, variable["type"]):
            problems.append(f"'{name}' is {value!r}, and takes a {variable['type']}")
            continue
        texts[name] = value if isinstance(value, str) and variable["type"] == "string" else _written(value)
    if problems:
        raise UsageError(
            f"the prompt '{prompt['name']}' can't be written: {'; '.join(problems)}",
            f"its variables: {', '.join(variables) or 'none'}",
        )
    return _VARIABLE.sub(lambda match: texts[match[1]] if match[1] else "{{", str(prompt["template"]))


def _is(value: object, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
