"""Parents are made once; lite topics come by their first record and are listed in the order of their UTF-8."""

from __future__ import annotations

import pytest

from logs import events, record
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.model import EVENTS, TopicSpec
from nbagora_lab.core.errors import BadName, TopicExists, TopicNotFound

NAMES = ["Z", "a", "a b", "a-1", "a-2", "b@1", "b*", "é", "天", "天气", "🌦", "\U0010ffff", "\u2028"]


def test_a_parent_is_new_once(log: Log) -> None:
    assert log.create_topic("news", TopicSpec(ttl=60)) is True
    assert log.create_topic("news", TopicSpec(ttl=60)) is False
    assert log.parents() == {"chat": TopicSpec(), "news": TopicSpec(ttl=60)}


def test_a_parent_with_other_settings_is_a_conflict_that_names_them(log: Log) -> None:
    with pytest.raises(TopicExists, match=r"'chat' .*ttl is None, not 60\.0") as caught:
        log.create_topic("chat", TopicSpec(ttl=60))
    assert caught.value.hint
    assert log.parents() == {"chat": TopicSpec()}


def test_parents_are_a_copy(log: Log) -> None:
    log.parents().clear()
    assert log.parents() == {"chat": TopicSpec()}


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "a\x85b", "x" * 513, "\ud800"])
def test_a_name_that_breaks_the_rules_is_refused_everywhere(log: Log, name: str) -> None:
    with pytest.raises(BadName):
        log.create_topic(name, TopicSpec())
    topic = f"chat/{name}"
    for call in (
        lambda: log.append([(topic, record())]),
        lambda: log.scan(topic),
        lambda: log.seek(topic, 0),
        lambda: log.info(topic),
        lambda: log.expire(topic),
        lambda: log.fork(topic, "chat/b", at=0),
        lambda: log.watch(topic, print),
    ):
        with pytest.raises(BadName) as caught:
            call()  # type: ignore[no-untyped-call]
        assert len(caught.value._render_traceback_()) == 2
    assert log.lites("chat") == []


def test_a_name_without_a_parent_is_refused(log: Log) -> None:
    with pytest.raises(BadName):
        log.append([("chat", record())])
    with pytest.raises(BadName):
        log.scan("chat")


@pytest.mark.parametrize("name", [*NAMES, "x" * 512, "天" * 170])
def test_any_other_name_will_do(log: Log, name: str) -> None:
    log.create_topic(name, TopicSpec())
    log.append([(f"{name}/{name}", record("hello"))])
    assert [log.info(f"{name}/{name}").next, log.lites(name)] == [1, sorted([EVENTS, name], key=str.encode)]


def test_a_lite_topic_comes_into_being_by_its_first_record(log: Log) -> None:
    assert log.lites("chat") == []
    log.append([("chat/a", record()), ("chat/b", record()), ("chat/a", record())])
    assert log.lites("chat") == [EVENTS, "a", "b"]
    assert events(log, "chat") == [("topic.opened", "chat/a"), ("topic.opened", "chat/b")]


def test_reading_does_not_bring_a_topic_into_being(log: Log) -> None:
    assert log.scan("chat/a") == []
    log.watch("chat/a", print)()
    assert log.lites("chat") == []


def test_names_come_in_the_order_of_their_utf_8(log: Log) -> None:
    log.append([(f"chat/{name}", record()) for name in NAMES])
    assert log.lites("chat") == sorted([EVENTS, *NAMES], key=str.encode)


def test_a_neighbours_topics_are_not_listed(log: Log) -> None:
    for parent in ("cha", "chat ", "chat0", "chats"):
        log.create_topic(parent, TopicSpec())
        log.append([(f"{parent}/theirs", record())])
    log.append([("chat/mine", record())])
    assert log.lites("chat") == [EVENTS, "mine"]


def test_a_list_is_cut_by_prefix_place_and_number(log: Log) -> None:
    log.append([(f"chat/{name}", record()) for name in NAMES])
    names = sorted([EVENTS, *NAMES], key=str.encode)
    assert log.lites("chat", prefix="a") == ["a", "a b", "a-1", "a-2"]
    assert log.lites("chat", prefix="a", after="a b") == ["a-1", "a-2"]
    assert log.lites("chat", prefix="a", after="Z") == ["a", "a b", "a-1", "a-2"]
    assert log.lites("chat", prefix="a", after="b") == []
    assert log.lites("chat", after="a", limit=2) == ["a b", "a-1"]
    assert log.lites("chat", after="a-11", limit=1) == ["a-2"]
    assert log.lites("chat", prefix="nothing") == []
    assert log.lites("chat", limit=0) == []
    assert log.lites("chat", prefix="\ud800") == []
    pages: list[str] = []
    while page := log.lites("chat", after=pages[-1] if pages else "", limit=3):
        pages += page
    assert pages == names


def test_an_unknown_parent_is_named_with_the_near_one(log: Log) -> None:
    for call in (
        lambda: log.append([("chta/a", record())]),
        lambda: log.lites("chta"),
        lambda: log.info("chta/a"),
    ):
        with pytest.raises(TopicNotFound) as caught:
            call()  # type: ignore[no-untyped-call]
        assert (caught.value.what, caught.value.hint) == ("no topic 'chta'", "did you mean 'chat'?")


def test_an_unknown_lite_topic_is_named_with_the_near_one(log: Log) -> None:
    log.append([("chat/weather", record()), ("chat/hotels", record())])
    for call in (log.info, log.expire, lambda topic: log.seek(topic, 0), lambda topic: log.fork(topic, "chat/b", at=0)):
        with pytest.raises(TopicNotFound) as caught:
            call("chat/wether")
        assert (caught.value.what, caught.value.hint) == ("no topic 'chat/wether'", "did you mean 'weather'?")
