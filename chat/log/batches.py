"""Events on their way into the log: numbered, and written in one transaction.

Plain SQL, and little of it: this is what each token costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final, TypeAlias

import psycopg
from django.db import connection, transaction
from django.db.models.functions import Now
from msgspec import UNSET, Struct, structs, to_builtins

from chat.models import Run, Step
from chat.wire.protocol import (
    Event,
    Frame,
    RunFinished,
    RunReleased,
    StepDelta,
    StepFinished,
    Usage,
    encode,
    events_text,
)

ROWS_PER_INSERT: Final = 1_000
MAX_MS: Final = 2**31 - 1  # 24 days
LOCK_TIMEOUT: Final = 0.3  # seconds that a flush waits for a run that is locked
STATEMENT_TIMEOUT: Final = 10.0  # seconds for each statement of a flush


def wall_clock() -> float:
    """Unix seconds, to the millisecond: what rows and the wire both can hold."""
    return round(time.time(), 3)


Row: TypeAlias = tuple[int, int, int, str]  # run_id, seq, ms, payload


def since(start: datetime | None) -> int:
    """Milliseconds since `start`, as a column holds them; 0 before it, and for None."""
    if start is None:
        return 0
    return min(max(0, int((time.time() - start.timestamp()) * 1000)), MAX_MS)


class Batch(Struct, gc=False):
    """Numbered events of one run, to be written together or not at all."""

    run_id: int
    epoch: int
    before: int  # last_seq before them
    last: int  # last_seq after them
    rows: list[Row]
    steps: list[Step]
    finished: RunFinished | None
    used: Usage | None = None  # so far
    released: bool = False  # handed over

    def frame(self, number: int) -> Frame:
        """What viewers of run `number` get."""
        return Frame(
            run=number,
            epoch=self.epoch,
            first=self.before + 1,
            last=self.last,
            ends=self.finished is not None,
            text=events_text(number, (row[3] for row in self.rows)),
        )


class Growth(Struct):
    """Deltas of one step that have not been numbered yet."""

    step: int
    chunks: list[str]


def make_batch(
    run_id: int,
    epoch: int,
    last_seq: int,
    events: Iterable[Event | Growth],
    steps: Sequence[Step] = (),
    ms: int = 0,
) -> Batch:
    """Number `events` on from `last_seq`; each of `steps` gets its finish's seq.

    `ms`: since the run was first started, see `since`.
    """
    rows: list[Row] = []
    finished = None
    released = False
    numbered: Event
    of_step = {step.step: step for step in steps}
    seq = last_seq
    for event in events:
        seq += 1
        if isinstance(event, Growth):
            numbered = StepDelta(seq=seq, step=event.step, text="".join(event.chunks))
        else:
            numbered = structs.replace(event, seq=seq)
            if type(event) is RunFinished:
                finished = event
            elif type(event) is RunReleased:
                released = True
            elif type(event) is StepFinished and event.step in of_step:
                of_step[event.step].seq = seq
        rows.append((run_id, seq, ms, encode(numbered).decode()))
    return Batch(
        run_id, epoch, last_seq, seq, rows, list(steps), finished, released=released
    )


def commit(batches: Sequence[Batch]) -> set[int]:
    """As `write`, in a transaction of its own, which does not wait long for anybody.

    Raises OperationalError where somebody has locked a run: see `errors.is_busy`.
    """
    on_postgresql = connection.vendor == "postgresql"
    # In one order, or two processes that write the same runs wait for each other.
    batches = sorted(batches, key=attrgetter("run_id"))
    if on_postgresql and not any(map(_has_more, batches)):
        return _write_at_once(batches)
    with transaction.atomic():
        if on_postgresql:
            _limit_waiting()
        return write(batches)


def commit_unlocked(batches: Sequence[Batch]) -> tuple[set[int], set[int]]:
    """As `commit`, but for the runs that somebody has locked: also their ids."""
    ids = [batch.run_id for batch in batches]
    with transaction.atomic():
        _limit_waiting()
        runs = Run.objects.filter(id__in=ids).order_by("id")
        there = set(runs.values_list("id", flat=True))
        free = runs.select_for_update(skip_locked=True, no_key=True)
        held = there - set(free.values_list("id", flat=True))
        unlocked = [batch for batch in batches if batch.run_id not in held]
        return write(unlocked) if unlocked else set(), held


def _limit_waiting() -> None:
    """For this transaction only: a pooler shares the connection."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true),"
            " set_config('statement_timeout', %s, true)",
            [_milliseconds(LOCK_TIMEOUT), _milliseconds(STATEMENT_TIMEOUT)],
        )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def _has_more(batch: Batch) -> bool:
    """Than events."""
    return (
        bool(batch.steps)
        or batch.finished is not None
        or batch.used is not None
        or batch.released
    )


def write(batches: Sequence[Batch]) -> set[int]:
    """Write `batches`; the ids of the runs that are still their writers' to write.

    To be called inside a transaction. A batch that was committed before (the answer
    to the commit was lost) counts as written and is not written again.
    """
    ours = _advance(batches)
    fresh = [batch for batch in batches if batch.run_id in ours]
    rows = [row for batch in fresh for row in batch.rows]
    insert(rows)
    steps = [step for batch in fresh for step in batch.steps]
    if steps:
        Step.objects.bulk_create(steps)
        with_steps = [batch.run_id for batch in fresh if batch.steps]
        Run.objects.filter(id__in=with_steps).update(takeovers=0)
    for batch in fresh:
        if batch.finished is not None:
            _finish(batch.run_id, batch.finished)
        elif batch.used is not None:
            _spend(batch.run_id, batch.used)
        if batch.released:
            Run.objects.filter(id=batch.run_id).update(process=None)
    stale = [batch for batch in batches if batch.run_id not in ours]
    return ours | _written_before(stale)


def insert(rows: Sequence[Row]) -> None:
    """Insert events of runs that the transaction has advanced, or made."""
    for start in range(0, len(rows), ROWS_PER_INSERT):
        _insert(rows[start : start + ROWS_PER_INSERT])


def _insert(rows: Sequence[Row]) -> None:
    # One statement, with numbers written into it: `executemany` costs psycopg a
    # statement a row, and every parameter costs both drivers.
    values = ", ".join([f"({run}, {seq}, {ms}, %s)" for run, seq, ms, _ in rows])
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO chat_event (run_id, seq, ms, payload) VALUES {values}",  # noqa: S608
            [row[3] for row in rows],
        )


def _advance(batches: Sequence[Batch]) -> set[int]:
    values = ", ".join(["(%s, %s, %s, %s)"] * len(batches))
    numbers = [
        number
        for batch in batches
        for number in (batch.run_id, batch.epoch, batch.before, batch.last)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH v(id, epoch, before, seq) AS (VALUES {values})"  # noqa: S608
            " UPDATE chat_run SET last_seq = v.seq FROM v"
            " WHERE chat_run.id = v.id AND chat_run.epoch = v.epoch"
            " AND chat_run.last_seq = v.before"
            " RETURNING chat_run.id",
            numbers,
        )
        return {row[0] for row in cursor.fetchall()}


# The same in one statement, where that can be. The rows come as JSON: one parameter,
# whatever their number. What limits the waiting comes in the same statement, and is
# set before the first row is updated, since every update needs a row of `v`.
_ADVANCE_AND_INSERT: Final = """
WITH v AS MATERIALIZED (
  SELECT (r->>0)::bigint AS id, (r->>1)::bigint AS epoch,
         (r->>2)::bigint AS before, (r->>3)::bigint AS seq
  FROM json_array_elements(%s::json) r
  WHERE (SELECT set_config('lock_timeout', %s, true)) IS NOT NULL
), ours AS (
  UPDATE chat_run SET last_seq = v.seq FROM v
  WHERE chat_run.id = v.id AND chat_run.epoch = v.epoch
    AND chat_run.last_seq = v.before
  RETURNING chat_run.id
), events AS (
  INSERT INTO chat_event (run_id, seq, ms, payload)
  SELECT ours.id, (r->>1)::bigint, (r->>2)::integer, r->>3
  FROM json_array_elements(%s::json) r JOIN ours ON ours.id = (r->>0)::bigint
)
SELECT id FROM ours
"""


def _write_at_once(batches: Sequence[Batch]) -> set[int]:
    """As `write`, for batches of events only, on PostgreSQL and outside a transaction.

    Most flushes are such: this is one round trip instead of four, and past Django's
    cursor, which writes parameters into the statement one by one.
    """
    runs = [(batch.run_id, batch.epoch, batch.before, batch.last) for batch in batches]
    rows = [row for batch in batches for row in batch.rows]
    connection.ensure_connection()
    with (
        connection.wrap_database_errors,
        psycopg.Cursor(connection.connection) as cursor,
    ):
        cursor.execute(
            _ADVANCE_AND_INSERT,
            (
                encode(runs).decode(),
                _milliseconds(LOCK_TIMEOUT),
                encode(rows).decode(),
            ),
        )
        ours = {row[0] for row in cursor.fetchall()}
    stale = [batch for batch in batches if batch.run_id not in ours]
    return ours | _written_before(stale)


def _written_before(batches: Sequence[Batch]) -> set[int]:
    if not batches:
        return set()
    runs = Run.objects.in_bulk([batch.run_id for batch in batches])
    return {
        batch.run_id
        for batch in batches
        if (run := runs.get(batch.run_id)) is not None
        and run.epoch == batch.epoch
        and run.last_seq == batch.last
    }


def _spend(run_id: int, used: Usage) -> None:
    Run.objects.filter(id=run_id).update(
        input_tokens=used.input_tokens, output_tokens=used.output_tokens
    )


def _finish(run_id: int, event: RunFinished) -> None:
    usage = None if event.usage is UNSET else event.usage
    Run.objects.filter(id=run_id).update(
        status=Run.Status.FINISHED,
        reason=event.reason,
        cause=event.cause or "",
        error=None if event.error is UNSET else to_builtins(event.error),
        duration_ms=event.duration_ms,
        input_tokens=usage and usage.input_tokens,
        output_tokens=usage and usage.output_tokens,
        finished_at=Now(),
        process=None,
    )
