"""Who may do what: every address and every command, for everybody, on a real server.

docs/access.md is the table; a route or a command that it has no row for fails here.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
import websockets
from websockets.asyncio.client import connect

from chat.access import Act, Identity, NotAllowedError, NotYoursError, require, rights
from chat.accounts.urls import CONFIRM, RESET
from chat.store import SessionFacts
from chat.urls import urlpatterns
from chat.wire.protocol import _COMMANDS
from tests.client import Person
from tests.servers import Databases, Site

TABLE: Final = Path(__file__).parent.parent / "docs" / "access.md"
EVIL: Final = "https://evil.example"

# Each person's column, and what the session is to them.
PEOPLE: Final = (
    *("owner", "reader", "asker", "other", "staff", "guest", "other guest"),
    *("nobody", "owner from a foreign page"),
    *("token to read", "token to ask", "token to admin"),
    *("expired token", "revoked token"),
)
# The owner's.
TOKENS: Final = {
    "token to read": "rst_read",
    "token to ask": "rst_ask",
    "token to admin": "rst_admin",
    "expired token": "rst_expired",
    "revoked token": "rst_revoked",
}
USERS: Final = ("owner", "reader", "asker", "other", "staff")

IMPORTED: Final[dict[str, Any]] = {
    "format": "reasoning-site-chat",
    "version": 1,
    "session": {"title": "Brought"},
    "runs": [],
}
Row = tuple[str, str, dict[str, Any] | None]
# By the pattern of the route. In this order: what is deleted is restored.
ROUTES: Final[dict[str, list[Row]]] = {
    "": [("GET", "/", None)],
    "chat/<uuid:session_id>": [("GET", "/chat/{id}", None)],
    "sign-in": [("GET", "/sign-in", None)],
    "sign-in/reset": [("GET", "/sign-in/reset", None)],
    "sign-in/reset/sent": [("GET", "/sign-in/reset/sent", None)],
    RESET: [("GET", "/sign-in/reset/1-key", None)],
    "sign-in/again": [("POST", "/sign-in/again", None)],
    "sign-in/oidc": [("POST", "/sign-in/oidc", None)],
    "sign-in/oidc/callback": [("GET", "/sign-in/oidc/callback", None)],
    "sign-up": [("GET", "/sign-up", None)],
    "sign-up/sent": [("GET", "/sign-up/sent", None)],
    CONFIRM: [("GET", "/email/key", None)],
    "account": [("GET", "/account", None)],
    "account/password": [("POST", "/account/password", None)],
    "account/email": [("POST", "/account/email", None)],
    "account/data": [("GET", "/account/data", None)],
    "account/data/export": [("GET", "/account/data/export", None)],
    # Without saying that they are sure.
    "account/data/delete": [("POST", "/account/data/delete", None)],
    "account/delete": [("POST", "/account/delete", None)],
    "favicon.ico": [("GET", "/favicon.ico", None)],
    "image": [("POST", "/image", None)],
    "api/sessions": [
        ("GET", "/api/sessions", None),
        ("POST", "/api/sessions", IMPORTED),
    ],
    "api/sessions/<uuid:session_id>/events": [
        ("GET", "/api/sessions/{id}/events", None)
    ],
    "api/sessions/<uuid:session_id>/export": [
        ("GET", "/api/sessions/{id}/export?as=json", None)
    ],
    "api/sessions/<uuid:session_id>/shares": [
        ("GET", "/api/sessions/{id}/shares", None)
    ],
    "api/sessions/<uuid:session_id>/shares/<str:name>": [
        ("PUT", "/api/sessions/{id}/shares/other", {"right": "read"}),
        ("DELETE", "/api/sessions/{id}/shares/other", None),
    ],
    "api/sessions/<uuid:session_id>": [
        ("PATCH", "/api/sessions/{id}", {"title": "Mine"}),
        ("DELETE", "/api/sessions/{id}", None),
    ],
    "api/sessions/<uuid:session_id>/restore": [
        ("POST", "/api/sessions/{id}/restore", None)
    ],
    "mcp": [("POST", "/mcp", {"method": "ping", "id": 1})],
    "v1/models": [("GET", "/v1/models", None)],
    "v1/models/<str:name>": [("GET", "/v1/models/researcher", None)],
    # Asked of nobody, so that nothing is asked.
    "v1/chat/completions": [
        (
            "POST",
            "/v1/chat/completions",
            {"model": "nobody", "messages": [{"content": "Hi"}]},
        )
    ],
    "v1/responses": [("POST", "/v1/responses", {"model": "nobody", "input": "Hi"})],
    "v1/responses/<str:name>": [("GET", "/v1/responses/resp_{id}_1", None)],
    "v1/responses/<str:name>/cancel": [
        ("POST", "/v1/responses/resp_{id}_1/cancel", None)
    ],
    "account/tokens": [
        ("GET", "/account/tokens", None),
        ("POST", "/account/tokens", None),
    ],
    "account/tokens/<int:token_id>/revoke": [
        ("POST", "/account/tokens/999/revoke", None)
    ],
    "sign-out": [("POST", "/sign-out", None)],  # the last: then nobody is anybody
}
COMMANDS: Final[dict[str, dict[str, Any]]] = {
    "ping": {},
    "subscribe": {"protocol": 2},
    "history": {"before": 9},
    "interrupt": {},
    "retry": {"run": 1},
    "chat": {"message": "Hi", "client_id": "one"},
    "authenticate": {"token": "rst_read"},
}
ANSWERS: Final = ("accepted", "snapshot", "history", "pong", "error", "reasoning_start")


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, static_root: Path
) -> Iterator[Site]:
    """A server that offers all there is, and takes no runs: what is asked waits."""
    with Site(
        tmp_path_factory.mktemp("access"),
        ROLE="web",
        DATABASE_URL=databases.new("sqlite"),
        STATIC_ROOT=static_root,
        ALLOW_SIGNUP=1,
        EMAIL_URL="console://",
        OIDC_ISSUER="http://127.0.0.1:9",  # nobody is there
        OIDC_CLIENT_ID="site",
    ) as site:
        yield site


class Places:
    """Who is who, and a chat of the owner's and one of the guest's for each of them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        guest = Person(site.url)
        key = guest.cookie_named("guest").split(":")[0]
        site.manage("shell", "-v0", "-c", ROWS.format(people=PEOPLE, key=key))
        self.cookies = dict.fromkeys(("nobody", *TOKENS), "") | {"guest": guest.cookie}
        self.tokens = {"nobody": "", "guest": guest.cookie_named("csrf")}
        for name in (*USERS, "other guest"):
            person = Person(site.url)
            if name in USERS:
                person.open(f"{site.url}/sign-in")
                person.submit(f"{site.url}/sign-in", username=name, password="a secret")
            self.cookies[name] = person.cookie
            self.tokens[name] = person.cookie_named("csrf")

    def headers(self, who: str) -> dict[str, str]:
        """What their browser sends."""
        name = who.removesuffix(" from a foreign page")
        headers = {"Accept": "text/html"}
        if name in TOKENS:
            headers["Authorization"] = f"Bearer {TOKENS[name]}"
        if self.cookies[name]:
            headers |= {"Cookie": self.cookies[name], "X-CSRFToken": self.tokens[name]}
        if name != who:
            headers["Origin"] = EVIL
        return headers

    def ask(self, who: str, row: Row, session_id: UUID) -> str:
        """The status of a request of theirs."""
        method, path, body = row
        headers = self.headers(who) | {"Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=30)
        try:
            text = json.dumps(body) if body else None
            path = path.replace("{id}", str(session_id))
            connection.request(method, path, text, headers)
            return str(connection.getresponse().status)
        finally:
            connection.close()

    async def all_say(self, command: str, offset: int) -> list[str]:
        """As `say`, everybody at once, each in a chat of their column."""
        return await asyncio.gather(
            *(
                self.say(who, command, UUID(int=2 * number + offset))
                for number, who in enumerate(PEOPLE)
            )
        )

    async def say(self, who: str, command: str, session_id: UUID) -> str:
        """What answers a command of theirs; or with what the socket is closed."""
        headers = self.headers(who)
        headers.pop("Accept")
        async with (
            asyncio.timeout(30),
            connect(
                self.site.ws_url(session_id),
                additional_headers=headers,
                compression=None,
            ) as socket,
        ):
            try:
                if command == "chat":  # which is only answered in log mode
                    await tell(socket, "subscribe")
                answer = await tell(socket, command)
            except websockets.ConnectionClosed:
                return str(socket.close_code)
        if answer["type"] != "error":
            return str(answer["type"])
        return str(answer["data"]["code"])


async def tell(socket: Any, command: str) -> Any:
    """What a command is answered."""
    payload = COMMANDS[command]
    await socket.send(json.dumps({"type": command, "payload": payload}))
    while True:
        message = json.loads(await socket.recv())
        greets = message["type"] == "connected" and command == "authenticate"
        if message["type"] in ANSWERS or (greets and "scope" in message["data"]):
            return message


ROWS: Final = """
import hashlib
from datetime import timedelta
from uuid import UUID
from django.contrib.auth.models import User
from django.utils import timezone
from chat.models import AccessToken, Session, SessionShare
make = User.objects.create_user
owner, reader, asker, _ = [
    make(name, password="a secret") for name in ("owner", "reader", "asker", "other")
]
make("staff", password="a secret", is_staff=True, is_superuser=True)
def token(name, scope="admin", **fields):
    digest = hashlib.sha256(("rst_" + name).encode()).hexdigest()
    AccessToken.objects.create(user=owner, scope=scope, digest=digest, **fields)
past = timezone.now() - timedelta(minutes=1)
for scope in ("read", "ask", "admin"):
    token(scope, scope)
token("expired", expires_at=past)
token("revoked", revoked_at=past)
token("spare", id=999)
for number, _ in enumerate({people}):
    hers = Session.objects.create(id=UUID(int=2 * number + 1), owner=owner)
    SessionShare.objects.create(session=hers, user=reader, right="read")
    SessionShare.objects.create(session=hers, user=asker, right="ask")
    Session.objects.create(id=UUID(int=2 * number + 2), guest_key="{key}")
"""


def table(places: Places) -> str:
    """Everything tried by everybody, as Markdown."""
    lines = [
        f"| | {' | '.join(PEOPLE)} |",
        f"|---|{'---|' * len(PEOPLE)}",
    ]
    whose = {"the owner's": 1, "the guest's": 2}
    for name, offset in whose.items():
        for command in COMMANDS:
            cells = asyncio.run(places.all_say(command, offset))
            lines.append(f"| `{command}`, {name} | {' | '.join(cells)} |")
    rows = [row for rows in ROUTES.values() for row in rows]
    for row in rows:
        for name, offset in whose.items():
            if "{id}" not in row[1] and offset > 1:
                continue
            cells = [
                places.ask(who, row, UUID(int=2 * number + offset))
                for number, who in enumerate(PEOPLE)
            ]
            what = f"{row[0]} {row[1]}".replace("{id}", "…")
            of = f", {name}" if "{id}" in row[1] else ""
            lines.append(f"| `{what}`{of} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_every_route_and_every_command_has_its_row() -> None:
    assert {str(each.pattern) for each in urlpatterns} == set(ROUTES)
    assert set(_COMMANDS) == set(COMMANDS)


def test_everybody_may_what_the_table_says(
    site: Site, pytestconfig: pytest.Config
) -> None:
    found = table(Places(site))
    if pytestconfig.getoption("--write-access"):
        text = TABLE.read_text("utf-8").partition("\n| | owner |")[0]
        TABLE.write_text(f"{text}\n{found}\n", "utf-8")
    _, _, told = TABLE.read_text("utf-8").partition("\n| | owner |")
    assert found.splitlines() == f"| | owner |{told}".strip().splitlines(), found
    assert "Traceback" not in site.log_text


def test_a_share_that_ends_or_narrows_does_so_on_every_screen(
    site: Site, static_root: Path, tmp_path: Path
) -> None:
    """On another process too, which no signal reaches."""
    session_id = UUID(int=10**6)
    code = (
        "from uuid import UUID\n"
        "from django.contrib.auth.models import User\n"
        "from chat.models import Session\n"
        "make = User.objects.create_user\n"
        "ada, _ = [make(name, password='a secret') for name in ('ada', 'bob')]\n"
        f"Session.objects.create(id=UUID('{session_id}'), owner=ada)"
    )
    site.manage("shell", "-v0", "-c", code)
    people = {}
    for name in ("ada", "bob"):
        people[name] = person = Person(site.url)
        person.open(f"{site.url}/sign-in")
        person.submit(f"{site.url}/sign-in", username=name, password="a secret")
    settings: dict[str, Any] = site.settings | {"STATIC_ROOT": static_root}
    with ExitStack() as stack:
        other = stack.enter_context(Site(tmp_path, **settings))

        def share(right: str | None) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
            connection.request(
                "PUT" if right else "DELETE",
                f"/api/sessions/{session_id}/shares/bob",
                json.dumps({"right": right}) if right else None,
                {
                    "Cookie": people["ada"].cookie,
                    "X-CSRFToken": people["ada"].cookie_named("csrf"),
                },
            )
            assert connection.getresponse().status == 204
            connection.close()

        async def try_all() -> None:
            await asyncio.to_thread(share, "ask")
            async with people["bob"].watch([other.url], session_id) as viewer:
                viewer.ask("Hello", "id-1")
                await viewer.until(lambda: viewer.accepted, 20, "asked together")
                await asyncio.to_thread(share, "read")
                await viewer.until(lambda: viewer.connections > 1, 20, "back again")
                await viewer.send("chat", message="More")
                await viewer.until(
                    lambda: viewer.errors[-1:] and refused(viewer.errors), 20, "refused"
                )
                await asyncio.to_thread(share, None)
                await viewer.until(lambda: 4404 in viewer.closes, 20, "not there")

        def refused(errors: list[dict[str, Any]]) -> bool:
            return any(error["code"] == "forbidden" for error in errors)

        asyncio.run(try_all())


def test_who_owns_a_session_may_all_and_others_what_it_is_shared_for() -> None:
    facts = SessionFacts(1, "", "title", "agent")
    ada, bob, guest = Identity(1, ""), Identity(2, ""), Identity(None, "key")
    assert rights(ada, facts) == set(Act)
    assert rights(bob, facts, "ask") == {Act.READ, Act.ASK}
    assert rights(bob, facts, "read") == {Act.READ}
    assert rights(guest, None) == {Act.READ, Act.ASK}
    assert not rights(guest, facts)
    assert not rights(Identity(None, ""), SessionFacts(None, "", "", ""))
    for who in (bob, guest):
        with pytest.raises(NotYoursError):
            require(who, Act.READ, facts)
    with pytest.raises(NotAllowedError):
        require(bob, Act.ASK, facts, "read")
    with pytest.raises(NotYoursError):
        require(guest, Act.MANAGE, SessionFacts(None, "", "", ""))
