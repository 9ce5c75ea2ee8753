"""Spans from records: what a task and those that it called did, as OpenTelemetry knows it.

Nothing is measured for them: a span is the pair of records that a step is, its ids are made of theirs, so the same
records give the same spans, today and in a year. Names and attributes are those of the semantic conventions for
generative AI (github.com/open-telemetry/semantic-conventions-genai), whose every item is in development: the ones used
are pinned in `ATTRIBUTES`. What is nbagora's own has a prefix of its own. Inputs and outputs are left out unless asked
for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from nbagora_lab.inspect.lanesview import StepRow

__all__ = ["ATTRIBUTES", "otlp", "spans_of"]

ATTRIBUTES = (
    "error.type",
    "gen_ai.agent.name",
    "gen_ai.conversation.id",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.tool.name",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "nbagora.cost",
    "nbagora.offset",
    "nbagora.pattern",
    "nbagora.topic",
)
"""Every attribute that a span may have, but for content."""

_OPERATIONS = {"task": "invoke_agent", "flow": "invoke_workflow", "model": "chat", "tool": "execute_tool"}


def _span_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def spans_of(rows: Sequence[StepRow], trace: str, *, content: bool = False) -> list[dict[str, Any]]:
    """Spans of the steps of a task and of those that it called.

    Args:
        rows: The steps, as `LanesInspector.steps` gives them.
        trace: The trace id, 32 hexadecimal digits.
        content: Whether what was asked and what came of it is told, in short.

    Returns:
        For each step ``{"name", "trace_id", "span_id", "parent_id", "start", "end", "status", "attributes"}``; times
        in seconds since the Unix epoch, ``end`` is None while it runs.
    """
    return [_span(row, trace, content=content) for row in rows]


def _span(row: StepRow, trace: str, *, content: bool) -> dict[str, Any]:
    operation = _OPERATIONS[row.kind]
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.agent.name": row.lane,
        "gen_ai.conversation.id": row.topic.partition("/")[2],
        "nbagora.topic": row.topic,
        "nbagora.offset": row.offset,
    }
    if row.kind == "model":
        attributes |= {"gen_ai.provider.name": "nbagora", "gen_ai.request.model": row.model}
        attributes |= {"gen_ai.usage.input_tokens": row.input_tokens, "gen_ai.usage.output_tokens": row.output_tokens}
    if row.kind == "tool":
        attributes["gen_ai.tool.name"] = row.name
    if row.pattern:
        attributes["nbagora.pattern"] = row.pattern
    if row.cost is not None:
        attributes["nbagora.cost"] = row.cost
    if row.state == "failed":
        attributes["error.type"] = "failed"
    if content:
        attributes |= {"gen_ai.input.messages": row.input, "gen_ai.output.messages": row.output}
    said = {"model": f"chat {row.model}", "tool": f"execute_tool {row.name}"}
    return {
        "name": said.get(row.kind, f"{operation} {row.name}"),
        "trace_id": trace,
        "span_id": _span_id(row.id),
        "parent_id": _span_id(row.parent) if row.parent else "",
        "start": row.began_at,
        "end": None if row.seconds is None else row.began_at + row.seconds,
        "status": "ERROR" if row.state == "failed" else "OK" if row.state == "done" else "UNSET",
        "attributes": attributes,
    }


def otlp(spans: Sequence[Mapping[str, Any]], *, service: str = "nbagora") -> dict[str, Any]:
    """Spans as OTLP's JSON, to be posted to a collector's ``/v1/traces``; those that still run are left out."""
    told = [
        {
            "traceId": span["trace_id"],
            "spanId": span["span_id"],
            "parentSpanId": span["parent_id"],
            "name": span["name"],
            "kind": 1,
            "startTimeUnixNano": str(round(span["start"] * 1e9)),
            "endTimeUnixNano": str(round(span["end"] * 1e9)),
            "status": {"code": {"UNSET": 0, "OK": 1, "ERROR": 2}[span["status"]]},
            "attributes": [{"key": key, "value": _value(value)} for key, value in span["attributes"].items()],
        }
        for span in spans
        if span["end"] is not None
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    scope = {"scope": {"name": "nbagora"}, "spans": told}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}
