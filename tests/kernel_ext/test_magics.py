from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbagora.commands import nouns
from nbagora.line import Variables
from nbagora_lab.core.errors import LabError, NotStarted, UnknownVerb, UsageError

LINE = st.text("{}$'\"\\ab()[]#?!%=;北京😀-—，？", max_size=40) | st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=40
)


@pytest.mark.parametrize("noun", nouns())
def test_an_unknown_verb_says_which_there_are(shell: Any, run: Any, noun: str) -> None:
    with pytest.raises(UnknownVerb) as caught:
        run(f"%{noun} frobnicate")
    assert caught.value.what == f"%{noun} has no verb 'frobnicate'"
    assert "there are: " in caught.value.hint
    with pytest.raises(UnknownVerb, match=f"%{noun} needs a verb"):
        run(f"%{noun}")


def test_an_unknown_verb_says_which_was_meant(shell: Any, run: Any) -> None:
    with pytest.raises(UnknownVerb) as caught:
        run("%agent aks weather")
    assert caught.value.hint == "did you mean 'ask'?"


@pytest.mark.parametrize(
    "line",
    ["%lab stop", "%lab status", "%agent ls", "%agent ask a b", "%task ls", "%topic ls", "%registry ls", "%%ask a\nb"],
)
def test_without_a_lab_every_command_says_how_to_start_one(shell: Any, run: Any, line: str) -> None:
    with pytest.raises(NotStarted) as caught:
        run(line)
    assert "%lab start" in caught.value.hint


def test_an_error_shows_as_two_lines(shell: Any, run: Any) -> None:
    with pytest.raises(LabError):
        run("%agent lss")
    assert shell.tracebacks == [["UnknownVerb: %agent has no verb 'lss'", "hint: did you mean 'ls'?"]]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("%agent ask echo 北京, what's it like tomorrow?", "北京, what's it like tomorrow?"),
        ("%agent ask echo really??", "really??"),
        ("%agent ask echo it's ('open [", "it's ('open ["),
        ('%agent ask echo """', '"""'),
        ("%agent ask echo $5 {not} 50% # no comment", "$5 {not} 50% # no comment"),
        ("%agent ask echo one \\\n two?", "one   two?"),
        ("%agent ask echo hi --no-raise", "hi"),
        ("%agent   ask   echo   hi   ", "hi"),
        ("x = 1\n%agent ask echo {x + 1}, {x!r}?", "2, 1?"),
        ("%agent ask echo a;b;", "a;b;"),
        ("    %agent ask echo indented?", "indented?"),
    ],
)
def test_a_message_arrives_as_typed(lab: Any, run: Any, line: str, text: str) -> None:
    assert run(line).text == text


def test_a_magic_may_be_assigned_and_stored(lab: Any, run: Any, shell: Any) -> None:
    run("task = %agent ask echo what?")
    assert shell.user_ns["task"].text == "what?"
    run("%agent ask echo -o other hi there")
    assert shell.user_ns["other"].text == "hi there"
    run("%agent ask echo hi there -o third")
    assert shell.user_ns["third"].text == "hi there"


def test_several_in_a_cell_and_in_a_function(lab: Any, run: Any) -> None:
    assert (
        run(
            "def ask(place):\n    a = %agent ask echo {place}?\n    return a\nfor city in ['北京', 'Oslo']:\n"
            "    last = ask(city)\nlast.text"
        )
        == "Oslo?"
    )


def test_text_in_a_string_is_no_magic(lab: Any, run: Any) -> None:
    assert run("'''\n%agent ask echo no?\n'''") == "\n%agent ask echo no?\n"


@given(LINE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_message_arrives_as_typed(lab: Any, run: Any, shell: Any, text: str) -> None:
    text = text.strip()
    if not text or text.endswith("\\"):
        return
    assert run(f"%agent ask echo -- {text}").text == Variables(shell.user_ns).text(text)


@given(LINE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_is_answered_or_refused_by_us(lab: Any, run: Any, text: str) -> None:
    if text.rstrip().endswith("\\"):
        return
    for line in (f"%agent ask {text}", f"%topic read {text}", f"%task show {text}"):
        with contextlib.suppress(LabError):  # any other error fails the test
            run(line)


def test_help_on_a_noun_and_on_a_verb(shell: Any, run: Any) -> None:
    text = shell.magics_manager.magics["line"]["agent"].getdoc()
    assert re.search("%agent ask +Asks an agent", text)
    assert "--no-raise" in text
    assert "usage: %agent ask" in run("%agent ask?")
    assert "usage: %agent ask" in run("%agent ask --help")
    assert run("%agent --help") == run("%agent -h")
    assert "%topic fork" in run("%topic --help")
    assert "usage: %%agent" in shell.magics_manager.magics["cell"]["agent"].getdoc()
    assert "--skill" in shell.magics_manager.magics["cell"]["agent"].getdoc()


def test_a_question_mark_after_a_noun_is_ipythons(shell: Any, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run("%agent?")
    assert "Asks an agent" in capsys.readouterr().out


def test_a_programs_variable_is_not_taken_for_an_option(lab: Any, run: Any) -> None:
    run("text = 'x --context last'; name = 'echo'")
    assert run("%agent ask {name} {text}").text == "x --context last"


def test_a_task_is_accepted_where_a_topic_or_a_context_is(lab: Any, run: Any) -> None:
    run("first = %agent ask echo one")
    second = run("%agent ask echo two --context {first}")
    assert second.context_id == run("first").context_id
    assert len(run("%topic read {first}")) == run("%topic info $first").next
    assert run("%task show {first}").text == "one"


def test_usage_error_of_ours_is_not_ipythons(shell: Any, run: Any) -> None:
    from IPython.core.error import UsageError as TheirUsageError

    with pytest.raises(UsageError) as caught:
        run("%agent ls --nothing")
    assert not isinstance(caught.value, TheirUsageError)
