"""Publishing: versions by content, numbers of their own or in a row, and what is there already."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from cards import card, draft, skill
from nbagora_lab.core.errors import AgentNotFound, VersionExists, VersionNotFound
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.card import read_card
from nbagora_lab.registry.model import Published


def test_the_first_version_without_a_number_is_0_0_1_and_the_latest(catalog: Catalog) -> None:
    content = draft("weather", description="Tells the weather.")
    published = catalog.publish(content)
    assert published == Published(namespace="public", name="weather", version="0.0.1", hash=content.hash, new=True)
    assert catalog.labels("public", "weather") == {"latest": "0.0.1"}
    got = catalog.get("public", "weather", "0.0.1")
    assert got.card == {**content.card, "version": "0.0.1"}
    assert (got.hash, got.published, got.labels) == (content.hash, 1000.0, ("latest",))


def test_the_same_content_again_does_nothing(catalog: Catalog) -> None:
    catalog.publish(draft())
    revision = catalog.revision()
    again = catalog.publish(draft())
    assert (again.version, again.new) == ("0.0.1", False)
    assert catalog.revision() == revision
    assert len(catalog.versions("public", "weather")) == 1


def test_other_content_is_the_next_version_and_the_latest(catalog: Catalog) -> None:
    catalog.publish(draft(description="One."))
    assert catalog.publish(draft(description="Two.")).version == "0.0.2"
    assert catalog.labels("public", "weather") == {"latest": "0.0.2"}
    assert catalog.get("public", "weather", "0.0.1").description == "One."


def test_content_that_came_back_is_a_version_of_its_own(catalog: Catalog) -> None:
    for description in ("One.", "Two.", "One."):
        catalog.publish(draft(description=description))
    one, _, back = reversed(catalog.versions("public", "weather"))
    assert (back.version, back.hash) == ("0.0.3", one.hash)
    assert catalog.labels("public", "weather") == {"latest": "0.0.3"}


def test_a_given_version_is_kept_and_becomes_the_latest(catalog: Catalog) -> None:
    catalog.publish(draft())
    published = catalog.publish(draft(), version="1.0.0-rc.1")
    assert (published.version, published.new) == ("1.0.0-rc.1", True)
    assert catalog.labels("public", "weather") == {"latest": "1.0.0-rc.1"}


def test_a_given_version_that_is_there_equal_does_nothing_and_moves_no_label(catalog: Catalog) -> None:
    catalog.publish(draft(description="One."), version="1.0.0")
    catalog.publish(draft(description="Two."), version="2.0.0")
    revision = catalog.revision()
    assert catalog.publish(draft(description="One."), version="1.0.0").new is False
    assert catalog.labels("public", "weather") == {"latest": "2.0.0"}
    assert catalog.revision() == revision


def test_a_given_version_with_other_content_is_refused_and_says_where_it_differs(catalog: Catalog) -> None:
    catalog.publish(draft(skills=[skill("forecast")]), version="1.0.0")
    revision = catalog.revision()
    with pytest.raises(VersionExists) as raised:
        catalog.publish(
            draft(skills=[skill("forecast"), skill("storms")], iconUrl="https://a.example/i"), version="1.0.0"
        )
    assert "/skills/1" in raised.value.what
    assert "/iconUrl" in raised.value.what
    assert catalog.revision() == revision
    assert len(catalog.get("public", "weather", "1.0.0").skills) == 1


@pytest.mark.parametrize(
    ("given", "following"),
    [("0.0.7", "0.0.8"), ("0.0.0", "0.0.1"), ("1.0.0", "0.0.1"), ("0.0.007", "0.0.1"), ("0.0.5-rc", "0.0.1")],
)
def test_the_row_of_numbers_goes_on_past_a_given_one(catalog: Catalog, given: str, following: str) -> None:
    catalog.publish(draft(description="One."), version=given)
    assert catalog.publish(draft(description="Two.")).version == following


def test_numbers_count_rather_than_sort(catalog: Catalog) -> None:
    for number in range(11):
        catalog.publish(draft(description=f"Number {number}."))
    assert catalog.labels("public", "weather") == {"latest": "0.0.11"}


def test_a_namespace_keeps_its_agents_to_itself(catalog: Catalog) -> None:
    catalog.publish(draft(namespace="one", description="One."))
    with pytest.raises(AgentNotFound):
        catalog.get("two", "weather", "latest")
    assert catalog.publish(draft(namespace="two", description="Two.")).version == "0.0.1"
    assert catalog.get("one", "weather", "latest").description == "One."
    assert [agent.description for agent in catalog.ls("two")] == ["Two."]


@pytest.mark.parametrize("name", ["天气", "hotel finder", "a::b", "Ağ-1", "🌤", "a'b\"c", "%_", "n" * 512])
def test_names_are_unicode(catalog: Catalog, name: str) -> None:
    catalog.publish(draft(name))
    assert catalog.get("public", name, "latest").name == name


def _at_once(*calls: Callable[[], object]) -> list[object]:
    """Runs calls in threads that start together; gives what they returned or raised."""
    gate = threading.Barrier(len(calls))
    results: list[object] = [None] * len(calls)

    def run(index: int) -> None:
        gate.wait()
        try:
            results[index] = calls[index]()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_threads_that_publish_one_version_with_other_content_one_wins(catalog: Catalog) -> None:
    for round_ in range(20):
        publish = partial(catalog.publish, version=f"{round_}.0")
        results = _at_once(*(partial(publish, draft(description=f"{i}")) for i in range(4)))
        won = [result for result in results if isinstance(result, Published)]
        told = [result for result in results if isinstance(result, VersionExists)]
        assert (len(won), len(told)) == (1, 3), results
        assert catalog.get("public", "weather", f"{round_}.0").hash == won[0].hash


def test_of_threads_that_publish_one_version_equal_one_makes_it(catalog: Catalog) -> None:
    for round_ in range(20):
        publish = partial(catalog.publish, draft(description=f"{round_}"), version=f"{round_}.0")
        results = _at_once(publish, publish, publish, publish)
        assert sorted(result.new for result in results if isinstance(result, Published)) == [False, False, False, True]


def test_threads_that_publish_without_numbers_get_numbers_in_a_row(catalog: Catalog) -> None:
    results = _at_once(*(partial(catalog.publish, draft(description=f"{i}")) for i in range(8)))
    made = [result.version for result in results if isinstance(result, Published)]
    assert sorted(made) == [f"0.0.{i}" for i in range(1, 9)]
    assert [agent.version for agent in catalog.versions("public", "weather")] == [f"0.0.{i}" for i in range(8, 0, -1)]


def test_two_openings_of_one_store_publish_side_by_side(reopen: Callable[[], Catalog]) -> None:
    one, two = reopen(), reopen()
    one.publish(draft(description="One."))
    assert two.publish(draft(description="One.")).new is False
    assert two.publish(draft(description="Two.")).version == "0.0.2"
    assert one.labels("public", "weather") == {"latest": "0.0.2"}


def test_a_signed_card_is_kept_as_it_was_given(reopen: Callable[[], Catalog]) -> None:
    signed = card(
        "天气",
        version="1",
        supportedInterfaces=[{"url": "https://x/天气", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        signatures=[{"protected": "e30", "signature": "c2lnbmVk", "header": {"kid": "k"}}],
    )
    catalog = reopen()
    published = catalog.publish(read_card(signed), version="1")
    catalog.publish(draft("天气", description="Two."), version="2")
    for opened in (catalog, reopen()):
        assert opened.signed("public", "天气", "1") == signed
        assert opened.signed("public", "天气", "latest") is None
        assert "signatures" not in opened.get("public", "天气", "1").card
    assert catalog.publish(read_card(card("天气")), version="1").hash == published.hash  # a signature is no content
    assert catalog.signed("public", "天气", "1") == signed
    with pytest.raises(VersionNotFound):
        catalog.signed("public", "天气", "9")


def test_a_version_that_is_signed_anew_stays_that_version_and_has_the_newer_signature(
    reopen: Callable[[], Catalog],
) -> None:
    places = [[{"url": f"https://{at}/x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}] for at in "xy"]
    first, second = (
        card("天气", version="1", supportedInterfaces=place, signatures=[{"protected": "e30", "signature": "c2lnbmVk"}])
        for place in places
    )
    catalog = reopen()
    published = catalog.publish(read_card(first), version="1")
    start = catalog.revision()
    again = [catalog.publish(read_card(one), version="1") for one in (second, second)]
    assert [(one.version, one.hash, one.new) for one in again] == [("1", published.hash, False)] * 2
    assert [(one.type, one.version) for one in catalog.changed_since(start)] == [("signed", "1")]
    for opened in (catalog, reopen()):
        assert opened.signed("public", "天气", "1") == second
