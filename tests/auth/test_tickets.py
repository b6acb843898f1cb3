"""Whether what people were let in with still holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as CookieSession
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.auth.tickets import Ticket, invalid_tickets
from chat.models import FormerGuest

pytestmark = pytest.mark.django_db


def a_ticket(name: str, user: User) -> Ticket:
    """A cookie session for a day, and the ticket for it."""
    expires = timezone.now() + timedelta(days=1)
    CookieSession.objects.create(session_key=name, expire_date=expires)
    return Ticket(name, user.pk, user.get_session_auth_hash())


def test_tickets_hold_while_session_user_and_password_do(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    users = [User.objects.create_user(f"{n}", password="secret") for n in range(6)]
    tickets = [a_ticket(f"user-{user}", user) for user in users]
    guests = [Ticket(guest_key=f"guest-{n}") for n in range(3)]
    everybody = {*tickets, *guests}
    with django_assert_num_queries(3):
        assert invalid_tickets(everybody) == set()
    users[0].set_password("another")
    users[0].save()
    users[1].is_active = False
    users[1].save()
    users[2].delete()
    CookieSession.objects.get(session_key="user-3").delete()
    past = timezone.now() - timedelta(seconds=1)
    CookieSession.objects.filter(session_key="user-4").update(expire_date=past)
    FormerGuest.objects.create(key="guest-0")
    assert invalid_tickets(everybody) == {*tickets[:5], guests[0]}


def test_guests_alone_cost_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    guest = Ticket(guest_key="guest")
    with django_assert_num_queries(1):
        assert invalid_tickets({guest}) == set()
