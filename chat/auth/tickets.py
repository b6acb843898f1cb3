"""What people were let in with, and whether that still holds."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session as CookieSession
from django.utils import timezone
from msgspec import Struct


class Ticket(Struct, frozen=True):
    """A cookie session, and for a user what their password's hash was then."""

    session_key: str
    user_id: int | None = None
    auth_hash: str = ""


def invalid_tickets(tickets: AbstractSet[Ticket]) -> set[Ticket]:
    """Those whose session is over, or whose user may not come in (so) any more."""
    keys = [ticket.session_key for ticket in tickets]
    alive = set(
        CookieSession.objects.filter(
            session_key__in=keys, expire_date__gt=timezone.now()
        ).values_list("session_key", flat=True)
    )
    hashes = _auth_hashes(tickets)
    return {
        ticket
        for ticket in tickets
        if ticket.session_key not in alive
        or (ticket.user_id, ticket.auth_hash) not in hashes
    }


def _auth_hashes(
    tickets: AbstractSet[Ticket],
) -> set[tuple[int | None, str]]:
    """Users who may come in, with today's hash; and guests, who have none."""
    user_ids = {ticket.user_id for ticket in tickets if ticket.user_id is not None}
    users = get_user_model().objects.filter(pk__in=user_ids, is_active=True)
    return {(None, ""), *((user.pk, user.get_session_auth_hash()) for user in users)}
