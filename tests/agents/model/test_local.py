"""Model servers of this machine are found, and nothing else is taken for one."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chat.agents.model.local import LocalServer, find_local_servers
from tests.model_server.process import ModelServer
from tests.servers import free_port


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[int]:
    """A server on this machine that answers so to everything: its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def models(*names: str) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": n} for n in names]}).encode()


def test_a_running_model_server_is_found_with_a_model_that_can_chat() -> None:
    with ModelServer() as server, answering(models("nomic-embed-text", "qwen3")) as two:
        found = find_local_servers({server.port: "one", two: "two", free_port(): "-"})
    assert [each.name for each in found] == ["one", "two"]
    assert found[1] == LocalServer("two", f"http://127.0.0.1:{two}/v1", "qwen3")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>hello</html>", 200),
        (models("qwen3"), 401),
        (b'{"error": "Unexpected endpoint"}', 200),
        (b'{"data": 7}', 200),
        (b'{"data": ["qwen"]}', 200),
        (models("nomic-embed-text"), 200),
        (b"\xff\xfe", 200),
    ],
)
def test_what_lists_no_chat_models_is_no_model_server(body: bytes, status: int) -> None:
    with answering(body, status) as port:
        assert find_local_servers({port: "?"}) == []


def test_the_site_is_not_asked_for_itself() -> None:
    with answering(models("qwen3")) as port:
        assert find_local_servers({port: "me"}, but=port) == []


def test_a_server_that_says_nothing_does_not_hold_up_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert find_local_servers({silent.getsockname()[1]: "silent"}) == []
        assert time.monotonic() - began < 5
