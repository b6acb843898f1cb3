"""What goes for good. Who deletes sees counts: Django would list every event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from chat import runtime, store
from chat.models import Run, Session

if TYPE_CHECKING:
    Deleting = admin.ModelAdmin[Any]
else:
    Deleting = object


def counts(sessions: Any) -> dict[str, int]:
    """What goes when sessions go; events and steps are never seen by themselves."""
    runs = Run.objects.filter(session__in=sessions).count()
    return {"sessions": len(sessions), "runs": runs}


def erase(request: HttpRequest, sessions: QuerySet[Session]) -> None:
    """Delete sessions; when that is committed, whoever writes or watches there ends."""
    with transaction.atomic():
        for session_id, owner_id in sessions.values_list("pk", "owner"):
            store.audit(
                store.Action.DELETED,
                request.user.pk,
                user=owner_id,
                session=session_id,
                count=1,
            )
        tell(store.erase(sessions))


def tell(erased: store.Erased) -> None:
    """Have whoever writes or watches there end, when it is committed."""
    transaction.on_commit(
        lambda: runtime.call_soon(lambda running: running.erased(erased))
    )


class NamesNothing(Deleting):
    """Of what is deleted Django's own log would keep the name: a title, a person's.

    The audit log has it, by number.
    """

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Nothing."""
