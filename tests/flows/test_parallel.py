"""Workflows side by side: who was first doesn't matter, one that fails is told, and a crash changes nothing."""

import contextlib
import functools
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crashes import Died
from flow_runs import FlowRuns, outcome, prove
from nbagora_lab.core.errors import FlowFailed, LimitReached, UsageError
from nbagora_lab.flows import Limits, chain, each, majority, orchestrate, parallel, vote


@pytest.fixture
def runs(tmp_path):
    with FlowRuns(tmp_path) as runs:
        yield runs


def fails(value):
    raise RuntimeError("closed")


def test_all_are_asked_the_same_and_answer_by_name(runs):
    team = runs.team
    found = runs.run(
        lambda: parallel("北京", team.agent("hotels", lambda text: [text]), trains=team.member("t", lambda text: "G1"))
    )
    assert found == {"hotels": ["北京"], "trains": "G1"}
    assert [step.key for step in runs.steps().values()] == ["parallel", "parallel/hotels", "parallel/trains"]


def test_one_that_fails_fails_the_flow_once_the_others_are_done(runs):
    def flow(team, **options):
        slow = team.member("slow", lambda text: "done", waits=20)
        return lambda: parallel("x", slow, bad=team.member("bad", fails), **options)

    with pytest.raises(FlowFailed, match="1 of 2 members failed: bad: RuntimeError: closed"):
        runs.run(flow(runs.team))
    assert runs.steps()["parallel/slow"].output == "done"
    assert runs.anew().run(flow(runs.team, otherwise=None)) == {"slow": "done", "bad": None}


def test_two_of_one_name_are_refused(runs):
    same = runs.team.member("same", len)
    with pytest.raises(UsageError, match="two members called 'same'"):
        runs.run(lambda: parallel("x", same, same))


def test_ten_branches_that_end_in_any_order_are_recorded_under_the_same_paths(tmp_path):
    told, orders = [], set()
    for number, waits in enumerate(itertools.islice(itertools.permutations(range(0, 30, 3)), 0, 40_000, 10_000)):
        with FlowRuns(tmp_path / str(number)) as runs:
            branches = {
                f"b{n}": runs.team.member(f"b{n}", lambda text, n=n: f"{n}", waits=wait) for n, wait in enumerate(waits)
            }
            assert list(runs.run(functools.partial(parallel, "x", **branches)).items()) == [
                (f"b{n}", f"{n}") for n in range(10)
            ]
            told.append(list(runs.told().items()))
            orders.add(tuple(sorted(branches, key=lambda name: runs.steps()[f"parallel/{name}"].ended)))
    assert len(orders) == 4
    assert all(one == told[0] for one in told)


def test_one_member_on_many_values_so_many_at_once(runs):
    double = runs.team.member("double", lambda value: value * 2, waits=3)
    assert runs.run(lambda: each(range(12), double, at_once=3)) == [2 * n for n in range(12)]
    steps = sorted(runs.steps().values(), key=lambda step: step.began)[1:]
    spans = [(step.began, step.ended) for step in steps]
    most = max(sum(began <= at < ended for began, ended in spans) for at, _ in spans)
    assert most == 3
    with pytest.raises(UsageError):
        runs.anew().run(lambda: each([1], double, at_once=0))


def test_votes(runs):
    team = runs.team
    voters = [team.member("a", lambda text: "plane"), team.agent("b", lambda text: "train"), team.member("c", fails)]
    assert runs.run(lambda: vote("?", *voters, voters[1])) == "train"
    assert list(runs.steps()) == ["vote", "vote/a-1", "vote/b-2", "vote/c-3", "vote/b-4"]
    runs.anew()
    bad = runs.team.member("bad", fails)
    with pytest.raises(FlowFailed, match="0 of 2 voted, 2 must"):
        runs.run(lambda: vote("?", bad, bad))


def test_the_majority_is_what_most_say_and_the_first_of_those_with_as_many():
    assert majority(["b", "a", "a", "b"]) == "b"
    assert majority([{"x": 1}, "a", {"x": 1}]) == {"x": 1}


def planned(team, plan, **options):
    planner = team.member("plan", lambda text: plan)
    hands = {
        "rail": team.member("rail", lambda text: f"G-{text}"),
        "inn": team.agent("inn", lambda text: f"inn {text}"),
    }
    merge = team.member("merge", lambda asked: [one["result"] for one in asked["results"]])
    return lambda: orchestrate("trip", planner, hands, merge, **options)


def test_a_plan_is_worked_on_side_by_side_and_put_together(runs):
    plan = {"tasks": [{"to": "rail", "task": "上海"}, {"to": "inn", "task": "x"}, {"to": "rail", "task": "y"}]}
    assert runs.run(planned(runs.team, plan)) == ["G-上海", "inn x", "G-y"]
    assert set(runs.steps()) > {"orchestrate/rail-1", "orchestrate/inn-2", "orchestrate/rail-3"}


@pytest.mark.parametrize(
    ("plan", "error", "why"),
    [
        ([], FlowFailed, "planned nothing"),
        (7, FlowFailed, "planned nothing"),
        ([{"to": "nobody", "task": 1}], FlowFailed, "names the worker 'nobody'"),
        ([{"to": "rail", "task": 1}] * 21, LimitReached, "21 tasks, 20 are allowed"),
    ],
)
def test_a_plan_that_is_none_is_refused(runs, plan, error, why):
    with pytest.raises(error, match=why):
        runs.run(planned(runs.team, plan))


def test_a_plan_may_be_lines_for_one_worker(runs):
    team = runs.team
    plan = team.member("plan", lambda text: "- 订票\n\n* hotel\n")
    assert runs.run(lambda: orchestrate("x", plan, team.member("do", lambda text: text.upper()))) == [
        {"task": "订票", "result": "订票"},
        {"task": "hotel", "result": "HOTEL"},
    ]


def test_a_limit_reached_in_a_branch_ends_the_flow(runs):
    async def flow():
        async with Limits(steps=3):
            return await parallel("x", **{f"b{n}": runs.team.member(f"b{n}", len) for n in range(5)})

    with pytest.raises(LimitReached, match="limit of 3 steps"):
        runs.run(flow)
    assert len(runs.team.asked) == 3


# -- crashes -----------------------------------------------------------------------------------------------------------


def sections(team):
    return lambda: parallel(
        "x", team.member("a", len, waits=2), team.member("b", fails), c=team.agent("c", len), otherwise="none"
    )


def ballot(team):
    return lambda: vote("?", *[team.member(name, lambda text: text, waits=3 - n) for n, name in enumerate("abc")])


def plan_and_work(team):
    return planned(team, [{"to": "rail", "task": "a"}, {"to": "inn", "task": "b"}], at_once=1)


@pytest.mark.parametrize("build", [sections, ballot, plan_and_work])
def test_a_crash_behind_any_record_changes_nothing(tmp_path, build):
    prove(tmp_path, build)


# -- any flow, any crashes ---------------------------------------------------------------------------------------------

leaves = st.builds(
    lambda does, again, waits: ("leaf", does, again, waits),
    st.sampled_from(["gives", "fails"]),
    st.booleans(),
    st.integers(0, 3),
)
flows = st.recursive(
    leaves | st.just(("agent",)),
    lambda inner: st.tuples(st.sampled_from(["chain", "parallel", "vote"]), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=8,
)


def built(team, shape, name):
    """A member that does what a shape says."""
    if shape[0] == "leaf":
        _, does, again, waits = shape
        return team.member(name, fails if does == "fails" else lambda value: f"{value}.", again=again, waits=waits)
    if shape[0] == "agent":
        return team.agent(name, lambda text: f"{text}!")
    kind, inner = shape
    members = [built(team, one, f"{name}{number}") for number, one in enumerate(inner)]

    async def flow(value):
        if kind == "chain":
            return await chain(value, *members)
        if kind == "vote":
            return await vote(value, *members)
        return str(await parallel(value, *members, otherwise="none"))

    flow.__name__ = name
    flow.__nbagora_repeatable__ = True
    return flow


@pytest.mark.thorough
@settings(max_examples=60, deadline=None)
@given(shape=flows, crashes=st.lists(st.integers(0, 12), max_size=4))
def test_any_flow_over_any_crashes_ends_as_without(tmp_path_factory, shape, crashes):
    def flow(team):
        top = built(team, shape, "f")
        return lambda: chain("x", top)

    path = tmp_path_factory.mktemp("any")
    with FlowRuns(path / "whole") as whole:
        ended = outcome(whole, flow(whole.team))
        told = whole.told()
    with FlowRuns(path / "crashed") as runs:
        body = flow(runs.team)
        for after in crashes:
            _crash(runs, body, after)
        assert outcome(runs, body) == ended
        assert runs.told() == told


def _crash(runs, body, after):
    finished = {key for key, step in runs.steps().items() if step.ended >= 0}
    before = len(runs.team.asked)
    with contextlib.suppress(Died):
        outcome(runs, body, after=after)
    assert not finished & set(runs.team.asked[before:])
