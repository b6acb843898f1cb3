"""Reading the log: how far it goes, and its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

from django.db.models.functions import Now
from msgspec import UNSET, Struct, json, structs

from chat.log import compaction
from chat.models import Event as EventRow, Run, Step
from chat.store.sql import fetch
from chat.wire.protocol import (
    Event,
    Place,
    RunFinished,
    RunStarted,
    StepDelta,
    StepFinished,
    StepProgress,
    StepReplaced,
    decode_event,
    decode_events,
)
from chat.wire.transcript import first_of

# The literals are for SQLite, which takes a partial index only for what it can read.
_COMPACTABLE: Final = """
SELECT id FROM chat_run WHERE status = 'finished' AND NOT is_compacted
AND finished_at <= %s ORDER BY finished_at LIMIT %s
"""

PAGE_EVENTS: Final = 2_000  # rows read at a time when catching up
MAX_SEQ: Final = 2**63 - 1


def read_events(
    run_id: int, after: int = 0, limit: int | None = None, until: int = MAX_SEQ
) -> list[Event]:
    """The events of a run after seq `after`, in order, of at most `limit` rows.

    Of a compacted run, deltas that fit the wire; the first event is cut at `after`.
    """
    rows = EventRow.objects.filter(run_id=run_id, seq__gt=after, seq__lte=until)
    rows = rows.order_by("seq")
    found = list(rows.values_list("seq", "payload", "merged")[:limit])
    if all(merged is None for _, _, merged in found):
        payloads = ",".join(payload for _, payload, _ in found)
        return _cut(decode_events(f"[{payloads}]"), after)
    texts = dict(Step.objects.filter(run_id=run_id).values_list("step", "content"))
    return _cut(events_in(found, texts, after), after)


def _cut(events: list[Event], after: int) -> list[Event]:
    """Of progress that stands for several events, what comes after seq `after`."""
    if events and isinstance(events[0], StepProgress) and first_of(events[0]) <= after:
        first = after + 1 if after + 1 < events[0].seq else UNSET
        events[0] = structs.replace(events[0], first=first)
    return events


def events_in(
    rows: Iterable[tuple[int, str, Any]],  # PostgreSQL gives `merged` as a memoryview
    texts: Mapping[int, str],
    after: int = 0,
) -> list[Event]:
    """The events after seq `after` in rows of a log: seq, payload, merged.

    `texts` are the contents of the run's steps, of which compacted rows are parts.
    """
    events: list[Event] = []
    for seq, payload, encoded in rows:
        if encoded is None:
            events.append(decode_event(payload))
            continue
        merged = compaction.decode(bytes(encoded))
        text = json.decode(payload) if payload else merged.cut_from(texts)
        events += compaction.deltas(merged, seq, text, after)
    return events


def read_pace(run_id: int) -> dict[int, list[tuple[int, int]]]:
    """By step: when text came, in ms since the run was started, and characters.

    Empty for a step from the time before this was kept.
    """
    paces: dict[int, list[tuple[int, int]]] = {}
    rows = EventRow.objects.filter(run_id=run_id, ms__isnull=False).order_by("seq")
    for ms, payload, encoded in rows.values_list("ms", "payload", "merged"):
        assert ms is not None  # noqa: S101  (for the type checker; see the filter)
        if encoded is not None:
            merged = compaction.decode(bytes(encoded))
            times = accumulate(ms for ms, _ in merged.deltas)
            chars = (chars for _, chars in merged.deltas)
            paces.setdefault(merged.step, []).extend(zip(times, chars, strict=True))
            continue
        event = decode_event(payload)
        if isinstance(event, StepDelta):
            paces.setdefault(event.step, []).append((ms, len(event.text)))
    return paces


def compactable(limit: int, finished_for: timedelta = timedelta()) -> list[int]:
    """Runs whose deltas can be merged, and that finished so long ago; oldest first."""
    return [
        run_id
        for (run_id,) in fetch(_COMPACTABLE, datetime.now(UTC) - finished_for, limit)
    ]


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
    seq = after if isinstance(after, int) else after[1]
    if isinstance(after, tuple) and seq and not _holds(run_id, found, after):
        return LogPage([])
    events = read_events(run_id, seq, PAGE_EVENTS, found.last_seq)
    return LogPage(events, found.last_seq)


def _holds(run_id: int, found: Position, place: tuple[int, int]) -> bool:
    return place[1] <= found.last_seq and goes_on(run_id, found, place)


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
    events = EventRow.objects.filter(run_id=run_id, seq__lte=seq)
    started = events.filter(payload__startswith='{"kind":"run_started"')
    payload = started.order_by("-seq").values_list("payload", flat=True).first()
    event = None if payload is None else decode_event(payload)
    return event.epoch if isinstance(event, RunStarted) else 0
