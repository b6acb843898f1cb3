"""What operators do reaches people on every server: notices, closing, maintenance."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone
from msgspec import json

from chat import store
from chat.access import Identity
from chat.auth.tickets import Ticket
from chat.live.feed import Feed
from chat.live.outbox import Outbox
from chat.live.viewer import Viewer
from chat.models import AuditEntry, Census, Order, Process, Run
from chat.operating import Operating, Watching
from chat.store.database import db
from chat.store.directives import Connection, HangUp, Maintain, Notify, Report
from chat.wire.protocol import Notice
from tests.client import Person
from tests.conftest import StartSite
from tests.model_server import ModelServer
from tests.rows import IN_THREADS, ask, log_of, running_run
from tests.servers import Valkey

CONNECTIONS = "/admin/chat/census/"
OPERATE = "/admin/chat/order/"


class Socket:
    """A socket of somebody's, and what it was sent."""

    ticket: Ticket | None = None
    shared: store.Shared | None = None

    def __init__(self, user: int | None, name: str = "a socket") -> None:
        self.name = name
        self.since = 5.0
        self.said: list[Any] = []
        who = Identity(user, "" if user else "key")
        outbox = Outbox(self._send, max_chars=1000, on_broken=lambda _: None)
        feed = Feed(uuid4(), lambda: None)
        self.watching: Watching | None = Watching(
            feed, Viewer(who, outbox, lambda _: None)
        )

    async def _send(self, text: str) -> None:
        self.said.append(json.decode(text))

    async def hang_up(self, code: int) -> None:
        raise AssertionError(code)


class Here:
    """What one process does of what operators want."""

    def __init__(self, *sockets: Socket) -> None:
        self.sockets = sockets
        self.closed: list[str] = []
        self.maintenance: list[Notice | None] = []
        self.operating = Operating(
            sockets,
            lambda socket, code: self.closed.append(f"{socket.name} {code}"),
            self.maintenance.append,
            lambda: 7,
        )

    async def do(self, *directives: Any) -> None:
        for directive in directives:
            await db(store.direct, directive)
        await self.operating.check()


@IN_THREADS
async def test_a_notice_reaches_everybody_or_a_group_once() -> None:
    def make() -> tuple[User, Group]:
        group = Group.objects.create(name="team")
        ada = User.objects.create_user("ada")
        ada.groups.add(group)
        return ada, group

    ada, group = await db(make)
    hers, others, guests = Socket(ada.pk), Socket(ada.pk + 1), Socket(None)
    here = Here(hers, others, guests)
    arriving = Socket(None)
    arriving.watching = None  # not let in yet
    here.operating._sockets = [*here.sockets, arriving]
    await here.operating.check()
    await here.do(Notify("Hello"), Notify("Team", "warning", group.pk))
    await here.operating.check()
    hello = {"type": "notice", "data": {"text": "Hello", "level": "info"}}
    team = {"type": "notice", "data": {"text": "Team", "level": "warning"}}
    assert hers.said == [hello, team]
    assert others.said == guests.said == [hello]
    assert arriving.said == []


@IN_THREADS
async def test_a_process_that_begins_does_only_what_still_stands() -> None:
    socket = Socket(None)
    before = Here()
    await before.do(Maintain("Closed"), Notify("Old"), HangUp(connection="a socket"))
    here = Here(socket)
    await here.operating.check()
    assert (socket.said, here.closed) == ([], [])
    assert here.maintenance == [Notice("Closed")]
    await here.do(Maintain())
    assert here.maintenance == [Notice("Closed"), None]
    later = Here()
    await later.operating.check()
    assert later.maintenance == []


@IN_THREADS
async def test_connections_are_closed_by_user_or_by_name() -> None:
    here = Here(Socket(1, "one"), Socket(1, "two"), Socket(2, "three"))
    await here.operating.check()
    await here.do(HangUp(1))
    assert here.closed == ["one 4503", "two 4503"]
    await here.do(HangUp(connection="three"))
    assert here.closed[2:] == ["three 4503"]


@IN_THREADS
async def test_processes_report_who_is_connected_when_they_are_asked() -> None:
    await db(Process.objects.create, id=7, name="here", version="1", slots=1)
    socket = Socket(3, "one")
    here = Here(socket, Socket(None, "two"))
    await here.operating.check()
    await here.do(Report())
    (found,) = await db(store.reported)
    assert (found.process, found.total) == ("here (7)", 2)
    assert socket.watching is not None
    session = socket.watching.feed.session_id
    assert found.connections[0] == Connection(
        "one", 5.0, 3, session, is_classic=True, state="joining"
    )
    await db(Process.objects.all().delete)
    assert await db(store.reported) == []


@pytest.mark.django_db
def test_what_every_process_has_done_is_forgotten_but_not_what_stands() -> None:
    for directive in (Maintain("Closed"), Notify("Old"), Notify("New")):
        store.direct(directive)
    store.report(7, 0, [])
    long_ago = timezone.now() - timedelta(days=2)
    Order.objects.exclude(directive__text="New").update(at=long_ago)
    Census.objects.update(at=long_ago)
    store.forget_directives()
    left = Order.objects.order_by("id").values_list("directive__text", flat=True)
    assert list(left) == ["Closed", "New"]
    assert not Census.objects.exists()
    assert store.maintenance() == "Closed"


@pytest.mark.django_db
def test_who_may_operate_does_and_is_noted(client: Client) -> None:
    eve = User.objects.create_user("eve", is_staff=True)
    client.force_login(eve)
    for path in (CONNECTIONS, OPERATE):
        assert client.get(path).status_code == 403
        assert client.post(path, {"act": "close", "text": "x"}).status_code == 403
    eve.user_permissions.add(Permission.objects.get(codename="operate"))
    assert client.get(CONNECTIONS).status_code == 200
    assert client.post(CONNECTIONS, {"user": "x"}).status_code == 400
    assert client.post(CONNECTIONS, {"user": str(eve.pk)}).status_code == 302
    assert client.post(OPERATE, {"act": "close", "text": ""}).status_code == 200
    assert client.post(OPERATE, {"act": "close", "text": "Later"}).status_code == 302
    assert "Later" in client.get(OPERATE).content.decode()
    assert client.post(OPERATE, {"act": "open"}).status_code == 302
    assert client.post(OPERATE, {"act": "notify", "text": "Hello"}).status_code == 302
    entries = AuditEntry.objects.order_by("id").values_list("action", "actor", "user")
    assert list(entries) == [
        ("hung_up", eve.pk, eve.pk),
        ("closed", eve.pk, None),
        ("opened", eve.pk, None),
        ("notified", eve.pk, None),
    ]


@pytest.mark.django_db
def test_staff_stop_what_is_answered_and_what_waits(
    admin_client: Client, admin_user: User
) -> None:
    ada = User.objects.create_user("ada")
    who = Identity(ada.pk, "")
    run = running_run(who=who)
    ask(run.session_id, who)
    other = running_run(who=who)
    chosen = {"action": "stop", "_selected_action": [str(run.session_id)]}
    answer = admin_client.post("/admin/chat/session/", chosen, follow=True)
    assert "Stopped: 2." in answer.content.decode()
    ends = Run.objects.filter(session=run.session_id).order_by("number")
    assert list(ends.values_list("reason", flat=True)) == ["stopped", "withdrawn"]
    assert log_of(run.pk)[-1].seq == Run.objects.get(pk=run.pk).last_seq
    other.refresh_from_db()
    assert other.status == "running"
    entry = AuditEntry.objects.get(action="stopped")
    assert (entry.actor, entry.user, entry.count) == (admin_user.pk, ada.pk, 2)


async def test_operators_reach_who_is_on_another_server(
    start_site: StartSite, valkey: Valkey
) -> None:
    with ModelServer() as model:
        given: dict[str, Any] = {
            "LLM_BASE_URL": model.base_url,
            "LLM_MODEL": "hello",
            "REDIS_URL": valkey.url,
        }
        here, there = start_site(**given), start_site(**given)
        here.add_user("root", "a secret of root's", is_superuser=True)
        root = Person(here.url)
        root.open(f"{here.url}/sign-in")
        root.submit(
            f"{here.url}/sign-in", username="root", password="a secret of root's"
        )
        person = Person(there.url)
        async with person.watch([there.url]) as viewer:
            viewer.ask("[stream tokens=150 rate=50]")
            await viewer.until(lambda: viewer.text(1), 20, "an answer")
            await asyncio.to_thread(
                root.submit, f"{here.url}{OPERATE}", act="notify", text="Tea is ready"
            )
            await viewer.until(lambda: viewer.notices == ["Tea is ready"], 10)
            await asyncio.to_thread(
                root.submit, f"{here.url}{OPERATE}", act="close", text="Back soon"
            )
            await viewer.until(
                lambda: (viewer.session.get("notice") or {}).get("text") == "Back soon",
                20,
                "told there too",
            )
            asked = viewer.ask("More")
            await viewer.until(lambda: viewer.errors, 10, "refused")
            error = viewer.errors[-1]
            assert (error["code"], error["client_id"]) == ("model_unavailable", asked)
            assert (error["message"], error["retryable"]) == ("Back soon", True)
            await viewer.until(lambda: viewer.reason(1) == "answered", 20, "in peace")
            page = ""
            while str(viewer.session_id) not in page:
                page = await asyncio.to_thread(root.open, f"{here.url}{CONNECTIONS}")
            assert "guest" in page
            await asyncio.to_thread(root.submit, f"{here.url}{OPERATE}", act="open")
            name = page.split(str(viewer.session_id))[-1].split('name="connection"')[1]
            await asyncio.to_thread(
                root.submit,
                f"{here.url}{CONNECTIONS}",
                connection=name.split('value="')[1].split('"')[0],
            )
            await viewer.until(lambda: viewer.connections == 2, 10, "closed, and back")
            assert viewer.closes == [4503]
            await viewer.until(lambda: viewer.reason(2) == "answered", 20, "goes on")
