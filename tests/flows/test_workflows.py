"""Workflows one after another: what each pattern does, what it does when a member fails, and over a crash."""

import contextlib

import pytest

from crashes import Died
from flow_runs import FlowRuns, prove
from nbagora_lab.core.errors import AgentChanged, FlowFailed, GateClosed, LimitReached, TaskFailed, UsageError
from nbagora_lab.flows import Limits, chain, escalate, evaluate, gate, person, route


@pytest.fixture
def runs(tmp_path):
    with FlowRuns(tmp_path) as runs:
        yield runs


def fails(why="closed"):
    def fail(value):
        raise RuntimeError(why)

    return fail


# -- chain -------------------------------------------------------------------------------------------------------------


def outline_and_write(team, *, good=True):
    outline = team.member("outline", lambda text: {"parts": [text, "酒店"]})
    enough = team.member("enough", lambda value: good or "too short")
    return lambda: chain("北京", outline, gate(enough), team.agent("write", lambda value: f"wrote {value['parts']}"))


def test_each_stage_works_on_what_the_one_before_it_gave(runs):
    assert runs.run(outline_and_write(runs.team)) == "wrote ['北京', '酒店']"
    steps = runs.steps()
    assert list(steps) == ["chain", "chain/outline", "chain/enough", "chain/write"]
    assert steps["chain/write"].input == {"parts": ["北京", "酒店"]}
    assert steps["chain"].output == "wrote ['北京', '酒店']"


def test_a_closed_gate_stops_the_chain_and_says_why(runs):
    with pytest.raises(GateClosed, match="the gate 'enough' stopped the chain: too short"):
        runs.run(outline_and_write(runs.team, good=False))
    assert "chain/write" not in runs.steps()


def test_a_gate_has_it_mended_and_checks_again(runs):
    draft = runs.team.member("draft", len)
    big = runs.team.member("big", lambda value: value > 3)
    grow = runs.team.member("grow", lambda asked: asked["value"] + 1)
    assert runs.run(lambda: chain("ab", draft, gate(big, repair=grow, tries=2))) == 4
    assert [step.input for step in runs.steps().values() if step.name == "grow"] == [
        {"value": 2, "why": "it was not good enough"},
        {"value": 3, "why": "it was not good enough"},
    ]


def test_a_gate_that_stays_closed_after_its_tries_stops_the_chain(runs):
    never = runs.team.member("never", lambda value: False)
    same = runs.team.member("same", lambda asked: asked["value"])
    with pytest.raises(GateClosed):
        runs.run(lambda: chain("x", gate(never, repair=same, tries=2)))
    assert len(runs.team.asked) == 5


def test_a_person_can_be_the_gate(tmp_path):
    with FlowRuns(tmp_path, answers=lambda question, _: "yes" if "Beijing" in question else "no way") as runs:
        same = runs.team.member("same", lambda value: value)
        assert runs.run(lambda: chain("Beijing", same, gate(person("boss")))) == "Beijing"
        with pytest.raises(GateClosed, match="no way"):
            runs.anew().run(lambda: chain("Rome", same, gate(person("boss"))))


def test_a_chain_of_nothing_gives_what_it_was_asked(runs):
    assert runs.run(lambda: chain({"a": (1, 2)})) == {"a": [1, 2]}


# -- route and escalate ------------------------------------------------------------------------------------------------


def router(team, kind, *, otherwise=True):
    classify = team.member("classify", kind if callable(kind) else lambda text: kind)
    to = {"退款": team.member("refunds", lambda text: "refunded"), "tech": team.agent("tech", fails("no power"))}
    spare = team.member("clerk", lambda text: f"clerk: {text}") if otherwise else None
    return lambda: route("help", classify, to, otherwise=spare)


def test_a_question_goes_to_the_one_for_its_kind(runs):
    assert runs.run(router(runs.team, "退款")) == "refunded"
    assert runs.steps()["route/refunds"].about["route"] == "退款"


@pytest.mark.parametrize("kind", ["weather", 3, fails("unsure"), {"kind": "tech"}])
def test_an_unknown_kind_goes_to_who_answers_otherwise(runs, kind):
    assert runs.run(router(runs.team, kind)) == "clerk: help"
    assert runs.steps()["route/clerk"].about["because"]


def test_without_an_otherwise_an_unknown_kind_fails_and_names_the_routes(runs):
    with pytest.raises(FlowFailed, match="'classify' says weather, and the routes are 退款, tech"):
        runs.run(router(runs.team, "weather", otherwise=False))


def test_who_fails_is_stood_in_for(runs):
    def flow(team, **options):
        down = team.agent("down", lambda value: RuntimeError("no power"))
        return lambda: route("x", team.member("classify", lambda text: "tech"), {"tech": down}, **options)

    assert runs.run(flow(runs.team, otherwise=runs.team.member("clerk", lambda text: "clerk"))) == "clerk"
    with pytest.raises(TaskFailed, match="no power"):
        runs.anew().run(flow(runs.team))


def test_the_cheap_one_first_then_the_one_that_is_sure(runs):
    team = runs.team
    small = team.member("small", lambda text: "dunno")
    large = team.member("large", lambda text: "42")
    sure = team.member("sure", lambda asked: asked["answer"] != "dunno" or "it does not know")
    assert runs.run(lambda: escalate("q", small, large, until=sure)) == "42"
    assert runs.steps()["escalate/large"].about["because"] == "it does not know"
    assert runs.anew().run(lambda: escalate("q", large, small, until=sure)) == "42"
    assert "escalate/small" not in runs.steps()


def test_all_of_a_ladder_may_fail(runs):
    bad = runs.team.member("bad", fails())
    with pytest.raises(FlowFailed, match=r"every member failed; the last one: .*closed"):
        runs.run(lambda: escalate("q", bad, bad))
    with pytest.raises(UsageError):
        runs.run(lambda: escalate("q"))


# -- evaluate ----------------------------------------------------------------------------------------------------------


def writer_and_judge(team, good, **options):
    write = team.member("write", lambda text: "draft 1" if text == "trip" else f"{text['draft']}, {text['feedback']}")
    judge = team.member("judge", good)
    return lambda: evaluate("trip", write, judge, **options)


def test_it_is_written_again_until_it_passes(runs):
    flow = writer_and_judge(runs.team, lambda asked: asked["draft"].count("shorter") == 2 or "shorter")
    assert runs.run(flow) == "draft 1, shorter, shorter"


def test_the_rounds_are_bounded_and_the_best_draft_is_given(runs):
    def judge(asked):
        return {"pass": False, "score": -asked["draft"].count("more"), "feedback": "more"}

    assert runs.run(writer_and_judge(runs.team, judge, rounds=3)) == "draft 1"
    assert [step.name for step in runs.steps().values()].count("judge") == 3
    runs.anew()
    with pytest.raises(FlowFailed, match="no draft passed in 2 rounds; the last feedback: more"):
        runs.run(writer_and_judge(runs.team, judge, rounds=2, strict=True))
    with pytest.raises(UsageError):
        runs.run(writer_and_judge(runs.team, judge, rounds=0))


def test_an_agent_that_judges_is_asked_in_text(runs):
    judge = runs.team.agent("judge", lambda text: "" if text == "task: trip\n\ndraft: draft 1" else "no")
    write = runs.team.member("write", lambda text: "draft 1")
    assert runs.run(lambda: evaluate("trip", write, judge)) == "draft 1"


# -- crashes -----------------------------------------------------------------------------------------------------------


def service(team):
    def work():
        return route(
            "退款",
            team.member("classify", lambda text: text, again=False),
            {"退款": team.member("refund", lambda text: {"refunded": True}, again=False)},
        )

    return work


def ladder(team):
    return lambda: escalate(
        "q",
        team.member("small", fails()),
        team.member("middle", lambda text: "?"),
        team.agent("large", lambda text: "42"),
        until=team.member("sure", lambda asked: asked["answer"] != "?"),
    )


def improving(team):
    return writer_and_judge(team, lambda asked: asked["draft"].count("shorter") == 2 or "shorter")


@pytest.mark.parametrize("build", [outline_and_write, service, ladder, improving])
def test_a_crash_behind_any_record_changes_nothing(tmp_path, build):
    prove(tmp_path, build)


def test_a_flow_that_fails_fails_the_same_way_over_a_crash(tmp_path):
    prove(tmp_path, lambda team: outline_and_write(team, good=False))
    prove(tmp_path / "limited", lambda team: limited(outline_and_write(team)))


def limited(flow):
    async def run():
        async with Limits(steps=2):
            return await flow()

    return run


def test_limits_end_a_chain(runs):
    with pytest.raises(LimitReached, match="the flow's limit of 2 steps is reached, after 2 steps"):
        runs.run(limited(outline_and_write(runs.team)))
    assert runs.team.asked == ["chain/outline", "chain/enough"]


def test_code_that_asks_something_else_after_a_crash_is_refused(runs):
    same = runs.team.member("same", lambda value: value)
    with contextlib.suppress(Died):
        runs.run(lambda: chain("北京", same, same), after=3)
    with pytest.raises(AgentChanged, match=r'the step .chain. was asked "北京" before the crash, and "Rome" now'):
        runs.run(lambda: chain("Rome", same, same))
