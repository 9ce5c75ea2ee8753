from __future__ import annotations

from typing import Any

from pydantic import BaseModel, field_validator

from nbagora_lab.core.openapi import Operation, document


class Point(BaseModel):
    x: int = 0

    @field_validator("x", mode="before")
    @classmethod
    def _x(cls, x: Any) -> Any:
        return x


class Line(BaseModel):
    points: list[Point]


OPERATIONS = [
    Operation(method="GET", path="/lines/{name}", summary="A line", result=Line, query={"at": {"type": "integer"}}),
    Operation(
        method="POST",
        path="/lines/{name}",
        summary="Another",
        body=Line,
        bodies={"text/plain": {"type": "string"}},
        results={"text/event-stream": {"type": "string"}},
        headers={"last-event-id": {"type": "string"}},
        status=201,
    ),
    Operation(method="DELETE", path="/lines/{name}/{part}", summary="None", status=204),
]


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(references, part.values()))
    return set().union(*map(references, part)) if isinstance(part, list) else set()


def test_the_document_has_every_operation_with_what_it_takes_and_gives() -> None:
    made = document("lines", OPERATIONS, url="http://127.0.0.1:1")
    assert made["servers"] == [{"url": "http://127.0.0.1:1"}]
    get, post = made["paths"]["/lines/{name}"]["get"], made["paths"]["/lines/{name}"]["post"]
    assert [(one["name"], one["in"]) for one in get["parameters"]] == [("name", "path"), ("at", "query")]
    assert [(one["name"], one["in"]) for one in post["parameters"]] == [("name", "path"), ("last-event-id", "header")]
    assert post["requestBody"]["content"].keys() == {"application/json", "text/plain"}
    assert post["responses"]["201"]["content"].keys() == {"text/event-stream"}
    assert "requestBody" not in get
    delete = made["paths"]["/lines/{name}/{part}"]["delete"]
    assert delete["operationId"] == "delete_lines_name_part"
    assert delete["responses"]["204"] == {"description": "Done"}


def test_every_reference_leads_to_a_schema() -> None:
    made = document("lines", OPERATIONS)
    found = references(made)
    assert len(found) >= 3
    assert {one.removeprefix("#/components/schemas/") for one in found} <= made["components"]["schemas"].keys()
    assert "application/problem+json" in made["paths"]["/lines/{name}"]["get"]["responses"]["default"]["content"]
