"""Deleting for good, also what is being answered: nothing is left, nobody is hurt."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

import pytest
from django.db import connections

from chat import store
from chat.log.batches import commit, make_batch
from chat.models import Event as EventRow, Run, Session, Step
from chat.store.database import settled
from chat.wire.protocol import StepDelta, StepStarted
from tests.rows import ask, queued_run, running_run

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 3


def write_until_fenced(
    run: Run, begun: threading.Barrier, given_up: threading.Event
) -> int:
    """What a journal does, until the run is not its any more. How often it wrote."""
    seq, writes = run.last_seq, 0
    started = StepStarted(step=0, type="thought", iteration=1, timestamp=1)
    events: list[StepStarted | StepDelta] = [started]
    try:
        while not given_up.is_set():
            batch = make_batch(run.pk, run.epoch, seq, events)
            if not settled(commit, [batch]):
                return writes
            seq, writes, events = batch.last, writes + 1, [StepDelta(step=0, text="x")]
            if writes == 3:
                begun.wait()
        return 0
    finally:
        connections.close_all()


def test_sessions_that_are_being_answered_are_deleted_whole() -> None:
    runs = [running_run() for _ in range(WRITERS)]
    queued = queued_run(runs[0].session_id)
    kept = running_run()
    begun = threading.Barrier(WRITERS + 1, timeout=20)
    failed = threading.Event()
    with ThreadPoolExecutor(WRITERS) as threads, ExitStack() as stack:
        stack.callback(failed.set)
        writing: list[Future[int]] = [
            threads.submit(write_until_fenced, run, begun, failed) for run in runs
        ]
        begun.wait()
        doomed = [run.session_id for run in runs]
        erased = settled(store.erase, Session.objects.filter(id__in=doomed))
        written = [writer.result(timeout=20) for writer in writing]
    assert all(times >= 3 for times in written)
    assert sorted(erased.session_ids) == sorted(doomed)
    assert sorted(erased.run_ids) == sorted([*(run.pk for run in runs), queued.pk])
    assert list(Run.objects.all()) == [kept]
    assert set(EventRow.objects.values_list("run_id", flat=True)) == {kept.pk}
    assert not Step.objects.exists()


def test_nothing_is_deleted_where_there_is_nothing() -> None:
    session_id = uuid4()
    ask(session_id)
    assert store.erase(Session.objects.filter(id=uuid4())) == store.Erased([], [])
    assert Session.objects.filter(id=session_id).exists()
