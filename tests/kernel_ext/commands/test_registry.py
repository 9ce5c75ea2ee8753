from __future__ import annotations

from typing import Any

import pytest

from nbagora.show import html, plain
from nbagora_lab.core.errors import AgentNotFound, BadName, VersionNotFound


@pytest.fixture
def two(lab: Any, run: Any) -> None:
    run("%%agent echo --skill 'again: says it <b>twice</b>'\ndef echo(message): return message.text * 2")


def test_ls_shows_the_latest(two: None, run: Any) -> None:
    assert [(one.name, one.version) for one in run("%registry ls")] == [("echo", "0.0.2")]
    assert run("%registry ls").df["labels"].tolist() == [("latest",)]


def test_versions_are_kept(two: None, run: Any) -> None:
    assert [one.version for one in run("%registry versions echo")] == ["0.0.2", "0.0.1"]
    with pytest.raises(AgentNotFound):
        run("%registry versions nobody")


def test_show_takes_a_version_or_a_label(two: None, run: Any) -> None:
    assert run("%registry show echo").version == "0.0.2"
    assert run("%registry show echo 0.0.1").version == "0.0.1"
    shown = run("%registry show echo latest")
    assert "version    0.0.2" in plain(shown)
    assert "&lt;b&gt;twice" in str(html(shown))
    with pytest.raises(VersionNotFound):
        run("%registry show echo 9.9.9")
    with pytest.raises(BadName):
        run("%registry show echo !")


def test_find_says_why(two: None, run: Any) -> None:
    table = run("%registry find twice")
    assert [one.agent.name for one in table] == ["echo"]
    assert "skill" in repr(table)
    assert len(run("%registry find --name 'e*'")) == 1
    assert len(run("%registry find --name x* --limit 3")) == 0
