"""`%prompt` and `%%prompt`: prompts with variables, in versions."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from nbagora.command import Arg, Command, Face
from nbagora.show import Note
from nbagora.table import Table
from nbagora_lab.core.errors import UsageError

if TYPE_CHECKING:
    from nbagora_lab.registry import AgentVersion, Published

__all__ = ["List", "Prompt", "Render"]

_VARIABLE = re.compile(r"([^\W\d]\w*)(?::(\w+))?(?:=(.*))?\Z", re.DOTALL)
_Word = Annotated[str, Arg(positional=True)]


class List(Command, noun="prompt", verb="ls"):
    """Lists the prompts, each in its latest version."""

    def run(self, face: Face) -> Table[AgentVersion]:
        """The latest versions."""
        return Table(
            face.lab.registry.ls(kind="prompt"),
            {
                "name": lambda one: one.name,
                "version": lambda one: one.version,
                "labels": lambda one: one.labels,
                "variables": lambda one: [variable["name"] for variable in one.card.get("variables", ())],
                "template": lambda one: one.card["template"],
            },
            "no prompts yet: %%prompt NAME publishes a cell as one",
        )


class Render(Command, noun="prompt", verb="render"):
    """Writes a prompt out with the values of its variables."""

    name: _Word = Field(description="the prompt's name")
    ref: str = Field("latest", description="a version or a label")
    value: Annotated[tuple[str, ...], Arg(metavar="NAME=VALUE")] = Field((), description="a variable's value")

    def run(self, face: Face) -> Note:
        """The text."""
        version = face.lab.registry.get(self.name, self.ref, kind="prompt")
        kinds = {variable["name"]: variable["type"] for variable in version.card.get("variables", ())}
        values = {}
        for text in self.value:
            name, sign, value = text.partition("=")
            if not sign:
                raise UsageError(f"'{text}' gives no value", "write --value city=Beijing")
            values[name] = _value(name, kinds.get(name, "string"), value)
        return Note(face.lab.registry.render(self.name, self.ref, **values))


class Prompt(Command, cell="prompt"):
    """Publishes the cell as a version of a prompt; {{name}} stands for a variable.

    --variable days:integer=2 says that a variable is an integer and has a default; one that is not told of is a string
    that must be given. A running agent that writes it out takes the new version at its next step.
    """

    name: _Word = Field(description="the prompt's name")
    variable: Annotated[tuple[str, ...], Arg(metavar="NAME:TYPE=DEFAULT")] = Field((), description="a variable")
    description: str = Field("", description="what it is for; unset, its name")
    tag: tuple[str, ...] = Field((), description="word that it can be found by")
    version: str | None = Field(None, description="its version; unset, the next 0.0.N where it changed")
    label: tuple[str, ...] = Field((), description="label to point at it, besides latest")
    why: str = Field("", description="the reason, which stands in the audit")
    template: Annotated[str, Arg(rest=True)] = Field(description="the cell's body")

    def run(self, face: Face) -> Published:
        """What became of it."""
        registry = face.lab.registry.because(self.why)
        content = {
            "name": self.name,
            "description": self.description or self.name,
            "template": self.template.strip("\n"),
            "tags": list(self.tag),
            "variables": [_variable(text) for text in self.variable],
        }
        published = registry.publish(content, version=self.version, kind="prompt")
        for label in self.label:
            registry.label(self.name, label, published.version, kind="prompt")
        return published


def _variable(text: str) -> dict[str, Any]:
    """A variable as typed, ``days:integer=2``."""
    match = _VARIABLE.match(text)
    if match is None:
        raise UsageError(f"'{text}' is no variable", "write --variable days:integer=2")
    name, kind, default = match.groups()
    variable: dict[str, Any] = {"name": name, "type": kind or "string"}
    if default is not None:
        variable["default"] = _value(name, variable["type"], default)
    return variable


def _value(name: str, kind: str, text: str) -> Any:
    """A variable's value as typed: text for a string, else JSON."""
    if kind == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise UsageError(f"'{text}' is no {kind} for '{name}'", "write it as in JSON") from None
