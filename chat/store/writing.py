"""What every change of a run shares: lock, append to the log, hand on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from msgspec import Struct

from chat import journal
from chat.models import Run, Session, Step
from chat.protocol import (
    Event,
    Frame,
)
from chat.store.sessions import Identity, NotYoursError


class Committed(Struct, frozen=True):
    """What a transaction wrote to a run's log: to be published."""

    session_id: UUID
    frame: Frame


def locked_session(session_id: UUID, who: Identity) -> Session:
    session = Session.objects.select_for_update().filter(id=session_id).first()
    if session is None or session.deleted_at or not who.owns(session):
        raise NotYoursError
    return session


def append(run: Run, events: Iterable[Event], steps: Sequence[Step] = ()) -> Committed:
    """Write events of a run that this transaction has locked or made."""
    batch = journal.make_batch(run.pk, run.epoch, run.last_seq, events, steps)
    if run.pk not in journal.write([batch]):
        message = f"run {run.pk} changed under its lock"
        raise RuntimeError(message)
    run.last_seq = batch.last
    return Committed(run.session_id, batch.frame(run.number))
