"""Spans made of records: the same each time, one trace, and only pinned attributes."""

import json

import pytest
from pydantic_ai import Agent

from nbagora.models import call, scripted
from nbagora_lab.flows import ask, parallel
from nbagora_lab.inspect.spans import ATTRIBUTES, otlp, spans_of
from nbagora_lab.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(store=tmp_path_factory.mktemp("store"), seed=1, clock="virtual") as lab:
        yield lab


@pytest.fixture(scope="module")
def task(lab):
    def find(city: str) -> str:
        return f"hotel in {city}"

    guide = Agent(scripted(call("find", city="北京"), "The Jade."), tools=[find], name="guide")

    @lab.agent
    async def hotels(message, task):
        return await ask(guide, message)

    @lab.agent
    async def trip(message, task):
        return await parallel(message, "hotels", broken=lambda city: 1 / 0, otherwise="none")

    return lab.ask("trip", "北京")


def test_a_span_for_each_step_inside_the_one_that_it_is_part_of(lab, task):
    spans = lab.spans(task)
    names = {span["span_id"]: span["name"] for span in spans}
    assert sorted((span["name"], names.get(span["parent_id"], "")) for span in spans) == sorted(
        [
            ("invoke_agent trip", ""),
            ("invoke_workflow parallel", "invoke_agent trip"),
            ("invoke_workflow hotels", "invoke_workflow parallel"),
            ("invoke_agent hotels", "invoke_workflow hotels"),
            ("invoke_workflow guide", "invoke_agent hotels"),
            ("chat scripted", "invoke_workflow guide"),
            ("execute_tool find", "invoke_workflow guide"),
            ("chat scripted", "invoke_workflow guide"),
            ("invoke_workflow broken", "invoke_workflow parallel"),
        ]
    )
    assert len(names) == len(spans)


def test_one_trace_and_the_same_each_time(lab, task):
    spans = lab.spans(task)
    [trace] = {span["trace_id"] for span in spans}
    [record] = lab.broker.read(task.topic, limit=1)
    assert trace == record.traceparent.split("-")[1]
    assert spans == lab.spans(task)


def test_attributes_are_the_pinned_ones_and_content_only_if_asked_for(lab, task):
    spans = lab.spans(task)
    assert {name for span in spans for name in span["attributes"]} <= set(ATTRIBUTES)
    assert "Jade" not in json.dumps(spans)
    assert "Jade" in json.dumps(lab.spans(task, content=True))
    [chat, *_] = [span["attributes"] for span in spans if span["name"] == "chat scripted"]
    assert chat["gen_ai.operation.name"] == "chat"
    assert chat["gen_ai.request.model"] == "scripted"
    assert chat["gen_ai.usage.input_tokens"] > 0
    [broken] = [span for span in spans if span["name"].endswith("broken")]
    assert (broken["status"], broken["attributes"]["error.type"]) == ("ERROR", "failed")


def test_as_otlp_they_can_be_posted_and_what_runs_is_left_out(lab, task):
    spans = lab.spans(task)
    told = otlp([*spans, spans[0] | {"end": None}])
    [scope] = told["resourceSpans"][0]["scopeSpans"]
    assert len(scope["spans"]) == len(spans)
    assert all(int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"]) for span in scope["spans"])
    assert json.loads(json.dumps(told)) == told


def test_of_nothing_there_are_none():
    assert spans_of([], "0" * 32) == []
