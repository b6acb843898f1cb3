"""Who runs the site comes in by the site's own door, for hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db

START = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("zoe", password=PASSWORD)


def sign_in(client: Client, **fields: str) -> Any:
    return client.post("/sign-in", {"username": "zoe", "password": PASSWORD, **fields})


def test_the_admin_has_no_door_of_its_own(browser: Client, staff: User) -> None:
    answer = browser.get("/admin/chat/run/", follow=True)
    assert answer.request["PATH_INFO"] == "/sign-in"
    assert answer.context["next"] == "/admin/chat/run/"
    fields = {"username": "zoe", "password": PASSWORD, "next": "/admin/"}
    refused = browser.post("/admin/login/", fields)
    assert refused.headers["Location"].startswith("/sign-in")
    assert browser.get("/admin/").status_code == 302
    assert sign_in(browser, next="/admin/").headers["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200
    changed = browser.get("/admin/password_change/")
    assert changed.headers["Location"] == "/account/password"


def test_who_is_not_of_the_staff_is_told_so(browser: Client, ada: User) -> None:
    browser.force_login(ada)
    answer = browser.get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "ada has no right to" in answer.content.decode()


def test_staff_sign_in_for_hours_and_others_for_a_year(
    browser: Client, staff: User, ada: User, settings: Settings
) -> None:
    """However often they come, and whatever they do."""
    settings.STAFF_SESSION_HOURS = 12
    other = Client()
    with time_machine.travel(START, tick=False) as clock:
        answer = sign_in(browser)
        cookie = answer.cookies[settings.SESSION_COOKIE_NAME]
        assert cookie["max-age"] == 12 * 3600
        other.post("/sign-in", {"username": "ada", "password": PASSWORD})
        for _ in range(11):
            clock.shift(timedelta(hours=1))
            assert browser.get("/").context["user"].is_staff
            assert browser.get("/admin/").status_code == 200
        clock.shift(timedelta(hours=1))
        assert not browser.get("/").context["user"].is_authenticated
        clock.shift(timedelta(days=364))
        assert other.get("/").context["user"].is_authenticated


def test_who_joins_the_staff_does_not_stay_for_a_year(
    browser: Client, ada: User, settings: Settings
) -> None:
    browser.force_login(ada)
    with time_machine.travel(START, tick=False):
        browser.get("/")
        assert browser.session.get_expiry_age() == settings.SESSION_COOKIE_AGE
        ada.is_staff = True
        ada.save()
        assert browser.get("/admin/").status_code == 200
        assert browser.session.get_expiry_age() == settings.STAFF_SESSION_HOURS * 3600
