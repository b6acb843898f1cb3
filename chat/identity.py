"""Who is asking: a signed-in user, or a guest known by a key in the cookie session."""

from __future__ import annotations

import secrets
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie

from chat.store import Identity

GUEST_KEY: Final = "guest_key"


def of_request(request: HttpRequest) -> Identity | None:
    """Who sent the request; guests get their key now. None: must sign in."""
    if request.user.is_authenticated:
        return Identity(request.user.pk, "")
    if not settings.ALLOW_GUESTS:
        return None
    if GUEST_KEY not in request.session:
        request.session[GUEST_KEY] = secrets.token_urlsafe(24)
    return Identity(None, request.session[GUEST_KEY])


def of_scope(scope: dict[str, Any]) -> Identity | None:
    """Who opened the socket; without a cookie, a guest for as long as it lives.

    Blocking: the session is read from the database. Not Channels' AuthMiddleware,
    which reads it in the thread that all consumers share and then checks the session
    at every frame that is sent.
    """
    request = HttpRequest()
    request.session = _session(scope)
    user = get_user(request)
    if user.is_authenticated:
        return Identity(user.pk, "")
    if not settings.ALLOW_GUESTS:
        return None
    return Identity(None, request.session.get(GUEST_KEY) or secrets.token_urlsafe(24))


def _session(scope: dict[str, Any]) -> Any:
    headers = dict(scope["headers"])
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    engine = import_module(settings.SESSION_ENGINE)
    return engine.SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
