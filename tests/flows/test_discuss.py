"""Discuss: turns on one topic, an order that holds, an end that comes, and a floor for whoever isn't a member."""

import json

import pytest

from flow_runs import FlowRuns, prove
from nbagora_lab.broker import Broker
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import FlowFailed, UsageError
from nbagora_lab.core.events import RecordType
from nbagora_lab.flows import Discussion, discuss, person


@pytest.fixture
def runs(tmp_path):
    with FlowRuns(tmp_path) as runs:
        yield runs


def voices(team, *names, says=None):
    says = says or (lambda asked: f"{asked['you']} {len(asked['turns'])}")
    return {name: team.member(name, says) for name in names}


def said(found):
    return [f"{turn['author']}: {turn['text']}" for turn in found["turns"]]


def test_they_speak_in_turn_until_the_rounds_are_over(runs):
    found = runs.run(lambda: discuss("去哪里", voices(runs.team, "a", "b"), rounds=2))
    assert said(found) == ["a: a 0", "b: b 1", "a: a 2", "b: b 3"]
    assert (found["conclusion"], found["ended"]) == ("b 3", "all rounds are over")
    assert runs.steps()["discuss/b"].input == {"topic": "去哪里", "turns": [{"author": "a", "text": "a 0"}], "you": "b"}


def test_one_chooses_who_is_next_and_nobody_twice_in_a_row(runs):
    choices = iter(["c", "c", "nobody", 7, "a"])
    chooser = runs.team.member("chair", lambda asked: next(choices))
    found = runs.run(lambda: discuss("x", voices(runs.team, "a", "b", "c"), speaker=chooser, rounds=2))
    assert [turn["author"] for turn in found["turns"]] == ["c", "a", "b", "c", "a", "b"]


def test_somebody_ends_it_and_somebody_sums_up(runs):
    enough = runs.team.member("enough", lambda asked: len(asked["turns"]) == 3)
    summer = runs.team.member("summer", lambda asked: {"agreed": len(asked["turns"])})
    found = runs.run(lambda: discuss("x", voices(runs.team, "a", "b"), stop=enough, conclude=summer, rounds=9))
    assert (found["ended"], found["conclusion"]) == ("'enough' ended it", {"agreed": 3})


def test_a_round_that_repeats_the_one_before_ends_it(runs):
    found = runs.run(lambda: discuss("x", voices(runs.team, "a", "b", says=lambda asked: "as I said"), rounds=50))
    assert (found["ended"], len(found["turns"])) == ("nothing new was said", 4)


def test_one_who_dies_is_left_out_and_with_nobody_left_it_ends(runs):
    def dies(asked):
        if len(asked["turns"]) >= 2:
            raise RuntimeError("dead")
        return "alive"

    members = {**voices(runs.team, "a"), "b": runs.team.member("b", dies)}
    found = runs.run(lambda: discuss("x", members, rounds=3))
    assert [turn["author"] for turn in found["turns"]] == ["a", "b", "a", "a", "a"]
    runs.anew()
    members = {"b": runs.team.member("b", dies), "c": runs.team.member("c", dies)}
    assert runs.run(lambda: discuss("x", members))["ended"] == "nobody is left"


def test_where_nobody_says_a_word_it_fails(runs):
    def dies(asked):
        raise RuntimeError("dead")

    with pytest.raises(FlowFailed, match=r"nobody said a word: a: .*dead"):
        runs.run(lambda: discuss("x", voices(runs.team, "a", says=dies)))
    with pytest.raises(UsageError):
        runs.anew().run(lambda: discuss("x", {}))


def test_an_agent_and_a_person_are_asked_in_text(tmp_path):
    with FlowRuns(tmp_path, answers=lambda question, _: "I say: the park") as runs:
        members = {"guide": runs.team.agent("guide", lambda text: f"[{text}]"), "李雷": person()}
        found = runs.run(lambda: discuss("where", members, rounds=1))
    assert said(found) == ["guide: [Topic: where\nYou are guide.]", "李雷: I say: the park"]
    assert runs.crashes.questions == ["Topic: where\nguide: [Topic: where\nYou are guide.]\nYou are 李雷."]


def test_who_is_no_member_takes_the_floor_and_is_heard_before_the_next_turn(runs):
    broker = Broker(runs.log, VirtualClock())

    def speaks(asked):
        if len(asked["turns"]) == 1:
            discussion = Discussion(broker, runs.crashes.live.topic)
            discussion.say("不要坐飞机", author="韩梅梅")
            broker.send(discussion.topic, b"plain text", type=RecordType.WORD, source="/users/bob")
        return f"{asked['you']} heard {len(asked['turns'])}"

    found = runs.run(lambda: discuss("x", voices(runs.team, "a", "b", says=speaks), rounds=2))
    assert said(found) == [
        "a: a heard 0",
        "b: b heard 1",
        "韩梅梅: 不要坐飞机",
        "/users/bob: plain text",
        "a: a heard 4",
        "b: b heard 5",
    ]
    discussion = Discussion(broker, runs.crashes.live.topic)
    assert [f"{word.author}: {word.text}" for word in discussion.words] == said(found)
    assert list(discussion.follow(timeout=1)) == discussion.words
    offsets = [word.offset for word in discussion.words]
    assert offsets == sorted(offsets)


def test_what_was_on_the_topic_before_is_not_part_of_it(runs):
    broker = Broker(runs.log, VirtualClock())

    async def flow():
        broker.send(runs.crashes.live.topic, json.dumps({"author": "x", "text": "old"}), type=RecordType.WORD)
        return await discuss("x", voices(runs.team, "a"), rounds=1)

    assert said(runs.run(flow)) == ["a: a 0"]


def panel(team):
    chooser = team.member("chair", lambda asked: asked["members"][-1])
    return lambda: discuss("x", voices(team, "a", "b"), speaker=chooser, rounds=1, conclude=team.member("sum", len))


@pytest.mark.parametrize("build", [panel])
def test_a_crash_behind_any_record_changes_nothing(tmp_path, build):
    prove(tmp_path, build, every=3)
