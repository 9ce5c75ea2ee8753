"""Short memory: what an agent knows of its conversation, a fold over the session topic.

It can be had as it was at any offset: the fold ends there. ``undo`` takes the newest turn out of it: a record, after
which no agent is told of that turn, while everybody can still read it. Where a window is set, a model is given the
newest turns word for word and those before in a summary, which is a record, too; the next one is due when the turns
since then are more than the window again.
"""

from __future__ import annotations

from typing import NamedTuple

from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import dumps, text_of
from nbagora_lab.agents.message import Message
from nbagora_lab.core.errors import NotFound, UsageError
from nbagora_lab.core.events import RecordType, encode
from nbagora_lab.inspect.fold import SessionFold, TaskFold

__all__ = ["ShortMemory", "Turn", "short_memory", "undo"]


class Turn(NamedTuple):
    """What was asked and answered in one task.

    Attributes:
        task: The task's id.
        messages: Its messages, oldest first; of text artifacts one each, as the agent's words.
    """

    task: str
    messages: list[Message]


class ShortMemory(NamedTuple):
    """A conversation as agents are told of it.

    Attributes:
        turns: Its turns, oldest first, without those that were undone.
        summary: What was said in the first of them, in short; empty for none.
        covered: Number of turns that the summary tells of.
    """

    turns: list[Turn]
    summary: str = ""
    covered: int = 0

    @property
    def messages(self) -> list[Message]:
        """All that was said, oldest first."""
        return [message for turn in self.turns for message in turn.messages]

    def without(self, task: str) -> ShortMemory:
        """The same as a task found it: without its own turn."""
        return self._replace(turns=[turn for turn in self.turns if turn.task != task])


def short_memory(
    tasks: TaskLog, owner: str, context_id: str, *, at: int | None = None, reader: str = ""
) -> ShortMemory:
    """What an agent is told of a conversation.

    Args:
        tasks: The task log.
        owner: Whose conversation it is.
        context_id: Which.
        at: Offset of the session topic to fold to; None for now.
        reader: Id of the task that asks: the summaries that it wrote itself are left out, so that it finds the same
            when it goes on after a crash.

    Raises:
        TopicNotFound: The owner has no such context.
    """
    with tasks.lock:
        fold = tasks.session(owner, context_id)
        if at is not None and at < fold.offset:
            fold = tasks.past(fold.topic, context_id, at)
        kept = [task for task in fold.tasks.values() if not task.undone]
        turns = [Turn(task.id, _said(task)) for task in kept]
        until, text = _newest(fold, reader)
    order = [turn.task for turn in turns]
    return ShortMemory(turns, text, order.index(until) + 1) if until in order else ShortMemory(turns)


def undo(tasks: TaskLog, owner: str, context_id: str) -> str:
    """Takes the newest turn of a conversation out of the short memory.

    Returns:
        Id of that task; its records stay.

    Raises:
        NotFound: No turn is left.
        TopicNotFound: The owner has no such context.
        UsageError: That task has not ended.
    """
    with tasks.lock:
        fold = tasks.session(owner, context_id)
        newest = next((task for task in reversed(fold.tasks.values()) if not task.undone), None)
        if newest is None:
            raise NotFound(f"nothing is left to undo in the context {context_id}", "what was said stays on its topic")
        if not newest.terminal:
            raise UsageError(f"the task {newest.id} has not ended", f"end it first: %task cancel {newest.id}")
        log = tasks.log
        record = encode(RecordType.UNDO, dumps({}), subject=newest.id.encode(), time=tasks.clock.now(), epoch=log.epoch)
        log.append([(fold.topic, record)])
        return newest.id


def _newest(fold: SessionFold, reader: str) -> tuple[str, str]:
    """The newest summary that somebody else wrote: up to which task, and the text."""
    return next(((until, text) for by, until, text in reversed(fold.summaries) if by != reader), ("", ""))


def _said(fold: TaskFold) -> list[Message]:
    task = fold.as_json()
    said = [Message(one) for one in task.get("history", [])]
    texts = [text_of(artifact["parts"]) for artifact in task.get("artifacts", [])]
    said += [Message({"role": "ROLE_AGENT", "parts": [{"text": text}], "taskId": fold.id}) for text in texts if text]
    if fold.reply is not None:
        said.append(Message(fold.reply))
    elif "message" in task["status"]:
        said.append(Message(task["status"]["message"]))
    return said
