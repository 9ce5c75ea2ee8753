"""Handoff: who answers, what each is meant to see, and what happens when it goes round, or nowhere."""

import pytest

from flow_runs import FlowRuns, prove
from nbagora_lab.core.errors import FlowFailed, UsageError
from nbagora_lab.flows import hand_to, handoff, last_turns


@pytest.fixture
def runs(tmp_path):
    with FlowRuns(tmp_path) as runs:
        yield runs


def desk(team, **options):
    """A front desk, refunds, and a technician who is another lab's."""
    front = team.member(
        "front", lambda asked: hand_to("tech" if "坏" in asked["task"] else "refunds", "not mine", "你好")
    )
    refunds = team.member("refunds", lambda asked: f"refunded after {len(asked['turns'])} turns")
    tech = team.agent("tech", lambda text: f"seen: {text}")
    among = {"front": front, "refunds": refunds, "tech": tech}
    return lambda question="退款": handoff(question, "front", among, **options)


def test_one_passes_it_on_and_the_other_answers(runs):
    assert runs.run(desk(runs.team)) == "refunded after 2 turns"
    asked = runs.steps()["handoff/refunds"].input
    assert asked["turns"] == [
        {"author": "user", "text": "退款"},
        {"author": "front", "text": "你好", "to": "refunds", "why": "not mine"},
    ]
    assert asked["others"] == ["front", "tech"]


def test_an_agent_sees_a_transcript_with_authors(runs):
    flow = desk(runs.team)
    said = runs.run(lambda: flow("坏了"))
    assert said.startswith("seen: user: 坏了\nfront: 你好 [passes it on to tech: not mine]")


def test_what_the_next_one_sees_is_filtered(runs):
    def only_the_question(turns, to):
        return [] if to == "front" else turns[:1]

    assert runs.run(desk(runs.team, keep=only_the_question)) == "refunded after 1 turns"


def test_the_last_turns_keep_the_question():
    turns = [{"author": "a", "text": str(n)} for n in range(20)]
    assert [turn["text"] for turn in last_turns(2)(turns, "b")] == ["0", "18", "19"]
    assert last_turns(0)(turns, "b") == turns[:1]


def ping_pong(team, **options):
    among = {"a": team.member("a", lambda asked: hand_to("b")), "b": team.member("b", lambda asked: hand_to("a"))}
    return lambda: handoff("x", "a", among, **options)


def test_going_round_and_round_is_ended(runs):
    with pytest.raises(FlowFailed, match="nobody answered: it was passed on 4 times"):
        runs.run(ping_pong(runs.team, at_most=4))
    assert len(runs.team.asked) == 5


def test_somebody_answers_otherwise(runs):
    spare = runs.team.member("clerk", lambda asked: f"{len(asked['turns'])} turns, sorry")
    assert runs.run(ping_pong(runs.team, at_most=4, otherwise=spare)) == "6 turns, sorry"
    assert runs.steps()["handoff/clerk"].about["because"] == "it was passed on 4 times"


@pytest.mark.parametrize("to", ["nobody", "a", ""])
def test_passing_it_on_to_nobody_is_ended(runs, to):
    with pytest.raises(FlowFailed, match=f"'a' passes it on to '{to}', who is not there"):
        runs.run(lambda: handoff("x", "a", {"a": runs.team.member("a", lambda asked: hand_to(to))}))


def test_one_who_dies_is_stood_in_for(runs):
    def dies(asked):
        raise RuntimeError("dead")

    clerk = runs.team.member("clerk", lambda asked: "clerk")
    flow = runs.team.member("a", dies)
    assert runs.run(lambda: handoff("x", "a", {"a": flow}, otherwise=clerk)) == "clerk"
    assert "dead" in runs.steps()["handoff/clerk"].about["because"]


def test_it_starts_with_one_of_them(runs):
    with pytest.raises(UsageError):
        runs.run(lambda: handoff("x", "nobody", {"a": runs.team.member("a", len)}))


@pytest.mark.parametrize("build", [desk, lambda team: ping_pong(team, at_most=2)], ids=["desk", "ping-pong"])
def test_a_crash_behind_any_record_changes_nothing(tmp_path, build):
    prove(tmp_path, build, every=2)
