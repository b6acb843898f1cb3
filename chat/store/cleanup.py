"""What nobody will see again is not kept for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.contrib.sessions.models import Session as CookieSession
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from chat.models import AccessToken, FormerGuest, Session
from chat.store.erasing import erase

KEPT_DELETED: Final = timedelta(days=30)  # sessions that can still be restored
KEPT_TOKENS: Final = timedelta(days=30)  # after they have ended


def clean_up() -> None:
    """Forget cookies that have expired, and tokens and sessions over for a month.

    Any process may, at any time: it looks at nothing else.
    """
    CookieSession.objects.filter(expire_date__lt=Now()).delete()
    # By then the cookie with the guest's key has expired.
    signed_for = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    FormerGuest.objects.filter(at__lt=Now() - signed_for).delete()
    long_ago = Now() - KEPT_TOKENS
    AccessToken.objects.filter(
        Q(expires_at__lt=long_ago) | Q(revoked_at__lt=long_ago)
    ).delete()
    for session_id in _long_deleted().values_list("id", flat=True).order_by():
        # One by one: a long session takes a while, and others want to write too.
        with transaction.atomic():
            locked = _long_deleted().select_for_update(skip_locked=True)
            if locked.filter(id=session_id).exists():
                erase(Session.objects.filter(id=session_id))


def _long_deleted() -> QuerySet[Session]:
    return Session.objects.filter(deleted_at__lt=Now() - KEPT_DELETED)
