"""Discovery: the three ways to an agent's card.

The registry knows no A2A and opens no connection. Here cards are found where agents keep them, held against those that
are registered, and their signatures checked; `upkeep` looks again from time to time.

| `discover` | finds the card |
|---|---|
| a dict, a file, ``env:NAME`` | as it was configured |
| a URL | at its well-known place, fetched again only if it changed; differences to the registered card are told |
| a name | in the registry |
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nbagora_lab.a2a.live import current_task
from nbagora_lab.a2a.signing import SEAL, protected_header, seal_of
from nbagora_lab.core.errors import LabError, UsageError
from nbagora_lab.core.log import logger
from nbagora_lab.core.objects import read_object
from nbagora_lab.registry import AgentVersion, Registry, card_problems
from nbagora_lab.wellknown import WellKnown

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Discovered", "Discovery", "drift_of", "registry_app", "verify_signatures"]

_FOLLOWED = 1000  # places that are looked at again
_SIGNATURES = 16  # by trusted keys, that are tried: each costs the whole card's canonical form


class Discovered(NamedTuple):
    """A card, and how it was found.

    Attributes:
        card: The AgentCard, in ProtoJSON.
        way: ``configured``, ``well-known`` or ``registry``.
        where: The file, URL, or ``name version`` that it is from.
        drift: Where it differs from the card that the registry has of that name, one line a place; None where the
            registry has none.
        signed: Whether it carries signatures. With keys given they were checked, and hold.
    """

    card: dict[str, Any]
    way: str
    where: str
    drift: tuple[str, ...] | None
    signed: bool


class Discovery:
    """Finds cards. Its coroutines are the service loop's.

    Args:
        registry: The registry.
        cards: Fetches cards.
    """

    def __init__(self, registry: Registry, cards: WellKnown) -> None:
        registry.on_render = _note_prompt
        self._registry = registry
        self._cards = cards
        self._followed: dict[str, _Followed] = {}

    async def discover(
        self,
        what: Mapping[str, Any] | str | Path,
        *,
        ref: str = "latest",
        keys: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Discovered:
        """Finds an agent's card.

        Args:
            what: A card; a file that holds one, ending in ``.json``; ``env:`` and the variable that does; the URL of
                an agent; or a name.
            ref: The version or label meant, of a name.
            keys: Public keys, as JWKs by their ids; the card must be signed by one of them.

        Raises:
            UsageError: What is there is no card, is at a private address, or its signature doesn't hold.
            Unreachable: Nothing answers at that URL.
            TooLarge: What answers there is too large for a card.
            AgentNotFound: No agent of that name is registered.
        """
        if str(what)[:8].startswith(("http://", "https://")):
            found = await self._fetched(str(what))
        else:
            found = await asyncio.to_thread(self._at_hand, what, ref)
        if keys is not None:
            verify_signatures(found.card, keys)
        if found.way == "well-known":
            self._follow(found, keys)
        return found

    async def poll(self) -> int:
        """Looks again at every well-known place that was looked at before, and says what is new there in the log.

        Returns:
            Number of places.
        """
        for place, known in list(self._followed.items()):
            drift: tuple[str, ...] | None
            try:
                found = await self._fetched(place)
                drift = found.drift
                if known.keys is not None:
                    verify_signatures(found.card, known.keys)
            except LabError as error:
                drift = (error.what,)
            if drift and drift != known.drift:
                logger.warning("the card at %s is not the one that is registered: %s", place, "; ".join(drift[:3]))
            self._followed[place] = known._replace(drift=drift)
        return len(self._followed)

    def _follow(self, found: Discovered, keys: Mapping[str, Mapping[str, Any]] | None) -> None:
        if found.where not in self._followed and len(self._followed) >= _FOLLOWED:
            self._followed.pop(next(iter(self._followed)))
        self._followed[found.where] = _Followed(keys, found.drift)

    async def _fetched(self, url: str) -> Discovered:
        card, place = await self._cards.fetch(url)
        return self._checked(card, "well-known", place)

    def _at_hand(self, what: Mapping[str, Any] | str | Path, ref: str) -> Discovered:
        """A card that no connection is needed for."""
        if isinstance(what, Mapping):
            return self._checked(dict(what), "configured", "a card in hand")
        if isinstance(what, str) and what.startswith("env:"):
            return self._checked(_from_environment(what[4:]), "configured", what)
        if isinstance(what, Path) or what.endswith(".json"):
            return self._checked(read_object(Path(what), "card"), "configured", str(what))
        version = self._registry.get(what, ref)
        signed = self._registry.signed(what, version.version)
        return Discovered(
            signed or version.card, "registry", f"{what} {version.version}", (), signed=signed is not None
        )

    def _checked(self, card: dict[str, Any], way: str, where: str) -> Discovered:
        """A card that fits, and how it differs from the registry's."""
        if problems := card_problems(card):
            raise UsageError(
                f"{where} is no card: {'; '.join(map(str, problems[:10]))}", "a card is A2A's AgentCard in JSON"
            )
        return Discovered(card, way, where, drift_of(self._registry, card), bool(card.get("signatures")))


class _Followed(NamedTuple):
    """A place that is looked at again."""

    keys: Mapping[str, Mapping[str, Any]] | None
    drift: tuple[str, ...] | None


def drift_of(registry: Registry, card: Mapping[str, Any], ref: str = "latest") -> tuple[str, ...] | None:
    """How a card that fits differs from a registered version of its name, a line a place; None where there is none."""
    from nbagora_lab.registry.card import difference, read_card

    try:
        known = registry.get(card["name"], ref)
    except LabError:  # unknown here, or called what nothing here can be called
        return None
    return tuple(difference(known.card, read_card(card).card | {"version": known.version}))


def _note_prompt(version: AgentVersion) -> None:
    """Has all that an agent's task writes from now on name the prompt's version, where it wrote the prompt out."""
    if (live := current_task.get()) is not None:
        live.use_prompt(version.name, version.version)


def _from_environment(name: str) -> dict[str, Any]:
    """The card in an environment variable."""
    try:
        card = json.loads(os.environ[name])
    except KeyError:
        raise UsageError(f"no environment variable {name}", "set it to a card in JSON") from None
    except ValueError as error:
        raise UsageError(f"{name} holds no JSON: {error}", "set it to a card in JSON") from None
    if not isinstance(card, dict):
        raise UsageError(f"{name} holds no card but a {type(card).__name__}", "set it to a card in JSON")
    return card


def verify_signatures(card: Mapping[str, Any], keys: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks that a card is signed by one of the keys, and that all it says is as it was signed.

    Signatures of who knows no seal (`signing.SEAL`) cover what the specification's canonical form does: a requirement
    that names a scheme without scopes is not among that.

    Args:
        card: An AgentCard in ProtoJSON.
        keys: Public keys as JWKs, by their key ids.

    Raises:
        UsageError: It carries no signature, none by these keys, or none that holds.
    """
    from a2a.types import a2a_pb2 as pb
    from a2a.utils.signing import SignatureVerificationError, create_signature_verifier
    from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    def key_of(kid: str | None, _: str | None) -> PyJWK:
        if kid is None or kid not in keys:
            raise PyJWTError(f"no key {kid!r} is trusted")
        return PyJWK.from_dict(dict(keys[kid]))

    hint = "sign it with a key that is trusted here, or trust its key"
    verify = create_signature_verifier(key_of, ["ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"])
    why = "no signature is by a key that is trusted here"
    try:
        message = ParseDict(dict(card), pb.AgentCard(), ignore_unknown_fields=True)
        signatures = [one for one in map(MessageToDict, message.signatures) if protected_header(one).get("kid") in keys]
        for signature in signatures[:_SIGNATURES]:
            del message.signatures[:]
            message.signatures.append(ParseDict(signature, pb.AgentCardSignature()))
            try:
                verify(message)
            except SignatureVerificationError as error:
                why = str(error)
                continue
            sealed = seal_of(message)
            if protected_header(signature).get(SEAL, sealed) == sealed:
                return
            why = "something that is empty was put there or taken away since: a requirement without scopes, say"
    except (ParseError, PyJWTError, TypeError, ValueError) as error:
        raise UsageError(f"the signatures of '{card.get('name', '')}' can't be checked: {error}", hint) from None
    what = "has no signature by a trusted key that holds" if card.get("signatures") else "carries no signature"
    raise UsageError(f"the card of '{card.get('name', '')}' {what}", f"{hint} ({why})")


def registry_app(registry: Registry, url: str, token: str) -> ASGIApp:
    """The registry's HTTP face; it is built by the first request, so that a lab that starts need not wait for it."""
    built: list[ASGIApp] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not built:
            from nbagora_lab.registry.http import build_app

            built.append(await asyncio.to_thread(build_app, registry, url, token))
        await built[0](scope, receive, send)

    return app
