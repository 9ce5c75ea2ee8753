from __future__ import annotations

from typing import Any

import pytest

from nbagora.show import Json, Note, html, moment, payload, plain, short_id
from nbagora_lab.a2a.task import Task
from nbagora_lab.core.events import Record


def task(state: str = "COMPLETED", text: str = "", said: str = "", **rest: Any) -> Task:
    parts = [{"text": text}] if text else []
    raw: dict[str, Any] = {
        "id": "ctx-1.abcd",
        "contextId": "ctx-1",
        "status": {"state": f"TASK_STATE_{state}"} | ({"message": {"parts": [{"text": said}]}} if said else {}),
        "artifacts": [{"artifactId": "a", "parts": parts + rest.get("parts", [])}],
    }
    return Task("weather", raw)


def test_a_task_shows_its_answer_and_who_it_is() -> None:
    assert plain(task(text="晴")) == "晴\nweather · COMPLETED · task abcd · context ctx-1"
    assert "晴" in str(html(task(text="晴")))


def test_markup_in_an_answer_is_text() -> None:
    shown = str(html(task(text="<script>alert(1)</script>&", said="")))
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in shown
    asked = str(html(task("INPUT_REQUIRED", said="<img src=x onerror=y>")))
    assert "<img" not in asked
    named = str(html(task(parts=[{"raw": "aGk=", "filename": "<b>.txt", "mediaType": "text/plain"}])))
    assert "<b>" not in named
    assert "2 bytes" in named


def test_data_and_files_have_a_line_each() -> None:
    parts = [{"data": {"city": "北京"}}, {"url": "https://example.org/x", "filename": "x"}, {"raw": "aGk="}]
    assert plain(task(parts=parts)).splitlines()[:3] == [
        'data: {"city": "北京"}',
        "file: x · https://example.org/x",
        "file: 2 bytes",
    ]


@pytest.mark.parametrize("state", ["FAILED", "REJECTED", "CANCELED", "WORKING"])
def test_a_state_says_why(state: str) -> None:
    assert plain(task(state, said="the reason")).splitlines()[0] == "the reason"


def test_a_question_shows_the_line_that_answers_it() -> None:
    assert "answer with: %task answer abcd …" in plain(task("INPUT_REQUIRED", said="Which day?"))


def test_a_flood_is_cut() -> None:
    shown = plain(task(text="x" * 300_000))
    assert len(shown) < 101_000
    assert "… and 200,000 characters more, in .text" in shown


def test_a_shell_uses_these_looks(lab: Any, run: Any, shell: Any) -> None:
    done = run("%agent ask echo <b>")
    data, _ = shell.display_formatter.format(done)
    assert data["text/plain"] == plain(done)
    assert data["text/html"] == html(done)
    data, _ = shell.display_formatter.format(lab)
    assert data == {"text/plain": plain(lab)}
    data, _ = shell.display_formatter.format(run("%lab status"))
    assert '<th scope="row"' in data["text/html"]


def test_small_things() -> None:
    assert moment(1_767_225_600.25) == "2026-01-01 00:00:00.250"
    assert short_id("ctx-1.abc") == "abc"
    assert short_id("abc") == "abc"
    assert repr(Note("done")) == "done"
    assert repr(Json({"a": "北"})) == '{\n  "a": "北"\n}'
    assert payload(Record("t", "北".encode())) == "北"
    assert payload(Record("t", b"\xff", datacontenttype="image/png")) == "1 bytes of image/png"
    assert plain([1]) == "[1]"
    assert html([1]) is None
