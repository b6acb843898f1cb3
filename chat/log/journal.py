"""The only writer of events: gathers them, commits them, and fences off old owners.

One flush is one transaction for all runs of the process. It starts as soon as
something is pending and no other flush is under way; what comes meanwhile rides in
the next one, neighbouring deltas of a step as one event. Only what is committed is
handed on for publishing, so nobody is shown what the log does not hold. A run that
somebody else has locked waits by itself; the flushes of the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection, connections
from msgspec import UNSET

from chat import metrics
from chat.log.batches import (
    LOCK_TIMEOUT,
    Batch,
    Growth,
    commit,
    commit_unlocked,
    make_batch,
    since,
)
from chat.log.errors import answered, is_busy, is_transient, note_failure
from chat.models import Run, Step
from chat.threads import DaemonExecutor
from chat.wire.protocol import Event, Frame, StepDelta, StepProgress, Usage

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The ids of runs that were written, that no retry can write, and that are locked.
Outcome: TypeAlias = tuple[set[int], set[int], set[int]]

CHARS_OF_PROGRESS: Final = 256  # that each counts for, though it replaces the last
MAX_PENDING_CHARS: Final = 1024 * 1024  # per run; then its agent waits for the database
PACE_PER_RUN: Final = 0.003  # seconds from one flush to the next, for each run
MAX_PACE: Final = 0.040  # and at most
RETRY_DELAYS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)  # seconds; the last one repeats
HELD_SECONDS: Final = LOCK_TIMEOUT  # from one try to the next for who is locked
CLOSE_SECONDS: Final = 2.0  # for each part of closing


class RunLostError(Exception):
    """Another process, or a stop, has taken the run: nothing more can be written."""


class RunLog:
    """One run's way into the log. Its owner adds events; the journal writes them."""

    __slots__ = (
        "_journal",
        "_pending",
        "_started",
        "_steps",
        "_waiters",
        "agent_name",
        "asked_at",
        "chars",
        "dirty_since",
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
        self.agent_name: str = run.agent_name
        # Until the first text is written (Unix seconds). Of runs that began at once:
        # how long others waited says `Load.wait`.
        asked: datetime | None = run.created_at
        self.asked_at = asked.timestamp() if asked and run.epoch == 1 else None
        self.dirty_since = 0.0  # when (monotonic) what is pending began
        self.epoch: int = run.epoch
        self.last_seq: int = run.last_seq
        self.lost: RunLostError | None = None
        self.outage = 0.0  # seconds: the longest that the database was away
        self.on_lost = on_lost
        self.used: Usage | None = None  # tokens, to be stored with what comes next
        self.chars = 0
        self._journal = journal
        self._started: datetime | None = run.started_at
        self._pending: list[Event | Growth] = []
        self._steps: list[Step] = []
        self._waiters: list[asyncio.Future[None]] = []

    def delta(self, step: int, text: str) -> None:
        """Append `text` to an open step."""
        self.chars += len(text)
        pending = self._pending
        if pending:
            tail = pending[-1]
            if type(tail) is Growth and tail.step == step:
                tail.chunks.append(text)
                return
        pending.append(Growth(step, [text]))
        self._journal.wake(self)

    def add(self, event: Event, step: Step | None = None) -> None:
        """Add `event`; `step` is the row of the step that it finishes."""
        self._pending.append(event)
        if step is not None:
            self._steps.append(step)
        self._journal.wake(self, urgent=type(event) is not StepDelta)

    def progress(self, event: StepProgress) -> None:
        """Add how far a step has come, in place of what has not been written of it."""
        self.chars += CHARS_OF_PROGRESS
        pending = self._pending
        for at in range(len(pending) - 1, -1, -1):
            earlier = pending[at]
            if type(earlier) is not StepProgress:
                break
            if earlier.step == event.step:
                pending[at] = event
                return
        pending.append(event)
        self._journal.wake(self)

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
                self.run_id,
                self.epoch,
                self.last_seq,
                self._pending,
                self._steps,
                since(self._started),
            )
            self.last_seq = batch.last
            batch.used, self.used = self.used, None
            self._pending, self._steps, self.chars = [], [], 0
        waiters, self._waiters = self._waiters, []
        return batch, waiters

    @property
    def has_more(self) -> bool:
        """Whether there is something to `take`."""
        return bool(self._pending or self._waiters)

    def lose(self, error: RunLostError) -> None:
        """Nothing more can be written: tell the owner, once."""
        if self.lost is None:
            self.lost = error
            self.on_lost(error)
        self._pending, self._steps = [], []
        waiters, self._waiters = self._waiters, []
        _fail(waiters, error)


class _Taken(NamedTuple):
    """What a flush has taken from a log, and who waits for it."""

    log: RunLog
    batch: Batch | None
    waiters: list[asyncio.Future[None]]
    began: float  # when (monotonic) the first of it was added


class Journal:
    """The group commit of one process. `publish` gets what was committed."""

    def __init__(self, publish: Callable[[list[tuple[UUID, Frame]]], None]) -> None:
        self._publish = publish
        self._dirty: dict[RunLog, None] = {}
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()
        self._logs: set[RunLog] = set()
        # What somebody else's lock keeps from being written. What comes after it
        # gathers in the log.
        self._held: dict[RunLog, _Taken] = {}
        self._held_are_due = False
        # One thread: its connection stays open, so it is closed in `close`.
        self._thread = DaemonExecutor(1, "journal")
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
        if log not in self._dirty:
            log.dirty_since = time.monotonic()
            self._dirty[log] = None
        self._something.set()
        if urgent:
            self._urgent.set()

    async def between_flushes(self, query: Callable[[], T]) -> T:
        """`query()` over the journal's own connection, while no flush is under way.

        Cheaper than over one of the pool's, for what is asked once in a run.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, _kept, query)

    async def flush(self) -> None:
        """Write what is pending, if the database answers in time."""
        logs = [log for log in (*self._dirty, *self._held) if log.lost is None]
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(
                    *(log.committed() for log in logs), return_exceptions=True
                )
        except TimeoutError:
            logger.warning("closing with events that could not be committed")

    async def close(self) -> None:
        """Stop, whatever the database does."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await loop.run_in_executor(self._thread, connections.close_all)
        except TimeoutError:
            logger.warning("the database does not answer: leaving a connection open")
        self._thread.shutdown()

    async def _flush_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._something.wait()
            started = loop.time()
            await self._flush()
            pace = min(MAX_PACE, len(self._logs) * PACE_PER_RUN)
            delay = started + pace - loop.time()
            if delay > 0 and not self._urgent.is_set():
                await _set_within(self._urgent, delay)

    async def _flush(self) -> None:
        self._something.clear()
        self._urgent.clear()
        dirty, self._dirty = self._dirty, {}
        taken = [_take(log) for log in dirty if log not in self._held]
        await self._keep([found for found in taken if found is not None], _transact)
        if self._held_are_due:
            self._held_are_due = False
            held, self._held = self._held, {}
            await self._keep(list(held.values()), _transact_unlocked)
            for log in held:
                if log.has_more and log not in self._held:
                    self.wake(log)

    async def _keep(
        self, taken: list[_Taken], transact: Callable[[list[Batch]], Outcome]
    ) -> None:
        """Write what was taken, and tell everybody what became of it."""
        batches = [one.batch for one in taken if one.batch is not None]
        written, spoilt, held = set[int](), set[int](), set[int]()
        frames: list[tuple[UUID, Frame]] = []
        try:
            if batches:
                written, spoilt, held = await self._write(batches, transact)
            frames = [
                (log.session_id, batch.frame(log.number))
                for log, batch, _, _ in taken
                if batch is not None and batch.run_id in written
            ]
        except Exception:
            # Without this task no run of the process could go on.
            logger.exception("a flush of %d runs failed", len(batches))
            spoilt = {batch.run_id for batch in batches}
        try:
            self._publish(frames)
        except Exception:
            # Viewers find what they were not told of; no run may stop for that.
            logger.exception("committed events could not be published")
        _count(taken, written)
        for one in taken:
            if one.batch is None or one.batch.run_id in written:
                _succeed(one.waiters)
            elif one.batch.run_id in held:
                self._hold(one)
            else:
                is_spoilt = one.batch.run_id in spoilt
                error = RunLostError("spoilt" if is_spoilt else "fenced")
                _fail(one.waiters, error)
                one.log.lose(error)

    def _hold(self, taken: _Taken) -> None:
        """Try again in a while."""
        if not self._held:
            asyncio.get_running_loop().call_later(HELD_SECONDS, self._try_held)
        self._held[taken.log] = taken

    def _try_held(self) -> None:
        self._held_are_due = True
        self._something.set()

    async def _write(
        self, batches: list[Batch], transact: Callable[[list[Batch]], Outcome]
    ) -> Outcome:
        """Write the batches, however long the database is away."""
        loop = asyncio.get_running_loop()
        started = time.monotonic()
        failures = 0
        while True:
            try:
                begun = time.monotonic()
                outcome = await loop.run_in_executor(self._thread, transact, batches)
            except (DatabaseError, InterfaceError) as error:
                metrics.ERRORS.labels("database").inc()
                delay = RETRY_DELAYS[min(failures, len(RETRY_DELAYS) - 1)]
                failures += 1
                note_failure("a flush", error)
                await asyncio.sleep(delay)
                continue
            answered()
            metrics.FLUSH_SECONDS.observe(time.monotonic() - begun)
            self._note_outage(time.monotonic() - started)
            return outcome

    def _note_outage(self, seconds: float) -> None:
        if seconds > RETRY_DELAYS[-1]:
            for log in self._logs:
                log.outage = max(log.outage, seconds)


def _take(log: RunLog) -> _Taken | None:
    """What `log` has pending; None, and the log is lost, where it has no JSON text."""
    try:
        return _Taken(log, *log.take(), log.dirty_since)
    except Exception:
        # Whatever its agent put in: the other runs must not suffer.
        logger.exception("events of run %s cannot be encoded", log.run_id)
        log.lose(RunLostError("spoilt"))
        return None


def _kept(query: Callable[[], T]) -> T:
    """`query()` with the thread's own connection, given up where it fails."""
    try:
        return query()
    except (DatabaseError, InterfaceError):
        connection.close()
        raise


def _transact(batches: list[Batch]) -> Outcome:
    """Write the batches. Raises an error of the database that will pass."""
    try:
        return commit(batches), set(), set()
    except Exception as error:  # noqa: BLE001  (sorted out, and logged, below)
        if is_busy(error):
            return _transact_unlocked(batches)
        return _after(error, batches, _transact)


def _transact_unlocked(batches: list[Batch]) -> Outcome:
    """As `_transact`, but for the runs that somebody has locked."""
    try:
        written, held = commit_unlocked(batches)
    except Exception as error:  # noqa: BLE001  (sorted out, and logged, below)
        if is_busy(error):  # more is locked than rows of runs
            return set(), set(), {batch.run_id for batch in batches}
        return _after(error, batches, _transact_unlocked)
    return written, set(), held


def _after(
    error: Exception,
    batches: list[Batch],
    transact: Callable[[list[Batch]], Outcome],
) -> Outcome:
    """Go on after a transaction has failed; raises what will pass."""
    if is_transient(error):
        connection.close()
        raise error
    # Not DatabaseError alone: adapters raise OverflowError, ValueError and more.
    logger.error("a batch of %d runs failed", len(batches), exc_info=error)
    if len(batches) == 1:
        return set(), {batches[0].run_id}, set()
    # Something in one run's events is the matter: the others must not suffer.
    outcomes = [transact([batch]) for batch in batches]
    written, spoilt, held = (
        set[int]().union(*ids) for ids in zip(*outcomes, strict=True)
    )
    return written, spoilt, held


def _count(taken: Iterable[_Taken], written: Collection[int]) -> None:
    """Tell Prometheus what was written, and how long after it was said."""
    now = time.monotonic()
    events = 0
    for log, batch, _, began in taken:
        if batch is None or batch.run_id not in written:
            continue
        events += len(batch.rows)
        metrics.DELIVERY_SECONDS.observe(now - began)
        if log.asked_at is not None and _has_text(batch):
            metrics.FIRST_TEXT_SECONDS.observe(max(0.0, time.time() - log.asked_at))
            log.asked_at = None
        for step in batch.steps:
            if step.type == Step.Type.TOOL_RESULT:
                metrics.TOOL_CALLS.labels(step.status).inc()
        if batch.finished is not None:
            metrics.RUNS_ENDED.labels(log.agent_name, batch.finished.reason).inc()
            if batch.finished.usage is not UNSET:
                metrics.TOKENS.labels("input").inc(batch.finished.usage.input_tokens)
                metrics.TOKENS.labels("output").inc(batch.finished.usage.output_tokens)
    if events:
        metrics.FLUSH_EVENTS.observe(events)


def _has_text(batch: Batch) -> bool:
    return any('"kind":"step_delta"' in payload for *_, payload in batch.rows)


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
