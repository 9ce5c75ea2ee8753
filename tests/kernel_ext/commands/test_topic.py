from __future__ import annotations

from typing import Any

import pytest

from nbagora_lab.core.errors import BadName, GroupNotFound, TopicExists, TopicNotFound, UsageError


@pytest.fixture
def chat(lab: Any) -> Any:
    lab.broker.create_topic("chat")
    for text in ("one", "two", "three"):
        lab.broker.send("chat/s-1", text)
    lab.broker.send("chat/s-1", b"\xff\xfe")
    return lab


def offsets(records: Any) -> list[int]:
    return [record.offset for record in records]


def test_ls_shows_parents_or_one_parents_topics(chat: Any, run: Any) -> None:
    assert {name for name, _ in run("%topic ls") if not name.startswith("inbox.")} == {
        "chat",
        "dead-letters",
        "lab",
        "sessions",
    }
    chat.broker.send("chat/other", "x")
    assert [info.topic for info in run("%topic ls chat --prefix s")] == ["chat/s-1"]
    assert run("%topic ls chat --limit 1").df["records"].tolist() != []
    with pytest.raises(TopicNotFound) as caught:
        run("%topic ls chatt")
    assert caught.value.hint == "did you mean 'chat'?"


def test_read_takes_a_range(chat: Any, run: Any) -> None:
    assert offsets(run("%topic read chat/s-1")) == [0, 1, 2, 3]
    assert offsets(run("%topic read chat/s-1 --after 0 --before 3")) == [1, 2]
    assert offsets(run("%topic read --limit 1 chat/s-1")) == [0]
    assert offsets(run("%topic read chat/s-1 --since 2020-01-01")) == [0, 1, 2, 3]
    assert offsets(run("%topic read chat/s-1 --since 2100-01-01T00:00+02:00")) == []
    assert offsets(run("%topic read chat/s-1 --since 4102444800")) == []
    shown = repr(run("%topic read chat/s-1"))
    assert "three" in shown
    assert "2 bytes of application/octet-stream" in shown


@pytest.mark.parametrize("options", ["--after -1", "--before x", "--since yesterday", "--limit 0"])
def test_read_refuses_what_does_not_fit(chat: Any, run: Any, options: str) -> None:
    with pytest.raises(UsageError, match="%topic read: --"):
        run(f"%topic read chat/s-1 {options}")


def test_a_context_is_a_topic(lab: Any, run: Any) -> None:
    task = run("%agent ask echo hi")
    for name in (task.context_id, f"sessions/{task.context_id}", "last"):
        assert run(f"%topic info {name}").topic == f"sessions/{task.context_id}"


def test_an_unknown_topic_is_named_with_what_was_meant(chat: Any, run: Any) -> None:
    for line in ("%topic read chat/s-2", "%topic info chat/s-2", "%topic rm chat/s-2", "%topic fork chat/s-2@0 --to x"):
        with pytest.raises(TopicNotFound) as caught:
            run(line)
        assert caught.value.hint == "did you mean 's-1'?"
    with pytest.raises(TopicNotFound) as caught:
        run("%topic read chut/s-1")
    assert caught.value.hint == "did you mean 'chat'?"
    with pytest.raises(BadName):
        run("%topic read chat/")


def test_send_appends_the_rest_of_the_line(chat: Any, run: Any) -> None:
    receipt = run("%topic send chat/s-2 it's {1 + 1} o'clock? --type note.said --subject me")
    assert receipt == ("chat/s-2", 0)
    [record] = run("%topic read chat/s-2")
    assert (record.body.decode(), record.type, record.subject) == ("it's 2 o'clock?", "note.said", "me")
    with pytest.raises(UsageError, match="names an offset"):
        run("%topic send chat/s-2@3 x")
    with pytest.raises(TopicNotFound):
        run("%topic send nowhere/x y")


def test_names_with_signs_are_escaped(chat: Any, run: Any) -> None:
    run(r"%topic send chat/a\@b x")
    assert run(r"%topic info chat/a\@b").topic == "chat/a@b"
    assert repr(run(r"%topic rm chat/a\@b")) == r"topic chat/a\@b removed"


def test_fork_takes_an_offset_and_includes_it(chat: Any, run: Any) -> None:
    assert run("%topic fork chat/s-1@1 --to s-1b").topic == "chat/s-1b"
    assert offsets(run("%topic read chat/s-1b")) == [0, 1]
    assert run("%topic fork chat/s-1 --to chat/all").next == 4
    with pytest.raises(TopicExists):
        run("%topic fork chat/s-1@1 --to s-1b")
    with pytest.raises(TopicNotFound):
        run("%topic fork chat/s-1@99 --to s-1c")
    with pytest.raises(UsageError, match="required: --to"):
        run("%topic fork chat/s-1@1")
    with pytest.raises(UsageError, match="names an offset"):
        run("%topic read chat/s-1@1")


def test_rm_removes(chat: Any, run: Any) -> None:
    assert repr(run("%topic rm chat/s-1")) == "topic chat/s-1 removed"
    with pytest.raises(TopicNotFound):
        run("%topic read chat/s-1")


def test_tail_waits_for_what_comes(chat: Any, run: Any) -> None:
    assert offsets(run("%topic tail chat/s-1 --after 1 --count 2")) == [2, 3]
    assert repr(run("%topic tail chat/new --timeout 0.01")) == "no record came within 0.01 s"


def test_send_takes_a_schedule(chat: Any, run: Any) -> None:
    run("%topic send chat/s-3 hurry up --priority 9 --tenant acme --cost 2.5 --deadline 2030-01-01")
    [record] = chat.broker.read("chat/s-3")
    assert (record.body, record.scheduling) == (b"hurry up", (9, "acme", 2.5, 1893456000.0))
    for options in ("--priority 256", "--cost -1", "--cost inf", "--deadline soon"):
        with pytest.raises(UsageError, match="%topic send: --"):
            run(f"%topic send chat/s-3 x {options}")


def test_tail_by_glob_names_each_topic(chat: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    watch_parent = chat.broker.log.watch_parent

    def watched(*args: Any) -> Any:
        end = watch_parent(*args)
        for name in ("s-1", "x", "s-*", "s-2"):
            chat.broker.send(f"chat/{name}", name)
        return end

    monkeypatch.setattr(chat.broker.log, "watch_parent", watched)
    tailed = run("%topic tail chat/s-? --count 3 --timeout 20")
    assert [row["topic"] for row in tailed.rows] == ["chat/s-1", "chat/s-*", "chat/s-2"]
    assert repr(run("%topic tail t-* --timeout 0.01")) == "no record came within 0.01 s"
    assert offsets(run(r"%topic tail chat/s-\* --after 0")) == [1]
    with pytest.raises(UsageError, match="--after beside the glob"):
        run("%topic tail chat/s-* --after 1")
    with pytest.raises(TopicNotFound):
        run("%topic tail chut/s-*")


def test_replay_sends_again(chat: Any, run: Any) -> None:
    assert repr(run("%topic replay chat/s-1 --to again --after 0 --before 3")) == "2 records sent again, to chat/again"
    assert [record.body for record in chat.broker.read("chat/again")] == [b"two", b"three"]
    assert repr(run("%topic replay chat/s-1 --to again --speed 2")) == "4 records sent again, to chat/again"
    for line in ("chat/s-1 --to again@1", "chat/s-1@1 --to again", "chat/s-1 --to again --speed 0", "chat/s-1"):
        with pytest.raises(UsageError):
            run(f"%topic replay {line}")
    with pytest.raises(TopicNotFound):
        run("%topic replay chat/s-1 --to nowhere/x")


def test_suspend_holds_a_topic_back_from_a_group(chat: Any, run: Any) -> None:
    chat.broker.create_group("workers", topic="chat")
    assert repr(run("%topic suspend chat/s-1 --group workers --for 15m")) == "chat/s-1 suspended for workers: 900 s"
    with chat.broker.consumer("workers", "c1") as consumer:
        assert consumer.receive().held == {"suspended": 1}
        assert repr(run("%topic suspend chat/s-1 --group workers --for 0")) == "chat/s-1 goes on"
        assert len(consumer.receive()) == 4
    with pytest.raises(UsageError, match="no duration"):
        run("%topic suspend chat/s-1 --group workers --for long")
    with pytest.raises(UsageError):
        run("%topic suspend chat/s-1 --group workers --for -1s")
    with pytest.raises(GroupNotFound) as caught:
        run("%topic suspend chat/s-1 --group worker")
    assert caught.value.hint == "did you mean 'workers'?"
    with pytest.raises(TopicNotFound):
        run("%topic suspend chat/s-9 --group workers")


def test_view_is_the_widget_of_this_broker(chat: Any, run: Any) -> None:
    view = run("%topic view chat/s-1")
    data, _ = view._repr_mimebundle_()
    assert "4 records of chat/s-1" in data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in data
    view.close()
    with pytest.raises(TopicNotFound):
        run("%topic view chat/none")


@pytest.mark.parametrize("typed", ["chat", "chat/"])
def test_view_of_a_parent_lists_its_topics(chat: Any, run: Any, typed: str) -> None:
    view = run(f"%topic view {typed} --prefix s-")
    assert (view.snapshot["parent"], view.snapshot["topic"]) == ("chat", None)
    assert [row["topic"] for row in view.snapshot["topics"]] == ["chat/s-1"]
    view.close()


def test_a_context_goes_before_a_parent_of_its_name(chat: Any, run: Any) -> None:
    chat.broker.send("sessions/chat", "x")
    view = run("%topic view chat")
    assert (view.snapshot["parent"], view.snapshot["topic"]) == ("sessions", "sessions/chat")
    view.close()
    view = run("%topic view chat/")
    assert view.snapshot["parent"] == "chat"
    view.close()


def test_view_lists_topics_as_a_group_sees_them(chat: Any, run: Any) -> None:
    chat.broker.create_group("workers", topic="chat")
    chat.broker.create_group("others", topic="sessions")
    view = run("%topic view --group workers --prefix s-")
    assert view.snapshot["parent"] == "chat"
    assert [group["group"] for group in view.snapshot["groups"]] == ["workers"]
    assert [row["lag"] for row in view.snapshot["topics"]] == [4]
    view.close()
    view = run("%topic view chat --group workers")
    assert {row["lite"]: row["lag"] for row in view.snapshot["topics"]} == {"_events": None, "s-1": 4}
    view.close()
    with pytest.raises(GroupNotFound, match="no group 'worker'"):
        run("%topic view --group worker")
    for typed in ("chat/s-1", "chat"):
        with pytest.raises(UsageError, match=f"reads 'sessions', not {typed}"):
            run(f"%topic view {typed} --group others")


def test_a_topic_goes_to_a_file_and_comes_back(chat: Any, run: Any, tmp_path: Any) -> None:
    before = [record.body for record in chat.broker.read("chat/s-1")]
    assert "4 records of chat/s-1" in repr(run(f"%topic export chat/s-1 {tmp_path / 'file'}"))
    run("%topic rm chat/s-1")
    assert run(f"%topic import {tmp_path / 'file'}").next == 4
    assert [record.body for record in chat.broker.read("chat/s-1")] == before
    with pytest.raises(TopicExists):
        run(f"%topic import {tmp_path / 'file'}")
