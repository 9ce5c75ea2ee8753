"""The topic view in the kernel: commands in, snapshots and the record that is looked at out."""

import threading
from concurrent.futures import Future
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagora_lab.core.errors import NotStarted
from nbagora_lab.inspect.model import STOPPED
from nbagora_lab.inspect.topicview import (
    GroupRow,
    LeaseRow,
    Payload,
    RecordRow,
    TopicDetail,
    TopicRow,
    TopicsSnapshot,
)
from nbagora_widgets import flush_all
from nbagora_widgets.table import topics_html, topics_text
from topic_views import TopicViews, open_log, put

HOSTILE = '<img src=x onerror="alert(1)">&amp;</td></table></pre><script>alert(2)</script>'


@pytest.fixture
def views(tmp_path):
    with open_log(tmp_path) as broker:
        broker.create_topic("chat")
        broker.create_topic("logs")
        put(broker, "chat/a", 300)
        put(broker, "chat/b", 2)
        views = TopicViews(broker)
        views.add("v")
        yield views
        views.close()


def tell(views, do, **fields):
    """Sends a command; returns the problem of the reply, and the states that came before it."""
    *states, reply = views.receive("v", {"do": do, "request": 7, **fields})
    assert reply["content"]["reply"] == 7
    return reply["content"]["problem"], [message["state"] for message in states]


def shot(views):
    return TopicsSnapshot.model_validate(views.views["v"].snapshot)


def test_a_topic_is_shown_with_its_newest_records(views):
    problem, [state] = tell(views, "show", topic="chat/a")
    assert problem is None
    assert [state["snapshot"]["selected"]["records"][n]["offset"] for n in (0, -1)] == [180, 299]
    assert shot(views).selected.follow


def test_the_first_snapshot_is_of_the_topic_that_was_asked_for(views):
    view = views.add("w", topic="chat/b")
    assert view.snapshot["parent"] == "chat"
    assert view.snapshot["selected"]["row"]["next"] == 2


def test_records_that_stream_in_come_with_the_next_tick_and_none_is_left_out(views):
    tell(views, "show", topic="chat/a")
    seen, there = set(), 300
    for _ in range(20):
        put(views.broker, "chat/a", 100, start=there)
        there += 100
        [message] = views.tick("v")
        records = message["state"]["snapshot"]["selected"]["records"]
        seen |= {record["offset"] for record in records}
        assert records[-1]["offset"] == there - 1
    assert seen >= set(range(300, 2300))
    views.tick("v", seconds=2)  # the page of topics, which rests a second
    assert views.tick("v", seconds=2) == []


def test_a_window_goes_to_an_offset_and_to_a_time_and_says_which_request_put_it_there(views):
    tell(views, "show", topic="chat/a")
    tell(views, "look", offset=40, follow=False)
    detail = shot(views).selected
    assert (detail.start, detail.follow, detail.asked) == (40, False, 7)
    tell(views, "look", time=detail.records[10].time)
    assert shot(views).selected.start == 50
    tell(views, "look", follow=True)
    assert shot(views).selected.records[-1].offset == 299


def test_a_record_is_sent_once_and_not_with_each_snapshot(views):
    tell(views, "show", topic="chat/a")
    problem, [state] = tell(views, "pick", topic="chat/a", offset=12)
    assert problem is None
    assert [*state] == ["payload"]
    assert state["payload"]["text"] == "record 12"
    put(views.broker, "chat/a", 1, start=300)
    [message] = views.tick("v")
    assert [*message["state"]] == ["snapshot"]
    _, states = tell(views, "pick", topic="chat/a", offset=None)
    assert states == [{"payload": {}}]


def test_a_record_is_put_away_with_its_topic(views):
    tell(views, "show", topic="chat/a")
    tell(views, "pick", topic="chat/a", offset=12)
    tell(views, "show", topic="chat/b")
    assert views.views["v"].payload == {}


def test_another_parent_shows_its_page_and_puts_the_topic_away(views):
    tell(views, "show", topic="chat/a")
    tell(views, "browse", parent="chat", prefix="b")
    assert [row.lite for row in shot(views).topics] == ["b"]
    assert shot(views).topic == "chat/a"
    tell(views, "browse", parent="logs")
    assert (shot(views).parent, shot(views).topic, shot(views).topics) == ("logs", None, ())
    tell(views, "show", topic="chat/b")
    assert (shot(views).parent, shot(views).prefix) == ("chat", "")


def test_fork_and_send_are_replied_to_when_they_are_done(views):
    assert tell(views, "fork", topic="chat/a", at=9, to="chat/c") == (None, [])
    assert views.broker.info("chat/c").next == 10
    assert tell(views, "send", topic="chat/c", body="去北京", type="order") == (None, [])
    [record] = views.broker.read("chat/c", after=9)
    assert (record.body.decode(), record.type) == ("去北京", "order")
    assert record.datacontenttype == "text/plain; charset=utf-8"
    tell(views, "send", topic="chat/c", body='{"a": 1}', media="application/json")
    assert views.broker.read("chat/c", after=10)[0].datacontenttype == "application/json"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ({"do": "fork", "topic": "chat/a", "at": 9, "to": "chat/b"}, "TopicExists"),
        ({"do": "fork", "topic": "chat/a", "at": 900, "to": "chat/c"}, "TopicNotFound"),
        ({"do": "fork", "topic": "chat/a", "at": 9, "to": "none"}, "BadName"),
        ({"do": "send", "topic": "none/a", "body": "x"}, "TopicNotFound"),
        ({"do": "send", "topic": "chat/a", "body": "{", "media": "application/json"}, "UsageError"),
        ({"do": "send", "topic": "chat/a", "body": "\ud800"}, "UsageError"),
        ({"do": "pick", "topic": "chat/none", "offset": 1}, "TopicNotFound"),
        ({"do": "look", "offset": -4}, "UsageError"),
        ({"do": "rm", "topic": "chat/a"}, "UsageError"),
    ],
)
def test_what_can_not_be_is_told_in_two_lines(views, command, name):
    before = views.broker.info("chat/a")
    tell(views, "show", topic="chat/a")
    do = command.pop("do")
    problem, _ = tell(views, do, **command)
    assert problem["name"] == name
    assert problem["what"]
    assert problem["hint"]
    assert views.broker.info("chat/a") == before


def test_a_command_that_takes_longer_holds_nothing_up(views):
    source, pending = views.sources["v"], Future()
    source.fork = lambda *_: pending
    assert views.receive("v", {"do": "fork", "request": 1, "topic": "chat/a", "at": 1, "to": "chat/c"}) == []
    assert tell(views, "show", topic="chat/a")[0] is None
    worker = threading.Thread(target=pending.set_result, args=(None,))
    worker.start()
    worker.join()
    [reply] = views.views["v"].comm.take()
    assert reply["content"] == {"reply": 1, "problem": None}


def test_a_command_that_the_lab_s_end_cut_off_is_told(views):
    source, pending = views.sources["v"], Future()
    source.fork = lambda *_: pending
    views.receive("v", {"do": "fork", "request": 1, "topic": "chat/a", "at": 1, "to": "chat/c"})
    pending.cancel()
    pending.set_running_or_notify_cancel()
    [reply] = views.views["v"].comm.take()
    assert reply["content"]["problem"]["name"] == "NotStarted"


def test_the_end_of_a_cell_stores_the_snapshot_and_the_record(views):
    tell(views, "show", topic="chat/a")
    tell(views, "pick", topic="chat/a", offset=3)
    flush_all()
    states = [message["state"] for message in views.views["v"].comm.take()]
    assert [sorted(state) for state in states] == [["payload", "snapshot"]]
    flush_all()
    assert views.views["v"].comm.take() == []


def test_a_view_of_a_lab_that_stopped_says_so_and_keeps_what_it_shows(views):
    tell(views, "show", topic="chat/a")
    views.sources["v"].running = False
    flush_all()
    assert views.views["v"].stopped
    assert shot(views).lab == STOPPED
    assert shot(views).selected.row.topic == "chat/a"
    with pytest.raises(NotStarted):
        views.sources["v"].soon(print)


def test_the_repr_is_short(views):
    tell(views, "show", topic="chat/a")
    assert repr(views.views["v"]).startswith("<TopicView of http://127.0.0.1:1, chat/a, seq ")


# Where there is no kernel.


class Read(HTMLParser):
    """What a reader of the HTML sees."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.words.append(data)


def hostile(text):
    row = TopicRow(topic=text, lite=text, ref=text, first=0, next=1, created=0, last_write=0, state=text, lag=1)
    record = RecordRow(offset=0, time=0, type=text, subject=text, size=1, text=text)
    lease = LeaseRow(topic=text, client=text, first=0, records=1, expires=0)
    group = GroupRow(
        group=text, mode=text, clients=1, ready=1, leased=1, leases=(lease,), received=0, acked=0, redelivered=0, dead=0
    ).model_copy(update={"lock": lease, "state": text})
    detail = TopicDetail(row=row, opened=0, start=0, records=(record,), follow=True)
    shot = TopicsSnapshot(
        seq=1, lab=text, parent=text, topics=(row,), until=text, groups=(group,), topic=text, selected=detail
    )
    return shot, Payload(topic=text, created=0, offset=0, kind="text", text=text, media=text, size=1)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_text_and_no_markup(text):
    shown = Read(topics_html(*hostile(HOSTILE + text)))
    assert shown.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td", "p", "pre"}
    assert any("alert(2)" in words for words in shown.words)
    assert topics_text(*hostile(HOSTILE + text))


def test_a_view_shows_itself_as_tables_and_text(views):
    tell(views, "show", topic="chat/a")
    tell(views, "pick", topic="chat/a", offset=3)
    data, _ = views.views["v"]._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "Topics of chat (http://127.0.0.1:1)" in data["text/html"]
    assert "300 records of chat/a, shown from #180" in data["text/html"]
    assert "<pre>record 3</pre>" in data["text/html"]
    lines = data["text/plain"].splitlines()
    assert lines[-1] == "record 3"
    assert "record 299" in data["text/plain"]
    assert len(lines) < 60


def test_a_topic_that_is_not_there_is_said(views):
    tell(views, "show", topic="chat/none")
    data, _ = views.views["v"]._repr_mimebundle_()
    assert "chat/none does not exist" in data["text/plain"]
