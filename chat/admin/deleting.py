"""What goes for good. Who deletes sees counts: Django would list every event."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from chat import runtime, store
from chat.models import Run, Session


def counts(sessions: Any) -> dict[str, int]:
    """What goes when sessions go; events and steps are never seen by themselves."""
    runs = Run.objects.filter(session__in=sessions).count()
    return {"sessions": len(sessions), "runs": runs}


def erase(sessions: QuerySet[Session]) -> None:
    """Delete sessions; when that is committed, whoever writes or watches there ends."""
    tell(store.erase(sessions))


def tell(erased: store.Erased) -> None:
    transaction.on_commit(
        lambda: runtime.call_soon(lambda running: running.erased(erased))
    )
