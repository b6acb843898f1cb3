"""Tokens let programs in, and nothing but what they are good for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.access import Identity, Scope
from chat.auth import tokens
from chat.auth.bearers import bearer
from chat.auth.guessing import FREE_BY_NAME, TooManyGuessesError
from chat.models import AccessToken
from tests.rows import queued_run

pytestmark = pytest.mark.django_db

SESSIONS = "/api/sessions"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="a secret of hers")


def a_token(user: User, scope: Scope = "read") -> str:
    return tokens.add(user.pk, name="for a test", scope=scope)


def headers(token: str) -> dict[str, Any]:
    """Of a request from an address of its own: guesses are counted by address."""
    address = f"2001:db8:{uuid4().hex[:4]}::1"
    return {"HTTP_AUTHORIZATION": f"Bearer {token}", "REMOTE_ADDR": address}


def test_a_token_lets_in_whose_it_is_with_its_scope(ada: User) -> None:
    visitor = tokens.admit(a_token(ada, "ask"), "1.1.1.1")
    assert visitor is not None
    assert visitor.who == Identity(ada.pk, "", "ask")
    assert visitor.who.person == Identity(ada.pk, "")


def test_nothing_that_is_kept_is_the_token(ada: User) -> None:
    token = a_token(ada)
    row = AccessToken.objects.filter(user=ada).values().get()
    assert token.startswith(row["prefix"])
    assert len(row["prefix"]) < 16 < len(token)
    assert not any(token in str(value) for value in row.values())


def test_what_has_ended_lets_nobody_in_and_is_no_guess(ada: User) -> None:
    past = timezone.now() - timedelta(seconds=1)
    ends = ({"expires_at": past}, {"revoked_at": past})
    for end in ends:
        token = a_token(ada)
        AccessToken.objects.filter(prefix=token[:10]).update(**end)
        for _ in range(2 * FREE_BY_NAME):
            assert tokens.admit(token, "2001:db8:1::") is None
    token = a_token(ada)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert tokens.admit(token, "2001:db8:1::") is None


def test_who_guesses_waits_and_others_at_the_address_do_not(ada: User) -> None:
    token = a_token(ada)
    for _ in range(FREE_BY_NAME):
        assert tokens.admit("rst_wrong", "2001:db8:2::1") is None
    with pytest.raises(TooManyGuessesError):
        tokens.admit("rst_wrong", "2001:db8:2::2")
    assert tokens.admit(token, "2001:db8:2::1")


def test_that_it_was_used_is_seldom_written(
    ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    token = a_token(ada)
    with time_machine.travel("2026-01-01T00:00Z", tick=False) as clock:
        with django_assert_num_queries(2):
            tokens.admit(token, "1.1.1.1")
        clock.shift(timedelta(minutes=9))
        with django_assert_num_queries(1):
            tokens.admit(token, "1.1.1.1")
        clock.shift(timedelta(minutes=2))
        tokens.admit(token, "1.1.1.1")
        assert AccessToken.objects.get(user=ada).last_used_at == timezone.now()


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer rst_a", "rst_a"),
        ("bearer  rst_a ", "rst_a"),
        ("Bearer", ""),
        ("Basic YTpi", None),
        ("", None),
    ],
)
def test_the_header_is_read_as_others_read_it(header: str, token: str | None) -> None:
    assert bearer(header) == token


# ---------------------------------------------------------------- over HTTP


def test_a_program_needs_no_csrf_token_and_gets_no_cookie(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("bob"))
    path = f"{SESSIONS}/{uuid4()}/restore"
    assert client.post(path).status_code == 403  # with a cookie it does
    response = client.post(path, **headers(a_token(ada, "admin")))
    assert response.status_code == 404
    assert not response.cookies
    assert "Set-Cookie" not in response.headers


def test_a_token_counts_and_a_cookie_beside_it_does_not(
    ada: User, client: Client
) -> None:
    mine = str(queued_run(who=Identity(ada.pk, "")).session_id)
    bob = User.objects.create_user("bob")
    client.force_login(bob)

    def listed(**extra: Any) -> list[str]:
        response = client.get(SESSIONS, **extra)
        assert response.status_code == 200
        return [each["session_id"] for each in response.json()["sessions"]]

    assert listed() == []
    assert listed(**headers(a_token(ada))) == [mine]
    assert listed() == []  # and it is forgotten with its request
    refused = client.get(SESSIONS, **headers("rst_unknown"))
    assert refused.status_code == 401
    assert refused["WWW-Authenticate"] == "Bearer"


def test_pages_take_no_tokens(ada: User, client: Client) -> None:
    client.force_login(User.objects.create_user("bob"))
    page = client.get("/", **headers(a_token(ada, "admin")))
    assert b"bob" in page.content
    assert b"ada" not in page.content
    assert Client().get("/admin/", **headers(a_token(ada))).status_code == 302


def test_the_sixth_wrong_token_is_told_when_to_come_back(client: Client) -> None:
    sent = headers("rst_wrong")
    for _ in range(FREE_BY_NAME):
        assert client.get(SESSIONS, **sent).status_code == 401
    refused = client.get(SESSIONS, **sent)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 5
    assert refused.json()["error"]["code"] == "rate_limited"


def test_no_address_takes_a_token(ada: User, client: Client, settings: Any) -> None:
    settings.ALLOW_GUESTS = False
    token = a_token(ada)
    for name in ("token", "access_token", "bearer", "authorization"):
        assert client.get(f"{SESSIONS}?{name}={token}").status_code == 401
