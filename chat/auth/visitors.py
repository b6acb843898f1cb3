"""Who is asking: a signed-in user, or a guest known by a key in the cookie session.

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
from django.contrib.auth import SESSION_KEY, get_user
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, parse_cookie
from django.utils.crypto import salted_hmac
from msgspec import Struct

from chat import store
from chat.auth.tickets import Ticket
from chat.store import Identity

GUEST_KEY: Final = "guest_key"
RENEWED: Final = "renewed"  # Unix seconds: since when the session's year is counted
DAY: Final = 24 * 3600

CLAIM: Final = "for"
GUEST: Final = "guest"


class Visitor(Struct, frozen=True):
    """Who opened a socket, and with what; without a cookie, with nothing."""

    who: Identity
    ticket: Ticket | None
    # Without a cookie: with what the keys of all guests at this address begin.
    address_key: str = ""


def of_request(request: HttpRequest) -> Identity | None:
    """Who sent the request. None: must sign in. A guest without a key owns nothing."""
    if request.user.is_authenticated:
        bring_chats(request.session, request.user.pk)
        return Identity(request.user.pk, "")
    if not settings.ALLOW_GUESTS:
        return None
    return Identity(None, _guest_key(request.session))


def has_ended(request: HttpRequest) -> bool:
    """Whether the request has the cookie of a session that is over."""
    has_cookie = bool(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    is_known = request.user.is_authenticated or _guest_key(request.session)
    return has_cookie and not is_known


def remember(request: HttpRequest, who: Identity) -> Identity:
    """Know whoever opens the page when they come again: guests get their key now.

    But no robot does, and nobody's first session lives longer than a day: it becomes
    one for a year when they come again, which the page does as soon as it is open.
    """
    session = request.session
    if who.user_id is not None or who.guest_key:
        renew(request)
        return who
    if request.method != "GET" or "text/html" not in request.headers.get("Accept", ""):
        return who
    if SESSION_KEY in session:
        session.flush()
    session[GUEST_KEY] = secrets.token_urlsafe(24)
    session.set_expiry(DAY)
    return Identity(None, session[GUEST_KEY])


def renew(request: HttpRequest) -> None:
    """Have the session last a year from now, give or take a day."""
    session = request.session
    now = int(time.time())
    if not session.is_empty() and now - session.get(RENEWED, 0) > DAY:
        session[RENEWED] = now
        session.set_expiry(None)  # as long as settings say


def claim(who: Identity) -> str:
    """What the page rendered for them says of itself: see `of_scope`."""
    if who.user_id is not None:
        return str(who.user_id)
    return GUEST if who.guest_key else ""


def of_scope(scope: dict[str, Any]) -> Visitor | None:
    """Who opened the socket; without cookie and claim, a guest while it lives.

    None: must sign in. A guest's page may go on as the user they have become.

    Blocking: the session is read from the database. Not Channels' AuthMiddleware,
    which reads it in the thread that all consumers share and then checks the session
    at every frame that is sent.
    """
    cookie = _session_cookie(scope)
    request = HttpRequest()
    engine = import_module(settings.SESSION_ENGINE)
    request.session = engine.SessionStore(cookie or None)
    user = get_user(request)
    claimed = _claimed(scope)
    if user.is_authenticated:
        if claimed not in {"", GUEST, str(user.pk)}:
            return None
        ticket = Ticket(cookie, user.pk, user.get_session_auth_hash())
        return Visitor(Identity(user.pk, ""), ticket)
    if not settings.ALLOW_GUESTS or claimed not in {"", GUEST}:
        return None
    if key := _guest_key(request.session):
        return Visitor(Identity(None, key), Ticket(cookie))
    if cookie or claimed:
        return None
    address_key = _address_key(scope)
    guest_key = address_key + secrets.token_urlsafe(24)
    return Visitor(Identity(None, guest_key), None, address_key)


def _address_key(scope: dict[str, Any]) -> str:
    """The same for everybody at an address, which it does not tell."""
    address = scope["client"][0] if scope.get("client") else ""
    return salted_hmac("chat.auth.visitors.address", address).hexdigest()[:16] + "."


def _guest_key(session: SessionBase) -> str:
    """The guest's key; a user who may not come in any more is no guest."""
    return "" if SESSION_KEY in session else str(session.get(GUEST_KEY, ""))


def _session_cookie(scope: dict[str, Any]) -> str:
    headers = dict(scope["headers"])
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    return cookies.get(settings.SESSION_COOKIE_NAME, "")


def _claimed(scope: dict[str, Any]) -> str:
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1")).get(CLAIM, [""])[-1]


def bring_chats(session: SessionBase, user_id: int) -> None:
    """What was said as a guest is the user's now.

    The key stays in the session: a socket of the guest's may say more until it is shut.
    """
    if key := session.get(GUEST_KEY):
        store.adopt(key, user_id)
