"""Ending a run from outside, wherever it is driven."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from msgspec import UNSET, Struct

from chat.access import Act, Identity, NotYoursError
from chat.models import Run, Session
from chat.store.events import read_events
from chat.store.snapshots import usage_of
from chat.store.writing import Closing, Committed, append, locked_session
from chat.wire.protocol import ProtocolError, RunFinished
from chat.wire.transcript import fold


class Stopped(Struct, frozen=True):
    """A run that has been stopped or withdrawn."""

    run_id: int
    written: Committed


def stop(
    session_id: UUID, who: Identity, number: int | None, seen: int | None
) -> Stopped:
    """End a run now, under a new epoch, keeping of its open step what was seen.

    Without `number`: the running one. Raises NotYoursError, NotAllowedError,
    ProtocolError.
    """
    with transaction.atomic():
        session = locked_session(session_id, who, Act.ASK)
        run = _run_to_stop(session, number)
        return Stopped(run.pk, _end(run, seen))


def stop_all(session_ids: Iterable[UUID]) -> list[Stopped]:
    """End whatever is answered, or waits, in these sessions, whoever's they are."""
    return [stopped for session_id in session_ids for stopped in _stop_in(session_id)]


def _stop_in(session_id: UUID) -> list[Stopped]:
    with transaction.atomic():
        # As for every change of a session's runs: first the session, then they.
        Session.objects.select_for_update(no_key=True).filter(id=session_id).first()
        return [Stopped(run.pk, _end(run, None)) for run in _unfinished(session_id)]


def _unfinished(session_id: UUID) -> list[Run]:
    """The session's runs that are not over, locked, oldest first."""
    runs = Run.objects.select_for_update(no_key=True).filter(session=session_id)
    return list(runs.exclude(status=Run.Status.FINISHED).order_by("number"))


def delete_session(session_id: UUID, who: Identity) -> list[int]:
    """Put a session out of sight, and end what runs in it: the ids of those runs.

    Raises NotYoursError, NotAllowedError.
    """
    with transaction.atomic():
        # As for every change of a session's runs: first the session, then they.
        try:
            session = locked_session(session_id, who, Act.MANAGE)
        except ProtocolError:
            raise NotYoursError from None  # nobody has begun it
        ended = _unfinished(session.pk)
        for run in ended:
            _end(run, None)
        Session.objects.filter(id=session.pk).update(deleted_at=Now())
    return [run.pk for run in ended]


def _end(run: Run, seen: int | None) -> Committed:
    """Under a new epoch, so that whoever drives the run can write no more."""
    run.epoch += 1
    Run.objects.filter(id=run.pk).update(epoch=run.epoch)
    if run.status == Run.Status.QUEUED:
        withdrawn = RunFinished(reason="withdrawn", duration_ms=0, epoch=run.epoch)
        return append(run, [withdrawn])
    closing = _close_open_steps(run, seen)
    finished = RunFinished(
        reason="stopped",
        duration_ms=_duration_ms(run),
        usage=usage_of(run) or UNSET,
        epoch=run.epoch,
    )
    return append(run, [*closing.events, finished], closing.rows)


def _duration_ms(run: Run) -> int:
    if run.started_at is None:
        return 0
    return max(0, int((datetime.now(UTC) - run.started_at).total_seconds() * 1000))


def _run_to_stop(session: Session, number: int | None) -> Run:
    unfinished = Run.objects.select_for_update(no_key=True).filter(session=session)
    if number is None:
        run = unfinished.filter(status=Run.Status.RUNNING).first()
    else:
        run = unfinished.filter(number=number).first()
    if run is None or run.status == Run.Status.FINISHED:
        raise ProtocolError("not_found", "Nothing is running that could be stopped.")
    return run


def _close_open_steps(run: Run, seen: int | None) -> Closing:
    """Finish the open steps as `stopped`, with the text they had at `seen`."""
    log = read_events(run.pk)
    state = fold(run.number, log)
    shown = state
    if seen is not None and seen < state.seq:
        shown = fold(run.number, (event for event in log if event.seq <= seen))
    closing = Closing(run)
    for step in state.open_steps():
        if step.step in shown.steps:
            closing.finish(step, "stopped", shown.steps[step.step].content)
        else:
            closing.discard(step)
    return closing
