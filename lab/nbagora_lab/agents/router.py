"""A model that only decides: it picks one of several answers or tools by the words they share with what was asked.

pydantic-ai's decision models pick one, say yes or no, or score, with probabilities; here these come from words, not
from a language model. What it is unsure of, and what has to be written rather than picked, it hands on to a stronger
model.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters, override_allow_model_requests
from pydantic_ai.models.decision import (
    ChoiceAnswer,
    ChoiceQuestion,
    DecisionAnswer,
    DecisionHandOff,
    DecisionModel,
    DecisionModelSettings,
    DecisionQuestion,
    DecisionRequest,
    DecisionResponse,
    NoulAnswer,
    NoulQuestion,
    ScoreAnswer,
)
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.settings import ModelSettings

from nbagora_lab.agents.rules import rules, words_of
from nbagora_lab.agents.scripted import numbered

__all__ = ["RouterModel", "WordDecisions", "router"]

_SHARP = 3.0  # how much more likely an option is for each further word that it shares


class WordDecisions(DecisionModel[None]):
    """Decides by shared words; every option that shares none is as likely as any other."""

    kind = "router"
    streams = False

    @property
    def model_name(self) -> str:
        """``router``."""
        return "router"

    @property
    def system(self) -> str:
        """Who provides it: nbagora."""
        return "nbagora"

    @property
    def base_url(self) -> str | None:
        """It is nowhere else."""
        return None

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Decides; the ids of its calls are counted and not drawn."""
        with override_allow_model_requests(True):  # it asks nobody, and waits for nothing before this ends
            response = await super().request(messages, model_settings, model_request_parameters)
        calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
        return replace(response, parts=numbered(calls, messages))

    async def decide(self, request: DecisionRequest, model_settings: DecisionModelSettings) -> DecisionResponse:  # noqa: ARG002
        """Answers each question from the words of what was asked."""
        asked = words_of(_told(request.state))
        answers = {name: _answer(question, asked) for name, question in request.questions.items()}
        return DecisionResponse(answers=answers, model_name=self.model_name)


def _told(state: Any) -> str:
    """The text to judge: the newest, where the conversation stands beside it."""
    if isinstance(state, dict):
        for name in ("text", "user", "prompt"):
            if isinstance(state.get(name), str):
                return str(state[name])
        return " ".join(_told(value) for value in state.values())
    if isinstance(state, list):
        return " ".join(_told(value) for value in state)
    return str(state)


def _answer(question: DecisionQuestion, asked: Any) -> DecisionAnswer:
    if isinstance(question, ChoiceQuestion):
        shared = {
            label: sum(asked[word] > 0 for word in words_of(f"{label} {about or ''}"))
            for label, about in question.criteria.items()
        }
        weights = {label: math.exp(_SHARP * count) for label, count in shared.items()}
        total = sum(weights.values())
        chances = {label: weight / total for label, weight in weights.items()}
        choice = max(chances, key=lambda label: chances[label])
        return ChoiceAnswer(choice=choice, confidence=chances[choice], probabilities=chances)
    if isinstance(question, NoulQuestion):
        about = words_of(f"{question.instructions or ''} {question.criteria.true if question.criteria else ''}")
        shared_words = sum(asked[word] > 0 for word in about)
        return NoulAnswer(noul=1 - 0.5 * math.exp(-shared_words) if shared_words else 0.25)
    levels = [sum(asked[word] > 0 for word in words_of(str(level))) for level in question.criteria]
    weights_by = [math.exp(_SHARP * count) for count in levels]
    total = sum(weights_by)
    spread = {level: weight / total for level, weight in enumerate(weights_by)}
    score = sum(level * chance for level, chance in spread.items())
    return ScoreAnswer(score=score, confidence=max(spread.values()), probabilities=spread)


class RouterModel(FallbackModel):
    """Decides by words, and hands on to a stronger model what it is unsure of.

    Args:
        strong: Takes the steps that are handed on.
        threshold: A choice that is less likely than this is handed on.
    """

    kind = "router"
    streams = False

    def __init__(self, strong: Model, threshold: float = 0.6) -> None:
        decider = WordDecisions(settings=DecisionModelSettings(decision_route_threshold=threshold))
        super().__init__(
            decider, strong, fallback_on=(DecisionHandOff, UserError)
        )  # what it can't express it hands on as well


def router(strong: Model | None = None, *, threshold: float = 0.6) -> RouterModel:
    """A model that picks one of several answers or tools by words, and hands on what it is unsure of.

    Args:
        strong: Takes what is handed on; by default a model made of rules.
        threshold: A choice that is less likely than this is handed on.
    """
    return RouterModel(strong or rules(), threshold)
