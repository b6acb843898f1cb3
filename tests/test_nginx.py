"""Several machines behind nginx, as in deploy/nginx.conf, over TLS."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import re
import shutil
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import StartSite
from tests.model_server.process import ModelServer
from tests.servers import ROOT, Databases, Server, Site, Valkey, free_port

NAME = "chat.example"
WRAPPER = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    {temporary}
    include {folder}/site.conf;
}}
"""


class Nginx(Server):
    """nginx with the sample configuration, its addresses and files put in place."""

    name = "nginx"

    def __init__(
        self, folder: Path, sites: list[Site], static_root: Path, below: str = ""
    ) -> None:
        super().__init__(folder)
        self.below = below
        self.plain_port = free_port()
        certificate, key = make_certificate(folder)
        sample = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
        for old, new in (
            ("listen 80;", f"listen 127.0.0.1:{self.plain_port};"),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            ("/etc/ssl/chat.example.pem", str(certificate)),
            ("/etc/ssl/chat.example.key", str(key)),
            ("/var/lib/reasoning-site/static/", f"{static_root}/"),
            ("10.0.0.11:8000", f"127.0.0.1:{sites[0].port}"),
            ("10.0.0.12:8000", f"127.0.0.1:{sites[-1].port}"),
        ):
            assert old in sample, old
            sample = sample.replace(old, new)
        if below:  # as its first lines tell
            sample, places = re.subn(
                r"(?m)^    location (= )?(/\S*) \{"
                r"(\s+proxy_pass http://reasoning_site(?=;))?",
                lambda it: (
                    f"    location {it[1] or ''}{below}{it[2]} {{"
                    + (f"{it[3]}{it[2]}" if it[3] else "")
                ),
                sample,
            )
            assert places == 5
        (folder / "site.conf").write_text(sample)
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if self.runs_as_root else ""
        wrapper = WRAPPER.format(folder=folder, temporary=temporary, user=user)
        (folder / "nginx.conf").write_text(wrapper)

    def command(self) -> list[str]:
        """What to run."""
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        return [nginx, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]

    @property
    def trust(self) -> ssl.SSLContext:
        """Trusts its certificate."""
        return ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))

    def get(self, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        """The answer over TLS, and its body."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.trust, timeout=20
        )
        connection.request("GET", path, headers={"Host": NAME, **headers})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body

    def ws_connect(self, session_id: object, cookie: str) -> websockets.connect:
        """A socket as the page opens it."""
        return websockets.connect(
            f"wss://{NAME}{self.below}/ws/chat/{session_id}",
            host="127.0.0.1",
            port=self.port,
            ssl=self.trust,
            origin=websockets.Origin(f"https://{NAME}"),
            additional_headers={"Cookie": cookie},
            proxy=None,
        )


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the name and for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    names = [x509.DNSName(NAME), x509.IPAddress(IPv4Address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


@pytest.fixture
def sites(
    start_site: StartSite, databases: Databases, valkey: Valkey
) -> Iterator[list[Site]]:
    """Two processes behind TLS, as on two machines."""
    with ModelServer() as model:
        shared: dict[str, Any] = {
            "DATABASE_URL": databases.new("postgresql"),
            "REDIS_URL": valkey.url,
            "LLM_BASE_URL": model.base_url,
            "LLM_MODEL": "hello",
            "ALLOWED_HOSTS": f"{NAME},127.0.0.1",
            "HTTPS": 1,
        }
        yield [start_site("uvicorn", **shared) for _ in range(2)]


@pytest.fixture
def nginx(sites: list[Site], static_root: Path, tmp_path: Path) -> Iterator[Nginx]:
    """nginx in front of both."""
    with Nginx(tmp_path, sites, static_root) as server:
        yield server


async def test_the_sample_serves_pages_files_and_sockets(
    nginx: Nginx, sites: list[Site]
) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", nginx.plain_port, timeout=20)
    plain.request("GET", "/x", headers={"Host": NAME})
    assert plain.getresponse().headers["Location"] == f"https://{NAME}/x"
    plain.close()

    page, body = nginx.get("/", Accept="text/html")
    assert page.status == 200
    assert page.headers["Strict-Transport-Security"]
    assert f"wss://{NAME}" in page.headers["Content-Security-Policy"]
    cookies = page.headers.get_all("Set-Cookie") or []
    assert cookies
    assert all("Secure" in cookie for cookie in cookies)

    script = re.search(rb'src="(/static/chat/js/bundle\.[^"]+)"', body)
    assert script is not None
    file, content = nginx.get(script[1].decode(), **{"Accept-Encoding": "gzip"})
    assert (file.status, file.headers["Content-Encoding"]) == (200, "gzip")
    assert "immutable" in file.headers["Cache-Control"]
    assert gzip.decompress(content)

    cookie = "; ".join(cookie.partition(";")[0] for cookie in cookies)
    session_id = uuid4()
    assert "Hello" in await answer(nginx, session_id, cookie)

    # One machine goes: the other one has the site, and the chat.
    sites[0].kill()
    for _ in range(3):
        page, body = nginx.get(f"/chat/{session_id}", Cookie=cookie)
        assert page.status == 200
    assert "Hello" in await answer(nginx, uuid4(), cookie)


async def test_the_sample_serves_a_site_below_a_path(
    start_site: StartSite, static_root: Path, tmp_path: Path
) -> None:
    """Page, files, socket, API, admin and sign-in: all of it, and nothing beside."""
    with ModelServer() as model:
        site = start_site(
            LLM_BASE_URL=model.base_url,
            LLM_MODEL="hello",
            ALLOWED_HOSTS=NAME,
            HTTPS=1,
            URL_PREFIX="/chat",  # which is also where the site has its chats
        )
        with Nginx(tmp_path, [site], static_root, "/chat") as nginx:
            page, body = nginx.get("/chat/", Accept="text/html")
            cookies = page.headers.get_all("Set-Cookie") or []
            assert cookies
            assert all("Path=/chat" in cookie.split("; ") for cookie in cookies)
            cookie = "; ".join(cookie.partition(";")[0] for cookie in cookies)
            session_id = uuid4()
            assert "Hello" in await answer(nginx, session_id, cookie)
            chat, _ = nginx.get(f"/chat/chat/{session_id}", Cookie=cookie)
            assert chat.status == 200

            listed, sessions = nginx.get("/chat/api/sessions", Cookie=cookie)
            assert listed.status == 200
            assert len(json.loads(sessions)["sessions"]) == 1
            admin, _ = nginx.get("/chat/admin/")
            login_url = "/chat/admin/login/?next=/chat/admin/"
            assert admin.headers["Location"] == login_url
            sign_in, form = nginx.get("/chat/sign-in", Accept="text/html")
            assert sign_in.status == 200
            _, login = nginx.get(login_url, Accept="text/html")
            for html in (body, form, login):
                found = re.findall(rb'(?:href|src|action)="(/[^"]*)"', html)
                assert [each for each in found if not each.startswith(b"/chat/")] == []
                for file in {each for each in found if b"/static/" in each}:
                    assert nginx.get(file.decode())[0].status == 200, file
            for beside in ("/", "/static/chat/", "/api/sessions", "/livez"):
                assert nginx.get(beside)[0].status == 404, beside
            assert nginx.get("/chat/livez")[0].status == 200
            assert nginx.get("/chat/metrics")[0].status == 404


async def answer(nginx: Nginx, session_id: object, cookie: str) -> str:
    """What the model says to "Hello", as a client of the classic protocol gets it."""
    async with nginx.ws_connect(session_id, cookie) as socket:
        chat = {"message": "Hello", "enable_reasoning": False}
        await socket.send(json.dumps({"type": "chat", "payload": chat}))
        async with asyncio.timeout(20):
            async for frame in socket:
                message = json.loads(frame)
                if message["type"] == "response":
                    return str(message["data"]["content"])
    raise AssertionError("closed without an answer")
