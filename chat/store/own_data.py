"""All that is kept of somebody's: to be counted, taken away, and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Length
from msgspec import Struct

from chat.access import Identity
from chat.models import Run, Session
from chat.store.erasing import Erased, erase
from chat.store.events import read_events
from chat.store.exporting import MAX_EXPORT_CHARS, SessionLog
from chat.store.sessions import SessionFacts, owned_by
from chat.wire.transcript import merged


class Owned(Struct, frozen=True):
    """How many sessions somebody has; `deleted` of them can still be restored."""

    sessions: int
    deleted: int


class Taken(Struct, frozen=True):
    """A session of one's own, or a part of a long one, as it is taken away.

    `about` are the facts that a log does not say: ids, times, what was done with it.
    """

    about: dict[str, Any]
    log: SessionLog


def owned(who: Identity) -> Owned:
    """What somebody has."""
    counts = owned_by(who).aggregate(
        sessions=Count("id"), deleted=Count("id", filter=Q(deleted_at__isnull=False))
    )
    return Owned(**counts)


def owned_ids(who: Identity) -> list[UUID]:
    """All sessions that are theirs, deleted ones too, oldest first."""
    return list(owned_by(who).order_by("created_at", "id").values_list("id", flat=True))


def take(who: Identity, session_id: UUID) -> Iterator[Taken]:
    """A session of theirs, in parts that each fit into memory; none if it is gone."""
    session = owned_by(who).filter(id=session_id).first()
    if session is None:
        return
    facts = SessionFacts(
        session.owner_id, session.guest_key, session.title, session.agent_name
    )
    runs: dict[int, Any] = {}
    chars = 0
    for run in _with_sizes(session):
        if runs and chars + run.chars > MAX_EXPORT_CHARS:
            yield Taken(_about(session), SessionLog(facts, runs))
            runs, chars = {}, 0
        runs[run.number] = merged(read_events(run.pk))
        chars += run.chars
    yield Taken(_about(session), SessionLog(facts, runs))


def erase_owned(who: Identity, session_id: UUID) -> Erased:
    """Delete one session of theirs for good; of what is gone, nothing."""
    return erase(owned_by(who).filter(id=session_id))


def _with_sizes(session: Session) -> QuerySet[Run, Any]:
    """The session's runs with `chars`, how much text is in each."""
    runs = Run.objects.filter(session=session).order_by("number").only("number")
    return runs.annotate(chars=Sum(Length("steps__content"), default=0))


def _about(session: Session) -> dict[str, Any]:
    times = {
        "created": session.created_at,
        "updated": session.updated_at,
        "deleted": session.deleted_at,
    }
    return {
        "session_id": str(session.pk),
        "pinned": session.pinned,
        "archived": session.archived,
        **{name: at.timestamp() for name, at in times.items() if at is not None},
    }
