"""Frames and requests that no client of ours sends: refused, and nobody harmed.

`pytest tests/test_fuzz.py --fuzz=10000` tries more of them; `--fuzz-seed=2` others.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
import websockets
from websockets.asyncio.client import connect

from tests.client import Person
from tests.conftest import StartSite
from tests.model_server.process import ModelServer
from tests.servers import Databases, Site

PASSWORD = "zq8-fuzz-password-of-admin"
KEY = "zq8-fuzz-key-of-the-model-server"
SECRETS = (PASSWORD, KEY, Site.secret_key)

# A line of the site's log, of uvicorn's, or of a traceback, which is indented.
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} |[A-Z]+: {4,}|    |$")
FORGED = "2026-11-25 20:00:00,000 ERROR chat.auth somebody was let in"

TEXTS: Final = (
    "",
    "a",
    "\x00",
    "\ud800",
    "👩‍👩‍👧",
    f"\r\n{FORGED}",
    f"\u2028{FORGED}",
    "' OR 1=1 --",
    "%s%n{0}{{x}}{% url %}",
    "../../../etc/passwd",
    "<script>alert(1)</script>",
    "9" * 400,
    "-1",
    "1e999",
    "NaN",
    "𝟙",
    "x" * 70_000,
    "[" * 5_000,
    "a\u0301" * 500,
    "2026-13-45",
    str(UUID(int=0)),
)
VALUES: Final[tuple[Any, ...]] = (
    *TEXTS,
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    2**64,
    -(2**70),
    1.5,
    1e308,
    [],
    {},
    [[[[]]]],
    {"a": {"a": {}}},
    {"": 1},
    {"1": [1, 2]},
    {"1": 2**70},
    {"-1": 1},
    {str(number): number for number in range(3000)},
)
FIELDS: Final = (
    *("message", "agent_name", "enable_reasoning", "client_id", "run", "seen"),
    *("protocol", "ref", "before", "limit", "timestamp", "unknown"),
)
COMMANDS: Final[dict[str, dict[str, Any]]] = {
    "chat": {"message": "Hi", "client_id": "one"},
    "interrupt": {"run": 1, "seen": 1},
    "retry": {"run": 1},
    "subscribe": {"protocol": 2, "seen": {"1": [1, 1]}, "ref": 1},
    "history": {"before": 3, "limit": 2},
    "ping": {"timestamp": 1},
    "authenticate": {"token": "zq8"},
}
PATHS: Final = (
    *("/", "/sign-in", "/sign-out", "/image", "/favicon.ico", "/livez", "/readyz"),
    *("/api/sessions", "/api/sessions/{id}", "/api/sessions/{id}/restore"),
    *("/chat/{id}", "/metrics", "/static/chat/js/theme.js", "/ws/chat/{id}"),
    *("/admin/", "/admin/login/", "/admin/logout/", "/admin/password_change/"),
    *("/admin/chat/session/", "/admin/chat/session/{id}/change/", "/admin/chat/run/"),
    *("/admin/chat/run/{text}/change/", "/admin/auth/user/", "/admin/auth/user/add/"),
    *("/admin/auth/user/1/password/", "/admin/autocomplete/", "/admin/r/1/{text}/"),
    *("/admin/jsi18n/", "/admin/{text}/", "/{text}"),
)
PARAMETERS: Final = (
    *("q", "before", "limit", "archived", "next", "p", "o", "e", "action", "all"),
    *("agent_name", "runs__status__exact", "updated_at__year", "updated_at__gte"),
    *("guest_key__startswith", "owner__password__startswith", "id__exact", "term"),
    *("_to_field", "_popup", "app_label", "model_name", "deleted_at__isempty"),
)
TYPES: Final = (
    *("application/json", "application/x-www-form-urlencoded", "text/plain"),
    *("multipart/form-data", "multipart/form-data; boundary=zq", "", "x/y; charset=x"),
    *("application/x-www-form-urlencoded; charset=utf-16", "multipart/mixed"),
    "multipart/form-data; boundary=zq; charset=utf-16",
)
METHODS: Final = ("GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE")
TYPES_TO_CLIENT: Final = frozenset(
    {"connected", "snapshot", "history", "events", "accepted", "session", "error"}
    | {"pong", "reasoning_start", "reasoning_step", "response", "interrupted"}
    | {"reasoning_complete", "notice"}
)


class Chance:
    """Draws the same things from the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.one: Callable[[Any], Any] = self._random.choice
        self.below: Callable[[int], int] = self._random.randrange

    def often(self) -> bool:
        """Two times in three."""
        return self.below(3) > 0

    def frame(self) -> str | bytes:
        """What a client might send: mostly a command with something wrong in it."""
        if not self.below(12):
            return bytes(self.below(256) for _ in range(self.below(200)))
        if not self.below(12):
            return self.readable(self.one(TEXTS))
        name = self.one(tuple(COMMANDS))
        payload: Any = dict(COMMANDS[name])
        for _ in range(1 + self.below(3)):
            payload[self.one(FIELDS)] = self.one(VALUES)
        if not self.below(8):
            payload = self.one(VALUES)
        envelope = {"type": name, "payload": payload}
        if not self.below(8):
            envelope[self.one(("type", "payload", "timestamp"))] = self.one(VALUES)
        text = json.dumps(envelope, ensure_ascii=self.often())
        if not self.below(8):
            text = text[: self.below(len(text) + 1)]
        return self.readable(text)

    @staticmethod
    def readable(text: str) -> str:
        """As a WebSocket can carry it: a lone surrogate only where it is escaped."""
        return text.encode(errors="replace").decode()

    def request(self) -> tuple[str, str, bytes, dict[str, str]]:
        """Method, path, body and headers."""
        path = self.one(PATHS)
        text = self.one(TEXTS)[:2000]
        path = path.replace("{id}", str(uuid4()) if self.often() else quoted(text))
        path = path.replace("{text}", quoted(text))
        if self.often():
            pairs = [
                f"{self.one(PARAMETERS)}={quoted(str(self.one(VALUES))[:400])}"
                for _ in range(1 + self.below(3))
            ]
            path += "?" + "&".join(pairs)
        method = self.one(METHODS) if self.often() else "POST"
        body = str(self.one(VALUES)).encode(errors="replace")
        headers = {"Content-Type": self.one(TYPES)}
        if not self.below(6):
            headers[self.one(("Host", "Origin", "Referer", "Accept", "Range"))] = (
                self.one(("evil.example", "null", "http://[", "*/*;q=x", "bytes=9-1"))
            )
        if not self.below(6):
            headers["Cookie"] = f"x={'y' * self.below(3000)}; {quoted(text)}=\xff"
        return method, path, body, headers


def quoted(text: str) -> str:
    return quote(text.encode(errors="surrogatepass"), safe="")


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """The scripted model server."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def site(start_site: StartSite, model: ModelServer, databases: Databases) -> Site:
    return start_site(
        DATABASE_URL=databases.new("postgresql"),  # which takes less than SQLite
        LLM_BASE_URL=model.base_url,
        LLM_MODEL="hello",
        LLM_API_KEY=KEY,
        MAX_MESSAGES_PER_MINUTE=100_000,
        MAX_QUEUED_RUNS=3,
        MAX_ANSWER_BYTES=64 * 2**20,
    )


def test_whatever_is_sent_nothing_breaks_or_leaks(
    site: Site, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = request.config.getoption("fuzz")
    chance = Chance(request.config.getoption("fuzz_seed"))
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    site.manage("createsuperuser", "--no-input", "--username=zoe", "--email=z@x.org")
    guest, admin = Person(site.url), Person(site.url)
    admin.open(f"{site.url}/sign-in")
    admin.submit(f"{site.url}/sign-in", username="zoe", password=PASSWORD)
    secrets = [*SECRETS, guest.cookie_named("guest"), admin.cookie_named("session")]

    async def both() -> None:
        async with guest.watch([site.url]) as neighbour:
            tokens = max(200, count)
            neighbour.ask(f"[stream tokens={tokens} rate=50]")
            await neighbour.until(lambda: neighbour.text(1), 20, "a first token")
            await send_frames(site, chance, count // 2, guest.cookie)
            before = memory(site.pid)
            people = (
                (guest.cookie, guest.cookie_named("csrf")),
                (admin.cookie, admin.cookie_named("csrf")),
                ("", ""),
            )
            await asyncio.to_thread(send_requests, site, chance, count // 2, people)
            await send_frames(site, chance, count // 20, guest.cookie)
            assert memory(site.pid) < before + 60 * 2**20
            await neighbour.until(lambda: neighbour.reason(1), tokens / 25 + 60, "end")
            expected = " ".join(f"t{number}" for number in range(tokens))
            assert neighbour.text(1).split() == expected.split()
            assert neighbour.connections == 1

    asyncio.run(both())
    check_log(site.log_text, secrets)


async def send_frames(site: Site, chance: Chance, count: int, cookie: str) -> None:
    """Send so many frames; each is answered as the protocol says, or hung up on."""
    while count > 0:
        session = uuid4() if chance.often() else chance.one(TEXTS)[:50]
        address = site.ws_url(quoted(str(session)))
        headers = {"Cookie": cookie} if chance.often() else {}
        with suppress(websockets.ConnectionClosed):
            async with connect(
                address, additional_headers=headers, max_size=None, compression=None
            ) as socket:
                for _ in range(12):
                    count -= 1
                    await socket.send(chance.frame())
                await socket.send('{"type": "ping", "payload": {"timestamp": "last"}}')
                async with asyncio.timeout(30):
                    while (heard := await hear(socket)) != {"timestamp": "last"}:
                        assert heard is not None
                continue
        assert socket.close_code is not None
        assert 4400 <= socket.close_code < 4600, socket.close_code


async def hear(socket: Any) -> Any:
    """The data of the next message, which is one that the protocol knows."""
    message = json.loads(await socket.recv())
    assert message["type"] in TYPES_TO_CLIENT
    assert "Traceback" not in str(message)
    if message["type"] == "error":
        assert message["data"]["message"] != "", message
        assert "internal" not in message["data"]["code"], message
        assert 'File "' not in message["data"]["message"]
    return message["data"]


def send_requests(
    site: Site, chance: Chance, count: int, people: tuple[tuple[str, str], ...]
) -> None:
    """Send so many requests; none is answered with a 5xx or what nobody should see."""
    for _ in range(count):
        method, path, body, headers = chance.request()
        cookie, token = chance.one(people)
        headers.setdefault("Cookie", cookie)
        if chance.often() and "DELETE" not in method and "logout" not in path:
            headers["X-CSRFToken"] = token
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
        finally:
            connection.close()
        sent = f"{method} {path[:300]} {headers}"
        assert answer.status < 500, sent
        assert "Traceback" not in said, sent
        assert not [secret for secret in SECRETS if secret in said], sent


def check_log(log: str, secrets: list[str]) -> None:
    """No error, no line that somebody else began, no secret."""
    lines = log.splitlines()
    errors = [line for line in lines if re.match(r"\S+ \S+ ERROR ", line)]
    # What Django refuses it logs as an error of the logger that says so.
    assert [line for line in errors if " django.security." not in line] == []
    assert [line for line in lines if not LOG_LINE.match(line)] == []
    assert [line for line in lines if line.startswith(FORGED)] == []
    assert [secret for secret in secrets if secret in log] == []


def memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
