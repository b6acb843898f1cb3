"""Sessions that go for good, with all that was said in them."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from msgspec import Struct

from chat.models import Run, Session


class Erased(Struct, frozen=True):
    """What is gone: sessions, and the runs in them that were queued or running."""

    session_ids: list[UUID]
    run_ids: list[int]


def erase(sessions: QuerySet[Session]) -> Erased:
    """Delete sessions for good, whatever is being answered there.

    Whoever writes a run locks its row first. So with all rows locked nobody is in the
    middle of writing, and who comes later finds no run and gives it up.
    """
    with transaction.atomic():
        locked = sessions.order_by("id").select_for_update(of=("self",))
        session_ids = list(locked.values_list("id", flat=True))
        rows = Run.objects.filter(session_id__in=session_ids).order_by("id")
        runs = list(rows.select_for_update(of=("self",)).values_list("id", "status"))
        Session.objects.filter(id__in=session_ids).delete()
    active = [run_id for run_id, status in runs if status != Run.Status.FINISHED]
    return Erased(session_ids, active)
