"""An OpenID Connect provider: a real process, which signs what it says.

    with OidcProvider(tmp_path) as provider:
        Site(..., OIDC_ISSUER=provider.url, OIDC_CLIENT_ID=CLIENT_ID, ...)

Whoever comes types a name, and is that. A name may say with what to lie, after a `+`:
see `LIES`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers import Server

CLIENT_ID: Final = "reasoning-site"
CLIENT_SECRET: Final = "what-only-the-two-of-them-know"

# Claims that a token gets instead of the right ones.
LIES: Final[dict[str, dict[str, Any]]] = {
    "iss": {"iss": "https://evil.example"},
    "aud": {"aud": "another-site"},
    "exp": {"exp": 1_700_000_000},
    "forged": {},  # signed with another key
    "unsigned": {},
    "symmetric": {},  # signed with the public key's bytes
    "stranger": {},  # whose user info is somebody else's
    "unverified": {"email_verified": False},
    "words": {"email_verified": "false"},
    "silent": {"email": None},
}
PAGE: Final = """<!DOCTYPE html><title>Who are you?</title>
<link rel="icon" href="data:,">
<form><label>Name <input name="name"></label>{fields}<button>It is me</button></form>
<a href="{cancel}">I have changed my mind</a>"""


class OidcProvider(Server):
    """The provider's process."""

    name = "oidc-provider"

    def command(self) -> list[str]:
        """What to run."""
        return [sys.executable, "-m", "tests.oidc_provider", str(self.port)]

    @property
    def url(self) -> str:
        """For OIDC_ISSUER."""
        return f"http://127.0.0.1:{self.port}"


class _State:
    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.other_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.codes: dict[str, dict[str, str]] = {}  # code → what it was asked with
        self.tokens: dict[str, dict[str, Any]] = {}  # access token → user info

    def config(self) -> dict[str, Any]:
        places = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "userinfo_endpoint": "userinfo",
            "jwks_uri": "jwks",
        }
        return {
            "issuer": self.issuer,
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            **{name: f"{self.issuer}/{path}" for name, path in places.items()},
        }

    def jwks(self) -> dict[str, Any]:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**key, "kid": "one", "use": "sig", "alg": "RS256"}]}

    def redeem(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The tokens for a code; None where it is not that site's, or not fresh."""
        credentials = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        asked = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if (
            asked is None
            or authorization != f"Basic {credentials}"
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return None
        name, _, lie = asked["name"].partition("+")
        user = {
            "sub": f"id-of-{name}",
            "preferred_username": name,
            "email": f"{name}@site.example",
            "email_verified": True,
        }
        told = {k: v for k, v in LIES.get(lie, {}).items() if k.startswith("email")}
        user = {k: v for k, v in (user | told).items() if v is not None}
        access_token = secrets.token_urlsafe(16)
        self.tokens[access_token] = user | (
            {"sub": "id-of-another"} if lie == "stranger" else {}
        )
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "id_token": self.id_token(user, lie),
        }

    def id_token(self, user: dict[str, Any], lie: str) -> str:
        now = int(time.time())
        times = {"iat": now, "exp": now + 300}
        claims = {"iss": self.issuer, "aud": CLIENT_ID, **times, "sub": user["sub"]}
        claims |= LIES.get(lie, {})
        headers = {"kid": "one"}
        match lie:
            case "unsigned":
                return jwt.encode(claims, "", "none", headers)
            case "symmetric":
                return jwt.encode(
                    claims, "the public key's bytes" * 2, "HS256", headers
                )
            case "forged":
                return jwt.encode(claims, self.other_key, "RS256", headers)
            case _:
                return jwt.encode(claims, self.key, "RS256", headers)


class _Handler(BaseHTTPRequestHandler):
    state: _State

    def do_GET(self) -> None:
        """Discovery, keys, the page for people, and who a token is for."""
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        match parts.path:
            case "/.well-known/openid-configuration":
                self._say(self.state.config())
            case "/jwks":
                self._say(self.state.jwks())
            case "/authorize":
                self._authorize(query)
            case "/userinfo":
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                user = self.state.tokens.get(token)
                self._say(user or {}, 200 if user else 401)
            case _:
                self._say({}, 404)

    def do_POST(self) -> None:
        """A code for tokens."""
        length = int(self.headers.get("Content-Length", 0))
        form = parse_qs(self.rfile.read(length).decode())
        fields = {name: values[-1] for name, values in form.items()}
        tokens = self.state.redeem(fields, self.headers.get("Authorization", ""))
        self._say(tokens or {"error": "invalid_grant"}, 200 if tokens else 400)

    def _authorize(self, query: dict[str, str]) -> None:
        back, state = query["redirect_uri"], query["state"]
        if "name" not in query:
            cancel = urlencode({"error": "access_denied", "state": state})
            fields = "".join(
                f'<input type="hidden" name="{name}" value="{value}">'
                for name, value in query.items()
            )
            page = PAGE.format(fields=fields, cancel=f"{back}?{cancel}")
            self._answer(200, "text/html", page.encode())
            return
        code = secrets.token_urlsafe(16)
        self.state.codes[code] = query
        self.send_response(302)
        location = f"{back}?{urlencode({'code': code, 'state': state})}"
        self.send_header("Location", location)
        self.end_headers()

    def _say(self, value: dict[str, Any], status: int = 200) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(port: int) -> None:
    """Serve until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    _Handler.state = _State(f"http://127.0.0.1:{port}")
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
