"""What nobody will see again is not kept for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.models import Session as CookieSession
from django.db import transaction
from django.db.models import Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from chat.access import Identity
from chat.models import AccessToken, FormerGuest, Retention, Session
from chat.store.auditing import Action, audit
from chat.store.erasing import Erased, erase

KEPT_DELETED: Final = timedelta(days=30)  # sessions that can still be restored
KEPT_TOKENS: Final = timedelta(days=30)  # after they have ended


def clean_up() -> list[Erased]:
    """Forget what is over: cookies, tokens, and sessions that were kept long enough.

    Any process may, at any time: it looks at nothing else. Returns what is gone; those
    who watch there are to be told.
    """
    CookieSession.objects.filter(expire_date__lt=Now()).delete()
    # By then the cookie with the guest's key has expired.
    signed_for = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    FormerGuest.objects.filter(at__lt=Now() - signed_for).delete()
    long_ago = Now() - KEPT_TOKENS
    AccessToken.objects.filter(
        Q(expires_at__lt=long_ago) | Q(revoked_at__lt=long_ago)
    ).delete()
    gone = [
        erased
        for expired in (_long_deleted, _outlived)
        for session_id in list(expired().values_list("id", flat=True).order_by())
        if (erased := _erase(expired, session_id)) is not None
    ]
    if gone:
        audit(Action.DELETED, None, count=len(gone))
    return gone


def _erase(expired: Callable[[], QuerySet[Session]], session_id: UUID) -> Erased | None:
    # One by one: a long session takes a while, and others want to write too.
    with transaction.atomic():
        locked = expired().select_for_update(of=("self",), skip_locked=True)
        if not locked.filter(id=session_id).exists():
            return None
        return erase(Session.objects.filter(id=session_id))


def _long_deleted() -> QuerySet[Session]:
    return Session.objects.filter(deleted_at__lt=Now() - KEPT_DELETED)


def _outlived() -> QuerySet[Session]:
    """Those not used for as long as chats of their owner's are kept."""
    everybodys: int = settings.RETENTION_DAYS
    of_groups = set(Retention.objects.values_list("days", flat=True))
    if not everybodys and not of_groups:
        return Session.objects.none()
    kept = Session.objects.annotate(days=Coalesce(_groups_days("owner"), everybodys))
    outlived = Q(pk=None)
    for days in of_groups | ({everybodys} - {0}):
        outlived |= Q(days=days, updated_at__lt=Now() - timedelta(days=days))
    return kept.filter(outlived)


def retention_of(who: Identity) -> int:
    """For how many days their chats are kept after they were last used; 0: for ever."""
    groups = Retention.objects.filter(group__user=who.user_id)
    days = groups.aggregate(days=Min("days"))["days"]
    return int(settings.RETENTION_DAYS if days is None else days)


def _groups_days(owner: str) -> Subquery:
    of_owner = Retention.objects.filter(group__user=OuterRef(owner)).order_by("days")
    return Subquery(of_owner.values("days")[:1])
