"""The magics: parse, run, store. One object per noun and one per cell form; nothing is imported before its first use.

`RawLine` keeps IPython from taking the question mark that ends a message for a request for help.
"""

from __future__ import annotations

import tokenize
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import EscapedCommand, MagicAssign, TokenTransformBase

from nbagora.commands import CELLS, nouns

if TYPE_CHECKING:
    from nbagora.notebook import Notebook
    from nbagora.parser import Parser

__all__ = ["CellMagic", "LineMagic", "RawLine"]

_HELP = {"-h", "--help"}


class LineMagic:
    """``%agent VERB …`` and its like.

    Args:
        noun: The noun.
        notebook: Where commands run.
    """

    _ipython_magic_no_var_expand = True  # `Variables` does it, piece by piece
    needs_local_scope = True

    def __init__(self, noun: str, notebook: Notebook) -> None:
        self.noun = noun
        self._notebook = notebook

    def __call__(self, line: str, local_ns: dict[str, Any] | None = None) -> object:
        """Runs the command that `line` holds.

        Raises:
            LabError: The line does not fit, or the command failed.
        """
        from nbagora.command import find
        from nbagora.parser import Parser, help_of_noun

        verb, rest = [*line.split(None, 1), "", ""][:2]
        if verb in _HELP:
            return help_of_noun(self.noun, f"%{self.noun}")
        asked = verb.endswith("?") and not rest
        command = find(self.noun, verb.rstrip("?") if asked else verb, shown=f"%{self.noun}")
        parser = Parser(command, f"%{self.noun} {command.verb}", out=True)
        return parser.help if asked else self._notebook.run(parser, rest, local_ns)

    def getdoc(self) -> str:
        """What ``%agent?`` shows (IPython's hook): made from the commands."""
        from nbagora.command import verbs
        from nbagora.parser import Parser, help_of_noun

        helps = [Parser(command, f"%{self.noun} {verb}", out=True).help for verb, command in verbs(self.noun).items()]
        return "\n\n".join([help_of_noun(self.noun, f"%{self.noun}"), *helps])


class CellMagic:
    """``%%agent NAME`` and ``%%ask NAME``.

    Args:
        name: Name of the cell magic, one of `CELLS`.
        notebook: Where commands run.
    """

    _ipython_magic_no_var_expand = True
    needs_local_scope = True

    def __init__(self, name: str, notebook: Notebook) -> None:
        self.name = name
        self._notebook = notebook

    def __call__(self, line: str, cell: str, local_ns: dict[str, Any] | None = None) -> object:
        """Runs the command that the cell's first line holds, with its body.

        Where a program hands over an agent's cell (`run_cell_magic`), its body is run here; a cell that was typed
        never comes this way (`cells.rewrite`).

        Raises:
            LabError: The line does not fit, or the command failed.
        """
        if self.name == "agent":
            self.open(line)
            shell = self._notebook.shell
            source = "\n" + shell.transform_cell(cell)
            exec(shell.compile(source, shell.compile.cache(source, shell.execution_count), "exec"), shell.user_ns)
        return self.close(line, cell, local_ns)

    def open(self, line: str) -> None:
        """Refuses, before the body runs, what `close` would refuse: options that don't fit, and no lab.

        Raises:
            LabError: As `close` does.
        """
        self._notebook.check(self._parser(), line)

    def close(self, line: str, body: str, local_ns: dict[str, Any] | None = None) -> object:
        """Runs the command, the body having run.

        Raises:
            LabError: The line does not fit, or the command failed.
        """
        return self._notebook.run(self._parser(), line, local_ns, body)

    def getdoc(self) -> str:
        """What ``%%agent?`` shows (IPython's hook): made from the command."""
        return self._parser().help

    def _parser(self) -> Parser:
        from nbagora.command import cell_command
        from nbagora.parser import Parser

        return Parser(cell_command(self.name), f"%%{self.name}", out=True, cell=True)


class RawLine(TokenTransformBase):
    """Turns ``%agent ask weather … tomorrow?`` into a call before IPython finds help asked for in its last word.

    ``%agent?`` is left to IPython; ``%agent ask?`` is turned into a call for the verb's help.
    """

    priority = 1  # HelpEnd has 5

    def __init__(self, start: tuple[int, int], inner: Any) -> None:
        super().__init__(start)  # type: ignore[no-untyped-call]
        self._inner = inner

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> RawLine | None:
        """The first line that is ours."""
        for tokens in tokens_by_line:
            line = [one for one in tokens if one.type not in {tokenize.INDENT, tokenize.DEDENT}]
            words = [one.string for one in line[:16]]
            at = words.index("%") if "%" in words else -1
            if at != 0 and (at < 0 or "=" not in words or words.index("=") + 1 != at):
                continue
            noun, following = (*words[at + 1 : at + 3], "", "")[:2]
            if noun in nouns() and following != "?":
                return cls(line[0].start, (EscapedCommand if at == 0 else MagicAssign)(line[at].start))
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The lines with that one as a call."""
        return list(self._inner.transform(lines))


assert set(CELLS.values()) <= set(nouns())
