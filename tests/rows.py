"""Rows for tests: sessions and runs as the store makes them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from django.db import connection

from chat import store
from chat.models import Event as EventRow, Run
from chat.store import Claimed, Identity
from chat.wire.protocol import Event

GUEST = Identity(None, "guest-key")
STRANGER = Identity(None, "another-key")
NOBODY = Identity(None, "")


def ask(
    session_id: UUID | None = None,
    who: Identity = GUEST,
    prompt: str = "Hi",
    *,
    agent_name: str | None = "researcher",
    enable_reasoning: bool = True,
    client_id: str | None = None,
    max_queued: int = 20,
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
    )


def queued_run(session_id: UUID | None = None, who: Identity = GUEST) -> Run:
    """A run that waits its turn."""
    return Run.objects.get(id=ask(session_id, who).run_id)


def claimed_run(
    session_id: UUID | None = None, who: Identity = GUEST, process: str = "here"
) -> Claimed:
    """A run that `process` has begun to drive, in a new session."""
    run = queued_run(session_id, who)
    claimed = store.start_next(run.session_id, process, 10_000)
    assert claimed is not None
    return claimed


def running_run(session_id: UUID | None = None, who: Identity = GUEST) -> Run:
    """As `claimed_run`, the run itself."""
    return claimed_run(session_id, who).run


def log_of(run_id: int) -> list[Event]:
    """The run's whole log; fails where its numbers have gaps."""
    events = store.read_events(run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    run = Run.objects.get(id=run_id)
    assert run.last_seq == len(events)
    kinds = EventRow.objects.filter(run_id=run_id).order_by("seq")
    assert [row.kind for row in kinds] == [
        event.__struct_config__.tag for event in events
    ]
    return events


def silence(run_id: int, seconds: float) -> None:
    """As if the run's process had not been heard of for so long."""
    run = Run.objects.get(id=run_id)
    assert run.heartbeat is not None
    Run.objects.filter(id=run_id).update(
        heartbeat=run.heartbeat - timedelta(seconds=seconds)
    )


def is_postgresql() -> bool:
    """Whether the tests run on PostgreSQL."""
    return connection.vendor == "postgresql"
