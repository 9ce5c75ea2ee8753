"""The notebooks on agents run unchanged with a language model, by one parameter: here one behind a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbagora_lab.scenarios.runner import run_notebook
from openai_server import chat_server

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["05_agents", "06_workflows", "07_multi_agent", "08_distributed"])
def test_a_notebook_is_green_with_a_live_model(name: str, tmp_path: Path) -> None:
    with chat_server() as chat:
        parameters = {"model": f"live:openai-chat:rules@{chat.url}"}
        result = run_notebook(NOTEBOOKS / f"{name}.ipynb", parameters=parameters, out=tmp_path / "out")
        result.check()
        assert chat.requests
        assert {body["model"] for body in chat.requests} == {"rules"}
