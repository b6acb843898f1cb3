"""The only writer of events: numbers them, commits them, and fences off old owners.

One flush is one transaction for all runs of the process. It starts as soon as
something is pending and no other flush is under way; what comes meanwhile rides in
the next one, neighbouring deltas of a step as one event. Only what is committed is
handed on for publishing, so nobody is shown what the log does not hold.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

import psycopg
from django.db import (
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from msgspec import UNSET, Struct, structs, to_builtins

from chat.models import Run, Step
from chat.protocol import (
    Event,
    Frame,
    RunFinished,
    StepDelta,
    StepFinished,
    Usage,
    encode,
    events_frame,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PENDING_CHARS: Final = 1024 * 1024  # per run; then its agent waits for the database
ROWS_PER_INSERT: Final = 1_000
MAX_PACE: Final = 0.050  # seconds from one flush to the next, at most
RETRY_DELAYS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)  # seconds; the last one repeats
TRANSIENT: Final = (OperationalError, InterfaceError)  # the database is away, or busy


def wall_clock() -> float:
    """Unix seconds, to the millisecond: what rows and the wire both can hold."""
    return round(time.time(), 3)


class RunLostError(Exception):
    """Another process, or a stop, has taken the run: nothing more can be written."""


class Batch(Struct, gc=False):
    """Numbered events of one run, to be written together or not at all."""

    run_id: int
    epoch: int
    before: int  # last_seq before them
    last: int  # last_seq after them
    rows: list[tuple[int, int, str, str]]  # run_id, seq, kind, payload
    steps: list[Step]
    finished: RunFinished | None
    used: Usage | None = None  # so far

    def frame(self, number: int) -> Frame:
        """What viewers of run `number` get."""
        return events_frame(
            number, self.before + 1, self.last, (row[3] for row in self.rows)
        )


class _Growth(Struct):
    """Deltas of one step that have not been numbered yet."""

    step: int
    chunks: list[str]


def make_batch(
    run_id: int,
    epoch: int,
    last_seq: int,
    events: Iterable[Event | _Growth],
    steps: Sequence[Step] = (),
) -> Batch:
    """Number `events` on from `last_seq`; each of `steps` gets its finish's seq."""
    rows: list[tuple[int, int, str, str]] = []
    finished = None
    numbered: Event
    of_step = {step.step: step for step in steps}
    seq = last_seq
    for event in events:
        seq += 1
        if isinstance(event, _Growth):
            numbered = StepDelta(seq=seq, step=event.step, text="".join(event.chunks))
        else:
            numbered = structs.replace(event, seq=seq)
            if type(event) is RunFinished:
                finished = event
            elif type(event) is StepFinished and event.step in of_step:
                of_step[event.step].seq = seq
        kind = str(numbered.__struct_config__.tag)
        rows.append((run_id, seq, kind, encode(numbered).decode()))
    return Batch(run_id, epoch, last_seq, seq, rows, list(steps), finished)


# ---------------------------------------------------------------- in a transaction


def write(batches: Sequence[Batch]) -> set[int]:
    """Write `batches`; the ids of the runs that are still their writers' to write.

    To be called inside a transaction. A batch that was committed before (the answer
    to the commit was lost) counts as written and is not written again.
    """
    ours = _advance(batches)
    fresh = [batch for batch in batches if batch.run_id in ours]
    rows = [row for batch in fresh for row in batch.rows]
    for start in range(0, len(rows), ROWS_PER_INSERT):
        _insert(rows[start : start + ROWS_PER_INSERT])
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
    stale = [batch for batch in batches if batch.run_id not in ours]
    return ours | _written_before(stale)


def _insert(rows: Sequence[tuple[int, int, str, str]]) -> None:
    # One statement, with numbers and our own tags written into it: `executemany` costs
    # psycopg a statement a row, and every parameter costs both drivers.
    values = ", ".join([f"({run}, {seq}, '{kind}', %s)" for run, seq, kind, _ in rows])
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO chat_event (run_id, seq, kind, payload) VALUES {values}",  # noqa: S608
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
# whatever their number.
_ADVANCE_AND_INSERT: Final = """
WITH v AS (
  SELECT (r->>0)::bigint AS id, (r->>1)::bigint AS epoch,
         (r->>2)::bigint AS before, (r->>3)::bigint AS seq
  FROM json_array_elements(%s::json) r
), ours AS (
  UPDATE chat_run SET last_seq = v.seq FROM v
  WHERE chat_run.id = v.id AND chat_run.epoch = v.epoch
    AND chat_run.last_seq = v.before
  RETURNING chat_run.id
), events AS (
  INSERT INTO chat_event (run_id, seq, kind, payload)
  SELECT ours.id, (r->>1)::bigint, r->>2, r->>3
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
        values = encode(runs).decode(), encode(rows).decode()
        cursor.execute(_ADVANCE_AND_INSERT, values)
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
        error=None if event.error is UNSET else to_builtins(event.error),
        duration_ms=event.duration_ms,
        input_tokens=usage and usage.input_tokens,
        output_tokens=usage and usage.output_tokens,
        finished_at=datetime.now(UTC),
        heartbeat=None,
        process="",
    )


# ---------------------------------------------------------------- on the event loop


class RunLog:
    """One run's way into the log. Its owner adds events; the journal writes them."""

    __slots__ = (
        "_journal",
        "_pending",
        "_steps",
        "_waiters",
        "chars",
        "epoch",
        "last_seq",
        "lost",
        "number",
        "on_lost",
        "outage",
        "run_id",
        "session_id",
        "used",
    )

    def __init__(
        self,
        journal: Journal,
        run: Run,
        on_lost: Callable[[RunLostError], object],
    ) -> None:
        self.run_id: int = run.pk
        self.number: int = run.number
        self.session_id: UUID = run.session_id
        self.epoch: int = run.epoch
        self.last_seq: int = run.last_seq
        self.lost: RunLostError | None = None
        self.outage = 0.0  # seconds: the longest that the database was away
        self.on_lost = on_lost
        self.used: Usage | None = None  # tokens, to be stored with what comes next
        self.chars = 0
        self._journal = journal
        self._pending: list[Event | _Growth] = []
        self._steps: list[Step] = []
        self._waiters: list[asyncio.Future[None]] = []

    def delta(self, step: int, text: str) -> None:
        """Append `text` to an open step."""
        self.chars += len(text)
        pending = self._pending
        if pending:
            tail = pending[-1]
            if type(tail) is _Growth and tail.step == step:
                tail.chunks.append(text)
                return
        pending.append(_Growth(step, [text]))
        self._journal.wake(self)

    def add(self, event: Event, step: Step | None = None) -> None:
        """Add `event`; `step` is the row of the step that it finishes."""
        self._pending.append(event)
        if step is not None:
            self._steps.append(step)
        self._journal.wake(self, urgent=type(event) is not StepDelta)

    async def committed(self) -> None:
        """Return when all that was added is committed; raises RunLostError."""
        if self.lost is not None:
            raise self.lost
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._journal.wake(self, urgent=True)
        await waiter

    @property
    def crowded(self) -> bool:
        """Whether so much is pending that the agent should wait (`committed`)."""
        return self.chars > MAX_PENDING_CHARS

    def take(self) -> tuple[Batch | None, list[asyncio.Future[None]]]:
        """Hand over what is pending, numbered, with those who wait for it."""
        batch = None
        if self._pending:
            batch = make_batch(
                self.run_id, self.epoch, self.last_seq, self._pending, self._steps
            )
            self.last_seq = batch.last
            batch.used, self.used = self.used, None
            self._pending, self._steps, self.chars = [], [], 0
        waiters, self._waiters = self._waiters, []
        return batch, waiters

    def lose(self, error: RunLostError) -> None:
        """Nothing more can be written: tell the owner, once."""
        if self.lost is None:
            self.lost = error
            self.on_lost(error)
        self._pending, self._steps = [], []
        waiters, self._waiters = self._waiters, []
        _fail(waiters, error)


class Journal:
    """The group commit of one process. `publish` gets what was committed."""

    def __init__(self, publish: Callable[[list[tuple[UUID, Frame]]], None]) -> None:
        self._publish = publish
        self._dirty: dict[RunLog, None] = {}
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()
        self._logs: set[RunLog] = set()
        # One thread: its connection stays open, so it is closed in `close`.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._task = asyncio.create_task(self._flush_for_ever(), name="journal")

    def open(self, run: Run, on_lost: Callable[[RunLostError], object]) -> RunLog:
        """A log for a run that this process has claimed. Close it when it is over."""
        log = RunLog(self, run, on_lost)
        self._logs.add(log)
        return log

    def release(self, log: RunLog) -> None:
        """Nothing more will be added to `log`."""
        self._logs.discard(log)

    def wake(self, log: RunLog, *, urgent: bool = False) -> None:
        """`log` has something pending."""
        if log.lost is not None:
            log.lose(log.lost)
            return
        self._dirty[log] = None
        self._something.set()
        if urgent:
            self._urgent.set()

    async def between_flushes(self, query: Callable[[], T]) -> T:
        """`query()` in the journal's thread, so while no flush is under way.

        For whatever updates many of these runs at once: in another thread it would
        lock their rows in another order than a flush does, and each wait for the other.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, _kept, query)

    async def close(self) -> None:
        """Write what is pending, if the database answers within 2 s, and stop."""
        try:
            async with asyncio.timeout(2):
                for log in list(self._dirty):
                    if log.lost is None:
                        await log.committed()
        except (TimeoutError, RunLostError):
            logger.warning("closing with events that could not be committed")
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, connections.close_all)
        self._thread.shutdown(wait=False)

    async def _flush_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._something.wait()
            started = loop.time()
            await self._flush()
            pace = min(MAX_PACE, len(self._logs) / 1000)
            delay = started + pace - loop.time()
            if delay > 0 and not self._urgent.is_set():
                await _set_within(self._urgent, delay)

    async def _flush(self) -> None:
        self._something.clear()
        self._urgent.clear()
        dirty, self._dirty = self._dirty, {}
        taken = [(log, *found) for log in dirty if (found := _take(log)) is not None]
        batches = [batch for _, batch, _ in taken if batch is not None]
        if batches:
            started = time.monotonic()
            written, spoilt = await self._write(batches)
            outage = time.monotonic() - started
            if outage > RETRY_DELAYS[-1]:
                for log in self._logs:
                    log.outage = max(log.outage, outage)
        else:
            written, spoilt = set(), set()
        frames = [
            (log.session_id, batch.frame(log.number))
            for log, batch, _ in taken
            if batch is not None and batch.run_id in written
        ]
        try:
            self._publish(frames)
        except Exception:
            # Viewers find what they were not told of; no run may stop for that.
            logger.exception("committed events could not be published")
        for log, batch, waiters in taken:
            if batch is None or batch.run_id in written:
                _succeed(waiters)
                continue
            error = RunLostError("spoilt" if batch.run_id in spoilt else "fenced")
            _fail(waiters, error)
            log.lose(error)

    async def _write(self, batches: list[Batch]) -> tuple[set[int], set[int]]:
        """The ids of the runs written, and of those that no retry could write."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            try:
                return await loop.run_in_executor(self._thread, _transact, batches)
            except TRANSIENT as error:
                delay = RETRY_DELAYS[min(failures, len(RETRY_DELAYS) - 1)]
                failures += 1
                if failures in (1, 10, 100):
                    logger.warning("the database is away, trying again: %s", error)
                await asyncio.sleep(delay)


def _take(log: RunLog) -> tuple[Batch | None, list[asyncio.Future[None]]] | None:
    """What `log` has pending; None, and the log is lost, where it has no JSON text."""
    try:
        return log.take()
    except Exception:
        # Whatever its agent put in: the other runs must not suffer.
        logger.exception("events of run %s cannot be encoded", log.run_id)
        log.lose(RunLostError("spoilt"))
        return None


def _kept(query: Callable[[], T]) -> T:
    """`query()` with the thread's own connection, given up where it fails."""
    try:
        return query()
    except TRANSIENT:
        connection.close()
        raise


def _transact(batches: list[Batch]) -> tuple[set[int], set[int]]:
    try:
        if connection.vendor == "postgresql" and not any(map(_has_more, batches)):
            return _write_at_once(batches), set()
        with transaction.atomic():
            return write(batches), set()
    except TRANSIENT:
        connection.close()
        raise
    except Exception:
        # Not DatabaseError alone: adapters raise OverflowError, ValueError and more.
        logger.exception("a batch of %d runs could not be written", len(batches))
        if len(batches) == 1:
            return set(), {batches[0].run_id}
    # Something in one run's events is the matter: the others must not suffer.
    written: set[int] = set()
    spoilt: set[int] = set()
    for batch in batches:
        ok, bad = _transact([batch])
        written |= ok
        spoilt |= bad
    return written, spoilt


def _has_more(batch: Batch) -> bool:
    """Than events."""
    return bool(batch.steps) or batch.finished is not None or batch.used is not None


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _succeed(waiters: Iterable[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _fail(waiters: Iterable[asyncio.Future[None]], error: RunLostError) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)


__all__ = ["Batch", "Journal", "RunLog", "RunLostError", "make_batch", "write"]
