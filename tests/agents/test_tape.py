"""Recordings: what is the same request, what is told where one is missing, and what never gets onto a tape."""

import asyncio
import json

import pytest
from pydantic_ai import Agent

from nbagora_lab.agents.models import call, choose, function, kind_of, scripted, tape
from nbagora_lab.core.errors import NotRecorded, UsageError


def look(city: str) -> str:
    return f"sunny in {city}, token sk-0123456789abcdefghij"


def agent(model, instructions="Look."):
    return Agent(model, tools=[look], instructions=instructions)


def run(model, prompt="x", **options):
    return asyncio.run(agent(model, **options).run(prompt)).output


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "trip.tape.json"
    assert run(tape(path, record=scripted(call("look", city="北京"), "晴"))) == "晴"
    return path


def test_a_tape_answers_as_it_was_recorded_any_number_of_times(path):
    assert [run(tape(path)) for _ in range(2)] == ["晴", "晴"]
    assert kind_of(tape(path)) == "tape"


def test_a_tape_reads_well_and_holds_no_secret(path):
    text = path.read_text(encoding="utf-8")
    assert '"user": "x"' in text
    assert "晴" in text
    assert "sk-0123" not in text
    assert "<secret>" in text
    first, second = json.loads(text)["recordings"]
    assert first["asked"]["conversation"] == [{"user": "x"}]
    assert second["asked"]["conversation"][1:] == [
        {"call": "look", "with": {"city": "北京"}},
        {"tool": "look", "gave": "sunny in 北京, token <secret>"},
    ]
    assert "timestamp" not in text


def test_secrets_under_telling_names_are_left_out_too(tmp_path):
    path = tmp_path / "t.json"

    def log_in(password: str) -> dict[str, str]:
        return {"api_key": "abc", "name": "me"}

    model = tape(path, record=scripted(call("log_in", password="hunter2"), "in"))
    asyncio.run(Agent(model, tools=[log_in]).run("Bearer abcdefghijkl"))
    text = path.read_text(encoding="utf-8")
    assert not {"hunter2", '"abc"', "abcdefghijkl"} & {
        word for word in ("hunter2", '"abc"', "abcdefghijkl") if word in text
    }
    assert '"name": "me"' in text


def test_a_miss_names_the_nearest_recording_and_the_first_difference(path):
    with pytest.raises(NotRecorded, match=r'number 1, where message 1 was \{"user": "x"\} and is now \{"user": "y"\}'):
        run(tape(path), "y")
    with pytest.raises(NotRecorded, match=r'the instructions was "Look\." and is now "Look well\."'):
        run(tape(path), instructions="Look well.")


def test_a_changed_tool_is_a_miss(path):
    def look(town: str) -> str:
        return town

    with pytest.raises(NotRecorded, match="the tool 'look' was another schema and is now another schema"):
        asyncio.run(Agent(tape(path), tools=[look], instructions="Look.").run("x"))


def test_recording_goes_on_where_the_tape_ends(path):
    asked = []

    def answer(messages, info):
        asked.append(1)
        return "new"

    assert run(tape(path, record=function(answer)), "y") == "new"
    assert run(tape(path, record=function(answer)), "y") == "new"
    assert asked == [1]
    assert run(tape(path)) == "晴"


def test_it_streams_as_the_model_would(path):
    async def words():
        async with agent(tape(path)).run_stream("x") as result:
            return [text async for text in result.stream_text(delta=True, debounce_by=None)]

    assert "".join(asyncio.run(words())) == "晴"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"tape": 1}', '{"tape": 1, "recordings": [{"asked": {}, "answer": 7}]}']
)
def test_a_corrupt_tape_is_refused_and_left_as_it_is(tmp_path, text):
    path = tmp_path / "t.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="is no tape"):
        tape(path)
    assert path.read_text(encoding="utf-8") == text


def test_a_tape_of_a_later_format_is_refused(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{"tape": 2, "recordings": []}', encoding="utf-8")
    with pytest.raises(UsageError, match="has format 2, not 1"):
        tape(path)


def test_a_tape_that_is_not_there_is_an_error_unless_it_is_to_be_recorded(tmp_path):
    with pytest.raises(UsageError, match="there is no tape"):
        choose(f"tape:{tmp_path}/none.json")
    assert kind_of(choose(f"record:{tmp_path}/none.json:rules")) == "record:rules"


@pytest.mark.parametrize("name", ["tape", "live", "record", "record:x", "magic", "rule"])
def test_names_that_say_too_little_are_errors_of_two_lines(name):
    with pytest.raises(UsageError) as error:
        choose(name)
    assert error.value.hint


@pytest.mark.parametrize("name", [None, "", "none"])
def test_no_model_is_no_model(name):
    assert choose(name) is None
