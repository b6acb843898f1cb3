"""Who comes in: users and guests, known again, and never taken for somebody new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session as CookieSession
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from chat import store
from chat.auth import visitors
from chat.auth.guests import FORMER_COOKIE, GUEST_KEY, Guest
from chat.auth.tickets import Ticket, ended
from chat.models import FormerGuest, Run, Session
from chat.store import Identity
from tests.rows import ask, log_of, running_run

pytestmark = pytest.mark.django_db

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
YEAR = 365 * 24 * 3600
START = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def browser() -> Client:
    return Client(headers=BROWSER)


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="secret")


def scope(cookies: SimpleCookie | dict[str, str], claim: str = "") -> dict[str, Any]:
    """A handshake with these cookies, of a page rendered for whom `claim` says."""
    pairs = [
        f"{name}={getattr(value, 'value', value)}" for name, value in cookies.items()
    ]
    return {
        "headers": [(b"cookie", "; ".join(pairs).encode())] if pairs else [],
        "query_string": f"for={claim}".encode() if claim else b"",
        "client": ("203.0.113.7", 1234),
    }


def entered(cookies: SimpleCookie | dict[str, str], claim: str = "") -> Identity | None:
    visitor = visitors.of_scope(scope(cookies, claim))
    return None if visitor is None else visitor.who


def guest(browser: Client) -> Identity:
    """Who the browser is after opening the page."""
    assert browser.get("/").status_code == 200
    key = Guest(values(browser.cookies)).key
    assert key
    return Identity(None, key)


def values(cookies: SimpleCookie) -> dict[str, str]:
    return {name: morsel.value for name, morsel in cookies.items()}


def claimed(browser: Client) -> str:
    """What the page's socket will say of the person."""
    path = browser.get("/").context["config"]["ws_path"]
    return str(path.partition("?for=")[2])


# ---------------------------------------------------------------- guests


def test_a_browser_that_opens_the_page_is_known_from_then_on(browser: Client) -> None:
    who = guest(browser)
    assert guest(browser) == who
    assert entered(browser.cookies) == who


@pytest.mark.parametrize("path", ["/", f"/chat/{UUID(int=1)}", "/api/sessions"])
@pytest.mark.parametrize("accept", [None, "*/*", "application/json"])
def test_what_is_no_browser_leaves_no_session_behind(
    client: Client, path: str, accept: str | None
) -> None:
    headers = {"accept": accept} if accept else {}
    assert client.get(path, headers=headers).status_code == 200
    assert client.head(path, headers=BROWSER).status_code in {200, 405}
    assert not CookieSession.objects.exists()


def test_a_page_that_is_not_there_gives_no_cookie(browser: Client) -> None:
    session_id = uuid4()
    ask(session_id)
    assert browser.get(f"/chat/{session_id}").status_code == 404
    assert settings.GUEST_COOKIE_NAME not in browser.cookies


def test_who_opens_the_page_costs_no_row_however_often(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(50):
        browser = Client(headers=BROWSER)
        with django_assert_num_queries(1):  # for the chat that is not there
            browser.get("/")
        assert guest(browser).guest_key
    assert not CookieSession.objects.exists()
    assert not FormerGuest.objects.exists()


def test_a_guest_is_known_for_a_year_since_the_last_visit(browser: Client) -> None:
    with time_machine.travel(START, tick=False) as clock:
        who = guest(browser)
        given = browser.cookies[settings.GUEST_COOKIE_NAME]
        assert given["max-age"] == YEAR
        assert given["httponly"]
        first = given.value
        clock.shift(timedelta(hours=23))
        browser.get("/")
        assert browser.cookies[settings.GUEST_COOKIE_NAME].value == first
        clock.shift(timedelta(hours=2))
        browser.get("/api/sessions")
        assert browser.cookies[settings.GUEST_COOKIE_NAME].value != first
        clock.shift(timedelta(days=364))
        assert guest(browser) == who
        clock.shift(timedelta(days=366))
        assert entered(browser.cookies) is None


def test_a_cookie_that_the_site_has_not_signed_is_nobodys(browser: Client) -> None:
    who = guest(browser)
    name = settings.GUEST_COOKIE_NAME
    signed = browser.cookies[name].value
    for forged in (who.guest_key, signed[:-1], "x" + signed, "a:b:c", ":", "é"):
        assert entered({name: forged}) is None
        browser.cookies[name] = forged
        assert browser.get("/api/sessions").status_code == 401


def test_guests_of_before_keep_their_chats(browser: Client) -> None:
    """As they were known until November 2026, by Django's session cookie."""
    session = SessionStore()
    session[GUEST_KEY] = "a-key-of-before"
    session.create()
    who, session_id = Identity(None, "a-key-of-before"), uuid4()
    ask(session_id, who)
    browser.cookies[FORMER_COOKIE] = session.session_key or ""
    assert entered(browser.cookies, "guest") == who
    assert browser.get(f"/chat/{session_id}").status_code == 200
    del browser.cookies[FORMER_COOKIE]  # as when another Django takes it
    assert browser.get(f"/chat/{session_id}").status_code == 200
    assert guest(browser) == who


def test_the_cookie_of_another_django_on_the_host_is_nothing(browser: Client) -> None:
    browser.cookies[FORMER_COOKIE] = "of-another-site"
    assert browser.get(f"/chat/{uuid4()}").status_code == 200
    who = guest(browser)
    browser.cookies[FORMER_COOKIE] = "of-another-site-later"
    assert guest(browser) == who
    assert entered(browser.cookies) == who


def test_a_socket_without_a_cookie_is_a_guest_of_its_own() -> None:
    first, second = entered({}), entered({})
    assert first is not None
    assert second is not None
    assert first.guest_key != second.guest_key


# ---------------------------------------------------------------- who was somebody


def test_a_session_that_is_no_more_is_not_a_new_guest(browser: Client) -> None:
    FormerGuest.objects.create(key=guest(browser).guest_key)
    for claim in ("", "guest", "1"):
        assert entered(browser.cookies, claim) is None
    for name in (settings.SESSION_COOKIE_NAME, settings.GUEST_COOKIE_NAME):
        assert entered({name: "nonsense"}) is None
        assert entered({name: ""}) is not None


def test_who_was_known_must_sign_in_to_open_a_chat(browser: Client) -> None:
    browser.cookies[settings.SESSION_COOKIE_NAME] = "of-yesterday"
    for path in (f"/chat/{uuid4()}", f"/chat/{uuid4()}"):
        answer = browser.get(path)
        assert answer.status_code == 302
        assert answer["Location"].endswith(f"?next={path}")
        browser.cookies[settings.SESSION_COOKIE_NAME] = "of-yesterday"
    assert browser.get("/api/sessions").status_code == 401
    browser.cookies[settings.SESSION_COOKIE_NAME] = "of-yesterday"
    guest(browser)  # a new chat can be begun by anybody
    assert browser.get(f"/chat/{uuid4()}").status_code == 200


def test_a_page_says_for_whom_it_is(browser: Client, ada: User) -> None:
    assert claimed(Client()) == ""
    assert claimed(browser) == "guest"
    browser.force_login(ada)
    assert claimed(browser) == str(ada.pk)


def test_a_page_never_acts_for_somebody_else(browser: Client, ada: User) -> None:
    bob = User.objects.create_user("bob")
    assert entered({}, "guest") is None
    assert entered({}, str(ada.pk)) is None
    key = guest(browser)
    assert entered(browser.cookies, "guest") == key
    assert entered(browser.cookies, str(ada.pk)) is None
    browser.force_login(ada)
    who = Identity(ada.pk, "")
    assert entered(browser.cookies, str(ada.pk)) == who
    assert entered(browser.cookies, "guest") == who  # whose chats are hers now
    assert entered(browser.cookies) == who
    assert entered(browser.cookies, str(bob.pk)) is None
    assert entered(browser.cookies, "nonsense") is None


def test_a_claim_opens_no_door(ada: User) -> None:
    assert entered({}, str(ada.pk)) is None
    who = entered({}, "")
    assert who is not None
    assert who.user_id is None


@pytest.mark.parametrize("change", ["password", "deactivated", "deleted"])
def test_a_user_who_may_not_any_more_is_not_a_guest(
    browser: Client, ada: User, change: str
) -> None:
    guest(browser)
    browser.force_login(ada)
    match change:
        case "password":
            ada.set_password("another")
            ada.save()
        case "deactivated":
            ada.is_active = False
            ada.save()
        case _:
            ada.delete()
    assert entered(browser.cookies) is None
    assert browser.get(f"/chat/{uuid4()}").status_code == 302
    new = guest(browser)
    assert entered(browser.cookies) == new


def test_without_guests_only_users_come_in(
    browser: Client, ada: User, settings: Settings
) -> None:
    guest(browser)
    settings.ALLOW_GUESTS = False
    assert entered(browser.cookies) is None
    assert entered({}) is None
    browser.force_login(ada)
    assert entered(browser.cookies) == Identity(ada.pk, "")


def test_a_visitor_has_a_ticket_that_can_be_checked(browser: Client, ada: User) -> None:
    guest(browser)
    visitor = visitors.of_scope(scope(browser.cookies))
    assert visitor is not None
    key = guest(browser).guest_key
    assert visitor.ticket == Ticket(guest_key=key)
    assert ended({visitor.ticket}) == set()
    browser.force_login(ada)
    browser.get("/")
    assert ended({visitor.ticket}) == {visitor.ticket}
    visitor = visitors.of_scope(scope(browser.cookies))
    assert visitor is not None
    assert visitor.ticket is not None
    assert visitor.ticket.user_id == ada.pk
    assert ended({visitor.ticket}) == set()
    browser.logout()
    assert ended({visitor.ticket}) == {visitor.ticket}
    visitor = visitors.of_scope(scope({}))
    assert visitor is not None
    assert visitor.ticket is None


# ---------------------------------------------------------------- signing in


def test_a_guests_chats_are_the_users_after_signing_in(
    browser: Client, ada: User
) -> None:
    who, user = guest(browser), Identity(ada.pk, "")
    run = running_run(who=who)
    deleted, others = uuid4(), uuid4()
    ask(deleted, who)
    store.delete_session(deleted, who)
    ask(others, Identity(None, "somebody else's"))
    browser.force_login(ada)
    listed = browser.get("/api/sessions").json()["sessions"]
    assert [each["session_id"] for each in listed] == [str(run.session_id)]
    assert store.restore_session(deleted, user).owner == ada
    assert list(store.sessions_of(who)) == []
    assert Session.objects.get(id=others).owner is None
    # The run goes on: same process, same epoch, nothing written.
    assert Run.objects.get(id=run.pk).epoch == run.epoch
    log_of(run.pk)


def test_what_a_guests_open_socket_said_meanwhile_is_the_users_too(
    browser: Client, ada: User
) -> None:
    who = guest(browser)
    browser.force_login(ada)
    late = uuid4()
    browser.get("/")
    ask(late, who)
    assert browser.get(f"/chat/{late}").status_code == 200


def test_who_signs_out_is_nobody(browser: Client, ada: User) -> None:
    guest(browser)
    browser.force_login(ada)
    browser.get("/")
    cookies = SimpleCookie(browser.cookies.output(header=""))
    browser.logout()
    assert entered(cookies) is None
