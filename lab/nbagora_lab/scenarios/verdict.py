"""Why a run failed, in two lines: one error for all that the engine found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbagora_lab.core.errors import CellFailed, CellsPending, ScenarioError, ServicesLeaked

if TYPE_CHECKING:
    from nbagora_lab.scenarios.engine import Failure, Session

__all__ = ["verdict"]


def verdict(session: Session) -> ScenarioError | None:
    """The error of a run that has ended; None if it passed.

    A failed cell goes before cells that did not run, these before what was left running: each explains the next.
    """
    name = session.name
    ran = [cell.number for cell in session.cells if cell.status in {"passed", "failed"}]
    last = ran[-1] if ran else 0
    failure = session.failure
    if failure is not None and failure.kind != "exit":
        return _cell_failed(f"cell {last} of {name}", failure, session)
    if pending := sum(cell.status == "pending" for cell in session.cells):
        return CellsPending(
            f"{pending} of {len(session.cells)} cells of {name} did not run: cell {last} ended the notebook",
            "a scenario runs to its last cell: take out what ends it early, such as sys.exit()",
        )
    return _leaked(name, session.leaks)


def _cell_failed(where: str, failure: Failure, session: Session) -> CellFailed:
    if failure.kind == "timeout":
        return CellFailed(
            f"{where} was still running when the notebook's {session.timeout:g} s were over",
            "the executed notebook shows where it hung; give it more time, or mend the cell",
        )
    if failure.kind == "died":
        status = f" with status {failure.value}" if failure.value else ""
        return CellFailed(
            f"the kernel died{status} in {where}", _last_words(session) or "it crashed, was killed, or ended itself"
        )
    lines = failure.traceback
    if len(lines) == 2 and lines[1].startswith("hint: "):  # one of ours: its two lines are ours too
        return CellFailed(f"{where}: {lines[0]}", lines[1].removeprefix("hint: "))
    first = failure.value.strip().partition("\n")[0]
    return CellFailed(
        f"{where} raised {failure.name}{f': {first}' if first else ''}", "its traceback is in the executed notebook"
    )


def _last_words(session: Session) -> str:
    """The last line that the kernel's process itself wrote, past the front end."""
    session.output.flush()
    session.output.seek(0)
    lines = [line.strip() for line in session.output.read().decode(errors="replace").splitlines()]
    own = [line for line in lines if line and "[IPKernelApp]" not in line]
    return f"its process last wrote: {own[-1][:200]}" if own else ""


def _leaked(name: str, leaks: dict[str, list[str]]) -> ServicesLeaked | None:
    found = [f"{kind} {one}" for kind, ones in leaks.items() for one in ones]
    if not found:
        return None
    if labs := leaks["lab"]:  # a lab's own threads and sockets are no news beside it
        found = [f"{len(labs)} lab{'s' if len(labs) > 1 else ''} ({', '.join(labs)})"]
        return ServicesLeaked(
            f"{name} left running: {found[0]}", "end it in the last cell with %lab stop, or use `with Lab() as lab:`"
        )
    return ServicesLeaked(f"{name} left running: {', '.join(found)}", "end it in the last cell")
