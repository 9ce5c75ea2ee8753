from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from nbagora.command import Arg, Command
from nbagora.line import Variables
from nbagora.parser import Help, Parser
from nbagora_lab.core.errors import LabError, UsageError


class Say(Command):
    """Says it.

    And nothing else.
    """

    who: Annotated[str, Arg(positional=True)] = Field(description="who it is for")
    text: Annotated[str, Arg(rest=True)] = Field(description="what is said")
    context: Annotated[str | None, Arg(kind="context")] = Field(None, description="where")
    timeout: float | None = Field(None, ge=0, description="how long")
    check: Annotated[bool, Arg(option="--no-raise")] = Field(True, description="does not raise")


class Put(Command):
    """Puts it."""

    place: Annotated[str, Arg(kind="topic", positional=True)] = Field(description="where")
    at: Annotated[int, Arg(positional=True)] = Field(0, description="at which place")
    tag: tuple[str, ...] = Field((), description="a 100% good word")
    mode: Literal["fast", "slow"] = Field("fast", description="how")
    dry: bool = Field(False, description="does nothing")
    pair: tuple[tuple[str, str], ...] = Field((), description="two words")


NAMES: dict[str, Any] = {"n": 4, "text": "a 'b --dry", "none": None, "many": ["a", "b"]}


class FakeTask:
    id = "ctx-1.abc"
    context_id = "ctx-1"
    topic = "sessions/ctx-1"


def parse(command: type[Command], line: str, **names: Any) -> Any:
    parser = Parser(command, "%x y", out=True)
    return parser.parse(parser.read(line, Variables(NAMES | names)))[0]


def fields(command: type[Command], line: str, **names: Any) -> dict[str, Any]:
    return parse(command, line, **names).model_dump(exclude_defaults=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bob hello there", {"who": "bob", "text": "hello there"}),
        ("bob   two  blanks  inside ", {"who": "bob", "text": "two  blanks  inside"}),
        ("--context c --no-raise bob hi", {"who": "bob", "text": "hi", "context": "c", "check": False}),
        ("bob --timeout 3 hi", {"who": "bob", "text": "hi", "timeout": 3.0}),
        ("bob hi --context=last --timeout 3", {"who": "bob", "text": "hi", "timeout": 3.0, "context": "last"}),
        ("bob hi --context 'a b'", {"who": "bob", "text": "hi", "context": "a b"}),
        ("bob hi --no-raise --context {ctx}", {"who": "bob", "text": "hi", "context": "9", "check": False}),
        ("bob -- hi --no-raise", {"who": "bob", "text": "hi --no-raise"}),
        ("-- bob hi --no-raise", {"who": "bob", "text": "hi --no-raise"}),
        ("bob it's \"quoted", {"who": "bob", "text": "it's \"quoted"}),
        ("bob 'tis", {"who": "bob", "text": "'tis"}),
        ("bob -5 degrees", {"who": "bob", "text": "-5 degrees"}),
        ("bob - a list", {"who": "bob", "text": "- a list"}),
        ("bob use --timeout 3 please", {"who": "bob", "text": "use --timeout 3 please"}),
        ("bob git log --oneline", {"who": "bob", "text": "git log --oneline"}),
        ("bob {n} of $n, {gone}", {"who": "bob", "text": "4 of 4, {gone}"}),
        ("bob {text}", {"who": "bob", "text": "a 'b --dry"}),
        ("'two words' hi", {"who": "two words", "text": "hi"}),
        ("bob # not a comment", {"who": "bob", "text": "# not a comment"}),
        ("天气 北京?", {"who": "天气", "text": "北京?"}),
    ],
)
def test_the_rest_of_a_line_is_taken_as_it_stands(line: str, expected: dict[str, Any]) -> None:
    assert fields(Say, line, ctx=9) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a", {"place": "a"}),
        ("--dry a 3 --tag x --tag 'y z'", {"place": "a", "at": 3, "tag": ("x", "y z"), "dry": True}),
        ("--mode slow a -- 3", {"place": "a", "at": 3, "mode": "slow"}),
        ("a --mode slow 3", {"place": "a", "at": 3, "mode": "slow"}),
        ("a {n} # comment", {"place": "a", "at": 4}),
        ("{text}", {"place": "a 'b --dry"}),
        ("'--dry'", {"place": "--dry"}),
        ("a --tag {many} --mode {none}", {"place": "a", "tag": ("a", "b")}),
        ("a --tag=-x", {"place": "a", "tag": ("-x",)}),
        ("a -3", {"place": "a", "at": -3}),
        ("a --pair x 1 --pair y 2", {"place": "a", "pair": (("x", "1"), ("y", "2"))}),
    ],
)
def test_a_line_of_words(line: str, expected: dict[str, Any]) -> None:
    assert fields(Put, line) == expected


def test_a_task_stands_for_its_topic_or_its_context() -> None:
    assert parse(Put, "{t}", t=FakeTask()).place == "sessions/ctx-1"
    assert parse(Say, "bob hi --context $t", t=FakeTask()).context == "ctx-1"


@pytest.mark.parametrize(
    ("command", "line", "what", "hint"),
    [
        (Put, "a --dri", "%x y has no option '--dri'", "did you mean '--dry'?"),
        (Put, "a --dr", "%x y has no option '--dr'", "did you mean '--dry'?"),
        (Put, "a 1 2", "%x y: '2' is one word too many", "usage: %x y"),
        (Put, "", "%x y: the following arguments are required: PLACE", "usage: %x y"),
        (Put, "a b", "%x y: AT can't be 'b': ", "at which place"),
        (Put, "a --mode slo", "%x y: --mode can't be 'slo': ", "did you mean 'slow'?"),
        (Put, "a --tag", "%x y: argument --tag: expected one argument", "usage: %x y"),
        (Put, "a -o 1x", "%x y: '1x' after -o can't name a variable", "Python name"),
        (Put, "'a", "the quote before 'a' is never closed", "close it"),
        (Say, "bob", "%x y: the following arguments are required: TEXT", "usage: %x y"),
        (Say, "bob hi --contxt last", "%x y has no option '--contxt'", "did you mean '--context'? (-- before"),
        (Say, "--contxt last bob hi", "%x y has no option '--contxt'", "did you mean '--context'? (-- before"),
        (Say, "bob hi --timeout", "%x y: --timeout needs a value", "how long"),
        (Say, "bob hi --timeout soon", "%x y: --timeout can't be 'soon': ", "how long"),
        (Say, "bob hi --timeout -1", "%x y: --timeout can't be '-1': ", "how long"),
    ],
)
def test_what_does_not_fit_is_told_in_two_lines(command: type[Command], line: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(command, line)
    assert caught.value.what.startswith(what)
    assert hint in caught.value.hint
    assert len(caught.value._render_traceback_()) == 2


def test_help_is_made_from_the_command() -> None:
    for line in ("--help", "-h", "bob -h", "--context c --help"):
        text = parse(Say, line)
        assert isinstance(text, Help)
        assert repr(text) == text
        assert "Says it.\n\nAnd nothing else." in text
        assert "--no-raise" in text
        assert "does not raise" in text
    text = parse(Put, "--help")
    assert "a 100% good word; may be repeated" in text
    assert "{fast,slow}" in text
    assert "(default: fast)" in text


def test_help_in_a_message_is_part_of_it() -> None:
    assert parse(Say, "bob what does ls --help say").text == "what does ls --help say"
    assert parse(Say, "bob ls --help").text == "ls --help"


def test_a_cell_takes_the_place_of_the_rest() -> None:
    parser = Parser(Say, "%%say", out=True, cell=True)
    command, out = parser.parse(parser.read("bob --context c -o x", Variables({})), "a body {n}\n")
    assert command.model_dump(exclude_defaults=True) == {"who": "bob", "text": "a body {n}\n", "context": "c"}
    assert out == "x"
    with pytest.raises(UsageError, match="one word too many"):
        parser.parse(parser.read("bob more", Variables({})), "")


def test_words_of_a_terminal() -> None:
    parser = Parser(Say, "nbagora x y")
    command, _ = parser.parse(["bob", "hi", "there", "--timeout", "3"])
    assert command.model_dump(exclude_defaults=True) == {"who": "bob", "text": "hi there", "timeout": 3.0}
    with pytest.raises(UsageError, match="no option '-o'"):
        parser.parse(["bob", "hi", "-o", "x"])
    command, _ = Parser(Put, "p").parse(["--dry", "--", "-a"])
    assert command.model_dump(exclude_defaults=True) == {"place": "-a", "dry": True}


RAW = st.text("{}$'\"\\ab --北京😀()#?!%=\t", max_size=50) | st.text(max_size=50)


@given(RAW)
def test_after_two_dashes_any_text_arrives_as_typed(text: str) -> None:
    line = f"bob -- {text}"
    expected = line[len("bob --") :].strip()
    if not expected:
        with pytest.raises(UsageError, match="required: TEXT"):
            parse(Say, line)
    elif "{" not in text and "$" not in text:
        assert parse(Say, line).text == expected
    else:
        assert parse(Say, line).text == Variables(NAMES).text(expected)


@given(RAW)
def test_any_line_is_a_command_or_an_error_of_ours(line: str) -> None:
    for command in (Say, Put):
        with contextlib.suppress(LabError):  # any other error fails the test
            assert isinstance(parse(command, line), Command | Help)
