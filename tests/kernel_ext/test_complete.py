from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbagora.commands import nouns
from nbagora.complete import matcher


def offered(shell: Any, text: str) -> list[str]:
    """What Tab offers at the end of a text, by IPython's own completer."""
    from IPython.core.completer import provisionalcompleter

    with provisionalcompleter():
        return [completion.text for completion in shell.Completer.completions(text, len(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%agent a", ["ask"]),
        ("x = %agent c", ["card"]),
        ("%lab ", ["start", "join", "stop", "status", "doctor"]),
        ("%agent ask --t", ["--timeout"]),
        ("%agent ask echo hi --n", ["--no-raise"]),
        ("%lab start --durability ", ["os", "fsync"]),
        ("%lab start --durability f", ["fsync"]),
        ("%task ls --state W", ["WORKING"]),
        ("%%agent a --r", ["--reply", "--resumable"]),
        ("%%agent a --skill x --s", ["--scope", "--skill"]),
        ("%%agent a --reply m", ["message"]),
        ("%%ask --con", ["--context"]),
        ("first = 1\n%topic rea", ["read"]),
        ("    %topic rea", ["read"]),
    ],
)
def test_verbs_options_and_values(shell: Any, text: str, expected: list[str]) -> None:
    assert offered(shell, text) == sorted(expected)  # IPython sorts


def test_live_names(lab: Any, run: Any, shell: Any) -> None:
    run("%%agent 天气\ndef 天气(message): return 'x'")
    task = run("%agent ask echo hi --context ctx-here")
    assert offered(shell, "%agent ask e") == ["echo"]
    assert offered(shell, "%agent ask ") == ["echo", "天气"]
    assert offered(shell, "%agent ask --timeout 3 天") == ["天气"]
    assert offered(shell, "%task show ") == ["last", task.id.rpartition(".")[2]]
    assert offered(shell, "%agent ask echo hi --context c") == ["ctx-here"]
    assert offered(shell, "%topic read ctx") == ["ctx-here"]
    assert offered(shell, "%topic read sessions/c") == ["sessions/ctx-here"]
    assert "sessions/" in offered(shell, "%topic read ")
    assert offered(shell, "%topic ls se") == ["sessions"]
    assert offered(shell, "%registry show e") == ["echo"]
    assert offered(shell, "%agent ask nobody") == []


def test_without_a_lab_there_are_no_names_and_none_is_started(shell: Any) -> None:
    for text in ("%agent ask ", "%task show ", "%topic read ", "%registry show "):
        result = matcher(context(text))
        assert result["completions"] == []
    lab = sys.modules.get("nbagora_lab.lab")
    assert lab is None or lab.Lab.running_labs() == []


def context(text: str) -> Any:
    from IPython.core.completer import CompletionContext

    return CompletionContext(token="", full_text=text, cursor_position=len(text), cursor_line=0, limit=None)


def test_others_are_kept_out_of_our_lines_and_we_out_of_theirs(shell: Any) -> None:
    result = matcher(context("%agent as"))
    assert result["suppress"]
    assert result["matched_fragment"] == "as"
    for text in ("agent.as", "%time x", "%%time x", "x % agent ", "%agent", ""):
        result = matcher(context(text))
        assert result["completions"] == []
        assert not result.get("suppress")


def test_a_verb_that_is_none_has_no_options(shell: Any) -> None:
    assert matcher(context("%agent frob --"))["completions"] == []


@given(st.sampled_from(nouns()), st.text("abls -=/@'\"{}$北\t.", max_size=30))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tab_never_raises(shell: Any, noun: str, rest: str) -> None:
    matcher(context(f"%{noun} {rest}"))
    matcher(context(f"%%{noun} {rest}"))


def test_what_fails_in_it_is_no_completion(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no names")

    monkeypatch.setattr("nbagora.complete._names", broken)
    assert matcher(context("%agent ask "))["completions"] == []
