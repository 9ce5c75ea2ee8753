"""The audit: who, when and why of each change, sealed, so that what was altered later is found."""

from __future__ import annotations

from cards import draft
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.change import Seal
from nbagora_lab.registry.model import By


def test_an_empty_audit_is_whole(catalog: Catalog) -> None:
    verdict = catalog.verify()
    assert (verdict.whole, verdict.changes, verdict.seal) == (True, 0, Seal(0, ""))


def test_every_change_says_who_and_why_and_the_seals_hold(catalog: Catalog) -> None:
    catalog.publish(draft(), version="1", by=By("ann", "first release"))
    kept = catalog.verify().seal
    catalog.label("public", "weather", "stable", "1", by=By("bob"))
    catalog.put("policy", "public", "", {"signed": True}, told={"signed": True}, by=By("eve", "rules"))
    catalog.refuse("agent", "public", "weather", "label", "may only read", by=By("mallory"))
    assert [(change.who, change.why) for change in catalog.changed_since(0)] == [
        ("ann", "first release"),
        ("ann", "first release"),
        ("bob", ""),
        ("eve", "rules"),
        ("mallory", ""),
    ]
    verdict = catalog.verify(kept)
    assert (verdict.whole, verdict.changes, verdict.unsealed, verdict.broken) == (True, 5, 0, None)
    assert verdict.seal.revision == catalog.revision()


def test_a_past_that_is_another_is_found_by_a_seal_that_was_kept(catalog: Catalog) -> None:
    catalog.publish(draft())
    other = catalog.verify(Seal(1, "0" * 64))
    assert (other.whole, other.broken) == (False, 1)
    longer = catalog.verify(Seal(7, "0" * 64))
    assert (longer.whole, longer.broken) == (False, 3)
    assert "taken out" in longer.reason


def test_changes_of_one_thing_alone_can_be_had(catalog: Catalog) -> None:
    catalog.publish(draft("one"))
    catalog.publish(draft("two"))
    catalog.label("public", "one", "stable", "0.0.1")
    changes = catalog.changed_since(0, whose=("agent", "public", "one"))
    assert [change.revision for change in changes] == [1, 2, 5]
    assert catalog.changed_since(0, whose=("prompt", "public", "one")) == []
