"""Who called whom: the tasks of a trace as a tree."""

from nbagora_lab.inspect.calls import Traces
from nbagora_lab.inspect.directory import DirectoryEntry


def entry(task, parent="", trace="a" * 32):
    return DirectoryEntry(
        task=task,
        context="c",
        agent=task,
        owner="",
        topic="sessions/c",
        parent=parent,
        traceparent=f"00-{trace}-{'b' * 16}-01" if trace else "",
        opened=0.0,
    )


def tree(entries, task):
    return [(one.task, depth) for one, depth in Traces().tree({one.task: one for one in entries}, task)]


def test_each_stands_below_its_caller_in_the_order_of_opening():
    entries = [entry("trip"), entry("trains", "trip"), entry("prices", "trains"), entry("hotels", "trip")]
    expected = [("trip", 0), ("trains", 1), ("prices", 2), ("hotels", 1)]
    assert [tree(entries, one.task) for one in entries] == [expected] * 4


def test_other_traces_and_tasks_without_one_stand_alone():
    entries = [entry("one"), entry("two", trace="c" * 32), entry("three", trace=""), entry("four", trace="")]
    assert tree(entries, "two") == [("two", 0)]
    assert tree(entries, "three") == [("three", 0)]


def test_a_caller_that_is_not_there_leaves_its_calls_at_the_top():
    assert tree([entry("trains", "gone"), entry("prices", "trains")], "trains") == [("trains", 0), ("prices", 1)]


def test_what_comes_later_is_taken_in():
    traces, entries = Traces(), {"trip": entry("trip")}
    assert len(traces.tree(entries, "trip")) == 1
    entries["trains"] = entry("trains", "trip")
    assert [one.task for one, _ in traces.tree(entries, "trip")] == ["trip", "trains"]
