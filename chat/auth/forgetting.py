"""Accounts that go, with everything that is theirs."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from django.contrib.admin.models import LogEntry
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session as CookieSession
from django.db import transaction

from chat import store
from chat.auth.guests import GUEST_KEY
from chat.models import Census, FormerGuest, Order, Session


def forget(user_ids: Collection[int]) -> store.Erased:
    """Delete users: their sessions and cookies, and what the admin has noted of them.

    Whoever watches or answers in their sessions is to be told.
    """
    model = get_user_model()
    with transaction.atomic():
        # Locked, so that nobody begins another session meanwhile.
        users = model.objects.filter(pk__in=user_ids).order_by("pk")
        chosen = list(users.select_for_update().values_list("pk", flat=True))
        erased = store.erase(Session.objects.filter(owner__in=chosen))
        # What processes are told of them, and have told.
        Order.objects.filter(directive__user__in=chosen).delete()
        Census.objects.all().delete()
        _forget_cookies({str(user_id) for user_id in chosen})
        LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(model),
            object_id__in=map(str, chosen),
        ).delete()
        model.objects.filter(pk__in=chosen).delete()
    return erased


def _forget_cookies(user_ids: Collection[str]) -> None:
    """Sign them out everywhere; the guests that they were are forgotten too."""
    found = list(_cookies_of(user_ids))
    FormerGuest.objects.filter(key__in=[guest_key for _, guest_key in found]).delete()
    keys = [session_key for session_key, _ in found]
    CookieSession.objects.filter(session_key__in=keys).delete()


def _cookies_of(user_ids: Collection[str]) -> Iterator[tuple[str, str]]:
    """Keys of their sessions, and of the guests that they were."""
    for session in CookieSession.objects.iterator():
        data = session.get_decoded()
        if data.get(SESSION_KEY) in user_ids:
            yield session.session_key, data.get(GUEST_KEY, "")
