"""A tool's arguments, found by rules: by the type and name of each parameter, in what was said and what tools gave.

English and Chinese. No language model: a phrase that no rule knows is not understood, and the parameter stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["fill", "items_of", "label_of"]

_DESTINATION = frozenset(
    ["to", "destination", "city", "place", "where", "location", "arrive", "arrival", "目的地", "城市", "地点"]
)
_ORIGIN = frozenset(["from", "origin", "start", "depart", "departure", "出发地", "始发"])
_DAY = frozenset(["day", "date", "when", "weekday", "time", "日期", "时间", "哪天"])
_WHOLE = frozenset(
    ["query", "question", "text", "message", "prompt", "search", "keywords", "q", "topic", "问题", "内容"]
)
_SUM = frozenset(["total", "sum", "spent", "cost", "amount", "总价", "合计"])
_PRICE = frozenset(["price", "cost", "fare", "amount", "价格", "费用"])
_LABEL = ("name", "number", "id", "title", "train", "flight", "hotel", "名称", "编号")

_PLACE = r"([\u4e00-\u9fff]{2,4}?)(?=[玩旅过的出住看游坐和，。！？、,.!?\s0-9]|$|周|下|上|明|后|吃|逛|三天|两天|一天)"
_TO_ZH = re.compile(rf"(?:去|到|往|飞往|飞|前往){_PLACE}")
_FROM_ZH = re.compile(r"从([\u4e00-\u9fff]{2,4}?)(?=出发|去|到|往|飞|坐|，|,|\s|$)")
_AT_ZH = re.compile(rf"(?:在|逛|玩){_PLACE}")
_NAME = r"([A-Z\u4e00-\u9fff][\w\u4e00-\u9fff'-]*(?: [A-Z][\w'-]+)*)"
_TO_EN = re.compile(rf"\b(?:to|visit|visiting|towards?) {_NAME}")
_IN_EN = re.compile(rf"\b(?:in|at|around|over|near|for|of) {_NAME}")
_FROM_EN = re.compile(rf"\bfrom {_NAME}")
_ISO = re.compile(r"\d{4}-\d\d-\d\d")
_DAYS = re.compile(
    r"\b(?:next |this |on )?(?:mon|tues|wednes|thurs|fri|satur|sun)day(?: (?:morning|afternoon|evening|night))?\b"
    r"|\b(?:today|tonight|tomorrow|(?:this |next )?weekend|next week)\b"
    r"|(?:下|这|本)?(?:周|星期|礼拜)[一二三四五六日天末][早晚]?[上中下]?[午]?|今天|明天|后天|大后天|\d{1,2}月\d{1,2}[日号]",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![0-9A-Za-z.])\d[\d,]*(?:\.\d+)?|[一二两三四五六七八九十百千万]+(?=[天晚人个位元块间张夜次])")
_DIGITS = dict(zip("零一二两三四五六七八九", (0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9), strict=True))
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10000}
_COUNTED = {  # what stands beside a number, by words that a parameter's name may have
    "night": ("night", "晚", "夜"),
    "day": ("day", "天", "日"),
    "people": ("people", "person", "adult", "guest", "人", "位"),
    "guest": ("people", "person", "adult", "guest", "人", "位"),
    "person": ("people", "person", "人", "位"),
    "room": ("room", "间"),
    "budget": ("budget", "yuan", "rmb", "¥", "元", "块", "预算", "$", "at most", "under", "以内", "不超过"),
    "price": ("yuan", "rmb", "¥", "元", "块", "$", "under", "以内", "不超过"),
    "limit": ("yuan", "元", "at most", "under", "以内", "不超过"),
}


def fill(
    schema: Mapping[str, Any], said: Sequence[str], results: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The arguments of a tool.

    Args:
        schema: Of its parameters, as JSON schema.
        said: What the user said, the newest first.
        results: What tools have given in this run, by their names.

    Returns:
        The arguments, and the names of required ones that were not found.

    Example:
        >>> schema = {"properties": {"city": {"type": "string"}, "nights": {"type": "integer"}}, "required": ["city"]}
        >>> fill(schema, ["去北京玩，住2晚"], {})
        ({'city': '北京', 'nights': 2}, [])
    """
    found, missing = {}, []
    required = schema.get("required", ())
    for name, given in schema.get("properties", {}).items():
        value = _value(name, _plain(given, schema), said, results)
        if value is not None:
            found[name] = value
        elif name in required:
            missing.append(name)
    return found, missing


def _plain(given: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A parameter's schema, without references and None."""
    if "$ref" in given:
        return dict(schema.get("$defs", {}).get(given["$ref"].rpartition("/")[2], {}))
    for option in given.get("anyOf", ()):
        if option.get("type") != "null":
            return _plain(option, schema)
    return given


def _value(name: str, given: Mapping[str, Any], said: Sequence[str], results: Mapping[str, Any]) -> Any:
    words = _words(name)
    if "const" in given:
        return given["const"]
    if "enum" in given:
        return next((one for text in said for one in given["enum"] if str(one).lower() in text.lower()), None)
    kind = given.get("type")
    if kind in {"integer", "number"}:
        number = next((one for text in said if (one := _number(words, text)) is not None), None)
        if number is None:
            number = _of_results(words, results)
        return number if number is None or kind == "number" else int(number)
    if kind == "boolean":
        return None
    if kind == "string":
        return _text(words, said, results)
    if kind == "array":
        items = _items_for(words, results)
        if items and given.get("items", {}).get("type") == "string":
            return [label_of(one) for one in items]
        return items or None
    return None


def _words(name: str) -> list[str]:
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().split("_")


def _text(words: list[str], said: Sequence[str], results: Mapping[str, Any]) -> str | None:
    patterns: tuple[re.Pattern[str], ...] = ()
    if any(word in _ORIGIN for word in words):
        patterns = (_FROM_EN, _FROM_ZH)
    elif any(word in _DAY for word in words):
        patterns = (_ISO, _DAYS)
    elif any(word in _DESTINATION for word in words):
        patterns = (_TO_EN, _TO_ZH, _IN_EN, _AT_ZH)
    for text in said:
        for pattern in patterns:
            if match := pattern.search(text):
                return match[match.lastindex or 0].strip()
    if any(word in _WHOLE for word in words):
        return said[0]
    if patterns:
        return None
    return next((label_of(one) for one in _items_for(words, results)), None)


def _number(words: list[str], text: str) -> float | None:
    """The number in a text that a parameter of this name means: the one beside its own words, or else the only one."""
    marks = [mark for word in words for mark in (*_COUNTED.get(word.rstrip("s"), ()), word)]
    beside: list[tuple[int, float]] = []
    numbers = list(_NUMBER.finditer(text))
    for match in numbers:
        around = text[max(0, match.start() - 14) : match.end() + 10].lower()
        after = text[match.end() : match.end() + 8].lower().lstrip()
        if any(mark in around for mark in marks):
            near = 0 if any(after.startswith(mark) for mark in marks) else 1
            beside.append((near, _parsed(match[0])))
    if beside:
        return min(beside, key=lambda one: one[0])[1]
    return None


def _parsed(text: str) -> float:
    if text[0].isdigit():
        return float(text.replace(",", ""))
    total, digit = 0, 0
    for sign in text:
        if sign in _DIGITS:
            digit = _DIGITS[sign]
        else:
            total, digit = total + (digit or 1) * _UNITS[sign], 0
    return float(total + digit)


def _of_results(words: list[str], results: Mapping[str, Any]) -> float | None:
    """A number out of what tools gave: of that name, or the sum of the prices of what stands first in each."""
    for result in results.values():
        for item in items_of(result)[:1]:
            if isinstance(item, dict):
                for name, value in item.items():
                    if name.lower() in words and isinstance(value, int | float) and not isinstance(value, bool):
                        return float(value)
    if any(word in _SUM for word in words):
        prices = [price for result in results.values() if (price := _price(items_of(result)[:1])) is not None]
        if prices:
            return round(sum(prices), 2)
    return None


def _price(items: Sequence[Any]) -> float | None:
    for item in items:
        if isinstance(item, dict):
            for name, value in item.items():
                if name.lower() in _PRICE and isinstance(value, int | float):
                    return float(value)
    return None


def _items_for(words: list[str], results: Mapping[str, Any]) -> list[Any]:
    """What a tool gave that is named for the same thing, such as ``find_trains`` for ``train``."""
    for tool, result in reversed(list(results.items())):
        things = {word.rstrip("s") for word in _words(tool)}
        if things & {word.rstrip("s") for word in words}:
            return items_of(result)
    for result in reversed(list(results.values())):
        for item in items_of(result):
            if isinstance(item, dict) and (value := next((item[one] for one in item if one.lower() in words), None)):
                return [value]
    return []


def items_of(result: Any) -> list[Any]:
    """What a tool gave, as a list."""
    if isinstance(result, list | tuple):
        return list(result)
    return [] if result is None else [result]


def label_of(item: Any) -> str:
    """What one thing that a tool gave is called."""
    if isinstance(item, dict):
        for name in _LABEL:
            if isinstance(item.get(name), str | int):
                return str(item[name])
        return next((str(value) for value in item.values() if isinstance(value, str)), str(item))
    return str(item)
