"""Searching: whole skills, tags and names; words in English and Chinese; and the reasons that come with a result."""

from __future__ import annotations

import pytest

from cards import draft, skill
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.model import Query, Why


@pytest.fixture
def agora(catalog: Catalog) -> Catalog:
    """Six agents in two languages."""
    catalog.publish(
        draft(
            "weather",
            description="Tells the weather of a city.",
            skills=[skill("forecast", name="Weather Forecast", tags=["travel", "Météo"], examples=["Will it rain?"])],
        )
    )
    catalog.publish(
        draft(
            "hotel-finder",
            description="Finds rooms.",
            skills=[skill("book_hotel", tags=["travel", "booking"], examples=["a quiet room in Paris"])],
        )
    )
    catalog.publish(
        draft(
            "酒店助手",
            description="帮你预订酒店房间",
            skills=[skill("yuding", name="预订酒店", description="按城市和日期预订", tags=["旅行"])],
        )
    )
    catalog.publish(
        draft("天气", description="查询任何城市的天气预报", skills=[skill("tianqi", name="天气预报", tags=["旅行"])])
    )
    catalog.publish(draft("painter", description="Draws.", skills=[skill("image-generation", tags=["art"])]))
    catalog.publish(draft("weather", namespace="other", skills=[skill("forecast", tags=["travel"])]))
    return catalog


def names(catalog: Catalog, **query: object) -> list[str]:
    return [found.agent.name for found in catalog.find(Query(**query))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"skill": "forecast"}, ["weather"]),
        ({"skill": "weather forecast"}, ["weather"]),
        ({"skill": "ＦＯＲＥＣＡＳＴ"}, ["weather"]),
        ({"skill": "预订酒店"}, ["酒店助手"]),
        ({"skill": "fore"}, []),
        ({"tag": "travel"}, ["hotel-finder", "weather"]),
        ({"tag": "TRAVEL", "skill": "book_hotel"}, ["hotel-finder"]),
        ({"tag": "art", "skill": "book_hotel"}, []),
        ({"tag": "旅行"}, ["天气", "酒店助手"]),
        ({"name": "weather"}, ["weather"]),
        ({"name": "Weather"}, []),
        ({"name": "*e*"}, ["hotel-finder", "painter", "weather"]),
        ({"name": "?气"}, ["天气"]),
        ({"name": "酒店*", "tag": "旅行"}, ["酒店助手"]),
        ({"name": "weather", "tag": "booking"}, []),
        ({"namespace": "other", "tag": "travel"}, ["weather"]),
        ({"namespace": "nowhere", "tag": "travel"}, []),
    ],
)
def test_what_is_asked_in_whole_is_found_in_whole(agora: Catalog, query: dict[str, str], expected: list[str]) -> None:
    assert sorted(names(agora, **query)) == sorted(expected)
    assert names(agora, **query) == sorted(names(agora, **query), key=str.encode)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hotel", {"hotel-finder"}),
        ("hotels", {"hotel-finder"}),
        ("HOTEL", {"hotel-finder"}),
        ("meteo", {"weather"}),
        ("image generation", {"painter"}),
        ("酒店", {"酒店助手"}),
        ("店", {"酒店助手"}),
        ("订", {"酒店助手"}),
        ("天气", {"天气"}),
        ("天气预报", {"天气"}),
        ("气天", set()),
        ("城市", {"天气", "酒店助手"}),
        ("日期", {"酒店助手"}),
        ("quiet", {"hotel-finder"}),
        ("weather 酒店", {"weather", "酒店助手"}),
        ("the weather of a city", {"weather"}),
        ("the", {"weather"}),
        ("submarine", set()),
        ("？！…", set()),
    ],
)
def test_words_are_found_in_either_language(agora: Catalog, text: str, expected: set[str]) -> None:
    assert set(names(agora, text=text)) == expected


def test_a_phrase_does_not_reach_from_one_text_into_the_next(catalog: Catalog) -> None:
    catalog.publish(draft("a", skills=[skill("x", tags=["红酒", "店铺"])]))
    assert names(catalog, text="酒店") == []


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("I need a room in Paris", "hotel-finder"),
        ("will it rain tomorrow", "weather"),
        ("周末去北京，帮我订个酒店", "酒店助手"),
        ("明天天气怎么样", "天气"),
    ],
)
def test_a_question_finds_its_agent_first(agora: Catalog, question: str, best: str) -> None:
    assert names(agora, text=question)[0] == best


def test_more_words_rank_higher(catalog: Catalog) -> None:
    catalog.publish(draft("one", description="Knows trains, and much else."))
    catalog.publish(draft("two", description="Knows trains and hotels, too."))
    for filler in range(10):
        catalog.publish(draft(f"filler {filler}"))
    results = catalog.find(Query(text="trains hotels"))
    assert [found.agent.name for found in results] == ["two", "one"]
    assert results[0].score > results[1].score > 0


def test_a_name_tells_more_than_a_skill_a_skill_more_than_a_text_and_an_example_least(catalog: Catalog) -> None:
    for place in ("example", "description", "tag", "skill", "name"):

        def word(here: str, place: str = place) -> str:
            return "zebra" if here == place else "other"

        fields = {"tags": [word("tag")], "examples": [word("example")], "description": "x"}
        one = skill(word("skill"), **fields)
        catalog.publish(draft(f"{word('name')} {place}", description=word("description"), skills=[one]))
    for filler in range(20):
        catalog.publish(draft(f"filler {filler}"))
    first, *middle, fourth, last = names(catalog, text="zebra")
    assert (first, sorted(middle)) == ("zebra name", ["other skill", "other tag"])
    assert (fourth, last) == ("other description", "other example")


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_no_text_asks_for_no_word(agora: Catalog, text: str | None) -> None:
    assert names(agora, text=text, tag="art") == ["painter"]
    assert len(names(agora, text=text)) == 5


@pytest.mark.parametrize(
    "text", ['"', "NEAR(a b)", "name:weather", "weather AND", "*", "-weather", "'; DROP", "^weather", "a\x00b"]
)
def test_a_text_has_words_and_no_syntax(agora: Catalog, text: str) -> None:
    assert set(names(agora, text=text)) <= {"weather"}


def test_a_long_text_is_searched_by_its_first_words(agora: Catalog) -> None:
    filling = " ".join(f"word{number}" for number in range(5000))
    assert names(agora, text=f"hotel {filling}") == ["hotel-finder"]
    assert names(agora, text=f"{filling} hotel") == []


def test_text_and_filters_hold_together(agora: Catalog) -> None:
    assert names(agora, text="城市", tag="旅行", skill="tianqi", name="天*") == ["天气"]
    assert names(agora, text="hotel", tag="art") == []


def test_a_limit_keeps_the_first(agora: Catalog) -> None:
    assert names(agora, limit=2) == ["hotel-finder", "painter"]
    assert len(names(agora, text="weather 天气 hotel 酒店", limit=3)) == 3


def test_a_result_says_why(agora: Catalog) -> None:
    [found] = agora.find(Query(text="天气 rain", tag="旅行", name="天*"))
    assert found.agent.version == "0.0.1"
    assert found.why == (
        Why(field="name", text="天气"),
        Why(field="tag", text="旅行"),
        Why(field="skill", text="天气"),
        Why(field="description", text="天气"),
    )
    [found] = agora.find(Query(text="Will it rain on hotels in PARIS", skill="weather forecast"))
    assert found.why == (Why(field="skill", text="Weather Forecast"), Why(field="example", text="rain"))
    [found] = agora.find(Query(name="painter"))
    assert (found.why, found.score) == ((Why(field="name", text="painter"),), 0.0)


def test_a_name_with_signs_of_a_pattern_is_found_by_escaping_them(catalog: Catalog) -> None:
    for name in ("a*b", "axb", "a[x]b", "a\\b"):
        catalog.publish(draft(name))
    assert names(catalog, name=r"a\*b") == ["a*b"]
    assert set(names(catalog, name="a*b")) == {"a*b", "axb", "a[x]b", "a\\b"}
    assert names(catalog, name="a[x]b") == ["a[x]b"]
    assert names(catalog, name="a[x]*") == ["a[x]b"]
    assert names(catalog, name=r"a\\*") == ["a\\b"]


def test_a_new_version_is_found_by_what_it_says_now(catalog: Catalog) -> None:
    catalog.publish(draft(description="About trains.", skills=[skill("trains", tags=["rail"])]))
    catalog.publish(draft(description="About ships.", skills=[skill("ships", tags=["sea"])]))
    assert names(catalog, text="trains") == names(catalog, skill="trains") == names(catalog, tag="rail") == []
    assert names(catalog, text="ships") == names(catalog, skill="ships") == names(catalog, tag="sea") == ["weather"]


def test_a_card_without_skills_is_found_by_its_text(catalog: Catalog) -> None:
    catalog.publish(draft("plain", description="Echoes.", skills=[]))
    assert names(catalog, text="echo") == ["plain"]
