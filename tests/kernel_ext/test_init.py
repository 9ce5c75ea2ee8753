from __future__ import annotations

import subprocess
import sys

import pytest

import nbagora


@pytest.mark.parametrize("name", nbagora.__all__)
def test_each_name_of_the_api_is_there(name: str) -> None:
    assert getattr(nbagora, name) is not None
    assert name in dir(nbagora)


def test_a_name_comes_with_its_module_alone() -> None:
    script = (
        "import sys, nbagora; assert not [m for m in sys.modules if m.startswith('nbagora_lab')];"
        "nbagora.LabError; assert 'nbagora_lab.core.errors' in sys.modules; assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Labb'"):
        _ = nbagora.Labb
    with pytest.raises(ImportError):
        from nbagora import Labb  # noqa: F401
