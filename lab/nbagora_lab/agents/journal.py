"""The journal of one task: each step is a record before it is done, and another with what came of it.

A record's type says what kind of step it is (`RecordType.STEP_MODEL`, `STEP_TOOL`, `FLOW_STEP`), its body is JSON:

    {"step": "plan/find_trains", "parent": "plan", "name": "find_trains", "phase": "intent", "input": {"to": "北京"}}
    {"step": "plan/find_trains", "parent": "plan", "name": "find_trains", "phase": "result", "output": ["G1", "G3"]}
    {"step": "plan/find_trains", …, "phase": "error", "error": {"kind": "Unreachable", "what": "…", "hint": "…"}}

with what else is known beside these: ``model``, ``usage``, ``prompts``. How long it took is the difference of the two
records' times. The first intent after an agent began has what makes it what it is under ``agents``.

When a process dies, the run is called anew and asks the journal for the same steps by the same paths:

| of a step there is | then |
|---|---|
| nothing | it is called |
| a result | it is returned, nothing is called |
| an error | it is raised, nothing is called |
| an intent, and the step is idempotent | it is called again |
| an intent, and it is not | nobody knows whether it happened: the user is asked, and decides |

Paths must therefore be the same each time: they are made of the caller's names and counted in the order of the calls.
Steps that run beside one another, and start others only after they have waited, are given keys of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any

from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.agents.message import Message
from nbagora_lab.agents.results import dump, error_of, jsonable, load, told_of
from nbagora_lab.broker.api import Log
from nbagora_lab.core.errors import AgentChanged, GivenUp, StoreError, TaskEnded
from nbagora_lab.core.events import Record, RecordType, decode
from nbagora_lab.inspect.steps import Step, StepFold

__all__ = ["CHOICES", "Journal", "current_step", "digest"]

CHOICES = ("done", "do it", "give up")
"""What the user may answer where nobody knows whether a step happened; ``done`` takes its result after a colon."""

_current: ContextVar[str] = ContextVar("nbagora_step", default="")

_Asker = Callable[[str, Mapping[str, Any]], Coroutine[Any, Any, Message]]
"""Asks the user a question, with metadata for whoever shows it."""


def current_step() -> str:
    """The path of the step that this code is part of; empty outside of one."""
    return _current.get()


def digest(told: Any) -> str:
    """A few characters that stand for a tool in a fingerprint: its schema is long, and says little in a record."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:8]


class Journal:
    """The steps of one task. Owned by the thread that runs its agent, as the task's output is.

    Args:
        live: The task.
        log: The engine.
        ask: How the user is asked.
        resumed: Whether an earlier process, or an earlier call of the agent, may have left steps of this task.
        given: Gives steps of another task that this one takes over, by path, where it is run again from one of them.

    Example:
        >>> async def trip(message, task):
        ...     trains = await task.journal.step(
        ...         RecordType.FLOW_STEP, "find trains", lambda: find_trains("北京"), idempotent=True
        ...     )
        ...     yield f"{len(trains)} trains"
    """

    def __init__(
        self,
        live: LiveTask,
        log: Log,
        ask: _Asker,
        *,
        resumed: bool = False,
        given: Callable[[], Mapping[str, Step]] | None = None,
    ) -> None:
        self._live = live
        self._log = log
        self._ask_user = ask
        self._asking: asyncio.Lock | None = None
        self._counts: Counter[str] = Counter()
        self._begun: list[tuple[str, Mapping[str, Any]]] = []  # agents of this process, and what each is
        self._told = 0  # of these, how many a record tells of
        self._fold = StepFold(log, live.topic)
        self._usage: Counter[str] = Counter()
        self._cost = 0.0
        if resumed:
            self._fold.refresh()
            for step in self.steps.values():
                self._count(step.kind == "model", step.about)
        self._given = given() if given is not None else {}

    def others(self, type_: str, *, after: int = -1) -> list[Record]:
        """Records of a type that stand on the task's topic past an offset, whoever wrote them."""
        found: list[Record] = []
        while batch := self._log.scan(self._live.topic, after=after):
            after = batch[-1][0]
            records = (decode(stored, self._live.topic, offset) for offset, stored in batch)
            found += [record for record in records if record.type == type_]
        return found

    @property
    def steps(self) -> dict[str, Step]:
        """The steps that earlier calls left, by path."""
        return self._fold.steps.get(self._live.id, {})

    def asked(self, name: str) -> list[str]:
        """Paths of the steps of a name in which earlier calls asked a model, in order; "" for the task itself."""
        paths = dict.fromkeys(step.parent for step in self.steps.values() if step.kind == "model")
        return [path for path in paths if not path or self.steps[path].name == name]

    def spent(self) -> dict[str, Any]:
        """What the task's models, and the agents that it asked, took in all.

        Returns:
            ``{"usage": {"input_tokens", "output_tokens"}, "cost"}``, without what is nought.
        """
        usage = {name: number for name, number in self._usage.items() if number}
        return ({"usage": usage} if usage else {}) | ({"cost": round(self._cost, 9)} if self._cost else {})

    def _count(self, model: bool, about: Mapping[str, Any]) -> None:
        """Counts what a step says that it took: one of a model, or an agent's that was asked; others hold these."""
        if model or about.get("member") == "agent":
            usage = about.get("usage") or {}
            self._usage.update({name: int(usage.get(name, 0)) for name in ("input_tokens", "output_tokens")})
            self._cost += float(about.get("cost") or 0.0)

    def begin(self, agent: str, fingerprint: Mapping[str, Any]) -> None:
        """Says what an agent, or a server of tools, is before its steps; on resuming, it must still be that.

        Args:
            agent: Its name.
            fingerprint: What makes it what it is: ``instructions``, ``tools``, ``model``; JSON values, where one level
                of names is compared one by one.

        Raises:
            AgentChanged: It is another one now; names what differs.
        """
        before = self._fold.runs.get(self._live.id, {}).get(agent, [])
        if before and fingerprint not in before:
            raise self._changed(f"'{agent}'", _difference(before[-1], fingerprint))
        if not before and (agent, fingerprint) not in self._begun:
            self._begun.append((agent, fingerprint))

    def _changed(self, what: str, difference: str) -> AgentChanged:
        return AgentChanged(
            f"{what} has changed since the task {self._live.id} began: {difference}",
            "put it back as it was to go on, or ask anew",
        )

    def _same_prompts(self, known: Step) -> None:
        """Looks that a step of an earlier process used the versions of prompts that are used now."""
        for prompt in known.about.get("prompts", ()):
            name, _, before = prompt.rpartition("@")
            now = self._live.prompts.get(name, before)
            if now != before:
                raise self._changed(f"the prompt '{name}'", f"version {before}, now {now}")

    def _intend(self, type_: str, about: dict[str, Any]) -> None:
        """Writes the record before a step."""
        new, self._told = self._begun[self._told :], len(self._begun)
        agents = {"agents": [{"agent": name, "is": fingerprint} for name, fingerprint in new]} if new else {}
        self._live.note(type_, about | {"phase": "intent"} | agents)

    async def step(
        self,
        type_: str,
        name: str,
        call: Callable[[], Awaitable[Any]],
        *,
        key: str = "",
        input: Any = None,  # noqa: A002 -- the record's word
        parent: str | None = None,
        idempotent: bool = False,
        returns: Any = None,
        about: Mapping[str, Any] | None = None,
        tell: Callable[[Any], Mapping[str, Any]] | None = None,
        heard: Callable[[Mapping[str, Any]], None] | None = None,
        same: bool = False,
    ) -> Any:
        """Does a step, unless it is done: gives what came of it then.

        Args:
            type_: `RecordType.STEP_MODEL`, `STEP_TOOL` or `FLOW_STEP`.
            name: What is called.
            call: Calls it.
            key: Its name in the path, where `name` won't do; a second step of one name gets ``.2``, and so on.
            input: What is asked of it, for the record.
            parent: Path of the step that it is part of; None for the one that this code runs in.
            idempotent: Whether it may be done again where nobody knows whether it was; a step that is made of steps
                is, and so is what asks a model.
            returns: Type of what comes of it, for `pydantic.TypeAdapter`, or what stands for one; None for plain JSON.
            about: More for its records: ``model``, ``prompt``.
            tell: Gives more for the last record, from what came of it: ``usage``.
            heard: Is given what the records of a step hold that an earlier process did.
            same: Whether `input` must be what it was when an earlier process began the step.

        Returns:
            What came of it. Without `returns` that is plain JSON, the first time as well: a tuple is a list.

        Raises:
            StepFailed: It failed with an error that is neither Python's nor nbagora's own; these are raised as they
                were, also where a record tells of them.
            GivenUp: Nobody knew whether it had happened, and the user gave it up.
            BadYield: What came of it can't be recorded.
            AgentChanged: It was asked something else before, and `same` is set; or with another version of a prompt.
        """
        above = _current.get() if parent is None else parent
        path = self._path(above, key or name)
        head = {"step": path, "parent": above, "name": name}
        known = self.steps.get(path)
        if known is not None:
            self._same_prompts(known)
        if known is not None and same and known.input != (now := jsonable(input)):
            raise AgentChanged(
                f"the step '{path}' was asked {_short(known.input)} before the crash, and {_short(now)} now",
                "the code has changed, or doesn't do the same each time: put it back to go on, or ask anew",
            )
        known = known or self._take_over(type_, head)
        if known is not None and known.state == "running" and not idempotent:
            known = await self._decide(type_, head, known)
        if known is not None and known.state != "running" and heard is not None:
            heard(known.about)
        if known is not None and known.state == "done":
            return load(returns, known.output)
        if known is not None and known.state == "failed":
            raise error_of(known.error or {})
        self._intend(type_, head | {"input": jsonable(input), **(about or {})})
        token = _current.set(path)
        try:
            value = await call()
            output = dump(returns, value)
        except (TaskEnded, StoreError):
            raise
        except Exception as error:
            told = told_of(error)
            self._live.note(type_, head | {"phase": "error", "error": told})
            again = error_of(told)
            if type(again) is type(error):
                raise
            raise again from error
        finally:
            _current.reset(token)
        took = tell(value) if tell else {}
        self._live.note(type_, head | {"phase": "result", "output": output, **took})
        self._count(type_ == RecordType.STEP_MODEL, {**(about or {}), **took})
        return value if returns is not None else output

    async def ask(self, question: str, *, key: str = "ask", metadata: Mapping[str, Any] | None = None) -> Message:
        """Asks the user, once: an answer that came while no process ran is taken as it came.

        Args:
            question: What to ask.
            key: Its name in the path.
            metadata: For whoever shows the question.
        """
        above = _current.get()
        path = self._path(above, key)
        head = {"step": path, "parent": above, "name": key}
        known = self.steps.get(path)
        known = known or self._take_over(RecordType.FLOW_STEP, head)
        if known is not None and known.state == "done":
            return Message(known.output)
        answer = None
        if known is not None:
            said = self._fold.answers.get(self._live.id, [])
            answer = next((message for offset, message in said if offset > known.began), None)
        if answer is None:
            async with self._questions():  # a task asks one question at a time
                self._intend(RecordType.FLOW_STEP, head | {"input": question})
                answer = (await self._ask_user(question, metadata or {})).raw
        self._live.note(RecordType.FLOW_STEP, head | {"phase": "result", "output": answer})
        return Message(answer)

    def _take_over(self, type_: str, head: dict[str, Any]) -> Step | None:
        """A step of the task that this one repeats, written down as this one's own."""
        step = self._given.get(head["step"])
        if step is None:
            return None
        self._intend(type_, head | {"input": step.input})
        came = {"phase": "error", "error": step.error} if step.error else {"phase": "result", "output": step.output}
        told = {name: step.about[name] for name in ("model", "source", "member") if name in step.about}
        self._live.note(type_, head | came | told | {"from": {"task": step.task, "offset": step.ended}})
        return step

    def _questions(self) -> asyncio.Lock:
        if self._asking is None:
            self._asking = asyncio.Lock()
        return self._asking

    def _path(self, above: str, name: str) -> str:
        path = f"{above}/{name}" if above else name
        self._counts[path] += 1
        count = self._counts[path]
        return path if count == 1 else f"{path}.{count}"

    async def _decide(self, type_: str, head: dict[str, Any], known: Step) -> Step | None:
        """Has the user say what became of a step whose process died.

        Returns:
            The step with its result; None to do it.
        """
        token = _current.set(known.key)
        try:
            while True:
                answer = await self.ask(
                    f"The process ended while '{known.name}' ran, with {_short(known.input)}. Did it happen? "
                    "Answer 'done: <its result>', 'do it', or 'give up'.",
                    key=f"outcome {known.attempts}",
                    metadata={"choices": list(CHOICES), "step": known.key, "input": known.input},
                )
                choice, _, rest = answer.text.partition(":")
                choice = choice.strip().lower()
                if choice == "do it":
                    return None
                if choice == "give up":
                    raise GivenUp(f"'{known.name}' was given up: nobody knows whether it happened", "ask anew")
                if choice == "done":
                    break
        finally:
            _current.reset(token)
        known.output, known.state = _parsed(rest.strip()), "done"
        self._live.note(type_, head | {"phase": "result", "output": known.output, "decided": "user"})
        return known


def _parsed(text: str) -> Any:
    """A result as a person types it: JSON, or else the text."""
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:199] + "…"


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two fingerprints, in words."""
    said = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            said += [f"{name}: '{one}' is new" for one in sorted(new.keys() - old.keys())]
            said += [f"{name}: '{one}' is gone" for one in sorted(old.keys() - new.keys())]
            said += [
                f"{name}: '{one}' was {_short(old[one])}, is {_short(new[one])}"
                for one in sorted(old.keys() & new.keys())
                if old[one] != new[one]
            ]
        else:
            said.append(f"{name} was {_short(old)}, is {_short(new)}")
    return "; ".join(said)
