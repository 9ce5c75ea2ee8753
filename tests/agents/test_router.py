"""The router: it picks by words, and hands on what it is unsure of."""

import asyncio
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai import Agent

from nbagora_lab.agents.models import call, choose, kind_of, router, scripted


class Refund(BaseModel):
    """The customer wants money back: refund, return 退款 退货."""


class Parcel(BaseModel):
    """The customer asks where a parcel is: delivery, shipping, parcel 快递 物流."""


class Ticket(BaseModel):
    """A customer's message."""

    topic: Literal["refund", "parcel"] = Field(description="What it is about.")
    angry: bool = Field(description="Whether the customer is angry, furious 生气.")


def decided(prompt, strong=None, output=(Refund, Parcel), **options):
    result = asyncio.run(Agent(router(strong, **options), output_type=list(output)).run(prompt))
    return result.output


def test_it_picks_by_words_in_both_languages():
    assert isinstance(decided("I want a refund"), Refund)
    assert isinstance(decided("我的快递到哪里了"), Parcel)


def test_what_it_is_unsure_of_goes_to_the_stronger_model():
    assert isinstance(decided("hello there", scripted(call("final_result_Parcel"))), Parcel)


def test_a_lower_threshold_hands_on_less():
    assert isinstance(decided("hello there", scripted(), threshold=0.4), Refund | Parcel)


def test_it_fills_choices_and_yes_or_no():
    ticket = decided("refund, I am furious", output=[Ticket])
    assert (ticket.topic, ticket.angry) == ("refund", True)
    assert decided("where is my parcel", output=[Ticket]).angry is False


def test_what_it_can_not_express_goes_to_the_stronger_model():
    class Letter(BaseModel):
        text: str

    assert decided("write", scripted(call("final_result", text="Dear")), output=[Letter]).text == "Dear"
    assert asyncio.run(Agent(router(scripted("hi"))).run("hello")).output == "hi"


def test_its_calls_are_numbered_and_its_kind_is_told():
    result = asyncio.run(Agent(router(), output_type=[Refund, Parcel]).run("refund"))
    [part] = result.all_messages()[1].parts
    assert part.tool_call_id == "call-1"
    assert (kind_of(choose("router")), kind_of(router())) == ("router", "router")
