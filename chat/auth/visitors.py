"""Who is asking: a signed-in user, or a guest known by a signed cookie.

A page says in its socket's address for whom it was rendered: its `claim`. That opens no
door. But where the cookie is not that person's any more, the page is told to sign in,
and what is said there never becomes a stranger's, or nobody's.
"""

from __future__ import annotations

import secrets
import time
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qs

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie
from django.utils.crypto import salted_hmac

from chat import store
from chat.access import Identity
from chat.auth import sessions, tokens
from chat.auth.bearers import bearer, bearer_of
from chat.auth.guests import DAY, GUEST_KEY, Guest, guest_of
from chat.auth.tickets import Ticket, Visitor

RENEWED: Final = "renewed"  # Unix seconds: since when the session's year is counted

CLAIM: Final = "for"
GUEST: Final = "guest"


def of_request(request: HttpRequest) -> Identity | None:
    """Who sent the request. None: must sign in. A guest without a key owns nothing."""
    if request.user.is_authenticated:
        bring_chats(request, request.user.pk)
        return Identity(request.user.pk, "")
    if not settings.ALLOW_GUESTS:
        return None
    return Identity(None, "" if has_ended(request) else guest_of(request).key)


def has_ended(request: HttpRequest) -> bool:
    """Whether the request has a cookie of somebody who is nobody any more."""
    if request.user.is_authenticated:
        return False
    if sessions.was_a_users(request):
        return True
    guest = guest_of(request)
    return guest.has_cookie and not guest.key


def of_api_request(request: HttpRequest) -> Visitor | None:
    """Who sent the request, by cookie or by token, and with what. None: must sign in.

    Raises TooManyGuessesError.
    """
    if (token := bearer_of(request)) is not None:
        return tokens.admit(token, request.META.get("REMOTE_ADDR", ""))
    who = of_request(request)
    if who is None or has_ended(request):
        return None
    if who.user_id is not None:
        key = request.session.session_key or ""
        auth_hash = request.user.get_session_auth_hash()  # type: ignore[union-attr]  # of users
        return Visitor(who, Ticket(key, who.user_id, auth_hash))
    return Visitor(who, Ticket(guest_key=who.guest_key) if who.guest_key else None)


def remember(request: HttpRequest, who: Identity) -> Identity:
    """Know whoever opens the page when they come again: guests get their key now.

    But what is no browser is not given any.
    """
    if who.user_id is not None or who.guest_key:
        renew(request)
        return who
    if request.method != "GET" or "text/html" not in request.headers.get("Accept", ""):
        return who
    if sessions.was_a_users(request):
        request.session.flush()
    return Identity(None, guest_of(request).begin())


def renew(request: HttpRequest) -> None:
    """Have a user's session last a year from now, give or take a day; not of staff."""
    user, session = request.user, request.session
    if not user.is_authenticated:
        return
    now = int(time.time())
    if user.is_staff:
        sessions.limit(session, user)
    elif now - session.get(RENEWED, 0) > DAY:
        session[RENEWED] = now
        sessions.limit(session, user)


def claim(who: Identity) -> str:
    """What the page rendered for them says of itself: see `of_scope`."""
    if who.user_id is not None:
        return str(who.user_id)
    return GUEST if who.guest_key else ""


def says_nothing(scope: dict[str, Any]) -> bool:
    """Whether whoever opens the socket brings neither token nor cookie nor claim."""
    if bearer(_header(scope, b"authorization")) is not None or _claimed(scope):
        return False
    ours = {settings.SESSION_COOKIE_NAME, settings.GUEST_COOKIE_NAME}
    return ours.isdisjoint(_cookies(scope))


def of_scope(scope: dict[str, Any]) -> Visitor | None:
    """Who opened the socket; without token, cookie and claim, a guest while it lives.

    A token counts more than a cookie. None: must sign in. A guest's page may go on as
    the user they have become. Raises TooManyGuessesError.

    Blocking: the session is read from the database. Not Channels' AuthMiddleware,
    which reads it in the thread that all consumers share and then checks the session
    at every frame that is sent.
    """
    if (token := bearer(_header(scope, b"authorization"))) is not None:
        return tokens.admit(token, address_of(scope))
    return _of_cookies(scope)


def _of_cookies(scope: dict[str, Any]) -> Visitor | None:
    cookies = _cookies(scope)
    cookie = cookies.get(settings.SESSION_COOKIE_NAME, "")
    request = HttpRequest()
    request.COOKIES = cookies
    engine = import_module(settings.SESSION_ENGINE)
    request.session = engine.SessionStore(cookie or None)
    user = get_user(request)
    claimed = _claimed(scope)
    if user.is_authenticated:
        if claimed not in {"", GUEST, str(user.pk)}:
            return None
        ticket = Ticket(cookie, user.pk, user.get_session_auth_hash())
        return Visitor(Identity(user.pk, ""), ticket)
    if sessions.was_a_users(request) or claimed not in {"", GUEST}:
        return None
    return _guest_of_scope(scope, cookies, claimed) if settings.ALLOW_GUESTS else None


def _guest_of_scope(
    scope: dict[str, Any], cookies: dict[str, str], claimed: str
) -> Visitor | None:
    guest = Guest(cookies)
    if guest.key:
        return Visitor(Identity(None, guest.key), Ticket(guest_key=guest.key))
    if guest.has_cookie or claimed:
        return None
    address_key = _address_key(scope)
    guest_key = address_key + secrets.token_urlsafe(24)
    return Visitor(Identity(None, guest_key), None, address_key)


def bring_chats(request: HttpRequest, user_id: int) -> str:
    """What was said as a guest is the user's now. Returns the guest's key, if any.

    The session keeps it: a socket of the guest's may say more until it is shut.
    """
    guest, session = guest_of(request), request.session
    if retired := guest.key:
        store.retire_guest(retired, user_id)
        session[GUEST_KEY] = retired
        guest.end()
    elif key := session.get(GUEST_KEY):
        store.adopt(key, user_id)
    return retired


def _address_key(scope: dict[str, Any]) -> str:
    """The same for everybody at an address, which it does not tell."""
    digest = salted_hmac("chat.auth.visitors.address", address_of(scope)).hexdigest()
    return digest[:16] + "."


def address_of(scope: dict[str, Any]) -> str:
    """Where the socket comes from; empty where that is not known."""
    return scope["client"][0] if scope.get("client") else ""


def _cookies(scope: dict[str, Any]) -> dict[str, str]:
    return parse_cookie(_header(scope, b"cookie"))


def _header(scope: dict[str, Any], name: bytes) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(name, b"").decode("latin-1")


def _claimed(scope: dict[str, Any]) -> str:
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1")).get(CLAIM, [""])[-1]
