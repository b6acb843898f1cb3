"""Reading the log: how far it goes, and its events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db.models.functions import Now
from msgspec import Struct

from chat.models import Event as EventRow, Run
from chat.wire.protocol import (
    Event,
    decode_events,
)
from chat.wire.transcript import merged

PAGE_EVENTS: Final = 2_000  # rows read at a time when catching up


def read_events(run_id: int, after: int = 0, limit: int | None = None) -> list[Event]:
    """The events of a run after seq `after`, in order, at most `limit`."""
    rows = EventRow.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")
    payloads = rows.values_list("payload", flat=True)[:limit]
    return decode_events(f"[{','.join(payloads)}]")


def positions(
    session_ids: Iterable[UUID], since: timedelta
) -> list[tuple[UUID, int, int]]:
    """(session, run, last_seq) of the runs that are, or just were, unfinished."""
    runs = (
        Run.objects.filter(session_id__in=list(session_ids))
        .order_by()
        .values_list("session_id", "number", "last_seq")
    )
    # Not by OR: SQLite would look at all runs of these sessions.
    unfinished = runs.filter(finished_at=None)
    return list(unfinished.union(runs.filter(finished_at__gt=Now() - since), all=True))


class Position(Struct, frozen=True):
    """How far a run's log goes."""

    run_id: int
    number: int
    last_seq: int
    finished: bool


def session_positions(session_id: UUID, above: int) -> list[Position]:
    """How far the logs of the session's runs after number `above` go."""
    runs = Run.objects.filter(session_id=session_id, number__gt=above)
    rows = runs.order_by("number").values_list("id", "number", "last_seq", "status")
    return [
        Position(run_id, number, last_seq, status == Run.Status.FINISHED)
        for run_id, number, last_seq, status in rows
    ]


def merged_page(run_id: int, after: int) -> list[Event]:
    """The next page of a run's events after seq `after`, deltas merged."""
    return merged(read_events(run_id, after, PAGE_EVENTS))
