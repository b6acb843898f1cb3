"""Who calls over HTTP, for views that go on for as long as a run does."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest

from chat.auth import visitors
from chat.streams import Caller


async def caller_of(request: HttpRequest) -> Caller | None:
    """Who sent the request; None: must sign in. Raises TooManyGuessesError.

    The connection of the request's own thread is given back: a stream of an hour must
    not hold one of the pool's for an hour.
    """
    return await sync_to_async(_identify)(request)


def _identify(request: HttpRequest) -> Caller | None:
    try:
        visitor = visitors.of_api_request(request)
        if visitor is None:
            return None
        address = request.META.get("REMOTE_ADDR", "")
        return Caller(visitor.who, visitor.ticket, address)
    finally:
        connections.close_all()
