"""What the session topic of a context is called."""

from __future__ import annotations

from urllib.parse import quote, unquote

from nbagora_lab.broker.model import EVENTS, join_topic

__all__ = ["SESSIONS", "context_key", "context_of", "parse_context_key", "session_topic"]

SESSIONS = "sessions"
"""The parent topic of all session topics."""


def context_key(owner: str, context_id: str) -> str:
    """The lite topic of a context.

    The lab's own user (owner ``""``) has the bare id; others have theirs in front, as has an id that means something
    of its own in a topic's name.

    Example:
        >>> context_key("", "ctx-1"), context_key("bob", "ctx-1")
        ('ctx-1', 'bob:ctx-1')
    """
    if not owner and ":" not in context_id and context_id != EVENTS:
        return context_id
    return f"{quote(owner, safe='')}:{context_id}"


def parse_context_key(key: str) -> tuple[str, str]:
    """Owner and context id of a lite topic; the inverse of `context_key`."""
    owner, colon, context_id = key.partition(":")
    return (unquote(owner), context_id) if colon else ("", key)


def context_of(task_id: str) -> str:
    """Id of the context of a task, which the task's own begins with."""
    return task_id.rpartition(".")[0]


def session_topic(owner: str, context_id: str) -> str:
    """Full name of the session topic of an owner's context.

    Raises:
        BadName: The context can't be called so.
    """
    return join_topic(SESSIONS, context_key(owner, context_id))
