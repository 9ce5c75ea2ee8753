"""Long memory: remember, recall and forget as records, found by Chinese words of one and two characters too."""

import pytest
from pydantic_ai import Agent

from nbagora_lab.agents.memory import Memories, memory
from nbagora_lab.agents.models import call, scripted
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import NotFound
from nbagora_lab.core.events import RecordType, decode


@pytest.fixture
def log(tmp_path):
    log = EmbeddedLog(tmp_path, clock=VirtualClock())
    yield log
    log.close()


def kept(log, agent="trip", owner=""):
    return Memories(log, VirtualClock(), agent, owner)


def test_what_is_remembered_is_a_record_and_recalled_by_its_words(log):
    memories = kept(log)
    window = memories.remember("喜欢靠窗的座位")
    memories.remember("prefers cheap hotels")
    assert [hit.text for hit in memories.recall("靠窗")] == ["喜欢靠窗的座位"]
    assert [hit.text for hit in memories.recall("窗")] == ["喜欢靠窗的座位"]
    assert [hit.text for hit in memories.recall("a cheap hotel?")] == ["prefers cheap hotels"]
    assert memories.remember("喜欢靠窗的座位") == window
    records = [decode(stored, memories.topic, offset) for offset, stored in log.scan(memories.topic)]
    assert [record.type for record in records] == [RecordType.REMEMBER] * 2


def test_what_is_forgotten_is_not_recalled_and_the_record_stays(log):
    memories = kept(log)
    key = memories.remember("vegetarian")
    assert memories.forget(key) == "vegetarian"
    assert memories.recall("vegetarian") == []
    assert memories.all() == {}
    with pytest.raises(NotFound, match=key):
        memories.forget(key)
    assert len(log.scan(memories.topic)) == 2


def test_the_index_is_made_anew_from_the_records(log):
    first = kept(log)
    first.remember("经济型酒店")
    first.forget(first.remember("gone"))
    again = kept(log)
    assert again.all() == first.all()
    assert [hit.text for hit in again.recall("酒店")] == ["经济型酒店"]


def test_agents_and_users_have_memories_of_their_own(log):
    kept(log, "trip", "ann").remember("window seat")
    assert kept(log, "trip", "bob").all() == {}
    assert kept(log, "other", "ann").all() == {}


def test_an_agent_remembers_over_conversations(lab):
    model = scripted(
        [call("remember", text="喜欢靠窗的座位"), "ok"],
        [call("recall", question="座位"), lambda messages, info: messages[-1].parts[0].content[0]["text"]],
    )
    lab.define("keeps", Agent(model, toolsets=[memory()]))
    lab.ask("keeps", "记住我喜欢靠窗的座位")
    assert lab.ask("keeps", "what seat do I like?").text == "喜欢靠窗的座位"
