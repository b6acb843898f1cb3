"""`manage.py doctor`: what is well, what is not, and what to do about it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.model_server.process import ModelServer
from tests.servers import Databases, Site, Valkey, free_port


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """The scripted model server."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    databases: Databases,
    static_root: Path,
    valkey: Valkey,
    model: ModelServer,
) -> Iterator[Site]:
    with Site(
        tmp_path_factory.mktemp("doctor"),
        DATABASE_URL=databases.new("postgresql"),
        REDIS_URL=valkey.url,
        STATIC_ROOT=static_root,
        LLM_BASE_URL=model.base_url,
        LLM_MODEL="calculator",
    ) as site:
        yield site


def examined(site: Site, *options: str) -> tuple[int, list[str]]:
    """The exit code, and what was found."""
    try:
        said = site.manage("doctor", *options)
    except subprocess.CalledProcessError as error:
        return error.returncode, error.stdout.splitlines()
    return 0, said.splitlines()


def test_a_site_that_is_well_is_told_so(site: Site) -> None:
    code, lines = examined(site, "--url", site.url)
    assert [line.split(":")[0] for line in lines] == [
        "ok   database",
        "ok   clock",
        "ok   disk",
        "ok   channel layer",
        "ok   processes",
        "ok   agents",
        "ok   page",
        "ok   WebSocket",
        "ok   stream",
        "ok   answer",
    ]
    assert "with a tool" in lines[-1]
    assert code == 0


def test_each_part_that_is_away_is_named_with_what_to_do(
    site: Site, tmp_path: Path, databases: Databases
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    broken = Site(
        tmp_path,
        DATABASE_URL=databases.new("sqlite"),
        REDIS_URL=f"redis://{nowhere}",
        LLM_BASE_URL=f"http://{nowhere}/v1",
        LLM_MODEL="none",
    )
    code, lines = examined(broken, "--url", f"http://{nowhere}")
    assert code == 1
    bad = [line.split(":")[0] for line in lines if line.startswith("BAD")]
    assert bad == [
        "BAD  channel layer",
        "BAD  page",
        "BAD  WebSocket",
        "BAD  stream",
        "BAD  answer",
    ]
    assert any("REDIS_URL" in line for line in lines)


class Other(BaseHTTPRequestHandler):
    """Somebody else's web server."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<title>Welcome to nginx!</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_proxy_that_leads_elsewhere_is_named(site: Site) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        code, lines = examined(site, "--url", f"http://127.0.0.1:{other.server_port}")
        other.shutdown()
    assert code == 1
    (page,) = [line for line in lines if line.startswith("BAD  page")]
    assert "Welcome to nginx!" in page
