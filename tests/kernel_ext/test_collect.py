from __future__ import annotations

from nbagora.collect import agent, marked_in


def test_it_marks_and_changes_nothing() -> None:
    def my_parrot(message: object) -> str:
        return "x"

    assert agent(my_parrot) is my_parrot
    assert agent(skills=["a: b"], name="other", reply="either")(my_parrot) is my_parrot
    one, two = marked_in(__name__)
    assert (one.name, one.target) == ("my-parrot", my_parrot)
    assert (two.name, two.options["skills"], two.options["reply"]) == ("other", ["a: b"], "either")
    assert marked_in(__name__) == []


def test_what_is_called_nothing_is_named_by_its_name_or_its_class() -> None:
    class Planner:
        name = "trip_planner"

    agent(Planner())
    Planner.name = ""
    agent(Planner())
    assert [one.name for one in marked_in(__name__)] == ["trip-planner", "Planner"]


def test_modules_keep_apart() -> None:
    namespace = {"__name__": "elsewhere", "agent": agent}
    exec("@agent\ndef a(message): ...", namespace)
    assert marked_in(__name__) == []
    assert [one.name for one in marked_in("elsewhere")] == ["a"]
