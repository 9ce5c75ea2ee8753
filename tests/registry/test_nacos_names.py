"""Names at Nacos: narrow enough for it, and the same again on the way back."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import BadName
from nbagora_lab.registry.nacos_names import file_of, name_of, space_of, there

names = st.text(min_size=1, max_size=80) | st.sampled_from(["weather", "天气", "a b", "nb-x", "nb--x", "A" * 65, ".x"])


@given(names)
def test_every_name_has_one_there_that_leads_back(name: str) -> None:
    try:
        check_name(name, "agent")
    except BadName:
        return
    known = there(name)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", known)
    assert name_of(known) == name or known.startswith("nb--")


@given(st.lists(names, min_size=2, max_size=2, unique=True))
def test_two_names_are_two_there(pair: list[str]) -> None:
    one, two = pair
    try:
        check_name(one, "agent")
        check_name(two, "agent")
    except BadName:
        return
    assert there(one) != there(two)


def test_what_somebody_else_called_so_stays_as_it_is() -> None:
    assert name_of("nb-0189") == "nb-0189"
    assert name_of("weather") == "weather"
    assert name_of(there("nb-0189")) == "nb-0189"


def test_namespaces_are_the_lab_s_own() -> None:
    assert space_of("lab7", "public") == "lab7"
    assert re.fullmatch("lab7-[A-Za-z0-9_-]+", space_of("lab7", "测试.a"))


def test_nacos_files_are_named_by_its_own_code() -> None:
    assert file_of("a-b.c:d") == "a-b.c:d"
    assert file_of("w1") == "____:w_049"
    assert file_of("a_b c") == "____:a_095b_032c"
