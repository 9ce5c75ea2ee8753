from __future__ import annotations

import sys
from typing import Any

import pytest

import nbagora
from nbagora.commands import CELLS, nouns
from nbagora_lab.lab import Lab

from .conftest import new_shell


def state(shell: Any) -> dict[str, Any]:
    """All that loading may touch."""
    if hasattr(shell.magics_manager, "load_all_lazy_magics"):
        shell.magics_manager.load_all_lazy_magics()
    manager = shell.input_transformer_manager
    formatters = [*shell.display_formatter.formatters.values(), shell.display_formatter.ipython_display_formatter]
    return {
        "line": dict(shell.magics_manager.magics["line"]),
        "cell": dict(shell.magics_manager.magics["cell"]),
        "user_magics": set(vars(shell.magics_manager.user_magics)),
        "cleanup": list(manager.cleanup_transforms),
        "tokens": list(manager.token_transformers),
        "matchers": list(shell.Completer.custom_matchers),
        "configurables": list(shell.configurables),
        "printers": [
            {key for key in one.deferred_printers if "nbagora" in key[0]}
            | {(kind.__module__, kind.__name__) for kind in one.type_printers if "nbagora" in kind.__module__}
            for one in formatters
        ],
        "hooks": {name: list(calls) for name, calls in shell.events.callbacks.items()},
    }


def test_loading_registers_and_unloading_takes_all_out(bare: Any, run: Any) -> None:
    before = state(bare)
    run("%load_ext nbagora")
    assert set(nouns()) <= set(bare.magics_manager.magics["line"])
    assert set(CELLS) <= set(bare.magics_manager.magics["cell"])
    assert state(bare) != before
    run("%lab start")
    run("%%agent a\ndef a(message): return 'x'")
    run("%agent ask a hi")
    run("%unload_ext nbagora")
    assert Lab.running_labs() == []
    assert state(bare) == before


def test_loading_twice_is_harmless(bare: Any, run: Any) -> None:
    nbagora.load_ipython_extension(bare)
    once = state(bare)
    lab = run("%lab start")
    nbagora.load_ipython_extension(bare)
    assert state(bare) == once
    assert lab.running
    nbagora.unload_ipython_extension(bare)
    nbagora.unload_ipython_extension(bare)


def test_reloading_stops_the_lab_and_works_again(bare: Any, run: Any) -> None:
    run("%load_ext nbagora")
    lab = run("%lab start")
    run("%reload_ext nbagora")
    assert not lab.running
    assert run("%lab start").epoch == 2
    run("%unload_ext nbagora")


def test_a_magic_of_the_same_name_is_put_back(bare: Any) -> None:
    bare.register_magic_function(lambda line: "theirs", "line", "agent")
    nbagora.load_ipython_extension(bare)
    nbagora.unload_ipython_extension(bare)
    assert bare.run_line_magic("agent", "") == "theirs"


def test_unloading_takes_all_out_even_where_a_step_fails(bare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(bare)
    nbagora.load_ipython_extension(bare)

    def broken(cls: type) -> list[Lab]:
        raise RuntimeError("stuck")

    with monkeypatch.context() as patch:
        patch.setattr(Lab, "running_labs", classmethod(broken))
        with pytest.raises(RuntimeError, match="stuck"):
            nbagora.unload_ipython_extension(bare)
    assert state(bare) == before


def test_two_shells_are_two(shell: Any, run: Any) -> None:
    other = new_shell()
    nbagora.load_ipython_extension(other)
    nbagora.unload_ipython_extension(other)
    assert run("%lab start").running


def test_views_are_flushed_after_each_cell_once_they_are_there(
    shell: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fake = type(sys)("nbagora_widgets")
    fake.flush_all = lambda: calls.append(1)
    monkeypatch.setitem(sys.modules, "nbagora_widgets", fake)
    run("1")
    assert calls == [1]
    monkeypatch.delitem(sys.modules, "nbagora_widgets")
    run("1")
    assert calls == [1]
