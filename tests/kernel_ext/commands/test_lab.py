from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbagora.command import options
from nbagora.commands.lab import Start
from nbagora.show import plain
from nbagora_lab.core.errors import LabRunning, NotStarted, UsageError
from nbagora_lab.core.settings import Settings
from nbagora_lab.lab import Lab


def test_every_setting_is_an_option_with_its_help() -> None:
    known = {option.field: option for option in options(Start)}
    assert set(known) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        assert known[name].help.startswith(str(field.description))
    assert known["durability"].choices == ("os", "fsync")
    assert known["allowed_hosts"].many


def test_start_returns_the_lab_and_stop_does_too(shell: Any, run: Any, tmp_path: Path) -> None:
    lab = run(
        "%lab start --store agora --durability fsync --seed 7 --clock virtual --allowed-hosts a --allowed-hosts b"
    )
    assert isinstance(lab, Lab)
    assert plain(lab) == f"lab at {lab.url} · store {tmp_path / 'agora'} · epoch 1"
    assert (lab.settings.durability, lab.settings.seed, lab.settings.allowed_hosts) == ("fsync", 7, ("a", "b"))
    assert lab.clock.now() == lab.clock.now()
    assert run("%lab stop") is lab
    assert plain(lab) == f"lab stopped; its topics stay in {tmp_path / 'agora'}"
    with pytest.raises(NotStarted):
        run("%lab stop")
    assert run("%lab start --store agora").epoch == 2


def test_start_again_does_nothing_where_equal(lab: Any, run: Any, tmp_path: Path) -> None:
    port = lab.url.rpartition(":")[2]
    for line in ("", "--seed 1", "--store .nbagora", f"--store {tmp_path / '.nbagora'}", f"--port {port}", "--port 0"):
        assert run(f"%lab start {line}") is lab
    assert run(f"%lab start --token {lab.token} --clock virtual") is lab


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ("--seed 2", "seed 1, not 2"),
        ("--port 1", r"port \d+, not 1"),
        ("--store other", "store .*nbagora, not other"),
        ("--clock system", "clock virtual, not system"),
        ("--token t", "token of its own, not t"),
    ],
)
def test_start_again_names_the_difference(lab: Any, run: Any, options: str, what: str) -> None:
    with pytest.raises(LabRunning, match=f"a lab runs in this kernel with {what}"):
        run(f"%lab start {options}")
    assert lab.running


@pytest.mark.parametrize("options", ["--port x", "--port 70000", "--clock sundial", "--broker kafka", "--stor x"])
def test_start_refuses_what_does_not_fit(shell: Any, run: Any, options: str) -> None:
    with pytest.raises(UsageError):
        run(f"%lab start {options}")


def test_a_notebooks_parameters_may_be_none(shell: Any, run: Any) -> None:
    run("seed, broker, store = None, 'embedded', 'my data'")
    lab = run("%lab start --seed {seed} --broker {broker} --store {store}")
    assert lab.settings.seed is None
    assert lab.store.name == "my data"


def test_status_shows_what_there_is(lab: Any, run: Any) -> None:
    status = run("%lab status")
    assert [agent.name for agent in status.agents] == ["echo"]
    shown = plain(status)
    assert f"url         {lab.url}" in shown
    assert "agents      echo 0.0.1" in shown
    assert "started on" in shown
    assert lab.token not in shown


def test_doctor_tells_what_works_without_a_lab(run: Any, shell: Any, tmp_path: Path) -> None:
    checks = run("%lab doctor")
    assert {row["what"]: row["works"] for row in checks.rows}["store"] == "yes"
    assert f"{tmp_path / '.nbagora'} can be written" in plain(checks)


def test_doctor_tries_a_model(run: Any, shell: Any) -> None:
    assert [row["works"] for row in run("%lab doctor --model rules").rows] == ["yes", "yes", "yes"]
    with pytest.raises(UsageError, match="no model 'ruels'"):
        run("%lab doctor --model ruels")
