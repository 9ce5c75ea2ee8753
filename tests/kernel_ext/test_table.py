from __future__ import annotations

import subprocess
import sys

import pytest

from nbagora.table import Table

CITIES = [("北京", 21.5, ["a", "b"]), ("Oslo", 0.7, None), ("<b>&", 3, [])]


@pytest.fixture
def table() -> Table[tuple[str, float, object]]:
    return Table(CITIES, {"city": lambda c: c[0], "millions": lambda c: c[1], "tags": lambda c: c[2]}, "no cities")


def test_it_is_a_sequence_of_the_objects(table: Table[tuple[str, float, object]]) -> None:
    assert list(table) == CITIES
    assert table[1] is CITIES[1]
    assert list(table[1:]) == CITIES[1:]
    assert isinstance(table[1:], Table)
    assert len(table) == 3


def test_text_lines_up_with_wide_letters(table: Table[tuple[str, float, object]]) -> None:
    assert repr(table).splitlines() == [
        "city  millions  tags",
        "北京      21.5  a, b",
        "Oslo       0.7",
        "<b>&         3",
    ]


def test_html_escapes_what_it_shows(table: Table[tuple[str, float, object]]) -> None:
    shown = table._repr_html_()
    assert "&lt;b&gt;&amp;" in shown
    assert "<b>" not in shown
    assert shown.count('<th scope="col"') == 3
    assert shown.count("<tr>") == 4


def test_empty_says_what_to_do() -> None:
    empty: Table[str] = Table([], {"name": str}, "none <yet>")
    assert repr(empty) == "none <yet>"
    assert empty._repr_html_() == "<p>none &lt;yet&gt;</p>"
    assert list(empty.df.columns) == ["name"]


def test_long_cells_are_cut_and_long_tables_too() -> None:
    long = Table(["天" * 100, "x\ny"] + ["z"] * 300, {"text": str})
    lines = repr(long).splitlines()
    assert lines[1].endswith("天…")
    assert len(lines[1]) == 30
    assert lines[2] == "x y"
    assert lines[-1] == "and 102 more; .rows and .df have them all"
    assert len(long.rows) == 302
    assert "and 102 more" in long._repr_html_()


@pytest.mark.thorough
def test_df_has_the_rows_and_pandas_comes_with_it_alone() -> None:
    script = (
        "import sys; from nbagora.table import Table; t = Table([1, 2], {'n': int}); repr(t); t._repr_html_();"
        "assert 'pandas' not in sys.modules; assert t.df['n'].tolist() == [1, 2]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
