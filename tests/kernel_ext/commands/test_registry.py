from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from nacos_labs import lab_of
from nbagora.show import html, plain
from nbagora_lab.core.errors import AgentNotFound, BadName, InUse, ServerGone, UsageError, VersionNotFound


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


def test_a_release_s_life_in_a_notebook(two: None, lab: Any, run: Any) -> None:
    assert run("%registry label echo stable 0.0.1") == "stable of echo points at 0.0.1"
    assert run("%registry label echo stable 0.0.1") == "stable of echo pointed already at 0.0.1"
    assert run("%agent ask echo a").text == "aa"
    said = run("%registry rollback echo --why 'ticket 7'")
    assert said == "latest of echo points at 0.0.1 again, no more at 0.0.2"
    assert run("%agent ask echo a").text == "a"
    assert run("%registry rollback echo").startswith("latest of echo points at 0.0.2")
    assert "description" in run("%registry diff echo 0.0.1 0.0.2") or "skills" in run("%registry diff echo 0.0.1 0.0.2")
    assert run("%registry diff echo latest 0.0.2") == "latest and 0.0.2 are equal"
    tried = run("%registry canary echo stable --weight 50 --dry-run")
    assert tried["callers"] == 2
    rule = run("%registry canary echo 0.0.2 --weight 25 --rest stable --errors 0.1")
    assert rule["weights"] == {"canary": 25.0, "stable": 75.0}
    with pytest.raises(InUse):
        run("%registry label echo canary")
    assert run("%registry canary echo") == "everybody who asks echo goes to latest"
    assert run("%registry label echo canary") == "canary of echo is gone"
    assert run("%registry deprecate echo 0.0.1") == "echo 0.0.1 is deprecated"
    assert run("%registry versions echo").df["state"].tolist() == ["published", "deprecated"]
    assert run("%registry deprecate echo 0.0.1 --undo") == "echo 0.0.1 is published"
    with pytest.raises(InUse):
        run("%registry withdraw echo 0.0.1")
    run("%registry label echo stable")
    assert run("%registry withdraw echo 0.0.1") == "echo 0.0.1 is withdrawn"
    audit = run("%registry audit echo")
    assert "ticket 7" in audit.df["why"].tolist()
    assert "is whole" in run("%registry audit --verify")
    assert len(run("%registry watch --after 0 --timeout 0 --count 2")) == 2


def test_places_are_listed_probed_and_drained(two: None, run: Any) -> None:
    endpoints = run("%registry probe echo")
    assert {one.state for one in endpoints} == {"up"}
    gone = endpoints[0].id
    drained = run(f"%registry endpoints echo --drain {gone}")
    assert {one.id: one.state for one in drained}[gone] == "draining"


def test_find_filters_and_explains(two: None, run: Any) -> None:
    assert [one.agent.name for one in run("%registry find --capability streaming --tag again")] == ["echo"]
    assert len(run("%registry find --where 'health=up and not skill=again'")) == 0
    table = run("%registry explain echo --where tag=other twice")
    assert [row[1] for row in table] == [False, False, True]
    with pytest.raises(UsageError):
        run("%registry find --where colour=red")


def test_publish_takes_a_file_and_a_url(lab: Any, run: Any, tmp_path: Any) -> None:
    card = tmp_path / "card.json"
    card.write_text('{"name": "painter", "description": "Draws."}', encoding="utf-8")
    assert run(f"%registry publish {card} --version 1.0").version == "1.0"
    server = tmp_path / "server.json"
    server.write_text('{"name": "sky", "description": "Tools.", "tools": [{"name": "look"}]}', encoding="utf-8")
    assert run(f"%registry publish {server} --kind mcp --draft").state == "draft"
    server.write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="holds no object"):
        run(f"%registry publish {server} --kind mcp")
    assert len(run("%registry impact painter")) == 0


def test_the_registry_goes_into_files_and_back(two: None, run: Any, tmp_path: Any) -> None:
    assert run(f"%registry export {tmp_path / 'kept'}") == f"2 versions are in {tmp_path / 'kept'}"
    assert run(f"%registry import {tmp_path / 'kept'}") == "0 versions are new, 2 were there; 0 labels moved"


def test_a_view_shows_what_is_published_and_closes_with_the_lab(two: None, run: Any) -> None:
    view = run("%registry view echo --text twice")
    assert view.snapshot["selected"]["name"] == "echo"
    assert [row["name"] for row in view.snapshot["rows"]] == ["echo"]
    view.close()
    with pytest.raises(AgentNotFound):
        run("%registry view nobody")


@pytest.mark.thorough
def test_a_sync_carries_it_to_a_real_nacos_and_back_and_says_what_differed(
    nacos: Any, tmp_path: Path, shell: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBAGORA_NACOS_USER", nacos.endpoints["username"])
    monkeypatch.setenv("NBAGORA_NACOS_PASSWORD", nacos.endpoints["password"])
    target = f"nacos://{urlsplit(nacos.endpoints['url']).netloc}/{lab_of(tmp_path)}"
    run("%lab start --store one")
    run("%%agent echo --skill 'again: 再说一遍'\ndef echo(message): return message.text")
    run("%registry label echo stable 0.0.1")

    def told(command: str) -> set[tuple[str, str, str, str]]:
        return {(one.name, one.what, one.there, one.done) for one in run(f"%registry sync {target} {command}")}

    lacking = {("echo", "version", "", "sent"), ("echo", "label", "", "sent")}
    assert told("--dry-run") == lacking
    assert told("") == lacking
    assert told("") == set()
    run("%lab stop")
    run("%lab start --store two")
    run("%%prompt plan\nPlan {{city}}.")
    assert ("echo", "version", "0.0.1", "only the other has it") in told("")
    assert ("echo", "version", "0.0.1", "taken") in told("--both")
    assert run("%registry show echo stable").version == "0.0.1"
    for wrong in ("http://127.0.0.1:1/x", "nacos://127.0.0.1:1"):
        with pytest.raises(UsageError, match="names no registry"):
            run(f"%registry sync {wrong}")
    with pytest.raises(ServerGone) as caught:
        run("%registry sync nacos://127.0.0.1:1/x")
    assert len(caught.value._render_traceback_()) == 2
