"""Each module says what it exports: all of it, in order."""

from __future__ import annotations

import ast
import importlib

import pytest

from sources import modules, parse

HOOKS = {"load_ipython_extension", "unload_ipython_extension"}
"""Called by IPython under these names, and by nobody else."""
TYPE_PARAMETERS = {"TypeVar", "TypeVarTuple", "ParamSpec"}


def public_names(tree: ast.Module) -> set[str]:
    """Names without an underscore that a module itself defines at its top level."""
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(value=ast.Call(func=ast.Name(id=maker))) if maker in TYPE_PARAMETERS:
                continue
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                continue
    return {name for name in names - HOOKS if not name.startswith("_")}


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest; ruff's RUF022 sorts so."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", modules())
def test_a_module_exports_what_it_defines(name: str) -> None:
    exported = getattr(importlib.import_module(name), "__all__", None)
    defined = public_names(parse(modules()[name]))
    if exported is None:
        assert not defined, f"{name} has no __all__ for {sorted(defined)}"
        return
    assert list(exported) == sorted(set(exported), key=order)
    assert not defined - set(exported), "public, yet not in __all__: export it, or begin its name with an underscore"


@pytest.mark.parametrize("name", modules())
def test_what_a_module_exports_is_there(name: str) -> None:
    module = importlib.import_module(name)
    missing = [export for export in getattr(module, "__all__", ()) if not hasattr(module, export)]
    assert missing == []
