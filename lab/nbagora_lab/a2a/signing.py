"""The lab's own key: it signs agent cards (JWS over RFC 8785's canonical JSON) and what webhooks are told.

The key is of this store (ES256, in its key file) and published at ``/.well-known/jwks.json``.

What a card's signature covers leaves out whatever is empty, and with that each requirement that names a scheme without
scopes: whoever stands between could take it away or put one there. So the signature's header, which it covers too, has
the SHA-256 of all that the card says (`SEAL`). The official SDK passes over it; `discovery.verify_signatures` does not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbagora_lab.core.vault import Vault

if TYPE_CHECKING:
    from a2a.types import a2a_pb2 as pb

__all__ = ["JWKS_PATH", "SEAL", "Signer", "protected_header", "seal_of"]

JWKS_PATH = ".well-known/jwks.json"
"""Where the public key is, below the lab's URL."""

SEAL = "urn:nbagora:a2a-card:1"
"""Name of the header of a card's signature that has its seal."""

_KEPT = 256  # cards


class Signer:
    """Signs for the lab. May be used from any thread; the key is made by its first use.

    Args:
        vault: Where the key is kept.
        url: The lab's.
    """

    def __init__(self, vault: Vault, url: str) -> None:
        self._vault = vault
        self._jku = f"{url}/{JWKS_PATH}"
        self._lock = threading.Lock()
        self._key: Any = None
        self._cards: dict[str, dict[str, Any]] = {}

    def _jwk(self) -> dict[str, Any]:
        """The private key."""
        from jwt.algorithms import ECAlgorithm

        with self._lock:
            if self._key is None:
                kept = self._vault.get("signing", "key")
                if kept is None:
                    from cryptography.hazmat.primitives.asymmetric import ec

                    made = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
                    public = json.dumps({name: made[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
                    kept = {**made, "kid": _thumbprint(public)}
                    self._vault.put("signing", "key", kept)
                self._key = kept
            key: dict[str, Any] = self._key
            return key

    def jwks(self) -> dict[str, Any]:
        """The public key, as a JSON Web Key Set."""
        jwk = self._jwk()
        public = {name: jwk[name] for name in ("kty", "crv", "x", "y", "kid")}
        return {"keys": [public | {"use": "sig", "alg": "ES256"}]}

    def detached(self, body: bytes) -> str:
        """A JWS of `body` that leaves it out (RFC 7515, appendix F): ``header..signature``."""
        import jwt

        jwk = self._jwk()
        headers = {"kid": jwk["kid"], "jku": self._jku, "typ": "JOSE"}
        header, _, signature = jwt.api_jws.encode(body, jwt.PyJWK(jwk, "ES256").key, "ES256", headers).split(".")
        return f"{header}..{signature}"

    def signed(self, card: dict[str, Any]) -> dict[str, Any]:
        """A card with the lab's signature beside those that it has; one that is asked for again is not signed anew."""
        import jwt
        from a2a.types import a2a_pb2 as pb
        from a2a.utils.signing import create_agent_card_signer
        from google.protobuf.json_format import MessageToDict, ParseDict

        text = json.dumps(card, sort_keys=True)
        known = self._cards.get(text)
        if known is None:
            jwk = self._jwk()
            message = ParseDict(card, pb.AgentCard(), ignore_unknown_fields=True)
            header: Any = {"kid": jwk["kid"], "alg": "ES256", "jku": self._jku, "typ": "JOSE", SEAL: seal_of(message)}
            message = create_agent_card_signer(jwt.PyJWK(jwk, "ES256"), header)(message)
            known = {**card, "signatures": MessageToDict(message)["signatures"]}
            if len(self._cards) >= _KEPT:
                self._cards.clear()
            self._cards[text] = known
        return known


def seal_of(card: pb.AgentCard) -> str:
    """The SHA-256, in base64url, of all that a card says but its signatures: its ProtoJSON with sorted keys."""
    from google.protobuf.json_format import MessageToDict

    said = MessageToDict(card)
    said.pop("signatures", None)
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return _digest(text.encode("utf-8", "surrogatepass"))


def protected_header(signature: Mapping[str, Any]) -> dict[str, Any]:
    """What one of a card's signatures, in ProtoJSON, says of itself and covers; nothing where that can't be read."""
    text = str(signature.get("protected", ""))
    try:
        header = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return header if isinstance(header, dict) else {}


def _thumbprint(canonical: str) -> str:
    """RFC 7638."""
    return _digest(canonical.encode())


def _digest(text: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).decode().rstrip("=")
