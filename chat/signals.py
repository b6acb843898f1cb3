"""What follows when somebody signs in or out."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from chat import runtime
from chat.auth import sessions
from chat.auth.visitors import bring_chats

# Seconds until a browser that signs in has its new cookie, and guests' pages come back.
NEW_COOKIE_DELAY: Final = 1.0


@receiver(user_logged_out)
def _signed_out(request: HttpRequest, **_kwargs: Any) -> None:
    """On this process's screens at once; the others' watches find out."""
    key = request.session.session_key
    runtime.call_soon(
        lambda running: running.shut_out(lambda ticket: ticket.session_key == key)
    )


@receiver(user_logged_in)
def _signed_in(request: HttpRequest, user: AbstractBaseUser, **_kwargs: Any) -> None:
    """What was said as a guest is the user's; the guest's key is over."""
    sessions.limit(request.session, user)
    bring_chats(request, user.pk)
    runtime.call_soon(
        lambda running: running.loop.call_later(
            NEW_COOKIE_DELAY, running.changed_hands.set
        )
    )
