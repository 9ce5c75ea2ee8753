"""A setting comes from the first place that names it, and what does not fit is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.settings import SERVERS, Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and an environment without settings."""
    for name in os.environ:
        if name.startswith("NBAGORA_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def project(folder: Path, table: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.nbagora]\n{table}\n", encoding="utf-8")


def test_the_first_place_that_names_it_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().port == 0
    project(folder, "port = 1")
    assert Settings.load().port == 1
    monkeypatch.setenv("NBAGORA_PORT", "2")
    assert Settings.load().port == 2
    assert Settings.load(port=3).port == 3


def test_places_complete_each_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(folder, "port = 1\nseed = 7")
    monkeypatch.setenv("NBAGORA_LEASE", "4.5")
    settings = Settings.load(durability="fsync")
    assert (settings.port, settings.seed, settings.lease, settings.durability) == (1, 7, 4.5, "fsync")


def test_none_is_not_given(folder: Path) -> None:
    project(folder, "port = 1")
    assert Settings.load(port=None, seed=None).port == 1


HEARD: dict[str, tuple[str, object]] = {
    "store": ("else where", Path("else where")),
    "broker": ("embedded", "embedded"),
    "registry": ("nacos", "nacos"),
    "join": ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    "model": ("rules", "rules"),
    "model_requests_limit": ("5", 5),
    "tool_calls_limit": ("5", 5),
    "tool_timeout": ("5", 5.0),
    "tool_result_limit": ("5", 5),
    "seed": ("5", 5),
    "clock": ("virtual", "virtual"),
    "durability": ("fsync", "fsync"),
    "host": ("::1", "::1"),
    "port": ("5", 5),
    "token": ("", ""),
    "allowed_hosts": ("a", ("a",)),
    "allowed_origins": ("http://a,http://b", ("http://a", "http://b")),
    "body_limit": ("4096", 4096),
    "depth_limit": ("9", 9),
    "record_limit": ("4096", 4096),
    "stored_body_limit": ("2097152", 2097152),
    "cancel_grace": ("0", 0.0),
    "concurrency": ("3", 3),
    "memory_window": ("6", 6),
    "push_allow": ("localhost,127.0.0.1:80", ("localhost", "127.0.0.1:80")),
    "lease": ("0.5", 0.5),
    "grpc": ("0", 0),
    "merge_chunks": ("true", True),
    "probe": ("0", 0.0),
    "private_cards": ("true", True),
    "card_signatures": ("required", "required"),
    "card_keys": ("keys.json", Path("keys.json")),
    "public_url": ("https://lab.example", "https://lab.example"),
    "rocketmq": ("there:8081", "there:8081"),
    "rocketmq_namesrv": ("there:9876", "there:9876"),
    "rocketmq_access_key": ("bob", "bob"),
    "rocketmq_secret_key": ("s3cret", "s3cret"),
    "nacos": ("10.0.0.1:8848", "10.0.0.1:8848"),
    "nacos_user": ("", ""),
    "nacos_password": ("p", "p"),
    "nacos_namespace": ("team-a", "team-a"),
    "lab_id": ("lab7", "lab7"),
    "patience": ("5", 5.0),
    "view_rate": ("20", 20.0),
}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_explained_and_heard_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written, meant = HEARD[name]
    monkeypatch.setenv(f"NBAGORA_{name.upper()}", written)
    assert getattr(Settings.load(), name) == meant
    assert Settings.model_fields[name].description


def test_the_nearest_project_speaks_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(folder, "port = 1")
    deep = folder / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert Settings.load().port == 1
    (folder / "a" / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert Settings.load().port == 0


def test_servers_that_run_in_the_checkout_are_found_and_anything_else_goes_before_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / SERVERS).write_text('{"rocketmq": "here:1", "rocketmq_namesrv": "here:2", "of_a_later_version": "x"}')
    (folder / "notebooks").mkdir()
    monkeypatch.chdir(folder / "notebooks")
    assert (Settings.load().rocketmq, Settings.load().rocketmq_namesrv) == ("here:1", "here:2")
    project(folder, 'rocketmq = "there:1"')
    assert (Settings.load().rocketmq, Settings.load().rocketmq_namesrv) == ("there:1", "here:2")


def test_a_list_is_written_with_commas(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBAGORA_ALLOWED_HOSTS", "a.example, b.example,")
    project(folder, 'allowed_origins = ["http://a.example"]')
    settings = Settings.load()
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert settings.allowed_origins == ("http://a.example",)


def refused(**given: object) -> tuple[str, str]:
    with pytest.raises(UsageError) as caught:
        Settings.load(**given)
    assert len(caught.value._render_traceback_()) == 2
    return caught.value.what, caught.value.hint


def test_every_value_that_does_not_fit_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(folder, 'durability = "maybe"')
    monkeypatch.setenv("NBAGORA_LEASE", "0")
    what, hint = refused(port=65536)
    assert "durability: " in what
    assert "'maybe'" in what
    assert "lease: " in what
    assert "port: " in what
    assert "65536" in what
    assert "%config Lab" in hint


def test_an_unknown_setting_gets_the_near_one() -> None:
    assert refused(prot=1) == ("no setting 'prot'", "did you mean 'port'?")


def test_all_unknown_settings_are_named(folder: Path) -> None:
    project(folder, "sed = 1")
    assert refused(prot=1)[0] == "no setting 'sed', 'prot'"


def test_an_unknown_variable_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBAGORA_PROT", "1")
    assert Settings.load() == Settings()


@pytest.mark.parametrize(
    "content",
    [b"[tool.nbagora", b"# caf\xe9\n[tool.nbagora]\n", b"tool = 5", b"[tool]\nnbagora = 5", b"[tool]\nnbagora = [5]"],
)
def test_a_project_file_that_can_not_be_read_is_named(folder: Path, content: bytes) -> None:
    path = folder / "pyproject.toml"
    path.write_bytes(content)
    what, hint = refused()
    assert str(path) in what
    assert hint == "mend the file"


def test_settings_stand_still() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]
