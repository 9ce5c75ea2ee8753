"""The command line: ``nbagora serve``, ``nbagora run``, and the nouns and verbs of the magics, on a running lab.

Errors are two lines on stderr. Exit codes: 0 done, 1 it failed, 2 it was typed wrong, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nbagora.command import Arg, Command, find
from nbagora.commands import nouns
from nbagora.commands.lab import SettingsOptions
from nbagora.parser import Help, Parser, help_of_noun
from nbagora_lab.core.errors import LabError, UsageError, did_you_mean

if TYPE_CHECKING:
    from nbagora_lab.lab import Lab

__all__ = ["Run", "Serve", "Where", "main"]


class Serve(SettingsOptions):
    """Hosts agents in a process of its own, until Ctrl-C, or the end of stdin where that is a pipe.

    The agents are those that Python files mark with @agent and that notebooks define in %%agent cells.
    """

    files: Annotated[tuple[Path, ...], Arg(kind="file", positional=True, metavar="FILE")] = Field(
        (), description="Python file or notebook"
    )
    root: str | None = Field(None, description="agent whose card and doors are at / as well")
    root_protocol: Literal["1.0", "0.3"] = Field("1.0", description="version of A2A in whose form the card at / is")
    json_: Annotated[bool, Arg(option="--json")] = Field(False, description="prints lab.json when it is ready")

    def start(self) -> int:
        """Serves until told to stop; returns the exit code."""
        from nbagora.serving import load_agents
        from nbagora_lab.serve import serve

        def load(lab: Lab) -> None:
            for path in self.files:
                load_agents(path, lab)

        settings = self.model_dump(exclude_none=True, exclude={"files", "root", "root_protocol", "json_"})
        return serve(load, root=self.root, root_protocol=self.root_protocol, as_json=self.json_, **settings)


class Run(Command):
    """Runs notebooks as scenarios, each in a fresh kernel on a fresh store, and fails if one of them does."""

    notebooks: Annotated[tuple[Path, ...], Arg(kind="file", positional=True, metavar="NOTEBOOK")] = Field(
        description="notebook, or folder of notebooks"
    )
    parameters: Annotated[tuple[tuple[str, str], ...], Arg(option="-p", metavar="NAME VALUE")] = Field(
        (), description="value for the notebooks' parameters cell"
    )
    out: Annotated[Path | None, Arg(metavar="DIR")] = Field(None, description="folder for what the runs leave")
    junit: Annotated[Path | None, Arg(metavar="FILE")] = Field(None, description="JUnit report to write")
    seed: int | None = Field(None, description="makes ids repeatable; unset, the notebook's own or 1")
    clock: Literal["virtual", "system"] = Field("virtual", description="virtual stands still, for repeatable traces")
    timeout: Annotated[float, Arg(metavar="SECONDS")] = Field(600.0, gt=0, description="for all cells of a notebook")

    def start(self) -> int:
        """Runs them; returns the exit code."""
        from nbagora_lab.scenarios import run

        return run(
            self.notebooks,
            self.parameters,
            self.out,
            self.junit,
            seed=self.seed,
            clock=self.clock,
            timeout=self.timeout,
        )


_OWN: dict[str, type[Serve | Run]] = {"run": Run, "serve": Serve}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: The words after ``nbagora``; those of this process by default.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    own = words[: words.index("--")] if "--" in words else words
    if debug := "--debug" in own:
        words.remove("--debug")
    try:
        return _run(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 -- a traceback is for --debug
        if debug:
            traceback.print_exception(error)
        if isinstance(error, LabError):
            lines = error._render_traceback_()
        else:
            lines = [f"{type(error).__name__}: {error}", "hint: a fault in nbagora; --debug shows where"]
        print("\n".join(lines), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _run(words: list[str]) -> int:
    if not words:
        raise UsageError("nbagora needs a command", f"there are: {', '.join(_known())}; nbagora --help tells more")
    word, *rest = words
    if word in {"-h", "--help"}:
        print(_help())
        return 0
    if word == "--version":
        from importlib.metadata import version

        print(version("nbagora"))
        return 0
    if word in _OWN:
        command, _ = Parser(_OWN[word], f"nbagora {word}").parse(rest)
        if isinstance(command, Help):
            print(command)
            return 0
        assert isinstance(command, Serve | Run)
        return command.start()
    if word in nouns():
        return _noun(word, rest)
    raise UsageError(f"nbagora has no command '{word}'", did_you_mean(word, _known()))


class Where(Command):
    """Which lab a command is for, and how its result is written."""

    lab: Annotated[str | None, Arg(metavar="URL")] = Field(
        None, description="URL of the lab, or folder of its store; unset: NBAGORA_LAB, or the store here"
    )
    output: Annotated[Literal["text", "json"], Arg(option="-o")] = Field("text", description="how it is written")


_ELSEWHERE = {
    "join": "%lab join does that in a notebook; nbagora serve FILE --join URL hosts a file's agents",
    "start": "nbagora serve starts one that stays",
    "view": "views live in notebooks: %{noun} view",
}
"""Verbs that need a process that stays, and where they are to be had."""


def _noun(noun: str, words: list[str]) -> int:
    shown = f"nbagora {noun}"
    if words[:1] in (["-h"], ["--help"]):
        print(help_of_noun(noun, shown))
        return 0
    command = find(noun, words[0] if words else "", shown=shown)
    parsed, where = Parser(command, f"{shown} {command.verb}", also=Where).parse(words[1:])
    if isinstance(parsed, Help):
        print(parsed)
        return 0
    if command.verb in _ELSEWHERE:
        hint = _ELSEWHERE[command.verb].format(noun=noun)
        raise UsageError(f"'{shown} {command.verb}' does nothing that would outlive it", hint)
    from nbagora.terminal import Terminal, as_json
    from nbagora_lab.core.settings import Settings

    place = where.lab or os.environ.get("NBAGORA_LAB") or Settings.load().store
    text = where.output == "text"
    with Terminal(place, live=text) as terminal:
        result = parsed.run(terminal)
        if text:
            terminal.write(result)
        else:
            print(as_json(result))
    return 0


def _known() -> list[str]:
    return sorted([*_OWN, *nouns()])


def _help() -> str:
    lines = [f"nbagora {name:<18}{command.summary()}" for name, command in _OWN.items()]
    lines += [f"nbagora {f'{noun} VERB':<18}the verbs of %{noun}: nbagora {noun} --help" for noun in nouns()]
    return "\n".join([*lines, "", "--help after any of these tells more; --debug shows tracebacks; --version"])


if __name__ == "__main__":
    sys.exit(main())
