from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagora_lab.broker import Broker, TopicSpec
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.clock import SystemClock, VirtualClock
from nbagora_lab.core.errors import ScenarioError
from nbagora_lab.core.events import encode
from nbagora_lab.inspect.directory import DIRECTORY
from nbagora_lab.scenarios.normalise import fingerprint
from nbagora_lab.scenarios.trace import TraceLine, read_trace, write_trace

HEADER = {"notebook": "a", "parameters": {"seed": 7, "city": "北京"}, "seed": 7, "clock": "virtual"}

Said = tuple[str, str]
"""A lite topic, and what is said there."""


def record(store: Path, said: list[Said]) -> None:
    log = EmbeddedLog(store, clock=SystemClock())
    broker = Broker(log, SystemClock())
    broker.create_topic("sessions")
    broker.create_topic("lab")
    for lite, text in said:
        broker.send(f"sessions/{lite}", json.dumps({"text": text, "time": SystemClock().now()}), type="a2a.message")
        broker.send(DIRECTORY, json.dumps({"said": text}), type="task.opened", subject=lite)
    log.close()


def test_a_line_tells_a_record(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "store", clock=VirtualClock())
    log.create_topic("sessions", TopicSpec())
    log.append([("sessions/ctx-1", encode("a2a.status", b"{}", subject=b"t-1", generation=3))])
    log.close()
    trace = write_trace(tmp_path / "a.trace.jsonl", tmp_path / "store", **HEADER)
    sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of {}
    assert trace.lines == (TraceLine("sessions/ctx-1", 0, "a2a.status", "t-1", 3, sha256),)
    head, line = (tmp_path / "a.trace.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(json.loads(head)) == ["format", "notebook", "parameters", "seed", "clock", "engines", "normalisers"]
    assert json.loads(head)["engines"] == {"broker": log.engine}
    assert list(json.loads(line)) == ["topic", "offset", "type", "subject", "generation", "sha256"]


def test_life_cycle_topics_are_left_out(tmp_path: Path) -> None:
    record(tmp_path / "store", [("ctx-1", "hello")])
    trace = write_trace(tmp_path / "a.trace.jsonl", tmp_path / "store", **HEADER)
    assert {line.topic for line in trace.lines} == {"sessions/ctx-1", DIRECTORY}


@pytest.mark.thorough
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_the_order_of_threads_leaves_no_trace(data: st.DataObject) -> None:
    lites = st.sampled_from(["b", "a", "北京", "a b"])
    script = data.draw(st.dictionaries(lites, st.lists(st.sampled_from("xyz"), max_size=4), min_size=1))
    turns = [lite for lite, texts in script.items() for _ in texts]
    files = []
    for _ in range(2):
        left = {lite: list(texts) for lite, texts in script.items()}
        said = [(lite, left[lite].pop(0)) for lite in data.draw(st.permutations(turns))]
        with TemporaryDirectory() as folder:
            record(Path(folder) / "store", said)
            write_trace(Path(folder) / "trace", Path(folder) / "store", **HEADER)
            files.append((Path(folder) / "trace").read_bytes())
    assert files[0] == files[1]
    topics = [(line["topic"], line["offset"]) for line in map(json.loads, files[0].decode().splitlines()[1:])]
    assert topics == sorted(topics)


def test_nothing_in_a_trace_tells_when_or_where_it_was_made(tmp_path: Path) -> None:
    record(tmp_path / "store", [("ctx-1", f"see http://127.0.0.1:43121 and {tmp_path}")])
    write_trace(tmp_path / "a.trace.jsonl", tmp_path / "store", **HEADER)
    text = (tmp_path / "a.trace.jsonl").read_text(encoding="utf-8")
    assert not re.search(r"\d{4}-\d\d-\d\d|\d{10}\.|:\d{4,5}\b", re.sub(r"[0-9a-f]{64}", "", text))
    assert str(tmp_path) not in text


@pytest.mark.parametrize("here", [(33905, 42787), (42787, 33905)])
def test_the_port_in_the_name_of_a_topic_leaves_no_trace(tmp_path: Path, here: tuple[int, int]) -> None:
    log = EmbeddedLog(tmp_path / "store", clock=VirtualClock())
    log.create_topic("inbox.hotels", TopicSpec())
    tasks = [(here[0], "t-2"), (here[1], "t-1"), (here[1], "t-3"), (here[0], "t-1")]
    for number, (port, task) in enumerate(tasks):
        body = json.dumps({"number": number}).encode()
        log.append([(f"inbox.hotels/day@127.0.0.1:{port}", encode("inbox.request", body, subject=task.encode()))])
    log.append([("inbox.hotels/day", encode("inbox.request", b"{}", subject=b"t-1"))])
    log.close()
    trace = write_trace(tmp_path / "a.trace.jsonl", tmp_path / "store", **HEADER)
    joined = "inbox.hotels/day@127.0.0.1:<port>"
    assert [(line.topic, line.offset, line.subject) for line in trace.lines] == [
        ("inbox.hotels/day", 0, "t-1"),
        *((joined, number, task) for number, task in enumerate(["t-1", "t-1", "t-2", "t-3"])),
    ]
    # both tasks t-1 have another offset in their inboxes: the first of one comes before the second of the other
    assert [line.sha256 for line in trace.lines[1:3]] == [fingerprint(b'{"number": %d}' % number) for number in (1, 3)]


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    record(tmp_path / "store", [("ctx\u2028 1", "one"), ("北京", "two"), ("ctx-1", "three")])
    written = write_trace(tmp_path / "a.trace.jsonl", tmp_path / "store", **HEADER)
    assert read_trace(tmp_path / "a.trace.jsonl") == written
    assert len(written.lines) == 6


def test_more_topics_than_a_page_are_all_there(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "store", clock=VirtualClock())
    log.create_topic("sessions", TopicSpec())
    log.append([(f"sessions/ctx-{number}", encode("m", b"")) for number in range(1201)])
    log.close()
    trace = write_trace(tmp_path / "a.trace.jsonl", tmp_path / "store", **HEADER)
    assert len({line.topic for line in trace.lines}) == 1201


def test_a_store_below_its_folder_is_found(tmp_path: Path) -> None:
    record(tmp_path / "store" / "topics", [("ctx-1", "hello")])
    assert write_trace(tmp_path / "a.trace.jsonl", tmp_path / "store", **HEADER).lines


def test_a_notebook_that_started_no_lab_has_a_trace_without_records(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "a.trace.jsonl", tmp_path / "store", **HEADER)
    assert (trace.lines, trace.header.engines) == ((), {})
    assert not (tmp_path / "store").exists()
    assert read_trace(tmp_path / "a.trace.jsonl") == trace


@pytest.mark.parametrize(
    "text", ["", "\n", "no json\n", "{}\n", '{"format": 1}\n', "[]\n", '{"format": 1, "notebook": "a"', "\udcff"]
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text, errors="surrogateescape")
    with pytest.raises(ScenarioError, match="is no trace"):
        read_trace(tmp_path / "x")


def test_a_trace_that_was_cut_is_refused(tmp_path: Path) -> None:
    record(tmp_path / "store", [("ctx-1", "one")])
    target = tmp_path / "a.trace.jsonl"
    write_trace(target, tmp_path / "store", **HEADER)
    target.write_bytes(target.read_bytes()[:-20])
    with pytest.raises(ScenarioError, match="is no trace"):
        read_trace(target)


def test_a_trace_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"format": 99}\n')
    with pytest.raises(ScenarioError, match="a trace of format 99"):
        read_trace(tmp_path / "x")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="is no trace: FileNotFoundError"):
        read_trace(tmp_path / "x")
