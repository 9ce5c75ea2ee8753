"""The order in which a trace tells of branches that ran side by side."""

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.core.events import Record, RecordType
from nbagora_lab.flows import parallel, repeatable
from nbagora_lab.lab import Lab
from nbagora_lab.scenarios.branches import side_by_side
from nbagora_lab.scenarios.trace import write_trace


def step(path, phase="intent", type_=RecordType.FLOW_STEP, subject="t", **more):
    return Record(type_, json.dumps({"step": path, "phase": phase, **more}).encode(), "sessions/c", subject=subject)


def placed(records):
    return [record.at("sessions/c", offset) for offset, record in enumerate(records)]


def told(records):
    return [
        (record.type, json.loads(record.body).get("step"), json.loads(record.body).get("phase")) for record in records
    ]


BRANCHES = {
    name: [
        step(f"par/{name}"),
        step(f"par/{name}", type_=RecordType.CALL),
        step(f"par/{name}/inner", side_by_side=True),
        step(f"par/{name}/inner/y"),
        step(f"par/{name}/inner/x"),
        step(f"par/{name}/inner", "result"),
        step(f"par/{name}", "result"),
    ]
    for name in ("a", "b", "c")
}


def shuffled(order):
    """The branches' records, each branch in its own order, the next of them chosen by `order`."""
    left = {name: list(records) for name, records in BRANCHES.items()}
    mixed = [left[name].pop(0) for name in order if left[name]]
    return mixed + [record for records in left.values() for record in records]


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_however_branches_interleave_the_order_is_the_same(order):
    before, after = step("par", side_by_side=True), step("par", "result")
    records = placed([before, *shuffled(order), after])
    expected = placed([before, *BRANCHES["a"], *BRANCHES["b"], *BRANCHES["c"], after])
    assert told(side_by_side(records)) == told(side_by_side(expected))
    assert told(side_by_side(records))[:4] == [
        (RecordType.FLOW_STEP, "par", "intent"),
        (RecordType.FLOW_STEP, "par/a", "intent"),
        (RecordType.CALL, "par/a", "intent"),
        (RecordType.FLOW_STEP, "par/a/inner", "intent"),
    ]


def test_what_is_in_no_branch_or_of_another_task_stays_where_it_was():
    records = placed(
        [
            Record(RecordType.STATUS, b"{}", subject="t"),
            step("par", side_by_side=True),
            step("par/b"),
            step("par/b", subject="another"),
            Record(RecordType.TASK_LOG, b"{}", subject="t"),
            step("par/a"),
            step("later"),
        ]
    )
    found = side_by_side(records)
    assert [record.offset for record in found] == [0, 1, 5, 3, 4, 2, 6]


def test_without_branches_nothing_moves():
    records = placed([step("b"), step("a"), step("b", "result")])
    assert side_by_side(records) == records


def test_ten_branches_that_end_in_any_order_leave_the_same_trace_under_a_seed(tmp_path):
    traces, orders = [], set()
    for number, ends in enumerate(([*range(10)], [*reversed(range(10))], [5, 0, 9, 1, 8, 2, 7, 3, 6, 4])):
        with Lab(store=tmp_path / str(number), seed=7, clock="virtual", port=0) as lab:
            _sections(lab, ends, orders)
        path = tmp_path / f"{number}.trace"
        write_trace(path, tmp_path / str(number), notebook="x", parameters={}, seed=7, clock="virtual")
        traces.append(path.read_text(encoding="utf-8").splitlines())
    assert len(orders) == 3
    assert traces[0] == traces[1] == traces[2]


def _sections(lab, ends, orders):
    """Ten branches of which each waits until those before it have ended."""
    done = []

    def branch(name):
        async def work(value):
            while len(done) < ends.index(name):
                await asyncio.sleep(0)
            done.append(name)
            return f"{value} {name}"

        return repeatable(work)

    @lab.agent
    async def sections(message, task):
        return await parallel(message, **{f"b{name}": branch(name) for name in range(10)})

    task = lab.ask("sections", "北京")
    assert list(task.data[0]) == [f"b{name}" for name in range(10)]
    orders.add(tuple(done))
