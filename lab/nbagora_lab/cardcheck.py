"""A card held against the specification, and its signature against the key that its own server publishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nbagora_lab.a2a.signing import protected_header
from nbagora_lab.core.errors import LabError
from nbagora_lab.discovery import verify_signatures
from nbagora_lab.registry import card_problems

__all__ = ["CardCheck", "check_card", "key_places"]


class CardCheck(NamedTuple):
    """A card, and what was found about it.

    Attributes:
        card: The AgentCard, in ProtoJSON.
        problems: All that is wrong with it; nothing if it is as the specification has it.
        signature: What can be said of who signed it, in words.
        holds: Whether a signature was checked and holds; None where there was nothing to check.
    """

    card: dict[str, Any]
    problems: tuple[str, ...]
    signature: str
    holds: bool | None


def check_card(card: Mapping[str, Any], keys_at: Callable[[str], Mapping[str, Mapping[str, Any]]]) -> CardCheck:
    """Checks a card.

    Args:
        card: An AgentCard in ProtoJSON.
        keys_at: Gives the JWKs that are published at a URL, by their ids; a `LabError` says why not.
    """
    problems = [str(one) for one in card_problems(dict(card))]
    problems += [one for one in _schema_problems(card) if one not in problems]
    signature, holds = _signature(card, keys_at)
    return CardCheck(dict(card), tuple(problems), signature, holds)


def _schema_problems(card: Mapping[str, Any]) -> list[str]:
    from a2a.types import a2a_pb2 as pb
    from a2a.utils.errors import InvalidParamsError
    from a2a.utils.proto_utils import validate_proto_required_fields
    from google.protobuf.json_format import ParseDict, ParseError

    try:
        validate_proto_required_fields(ParseDict(dict(card), pb.AgentCard()))
    except ParseError as error:
        return [str(error).partition("\n")[0]]
    except InvalidParamsError as error:
        details = (error.data or {}).get("errors", []) if isinstance(error.data, dict) else []
        return [f"{one['field']}: {one['message']}" for one in details] or [error.message]
    return []


def _signature(
    card: Mapping[str, Any], keys_at: Callable[[str], Mapping[str, Mapping[str, Any]]]
) -> tuple[str, bool | None]:
    if not card.get("signatures"):
        return "not signed", None
    for place in key_places(card):
        try:
            verify_signatures(card, keys_at(place))
        except LabError as error:
            return f"its signature does not hold: {error.what}", False
        return f"signed by the key at {place}, and the signature holds", True
    return "signed by a key that its server does not publish: check it with lab.discover(…, keys=…)", None


def key_places(card: Mapping[str, Any]) -> list[str]:
    """Where the keys of a card's signatures are published, as far as that is at its own server: what a stranger
    publishes says nothing of it."""
    servers = {_origin(str(one.get("url", ""))) for one in card.get("supportedInterfaces", [])} - {""}
    places = [str(protected_header(signature).get("jku", "")) for signature in card.get("signatures", [])]
    return [place for place in places if _origin(place) in servers]


def _origin(url: str) -> str:
    """Scheme and host of a URL; empty where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
