"""The only writer of events: gathers them, commits them, and fences off old owners.

One flush is one transaction for all runs of the process. It starts as soon as
something is pending and no other flush is under way; what comes meanwhile rides in
the next one, neighbouring deltas of a step as one event. Only what is committed is
handed on for publishing, so nobody is shown what the log does not hold.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, connections

from chat.log.batches import Batch, Growth, commit, make_batch
from chat.models import Run, Step
from chat.wire.protocol import Event, Frame, StepDelta, Usage

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PENDING_CHARS: Final = 1024 * 1024  # per run; then its agent waits for the database
MAX_PACE: Final = 0.050  # seconds from one flush to the next, at most
RETRY_DELAYS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)  # seconds; the last one repeats
TRANSIENT: Final = (OperationalError, InterfaceError)  # the database is away, or busy


class RunLostError(Exception):
    """Another process, or a stop, has taken the run: nothing more can be written."""


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
        return commit(batches), set()
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
