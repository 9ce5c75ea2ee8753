"""Search by words over 300 cards in two languages: what people ask, and what must be among the first three.

The questions were written from the list of subjects and deeds alone, before any of them was put to the index. Each
subject has six cards, one a deed, so that the wrong deed and the wrong subject are both at hand.
"""

from __future__ import annotations

import pytest

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.words import match_of

SUBJECTS = {  # a subject in English and in Chinese
    "hotel": "酒店", "flight": "航班", "train": "火车", "restaurant": "餐厅", "museum": "博物馆",
    "concert": "音乐会", "movie": "电影", "book": "图书", "recipe": "菜谱", "medicine": "药品",
    "doctor": "医生", "house": "房屋", "car": "汽车", "job": "职位", "course": "课程",
    "stock": "股票", "insurance": "保险", "tax": "税务", "contract": "合同", "invoice": "发票",
    "parcel": "包裹", "garden": "花园", "pet": "宠物", "football": "足球", "language": "语言",
}  # fmt: skip
DEEDS = {  # a deed in English and in Chinese: its verb, and what it gives
    "find": ("search for a suitable {s} by place and price", "搜索", "按地点和价格搜索合适的{s}"),
    "book": ("reserve or order a {s} and confirm it", "预订", "预订{s}并确认"),
    "cancel": ("cancel a {s} and get the money back", "取消", "取消{s}并办理退款"),
    "review": ("summarise what people say about a {s}", "点评", "汇总大家对{s}的评价"),
    "compare": ("compare several {s} offers side by side", "比较", "并排比较多个{s}的差异"),
    "remind": ("remind you before the {s} is due", "提醒", "在{s}到期前提醒你"),
}  # fmt: skip
QUESTIONS = [
    ("I want to reserve a hotel for tonight", "hotel", "book"), ("cancel my flight and refund me", "flight", "cancel"),
    ("compare insurance offers", "insurance", "compare"),
    ("what do people say about this restaurant", "restaurant", "review"),
    ("remind me when the tax is due", "tax", "remind"), ("search for a house with a good price", "house", "find"),
    ("please order a train", "train", "book"), ("get my money back for the concert", "concert", "cancel"),
    ("compare several cars", "car", "compare"), ("find a suitable job near my place", "job", "find"),
    ("remind me before my contract is due", "contract", "remind"), ("summarise reviews of a movie", "movie", "review"),
    ("which course offers can you put side by side", "course", "compare"), ("reserve a doctor", "doctor", "book"),
    ("search a museum by place", "museum", "find"), ("cancel the parcel", "parcel", "cancel"),
    ("what do people say about this medicine", "medicine", "review"), ("remind me of an invoice", "invoice", "remind"),
    ("find a language by price", "language", "find"), ("compare stocks side by side", "stock", "compare"),
    ("预订今晚的酒店", "酒店", "预订"), ("取消航班退款", "航班", "取消"), ("比较几份保险", "保险", "比较"),
    ("大家怎么评价这家餐厅", "餐厅", "点评"), ("税务到期前提醒我", "税务", "提醒"), ("按价格搜索房屋", "房屋", "搜索"),
    ("我要预订火车", "火车", "预订"), ("音乐会取消后退款", "音乐会", "取消"), ("比较汽车的差异", "汽车", "比较"),
    ("搜索合适的职位", "职位", "搜索"), ("合同到期提醒", "合同", "提醒"), ("电影的评价汇总", "电影", "点评"),
    ("并排比较课程", "课程", "比较"), ("预订医生", "医生", "预订"), ("按地点搜索博物馆", "博物馆", "搜索"),
    ("取消包裹", "包裹", "取消"), ("药品评价如何", "药品", "点评"), ("发票到期提醒我", "发票", "提醒"),
    ("搜索菜谱", "菜谱", "搜索"), ("比较股票", "股票", "比较"),
]  # fmt: skip


@pytest.fixture(scope="module")
def agora(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("recall") / "registry.db"
    registry = Registry(EmbeddedCatalog(path, clock=VirtualClock(0), ids=SeededIds(1)))
    for subject, zh in SUBJECTS.items():
        for deed, (text, verb, zh_text) in DEEDS.items():
            english = skill(f"{deed}-{subject}", name=f"{deed} {subject}", description=text.format(s=subject))
            registry.publish(card(f"{subject}-{deed}", description=f"An agent for {subject}s.", skills=[english]))
            chinese = skill(f"{deed}_{subject}_zh", name=f"{verb}{zh}", description=zh_text.format(s=zh))
            registry.publish(card(f"{zh}{verb}", description=f"{zh}助手", skills=[chinese]))
    return registry


def test_nine_of_ten_questions_have_their_card_among_the_first_three(agora: Registry) -> None:
    assert len(agora.ls()) == 300
    missed = []
    for question, subject, deed in QUESTIONS:
        wanted = f"{subject}-{deed}" if subject.isascii() else f"{subject}{deed}"
        found = [one.agent.name for one in agora.find(question, limit=3)]
        if wanted not in found:
            missed.append((question, wanted, found))
    assert len(missed) <= len(QUESTIONS) // 10, missed


@pytest.mark.parametrize("word", ["酒店", "店", "药", "股票"])
def test_a_chinese_word_of_one_or_two_characters_hits(agora: Registry, word: str) -> None:
    found = agora.find(word)
    assert len(found) >= 6
    assert all(word in one.agent.name for one in found[:6])
    assert match_of(word) is not None
