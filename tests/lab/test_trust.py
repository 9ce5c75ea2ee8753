"""Cards whose signature fails are not believed, and their agents not called; what each policy wants."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.signing import create_agent_card_signer
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.json_format import MessageToDict
from jwt.algorithms import ECAlgorithm

from nbagora_lab.core.errors import RemoteError, Unreachable, UsageError
from nbagora_lab.lab import Lab
from nbagora_lab.trust import CardTrust

SERVER = "https://agents.example"


def key(kid: str) -> dict[str, Any]:
    """A private key, as a JWK."""
    return ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True) | {"kid": kid}


OWN, OTHER = key("own"), key("other")


def public(*keys: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["kid"]: {name: one[name] for name in ("kty", "crv", "x", "y", "kid")} for one in keys}


def card(*signers: tuple[dict[str, Any], str], **changed: str) -> dict[str, Any]:
    """A card that is signed by keys that are published at places, and then changed."""
    interface = pb.AgentInterface(url=f"{SERVER}/x", protocol_binding="JSONRPC", protocol_version="1.0")
    made = pb.AgentCard(name="x", description="天气", version="1", supported_interfaces=[interface])
    for jwk, place in signers:
        sign = create_agent_card_signer(jwt.PyJWK(jwk, "ES256"), {"kid": jwk["kid"], "alg": "ES256", "jku": place})
        made = sign(made)
    return dict(MessageToDict(made)) | changed


HOME, AWAY = f"{SERVER}/keys", "https://evil.example/keys"


def check(
    policy: Any, shown: dict[str, Any], trusted: Path | None = None, *, up: bool = True, found: str = f"{SERVER}/x"
) -> None:
    """Checks a card where the server publishes `OWN`, and a stranger `OTHER`."""

    async def keys_at(url: str) -> Any:
        if not up:
            raise Unreachable("nothing answers", "wait")
        return {HOME: public(OWN), AWAY: public(OTHER)}[url]

    async def inside(url: str) -> str:
        if "//gone." in url:
            raise Unreachable("it has no address", "check it")
        return next((url for part in ("//10.", "//localhost") if part in url), "")

    asyncio.run(CardTrust(policy, trusted, keys_at, inside).check(shown, found))


HELD, CHANGED = card((OWN, HOME)), card((OWN, HOME), description="weather")
FORGED, STRANGE, BARE = card((OTHER, HOME)), card((OTHER, AWAY)), card()


@pytest.mark.parametrize(
    ("policy", "believed", "refused"),
    [
        ("checked", [HELD, STRANGE, BARE], [CHANGED, FORGED]),
        ("required", [HELD], [CHANGED, FORGED, STRANGE, BARE]),
        ("ignored", [HELD, STRANGE, BARE, CHANGED, FORGED], []),
    ],
)
def test_what_each_policy_believes(policy: str, believed: list[Any], refused: list[Any]) -> None:
    for one in believed:
        check(policy, one)
    for one in refused:
        with pytest.raises(RemoteError, match="the card of 'x' is not believed") as caught:
            check(policy, one)
        assert "card_signatures" in caught.value.hint


def test_keys_that_are_trusted_are_the_only_ones_that_count(tmp_path: Path) -> None:
    trusted = tmp_path / "keys.json"
    trusted.write_text(json.dumps({"keys": list(public(OTHER).values())}))
    for policy in ("checked", "required"):
        check(policy, STRANGE, trusted)
        check(policy, FORGED, trusted)
        with pytest.raises(RemoteError):
            check(policy, HELD, trusted)
    check("checked", BARE, trusted)
    with pytest.raises(RemoteError):
        check("required", BARE, trusted)


@pytest.mark.parametrize("text", ["", "{}", '{"keys": []}', '{"keys": [{}]}', "[]"])
def test_a_file_without_keys_is_told_at_once(tmp_path: Path, text: str) -> None:
    trusted = tmp_path / "keys.json"
    trusted.write_text(text)
    with pytest.raises(UsageError, match="holds no keys"):
        check("checked", HELD, trusted)


def test_keys_that_can_not_be_had_refuse_where_a_signature_is_required() -> None:
    check("checked", HELD, up=False)
    with pytest.raises(RemoteError, match="nothing answers"):
        check("required", HELD, up=False)


LEADS = "the card of 'x' leads from .* inside, to"


@pytest.mark.parametrize(
    ("found", "place", "refused"),
    [
        (SERVER, "https://10.0.0.1/x", True),
        (SERVER, "http://localhost:8888/x", True),
        (SERVER, "https://other.example/x", False),
        ("http://localhost:1/x", "http://10.0.0.1/x", False),
        ("http://10.0.0.2/x", "http://localhost:1/x", False),
        ("http://10.0.0.2/x", "http://10.0.0.2:8080/y", False),
    ],
)
@pytest.mark.parametrize("policy", ["ignored", "checked"])
def test_a_card_of_the_open_internet_may_not_lead_inside(policy: str, found: str, place: str, refused: bool) -> None:
    """SSRF: an interface is followed without anybody looking at it."""
    public = {"url": f"{SERVER}/x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    shown = card() | {"supportedInterfaces": [public, public | {"url": place}]}
    if not refused:
        check(policy, shown, found=found)
        return
    with pytest.raises(RemoteError, match=LEADS) as caught:
        check(policy, shown, found=found)
    assert len(caught.value._render_traceback_()) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"url": "10.0.0.1:50051", "protocolBinding": "GRPC"},  # which a lab never calls
        {"url": "https://gone.example/x", "protocolBinding": "HTTP+JSON"},  # which leads nowhere
    ],
)
def test_an_interface_that_can_not_be_called_refuses_no_card(other: dict[str, str]) -> None:
    public = {"url": f"{SERVER}/x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    check("checked", card() | {"supportedInterfaces": [public, public | other]}, found=SERVER)


def test_an_interface_whose_url_is_none_refuses_the_card() -> None:
    shown = card() | {"supportedInterfaces": [{"url": "http://[::1", "protocolBinding": "JSONRPC"}]}
    with pytest.raises(RemoteError, match="the card of 'x' names an interface at 'http://\\[::1', which is no URL"):
        check("checked", shown, found=SERVER)


def test_every_interface_of_a_card_is_looked_at() -> None:
    outside = [f"http://{host}.example/x" for host in "abc"]
    places = [*outside[:2], "https://10.0.0.1/x", outside[2]]  # in order of their names it is the last
    interfaces = [{"url": place, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"} for place in places]
    with pytest.raises(RemoteError, match=LEADS):
        check("ignored", card() | {"supportedInterfaces": interfaces})
    check("ignored", card() | {"supportedInterfaces": [interfaces[0], interfaces[1], interfaces[3]]})


# -- before a call -----------------------------------------------------------------------------------------------------


def test_an_agent_elsewhere_is_called_if_its_card_holds_and_not_if_it_was_changed(tmp_path: Path) -> None:
    with Lab(store=tmp_path / "theirs", token="") as theirs, Lab(store=tmp_path / "ours") as lab:
        called = []

        @theirs.agent
        def echo(message: Any) -> str:
            called.append(message.text)
            return str(message.text)

        place = f"{theirs.url}/agents/echo"
        assert lab.ask(place, "held").text == "held"
        signer = theirs._hosting._signer
        signed = signer.signed
        signer.signed = lambda made: signed(made) | {"description": "Was changed on its way."}  # type: ignore[method-assign]
        theirs.define("echo", echo, description="Another one.")
        lab.service.call(lambda: asyncio.sleep(0, lab._calls.forget(place)))
        for call in (lab.ask, lab.send):
            with pytest.raises(RemoteError, match="the card of 'echo' is not believed"):
                call(place, "changed")
        assert called == ["held"]
    with (
        Lab(store=tmp_path / "theirs", token="") as theirs,
        Lab(store=tmp_path / "strict", card_signatures="required") as lab,
    ):
        theirs.define("echo", lambda message: message.text)
        lab.define("own", lambda message: message.text)
        assert lab.ask(f"{theirs.url}/agents/echo", "x").text == "x"
        assert lab.ask("own", "x").text == "x"


def test_an_interface_that_leads_inside_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """The host was looked up where it is a name; these are addresses, so that nothing is looked up here."""
    places = [
        {"url": f"http://{host}/x", "protocolBinding": binding, "protocolVersion": "1.0"}
        for host, binding in (("93.184.216.34", "HTTP+JSON"), ("10.255.255.1", "JSONRPC"))
    ]
    shown = card() | {
        "supportedInterfaces": places,
        "capabilities": {},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "s", "name": "s", "description": "s", "tags": ["s"]}],
    }
    with Lab(store=tmp_path) as lab, pytest.raises(RemoteError, match=LEADS):
        lab.ask(shown, "x")
    with Lab(store=tmp_path, private_cards=True) as lab:
        assert lab.service.call(lambda: lab.discovery._cards.inside("http://10.0.0.1/")) == ""
