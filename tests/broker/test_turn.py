"""Where a group stands on a topic, after any acks and attempts, is what plain counting says; and it is stored so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.broker.turn import Turn

END = 9
offsets = st.integers(0, END - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("try"), st.integers(1, END)),
        st.tuples(st.just("ack"), st.lists(offsets, min_size=1, max_size=4, unique=True)),
        st.tuples(st.just("uncount"), st.lists(offsets, min_size=1, max_size=4, unique=True)),
    ),
    max_size=20,
)


def turned(turn: Turn, todo: list[tuple[str, object]]) -> tuple[set[int], dict[int, int]]:
    """Takes a turn through steps; returns what is acked, and the attempts of each offset, by plain counting."""
    done: set[int] = set()
    attempts = dict.fromkeys(range(END), 0)
    for verb, what in todo:
        if verb == "try":
            assert isinstance(what, int)
            if what <= turn.committed:
                continue
            turn.runs = turn.tried(what)
            turn.leased = what
            for offset in range(what):
                attempts[offset] += offset not in done
            continue
        assert isinstance(what, list)
        if verb == "ack":
            acked = [offset for offset in what if turn.committed <= offset < turn.leased and not turn.is_done(offset)]
            turn.committed, turn.done = turn.acked(acked)
            done.update(acked)
        else:
            tried = [offset for offset in what if offset not in done and attempts[offset]]
            if tried:
                turn.runs = turn.recount(dict.fromkeys(tried, -1))
            for offset in tried:
                attempts[offset] -= 1
    return done, attempts


@given(steps)
def test_any_acks_and_attempts_leave_what_plain_counting_does(todo: list[tuple[str, object]]) -> None:
    turn = Turn("chat/a", 1, 0, END)
    done, attempts = turned(turn, todo)
    left = [offset for offset in range(END) if offset not in done]
    assert turn.committed == (left[0] if left else END)
    assert turn.drained is not bool(left)
    assert [offset for offset in range(END) if turn.is_done(offset)] == sorted(done)
    assert [turn.attempts(offset) for offset in left] == [attempts[offset] for offset in left]
    for limit in (1, 3, 100):
        assert list(turn.waiting(limit)) == left[:limit]
    assert turn.out() == [offset for offset in left if offset < turn.leased]


@given(steps, st.integers(0, 2**60))
def test_what_is_stored_of_it_comes_back(todo: list[tuple[str, object]], lease: int) -> None:
    turn = Turn("chat/a", 1, 0, END)
    done, attempts = turned(turn, todo)
    again = Turn("chat/a", 1, 0, END)
    assert again.unpack(Turn.pack(turn.committed, turn.done, turn.runs, lease)) == lease
    assert (again.committed, again.done) == (turn.committed, turn.done)
    left = [offset for offset in range(END) if offset not in done]
    assert [again.attempts(offset) for offset in left] == [attempts[offset] for offset in left]


def test_what_was_never_stored_begins_at_the_first_record() -> None:
    turn = Turn("chat/a", 1, 5, END)
    turn.done, turn.runs = 3, ((9, 2),)
    assert turn.unpack(None) == 0
    assert (turn.committed, turn.done, turn.runs) == (0, 0, ())


def test_most_turns_take_eighteen_bytes() -> None:
    assert len(Turn.pack(10**9, 0, ((10**9, 1),), 2**60)) == 18


def test_a_single_record_is_told_from_its_topic_s_others_by_its_offset() -> None:
    assert Turn("jobs/a", 1, 4, 5, single=True).key == ("jobs/a", 4)
    assert Turn("chat/a", 1, 4, 5).key == "chat/a"
