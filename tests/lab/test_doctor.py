"""What works here, and what a model can do, against a real server."""

import socket

import pydantic_ai.models as library
import pytest

from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.settings import Settings
from nbagora_lab.doctor import examine, try_model
from openai_server import chat_server


@pytest.fixture(autouse=True)
def _closed_again():
    yield
    library.ALLOW_MODEL_REQUESTS = False


def told(settings):
    return {one.what: one for one in examine(settings)}


def test_a_store_that_can_be_had_is_told(tmp_path):
    found = told(Settings(store=tmp_path / "new" / "store"))
    assert found["store"].works
    assert found["full text"].works
    assert found["python"].works
    assert found["model"].works is None


def test_a_store_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert told(Settings(store=tmp_path / "file" / "store"))["store"].works is False


def test_the_lab_that_has_the_store_is_told(lab):
    assert told(lab.settings)["store"].told == f"{lab.store}: the lab at {lab.url} has it, and answers"


def test_a_server_that_is_asked_for_and_away_is_told(tmp_path):
    with socket.socket() as taken:  # bound, so nobody else listens there
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        found = told(
            Settings(store=tmp_path, broker="rocketmq", rocketmq=place, registry="nacos", nacos=f"http://{place}/nacos")
        )
    assert (found["RocketMQ"].works, found["Nacos"].works) == (False, False)
    assert place in found["Nacos"].told
    with socket.create_server(("127.0.0.1", 0)) as open_:
        place = f"127.0.0.1:{open_.getsockname()[1]}"
        assert told(Settings(store=tmp_path, registry="nacos", nacos=place))["Nacos"].works


def test_an_extra_that_is_missing_is_wrong_where_it_is_asked_for_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("nbagora_lab.doctor._version", lambda _: None)
    assert told(Settings(store=tmp_path))["A2A over gRPC"].works is None
    found = told(Settings(store=tmp_path, grpc=0))["A2A over gRPC"]
    assert (found.works, found.told) == (False, "not installed: pip install 'nbagora[grpc]'")


def test_a_model_is_tried_and_then_runs_an_agent(lab):
    with chat_server() as chat:
        name = f"live:openai-chat:rules@{chat.url}"
        assert [(one.what, one.works) for one in try_model(name)] == [
            ("text", True),
            ("tool call", True),
            ("schema", True),
        ]
        lab.define("asked", _agent(), model=name)
        assert lab.ask("asked", "hello").text.startswith("I have no tool")
        assert [one.works for one in try_model(f"live:openai-chat:no-tools@{chat.url}")] == [True, False, False]


def _agent():
    from pydantic_ai import Agent

    return Agent()


def test_a_model_without_a_server_can_be_tried_too():
    assert [one.works for one in try_model("rules")] == [True, True, True]
    assert [one.works for one in try_model("none")] == [None]
    with pytest.raises(UsageError, match="no model 'ruls'"):
        try_model("ruls")
