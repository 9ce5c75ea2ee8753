"""Signed tokens of an issuer: what each must say, which keys count, and how often an issuer is asked for them."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from nbagora_lab.a2a import tokens
from nbagora_lab.a2a.gate import Gate
from nbagora_lab.a2a.issuer import LocalIssuer
from nbagora_lab.a2a.schemes import parse_scheme
from nbagora_lab.a2a.tokens import Issuer

URL = "https://issuer.example"


class House:
    """An issuer that is asked without HTTP, and what checks its tokens."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self.asked = []
        self.metadata = {}
        self.keys = []
        self.local = LocalIssuer({"bob": "b"}, {"bob": ["read"]})
        self.local.url = URL
        self.issuer = Issuer(URL)
        monkeypatch.setattr(tokens, "_get", self._get)
        monkeypatch.setattr(tokens.time, "monotonic", lambda: self.now)

    async def _get(self, _http, url):
        self.asked.append(url)
        status, told = self.local.get(url.removeprefix(URL))
        return {**told, **self.metadata, "keys": [*told.get("keys", []), *self.keys]} if status == 200 else None

    def claims(self, token):
        return asyncio.run(self.issuer.claims(token, ["agent"]))

    def signed(self, *, without=(), kid="", **changed):
        """A token by the issuer's own key."""
        said = jwt.decode(self.local.token("bob", audience="agent"), options={"verify_signature": False}) | changed
        said = {name: value for name, value in said.items() if name not in without}
        headers = {"kid": self.local._kid if kid == "" else kid} if kid is not None else {}
        return jwt.encode(said, self.local._key, "ES256", headers=headers)

    @property
    def looks(self):
        """How often its keys were read."""
        return sum(url.endswith("/jwks.json") for url in self.asked)


@pytest.fixture
def house(monkeypatch):
    return House(monkeypatch)


def test_a_token_that_holds_tells_its_claims(house):
    assert house.claims(house.signed())["sub"] == "bob"
    assert house.claims(house.signed(iss=f"{URL}/"))["sub"] == "bob"
    assert house.claims(house.signed(aud=["else", "agent"]))["sub"] == "bob"


@pytest.mark.parametrize("name", ["exp", "iss", "aud", "sub"])
def test_a_token_that_leaves_out_what_it_must_say_does_not_hold(house, name):
    assert house.claims(house.signed(without=[name])) is None


@pytest.mark.parametrize(
    "changed", [{"iss": "https://other.example"}, {"iss": f"{URL}.evil.example"}, {"aud": "other"}]
)
def test_a_token_of_or_for_somebody_else_does_not_hold(house, changed):
    assert house.claims(house.signed(**changed)) is None


def test_clocks_may_differ_by_half_a_minute(house):
    assert house.claims(house.local.token("bob", audience="agent", seconds=-10)) is not None
    assert house.claims(house.local.token("bob", audience="agent", seconds=-60)) is None


def test_a_key_is_the_one_that_a_token_names(house):
    assert house.claims(house.signed(kid="another")) is None
    assert house.claims(house.signed(kid=None)) is not None  # which one is meant where there is one alone is plain


def test_where_there_are_several_keys_a_token_must_name_one(house):
    other = ec.generate_private_key(ec.SECP256R1())
    house.keys = [ECAlgorithm.to_jwk(other.public_key(), as_dict=True) | {"kid": "other"}]
    assert house.claims(house.signed(kid=None)) is None
    assert house.claims(house.signed()) is not None


def test_a_key_that_is_not_for_signatures_signs_nothing(house):
    other = LocalIssuer({"bob": "b"})
    other.url = URL
    house.keys = [ECAlgorithm.to_jwk(other._key.public_key(), as_dict=True) | {"kid": other._kid, "use": "enc"}]
    assert house.claims(other.token("bob", audience="agent")) is None


def test_keys_of_metadata_that_are_another_issuers_do_not_count(house):
    house.metadata = {"issuer": "https://other.example"}
    assert house.claims(house.signed()) is None
    assert house.looks == 0


def test_keys_are_read_once_an_hour_and_for_an_unknown_one_once_in_ten_seconds(house):
    """So that whoever sends tokens of keys that are not there has the issuer asked no more than that."""
    assert house.claims(house.signed()) is not None
    for _ in range(5):
        assert house.claims(house.signed(kid="unknown")) is None
    assert house.looks == 1
    house.local.rotate()
    assert house.claims(house.signed()) is None
    house.now = 11.0
    assert house.claims(house.signed()) is not None
    assert house.looks == 2
    house.now = 3700.0
    assert house.claims(house.signed()) is not None
    assert house.looks == 3


def test_an_issuers_bob_is_not_the_labs_own(house):
    scheme = parse_scheme(f"oauth2 {URL} read")
    gate = Gate([scheme], None, ["agent"], {URL: house.issuer})
    caller = asyncio.run(gate._signed(scheme, house.signed()))
    assert (caller.owner, caller.scopes) == (f"bob@{URL}", {"read"})
    for said in ({"scope": ""}, {"scope": "reader"}):
        assert asyncio.run(gate._signed(scheme, house.signed(**said))) is None
    for said in ("read write", ["read", "write"]):
        token = house.signed(without=["scope"], scp=said)
        assert asyncio.run(gate._signed(scheme, token)).scopes == {"read", "write"}


@pytest.mark.parametrize("way", ["straight", "moved", "endless"])
def test_keys_are_read_where_the_metadata_says_and_nowhere_else(way):
    """A redirect is not followed, and no more is read than a few keys take."""
    local = LocalIssuer({"bob": "b"})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, told = local.get(self.path.removeprefix("/elsewhere"))
            moved = way == "moved" and self.path == "/jwks.json"
            if way == "endless":
                told["padding"] = "x" * (2 << 20)
            body = json.dumps(told).encode()
            self.send_response(302 if moved else status)
            if moved:
                self.send_header("Location", f"{local.url}/elsewhere/jwks.json")
            self.send_header("Content-Length", str(len(body) * (not moved)))
            self.end_headers()
            if not moved:
                self.wfile.write(body)

        def log_message(self, *_):
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    local.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        claims = asyncio.run(Issuer(local.url).claims(local.token("bob", audience="agent"), ["agent"]))
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert (claims is not None) == (way == "straight")
