"""The snapshots of topics: what they show, and that their cost follows that and not what there is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagora_lab.broker.stats import LeaseInfo
from nbagora_lab.core.errors import BadName, TopicNotFound
from nbagora_lab.core.events import Scheduling, encode
from nbagora_lab.inspect.topics import TopicInspector, TopicLook
from nbagora_lab.inspect.topicview import LEASES, PAGE, WINDOW
from topic_views import T0, FakeGroups, open_log, put


@pytest.fixture
def broker(tmp_path):
    with open_log(tmp_path) as broker:
        broker.create_topic("chat", ttl="1h")
        yield broker


class Looker:
    """An inspector whose rest is the test's to end."""

    def __init__(self, broker, groups=None):
        self.now = 0.0
        self.inspector = TopicInspector(broker.log, groups, "http://127.0.0.1:1", ticks=lambda: self.now)

    def __call__(self, **look):
        return self.inspector.snapshot(TopicLook(**look))

    def offsets(self, **look):
        return [record.offset for record in self(topic="chat/big", **look).selected.records]


def lites(shot):
    return [row.lite for row in shot.topics]


def test_topics_come_by_name_and_in_pages(broker):
    for number in range(100):
        put(broker, f"chat/s-{number:03}", 1)
    look = Looker(broker)
    first = look(parent="chat")
    assert lites(first) == ["_events", *(f"s-{number:03}" for number in range(PAGE - 1))]
    names = []
    after = ""
    while True:
        page = look(parent="chat", prefix="s-", after=after)
        names += lites(page)
        if not (after := page.until):
            break
    assert names == [f"s-{number:03}" for number in range(100)]
    assert lites(look(parent="chat", prefix="s-09")) == [f"s-09{number}" for number in range(10)]
    assert look(parent="chat", prefix="s-09").until == ""


def test_a_full_last_page_is_the_last(broker):
    for number in range(PAGE):
        put(broker, f"chat/s-{number:03}", 1)
    assert look_until(broker, "s-") == ""
    put(broker, "chat/s-999", 1)
    assert look_until(broker, "s-") == f"s-{PAGE - 1:03}"


def look_until(broker, prefix):
    return Looker(broker)(parent="chat", prefix=prefix).until


def test_without_a_parent_sessions_are_listed_or_the_first(broker):
    put(broker, "chat/a", 1)
    assert Looker(broker)().parent == "chat"
    broker.create_topic("sessions")
    assert Looker(broker)().parent == "sessions"
    shot = Looker(broker)(parent="none")
    assert (shot.parent, shot.topics) == ("sessions", ())
    assert [(row.name, row.type, row.ttl) for row in shot.parents] == [
        ("chat", "LITE", 3600),
        ("sessions", "LITE", None),
    ]


def test_a_broker_without_topics_has_a_snapshot(tmp_path):
    with open_log(tmp_path) as broker:
        shot = Looker(broker)()
        assert (shot.parent, shot.topics, shot.selected) == ("", (), None)


def test_a_window_costs_the_same_however_long_the_topic(broker):
    put(broker, "chat/small", 300)
    put(broker, "chat/big", 30_000)
    read = []
    for topic in ("chat/small", "chat/big"):
        broker.log.reset()
        Looker(broker)(parent="chat", topic=topic)
        read.append((broker.log.scanned, broker.log.informed, broker.log.listed))
    assert read[0] == read[1]
    assert read[0][0] <= WINDOW + 1


def test_the_window_goes_with_the_newest_and_reads_only_what_is_new(broker):
    put(broker, "chat/big", 1000)
    look = Looker(broker)
    assert look.offsets() == list(range(1000 - WINDOW, 1000))
    broker.log.reset()
    put(broker, "chat/big", 5, start=1000)
    assert look.offsets() == list(range(1005 - WINDOW, 1005))
    assert broker.log.scanned <= 5 + 1  # and one for the time of the first


def test_a_window_stays_where_it_was_put(broker):
    put(broker, "chat/big", 1000)
    look = Looker(broker)
    assert look.offsets(offset=400, follow=False) == list(range(400, 400 + WINDOW))
    broker.log.reset()
    put(broker, "chat/big", 50, start=1000)
    assert look.offsets(offset=400, follow=False) == list(range(400, 400 + WINDOW))
    assert broker.log.scanned <= 1
    assert look.offsets(offset=10**30, follow=False) == [1049]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 700), st.booleans(), st.integers(0, 150)), max_size=12))
def test_whatever_was_looked_at_before_a_window_is_that_of_the_log(tmp_path_factory, steps):
    with open_log(tmp_path_factory.mktemp("log")) as broker:
        broker.create_topic("chat")
        put(broker, "chat/big", 200)
        look, there = Looker(broker), 200
        for offset, follow, more in steps:
            put(broker, "chat/big", more, start=there)
            there += more
            detail = look(topic="chat/big", offset=offset, follow=follow).selected
            start = max(0, there - WINDOW) if follow else min(offset, there - 1)
            assert detail.start == start
            assert [row.offset for row in detail.records] == list(range(start, min(there, start + WINDOW)))
            assert all(row.text == f"record {row.offset}" for row in detail.records)
            assert detail.row.next == there


@pytest.mark.parametrize("follow", [True, False])
def test_large_bodies_come_over_several_snapshots_the_newest_first_where_those_are_followed(broker, follow):
    put(broker, "chat/big", 40, text="x" * 500_000)
    look = Looker(broker)
    broker.log.reset()
    shot = look.offsets(follow=follow)
    assert broker.log.bytes <= (4 << 20) + 2 * 500_100  # the last of them, and the first of all for its time
    assert 0 < len(shot) < 40
    assert (39 if follow else 0) in shot
    rounds = 0
    before = look.inspector.version()
    while look.offsets(follow=follow) != list(range(40)):
        assert look.inspector.version() != before
        before = look.inspector.version()
        rounds += 1
        assert rounds < 40
    before = look.inspector.version()
    assert look.inspector.version() == before


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("twice", [{3}, {0}, {8}, {2, 3, 4, 7}])
def test_an_offset_that_an_engine_left_out_is_passed_over_and_then_it_rests(broker, monkeypatch, follow, twice):
    put(broker, "chat/big", 10)
    scan = broker.log.scan

    def without(topic, *, after=-1, limit=1000, **more):
        return [one for one in scan(topic, after=after, **more) if one[0] not in twice][:limit]

    monkeypatch.setattr(broker.log, "scan", without)
    look = Looker(broker)
    assert look.offsets(follow=follow) == [offset for offset in range(10) if offset not in twice]
    before = look.inspector.version()
    assert look.inspector.version() == before
    put(broker, "chat/big", 1, start=10)
    assert look.offsets(follow=follow) == [offset for offset in range(11) if offset not in twice]


def test_a_topic_that_was_removed_and_came_back_is_another(broker):
    put(broker, "chat/big", 300)
    look = Looker(broker)
    look.offsets()
    broker.rm("chat/big")
    assert look(topic="chat/big").selected is None
    put(broker, "chat/big", 250, text="new {}")
    shot = look(topic="chat/big").selected
    assert [record.text for record in shot.records] == [f"new {n}" for n in range(250 - WINDOW, 250)]


@pytest.mark.parametrize("topic", ["none", "chat/none", "none/none", "chat/a/b", ""])
def test_a_topic_that_does_not_exist_is_none(broker, topic):
    assert Looker(broker)(topic=topic).selected is None


def test_a_damaged_record_is_told_in_its_place(broker):
    put(broker, "chat/big", 2)
    broker.log.append([("chat/big", b"\xffnothing that a record could be")])
    put(broker, "chat/big", 1, start=3)
    look = Looker(broker)
    types = [record.type for record in look(topic="chat/big").selected.records]
    assert types == ["message", "message", "damaged", "message"]
    assert look.inspector.payload("chat/big", 2).kind == "gone"
    assert "restore the store" in look.inspector.payload("chat/big", 2).text


def test_the_version_changes_with_each_write_and_then_rests(broker):
    look = Looker(broker)
    look(parent="chat")
    versions = [look.inspector.version() for _ in range(2)]
    assert versions[0] == versions[1]
    put(broker, "chat/a", 1)
    assert look.inspector.version() != versions[0]


def test_the_page_rests_a_second_and_then_is_looked_at_once_more(broker):
    put(broker, "chat/a", 1)
    look = Looker(broker)
    look(parent="chat")
    put(broker, "chat/b", 1)
    broker.log.reset()
    assert lites(look(parent="chat")) == ["_events", "a"]
    assert broker.log.listed == 0
    look.now = 1.0
    version = look.inspector.version()
    assert lites(look(parent="chat")) == ["_events", "a", "b"]
    assert look.inspector.version() == version  # nothing was written since
    look.now = 9.0
    assert look.inspector.version() == version


def test_a_page_that_took_long_rests_longer(broker):
    put(broker, "chat/a", 1)
    look = Looker(broker)

    def slow(*_args, **_more):
        look.now += 0.5
        return ["a"]

    broker.log.lites = slow
    look(parent="chat")
    put(broker, "chat/a", 1)
    for rest, looks_again in ((1, False), (8, False), (2, True)):
        look.now += rest
        before = look.now
        look(parent="chat")
        assert (look.now > before) is looks_again


def test_a_time_leads_to_its_first_record(broker):
    put(broker, "chat/big", 100, step=10)
    look = Looker(broker)
    assert look.inspector.seek("chat/big", T0 + 495) == 50
    assert look.inspector.seek("chat/big", T0 - 5) == 0
    assert look.inspector.seek("chat/big", T0 + 10**9) == 99
    with pytest.raises(TopicNotFound):
        look.inspector.seek("chat/none", T0)


def test_a_payload_has_its_attributes(broker):
    scheduling = Scheduling(priority=5, tenant="acme", cost=2.5, deadline=T0).pack()
    stored = encode("order", b'{"a":1}', subject=b"s", source=b"/x", time=T0, scheduling=scheduling, flags=1, id=b"i")
    broker.log.append([("chat/a", stored)])
    payload = Looker(broker).inspector.payload("chat/a", 0)
    assert (payload.kind, payload.size, payload.offset) == ("json", 7, 0)
    told = {each.name: each.value for each in payload.attributes}
    assert told | {"type": "order", "subject": "s", "source": "/x", "id": "i", "flags": "terminal"} == told
    assert told | {"priority": "5", "tenant": "acme", "cost": "2.5", "deadline": "2026-09-21T14:13:20.000000Z"} == told
    assert "generation" not in told


def test_a_record_that_is_not_there_is_gone(broker):
    put(broker, "chat/a", 2)
    inspector = Looker(broker).inspector
    assert inspector.payload("chat/a", 2).kind == "gone"
    assert inspector.payload("chat/a", 10**30).kind == "gone"
    with pytest.raises(TopicNotFound):
        inspector.payload("chat/b", 0)
    with pytest.raises(BadName):
        inspector.payload("b", 0)


# Groups.


@pytest.fixture
def groups(broker):
    groups = FakeGroups()
    for number in range(1000):
        put(broker, f"chat/s-{number:04}", 2)
        groups.stand("workers", f"chat/s-{number:04}", 1, 2, "leased" if number % 100 == 7 else "drained")
    lease = LeaseInfo("chat/s-0007", "worker-1", 1, 1, T0 + 60, 4)
    groups.add("workers", "chat", clients=2, leases=(lease,), ready=3, held={"quota": 2, "tenant": 0}, dead=1)
    groups.add("others", "sessions")
    return groups


def test_groups_of_the_parent_tell_where_they_stand(broker, groups):
    [row] = Looker(broker, groups)(parent="chat", topic="chat/s-0007").groups
    assert (row.group, row.mode, row.clients, row.held, row.dead) == ("workers", "shared", 2, "2 by quota", 1)
    assert (row.committed, row.lag, row.state) == (1, 1, "leased")
    assert (row.lock.client, row.lock.first, row.lock.records) == ("worker-1", 1, 1)
    [row] = Looker(broker, groups)(parent="chat", topic="chat/s-0008").groups
    assert (row.lock, row.state) == (None, "drained")
    [row] = Looker(broker, groups)(parent="chat").groups
    assert row.committed is None


def test_topics_are_filtered_by_their_state_for_a_group_within_bounds(broker, groups):
    look = Looker(broker, groups)
    found, pages, after = [], 0, ""
    while True:
        broker.log.reset()
        page = look(parent="chat", group="workers", state="leased", after=after)
        assert broker.log.listed <= 100 + 3
        assert broker.log.informed == len(page.topics)
        found += [(row.lite, row.state, row.lag) for row in page.topics]
        pages += 1
        if not (after := page.until):
            break
    assert found == [(f"s-{number:04}", "leased", 1) for number in range(7, 1000, 100)]
    assert pages == 11


def test_leases_are_counted_and_the_first_listed(broker, groups):
    leases = tuple(LeaseInfo(f"chat/s-{number:04}", "w", 0, 2, T0, number) for number in range(500))
    groups.add("workers", "chat", leases=leases)
    [row] = Looker(broker, groups)(parent="chat").groups
    assert (row.leased, len(row.leases)) == (500, LEASES)


def test_groups_are_asked_once_a_second_and_leases_end_without_a_write(broker, groups):
    look = Looker(broker, groups)
    look(parent="chat")
    asked = groups.asked
    for _ in range(10):
        put(broker, "chat/s-0000", 1)
        look(parent="chat")
    assert groups.asked == asked
    look.inspector.version()
    look.now = 1.0
    version = look.inspector.version()
    look(parent="chat")
    assert groups.asked == asked + 1
    look.now = 2.0
    groups.add("workers", "chat", leases=())
    assert look.inspector.version() != version
    assert look(parent="chat").groups[0].leases == ()
    look.now = 3.0
    assert look.inspector.version() == look.inspector.version()


def test_a_group_that_is_deleted_meanwhile_is_left_out(broker, groups):
    del groups.told["workers"]
    assert Looker(broker, groups)(parent="chat", group="workers", topic="chat/s-0000").groups == ()
