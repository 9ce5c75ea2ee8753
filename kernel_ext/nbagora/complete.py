"""Completion: verbs, options, and the names of what lives in the lab, by IPython's matcher API.

A matcher runs at each press of Tab, perhaps while a cell runs: it reads what a running lab holds, starts nothing, and
what goes wrong in it is no completion.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from nbagora.commands import CELLS, nouns
from nbagora_lab.core.log import logger

if TYPE_CHECKING:
    from nbagora.command import Option

__all__ = ["matcher"]

_LINE = re.compile(r"\s*(?:[\w., ]+=\s*)?(%%?)(\w+)[ \t]+(.*)$", re.DOTALL)
_MANY = 200  # names offered at most


@context_matcher(identifier="nbagora", priority=10)  # type: ignore[untyped-decorator]
def matcher(context: CompletionContext) -> SimpleMatcherResult:
    """What can follow in a line of ours; nothing in other lines."""
    try:
        found = _LINE.match(context.text_until_cursor)
        if found is None:
            return SimpleMatcherResult(completions=[])
        percent, name, rest = found.groups()
        *before, fragment = re.split(r"\s+", rest)
        if percent == "%" and name in nouns():
            offers = _after_noun(name, before, fragment)
        elif percent == "%%" and name in CELLS:
            offers = _after_cell(name, before, fragment)
        else:
            return SimpleMatcherResult(completions=[])
        # A set would lose the order, which is the commands' own.
        fitting = dict.fromkeys((text, kind) for text, kind in offers if text.startswith(fragment))
        completions = [SimpleCompletion(text=text, type=kind) for text, kind in list(fitting)[:_MANY]]
        return SimpleMatcherResult(completions=completions, suppress=True, matched_fragment=fragment)
    except Exception:  # noqa: BLE001 -- a press of Tab must not put a traceback into the notebook
        logger.warning("completion failed", exc_info=True)
        return SimpleMatcherResult(completions=[])


_Offers = Iterable[tuple[str, str]]


def _after_noun(noun: str, before: list[str], fragment: str) -> _Offers:
    from nbagora.command import options, verbs

    known = verbs(noun)
    if not before:
        return [(verb, "verb") for verb in known]
    if before[0] not in known:
        return []
    return _after_verb(options(known[before[0]]), before[1:], fragment)


def _after_cell(name: str, before: list[str], fragment: str) -> _Offers:
    from nbagora.command import cell_command, options

    return _after_verb([option for option in options(cell_command(name)) if not option.arg.rest], before, fragment)


def _after_verb(known: Iterable[Option], before: list[str], fragment: str) -> _Offers:
    by_name = {option.option: option for option in known if option.option}
    places = [option for option in known if not option.option]
    last = by_name.get(before[-1]) if before else None
    if last is not None and not last.flag:
        return _values(last, fragment)
    if fragment.startswith("-"):
        used = set(before)
        return [(name, "option") for name, option in by_name.items() if option.many or name not in used]
    filled = sum(
        not word.startswith("-") and (at == 0 or before[at - 1] not in by_name or by_name[before[at - 1]].flag)
        for at, word in enumerate(before)
    )
    return _values(places[filled], fragment) if filled < len(places) else []


def _values(option: Option, fragment: str) -> _Offers:
    if option.choices:
        return [(choice, "value") for choice in option.choices]
    kind = option.arg.kind
    return [(name, kind) for name in _names(kind, fragment)] if kind else []


def _names(kind: str, fragment: str) -> Iterable[str]:
    """The names of what lives in the lab of this kernel; none where none runs."""
    lab = _lab()
    if lab is None:
        return []
    if kind == "agent":
        return [agent.name for agent in lab.agents()]
    if kind == "task":
        from nbagora.show import short_id

        return ["last", *(short_id(task.id) for task in lab.tasks(limit=_MANY))]
    if kind == "context":
        return ["last", *(task.context_id for task in lab.tasks(limit=_MANY))]
    if kind == "group":
        return list(lab.broker.groups())
    if kind == "parent":
        return list(lab.broker.topics())
    if kind == "topic":
        from nbagora_lab.broker import escape_name

        parent, slash, start = fragment.partition("/")
        if slash:
            return [f"{parent}/{escape_name(lite)}" for lite in lab.broker.ls(parent, prefix=start, limit=_MANY)]
        contexts = [escape_name(lite) for lite in lab.broker.ls("sessions", prefix=fragment, limit=_MANY)]
        return ["last", *contexts, *(f"{parent}/" for parent in lab.broker.topics())]
    return []


def _lab() -> Any:
    module = sys.modules.get("nbagora_lab.lab")
    running = module.Lab.running_labs() if module else []
    return running[-1] if running else None
