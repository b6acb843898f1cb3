"""What people were let in with, and whether that still holds."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session as CookieSession
from django.utils import timezone
from msgspec import Struct

from chat.store import former_guests


class Ticket(Struct, frozen=True):
    """A user's cookie session and their password's hash then; or a guest's key."""

    session_key: str = ""
    user_id: int | None = None
    auth_hash: str = ""
    guest_key: str = ""


def invalid_tickets(tickets: AbstractSet[Ticket]) -> set[Ticket]:
    """Those whose session is over, or whose user may not come in (so) any more."""
    users = {ticket for ticket in tickets if ticket.user_id is not None}
    guests = tickets - users
    former = former_guests({ticket.guest_key for ticket in guests})
    over = {ticket for ticket in guests if ticket.guest_key in former}
    if users:
        alive, hashes = _sessions(users), _auth_hashes(users)
        over |= {
            ticket
            for ticket in users
            if ticket.session_key not in alive
            or (ticket.user_id, ticket.auth_hash) not in hashes
        }
    return over


def _sessions(tickets: AbstractSet[Ticket]) -> set[str]:
    """The keys of those sessions that are not over."""
    keys = [ticket.session_key for ticket in tickets]
    sessions = CookieSession.objects.filter(
        session_key__in=keys, expire_date__gt=timezone.now()
    )
    return set(sessions.values_list("session_key", flat=True))


def _auth_hashes(tickets: AbstractSet[Ticket]) -> set[tuple[int | None, str]]:
    """Users who may come in, with today's hash."""
    user_ids = {ticket.user_id for ticket in tickets if ticket.user_id is not None}
    users = get_user_model().objects.filter(pk__in=user_ids, is_active=True)
    return {(user.pk, user.get_session_auth_hash()) for user in users}
