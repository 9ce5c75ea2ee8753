"""Supervise: a boss that gives work to others, hears of those that fail, and can't go on for ever."""

import pytest

from flow_runs import FlowRuns, prove
from nbagora_lab.core.errors import FlowFailed
from nbagora_lab.flows import supervise


@pytest.fixture
def runs(tmp_path):
    with FlowRuns(tmp_path) as runs:
        yield runs


def trip(team, **options):
    """A boss that asks for trains, then for a hotel and a car, then answers."""

    def decide(asked):
        match len(asked["done"]):
            case 0:
                return {"ask": {"trains": asked["task"]}}
            case 1:
                return {"ask": {"hotels": "Jade", "cars": "any"}}
            case _:
                return [one["result"] for one in asked["done"]]

    def broken(request):
        raise RuntimeError("no car")

    workers = {
        "trains": team.member("trains", lambda request: f"G1 to {request}", again=False),
        "hotels": team.agent("hotels", lambda request: {"name": request}),
        "cars": team.member("cars", broken),
    }
    return lambda: supervise("北京", team.member("boss", decide), workers, **options)


def test_the_boss_asks_until_it_can_answer_and_hears_of_failures(runs):
    said = runs.run(trip(runs.team))
    assert said[:2] == ["G1 to 北京", {"name": "Jade"}]
    assert said[2].startswith("'cars' failed: ")
    assert "no car" in said[2]
    assert [path for path in runs.steps() if path.count("/") == 1] == [
        "supervise/boss",
        "supervise/trains",
        "supervise/boss.2",
        "supervise/hotels",
        "supervise/cars",
        "supervise/boss.3",
    ]


def looping(team, **options):
    worker = team.member("worker", lambda request: "same again")
    boss = team.member("boss", lambda asked: {"ask": {"worker": "x", "nobody": "y"}})
    return lambda: supervise("q", boss, {"worker": worker}, **options)


def test_a_request_that_was_made_is_not_made_again_and_the_last_one_ends_it(runs):
    with pytest.raises(FlowFailed, match="the boss has made 6 requests and does not answer"):
        runs.run(looping(runs.team, at_most=6))
    assert sum("worker" in path for path in runs.team.asked) == 1
    done = runs.steps()["supervise/boss.2"].input["done"]
    assert done[1] == {"worker": "nobody", "request": "y", "result": "there is no worker 'nobody'; there are worker"}


def test_somebody_answers_otherwise(runs):
    spare = runs.team.member("spare", lambda asked: len(asked["done"]))
    assert runs.run(looping(runs.team, at_most=3, otherwise=spare)) == 2
    assert "3 requests" in runs.steps()["supervise/spare"].about["because"]


def test_a_boss_that_is_another_labs_agent_is_asked_in_text(runs):
    seen = []

    def boss(text):
        seen.append(text)
        return {"ask": {"worker": "x"}} if "done: []" in text else "answer"

    flow = supervise("q", runs.team.agent("boss", boss), {"worker": runs.team.member("worker", lambda request: "w")})

    async def run():
        return await flow

    assert runs.run(run) == "answer"
    assert seen[0] == 'task: q\n\ndone: []\n\nworkers: ["worker"]'
    assert '"result": "w"' in seen[1]


@pytest.mark.parametrize("build", [trip, lambda team: looping(team, at_most=3)], ids=["trip", "looping"])
def test_a_crash_behind_any_record_changes_nothing(tmp_path, build):
    prove(tmp_path, build, every=2)
