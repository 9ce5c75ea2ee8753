from __future__ import annotations

from typing import Any

import pytest

from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.settings import Settings

from .conftest import new_shell


def test_help_is_that_of_the_settings(shell: Any, run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run("%config Lab")
    shown = " ".join(capsys.readouterr().out.split())  # IPython wraps long lines
    for name, field in Settings.model_fields.items():
        assert f"Lab.{name}=" in shown
        assert str(field.description) in shown


def test_what_is_set_is_used_by_start(shell: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBAGORA_SEED", "1")
    monkeypatch.setenv("NBAGORA_LEASE", "7")
    run("%config Lab.seed = 2")
    run("folder = 'agora'")
    run("%config Lab.store = folder")
    assert run("%config Lab.seed") == 2
    lab = run("%lab start --durability fsync")
    assert (lab.settings.seed, lab.settings.lease, lab.store.name) == (2, 7.0, "agora")
    run("%lab stop")
    assert run("%lab start --seed 3 --store other").settings.seed == 3


def test_an_environment_is_used_where_nothing_is_set(shell: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBAGORA_SEED", "5")
    run("%config Lab")
    assert run("%lab start").settings.seed == 5


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("%config Lab.port = 'x'", "%config Lab.port can't be 'x': "),
        ("%config Lab.port = 70000", "%config Lab.port can't be 70000: "),
        ("%config Lab.durability = 'maybe'", "%config Lab.durability can't be 'maybe': "),
        ("%config Lab.prot = 1", "no setting 'prot'"),
    ],
)
def test_what_does_not_fit_is_refused_and_makes_the_next_start_fail(
    shell: Any, run: Any, line: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    run(line)
    assert what in caplog.text
    with pytest.raises(UsageError) as caught:
        run("%lab start")
    assert caught.value.what.startswith(what)
    assert run("%lab start").running


def test_setting_it_anew_mends_it(shell: Any, run: Any) -> None:
    run("%config Lab.view_rate = 0")
    run("%config Lab.view_rate = 5")
    assert run("%lab start").settings.view_rate == 5


def test_a_configuration_file_sets_it_too(bare: Any, run: Any) -> None:
    import nbagora

    shell = new_shell({"Lab": {"seed": 11}})
    nbagora.load_ipython_extension(shell)
    try:
        assert shell.run_cell("%lab start").result.settings.seed == 11
    finally:
        nbagora.unload_ipython_extension(shell)


def test_other_objects_are_configured_as_before(shell: Any, run: Any) -> None:
    run("%config InteractiveShell.ast_node_interactivity = 'all'")
    assert shell.ast_node_interactivity == "all"
