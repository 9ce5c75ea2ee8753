"""The reference tables of the documentation: commands and settings, made from where they are declared.

``python -m nbagora.reference`` prints them as Markdown.
"""

from __future__ import annotations

from nbagora.command import Command, cell_command, verbs
from nbagora.commands import CELLS, nouns
from nbagora.parser import Parser

__all__ = ["commands_table", "settings_table"]


def commands_table() -> str:
    """Every command with how it is typed and what it does."""
    rows = [_row(f"%{noun} {verb}", command) for noun in nouns() for verb, command in verbs(noun).items()]
    rows += [_row(f"%%{name}", cell_command(name), cell=True) for name in CELLS]
    return "\n".join(["| typed | does |", "|---|---|", *rows])


def settings_table() -> str:
    """Every setting of a lab with its default and meaning."""
    from nbagora_lab.core.settings import Settings

    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"`{field.default}`"
        rows.append(f"| `{name}` | {default} | {_cell(field.description or '')} |")
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def _row(prog: str, command: type[Command], *, cell: bool = False) -> str:
    usage = Parser(command, prog, cell=cell).usage.removeprefix("usage: ").replace(" [-h]", "")
    return f"| `{_cell(usage)}` | {_cell(command.summary())} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(f"{commands_table()}\n\n{settings_table()}")  # noqa: T201 -- what it is for
