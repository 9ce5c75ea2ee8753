"""Words: how a card's texts are cut for the full-text index, and how a question is cut to match them.

FTS5's tokenisers split at blanks and signs, so a run of Chinese is one word to them, and the trigram tokeniser finds
nothing shorter than three characters. Here each character of the scripts that are written without blanks becomes a
word of its own, and a question's run of them becomes phrases of two neighbours: 酒店 finds 酒店, 店 finds it too, and
店酒 does not. Latin words are left to FTS5, which folds case and accents and cuts English endings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from nbagora_lab.registry.model import TextField

__all__ = ["BREAK", "MARKS", "fold", "index_text", "marked", "match_of", "texts_of"]

MARKS = ("\x02", "\x03")
"""What FTS5's `highlight` is told to put around a match."""

BREAK = "\ue000"
"""A word that nobody writes; between two texts it keeps a phrase from reaching over from one into the other."""

_DENSE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_ONE_DENSE = re.compile(f"([{_DENSE}])")
_BETWEEN_DENSE = re.compile(f"(?<=[{_DENSE}]) +(?=[{_DENSE}])")
_PIECE = re.compile(rf"[{_DENSE}]+|[^\W_{_DENSE}]+")
_MARKED = re.compile(f"{MARKS[0]}(.*?){MARKS[1]}", re.DOTALL)

_RESERVED = str.maketrans(dict.fromkeys((*MARKS, BREAK), " "))
_COMMON_WORDS = """
a about an and any are as at be by can do does for from has have how i in is it me my of on or please s that the this to
us we what when where which who will with you your
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_COMMON_DENSE = frozenset("的了吗呢是在和与及我你您他它们这那有能要请把被个一")
# words that are left out of a question, unless it has no others
_MOST = 64  # words that a question may have; the rest of it is not looked for


def fold(text: str) -> str:
    """The form in which ids, names and tags are compared: without differences of case, width or composition."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def index_text(texts: Iterable[str]) -> str:
    """Texts as one column of the index keeps them."""
    return f" {BREAK} ".join(_ONE_DENSE.sub(r" \1 ", _plain(text)) for text in texts)


def match_of(question: str) -> str | None:
    """A question as an FTS5 expression that any of its first 64 words fulfils; None if it has no word.

    Example:
        >>> match_of("the weather in 北京")
        '"weather" OR "北 京"'
    """
    pieces = _PIECE.findall(_plain(question))
    words: dict[str, bool] = {}
    for piece in pieces:
        if not _ONE_DENSE.match(piece):
            words.setdefault(piece, piece.casefold() in _COMMON)
        elif len(piece) == 1:
            words.setdefault(piece, piece in _COMMON_DENSE)
        else:
            for one, two in pairwise(piece):
                words.setdefault(f"{one} {two}", one in _COMMON_DENSE or two in _COMMON_DENSE)
    telling = [word for word, common in words.items() if not common] or list(words)
    return " OR ".join(f'"{word}"' for word in telling[:_MOST]) or None


def marked(highlighted: str) -> list[str]:
    """What `highlight` marked in a column, each once, as the card wrote it."""
    found = (_BETWEEN_DENSE.sub("", text) for text in _MARKED.findall(highlighted))
    return list(dict.fromkeys(" ".join(text.split()) for text in found))


def texts_of(card: dict[str, Any]) -> dict[TextField, list[str]]:
    """A card's texts by the column of the index that they stand in."""
    skills = [*card.get("skills", ()), *card.get("tools", ())]
    return {
        "name": [card["name"], *([card["title"]] if card.get("title") else [])],
        "skill": [text for skill in skills for text in dict.fromkeys((skill.get("id", skill["name"]), skill["name"]))],
        "tag": [*card.get("tags", ()), *(tag for skill in skills for tag in skill.get("tags", ()))],
        "description": [card["description"], *(skill.get("description", "") for skill in skills)],
        "example": [
            *([card["template"]] if card.get("template") else []),
            *(example for skill in skills for example in skill.get("examples", ())),
        ],
    }


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_RESERVED)
