"""What is kept of somebody can be taken away, and deleted without a trace."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import Any
from uuid import UUID

import pytest
from allauth.account.models import EmailAddress
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session as CookieSession
from django.test import AsyncClient, Client
from pytest_django import Settings

from chat import exports, store
from chat.auth.guests import Guest
from chat.models import AuditEntry, FormerGuest, Retention, Session
from chat.store import Identity, own_data
from tests.accounts.conftest import PASSWORD
from tests.client import Person
from tests.conftest import StartSite
from tests.model_server import ModelServer
from tests.rows import GUEST, IN_THREADS, answer, finish, running_run
from tests.servers import Site

DATA = "/account/data"
SURE = {"sure": "on"}


def chat(who: Identity, text: str) -> UUID:
    """A finished chat in which this was answered."""
    run = running_run(who=who)
    answer(run, text)
    finish(run)
    return run.session_id


def audited() -> list[tuple[object, ...]]:
    """The audit log, oldest first."""
    entries = AuditEntry.objects.order_by("id")
    return list(entries.values_list("action", "actor", "user", "count"))


@pytest.mark.django_db
def test_the_page_says_what_there_is_and_how_long_it_is_kept(
    browser: Client, ada: User, settings: Settings
) -> None:
    who = Identity(ada.pk, "")
    chat(who, "one"), chat(who, "two")
    store.delete_session(chat(who, "three"), who)
    browser.force_login(ada)
    text = " ".join(browser.get(DATA).content.decode().split())
    assert "3 chats</strong> here, 1 of them deleted" in text
    assert "kept until you delete them" in text
    settings.RETENTION_DAYS = 30
    assert "deleted 30 days after" in browser.get(DATA).content.decode()
    group = Group.objects.create(name="team")
    Retention.objects.create(group=group, days=1)
    ada.groups.add(group)
    assert "deleted 1 day after" in browser.get(DATA).content.decode()


@pytest.mark.django_db
def test_guests_have_such_a_page_too_and_nobody_signs_in(
    browser: Client, settings: Settings
) -> None:
    text = browser.get(DATA).content.decode()
    assert "You are a guest" in text
    assert 'href="/account/password"' not in text
    settings.ALLOW_GUESTS = False
    assert browser.get(DATA).headers["Location"].startswith("/sign-in")


async def exported(client: AsyncClient) -> list[Any]:
    response = await client.get(f"{DATA}/export")
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert "no-store" in response.headers["Cache-Control"]
    parts = [part async for part in response]  # type: ignore[attr-defined]
    return [json.loads(line) for line in b"".join(parts).splitlines()]


@IN_THREADS
async def test_all_chats_can_be_taken_away_and_come_back(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = Identity(ada.pk, "")

    def make() -> list[UUID]:
        chat(GUEST, "a stranger's")
        made = [chat(who, "one"), chat(who, "two")]
        store.delete_session(made[1], who)
        return made

    made = await asyncio.to_thread(make)
    client = AsyncClient()
    await client.aforce_login(ada)
    head, *chats = await exported(client)
    assert head["account"]["name"] == "ada"
    assert head["account"]["email"] == "ada@site.example"
    assert [each["session"]["session_id"] for each in chats] == [*map(str, made)]
    assert ["deleted" in each["session"] for each in chats] == [False, True]
    assert "stranger" not in json.dumps(chats)
    noted = await asyncio.to_thread(audited)
    assert noted == [("all_exported", ada.pk, None, None)]
    log = exports.read_json(json.dumps(chats[0]).encode())
    again = await asyncio.to_thread(store.import_session, who, log)
    monkeypatch.setattr(own_data, "MAX_EXPORT_CHARS", 1)
    await asyncio.to_thread(running_run, again.pk, who)
    *_, first, second = await exported(client)
    assert [first["runs"][0]["run"], second["runs"][0]["run"]] == [1, 2]
    assert first["session"] == second["session"]


@pytest.mark.django_db
def test_all_chats_go_when_somebody_is_sure(browser: Client, ada: User) -> None:
    who = Identity(ada.pk, "")
    others = chat(GUEST, "not hers")
    store.delete_session(chat(who, "one"), who)
    chat(who, "two")
    browser.force_login(ada)
    answer = browser.post(f"{DATA}/delete")
    assert answer.status_code == 400
    assert "Say that you are sure" in answer.content.decode()
    assert store.owned(who) == store.Owned(2, 1)
    assert browser.post(f"{DATA}/delete", SURE).status_code == 302
    assert list(Session.objects.values_list("id", flat=True)) == [others]
    assert "All your chats are deleted" in browser.get(DATA).content.decode()
    assert audited() == [("deleted", ada.pk, ada.pk, 2)]


@pytest.mark.django_db
def test_an_account_is_deleted_by_who_has_just_said_its_password(
    browser: Client, ada: User
) -> None:
    browser.force_login(ada)
    asked = browser.get("/account/delete")
    assert asked.headers["Location"] == "/sign-in/again?next=%2Faccount%2Fdelete"
    browser.post("/sign-in/again", {"password": PASSWORD})
    assert browser.get("/account/delete").status_code == 200
    assert browser.post("/account/delete").status_code == 400
    assert browser.post("/account/delete", SURE).status_code == 302
    assert not User.objects.exists()
    assert audited() == [("account_deleted", ada.pk, ada.pk, None)]


@pytest.mark.django_db
def test_the_only_administrator_stays(browser: Client, ada: User) -> None:
    ada.is_superuser = ada.is_staff = True
    ada.save()
    browser.force_login(ada)
    browser.post("/sign-in/again", {"password": PASSWORD})
    assert "only administrator" in browser.get("/account/delete").content.decode()
    browser.post("/account/delete", SURE)
    User.objects.get(pk=ada.pk)
    User.objects.create_superuser("zoe")
    browser.post("/account/delete", SURE)
    assert not User.objects.filter(pk=ada.pk).exists()


def dump(site: Site) -> str:
    """The whole database, as text."""
    path = site.settings["DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(path, timeout=20) as database:
        text = "\n".join(database.iterdump())
    database.close()
    return text


async def test_a_deleted_account_leaves_nothing_while_it_is_being_answered(
    start_site: StartSite,
) -> None:
    with ModelServer() as model:
        site = start_site(LLM_BASE_URL=model.base_url, LLM_MODEL="hello")
        site.add_user("lovelace", PASSWORD)
        ada = Person(site.url)
        guest_key = ada.cookie_named("guest").split(":")[0]
        async with ada.watch([site.url]) as here:
            here.ask("Said as a guest")
            await here.until(lambda: here.reason(1), 20)
        ada.open(f"{site.url}/sign-in")
        ada.submit(f"{site.url}/sign-in", username="lovelace", password=PASSWORD)
        async with ada.watch([site.url]) as here, ada.watch([site.url]) as done:
            done.ask("A question of hers")
            await done.until(lambda: done.reason(1), 20)
            here.ask("[stream tokens=100000 rate=50]")
            await here.until(lambda: here.text(1), 20)
            traces = (
                *("lovelace", "A question of hers", "Said as a guest"),
                *(guest_key, str(here.session_id), here.session_id.hex, "tokens="),
            )
            assert [trace for trace in traces if trace in dump(site)]
            ada.submit(f"{site.url}/sign-in/again", password=PASSWORD)
            ada.submit(f"{site.url}/account/delete", sure="on")
            await here.until(lambda: here.closes, 10)
            await done.until(lambda: done.closes, 10)
            assert (here.closes[0], done.closes[0]) == (4404, 4404)
            running = [r for r in model.requests() if not r["finished_at"]]
            assert all(r["closed_by_client_at"] for r in running)
        text = dump(site)
    assert [trace for trace in traces if trace in text] == []
    for table in ("chat_session", "chat_run", "chat_event", "chat_step"):
        assert site.rows(f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608
    for trace in ("lovelace", "A question of hers", "Said as a guest"):
        assert trace not in site.log_text


@pytest.mark.django_db
def test_what_else_was_kept_of_somebody_goes_with_the_account(
    browser: Client, ada: User, client: Client
) -> None:
    """Mail addresses, cookies of all browsers, guests' keys, the admin's notes."""
    EmailAddress.objects.create(user=ada, email=ada.email)
    zoe = User.objects.create_user("zoe")
    LogEntry.objects.create(
        user=zoe,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(ada.pk),
        object_repr="ada",
        action_flag=CHANGE,
    )
    key = Guest({}).begin()
    FormerGuest.objects.create(key=key)
    session = browser.session
    browser.force_login(ada)
    session = browser.session
    session["guest_key"] = key
    session.save()
    Client().force_login(ada)
    client.force_login(zoe)
    browser.post("/sign-in/again", {"password": PASSWORD})
    browser.post("/account/delete", SURE)
    assert list(User.objects.all()) == [zoe]
    assert not EmailAddress.objects.exists()
    assert not LogEntry.objects.exists()
    assert not FormerGuest.objects.exists()
    assert [s.get_decoded()["_auth_user_id"] for s in CookieSession.objects.all()] == [
        str(zoe.pk)
    ]
