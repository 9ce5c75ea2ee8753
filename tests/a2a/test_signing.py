"""What a card's signature covers, ours and other people's."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.signing import create_agent_card_signer, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.json_format import MessageToDict, ParseDict
from jwt.algorithms import ECAlgorithm

from nbagora_lab.a2a.signing import SEAL, Signer, protected_header
from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.vault import Vault
from nbagora_lab.discovery import verify_signatures

Card = dict[str, Any]
URL = "https://agents.example"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(Vault(tmp_path / "keys.json"), URL)


def card() -> Card:
    """One that wants two things at once, neither with scopes, and one skill that wants a third."""
    schemes = {
        "token": {"httpAuthSecurityScheme": {"scheme": "bearer"}},
        "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}},
        "login": {"httpAuthSecurityScheme": {"scheme": "basic"}},
    }
    skill = {"id": "x", "name": "x", "description": "天气", "tags": ["x"]}
    return {
        "name": "x",
        "description": "天气",
        "version": "1",
        "supportedInterfaces": [{"url": f"{URL}/x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "securitySchemes": schemes,
        "securityRequirements": [{"schemes": {"token": {"list": []}, "key": {"list": []}}}],
        "skills": [skill | {"securityRequirements": [{"schemes": {"login": {"list": []}}}]}],
    }


def keys(signer: Signer) -> dict[str, Card]:
    return {one["kid"]: one for one in signer.jwks()["keys"]}


def official(card: Card, keys: dict[str, Card]) -> None:
    """What the SDK's own verifier says of a card; raises where it is refused."""
    verify = create_signature_verifier(lambda kid, _: jwt.PyJWK(keys[str(kid)]), ["ES256"])
    verify(ParseDict(card, pb.AgentCard()))


def stripped(card: Card) -> None:
    del card["securityRequirements"]


def halved(card: Card) -> None:
    del card["securityRequirements"][0]["schemes"]["key"]


def another(card: Card) -> None:
    card["securityRequirements"].insert(0, {"schemes": {"login": {"list": []}}})


def nothing_wanted(card: Card) -> None:
    card["securityRequirements"].append({"schemes": {}})


def stripped_of_a_skill(card: Card) -> None:
    del card["skills"][0]["securityRequirements"]


CHANGES = [stripped, halved, another, nothing_wanted, stripped_of_a_skill]


@pytest.mark.parametrize("change", CHANGES)
def test_a_requirement_without_scopes_can_be_neither_taken_away_nor_put_there(
    signer: Signer, change: Callable[[Card], None]
) -> None:
    signed = signer.signed(card())
    verify_signatures(signed, keys(signer))
    official(signed, keys(signer))
    changed = copy.deepcopy(signed)
    change(changed)
    official(changed, keys(signer))  # which does not see it
    with pytest.raises(UsageError, match="no signature by a trusted key that holds"):
        verify_signatures(changed, keys(signer))


def test_a_card_that_others_wrote_anew_still_holds(signer: Signer) -> None:
    signed = signer.signed(card())
    verify_signatures(MessageToDict(ParseDict(signed, pb.AgentCard())), keys(signer))
    verify_signatures(json.loads(json.dumps(signed, sort_keys=True)), keys(signer))
    verify_signatures(MessageToDict(ParseDict(signed, pb.AgentCard()), preserving_proto_field_name=True), keys(signer))


def test_the_seal_can_not_be_taken_off(signer: Signer) -> None:
    changed = signer.signed(card())
    stripped(changed)
    header = protected_header(changed["signatures"][0])
    assert header.pop(SEAL)
    protected = jwt.utils.base64url_encode(json.dumps(header).encode()).decode()
    changed["signatures"] = [changed["signatures"][0] | {"protected": protected}]
    with pytest.raises(UsageError, match="no signature by a trusted key that holds"):
        verify_signatures(changed, keys(signer))


def test_a_card_without_a_seal_is_covered_as_the_specification_has_it() -> None:
    """So it is with cards that others signed: what has scopes is covered, what has none is not."""
    private = ec.generate_private_key(ec.SECP256R1())
    theirs = {"k": ECAlgorithm.to_jwk(private.public_key(), as_dict=True) | {"alg": "ES256"}}
    scoped = card()
    scoped["securityRequirements"].append({"schemes": {"login": {"list": ["read"]}}})
    sign = create_agent_card_signer(private, {"kid": "k", "alg": "ES256", "jku": None, "typ": "JOSE"})
    signed = MessageToDict(sign(ParseDict(scoped, pb.AgentCard())))
    verify_signatures(signed, theirs)
    less = copy.deepcopy(signed)
    del less["securityRequirements"][1]
    with pytest.raises(UsageError, match="signature"):
        verify_signatures(less, theirs)
    less = copy.deepcopy(signed)
    del less["securityRequirements"][0]
    verify_signatures(less, theirs)


def test_the_key_is_named_by_its_thumbprint_and_published_without_its_secret(signer: Signer, tmp_path: Path) -> None:
    [published] = signer.jwks()["keys"]
    assert published.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (published["use"], published["alg"]) == ("sig", "ES256")
    said = {name: published[name] for name in ("crv", "kty", "x", "y")}  # RFC 7638: in this order, and no other member
    digest = hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).digest()
    assert published["kid"] == jwt.utils.base64url_encode(digest).decode()
    again = Signer(Vault(tmp_path / "keys.json"), URL)
    assert again.jwks() == signer.jwks()
    header = protected_header(signer.signed(card())["signatures"][0])
    assert (header["kid"], header["jku"]) == (published["kid"], f"{URL}/.well-known/jwks.json")


def test_a_body_is_signed_without_being_told(signer: Signer) -> None:
    header, body, signature = signer.detached(b"what was told").split(".")
    assert body == ""
    key = jwt.PyJWK(signer.jwks()["keys"][0])
    whole = f"{header}.{jwt.utils.base64url_encode(b'what was told').decode()}.{signature}"
    assert jwt.api_jws.decode(whole, key.key, ["ES256"]) == b"what was told"
    assert jwt.get_unverified_header(whole)["jku"] == f"{URL}/.well-known/jwks.json"


def test_a_card_that_is_asked_for_again_is_not_signed_anew(signer: Signer) -> None:
    assert signer.signed(card()) == signer.signed(dict(reversed(card().items())))
    assert signer.signed(card()) != signer.signed(card() | {"version": "2"})


def test_a_card_keeps_the_signatures_that_it_has(signer: Signer, tmp_path: Path) -> None:
    other = Signer(Vault(tmp_path / "other.json"), URL)
    both = signer.signed(other.signed(card()))
    for trusted in (signer, other):
        verify_signatures(both, keys(trusted))
        official(both, keys(signer) | keys(other))
    with pytest.raises(UsageError):
        verify_signatures(both, {"none": next(iter(keys(signer).values()))})


def test_many_signatures_by_one_key_are_not_all_tried(signer: Signer) -> None:
    signed = signer.signed(card())
    good = signed["signatures"][0]
    bad = good | {"signature": good["signature"][:-8] + "AAAAAAAA"}
    verify_signatures(signed | {"signatures": [bad] * 15 + [good]}, keys(signer))
    with pytest.raises(UsageError):
        verify_signatures(signed | {"signatures": [bad] * 16 + [good]}, keys(signer))
    strange = good | {"protected": "%%"}
    verify_signatures(signed | {"signatures": [strange] * 100 + [good]}, keys(signer))
