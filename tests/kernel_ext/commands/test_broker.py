from __future__ import annotations

from typing import Any

import httpx
import pytest

from nbagora_lab.core.errors import Conflict, GroupExists, GroupNotFound, NotStarted, TopicNotFound, UsageError


@pytest.fixture
def chat(lab: Any) -> Any:
    lab.broker.create_topic("chat")
    return lab


def test_a_group_is_made_altered_listed_and_removed(chat: Any, run: Any) -> None:
    line = (
        "%broker group create workers --topic chat --quota 50/s --weight acme 3 --weight 'zen 2' 1.5 --lease 2m --fair"
    )
    assert repr(run(line)) == "group workers reads chat"
    assert repr(run(line)) == "group workers reads already chat"
    spec = chat.broker.groups()["workers"]
    assert (spec.topic, spec.lease, spec.fair, spec.weights) == ("chat", 120, True, {"acme": 3, "zen 2": 1.5})
    assert (spec.quota.rate, spec.mode) == (50, "shared")
    with pytest.raises(GroupExists):
        run("%broker group create workers --topic chat")
    altered = run("%broker group alter workers --weight acme 5 --max-attempts 3 -o note")
    assert "max_attempts is 16, not 3" in repr(altered)
    assert run("note") is altered
    assert chat.broker.groups()["workers"].weights == {"acme": 5, "zen 2": 1.5}
    listed = run("%broker group").df.set_index("group")
    assert listed.loc["workers", ["topic", "lease"]].tolist() == ["chat", 120]
    assert repr(run("%broker group rm workers")) == "group workers removed"
    assert all(name.startswith("inbox.") for name in run("%broker group ls").df["group"])


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("create", UsageError, "needs a name"),
        ("create x", UsageError, "needs a topic"),
        ("create x --topic none", TopicNotFound, "none"),
        ("create x --topic chat --quota 0/s", UsageError, "lets nothing through"),
        ("create x --topic chat --weight acme 0", UsageError, "weight of tenant 'acme'"),
        ("create x --topic chat --weight acme much", UsageError, "--weight"),
        ("create x --topic chat --start soon", UsageError, "no start"),
        ("create x --topic chat --lease soon", UsageError, "no duration"),
        ("create x --topic chat --mode both", UsageError, "--mode"),
        ("alter worker --fair", GroupNotFound, "no group 'worker'"),
        ("alter workers --topic sessions", Conflict, "can't be changed"),
        ("rm worker", GroupNotFound, "no group 'worker'"),
        ("rm workers --fair", UsageError, "takes no fair"),
        ("dead worker", GroupNotFound, "no group 'worker'"),
        ("replay worker", GroupNotFound, "no group 'worker'"),
        ("grow workers", UsageError, "can't be 'grow'"),
    ],
)
def test_what_does_not_fit_is_told_in_two_lines(chat: Any, run: Any, line: str, error: type, says: str) -> None:
    chat.broker.create_group("workers", topic="chat")
    before = chat.broker.groups()
    with pytest.raises(error, match=says) as caught:
        run(f"%broker group {line}")
    assert caught.value.hint
    assert chat.broker.groups() == before


def test_stats_show_each_tenant_s_part(chat: Any, run: Any) -> None:
    broker = chat.broker
    broker.create_group("workers", topic="chat", weights={"acme": 3}, fair=True)
    assert repr(run("%broker stats workers")) == "the group 'workers' was handed nothing yet"
    with broker.consumer("workers", "c1") as consumer:
        for number in range(6):
            for tenant in ("acme", "zen"):
                broker.send(f"chat/{tenant}-{number}", "x", tenant=tenant)
        chat.clock.advance(5)
        consumer.ack(consumer.receive(max=4))
        consumer.receive(max=1)
        chat.clock.advance(2)
        report = run("%broker stats workers")
        rows = report.df.set_index("tenant")
        assert rows.loc["acme", "served"] + rows.loc["zen", "served"] == 5
        assert rows["backlog"].sum() == 7
        assert rows["share"].sum() == pytest.approx(1, abs=1e-3)
        assert rows.loc["acme", "weight"] == 3
        assert rows.loc["acme", "share"] > rows.loc["zen", "share"]
        assert set(rows["starving"]) == {7}
        assert set(rows["wait p50"]) == {5}
        assert report.tenants["acme"].served == rows.loc["acme", "served"]
        every = run("%broker stats").df.set_index("group").loc["workers"]
        assert (every["clients"], every["leased"], every["acked"]) == (1, 1, 4)
    with pytest.raises(GroupNotFound) as caught:
        run("%broker stats worker")
    assert caught.value.hint == "did you mean 'workers'?"


def test_dead_letters_are_listed_and_replayed(chat: Any, run: Any) -> None:
    broker = chat.broker
    broker.create_group("workers", topic="chat", max_attempts=1)
    assert repr(run("%broker group dead workers")) == "the group 'workers' gave up on nothing"
    broker.send("chat/s", "你好")
    with broker.consumer("workers", "c1") as consumer:
        consumer.fail(consumer.receive())
        [row] = run("%broker group dead workers").rows
        assert (row["topic"], row["offset"], row["attempts"], row["says"]) == ("chat/s", 0, 1, "你好")
        assert run("%broker group replay workers").rows == [{"topic": "chat/s", "offset": 1}]
        assert repr(run("%broker group replay workers")) == "the group 'workers' gave up on nothing"
        assert consumer.receive()[0].offset == 1


def test_status_names_the_engine(chat: Any, run: Any) -> None:
    status = run("%broker status")
    assert (status["engine"], status["epoch"]) == (chat.broker.log.engine, chat.epoch)
    assert "suspend" in status["can"]


def test_completion_knows_verbs_actions_groups_and_parents(chat: Any, run: Any, shell: Any) -> None:
    from IPython.core.completer import provisionalcompleter

    chat.broker.create_group("workers", topic="chat")

    def offered(text: str) -> list[str]:
        with provisionalcompleter():
            return [completion.text for completion in shell.Completer.completions(text, len(text))]

    assert offered("%broker st") == ["start", "stats", "status", "stop"]
    assert offered("%broker group r") == ["replay", "rm"]
    assert offered("%broker group alter w") == ["workers"]
    assert "workers" in offered("%broker stats ")
    assert offered("%broker group create x --topic ch") == ["chat"]
    assert offered("%broker group create x --m") == ["--max-attempts", "--mode"]
    assert "workers" in offered("%topic suspend chat/s --group ")


def test_help_tells_actions_and_settings(shell: Any, run: Any) -> None:
    told = repr(run("%broker group --help"))
    assert "--tenant-quota" in told
    assert "dead" in told


def test_the_broker_runs_alone_and_says_what_it_lacks(shell: Any, run: Any) -> None:
    alone = run("%broker start")
    assert run("%broker start") is alone
    alone.broker.create_topic("chat")
    run("%topic send chat/s-1 你好")
    assert [record.body.decode() for record in run("%topic read chat/s-1")] == ["你好"]
    assert run("%broker status")["topics"] == 1  # no sessions, no directory: nobody has tasks here
    assert run("%lab status").agents == ()
    for line in ("%agent ls", "%task ls", "%registry ls", "%agent ask echo hi"):
        with pytest.raises(NotStarted, match=r"only the broker runs in this kernel\n%broker stop, then %lab start"):
            run(line)
    answer = httpx.get(f"{alone.url}/broker/topics", headers={"Authorization": f"Bearer {alone.token}"}, timeout=30)
    assert [one["name"] for one in answer.json()["topics"]] == ["chat"]
    run("%broker stop")
    assert not alone.running
    lab = run("%lab start")
    assert lab.url == alone.url  # the store's former port
    assert [record.body.decode() for record in lab.broker.read("chat/s-1")] == ["你好"]
    assert run("%broker start") is lab
    with pytest.raises(UsageError, match="part of a whole lab"):
        run("%broker stop")
