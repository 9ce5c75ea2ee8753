"""Which cards are believed: where they lead and their signatures are checked before their agents are called."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from nbagora_lab.a2a.wire import BINDINGS
from nbagora_lab.cardcheck import key_places
from nbagora_lab.core.errors import LabError, RemoteError, Unreachable, UsageError
from nbagora_lab.core.log import logger
from nbagora_lab.discovery import verify_signatures

__all__ = ["CardTrust", "Keys"]

Keys = Mapping[str, Mapping[str, Any]]

_log = logger.getChild("client")


class CardTrust:
    """Holds cards against keys.

    | policy | a card is refused |
    |---|---|
    | ``checked`` | whose signature by a key that its own server publishes does not hold |
    | ``required`` | that has none that holds, too: by one of the trusted keys, where some are named |
    | ``ignored`` | never for that |

    Whatever the policy, a card that was found in the open Internet may not lead to a private address: whoever wrote it
    would have this machine call what it can't reach itself.

    Args:
        policy: Which cards are refused.
        trusted: A JWKS file with the keys that count; None: those that a card's own server publishes.
        keys_at: Gives the JWKs that are published at a URL, by their ids.
        inside: Gives the private address that a URL leads to; empty where it leads to none.

    Raises:
        UsageError: There are no keys in that file.
    """

    def __init__(
        self,
        policy: Literal["checked", "required", "ignored"],
        trusted: Path | None,
        keys_at: Callable[[str], Awaitable[Keys]],
        inside: Callable[[str], Awaitable[str]],
    ) -> None:
        self._policy = policy
        self._trusted = _keys_in(trusted) if trusted is not None else None
        self._keys_at = keys_at
        self._inside = inside

    async def check(self, card: dict[str, Any], found: str) -> None:
        """Checks a card, in ProtoJSON, and the URL that its agent was looked for at.

        Raises:
            RemoteError: It is refused.
            Unreachable: The host that the agent was looked for at has no address.
        """
        await self._stays_outside(card, found)
        if self._policy == "ignored":
            return
        required, places = self._policy == "required", key_places(card)
        if self._trusted is not None and (required or card.get("signatures")):
            self._hold(card, self._trusted, "a key that is trusted here")
        elif places:
            try:
                keys = await self._keys_at(places[0])
            except Unreachable as error:
                if required:
                    raise _refused(card, error.what) from None
                _log.warning("the signature of the card of %s was not checked: %s", card.get("name"), error.what)
                return
            self._hold(card, keys, f"the key at {places[0]}")
        elif required:
            raise _refused(card, "it has no signature by a key that its server publishes")

    async def _stays_outside(self, card: dict[str, Any], found: str) -> None:
        interfaces = card.get("supportedInterfaces", [])
        places = {str(one.get("url", "")) for one in interfaces if one.get("protocolBinding") in BINDINGS}
        elsewhere = sorted(place for place in places if _host(card, place) != _host(card, found))
        if not elsewhere or await self._inside(found):
            return
        for place in elsewhere:
            with contextlib.suppress(Unreachable):  # without an address it leads nowhere
                if address := await self._inside(place):
                    raise RemoteError(
                        f"the card of '{card.get('name', '')}' leads from {found} inside, to {address}",
                        "call it at that address if you mean to, or allow it with the setting private_cards",
                    )

    @staticmethod
    def _hold(card: dict[str, Any], keys: Keys, whose: str) -> None:
        try:
            verify_signatures(card, keys)
        except LabError as error:
            raise _refused(card, f"it has no signature by {whose} that holds ({error.what})") from None


def _host(card: Mapping[str, Any], url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        raise RemoteError(
            f"the card of '{card.get('name', '')}' names an interface at {url[:200]!r}, which is no URL",
            "tell whoever serves it",
        ) from None


def _refused(card: Mapping[str, Any], why: str) -> RemoteError:
    return RemoteError(
        f"the card of '{card.get('name', '')}' is not believed: {why}",
        "it may have been changed on its way; see %agent card, and the settings card_signatures and card_keys",
    )


def _keys_in(path: Path) -> dict[str, dict[str, Any]]:
    try:
        keys = {str(key["kid"]): dict(key) for key in json.loads(path.read_text(encoding="utf-8"))["keys"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} holds no keys: {error}", "give a JWKS file, {'keys': […]}, each with its kid"
        ) from None
    if not keys:
        raise UsageError(f"{path} holds no keys", "give a JWKS file, {'keys': […]}, each with its kid")
    return keys
