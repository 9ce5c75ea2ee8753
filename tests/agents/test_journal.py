"""The journal: what is recorded of a step, and what a process that goes on does with what it finds."""

import asyncio
import contextlib
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from crashes import Crashes, Died
from nbagora_lab.core.errors import AgentChanged, AgentNotFound, BadYield, GivenUp, StepFailed
from nbagora_lab.core.events import Flags, RecordType
from nbagora_lab.inspect.steps import STEP_TYPES, read_steps

FLOW = RecordType.FLOW_STEP


@pytest.fixture
def crashes(tmp_path):
    crashes = Crashes(tmp_path)
    yield crashes
    crashes.close()


def step_records(crashes):
    return [(one.type, json.loads(one.body)) for one in crashes.records() if one.type in STEP_TYPES]


async def value_of(value):
    return value


# -- records -----------------------------------------------------------------------------------------------------------


def test_a_step_is_an_intent_before_and_a_result_after(crashes):
    seen = []

    async def body(journal):
        async def find():
            seen.append(len(step_records(crashes)))
            return ("G1", "G3")

        return await journal.step(
            RecordType.STEP_TOOL, "find_trains", find, input={"to": "北京"}, about={"model": "rules"}
        )

    assert crashes.run(body) == ["G1", "G3"]
    assert seen == [1]
    head = {"step": "find_trains", "parent": "", "name": "find_trains"}
    assert step_records(crashes) == [
        ("agent.step.tool", head | {"phase": "intent", "input": {"to": "北京"}, "model": "rules"}),
        ("agent.step.tool", head | {"phase": "result", "output": ["G1", "G3"]}),
    ]


def test_paths_are_made_of_the_steps_around_and_counted(crashes):
    async def body(journal):
        async def inner():
            await journal.step(FLOW, "model", lambda: value_of(1))
            await journal.step(FLOW, "model", lambda: value_of(2), key="second")
            return await journal.step(FLOW, "model", lambda: value_of(3))

        await journal.step(FLOW, "plan", inner)
        await journal.step(FLOW, "plan", inner)

    crashes.run(body)
    steps = list(read_steps(crashes._log, crashes.live.topic))
    assert [(step.key, step.parent, step.output) for step in steps] == [
        ("plan", "", 3),
        ("plan/model", "plan", 1),
        ("plan/second", "plan", 2),
        ("plan/model.2", "plan", 3),
        ("plan.2", "", 3),
        ("plan.2/model", "plan.2", 1),
        ("plan.2/second", "plan.2", 2),
        ("plan.2/model.2", "plan.2", 3),
    ]


def test_steps_beside_one_another_know_their_own_parents(crashes):
    async def body(journal):
        async def branch(number):
            async def work():
                await asyncio.sleep(0)
                return await journal.step(FLOW, "inner", lambda: value_of(number))

            return await journal.step(FLOW, "branch", work, key=f"branch {number}")

        return await asyncio.gather(*(branch(number) for number in range(10)))

    assert crashes.run(body) == list(range(10))
    steps = {step.key: step for step in read_steps(crashes._log, crashes.live.topic)}
    assert {steps[f"branch {n}/inner"].output for n in range(10)} == set(range(10))
    assert all(steps[f"branch {n}/inner"].parent == f"branch {n}" for n in range(10))


class Train(BaseModel):
    number: str
    price: float


def test_a_typed_result_is_what_it_was_also_when_it_is_read(crashes):
    calls = []

    async def body(journal):
        async def find():
            calls.append(1)
            return [Train(number="G1", price=553.0)]

        return await journal.step(FLOW, "find", find, returns=list[Train])

    assert crashes.run(body) == crashes.run(body) == [Train(number="G1", price=553.0)]
    assert calls == [1]


def test_a_large_result_is_stored_apart_and_read_back(crashes):
    large = "北" * (1 << 20)

    async def body(journal):
        return await journal.step(FLOW, "fetch", lambda: value_of(large))

    assert crashes.run(body) == large
    assert [bool(one.flags & Flags.REFERENCE) for one in crashes.records() if one.type == FLOW] == [False, True]
    assert crashes.run(lambda journal: journal.step(FLOW, "fetch", lambda: value_of("other"))) == large


def test_what_can_not_be_recorded_is_said_and_the_step_fails(crashes):
    async def body(journal):
        await journal.step(FLOW, "odd", lambda: value_of(object()))

    with pytest.raises(BadYield, match="object can't be recorded"):
        crashes.run(body)
    assert [body["phase"] for _, body in step_records(crashes)] == ["intent", "error"]


class _OwnError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (AgentNotFound("no agent 'x'", "look"), AgentNotFound),
        (ValueError("bad"), ValueError),
        (_OwnError("mine"), StepFailed),
    ],
)
def test_an_error_is_recorded_and_raised_again_without_a_call(crashes, error, raised):
    calls = []

    async def body(journal):
        async def fail():
            calls.append(1)
            raise error

        await journal.step(FLOW, "fail", fail)

    for _ in range(2):
        with pytest.raises(raised, match=str(error).partition("\n")[0]) as caught:
            crashes.run(body)
        assert getattr(caught.value, "hint", "") == getattr(error, "hint", "")
    assert calls == [1]


# -- going on ----------------------------------------------------------------------------------------------------------


def trip(done):
    """A run of nested steps and a question; `done` gets the path of each effect."""

    async def effect(path, value):
        done.append(path)
        return value

    async def body(journal):
        async def plan():
            trains = await journal.step(FLOW, "trains", lambda: effect("plan/trains", ["G1"]), idempotent=True)
            hotels = await journal.step(FLOW, "hotels", lambda: effect("plan/hotels", ["Jade"]), idempotent=True)
            return trains + hotels

        planned = await journal.step(FLOW, "plan", plan, idempotent=True)
        said = await journal.ask("Shall I book?")
        booked = await journal.step(FLOW, "book", lambda: effect("book", said.text), idempotent=True)
        return [*planned, booked]

    return body


def finished(crashes):
    return {step.key: step.output for step in read_steps(crashes._log, "sessions/ctx") if step.state == "done"}


def test_after_a_crash_behind_any_record_the_run_ends_as_if_there_had_been_none(tmp_path):
    whole = Crashes(tmp_path / "whole")
    wanted = whole.run(trip([]))
    steps, asked = finished(whole), len(whole.questions)
    whole.close()
    crashed = 0
    for after in itertools.count():
        crashes = Crashes(tmp_path / str(after))
        try:
            crashes.run(trip([]), after=after)
        except Died:
            crashed += 1
        else:
            crashes.close()
            break
        before, done = finished(crashes), []
        assert crashes.run(trip(done)) == wanted
        assert {key: value for key, value in finished(crashes).items() if key != "ask"} == {
            key: value for key, value in steps.items() if key != "ask"
        }
        assert not set(done) & set(before)
        assert len(crashes.questions) <= asked + 1  # one that nobody could see is asked again
        crashes.close()
    assert crashed == 13  # five steps of two records, the question, its answer, and that work goes on


@settings(max_examples=12, deadline=None)
@given(deaths=st.lists(st.integers(0, 12), max_size=4))
def test_however_often_it_crashes_no_finished_step_is_repeated(tmp_path_factory, deaths):
    crashes = Crashes(tmp_path_factory.mktemp("store"))
    for after in deaths:
        before, done = finished(crashes), []
        with contextlib.suppress(Died):
            crashes.run(trip(done), after=after)
        assert not set(done) & set(before)
    assert crashes.run(trip([])) == ["G1", "Jade", "yes"]
    crashes.close()


def test_an_answer_that_came_while_no_process_ran_is_taken(crashes):
    async def body(journal):
        return (await journal.ask("Which day?")).text

    # intent, INPUT_REQUIRED, the answer with SUBMITTED; then the process dies before WORKING
    with pytest.raises(Died):
        crashes.run(body, after=3)
    assert crashes.run(body) == "yes"
    assert crashes.questions == ["Which day?"]


# -- unknown outcomes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "outcome", "calls"),
    [('done: {"room": 7}', {"room": 7}, 1), ("Done: room 7", "room 7", 1), ("do it", {"room": 1}, 2)],
)
def test_of_an_unknown_outcome_the_user_decides(tmp_path, answer, outcome, calls):
    asked = []
    crashes = Crashes(tmp_path, lambda question, metadata: asked.append((question, metadata)) or answer)
    made = []

    async def book():
        made.append(1)
        return {"room": 1}

    async def body(journal):
        return await journal.step(FLOW, "book", book, input={"hotel": "Jade"})

    with pytest.raises(Died):
        crashes.run(body, after=1)
    assert made == [1]
    assert crashes.run(body) == outcome
    assert len(made) == calls
    [(question, metadata)] = asked
    assert "'book'" in question
    assert '{"hotel": "Jade"}' in question
    assert metadata == {"choices": ["done", "do it", "give up"], "step": "book", "input": {"hotel": "Jade"}}
    assert crashes.run(body) == outcome  # the decision is on record
    assert len(asked) == 1
    crashes.close()


def test_a_step_that_is_given_up_ends_the_run_each_time(tmp_path):
    crashes = Crashes(tmp_path, lambda question, metadata: "give up")

    async def body(journal):
        await journal.step(FLOW, "book", lambda: value_of(1))

    with pytest.raises(Died):
        crashes.run(body, after=1)
    for _ in range(2):
        with pytest.raises(GivenUp):
            crashes.run(body)
    assert len(crashes.questions) == 1
    crashes.close()


def test_an_answer_that_is_none_of_the_choices_is_asked_again(tmp_path):
    answers = iter(["hm", "do it"])
    crashes = Crashes(tmp_path, lambda question, metadata: next(answers))

    async def body(journal):
        return await journal.step(FLOW, "book", lambda: value_of(1))

    with pytest.raises(Died):
        crashes.run(body, after=1)
    assert crashes.run(body) == 1
    assert len(crashes.questions) == 2
    crashes.close()


def test_two_unknown_outcomes_beside_one_another_are_asked_one_after_the_other(tmp_path):
    crashes = Crashes(tmp_path, lambda question, metadata: "do it")

    async def body(journal):
        async def slow():
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return 1

        return await asyncio.gather(*(journal.step(FLOW, "book", slow, key=f"book {n}") for n in range(3)))

    with pytest.raises(Died):
        crashes.run(body, after=3)
    assert crashes.run(body) == [1, 1, 1]
    assert len(crashes.questions) == 3
    crashes.close()


# -- fingerprints ------------------------------------------------------------------------------------------------------


def test_a_changed_agent_is_refused_with_what_changed(crashes):
    before = {"instructions": "Plan.", "model": "rules", "tools": {"find": "a1", "book": "b1"}}
    after = {"instructions": "Plan well.", "model": "rules", "tools": {"find": "a2", "pay": "c1"}}

    async def begin(journal, *fingerprints):
        for fingerprint in fingerprints:
            journal.begin("trip", fingerprint)
            await journal.step(FLOW, "plan", lambda: value_of(1))

    namesake = {"instructions": "Book.", "model": "rules", "tools": {}}
    crashes.run(lambda journal: begin(journal, namesake, before, before))
    crashes.run(lambda journal: begin(journal, before, namesake))
    told = [json.loads(one.body).get("agents") for one in crashes.records() if one.type == FLOW]
    assert [one for one in told if one] == [[{"agent": "trip", "is": namesake}], [{"agent": "trip", "is": before}]]
    with pytest.raises(AgentChanged) as refused:
        crashes.run(lambda journal: begin(journal, after))
    assert '"Plan." , is' not in refused.value.what
    for told in ('instructions was "Plan.", is "Plan well."', "'pay' is new", "'book' is gone", "'find' was"):
        assert told in refused.value.what


def test_another_version_of_a_prompt_is_refused_and_the_same_one_goes_on(crashes):
    async def plan(journal, version):
        journal._live.use_prompt("weekend", version)
        await journal.step(FLOW, "plan", lambda: value_of(1), idempotent=True)
        journal._live.use_prompt("late", version)
        return await journal.step(FLOW, "write", lambda: value_of(2), idempotent=True)

    with contextlib.suppress(Died):
        crashes.run(lambda journal: plan(journal, "0.0.1"), after=2)
    with pytest.raises(AgentChanged, match=r"the prompt 'weekend' has changed .*: version 0\.0\.1, now 0\.0\.2"):
        crashes.run(lambda journal: plan(journal, "0.0.2"))
    assert crashes.run(lambda journal: plan(journal, "0.0.1")) == 2


# -- what it took ------------------------------------------------------------------------------------------------------


async def _spending(journal):
    for number in range(1, 4):
        await journal.step(
            RecordType.STEP_MODEL,
            "model",
            lambda: value_of("said"),
            idempotent=True,
            tell=lambda _, number=number: {"usage": {"input_tokens": number, "output_tokens": 10}, "cost": 0.25},
        )
    await journal.step(
        FLOW,
        "hotels",
        lambda: value_of(1),
        idempotent=True,
        about={"member": "agent"},
        tell=lambda _: {"usage": {"input_tokens": 100}},
    )
    await journal.step(
        FLOW, "flow", lambda: value_of(1), idempotent=True, tell=lambda _: {"usage": {"input_tokens": 7}}
    )
    return journal.spent()


SPENT = {"usage": {"input_tokens": 106, "output_tokens": 30}, "cost": 0.75}


def test_what_was_spent_is_counted_as_it_comes_and_the_topic_is_not_read_for_it(crashes):
    async def body(journal):
        journal._log = journal._fold = None  # a read would fail
        journal.__class__ = type("Unread", (type(journal),), {"steps": {}})
        return await _spending(journal)

    assert crashes.run(body) == SPENT


@pytest.mark.parametrize("after", range(11))
def test_what_was_spent_before_a_crash_counts_once(crashes, after):
    with contextlib.suppress(Died):
        crashes.run(_spending, after=after)
    assert crashes.run(_spending) == SPENT
