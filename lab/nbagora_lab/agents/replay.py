"""Runs as they are on record: replayed without a call, compared step by step, and run again from any step.

`replay` reads and calls nothing: no model, no tool, no socket. `diff` compares two runs by what was asked, decided,
called and answered. `Rerun` is what a message carries so that a new task takes over the steps of another one up to one
of them, and goes on live from there, with another prompt, another model, or another answer of a tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbagora_lab.broker.api import Log
from nbagora_lab.core.errors import UsageError, did_you_mean
from nbagora_lab.inspect.steps import Step, read_steps

__all__ = ["MODEL", "RERUN", "Difference", "Rerun", "diff", "replay"]

MODEL = "urn:nbagora:model:1"
"""Key of a message's metadata under which the lab's own user says which model answers, this once."""

RERUN = "urn:nbagora:rerun:1"
"""Key of a message's metadata under which a `Rerun` travels."""


def replay(log: Log, topic: str, task: str = "", *, until: int | None = None) -> Iterator[Step]:
    """The steps of a run as they were, in the order in which they began; calls nothing.

    Args:
        log: The engine.
        topic: Full name of the session topic.
        task: Id of the task; empty for all of the topic.
        until: Offset to read to, included; None for all there is.
    """
    return read_steps(log, topic, task, until=until)


@dataclass(frozen=True, slots=True)
class Rerun:
    """From where a task is run again, and what is to be different.

    Attributes:
        topic: Full name of the session topic that the former task is on.
        task: The former task's id.
        at: Path of the step from which it goes on live; the steps that began before are taken over.
        answers: Other results of steps that are taken over, by their paths; the step itself may be among them.
        model: What answers from there; empty for what the agent has.
    """

    topic: str
    task: str
    at: str
    answers: dict[str, Any] = field(default_factory=dict)
    model: str = ""

    def as_json(self) -> dict[str, Any]:
        """As a message's metadata carries it; answers as text, since metadata keeps neither the order of members nor
        whole numbers."""
        return {
            "topic": self.topic,
            "task": self.task,
            "at": self.at,
            "answers": json.dumps(self.answers, ensure_ascii=False),
            "model": self.model,
        }

    @classmethod
    def parse(cls, told: dict[str, Any]) -> Rerun:
        """Reads what `as_json` wrote.

        Raises:
            UsageError: It is none.
        """
        try:
            return cls(
                str(told["topic"]),
                str(told["task"]),
                str(told["at"]),
                dict(json.loads(told.get("answers", "{}"))),
                str(told.get("model", "")),
            )
        except (KeyError, TypeError, ValueError):
            raise UsageError("the message asks for a run again, and doesn't say of what", "use lab.rerun(…)") from None

    def given(self, log: Log) -> dict[str, Step]:
        """The steps that are taken over, by path.

        Raises:
            UsageError: The former task has no step of that path, or none to be answered otherwise.
        """
        steps = {step.key: step for step in read_steps(log, self.topic, self.task)}
        if self.at not in steps:
            raise UsageError(f"the task {self.task} has no step '{self.at}'", did_you_mean(self.at, steps))
        for path in self.answers:
            if path not in steps:
                raise UsageError(f"the task {self.task} has no step '{path}'", did_you_mean(path, steps))
        began = steps[self.at].began
        taken: dict[str, Step] = {}
        for path, step in steps.items():
            if path in self.answers:
                step.state, step.output, step.error = "done", self.answers[path], None
                taken[path] = step
            elif step.began < began and step.state != "running" and not self.at.startswith(f"{path}/"):
                taken[path] = step
        return taken


@dataclass(frozen=True, slots=True)
class Difference:
    """One step in which two runs differ.

    Attributes:
        step: Its path.
        what: ``only in the first``, ``only in the second``, ``asked``, ``answered``, ``decided``, ``called`` or
            ``failed``: the first of these in which they differ.
        first, second: What that was in each run.
    """

    step: str
    what: str
    first: Any
    second: Any


def diff(first: Sequence[Step], second: Sequence[Step]) -> list[Difference]:
    """Where two runs differ, step by step, in the order of the first run's.

    What a model decided is compared by the tools that it called and with what; what it answered, by its words.
    """
    one, other = ({step.key: step for step in steps} for steps in (first, second))
    found = []
    for key in [*one, *(key for key in other if key not in one)]:
        if key not in other:
            found.append(Difference(key, "only in the first", _result(one[key]), None))
        elif key not in one:
            found.append(Difference(key, "only in the second", None, _result(other[key])))
        else:
            found += _compare(one[key], other[key])
    return found


def _compare(one: Step, other: Step) -> list[Difference]:
    for what, of in (
        ("asked", _asked),
        ("decided", _decided),
        ("answered", _said),
        ("failed", _error),
    ):
        was, now = of(one), of(other)
        if was != now:
            if what == "asked" and one.kind == "tool":
                what = "called"  # noqa: PLW2901 -- with what a tool is called says who called it
            return [Difference(one.key, what, was, now)]
    return []


def _error(step: Step) -> Any:
    return step.error


def _asked(step: Step) -> Any:
    return step.input.get("new") if step.kind == "model" and isinstance(step.input, dict) else step.input


def _parts(step: Step, kind: str) -> list[dict[str, Any]]:
    if step.kind != "model" or not isinstance(step.output, dict):
        return []
    return [part for part in step.output.get("parts", ()) if part.get("part_kind") == kind]


def _decided(step: Step) -> Any:
    return [{"call": part["tool_name"], "with": _arguments(part.get("args"))} for part in _parts(step, "tool-call")]


def _arguments(args: Any) -> Any:
    """A call's arguments; those of a stream are text."""
    try:
        return json.loads(args) if isinstance(args, str) else args
    except ValueError:
        return args


def _said(step: Step) -> Any:
    if step.kind != "model":
        return step.output
    return "".join(part["content"] for part in _parts(step, "text"))


def _result(step: Step) -> Any:
    return _decided(step) or _said(step) if step.state == "done" else step.error
