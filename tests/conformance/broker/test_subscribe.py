"""Who subscribes to what is handed just that, from then on and until it ends."""

from __future__ import annotations

import json

import pytest

from deliveries import drain, handles, join, message, places, publish
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import BadName, NotSubscribed, QuotaExceeded

NAMES = ["a", "ab", "a*", "a?", "[a]", "a\\", "b@1", "北京", "北京店", "上海", "x-1", "x-2", "x-22", "é", "-", "!"]
MATCHES = {
    "a": ["a"],
    "nothing": [],
    "a?": ["ab", "a*", "a?", "a\\"],
    "a\\?": ["a?"],
    "a\\*": ["a*"],
    "\\[a]": ["[a]"],
    "a\\\\": ["a\\"],
    "b@1": ["b@1"],
    "b\\@1": ["b@1"],
    "北京*": ["北京", "北京店"],
    "北京?": ["北京店"],
    "?海": ["上海"],
    "[上北]?": ["上海", "北京"],
    "x-*": ["x-1", "x-2", "x-22"],
    "x-?": ["x-1", "x-2"],
    "x-[1-1]": ["x-1"],
    "x-[!1]": ["x-2"],
    "[!a-zA-Z]": ["é", "-", "!"],
    "[-!]": ["-", "!"],
    "*": NAMES,
    "**": NAMES,
    "*2*": ["x-2", "x-22"],
    "?": ["a", "é", "-", "!"],
}


def test_what_was_there_before_and_what_comes_after(log: Log, groups: Groups) -> None:
    publish(log, "chat/a")
    join(groups, subscribe=["a", "later"])
    publish(log, "chat/other")
    publish(log, "chat/later")
    assert drain(groups, "workers", "c") == [("a", 0), ("later", 0)]


@pytest.mark.parametrize("pattern", MATCHES)
@pytest.mark.parametrize("before", [True, False])
def test_names_and_globs(log: Log, groups: Groups, pattern: str, before: bool) -> None:
    if before:
        join(groups, subscribe=[pattern])
    log.append([(f"chat/{name}", message()) for name in NAMES])
    if not before:
        join(groups, subscribe=[pattern])
    assert sorted(drain(groups, "workers", "c")) == sorted((name, 0) for name in MATCHES[pattern])


@pytest.mark.parametrize(
    "pattern", ["", "a/b", "a[", "a\n", "x" * 513, "x" * 10_000, "*" + "x" * 10_000, "[z-a]", "?" * 513]
)
def test_what_no_name_can_match_is_refused(groups: Groups, pattern: str) -> None:
    groups.create_group("workers", GroupSpec(topic="chat"))
    with pytest.raises(BadName) as caught:
        groups.subscribe("workers", "c", ["a", pattern])
    assert len(caught.value._render_traceback_()) == 2
    assert groups.subscriptions("workers") == {}


@pytest.mark.timeout(60)
def test_no_glob_takes_long(log: Log, groups: Groups) -> None:
    join(groups, subscribe=["*a" * 30 + "b", "*[ab]" * 30 + "?c"])
    publish(log, f"chat/{'a' * 500}")
    assert groups.receive("workers", "c") == []


def test_subscriptions_add_up_and_are_told(groups: Groups) -> None:
    join(groups, "chat", "c", "d", subscribe=["a", "b*"])
    groups.subscribe("workers", "c", ["北京", "a"])
    assert groups.subscriptions("workers") == {"c": ["a", "b*", "北京"], "d": ["a", "b*"]}


def test_one_topic_goes_to_one_client_at_a_time(log: Log, groups: Groups) -> None:
    join(groups, "chat", "c", "d")
    publish(log, "chat/a", "", "")
    first = groups.receive("workers", "c", limit=1)
    assert places(first) == [("a", 0)]
    assert groups.receive("workers", "d") == []
    groups.ack("workers", handles(first))
    assert places(groups.receive("workers", "d")) == [("a", 1)]


def test_clients_of_one_group_may_read_different_topics(log: Log, groups: Groups) -> None:
    groups.create_group("workers", GroupSpec(topic="chat"))
    groups.subscribe("workers", "all", "*")
    groups.subscribe("workers", "xs", ["x*"])
    groups.subscribe("workers", "one", ["x1", "a"])
    log.append([(f"chat/{name}", message()) for name in ("x1", "x2", "b", "a")])
    assert places(groups.receive("workers", "one", limit=1)) == [("x1", 0)]
    assert places(groups.receive("workers", "xs")) == [("x2", 0)]
    assert places(groups.receive("workers", "one")) == [("a", 0)]
    assert places(groups.receive("workers", "all")) == [("b", 0)]


@pytest.mark.parametrize("leaver", ["all", "xs"])
def test_what_nobody_else_reads_waits_and_the_rest_goes_on(log: Log, groups: Groups, leaver: str) -> None:
    groups.create_group("workers", GroupSpec(topic="chat"))
    groups.subscribe("workers", "all", "*")
    groups.subscribe("workers", "xs", ["x*"])
    log.append([(f"chat/{name}", message()) for name in ("x1", "b", "x2", "c")])
    groups.unsubscribe("workers", leaver)
    other = "xs" if leaver == "all" else "all"
    expected = [("x1", 0), ("x2", 0)] if leaver == "all" else [("x1", 0), ("b", 0), ("x2", 0), ("c", 0)]
    assert sorted(drain(groups, "workers", other)) == sorted(expected), "an append says nothing of order between topics"
    groups.subscribe("workers", "late", "*")
    assert sorted(drain(groups, "workers", "late")) == sorted(
        {("x1", 0), ("b", 0), ("x2", 0), ("c", 0)} - set(expected)
    )


def test_some_of_a_clients_subscriptions_end(log: Log, groups: Groups) -> None:
    join(groups, subscribe=["a", "b", "x*"])
    log.append([(f"chat/{name}", message()) for name in ("a", "b", "x1")])
    groups.unsubscribe("workers", "c", ["a", "x*", "never"])
    assert groups.subscriptions("workers") == {"c": ["b"]}
    assert drain(groups, "workers", "c") == [("b", 0)]
    groups.subscribe("workers", "c", ["x*"])
    assert drain(groups, "workers", "c") == [("x1", 0)]


def test_what_a_leaver_holds_is_handed_out_again_at_once_and_uncounted(log: Log, groups: Groups) -> None:
    join(groups, "chat", "c", "d")
    publish(log, "chat/a", "", "", "")
    batch = groups.receive("workers", "c")
    groups.ack("workers", handles(batch)[:1])
    groups.unsubscribe("workers", "c")
    again = groups.receive("workers", "d")
    assert [(one.offset, one.attempt) for one in again] == [(1, 1), (2, 1)]
    groups.unsubscribe("workers", "c")
    groups.unsubscribe("workers", "stranger")


def test_who_has_left_or_never_came_is_told(groups: Groups) -> None:
    join(groups)
    groups.unsubscribe("workers", "c")
    for client in ("c", "stranger"):
        with pytest.raises(NotSubscribed) as caught:
            groups.receive("workers", client)
        assert len(caught.value._render_traceback_()) == 2
        with pytest.raises(NotSubscribed):
            groups.when_ready("workers", client, print)


def test_a_silent_client_is_dropped_and_what_it_holds_is_handed_out_again(
    log: Log, groups: Groups, clock: VirtualClock
) -> None:
    join(groups, "chat", "c", "d", client_ttl=30, lease=1000)
    publish(log, "chat/a")
    groups.receive("workers", "c")
    clock.advance(29)
    assert groups.receive("workers", "d") == []
    clock.advance(1)
    assert places(groups.receive("workers", "d")) == [("a", 0)]
    assert list(groups.subscriptions("workers")) == ["d"]
    with pytest.raises(NotSubscribed):
        groups.receive("workers", "c")


@pytest.mark.parametrize("word", ["receive", "ack", "extend", "fail", "watch"])
def test_every_word_of_a_client_says_that_it_lives(log: Log, groups: Groups, clock: VirtualClock, word: str) -> None:
    join(groups, "chat", "c", "d", client_ttl=30, lease=1000, backoff=(0,))
    publish(log, "chat/a", "", "", "", "", "", "", "", "")
    held = handles(groups.receive("workers", "c"))
    end = groups.when_ready("workers", "c", lambda: None) if word == "watch" else lambda: None
    for _ in range(6):
        clock.advance(20)
        if word == "receive":
            groups.receive("workers", "c")
        elif word == "ack":
            groups.ack("workers", [held.pop(0)])
        elif word == "extend":
            groups.extend("workers", held, 1000)
        elif word == "fail":
            groups.fail("workers", held)
            held = handles(groups.receive("workers", "c", limit=8))
        groups.receive("workers", "d")
    assert list(groups.subscriptions("workers")) == ["c", "d"]
    end()


def test_who_comes_back_at_the_last_moment_is_not_dropped(groups: Groups, clock: VirtualClock) -> None:
    join(groups, client_ttl=30)
    clock.advance(30)
    assert groups.receive("workers", "c") == []


def test_more_than_a_client_may_have_is_refused_whole(groups: Groups) -> None:
    join(groups, subscribe=["a", "b"], max_subscriptions=3)
    groups.subscribe("workers", "c", ["a", "b", "c"])
    with pytest.raises(QuotaExceeded) as caught:
        groups.subscribe("workers", "c", ["d"])
    assert len(caught.value._render_traceback_()) == 2
    with pytest.raises(QuotaExceeded):
        groups.subscribe("workers", "d", ["1", "2", "3", "4"])
    assert groups.subscriptions("workers") == {"c": ["a", "b", "c"]}


def test_ten_thousand_subscriptions_by_one_client(log: Log, groups: Groups) -> None:
    names = [f"s-{number}" for number in range(10_000)]
    join(groups, subscribe=names[:5000])
    log.append([(f"chat/{name}", message()) for name in names])
    groups.subscribe("workers", "c", names)
    assert len(groups.subscriptions("workers")["c"]) == 10_000
    assert len(drain(groups, "workers", "c", limit=2000)) == 10_000
    groups.unsubscribe("workers", "c", names[1:])
    log.append([(f"chat/{name}", message()) for name in names[:100]])
    assert drain(groups, "workers", "c") == [("s-0", 1)]


@pytest.mark.parametrize("name", ["a", "a@b", "a*b", "北京"])
def test_a_removed_topic_takes_the_subscriptions_that_name_it_with_it(log: Log, groups: Groups, name: str) -> None:
    text = name.replace("*", "\\*")
    join(groups, subscribe=[text, "other"])
    publish(log, f"chat/{name}")
    log.expire(f"chat/{name}")
    assert groups.subscriptions("workers") == {"c": ["other"]}
    publish(log, f"chat/{name}")
    assert groups.receive("workers", "c") == []
    groups.subscribe("workers", "c", [text])
    assert drain(groups, "workers", "c") == [(name, 0)]


def test_who_names_events_reads_of_the_life_of_topics_and_no_glob_does(log: Log, groups: Groups) -> None:
    publish(log, "chat/a", "x")
    join(groups, "chat", "c")
    groups.subscribe("workers", "c", ["_e*"])
    assert drain(groups, "workers", "c") == [("a", 0)]
    groups.subscribe("workers", "listener", ["_events"])
    publish(log, "chat/b", "x")
    batch = groups.receive("workers", "listener")
    assert places(batch) == [("_events", 0), ("_events", 1)], "from the group's start on"
    assert [json.loads(one.body)["topic"] for one in batch] == ["chat/a", "chat/b"]
    groups.ack("workers", batch)
    assert groups.progress("workers", "chat/_events").lag == 0
    log.expire("chat/b")
    assert [one.record.type for one in groups.receive("workers", "listener")] == ["topic.expired"]
    assert drain(groups, "workers", "c") == []
