"""Whether what people were let in with still holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as CookieSession
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.access import Identity
from chat.auth import tokens
from chat.auth.tickets import Ticket, ended
from chat.models import AccessToken, FormerGuest, SessionShare
from chat.store import Shared
from tests.rows import queued_run

pytestmark = pytest.mark.django_db


def a_ticket(name: str, user: User) -> Ticket:
    """A cookie session for a day, and the ticket for it."""
    expires = timezone.now() + timedelta(days=1)
    CookieSession.objects.create(session_key=name, expire_date=expires)
    return Ticket(name, user.pk, user.get_session_auth_hash())


def a_token(name: str, user: User) -> Ticket:
    """A token of the user's, and the ticket of whom it lets in."""
    visitor = tokens.admit(tokens.add(user.pk, name=name, scope="read"), "1.1.1.1")
    assert visitor is not None
    assert visitor.ticket is not None
    return visitor.ticket


def test_whatever_ends_is_found_by_one_statement(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    users = [User.objects.create_user(f"{n}", password="secret") for n in range(6)]
    sessions = [a_ticket(f"user-{user}", user) for user in users]
    guests = [Ticket(guest_key=f"guest-{n}") for n in range(3)]
    programs = [a_token(f"{n}", users[5]) for n in range(3)]
    programs += [a_token("of one who is deactivated", users[1])]
    programs += [a_token("of one with another password", users[0])]
    session = queued_run(who=Identity(users[5].pk, "")).session
    shares = [Shared(session.pk, user.pk, "ask") for user in users[:3]]
    for share in shares:
        SessionShare.objects.create(
            session=session, user_id=share.user_id, right=share.right
        )
    everybody: set[Ticket | Shared] = {*sessions, *guests, *programs, *shares}
    with django_assert_num_queries(1):
        assert ended(everybody) == set()
    with django_assert_num_queries(1):
        assert ended({guests[0]}) == set()
    users[0].set_password("another")
    users[0].save()
    users[1].is_active = False
    users[1].save()
    CookieSession.objects.get(session_key="user-2").delete()
    past = timezone.now() - timedelta(seconds=1)
    CookieSession.objects.filter(session_key="user-3").update(expire_date=past)
    FormerGuest.objects.create(key="guest-0")
    AccessToken.objects.filter(name="0").update(revoked_at=past)
    AccessToken.objects.filter(name="1").update(expires_at=past)
    SessionShare.objects.filter(user=users[0]).delete()
    SessionShare.objects.filter(user=users[1]).update(right="read")
    users[4].delete()
    assert ended(everybody) == {
        *sessions[:5],
        guests[0],
        *programs[:2],
        programs[3],
        *shares[:2],
    }


def test_where_nobody_is_nothing_is_asked(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        assert ended(set()) == set()
