"""What a person may say of an agent when it is defined: each option once, for Python, cells and files."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["AgentOptions"]


class AgentOptions(BaseModel):
    """Options of an agent.

    Attributes:
        skills: ``"id: description"`` each.
        tags: Words to find it by.
        version: Its version; by default the next ``0.0.N`` when its card has changed.
        reply: What it may answer with: ``task``, ``message`` or ``either``.
        description: What it does; by default the first paragraph of its docstring.
        model: What answers for a pydantic-ai `Agent`: ``rules``, ``tape:FILE``, ``live:NAME``, …; by default its own
            model, or else the lab's.
        auth: Ways to show who calls, any one of which will do: as `a2a.schemes.parse_scheme` reads them. None: the
            lab's own token.
        scopes: What skills want of a caller, ``"skill: scope …"`` each.
        private_skills: Skills as above that only the extended card tells of.
        extensions: URIs of extensions that a caller must know.
        concurrency: Tasks that it works on at once; the others wait in its inbox. By default the setting of that name.
        window: Turns of a conversation that a pydantic-ai `Agent`'s model is given word for word, the rest in short;
            0: all. By default the setting ``memory_window``.
        resumable: Whether a task that was at work when its process died is called anew, instead of failing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    skills: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    version: str | None = None
    reply: str = "task"
    description: str | None = None
    model: str = ""
    auth: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    private_skills: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    concurrency: int | None = Field(default=None, ge=1)
    window: int | None = Field(default=None, ge=0)
    resumable: bool = False
