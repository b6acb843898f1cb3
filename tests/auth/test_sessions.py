"""How long a session lasts, and who is on the doorstep."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as CookieSession
from django.test import Client

from chat.auth.guests import Guest
from chat.auth.sessions import DOORSTEP_SECONDS, SessionStore
from chat.auth.visitors import of_scope

pytestmark = pytest.mark.django_db


def on_the_doorstep(browser: Client) -> None:
    """As with a second factor to come."""
    session = SessionStore()
    session["account_login"] = {}
    session.create()
    browser.cookies[settings.SESSION_COOKIE_NAME] = session.session_key or ""


def test_a_doorstep_is_for_an_hour() -> None:
    on_the_doorstep(Client())
    (row,) = CookieSession.objects.all()
    assert SessionStore(row.session_key).get_expiry_age() == DOORSTEP_SECONDS


def test_a_guest_on_the_doorstep_is_still_the_guest() -> None:
    """And who goes back to the chats has lost nothing, nor their place at the door."""
    browser = Client(headers={"accept": "text/html"})
    browser.get("/")
    name = settings.GUEST_COOKIE_NAME
    key = Guest({name: browser.cookies[name].value}).key
    on_the_doorstep(browser)
    assert browser.get(f"/chat/{uuid4()}").status_code == 200
    assert browser.get("/api/sessions").status_code == 200
    cookie = "; ".join(f"{n}={each.value}" for n, each in browser.cookies.items())
    visitor = of_scope({"headers": [(b"cookie", cookie.encode())], "client": ("a", 1)})
    assert visitor is not None
    assert visitor.who.guest_key == key
    assert "account_login" in browser.session


def test_who_comes_to_the_door_first_becomes_a_guest() -> None:
    browser = Client(headers={"accept": "text/html"})
    on_the_doorstep(browser)
    assert browser.get("/").status_code == 200
    assert settings.GUEST_COOKIE_NAME in browser.cookies
    assert "account_login" in browser.session


def test_who_was_signed_in_is_not_on_the_doorstep() -> None:
    ada = User.objects.create_user("ada")
    browser = Client(headers={"accept": "text/html"})
    browser.force_login(ada)
    CookieSession.objects.all().delete()
    assert browser.get("/api/sessions").status_code == 401
