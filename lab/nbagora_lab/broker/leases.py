"""Leasing to clients and taking back: receive, ack, fail, suspend, and leases that end by themselves.

Everything that moves a group forward is a list of moves, written in one batch and then taken over into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from rocksdict import WriteBatch

from nbagora_lab.broker import keys
from nbagora_lab.broker.audience import Client
from nbagora_lab.broker.dead import dead_topic, pack_letter
from nbagora_lab.broker.delivery import Batch, Delivery, Given, Handle
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.grant import Grant
from nbagora_lab.broker.picks import Pick, Room, pick
from nbagora_lab.broker.report import fill
from nbagora_lab.broker.rocks import Put
from nbagora_lab.broker.store import Store
from nbagora_lab.broker.turn import Turn
from nbagora_lab.core.errors import LeaseLost, StoreCorrupt
from nbagora_lab.core.events import scheduling_of

__all__ = ["Leases", "lost_leases"]

_Tell = Callable[[Collection[str], Sequence[tuple[str, bytes]], Sequence[int]], None]
_SWEPT = 32  # leases that are over until what the store has of them is taken out, with something else or by itself


class _Move:
    """How a turn moves on.

    Attributes:
        turn: The turn.
        done: Offsets that are acked, or dead.
        uncounted: Offsets whose last attempt does not count.
        over: Whether its lease ends even if something of it is still out.
        pause: Seconds for which it is then kept back.
        committed, bits, runs: Where the turn then stands (`reckon`); `bits` is its `done`.
        leaves: Whether its lease ends.
    """

    __slots__ = ("bits", "committed", "done", "leaves", "over", "pause", "runs", "turn", "uncounted")

    def __init__(
        self, turn: Turn, done: list[int], *, uncounted: Collection[int] = (), over: bool = False, pause: float = 0.0
    ) -> None:
        self.turn = turn
        self.done = done
        self.uncounted = uncounted
        self.over = over
        self.pause = pause

    def reckon(self) -> None:
        """Finds out where the turn will stand."""
        turn = self.turn
        self.committed, self.bits = turn.acked(self.done)
        self.runs = turn.recount(dict.fromkeys(self.uncounted, -1)) if self.uncounted else turn.runs
        self.leaves = self.over or self.committed >= turn.leased


class Leases:
    """The leases of all groups of a store. Everything is called under the engine's lock.

    Args:
        store: The open store.
        tell: Wakes who watches topics that were written; the entries and their offsets.
    """

    def __init__(self, store: Store, tell: _Tell) -> None:
        self._tell = tell
        self._store = store
        self._rocks = store.rocks
        self._hot = store.hot
        self._writer = store.writer
        self._clock = store.clock

    def receive(
        self,
        group: Dispatch,
        client: Client,
        *,
        limit: int,
        max_bytes: int | None,
        lease: float,
        attempt_id: str,
        now: float,
    ) -> Batch:
        """See `Groups.receive`."""
        if attempt_id and (again := self._again(group, client, attempt_id)) is not None:
            fill(group, again, client, now)
            return again
        batch = Batch()
        room = None if max_bytes is None else Room(group.stored, max_bytes)
        picks = pick(group, client, limit, now, batch.held, room)
        if picks:
            self._store.lease = number = self._store.lease + 1
            grant = Grant(number, client.name, attempt_id)
            self._lease(group, grant, picks, now + lease, batch)
            if attempt_id:
                grant.batch = batch
        if len(batch) < limit:
            fill(group, batch, client, now)
        return batch

    @staticmethod
    def _again(group: Dispatch, client: Client, attempt_id: str) -> Batch | None:
        """What a receive of that id was given before, as far as it is still out."""
        for grant in group.grants.values():
            if grant.attempt_id == attempt_id and grant.client == client.name and grant.batch is not None:
                out = {(turn.topic, offset) for turn in grant.turns for offset in turn.out()}
                return Batch([one for one in grant.batch if (one.topic, one.offset) in out])
        return None

    def _lease(self, group: Dispatch, grant: Grant, picks: list[Pick], until: float, batch: Batch) -> None:
        ends: dict[Turn, int] = {}
        wanted: list[bytes] = []
        record_key, handed_pair = keys.record_key, keys.handed_pair
        for turn, offsets in picks:
            ends[turn] = offsets[-1] + 1
            topic_number = turn.number
            for offset in offsets:
                wanted.append(record_key(topic_number, offset))  # noqa: PERF401 -- for one it would take twice as long
        records = self._rocks.families["records"]
        found = records.get(wanted) if len(wanted) > 1 else [records.get(wanted[0])]
        if None in found:
            offset, turn = [(offset, turn) for turn, offsets in picks for offset in offsets][found.index(None)]
            raise StoreCorrupt(f"record {offset} of {turn.topic} is missing", "restore the store from a copy")
        number = grant.number
        handed = b"".join([handed_pair(turn.number, end) for turn, end in ends.items()])
        self._writer.write(("handed", keys.handed_key(group.number, number), handed))
        for turn, end in ends.items():
            turn.runs = turn.tried(end) if turn.runs else ((end, 1),)
            turn.grant = grant
            turn.leased = end
            turn.until = until
        grant.turns = ends
        group.grants[number] = grant
        self._watch(group, grant, until)
        redelivered, stored = 0, iter(found)
        for turn, offsets in picks:
            topic, runs = turn.topic, turn.runs
            for offset in offsets:
                attempt = runs[0][1] if len(runs) == 1 else turn.attempts(offset)
                redelivered += attempt > 1
                batch.append(Delivery(topic, offset, number, attempt, next(stored)))
        group.tally.redelivered += redelivered
        group.tally.received += len(found)

    def ack(
        self,
        group: Dispatch,
        handles: Collection[Given],
        costs: dict[Handle, float],
        send: Sequence[tuple[str, bytes]],
        now: float,
    ) -> tuple[list[int], Collection[str], list[Handle]]:
        """See `Groups.ack`.

        Returns:
            The offsets of what was sent, the topics that were written, the handles that were lost.
        """
        held, lost = self._held(group, handles, now)
        if lost and send:
            return [], (), lost
        moves, acked = [], 0
        for turn, done in held.items():
            moves.append(_Move(turn, done))
            acked += len(done)
        offsets, touched = self._move(group, moves, send, now)
        group.tally.acked += acked
        for handle, cost in costs.items():
            if handle not in lost:
                self._correct(group, handle, cost)
        return offsets, touched, lost

    def _correct(self, group: Dispatch, handle: Handle, cost: float) -> None:
        hot = self._hot.look(handle.topic)
        stored = hot and self._rocks.families["records"].get(keys.record_key(hot.number, handle.offset))
        if stored:
            plan = scheduling_of(stored)
            said = 1.0 if group.spec.unit == "messages" else plan.cost
            group.correct(handle.topic, plan, cost - said)

    def extend(self, group: Dispatch, handles: Collection[Given], lease: float, now: float) -> list[Handle]:
        """See `Groups.extend`; returns the handles that were lost."""
        held, lost = self._held(group, handles, now)
        until = now + lease
        grants = {turn.grant for turn in held}
        for turn in held:
            turn.until = until
        for grant in grants:
            if grant is not None:
                self._watch(group, grant, until)
        return lost

    def fail(self, group: Dispatch, handles: Collection[Given], pause: float | None, now: float) -> list[Handle]:
        """See `Groups.fail`; returns the handles that were lost."""
        held, lost = self._held(group, handles, now)
        moves = []
        for turn, failed in held.items():
            attempts = max(turn.attempts(offset) for offset in failed)
            wait = group.spec.pause(attempts) if pause is None else pause
            others = [offset for offset in turn.out() if offset not in failed]
            moves.append(_Move(turn, [], uncounted=others, over=True, pause=wait))
        self._bury(group, moves, now)
        return lost

    def release(self, group: Dispatch, handles: Collection[Given], now: float) -> list[Handle]:
        """See `Groups.release`; returns the handles that were lost."""
        held, lost = self._held(group, handles, now)
        self.give_back(group, held, now)
        return lost

    def give_back(self, group: Dispatch, turns: Iterable[Turn], now: float) -> None:
        """Ends leases as if nothing had been handed out."""
        self._move(group, [_Move(turn, [], uncounted=turn.out(), over=True) for turn in turns if turn.grant], (), now)

    def settle(self, group: Dispatch, turn: Turn, now: float) -> None:
        """Takes over what the store says of a turn; a lease that nobody was told of ends."""
        group.stored.reload(turn)
        if turn.grant is not None:
            if turn.grant.number not in group.grants:
                group.end_grant(turn)
            elif not turn.out():
                group.end_grant(turn, acked=True)
            else:
                self._watch(group, turn.grant, turn.until)
                return
        if turn.drained:
            group.forget(turn)
        else:
            group.make_ready([turn], now)

    def _watch(self, group: Dispatch, grant: Grant, until: float) -> None:
        """Looks at a grant when something of it may end; what is extended is looked at when it would have ended."""
        if grant.timer is not None and grant.timer.action is not None:
            if grant.timer.when <= until:
                return
            group.timers.cancel(grant.timer)
        grant.timer = group.timers.at(until, lambda: self._end(group, grant))

    def _end(self, group: Dispatch, grant: Grant) -> None:
        """A lease's time has come, unless it was extended."""
        now = self._clock.now()
        over = [turn for turn in grant.turns if turn.until <= now]
        if len(over) < len(grant.turns):
            self._watch(group, grant, min(turn.until for turn in grant.turns if turn.until > now))
        if over:
            self._bury(group, [_Move(turn, [], over=True) for turn in over], now)

    def _bury(self, group: Dispatch, moves: list[_Move], now: float) -> None:
        """Moves, and what has been handed out too often becomes a dead letter."""
        letters = []
        for move in moves:
            turn = move.turn
            for offset in turn.out():
                attempts = turn.attempts(offset)
                if attempts >= group.spec.max_attempts and offset not in move.uncounted:
                    stored = self._rocks.families["records"].get(keys.record_key(turn.number, offset))
                    letter = pack_letter(turn.topic, offset, attempts, stored, epoch=self._writer.epoch, now=now)
                    letters.append((dead_topic(group.name), letter))
                    move.done.append(offset)
            if not set(turn.out()) - set(move.done) - set(move.uncounted):
                move.pause = 0.0  # what failed is dead, nothing needs a pause
        group.tally.dead += len(letters)
        offsets, touched = self._move(group, moves, letters, now)
        self._tell(touched, letters, offsets)

    def _move(
        self, group: Dispatch, moves: list[_Move], send: Sequence[tuple[str, bytes]], now: float
    ) -> tuple[list[int], Collection[str]]:
        offsets: list[int] = []
        touched: Collection[str] = ()
        if not moves and not send:
            return offsets, touched
        for move in moves:
            move.reckon()
        if not send and (put := self._put(group, moves)) is not None:
            self._writer.write(put)
        else:
            batch = self._batch(group, moves)
            if send:
                offsets, touched = self._writer.commit(send, batch)
            else:
                self._writer.write(batch)
            group.over.clear()
        waiting = []
        for move in moves:
            turn, committed, runs = move.turn, move.committed, move.runs
            if move.leaves:
                group.end_grant(turn, acked=not move.over)
            turn.committed, turn.done = committed, move.bits
            turn.runs = runs if runs and runs[-1][0] > committed else ()
            if turn.grant is not None:
                continue
            if committed >= turn.end:
                if turn.parked:
                    group.unpark(turn)
                del group.turns[turn.key]
            elif move.pause > 0:
                group.park(turn, "back-off", now + move.pause)
            else:
                waiting.append(turn)
        group.make_ready(waiting, now)
        return offsets, touched

    def _put(self, group: Dispatch, moves: list[_Move]) -> Put | None:
        """What one topic's move writes where it leaves more to read, as that needs no batch; None: there is more."""
        if len(moves) > 1 or group.single or len(group.over) >= _SWEPT:
            return None
        [move] = moves
        turn, committed = move.turn, move.committed
        if committed >= turn.end:
            return None
        packed = Turn.pack(committed, move.bits, move.runs, self._store.lease)
        return "progress", keys.waiting_key(group.number, turn.number), packed

    def _batch(self, group: Dispatch, moves: list[_Move]) -> WriteBatch:
        """What moves write, and the end of leases that have been over for a while."""
        number, counted = group.number, self._store.lease
        batch, hot_of = WriteBatch(raw_mode=True), self._hot.hot
        handles = self._rocks.handles  # never one of them by itself: a traceback must not keep the store open
        for move in moves:
            turn, committed, runs = move.turn, move.committed, move.runs
            if turn.single:
                key = keys.waiting_record_key(number, turn.number, turn.committed)
                if committed > turn.committed:
                    batch.delete(key, handles["waiting"])
                else:
                    attempts = keys.ATTEMPTS.pack(runs[0][1] if runs else 0, counted)
                    batch.put(key, attempts + turn.topic.encode(), handles["waiting"])
                continue
            key = keys.waiting_key(number, turn.number)
            batch.put(key, Turn.pack(committed, move.bits, runs, counted), handles["progress"])
            if committed >= turn.end:
                batch.delete(key, handles["waiting"])
                if (hot := hot_of(turn.topic)) is not None:
                    hot.listed &= ~group.bit
        for lease in group.over:
            batch.delete(keys.handed_key(number, lease), handles["handed"])
        return batch

    @staticmethod
    def _held(group: Dispatch, handles: Collection[Given], now: float) -> tuple[dict[Turn, list[int]], list[Handle]]:
        """What is out under these handles, and those that were lost. Who names them lives."""
        held: dict[Turn, list[int]] = {}
        lost = []
        turns, single, heard = group.turns, group.single, None
        for one in handles:
            topic, offset, number = one.topic, one.offset, one.lease
            turn = turns.get((topic, offset) if single else topic)
            if turn is not None and (grant := turn.grant) is not None and grant.number == number:
                if turn.committed <= offset < turn.leased and not (turn.done and turn.is_done(offset)):
                    if turn in held:
                        held[turn].append(offset)
                    else:
                        held[turn] = [offset]
                elif not 0 <= offset < turn.leased:
                    lost.append(Handle(topic, offset, number))
                if grant is not heard:
                    heard = grant
                    if (client := group.clients.get(grant.client)) is not None:
                        client.seen = now
            elif not (group.was_acked(topic, offset, number) and group.stored.is_acked(topic, offset)):
                lost.append(Handle(topic, offset, number))
        return held, lost


def lost_leases(group: str, lost: list[Handle]) -> LeaseLost:
    """The error that tells of them."""
    first = lost[0]
    more = f" and {len(lost) - 1} more are" if len(lost) > 1 else " is"
    return LeaseLost(
        f"record {first.offset} of {first.topic}{more} not leased under that number in the group '{group}'",
        "its lease has ended and it is handed out again; renew leases while you work, and drop this result",
        lost,
    )
