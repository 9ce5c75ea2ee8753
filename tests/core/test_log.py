"""Lines of the lab and its guests land in the ring, nowhere else, and the loggers come back as they were."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from nbagora_lab.core.log import RingLog, logger

NAMES = ("nbagora", "a2a", "uvicorn.error", "sse_starlette")


def state() -> dict[str, tuple[bool, int, list[logging.Handler]]]:
    """How the loggers are; pytest's own handlers, which follow a logger that keeps its lines, don't count."""
    return {
        name: (its.propagate, its.level, [h for h in its.handlers if not type(h).__module__.startswith("_pytest")])
        for name in NAMES
        for its in [logging.getLogger(name)]
    }


@pytest.fixture
def ring() -> Iterator[RingLog]:
    before = state()
    ring = RingLog(capacity=5)
    ring.install()
    yield ring
    ring.uninstall()
    assert state() == before


def messages(ring: RingLog, level: int = logging.INFO) -> list[str]:
    return [line.message for line in ring.lines(level)]


def test_a_line_says_when_how_bad_and_who(ring: RingLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.time, "time", lambda: 12.5)  # type: ignore[attr-defined]
    monkeypatch.setattr(logging.time, "time_ns", lambda: 12_500_000_000)  # type: ignore[attr-defined]
    logger.getChild("broker").warning("%s is full", "the disk")
    [line] = ring.lines()
    assert (line.time, line.level, line.logger, line.message) == (12.5, "WARNING", "nbagora.broker", "the disk is full")


def test_nothing_is_printed_and_nothing_reaches_the_kernels_own_loggers(
    ring: RingLog, capfd: pytest.CaptureFixture[str]
) -> None:
    kernels = RingLog()
    logging.getLogger().addHandler(kernels)
    try:
        for name in NAMES:
            logging.getLogger(f"{name}.child").error("from %s", name)
    finally:
        logging.getLogger().removeHandler(kernels)
    assert capfd.readouterr() == ("", "")
    assert kernels.lines() == []
    assert messages(ring) == [f"from {name}" for name in NAMES]


def test_the_oldest_lines_go_first(ring: RingLog) -> None:
    for number in range(7):
        logger.info("%d", number)
    assert messages(ring) == ["2", "3", "4", "5", "6"]


def test_guests_are_heard_from_warnings_on_and_nobody_for_debugging(ring: RingLog) -> None:
    logger.debug("lab debug")
    logger.info("lab info")
    logging.getLogger("a2a.server").info("guest info")
    logging.getLogger("a2a.server").warning("guest warning")
    assert messages(ring) == ["lab info", "guest warning"]


def test_lines_are_chosen_by_their_level_even_one_without_a_name(ring: RingLog) -> None:
    logger.info("info")
    logger.log(25, "between")
    logger.error("error")
    assert messages(ring) == ["info", "between", "error"]
    assert messages(ring, logging.WARNING) == ["error"]
    assert messages(ring, 21) == ["between", "error"]


def test_an_exception_is_one_line(ring: RingLog) -> None:
    logger.error("the agent failed", exc_info=ValueError("no such city"))
    assert messages(ring) == ["the agent failed (ValueError: no such city)"]


def test_arguments_that_do_not_fit_stop_nobodys_work() -> None:
    ring = RingLog()
    ring.handle(logging.makeLogRecord({"msg": "%d cities", "args": ("many",), "levelno": logging.INFO}))
    assert messages(ring) == ["%d cities ('many',)"]


def test_installing_twice_changes_nothing_more(ring: RingLog) -> None:
    ring.install()
    logger.info("once")
    assert messages(ring) == ["once"]


@pytest.mark.parametrize("first_out", [0, 1])
def test_two_labs_hear_both_and_the_last_gives_the_loggers_back(first_out: int) -> None:
    before = state()
    rings = [RingLog(), RingLog()]
    for ring in rings:
        ring.install()
    logger.info("both")
    rings[first_out].uninstall()
    logger.info("one")
    assert logger.propagate is False
    rings[1 - first_out].uninstall()
    rings[1 - first_out].uninstall()
    assert messages(rings[first_out]) == ["both"]
    assert messages(rings[1 - first_out]) == ["both", "one"]
    assert state() == before


def test_loggers_come_back_as_a_user_had_set_them() -> None:
    guest = logging.getLogger("a2a")
    guest.setLevel(logging.DEBUG)
    try:
        ring = RingLog()
        ring.install()
        ring.uninstall()
        assert guest.level == logging.DEBUG
    finally:
        guest.setLevel(logging.NOTSET)
