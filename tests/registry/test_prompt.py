"""Prompts: variables with types and defaults, and values that stay values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.core.errors import UsageError
from nbagora_lab.registry import Registry
from nbagora_lab.registry.card import card_problems, read_content
from nbagora_lab.registry.prompt import render, variables_of


def prompt(template: str, *variables: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "plan", "description": "Plans.", "template": template, "variables": list(variables)} | fields


def test_variables_are_read_from_the_template_in_their_order() -> None:
    assert variables_of(r"{{ b }} {{a}} {{b}} \{{c}} {d} {{ }} {{e f}} {{城市}}") == ["b", "a", "城市"]


def test_a_variable_that_is_not_told_of_is_a_string_that_must_be_given() -> None:
    content = read_content("prompt", prompt("{{a}} {{b}}", {"name": "b", "type": "integer", "default": 2})).card
    assert content["variables"] == [{"name": "b", "type": "integer", "default": 2}, {"name": "a", "type": "string"}]
    assert render(content, {"a": "x"}) == "x 2"
    with pytest.raises(UsageError, match="'a' is missing"):
        render(content, {})


@pytest.mark.parametrize(
    ("type_", "value", "written"),
    [
        ("string", "a\nb", "a\nb"),
        ("integer", 3, "3"),
        ("number", 2.5, "2.5"),
        ("boolean", True, "true"),
        ("json", {"城": [1]}, '{"城": [1]}'),
        ("json", "x", '"x"'),
    ],
)
def test_a_value_is_written_by_its_type(type_: str, value: Any, written: str) -> None:
    content = read_content("prompt", prompt("<{{v}}>", {"name": "v", "type": type_})).card
    assert render(content, {"v": value}) == f"<{written}>"


@pytest.mark.parametrize(
    ("type_", "value"),
    [("string", 1), ("integer", True), ("integer", 1.5), ("number", "1"), ("boolean", 1), ("json", {1})],
)
def test_a_value_of_another_type_is_refused(type_: str, value: Any) -> None:
    content = read_content("prompt", prompt("{{v}}", {"name": "v", "type": type_})).card
    with pytest.raises(UsageError, match=f"takes a {type_}"):
        render(content, {"v": value})
    with pytest.raises(UsageError, match="no variable 'w'"):
        render(content, {"w": 1})


@given(st.text(max_size=30), st.text(max_size=30))
def test_what_a_value_holds_is_never_read_again(one: str, two: str) -> None:
    content = {"name": "p", "template": "{{a}}|{{b}}", "variables": [{"name": n, "type": "string"} for n in "ab"]}
    assert render(content, {"a": one + "{{b}}", "b": two}) == f"{one}{{{{b}}}}|{two}"


def test_all_that_is_wrong_is_told_at_once_with_its_place() -> None:
    bad = prompt(
        "{{a}}",
        {"name": "a", "type": "colour"},
        {"name": "a"},
        {"name": "b", "type": "integer", "default": "x"},
        {"name": "c", "type": "integer", "default": 1},
    )
    assert {problem.pointer for problem in card_problems(bad, "prompt")} == {
        "/variables/0/type",
        "/variables/1/name",
        "/variables/2/name",
        "/variables/2/default",
        "/variables/3/name",
    }
    bad = {"name": "", "template": 5, "colour": "red"}
    assert {problem.pointer for problem in card_problems(bad, "prompt")} == {
        "/name",
        "/template",
        "/colour",
        "/description",
    }


def test_a_read_that_knows_the_hash_gets_nothing(registry: Registry) -> None:
    registry.publish(prompt("one {{x}}"), kind="prompt")
    first = registry.prompt("plan")
    assert first is not None
    assert registry.prompt("plan", unless=first.hash) is None
    registry.publish(prompt("two {{x}}"), kind="prompt")
    second = registry.prompt("plan", unless=first.hash)
    assert second is not None
    assert second.version == "0.0.2"
    assert registry.render("plan", x="y") == "two y"
    registry.rollback("plan", kind="prompt")
    assert registry.render("plan", x="y") == "one y"
    assert registry.render("plan", "0.0.2", x="y") == "two y"
