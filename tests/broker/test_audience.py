"""Who reads what, after any coming and going, is what a look at every client's patterns says."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from nbagora_lab.broker.audience import Audiences, Client
from nbagora_lab.broker.pattern import Pattern

LITES = ("a", "b", "ab", "ba")
PATTERNS = ("a", "b", "*", "a*", "?", "[ab]")
steps = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "removed"]),
        st.sampled_from("xyz"),
        st.sets(st.sampled_from(PATTERNS), min_size=1, max_size=3),
    ),
    max_size=25,
)


class Ready(list[Any]):
    """Stands in for a ready set, which is nothing of an audience's."""


def drive(exclusive: bool, todo: list[tuple[str, str, set[str]]]) -> None:
    audiences = Audiences(exclusive=exclusive, new_ready=Ready)  # type: ignore[arg-type]
    clients = {name: Client(name, 0.0) for name in "xyz"}
    held: dict[str, dict[str, int]] = {name: {} for name in clients}
    count = 0
    for verb, name, texts in todo:
        patterns = [Pattern.parse(text) for text in sorted(texts)]
        if verb == "join":
            new = [one for one in patterns if exclusive or one.text not in held[name]]
            if exclusive:
                for one in new:
                    for other in audiences.holders(one):
                        if other is not clients[name]:
                            for lost in audiences.leave(other, [one]):
                                audiences.drop(lost)
                            held[other.name].pop(one.text)
            if new and audiences.join(clients[name], new):
                for lost in audiences.all():
                    audiences.drop(lost)
            for one in new:
                count += 1
                held[name][one.text] = count
        elif verb == "removed":  # a topic, and with it who names it; its audience is none of any other topic's
            for one in patterns:
                for other in audiences.holders(one) if one.name is not None else []:
                    audiences.leave(other, [one])
                    held[other.name].pop(one.text)
        else:
            gone = [one for one in patterns if one.text in held[name]]
            for lost in audiences.leave(clients[name], gone) if gone else []:
                audiences.drop(lost)
            for one in gone:
                del held[name][one.text]
        for lite in LITES:
            readers = {
                reader: max(number for text, number in texts.items() if Pattern.parse(text).matches(lite))
                for reader, texts in held.items()
                if any(Pattern.parse(text).matches(lite) for text in texts)
            }
            want = {max(readers, key=readers.__getitem__)} if exclusive and readers else set(readers)
            found = audiences.of(lite)
            assert ({client.name for client in found.clients} if found else set()) == want, (lite, todo)
            if found:
                assert all(found in client.audiences for client in found.clients)
                assert audiences.of(lite) is found
        assert {one for client in clients.values() for one in client.audiences} <= set(audiences.all())


@given(steps)
@example([("join", "x", {"a"}), ("join", "y", {"a", "b"}), ("removed", "z", {"a"}), ("join", "x", {"b"})])
def test_a_shared_group_s_topic_is_everybody_s_who_subscribes_to_it(todo: list[tuple[str, str, set[str]]]) -> None:
    drive(False, todo)


@given(steps)
def test_an_exclusive_group_s_topic_is_the_newest_subscriber_s(todo: list[tuple[str, str, set[str]]]) -> None:
    drive(True, todo)


def test_a_hundred_clients_that_read_the_same_are_one_audience() -> None:
    audiences = Audiences(exclusive=False, new_ready=Ready)  # type: ignore[arg-type]
    clients = [Client(f"c-{number}", 0.0) for number in range(100)]
    for client in clients:
        audiences.join(client, [Pattern.parse("*")])
        assert audiences.of("any") is audiences.of("other")
    assert [len(one.clients) for one in audiences.all()] == [100]
