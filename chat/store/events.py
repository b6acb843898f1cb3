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
    Place,
    RunFinished,
    RunStarted,
    StepFinished,
    StepReplaced,
    decode_event,
    decode_events,
)
from chat.wire.transcript import first_of

PAGE_EVENTS: Final = 2_000  # rows read at a time when catching up


def read_events(run_id: int, after: int = 0, limit: int | None = None) -> list[Event]:
    """The events of a run after seq `after`, in order, at most `limit`."""
    rows = EventRow.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")
    payloads = rows.values_list("payload", flat=True)[:limit]
    return decode_events(f"[{','.join(payloads)}]")


class Position(Struct, frozen=True):
    """How far a run's log goes, and under which epoch."""

    number: int
    last_seq: int
    epoch: int
    finished: bool


POSITION: Final = ("number", "last_seq", "epoch", "status")


def position(number: int, last_seq: int, epoch: int, status: str) -> Position:
    """The position in a row of the columns POSITION."""
    return Position(number, last_seq, epoch, status == Run.Status.FINISHED)


def positions(
    session_ids: Iterable[UUID], since: timedelta
) -> list[tuple[UUID, Position]]:
    """Of the runs that are, or were within `since`, unfinished: by session."""
    runs = (
        Run.objects.filter(session_id__in=list(session_ids))
        .order_by()
        .values_list("session_id", *POSITION)
    )
    # Not by OR: SQLite would look at all runs of these sessions.
    unfinished = runs.filter(finished_at=None)
    both = unfinished.union(runs.filter(finished_at__gt=Now() - since), all=True)
    return [(session_id, position(*row)) for session_id, *row in both]


class LogPage(Struct, frozen=True):
    """Some of a run's events, in order; and how far its log went when they were read.

    Of a log that does not go on from where it was asked for, there are none.
    """

    events: list[Event]
    last_seq: int = 0


def log_page(session_id: UUID, number: int, after: Place) -> LogPage:
    """The next events of a run after a place; with an epoch, it is held to that."""
    runs = Run.objects.filter(session_id=session_id, number=number)
    row = runs.values_list("id", *POSITION).first()
    if row is None:
        return LogPage([])
    run_id, found = row[0], position(*row[1:])
    seq = after
    if isinstance(after, tuple):
        seq = after[1]
        if seq and not (seq <= found.last_seq and goes_on(run_id, found, after)):
            return LogPage([])
    rows = EventRow.objects.filter(run_id=run_id, seq__gt=seq, seq__lte=found.last_seq)
    payloads = rows.order_by("seq").values_list("payload", flat=True)[:PAGE_EVENTS]
    return LogPage(decode_events(f"[{','.join(payloads)}]"), found.last_seq)


_CLOSING: Final = (StepReplaced, StepFinished, RunFinished)


def goes_on(run_id: int, found: Position, place: Place) -> bool:
    """Whether the log holds what somebody has, and what comes after it one by one.

    `found` is how far it goes: at least as far as `place`.
    """
    seq = place if isinstance(place, int) else place[1]
    following = read_events(run_id, seq, 1)
    if isinstance(place, tuple) and place[0] != found.epoch:
        # What a stop writes to close steps is of its own epoch, which only its last
        # event says: there it is not known which one the place is of.
        maybe_by_stop = not following or isinstance(following[0], _CLOSING)
        if place[0] and found.finished and maybe_by_stop:
            return False
        if place[0] != _epoch_at(run_id, seq):
            return False
    return not following or first_of(following[0]) == seq + 1


def _epoch_at(run_id: int, seq: int) -> int:
    """The epoch that had been begun when event `seq` was written."""
    started = EventRow.objects.filter(run_id=run_id, kind="run_started", seq__lte=seq)
    payload = started.order_by("-seq").values_list("payload", flat=True).first()
    event = None if payload is None else decode_event(payload)
    return event.epoch if isinstance(event, RunStarted) else 0
