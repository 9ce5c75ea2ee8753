"""The table: what every listing returns. A sequence of the objects themselves, shown as rows."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table"]

T = TypeVar("T")

_WIDEST = 60  # columns of a cell in plain text, unless a table says otherwise
_SHOWN = 200  # rows that a display has at most; `rows` and `.df` have them all


class Table(Sequence[T], Generic[T]):
    """Objects in rows.

    Args:
        items: The objects; the table is a sequence of them.
        columns: Header and what is shown under it, for each column.
        empty: What is shown where there are none: one line that says what to do.
        widest: Columns that a cell of it takes in plain text at most.

    Example:
        >>> Table(["北京", "Oslo"], {"city": str, "letters": len})
        city  letters
        北京        2
        Oslo        4
    """

    def __init__(
        self,
        items: Iterable[T],
        columns: Mapping[str, Callable[[T], Any]],
        empty: str = "nothing",
        *,
        widest: int = _WIDEST,
    ) -> None:
        self._items = list(items)
        self._columns = dict(columns)
        self._empty = empty
        self._widest = widest

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Each object's row, values by header."""
        return [{header: value(item) for header, value in self._columns.items()} for item in self._items]

    @property
    def df(self) -> pd.DataFrame:
        """The rows as a pandas `DataFrame`."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(self._columns))

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Table[T]: ...
    def __getitem__(self, index: int | slice) -> T | Table[T]:
        if isinstance(index, slice):
            return Table(self._items[index], self._columns, self._empty, widest=self._widest)
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        if not self._items:
            return self._empty
        rows = self[:_SHOWN].rows
        cells = [list(self._columns), *([_cut(_text(value), self._widest) for value in row.values()] for row in rows)]
        widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
        right = [all(_is_number(row[header]) for row in rows) for header in self._columns]
        lines = ["  ".join(map(_pad, line, widths, right)) for line in cells]
        return "\n".join([*(line.rstrip() for line in lines), *self._more()])

    def _repr_html_(self) -> str:
        if not self._items:
            return f"<p>{escape(self._empty)}</p>"
        left = 'style="text-align: left"'
        head = "".join(f'<th scope="col" {left}>{escape(header)}</th>' for header in self._columns)
        rows = [[escape(_text(value)) for value in row.values()] for row in self[:_SHOWN].rows]
        body = "".join(f"<tr>{''.join(f'<td {left}>{cell}</td>' for cell in row)}</tr>" for row in rows)
        more = "".join(f"<p>{escape(line)}</p>" for line in self._more())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"

    def _more(self) -> list[str]:
        left = len(self._items) - _SHOWN
        return [f"and {left} more; .rows and .df have them all"] if left > 0 else []


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _width(text: str) -> int:
    """Columns that a text takes in a terminal: two for a Chinese character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _cut(text: str, widest: int) -> str:
    line = " ".join(text.split())
    if _width(line) <= widest:
        return line
    while _width(line) >= widest:
        line = line[: min(len(line) - 1, widest)]
    return line + "…"


def _pad(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks
