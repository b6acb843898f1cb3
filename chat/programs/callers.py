"""Who calls over HTTP, for views that go on for as long as a run does."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest

from chat.access import Identity
from chat.auth import visitors
from chat.auth.guests import guest_of
from chat.auth.tickets import Ticket
from chat.streams import Caller


async def caller_of(request: HttpRequest) -> Caller | None:
    """Who sent the request; None: must sign in.

    The connection of the request's own thread is given back: a stream of an hour must
    not hold one of the pool's for an hour.
    """
    return await sync_to_async(_identify)(request)


def _identify(request: HttpRequest) -> Caller | None:
    try:
        who = visitors.of_request(request)
        if who is None or visitors.has_ended(request):
            return None
        address = request.META.get("REMOTE_ADDR", "")
        return Caller(who, _ticket(request, who), address)
    finally:
        connections.close_all()


def _ticket(request: HttpRequest, who: Identity) -> Ticket | None:
    if request.user.is_authenticated:
        key = request.session.session_key or ""
        return Ticket(key, request.user.pk, request.user.get_session_auth_hash())
    return Ticket(guest_key=who.guest_key) if guest_of(request).key else None
