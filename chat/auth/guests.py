"""Guests: browsers known by a signed cookie. Before they speak there is no row.

The cookie holds the key that the guest's sessions carry, and when it was signed. The
site's key vouches for it, so reading it asks the database only whether the guest has
become a user since.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from msgspec import Struct

from chat import store

GUEST_KEY: Final = "guest_key"
DAY: Final = 24 * 3600
# Until November 2026 guests were known by Django's session cookie, under the name that
# all Djangos on one host share. It is read where there is no other, and left alone.
FORMER_COOKIE: Final = "sessionid"

_signer: Final = signing.TimestampSigner(salt="chat.auth.guests")


class _Found(Struct, frozen=True):
    """A guest's key, and since when its cookie counts (Unix seconds)."""

    key: str
    signed_at: float


_NOBODY: Final = _Found("", 0)


class Guest:
    """Who a request or a handshake comes from, where that is no user.

    Blocking: asks the database when it is first asked.
    """

    def __init__(self, cookies: Mapping[str, str]) -> None:
        self._cookies = cookies
        self._changed: str | None = None  # the key from now on; empty: none

    @property
    def key(self) -> str:
        """The guest's key; empty where nobody is known."""
        return self._found.key if self._changed is None else self._changed

    @property
    def has_cookie(self) -> bool:
        """Whether there is a cookie, of whatever worth."""
        return bool(self._cookies.get(settings.GUEST_COOKIE_NAME))

    def begin(self) -> str:
        """Be somebody new from now on. Returns the key."""
        self._changed = secrets.token_urlsafe(24)
        return self._changed

    def end(self) -> None:
        """Be nobody from now on: the guest is a user now."""
        self._changed = ""

    def write_cookie(self, response: HttpResponseBase) -> None:
        """Have the browser keep what has changed, and count its year from today."""
        name = settings.GUEST_COOKIE_NAME
        if self._changed == "":
            response.delete_cookie(
                name, path=settings.SESSION_COOKIE_PATH, samesite="Lax"
            )
            return
        # What nobody has asked for is not looked up for the cookie's sake.
        found = vars(self).get("_found", _NOBODY)
        is_stale = bool(found.key) and time.time() - found.signed_at > DAY
        if self._changed or is_stale:
            response.set_cookie(
                name,
                _signer.sign(self.key),
                max_age=settings.SESSION_COOKIE_AGE,
                path=settings.SESSION_COOKIE_PATH,
                httponly=True,
                secure=settings.SESSION_COOKIE_SECURE,
                samesite="Lax",
            )

    @cached_property
    def _found(self) -> _Found:
        value = self._cookies.get(settings.GUEST_COOKIE_NAME)
        found = _read(value) if value else self._of_former_cookie()
        return _NOBODY if store.former_guests({found.key}) else found

    def _of_former_cookie(self) -> _Found:
        former = self._cookies.get(FORMER_COOKIE)
        if not former or settings.SESSION_COOKIE_NAME in self._cookies:
            return _NOBODY
        engine = import_module(settings.SESSION_ENGINE)
        session = engine.SessionStore(former)
        if SESSION_KEY in session:
            return _NOBODY
        return _Found(session.get(GUEST_KEY, ""), 0)


@sync_and_async_middleware
def remember_guests(get_response: Callable[[HttpRequest], Any]) -> Any:
    """Give each request its `guest`, and the response the guest's cookie."""
    if iscoroutinefunction(get_response):

        async def respond_async(request: HttpRequest) -> HttpResponseBase:
            request.guest = guest = Guest(request.COOKIES)  # type: ignore[attr-defined]
            answer: Awaitable[HttpResponseBase] = get_response(request)
            response = await answer
            guest.write_cookie(response)
            return response

        return respond_async

    def respond(request: HttpRequest) -> HttpResponseBase:
        request.guest = guest = Guest(request.COOKIES)  # type: ignore[attr-defined]
        response: HttpResponseBase = get_response(request)
        guest.write_cookie(response)
        return response

    return respond


def guest_of(request: HttpRequest) -> Guest:
    """The request's guest; a new one where no middleware has been, as in a shell."""
    guest: Guest | None = getattr(request, "guest", None)
    return guest or Guest({})


def _read(value: str) -> _Found:
    """What the cookie says, if the site has signed it within a year."""
    try:
        key = _signer.unsign(value, max_age=settings.SESSION_COOKIE_AGE)
        signed_at = signing.b62_decode(value.rsplit(":", 2)[1])
    except signing.BadSignature:
        return _NOBODY
    return _Found(key, signed_at)
