"""Snapshots of lanes, for views on a page."""

from nbagora_lab.inspect.lanesview import LaneRow, LanesSnapshot, StepRow

__all__ = ["HOSTILE", "trip"]

HOSTILE = '<img src=x onerror="window.hit = 1"><script>window.hit = 2</script>'


def row(name, began, ended=-1, *, parent="", lane="trip", **more):
    depth = 0 if not parent else parent.count("/") + 1
    return StepRow(
        id=f"{parent}/{name}" if parent else name,
        lane=lane,
        parent=parent,
        name=name,
        kind=more.pop("kind", "flow"),
        depth=depth,
        state=more.pop("state", "done" if ended >= 0 else "running"),
        began=began,
        ended=ended,
        topic="sessions/ctx-1",
        offset=began,
        until=ended,
        **more,
    )


def trip(selected=None, lab="http://127.0.0.1:1", task="trip"):
    steps = (
        row("trip", 0, 11, kind="task", seconds=2.5),
        row("parallel", 1, 8, parent="trip", pattern="parallel"),
        row(
            "酒店",
            2,
            7,
            parent="trip/parallel",
            lane="酒店",
            input="北京",
            output="The Jade",
            seconds=0.25,
            tokens=1234,
        ),
        row("trains", 3, 4, parent="trip/parallel", lane="trains", state="failed", output="no trains"),
        row("chain", 9, 10, parent="trip", pattern="chain", output=HOSTILE, model="scripted"),
    )
    lanes = (
        LaneRow(name="trip", kind="agent", steps=3),
        LaneRow(name="酒店", kind="agent", steps=1),
        LaneRow(name="trains", kind="function", steps=1),
    )
    return LanesSnapshot(
        seq=1,
        lab=lab,
        task=task,
        agent="trip",
        state="COMPLETED",
        length=12,
        lanes=lanes,
        steps=steps,
        tokens=1234,
        cost=0.0125,
        selected=selected,
    )
