"""Agent cards: what an agent says of itself, as A2A 1.0's `AgentCard` in ProtoJSON, and as 0.3's at its own path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import unquote

from nbagora_lab.a2a.schemes import declared, parse_scheme, scopes_of
from nbagora_lab.a2a.wire import BINDINGS, INBOX_EXTENSION
from nbagora_lab.core.errors import UsageError
from nbagora_lab.inspect.fold import LOG_EXTENSION

__all__ = [
    "INPUT_MODES",
    "OUTPUT_MODES",
    "CardOptions",
    "build_card",
    "card_v03",
    "extended_card",
    "parse_skill",
    "with_interfaces",
]

INPUT_MODES = (
    "text/plain",
    "application/json",
    "text/markdown",
    "text/html",
    "text/csv",
    "application/pdf",
    "image/png",
    "image/jpeg",
    "application/octet-stream",
)
"""Media types that an agent's cell takes unless it says otherwise."""

OUTPUT_MODES = ("text/plain", "application/json", "application/octet-stream")
"""Media types that it may answer with."""


def parse_skill(text: str, tags: Sequence[str]) -> dict[str, Any]:
    """A skill as typed, ``forecast: the weather of a city on a day``.

    Args:
        text: The skill's id, a colon, and its description.
        tags: The agent's tags, which are the skill's; its id stands in where there are none.

    Raises:
        UsageError: It has no id.
    """
    identifier, _, description = (part.strip() for part in text.partition(":"))
    if not identifier:
        raise UsageError(f"a skill without an id: '{text}'", "write --skill 'forecast: the weather of a city on a day'")
    return {
        "id": identifier,
        "name": identifier,
        "description": description or identifier,
        "tags": list(tags) or [identifier],
    }


class CardOptions(Protocol):
    """What a card is made of, beside the agent's name and description."""

    @property
    def version(self) -> str | None:
        """Its version; None where the registry is to choose one."""
        ...

    @property
    def skills(self) -> Sequence[str]:
        """As `parse_skill` takes them; none makes one skill of the agent itself."""
        ...

    @property
    def tags(self) -> Sequence[str]:
        """Words to find it by."""
        ...

    @property
    def auth(self) -> Sequence[str]:
        """As `schemes.parse_scheme` takes them."""
        ...

    @property
    def scopes(self) -> Sequence[str]:
        """As `schemes.scopes_of` takes them."""
        ...

    @property
    def private_skills(self) -> Sequence[str]:
        """Skills that only the extended card tells of."""
        ...

    @property
    def extensions(self) -> Sequence[str]:
        """URIs of extensions that a caller must know."""
        ...


def extended_card(card: dict[str, Any], options: CardOptions) -> dict[str, Any] | None:
    """What a card says to callers who show who they are; None where that is nothing more."""
    if not options.private_skills:
        return None
    return {**card, "skills": card["skills"] + [parse_skill(skill, options.tags) for skill in options.private_skills]}


def build_card(name: str, description: str, options: CardOptions, *, token: bool) -> dict[str, Any]:
    """A card without interfaces, which are put in when it is served.

    Args:
        name: The agent's name.
        description: What it does; the name stands in where there is none.
        options: What else it says.
        token: Whether the doors ask for the bearer token.
    """
    description = description or name
    schemes = [parse_scheme(text) for text in options.auth]
    skills = [parse_skill(skill, options.tags) for skill in options.skills or [f"{name}: {description}"]]
    for skill, scopes in scopes_of(options.scopes).items():
        wanting = [one for one in skills if one["id"] == skill]
        if not wanting:
            raise UsageError(f"scopes of '{skill}', which is no skill of {name}", "name it with --skill, too")
        names = [scheme.name for scheme in schemes] or ["token"]
        wanting[0]["securityRequirements"] = [{"schemes": {one: {"list": list(scopes)}}} for one in names]
    return {
        "name": name,
        "description": description,
        "version": options.version or "",
        "capabilities": {
            "streaming": True,
            "pushNotifications": True,
            **({"extendedAgentCard": True} if options.private_skills else {}),
            "extensions": [
                {"uri": LOG_EXTENSION, "description": "topic, offset and generation of each event; resume by offset"},
                {
                    "uri": INBOX_EXTENSION,
                    "description": "priority, tenant, cost and deadline of a message; place in line",
                },
                *({"uri": uri, "required": True} for uri in options.extensions),
            ],
        },
        "defaultInputModes": list(INPUT_MODES),
        "defaultOutputModes": list(OUTPUT_MODES),
        "skills": skills,
    } | declared(schemes, token=token)


def with_interfaces(card: dict[str, Any], url: str, grpc: str = "") -> dict[str, Any]:
    """The card as served: with the addresses at which the agent answers.

    Args:
        card: The card.
        url: Where its HTTP doors are.
        grpc: Address of the gRPC doors, where the tenant is the last part of `url`; empty: there are none.
    """
    interfaces = [{"url": url, "protocolBinding": binding, "protocolVersion": "1.0"} for binding in BINDINGS]
    if grpc:
        tenant = unquote(url.rpartition("/")[2])
        interfaces.append({"url": grpc, "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": tenant})
    return {**card, "supportedInterfaces": interfaces}


def card_v03(card: dict[str, Any], url: str) -> dict[str, Any]:
    """The card in the form of A2A 0.3, converted by the SDK."""
    from a2a.compat.v0_3.conversions import to_compat_agent_card
    from a2a.types import a2a_pb2 as pb
    from google.protobuf.json_format import ParseDict

    interfaces = [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}]
    message = ParseDict({**card, "supportedInterfaces": interfaces}, pb.AgentCard(), ignore_unknown_fields=True)
    converted: dict[str, Any] = to_compat_agent_card(message).model_dump(mode="json", by_alias=True, exclude_none=True)
    return converted
