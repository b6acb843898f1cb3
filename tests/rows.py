"""Rows for tests: sessions and runs as the store makes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from django.db import close_old_connections, connection, transaction
from msgspec import UNSET

from chat import store
from chat.log.batches import make_batch, write
from chat.models import Process, Run, Step
from chat.store import AddressLimit, Claimant, Claimed, Identity, processes
from chat.wire.protocol import (
    Event,
    Frame,
    RunFinished,
    StepDelta,
    StepFinished,
    StepStarted,
)
from chat.wire.transcript import digest

GUEST = Identity(None, "guest-key")
STRANGER = Identity(None, "another-key")
NOBODY = Identity(None, "")

HERE, THERE = 1001, 1002  # processes that claim
# A mark: other threads must see the rows. Such tests are slower.
IN_THREADS: Final = pytest.mark.django_db(transaction=True)


def ask(  # noqa: PLR0913  (as the store's)
    session_id: UUID | None = None,
    who: Identity = GUEST,
    prompt: str = "Hi",
    *,
    agent_name: str | None = "researcher",
    enable_reasoning: bool = True,
    client_id: str | None = None,
    max_queued: int = 20,
    claimant: Claimant | None = None,
    address: AddressLimit | None = None,
) -> store.Asked:
    """`store.ask` with the arguments that a test leaves out."""
    return store.ask(
        session_id or uuid4(),
        who,
        prompt=prompt,
        agent_name=agent_name,
        enable_reasoning=enable_reasoning,
        client_id=client_id,
        max_queued=max_queued,
        claimant=claimant,
        address=address,
    )


def queued_run(session_id: UUID | None = None, who: Identity = GUEST) -> Run:
    """A run that waits its turn."""
    return Run.objects.get(id=ask(session_id, who).run_id)


def living_process() -> int:
    """The id of another process, which lives as far as its row tells."""
    return Process.objects.create(name="there", version="1", slots=8).pk


def claimed_run(
    session_id: UUID | None = None, who: Identity = GUEST, process: int | None = None
) -> Claimed:
    """A run in a new session that `process` has begun to drive: by default, another."""
    run = queued_run(session_id, who)
    claimed = start_next(run.session_id, process or living_process())
    assert claimed is not None
    return claimed


def start_next(
    session_id: UUID, process: int = HERE, max_per_owner: int = 10_000
) -> Claimed | None:
    """As `process` does when it has a free slot."""
    return store.start_next(session_id, Claimant(process, max_per_owner))


def running_run(session_id: UUID | None = None, who: Identity = GUEST) -> Run:
    """As `claimed_run`, the run itself."""
    return claimed_run(session_id, who).run


def log_of(run_id: int) -> list[Event]:
    """The run's whole log; fails where its numbers have gaps."""
    events = store.read_events(run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    run = Run.objects.get(id=run_id)
    assert run.last_seq == len(events)
    return events


def bury_process_of(run_id: int) -> None:
    """As if the run's process had been declared dead."""
    run = Run.objects.get(id=run_id)
    assert run.process is not None
    assert processes.declare_dead(run.process)


def is_postgresql() -> bool:
    """Whether the tests run on PostgreSQL."""
    return connection.vendor == "postgresql"


def take_over(run_id: int, process: int = THERE, *, repeatable: bool = True) -> Claimed:
    """Take over a run that is found abandoned."""
    (left,) = [left for left in store.abandoned(99) if left.run_id == run_id]
    claimed = store.take_over(left, process, lambda *_: repeatable)
    assert claimed is not None
    return claimed


def say(run: Run, *events: Event, steps: tuple[Step, ...] = ()) -> Frame:
    """Write events as the run's owner; the frame to publish."""
    run.refresh_from_db()
    with transaction.atomic():
        batch = make_batch(run.pk, run.epoch, run.last_seq, events, steps)
        assert write([batch]) == {run.pk}
    return batch.frame(run.number)


def started(step: int, type_: Any = "final_answer", tool: str = "") -> StepStarted:
    """How step number `step` begins."""
    return StepStarted(
        step=step, type=type_, iteration=1, timestamp=1.0, tool_name=tool or UNSET
    )


def finish(run: Run, reason: Any = "answered") -> None:
    """End the run as its owner does."""
    say(run, RunFinished(reason=reason, duration_ms=1))


def answer(
    run: Run, text: str, *, status: Any = "ok", type_: Any = "final_answer"
) -> None:
    """Write one finished step."""
    number = Step.objects.filter(run=run).count()
    event = StepFinished(step=number, status=status, duration_ms=1, digest=digest(text))
    row = Step(
        run=run,
        step=number,
        type=type_,
        iteration=1,
        content=text,
        status=status,
        started_at=datetime.fromtimestamp(1, UTC),
        duration_ms=1,
        digest=event.digest,
    )
    say(
        run,
        started(number, type_),
        StepDelta(step=number, text=text),
        event,
        steps=(row,),
    )


def both_at_once(*calls: Any) -> list[Any]:
    """What the calls return, each in its own thread, all at the same time."""

    def run(call: Any) -> Any:
        try:
            return call()
        finally:
            close_old_connections()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def ids(who: Identity, **options: Any) -> list[UUID]:
    """The sessions on the first page of their list."""
    return [session.pk for session in store.list_sessions(who, **options).sessions]
