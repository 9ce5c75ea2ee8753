"""Discuss: members that speak in turn on one topic, which anybody can read, join and speak on.

A discussion has no topic of its own: it is what its moderator, the flow, writes on the session topic of its task. Each
turn is a step whose result is what was said. Who isn't a member speaks by a record of type ``discussion.word`` on the
same topic, from whichever notebook or process; the moderator takes what it finds there before each turn, and its step
``floor`` says where in the discussion it stands. `Discussion` reads, follows and speaks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbagora_lab.agents.task import running_task
from nbagora_lab.core.errors import FlowFailed, UsageError
from nbagora_lab.core.events import Flags, RecordType
from nbagora_lab.flows.member import (
    Asked,
    Member,
    ask,
    attempt,
    container,
    member_of,
    plain,
    reason,
    step,
    text_of_value,
)

if TYPE_CHECKING:
    from nbagora_lab.broker import Broker
    from nbagora_lab.core.events import Record

__all__ = ["Discussion", "Word", "discuss"]


async def discuss(
    message: object,
    members: Mapping[str, Asked],
    *,
    speaker: Asked | None = None,
    stop: Asked | None = None,
    rounds: int = 3,
    conclude: Asked | None = None,
) -> dict[str, Any]:
    """Members speak in turn until it is enough.

    A function is asked with ``{"topic", "turns", "you"}``; an agent gets the same as text, each line with its author.
    A member that fails is left out from then on. It ends when `stop` says so, when a whole round repeats the one
    before it word for word, when all rounds are over, or when nobody is left.

    Args:
        message: What is discussed.
        members: Who speaks, by name; `person` among them is asked as a user is.
        speaker: Chooses who is next: asked with ``{"topic", "turns", "members"}``, names one of these. Whatever else
            it says, and one that has just spoken, gives the turn to the next in order; so does having no `speaker`.
        stop: Is asked with ``{"topic", "turns"}`` after each turn; True ends the discussion.
        rounds: Turns at most, counted per member.
        conclude: Sums up: asked with ``{"topic", "turns"}``; by default the last word stands.

    Returns:
        ``{"conclusion", "ended", "turns": [{"author", "text"}, …]}``.

    Raises:
        FlowFailed: Every member failed before anybody had said a word.
        UsageError: No members, or no rounds.
    """
    table = {name: member_of(one, name) for name, one in members.items()}
    chooser = member_of(speaker) if speaker is not None else None
    judge = member_of(stop) if stop is not None else None
    summer = member_of(conclude) if conclude is not None else None
    if not table or rounds < 1:
        raise UsageError(f"discuss() with {len(table)} members and {rounds} rounds", "it takes one of each at least")

    async def run() -> dict[str, Any]:
        moderator = _Moderator(plain(message), table)
        ended = await moderator.lead(chooser, judge, rounds * len(table))
        if not moderator.turns:
            raise FlowFailed(f"nobody said a word: {'; '.join(moderator.left.values())}", "mend the members")
        conclusion: Any = moderator.turns[-1]["text"]
        if summer is not None:
            conclusion = await moderator.ask(summer)
        return {"conclusion": conclusion, "ended": ended, "turns": moderator.turns}

    found: dict[str, Any] = await container("discuss", run, message, members=list(table))
    return found


class _Moderator:
    """Leads one discussion."""

    def __init__(self, question: Any, table: Mapping[str, Member]) -> None:
        self.question = question
        self.table = table
        self.turns: list[dict[str, Any]] = []
        self.left: dict[str, str] = {}  # why who is no longer there
        self._taken = -1  # words of others that were taken; at first those that were there before are left out
        self._read = -1  # offset up to which the topic was read for them
        self._found: list[dict[str, Any]] = []

    async def lead(self, chooser: Member | None, judge: Member | None, most: int) -> str:
        """Gives turn after turn; returns why it ended."""
        last = ""
        for number in range(1, most + 1):
            await self._take_the_floor()
            name = await self._next(last, chooser)
            if not name:
                return "nobody is left"
            said, error = await attempt(self.ask(self.table[name], you=name, about={"turn": number}))
            if error is not None:
                self.left[name] = f"{name}: {reason(error)}"
                continue
            last = name
            self.turns.append({"author": name, "text": text_of_value(said)})
            if judge is not None and await self.ask(judge) is True:
                return f"'{judge.name}' ended it"
            if self._repeats():
                return "nothing new was said"
        return "all rounds are over"

    async def ask(self, member: Member, you: str = "", about: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Asks somebody about the discussion so far."""
        if member.kind == "function":
            brief = {"topic": self.question, "turns": [dict(turn) for turn in self.turns]} | (
                {"you": you} if you else {}
            )
            return await ask(member, brief | more, about=about)
        lines = [f"Topic: {text_of_value(self.question)}", *(f"{one['author']}: {one['text']}" for one in self.turns)]
        lines += [f"{key}: {', '.join(value)}" for key, value in more.items()] + ([f"You are {you}."] if you else [])
        return await ask(member, "\n".join(lines), about=about)

    async def _next(self, last: str, chooser: Member | None) -> str:
        """Who speaks next; empty where nobody is left."""
        order = [name for name in self.table if name not in self.left]
        if not order:
            return ""
        chosen: Any = None
        if chooser is not None and len(order) > 1:
            chosen, _ = await attempt(self.ask(chooser, members=order))
        if isinstance(chosen, str) and chosen.strip() in order and chosen.strip() != last:
            return chosen.strip()
        names = list(self.table)
        after = names.index(last) + 1 if last else 0
        return next(name for name in [*names[after:], *names[:after]] if name in order)

    async def _take_the_floor(self) -> None:
        """Takes the words of those who aren't members, where they stand on the topic."""
        floor = await step("floor", self._words, idempotent=True, about={"floor": True})
        self._taken = floor["taken"]
        self.turns += floor["words"]

    async def _words(self) -> dict[str, Any]:
        for record in running_task().journal.others(RecordType.WORD, after=self._read):
            self._read = record.offset
            self._found.append(_word_of(record))
        words = self._found[self._taken :] if self._taken >= 0 else []
        return {"taken": len(self._found), "words": words}

    def _repeats(self) -> bool:
        """Whether the last round said what the one before it had said."""
        size = len(self.table) - len(self.left)
        said = [(turn["author"], turn["text"]) for turn in self.turns]
        return len(said) >= 2 * size and sorted(said[-size:]) == sorted(said[-2 * size : -size])


def _word_of(record: Record) -> dict[str, Any]:
    """What a record says, whoever wrote it and however."""
    try:
        body = json.loads(record.body)
    except ValueError:
        body = record.body.decode("utf-8", "replace")
    if not isinstance(body, Mapping):
        body = {"text": body if isinstance(body, str) else text_of_value(body)}
    author = body.get("author") or record.source or "somebody"
    return {"author": str(author), "text": text_of_value(body.get("text", ""))}


@dataclass(frozen=True, slots=True)
class Word:
    """What was said in a discussion.

    Attributes:
        author: Who said it: a member, or whoever took the floor.
        text: What was said.
        offset: Where on the topic the moderator put it.
    """

    author: str
    text: str
    offset: int


class Discussion:
    """A discussion as others see it: from another cell, another notebook, another process.

    Args:
        broker: The broker that has its topic.
        topic: Full name of the session topic; a task's ``.topic``.

    Example:
        >>> discussion = Discussion(lab.broker, task.topic)
        >>> discussion.say("Not by plane, please.", author="李雷")
        >>> for word in discussion.follow(timeout=10):
        ...     print(word.author, word.text)
    """

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self.topic = topic

    @property
    def words(self) -> list[Word]:
        """All that was said so far."""
        ear = _Ear()
        return [word for record in self._broker.read(self.topic) for word in ear.hear(record)]

    def follow(self, *, after: int = -1, timeout: float | None = None) -> Iterator[Word]:
        """What is said from an offset on, as it is said, until the discussion ends.

        Args:
            after: Offset of the last word that is known already.
            timeout: Seconds to wait at most for the next record.
        """
        ear = _Ear()
        for record in self._broker.tail(self.topic, after=-1, timeout=timeout):
            yield from (word for word in ear.hear(record) if word.offset > after)
            if ear.ended:
                return

    def say(self, text: str, *, author: str) -> int:
        """Takes the floor: the moderator hears it before the next turn.

        Returns:
            The offset of the word.
        """
        body = json.dumps({"author": author, "text": text}, ensure_ascii=False)
        return self._broker.send(self.topic, body, type=RecordType.WORD, datacontenttype="application/json").offset


class _Ear:
    """Makes words of the moderator's records, in their order.

    Attributes:
        ended: Whether the discussion has ended.
    """

    def __init__(self) -> None:
        self.ended = False
        self._steps: dict[str, Mapping[str, Any]] = {}  # intents of turns, floors and discussions, by path

    def hear(self, record: Record) -> list[Word]:
        """What a record says."""
        if record.type != RecordType.FLOW_STEP or record.flags & Flags.REFERENCE:
            return []
        body = json.loads(record.body)
        if body["phase"] == "intent":
            if "turn" in body or body.get("floor") or body.get("flow") == "discuss":
                self._steps[body["step"]] = body
                self.ended = False
            return []
        intent = self._steps.pop(body["step"], None)
        if intent is None:
            return []
        self.ended = intent.get("flow") == "discuss"
        if body["phase"] == "error" or self.ended:
            return []
        if intent.get("floor"):
            return [Word(one["author"], one["text"], record.offset) for one in body["output"]["words"]]
        return [Word(body["name"], text_of_value(body["output"]), record.offset)]
