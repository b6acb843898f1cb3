"""The journal: numbered densely, committed before shown, fenced, one for all runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, close_old_connections, connections, transaction

from chat import store
from chat.log import journal
from chat.log.batches import Batch, make_batch, write
from chat.log.journal import Journal, RunLog, RunLostError
from chat.models import Event as EventRow, Run, Session, Step
from chat.store.database import db
from chat.wire.protocol import (
    Frame,
    RunFinished,
    StepDelta,
    StepFinished,
    StepStarted,
    Usage,
)
from chat.wire.transcript import digest, fold
from tests.rows import is_postgresql, log_of, running_run

pytestmark = pytest.mark.django_db(transaction=True)

Transact = Callable[[list[Batch]], journal.Outcome]


class Published(list[tuple[UUID, Frame]]):
    """What was handed on, flush by flush; each must be in the database by then."""

    def __init__(self) -> None:
        self.flushes: list[int] = []
        self._other = ThreadPoolExecutor(1)

    def __call__(self, frames: list[tuple[UUID, Frame]]) -> None:
        self._other.submit(self._check, frames).result()
        self.extend(frames)
        self.flushes.append(len(frames))

    def _check(self, frames: list[tuple[UUID, Frame]]) -> None:
        for session_id, frame in frames:
            rows = EventRow.objects.filter(
                run__session_id=session_id,
                run__number=frame.run,
                seq__gte=frame.first,
                seq__lte=frame.last,
            )
            assert rows.count() == frame.last - frame.first + 1
        close_old_connections()


@asynccontextmanager
async def keeping() -> AsyncIterator[tuple[Journal, Published]]:
    published = Published()
    kept = Journal(published)
    try:
        yield kept, published
    finally:
        await kept.flush()
        await kept.close()


def started(step: int) -> StepStarted:
    return StepStarted(step=step, type="final_answer", iteration=1, timestamp=1.0)


def finished(run_id: int, step: int, text: str) -> tuple[StepFinished, Step]:
    event = StepFinished(step=step, status="ok", duration_ms=1, digest=digest(text))
    row = Step(
        run_id=run_id,
        step=step,
        type="final_answer",
        iteration=1,
        content=text,
        status="ok",
        started_at=datetime.fromtimestamp(1, UTC),
        duration_ms=1,
        digest=event.digest,
    )
    return event, row


def unexpected(error: RunLostError) -> None:
    raise AssertionError(error)


class Gate:
    """Holds the journal's transactions back, to see what gathers meanwhile."""

    def __init__(self, transact: Transact) -> None:
        self._transact = transact
        self._open = threading.Event()
        self.reached = threading.Event()

    def __call__(self, batches: list[Batch]) -> journal.Outcome:
        self.reached.set()
        assert self._open.wait(30)
        return self._transact(batches)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    held = Gate(journal._transact)
    monkeypatch.setattr(journal, "_transact", held)
    yield held
    held.open()


def fail_first(
    monkeypatch: pytest.MonkeyPatch, times: int, *, after_commit: bool
) -> list[int]:
    """The first transactions lose the database, before or after the commit."""
    transact = journal._transact
    failures: list[int] = []

    def failing(batches: list[Batch]) -> journal.Outcome:
        if len(failures) < times:
            if after_commit:
                transact(batches)
            failures.append(len(batches))
            raise OperationalError("the connection was lost")
        return transact(batches)

    monkeypatch.setattr(journal, "_transact", failing)
    monkeypatch.setattr(journal, "RETRY_DELAYS", (0.001,))
    return failures


# ---------------------------------------------------------------- numbering


async def test_events_are_numbered_densely_and_committed_before_they_are_shown() -> (
    None
):
    run = await db(running_run)
    async with keeping() as (kept, published):
        log = kept.open(run, unexpected)
        for step in range(3):
            log.add(started(step))
            log.delta(step, "Hel")
            await log.committed()
            log.delta(step, "lo")
            log.add(*finished(run.pk, step, "Hello"))
        await log.committed()
    events = await db(log_of, run.pk)
    assert [step.content for step in fold(1, events).steps.values()] == ["Hello"] * 3
    shown = [event for _, frame in published for event in frame.events()]
    assert shown == events[2:]  # run_created and run_started were there before


async def test_deltas_that_come_while_a_flush_is_under_way_are_one_event(
    gate: Gate,
) -> None:
    run = await db(running_run)
    async with keeping() as (kept, _):
        log = kept.open(run, unexpected)
        log.add(started(0))
        await asyncio.to_thread(gate.reached.wait, 30)
        for text in ("one ", "two ", "three"):
            log.delta(0, text)
        log.add(started(1))
        log.delta(1, "other")
        log.delta(0, " four")
        gate.open()
        await log.committed()
    *_, first, second, third, fourth = await db(log_of, run.pk)
    assert first == StepDelta(seq=4, step=0, text="one two three")
    assert second == started_at(5, 1)
    assert third == StepDelta(seq=6, step=1, text="other")
    assert fourth == StepDelta(seq=7, step=0, text=" four")


def started_at(seq: int, step: int) -> StepStarted:
    return StepStarted(
        seq=seq, step=step, type="final_answer", iteration=1, timestamp=1.0
    )


async def test_a_finished_step_has_its_row_with_the_event_that_finished_it() -> None:
    run = await db(running_run)
    async with keeping() as (kept, _):
        log = kept.open(run, unexpected)
        log.add(started(0))
        log.delta(0, "Hello")
        log.add(*finished(run.pk, 0, "Hello"))
        await log.committed()
    row = await db(Step.objects.get, run_id=run.pk)
    assert (row.seq, row.content, row.digest) == (5, "Hello", digest("Hello"))


async def test_the_end_is_written_into_the_run() -> None:
    run = await db(running_run)
    async with keeping() as (kept, _):
        log = kept.open(run, unexpected)
        log.add(RunFinished(reason="answered", duration_ms=9, usage=Usage(3, 5)))
        await log.committed()
    row = await db(Run.objects.get, id=run.pk)
    assert (row.status, row.reason, row.duration_ms) == ("finished", "answered", 9)
    assert (row.input_tokens, row.output_tokens) == (3, 5)
    assert row.process is None
    assert row.finished_at is not None


async def test_what_was_used_so_far_is_written_with_whatever_comes_next() -> None:
    run = await db(running_run)
    async with keeping() as (kept, _):
        log = kept.open(run, unexpected)
        log.add(started(0))
        await log.committed()
        log.used = Usage(3, 5)
        log.delta(0, "no step is finished here")
        await log.committed()
    row = await db(Run.objects.get, id=run.pk)
    assert (row.input_tokens, row.output_tokens) == (3, 5)


async def test_a_finished_step_clears_the_count_of_takeovers() -> None:
    run = await db(running_run)
    await db(Run.objects.filter(id=run.pk).update, takeovers=2)
    async with keeping() as (kept, _):
        log = kept.open(run, unexpected)
        log.add(started(0))
        log.delta(0, "Hello")
        await log.committed()
        assert (await db(Run.objects.get, id=run.pk)).takeovers == 2
        log.add(*finished(run.pk, 0, "Hello"))
        await log.committed()
    assert (await db(Run.objects.get, id=run.pk)).takeovers == 0


# ---------------------------------------------------------------- group commit


async def test_one_transaction_serves_all_runs(gate: Gate) -> None:
    runs = [await db(running_run) for _ in range(20)]
    async with keeping() as (kept, published):
        logs = [kept.open(run, unexpected) for run in runs]
        logs[0].add(started(0))
        await asyncio.to_thread(gate.reached.wait, 30)
        for log in logs:
            log.add(started(1))
            log.delta(1, f"for {log.run_id}")
        gate.open()
        await asyncio.gather(*(log.committed() for log in logs))
    assert published.flushes == [1, 20]
    for run in runs:
        text = next(iter(fold(1, await db(log_of, run.pk)).steps.values()))
        assert text is not None
        assert f"for {run.pk}" in [s.content for s in await db(steps_of, run.pk)]


def steps_of(run_id: int) -> list[Any]:
    return list(fold(1, log_of(run_id)).steps.values())


async def test_many_runs_share_twenty_transactions_a_second() -> None:
    run = await db(running_run)
    async with keeping() as (kept, published):
        logs = [kept.open(run, unexpected) for _ in range(100)]
        logs[0].add(started(0))
        await logs[0].committed()
        loop = asyncio.get_running_loop()
        before = len(published.flushes)
        end = loop.time() + 0.3
        while loop.time() < end:
            logs[0].delta(0, "x")
            await asyncio.sleep(0)
        assert len(published.flushes) - before <= 8
        await logs[0].committed()


# ---------------------------------------------------------------- fencing


async def test_who_has_lost_the_run_can_write_nothing_more() -> None:
    run = await db(running_run)
    other = await db(running_run)
    lost: list[RunLostError] = []
    async with keeping() as (kept, published):
        log = kept.open(run, lost.append)
        healthy = kept.open(other, unexpected)
        log.add(started(0))
        await log.committed()
        await db(Run.objects.filter(id=run.pk).update, epoch=run.epoch + 1)
        shown = len(published)
        log.delta(0, "late")
        healthy.add(started(0))
        with pytest.raises(RunLostError):
            await log.committed()
        await healthy.committed()
        log.delta(0, "later")
        with pytest.raises(RunLostError):
            await log.committed()
        assert len(lost) == 1
        assert {frame.run for _, frame in published[shown:]} == {other.number}
        assert {session for session, _ in published[shown:]} == {other.session_id}
    assert len(await db(log_of, run.pk)) == 3
    assert len(await db(log_of, other.pk)) == 3


async def test_what_another_writer_added_fences_too() -> None:
    """The same epoch, but not the same place: nothing may be written twice."""
    run = await db(running_run)
    async with keeping() as (kept, _):
        first = kept.open(run, unexpected)
        second = kept.open(run, lambda _: None)
        first.add(started(0))
        await first.committed()
        second.add(started(0))
        second.delta(0, "double")
        with pytest.raises(RunLostError):
            await second.committed()
    assert len(await db(log_of, run.pk)) == 3


# ---------------------------------------------------------------- trouble


@pytest.mark.parametrize("after_commit", [False, True], ids=["before", "after"])
async def test_a_connection_lost_around_the_commit_neither_loses_nor_doubles(
    monkeypatch: pytest.MonkeyPatch, *, after_commit: bool
) -> None:
    runs = [await db(running_run) for _ in range(3)]
    failures = fail_first(monkeypatch, 3, after_commit=after_commit)
    async with keeping() as (kept, published):
        logs = [kept.open(run, unexpected) for run in runs]
        for log in logs:
            log.add(started(0))
            log.delta(0, "Hello")
            log.add(*finished(log.run_id, 0, "Hello"))
        await asyncio.gather(*(log.committed() for log in logs))
        assert failures == [3, 3, 3]
        for log in logs:
            log.add(RunFinished(reason="answered", duration_ms=1))
        await asyncio.gather(*(log.committed() for log in logs))
    for run in runs:
        events = await db(log_of, run.pk)
        assert len(events) == 6
        shown = [
            event
            for session, frame in published
            if session == run.session_id
            for event in frame.events()
        ]
        assert shown == events[2:]
        assert await db(Step.objects.filter(run_id=run.pk).count) == 1


async def test_a_run_that_was_stopped_around_a_lost_answer_stays_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await db(running_run)
    fail_first(monkeypatch, 1, after_commit=True)
    retrying = journal._transact

    def stop_meanwhile(batches: list[Batch]) -> journal.Outcome:
        try:
            return retrying(batches)
        except OperationalError:
            Run.objects.filter(id=run.pk).update(epoch=run.epoch + 1)
            raise

    monkeypatch.setattr(journal, "_transact", stop_meanwhile)
    async with keeping() as (kept, published):
        log = kept.open(run, lambda _: None)
        log.add(started(0))
        with pytest.raises(RunLostError):
            await log.committed()
        assert published == []
    assert len(await db(log_of, run.pk)) == 3


async def test_one_run_that_cannot_be_written_does_not_hurt_the_others(
    gate: Gate,
) -> None:
    runs = [await db(running_run) for _ in range(3)]
    lost: list[RunLostError] = []
    async with keeping() as (kept, published):
        logs = [kept.open(run, lost.append) for run in runs]
        logs[0].add(started(0))
        await asyncio.to_thread(gate.reached.wait, 30)
        event, row = finished(runs[1].pk, 0, "Hello")
        row.iteration = -1  # which a constraint forbids
        for log in logs:
            log.add(started(1))
        logs[1].add(event, row)
        gate.open()
        await logs[0].committed()
        with pytest.raises(RunLostError, match="spoilt"):
            await logs[1].committed()
        await logs[2].committed()
        assert len(lost) == 1
        logs[2].delta(1, "goes on")
        await logs[2].committed()
        assert {session for session, _ in published} == {
            runs[0].session_id,
            runs[2].session_id,
        }
    assert len(await db(log_of, runs[1].pk)) == 2


@pytest.mark.parametrize("value", ["\ud800", 2**70], ids=["surrogate", "huge"])
async def test_what_cannot_be_encoded_costs_its_own_run_only(value: object) -> None:
    runs = [await db(running_run) for _ in range(2)]
    lost: list[RunLostError] = []
    async with keeping() as (kept, _):
        logs = [kept.open(run, lost.append) for run in runs]
        event, row = finished(runs[0].pk, 0, "Hello")
        logs[0].add(
            StepFinished(
                step=event.step,
                status="ok",
                duration_ms=1,
                digest=event.digest,
                tool_input={"value": value, "object": object()},
            ),
            row,
        )
        logs[1].add(started(0))
        await logs[1].committed()
        with pytest.raises(RunLostError, match="spoilt"):
            await logs[0].committed()
        assert len(lost) == 1
        logs[1].delta(0, "goes on")
        await logs[1].committed()


async def test_a_publisher_that_fails_does_not_stop_the_journal() -> None:
    run = await db(running_run)
    kept = Journal(failing_publisher)
    log = kept.open(run, unexpected)
    for number in range(3):
        log.add(started(number))
        await log.committed()
    await kept.close()
    assert len(await db(log_of, run.pk)) == 5


def failing_publisher(_frames: object) -> None:
    raise ValueError("a viewer is broken")


# ---------------------------------------------------------------- waiting


async def test_with_nothing_to_write_there_is_nothing_to_wait_for() -> None:
    run = await db(running_run)
    async with keeping() as (kept, published):
        await kept.open(run, unexpected).committed()
        assert published == []


async def test_all_who_wait_are_told(gate: Gate) -> None:
    run = await db(running_run)
    async with keeping() as (kept, _):
        log = kept.open(run, unexpected)
        log.add(started(0))
        waiting = [asyncio.create_task(log.committed()) for _ in range(5)]
        await asyncio.to_thread(gate.reached.wait, 30)
        log.delta(0, "more")
        waiting += [asyncio.create_task(log.committed()) for _ in range(5)]
        gave_up = asyncio.create_task(log.committed())
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        gave_up.cancel()
        gate.open()
        await asyncio.gather(*waiting)


async def test_a_log_is_crowded_until_it_is_written(gate: Gate) -> None:
    run = await db(running_run)
    async with keeping() as (kept, _):
        log = kept.open(run, unexpected)
        log.add(started(0))
        await asyncio.to_thread(gate.reached.wait, 30)
        while not log.crowded:
            log.delta(0, "x" * 100_000)
        assert log.chars <= journal.MAX_PENDING_CHARS + 100_000
        gate.open()
        await log.committed()
        assert not log.crowded


async def test_closing_writes_what_is_pending() -> None:
    run = await db(running_run)
    published = Published()
    kept = Journal(published)
    log = kept.open(run, unexpected)
    log.add(started(0))
    log.delta(0, "last words")
    await kept.flush()
    await kept.close()
    assert len(await db(log_of, run.pk)) == 4
    assert published[-1][1].last == 4


async def test_closing_does_not_wait_for_a_database_that_hangs(gate: Gate) -> None:
    run = await db(running_run)
    kept = Journal(Published())
    log = kept.open(run, unexpected)
    log.add(started(0))
    await asyncio.to_thread(gate.reached.wait, 30)
    async with asyncio.timeout(2 * journal.CLOSE_SECONDS + 1):
        await kept.flush()
        await kept.close()
    assert len(await db(log_of, run.pk)) == 2


async def test_a_flush_that_fails_in_no_known_way_costs_its_own_runs_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [await db(running_run) for _ in range(2)]
    lost: list[RunLostError] = []
    async with keeping() as (kept, _):
        first, second = kept.open(runs[0], lost.append), kept.open(runs[1], unexpected)
        with monkeypatch.context() as patched:
            patched.setattr(journal, "_transact", lambda _: 1 / 0)
            first.add(started(0))
            with pytest.raises(RunLostError):
                await first.committed()
        second.add(started(0))
        await second.committed()
    assert len(lost) == 1
    assert len(await db(log_of, runs[1].pk)) == 3


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Somebody holds the run's row, until the block ends."""
    release, holds = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Run.objects.select_for_update().get(id=run.pk)
            holds.set()
            assert release.wait(30)
        connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(hold)
        assert holds.wait(30)
        try:
            yield
        finally:
            release.set()
            held.result()


@pytest.mark.parametrize("with_step", [False, True])
async def test_a_run_that_somebody_has_locked_keeps_no_other_waiting(
    *, with_step: bool
) -> None:
    if not is_postgresql():
        pytest.skip("on SQLite writers queue")
    runs = [await db(running_run) for _ in range(3)]
    async with keeping() as (kept, published):
        logs = [kept.open(run, unexpected) for run in runs]
        with locked(runs[1]):
            for log in logs:
                log.add(started(0))
                log.delta(0, "one ")
            async with asyncio.timeout(5):
                await asyncio.gather(logs[0].committed(), logs[2].committed())
            waiting = asyncio.create_task(logs[1].committed())
            loop = asyncio.get_running_loop()
            for log in logs:  # from now on nothing stands still at all
                log.delta(0, "two")
                if with_step:
                    log.add(*finished(log.run_id, 0, "one two"))
            begun = loop.time()
            await asyncio.gather(logs[0].committed(), logs[2].committed())
            assert loop.time() - begun < journal.HELD_SECONDS
            await asyncio.sleep(3 * journal.HELD_SECONDS)  # it is tried meanwhile
            assert not waiting.done()
            assert runs[1].session_id not in {session for session, _ in published}
        await waiting
        await logs[1].committed()
    shown = [fold(1, await db(log_of, run.pk)).steps[0].content for run in runs]
    assert shown == ["one two"] * 3


async def test_a_run_that_is_deleted_while_it_waits_is_lost() -> None:
    if not is_postgresql():
        pytest.skip("on SQLite writers queue")
    run = await db(running_run)
    lost: list[RunLostError] = []
    async with keeping() as (kept, _):
        log = kept.open(run, lost.append)
        with locked(run):
            log.add(started(0))
            waiting = asyncio.create_task(log.committed())
            await asyncio.sleep(2 * journal.HELD_SECONDS)
        await db(store.erase, Session.objects.filter(id=run.session_id))
        log.add(started(1))
        with pytest.raises(RunLostError):
            await log.committed()
        await asyncio.gather(waiting, return_exceptions=True)
    assert lost


# ---------------------------------------------------------------- in a transaction


def batch_of(run: Run, *events: Any) -> Batch:
    return make_batch(run.pk, run.epoch, run.last_seq, events)


def test_a_batch_is_written_once_however_often_it_is_tried() -> None:
    run = running_run()
    run.refresh_from_db()
    batch = batch_of(run, started(0))
    for _ in range(3):
        with transaction.atomic():
            assert write([batch]) == {run.pk}
    assert len(log_of(run.pk)) == 3


def test_a_batch_with_an_old_epoch_is_not_written() -> None:
    run = running_run()
    run.refresh_from_db()
    batch = batch_of(run, started(0))
    Run.objects.filter(id=run.pk).update(epoch=run.epoch + 1)
    with transaction.atomic():
        assert write([batch]) == set()
    assert len(log_of(run.pk)) == 2


def test_a_batch_of_a_run_that_is_gone_is_not_written() -> None:
    run = running_run()
    run.refresh_from_db()
    batch = batch_of(run, started(0))
    run.session.delete()
    with transaction.atomic():
        assert write([batch]) == set()


def test_a_frame_holds_what_the_batch_wrote() -> None:
    run = running_run()
    run.refresh_from_db()
    batch = batch_of(run, started(0), started(1))
    frame = batch.frame(9)
    assert (frame.run, frame.first, frame.last) == (9, 3, 4)
    assert frame.events() == [started_at(3, 0), started_at(4, 1)]


def test_a_log_needs_nothing_but_its_journal() -> None:
    assert RunLog.__slots__  # many logs must stay small
