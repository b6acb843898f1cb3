"""The page of one's tokens: each is shown once, and can be revoked."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from chat.auth import tokens
from chat.models import AccessToken
from chat.programs.tokens import MAX_TOKENS

pytestmark = pytest.mark.django_db

PAGE = "/account/tokens"


@pytest.fixture
def ada(client: Client) -> User:
    user = User.objects.create_user("ada")
    client.force_login(user)
    return user


def make(client: Client, **fields: str) -> str:
    """What the page says to a wish for a token."""
    wish = {"name": "ci", "scope": "ask", "days": "30"} | fields
    return client.post(PAGE, wish).content.decode()


def test_a_token_is_shown_once(client: Client, ada: User) -> None:
    (token,) = re.findall(r"rst_[\w-]{43}", make(client))
    visitor = tokens.admit(token, "1.1.1.1")
    assert visitor is not None
    assert (visitor.who.user_id, visitor.who.scope) == (ada.pk, "ask")
    page = client.get(PAGE)
    assert token not in page.content.decode()
    assert token[:10] in page.content.decode()
    assert "no-store" in page["Cache-Control"]


def test_it_ends_when_it_was_wished(client: Client, ada: User) -> None:
    make(client)
    make(client, days="", name="for ever")
    token, for_ever = AccessToken.objects.filter(user=ada).order_by("id")
    assert token.expires_at is not None
    left = token.expires_at - timezone.now()
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    assert for_ever.expires_at is None


@pytest.mark.parametrize("wrong", [{"name": ""}, {"scope": "all"}, {"days": "1000"}])
def test_what_makes_no_sense_makes_no_token(
    client: Client, ada: User, wrong: dict[str, str]
) -> None:
    assert 'role="alert"' in make(client, **wrong)
    assert not AccessToken.objects.filter(user=ada).exists()


def test_revoked_it_opens_nothing_and_is_not_listed(client: Client, ada: User) -> None:
    (token,) = re.findall(r"rst_[\w-]{43}", make(client))
    row = AccessToken.objects.get(user=ada)
    answer = client.post(f"{PAGE}/{row.pk}/revoke")
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    assert tokens.admit(token, "1.1.1.1") is None
    assert token[:10] not in client.get(PAGE).content.decode()
    assert client.post(f"{PAGE}/{row.pk}/revoke").status_code == 404


def test_nobody_sees_or_revokes_anothers(client: Client, ada: User) -> None:
    bob = User.objects.create_user("bob")
    token = tokens.add(bob.pk, name="bobs", scope="read")
    assert "bobs" not in client.get(PAGE).content.decode()
    number = AccessToken.objects.get(user=bob).pk
    assert client.post(f"{PAGE}/{number}/revoke").status_code == 404
    assert tokens.admit(token, "1.1.1.1")


def test_nobody_has_tokens_without_end(client: Client, ada: User) -> None:
    for number in range(MAX_TOKENS):
        tokens.add(ada.pk, name=f"{number}", scope="read")
    assert "Revoke one first" in make(client)
    assert AccessToken.objects.filter(user=ada).count() == MAX_TOKENS


def test_staff_see_whose_tokens_there_are_and_end_them(admin_client: Client) -> None:
    bob = User.objects.create_user("bob")
    token = tokens.add(bob.pk, name="bobs", scope="read")
    row = AccessToken.objects.get(user=bob)
    address = "/admin/chat/accesstoken/"
    page = admin_client.get(address).content.decode()
    assert "bobs" in page
    assert row.digest not in page
    assert (
        row.digest
        not in admin_client.get(f"{address}{row.pk}/change/").content.decode()
    )
    chosen = {"action": "revoke", "_selected_action": str(row.pk)}
    assert admin_client.post(address, chosen).status_code == 302
    assert tokens.admit(token, "1.1.1.1") is None
    found = admin_client.get(f"{address}?digest__startswith=a")
    assert found.status_code == 400
