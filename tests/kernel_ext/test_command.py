from __future__ import annotations

import inspect

import pytest

from nbagora.command import cell_command, find, options, verbs
from nbagora.commands import CELLS, nouns
from nbagora.reference import commands_table, settings_table
from nbagora_lab.core.errors import UnknownVerb
from nbagora_lab.core.settings import Settings

ALL = [(noun, verb, command) for noun in nouns() for verb, command in verbs(noun).items()]
KINDS = {"", "agent", "context", "file", "group", "parent", "task", "topic"}


def test_the_nouns_of_this_slice() -> None:
    assert nouns() == ("agent", "broker", "lab", "prompt", "registry", "task", "topic")
    assert list(verbs("lab")) == ["start", "join", "stop", "status", "doctor"]
    assert {"ls", "ask", "send", "card", "find", "stop", "login", "logout"} == set(verbs("agent"))
    assert {"ls", "show", "watch", "wait", "answer", "cancel", "view"} <= set(verbs("task"))
    assert {"ls", "info", "send", "read", "tail", "fork", "rm", "view", "replay", "suspend"} <= set(verbs("topic"))
    assert {"start", "stop", "status", "stats", "group"} == set(verbs("broker"))
    assert {"ls", "find", "show", "versions", "publish", "label", "rollback", "canary"} <= set(verbs("registry"))
    assert {"ls", "render"} == set(verbs("prompt"))


@pytest.mark.parametrize(("noun", "verb", "command"), ALL)
def test_each_command_tells_all_that_is_derived_from_it(noun: str, verb: str, command: type) -> None:
    assert (command.noun, command.verb) == (noun, verb)
    assert command.model_config["frozen"]
    assert command.summary()
    assert not command.summary().endswith(".")
    assert "run" in vars(command)
    for option in options(command):
        assert option.help, f"{option.field} has no description"
        assert not option.help.endswith(".")
        assert option.arg.kind in KINDS
    assert sum(option.arg.rest for option in options(command)) <= 1
    rest = [option.arg.rest for option in options(command) if not option.option]
    assert rest == sorted(rest), "what takes the rest comes last"
    assert inspect.getdoc(command)


def test_cells_are_commands_too() -> None:
    assert cell_command("ask") is verbs("agent")["ask"]
    assert {name: cell_command(name).cell for name in CELLS} == {name: name for name in CELLS}


def test_find_names_the_face() -> None:
    with pytest.raises(UnknownVerb, match="nbagora agent has no verb 'x'"):
        find("agent", "x", shown="nbagora agent")


def test_the_reference_has_every_command_and_setting() -> None:
    table = commands_table()
    for noun, verb, command in ALL:
        assert f"| `%{noun} {verb}" in table
        assert command.summary() in table
    assert "| `%%agent [--skill" in table
    assert all(f"| `{name}` |" in settings_table() for name in Settings.model_fields)
