"""A tiny issuer of signed tokens, for teaching and tests: OAuth 2's client credentials and OpenID Connect's metadata.

It knows clients by id and secret and has a key that lives as long as it does. It is no identity provider: nobody logs
in here.

    issuer = LocalIssuer({"bob": "secret"}, scopes={"bob": ["weather.read"]})
    with issuer.serve() as url:
        lab.define("weather", weather, auth=[f"oauth2 {url} weather.read"])
        issuer.token("bob", audience="weather")
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from nbagora_lab.core.clock import Clock, SystemClock

__all__ = ["LocalIssuer"]

_LARGEST = 64 << 10  # bytes of a request


class LocalIssuer:
    """Issues tokens.

    Args:
        clients: Secrets by client id.
        scopes: What each client may be allowed.
        clock: Time of the tokens.

    Attributes:
        url: Where it answers, while it is served; tokens name it.
    """

    def __init__(
        self, clients: Mapping[str, str], scopes: Mapping[str, Sequence[str]] | None = None, clock: Clock | None = None
    ) -> None:
        self.url = ""
        self._clients = dict(clients)
        self._scopes = {client: list((scopes or {}).get(client, ())) for client in clients}
        self._clock = clock or SystemClock()
        self.rotate()

    def rotate(self) -> None:
        """Goes on with a new key; what the old one signed does not hold any more."""
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._kid = f"key-{int(time.perf_counter() * 1e9)}"

    def token(self, client: str, *, audience: str, scopes: Sequence[str] | None = None, seconds: float = 300) -> str:
        """A token for a client.

        Args:
            client: Its id.
            audience: Whom it is for: the agent's name or URL.
            scopes: What it allows; None: all that the client may be allowed.
            seconds: How long it is good for.
        """
        import jwt

        now = int(self._clock.now())
        allowed = self._scopes.get(client, []) if scopes is None else scopes
        claims = {"iss": self.url, "sub": client, "aud": audience, "iat": now, "exp": now + seconds}
        return jwt.encode(claims | {"scope": " ".join(allowed)}, self._key, "ES256", headers={"kid": self._kid})

    @contextlib.contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """Answers on loopback until the context ends; gives its URL."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*issuer.get(urlsplit(self.path).path))

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(min(length, _LARGEST)).decode("utf-8", "replace")
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(*issuer.post(self.path, form, self.headers.get("Authorization", "")))

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Cache-Control", "no-store")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="nbagora-issuer", daemon=True)
        thread.start()
        try:
            yield self.url
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """What is published: metadata (RFC 8414, OpenID Connect Discovery) and the key."""
        if path in {"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}:
            return 200, {
                "issuer": self.url,
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks.json",
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "response_types_supported": [],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        if path == "/jwks.json":
            from jwt.algorithms import ECAlgorithm

            jwk = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
            return 200, {"keys": [jwk | {"kid": self._kid, "use": "sig", "alg": "ES256"}]}
        return 404, {"error": "not_found"}

    def post(self, path: str, form: Mapping[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """A token for a client that shows its secret (RFC 6749, section 4.4)."""
        if path != "/token":
            return 404, {"error": "not_found"}
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.lower().startswith("basic "):
            with contextlib.suppress(ValueError):
                pair = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
                client, secret = unquote_plus(pair[0]), unquote_plus(pair[2])  # RFC 6749, section 2.3.1
        if not hmac.compare_digest(self._clients.get(client, "\0").encode(), secret.encode()):
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        asked = form.get("scope", "").split() or self._scopes[client]
        if not set(asked) <= set(self._scopes[client]):
            return 400, {"error": "invalid_scope"}
        token = self.token(client, audience=form.get("resource") or form.get("audience", ""), scopes=asked)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": " ".join(asked)}
