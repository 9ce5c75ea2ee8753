"""Whichever engine a lab's topics are on, it holds its store: a lab of the other kind finds that out."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.stored import open_topics
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import StoreLocked
from nbagora_lab.core.settings import Settings


@pytest.mark.parametrize(("held", "broker"), [("hosted", "embedded"), ("topics", "rocketmq")])
def test_a_store_that_a_lab_on_another_engine_holds_is_held(tmp_path: Path, held: str, broker: str) -> None:
    clock, settings = SystemClock(), Settings(broker=broker)  # type: ignore[arg-type]
    holder = EmbeddedLog(tmp_path / held, clock=clock)
    with pytest.raises(StoreLocked):
        open_topics(tmp_path, clock, settings, lab="lab1")
    holder.close()
    if broker == "embedded":
        open_topics(tmp_path, clock, settings, lab="").close()
