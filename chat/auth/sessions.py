"""Cookie sessions in Django's table: users' last long, those on the doorstep do not.

Who has not signed in has a session only on the way in: where a second factor, a new
password or another site's answer is still to come.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils import timezone

DOORSTEP_SECONDS: Final = 3600


class SessionStore(db.SessionStore):
    """Django's own, but for how long a session lasts that says nothing itself."""

    def get_session_cookie_age(self) -> int:
        """In seconds."""
        return settings.SESSION_COOKIE_AGE if SESSION_KEY in self else DOORSTEP_SECONDS


def limit(session: SessionBase, user: AbstractBaseUser | AnonymousUser) -> None:
    """Have the session of staff end within hours; others' last as settings say."""
    if not getattr(user, "is_staff", False):
        session.set_expiry(None)
    elif session.get_expiry_age() > (seconds := settings.STAFF_SESSION_HOURS * 3600):
        session.set_expiry(timezone.now() + timedelta(seconds=seconds))


def was_a_users(request: HttpRequest) -> bool:
    """Whether the cookie is of a session that a user had, and has no more."""
    if not request.COOKIES.get(settings.SESSION_COOKIE_NAME):
        return False
    session = request.session
    return SESSION_KEY in session or session.session_key is None
