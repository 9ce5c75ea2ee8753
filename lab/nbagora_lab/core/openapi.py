"""The OpenAPI 3.1 document of a room's doors, made from the table that its routes are made from.

Bodies and answers are pydantic models; their schemas are pydantic's own, so that what is told is what is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from nbagora_lab.core.problem import PROBLEM, Problem

__all__ = ["JSON", "Operation", "document"]

JSON = "application/json"

_PART = re.compile(r"{(\w+)}")
_UNNAMED = re.compile("[^A-Za-z]+")
_Content = type[BaseModel] | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked over HTTP; rooms subclass it to say what does it.

    Attributes:
        method: ``GET``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
        path: Its whole path; ``{name}`` stands for one part of it.
        summary: What it does, in a line.
        body: What its JSON body must be; None where it takes none.
        bodies: Bodies of other media types, each as a model or a JSON schema.
        result: What it answers with, as JSON; None: nothing.
        results: Answers of other media types.
        query: Parameters of its query, each with its JSON schema.
        headers: Headers that it reads, each with its JSON schema.
        status: The status of its answer.
    """

    method: str
    path: str
    summary: str
    body: type[BaseModel] | None = None
    bodies: Mapping[str, _Content] = field(default_factory=dict)
    result: type[BaseModel] | None = None
    results: Mapping[str, _Content] = field(default_factory=dict)
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    headers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    status: int = 200


def document(title: str, operations: Iterable[Operation], *, url: str = "") -> dict[str, Any]:
    """The document.

    Args:
        title: What the doors belong to.
        operations: What can be asked.
        url: Where the server is; left out if empty.
    """
    operations = list(operations)
    taken = {model for one in operations for model in (one.body, *one.bodies.values()) if isinstance(model, type)}
    given = {model for one in operations for model in (one.result, *one.results.values()) if isinstance(model, type)}
    modes = [(model, "validation") for model in taken] + [(model, "serialization") for model in given | {Problem}]
    schemas, definitions = models_json_schema(
        sorted(modes, key=lambda pair: (pair[0].__name__, pair[1])),  # type: ignore[arg-type]  # it wants a Literal
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _described(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1.0"},
        **({"servers": [{"url": url}]} if url else {}),
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
        "paths": paths,
    }


def _described(one: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    def content(kinds: Mapping[str, _Content], mode: str) -> dict[str, Any]:
        return {
            kind: {"schema": schemas[what, mode] if isinstance(what, type) else what} for kind, what in kinds.items()
        }

    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PART.findall(one.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in one.query.items()]
    parameters += [{"name": name, "in": "header", "schema": schema} for name, schema in one.headers.items()]
    answer: dict[str, Any] = {"description": "Done"}
    if results := ({JSON: one.result} if one.result else {}) | dict(one.results):
        answer["content"] = content(results, "serialization")
    refusal = {"description": "What went wrong", "content": content({PROBLEM: Problem}, "serialization")}
    described: dict[str, Any] = {
        "summary": one.summary,
        "operationId": f"{one.method.lower()}_{_UNNAMED.sub('_', one.path).strip('_')}",
        "parameters": parameters,
        "responses": {str(one.status): answer, "default": refusal},
    }
    if bodies := ({JSON: one.body} if one.body else {}) | dict(one.bodies):
        described["requestBody"] = {"required": True, "content": content(bodies, "validation")}
    return described
