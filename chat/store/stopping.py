"""Ending a run from outside, wherever it is driven."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from django.db import transaction
from msgspec import Struct

from chat.journal import wall_clock
from chat.models import Run, Session, Step
from chat.protocol import (
    Event,
    ProtocolError,
    Reason,
    RunFinished,
    StepFinished,
    StepReplaced,
)
from chat.store.log import read_events
from chat.store.sessions import Identity
from chat.store.writing import Committed, append, locked_session
from chat.transcript import digest, fold


class Stopped(Struct, frozen=True):
    """A run that has been stopped or withdrawn."""

    run_id: int
    written: Committed


def stop(
    session_id: UUID, who: Identity, number: int | None, seen: int | None
) -> Stopped:
    """End a run now, under a new epoch, keeping of its open step what was seen.

    Without `number`: the running one. Raises NotYoursError, ProtocolError.
    """
    with transaction.atomic():
        session = locked_session(session_id, who)
        run = _run_to_stop(session, number)
        run.epoch += 1
        Run.objects.filter(id=run.pk).update(epoch=run.epoch)
        events: list[Event] = []
        steps: list[Step] = []
        duration = 0
        reason: Reason = "withdrawn"
        if run.status == Run.Status.RUNNING:
            reason = "stopped"
            events, steps = _close_open_steps(run, seen)
            if run.started_at is not None:
                elapsed = datetime.now(UTC) - run.started_at
                duration = max(0, int(elapsed.total_seconds() * 1000))
        events.append(RunFinished(reason=reason, duration_ms=duration))
        return Stopped(run.pk, append(run, events, steps))


def _run_to_stop(session: Session, number: int | None) -> Run:
    unfinished = Run.objects.select_for_update().filter(session=session)
    if number is None:
        run = unfinished.filter(status=Run.Status.RUNNING).first()
    else:
        run = unfinished.filter(number=number).first()
    if run is None or run.status == Run.Status.FINISHED:
        raise ProtocolError("not_found", "Nothing is running that could be stopped.")
    return run


def _close_open_steps(run: Run, seen: int | None) -> tuple[list[Event], list[Step]]:
    """Finish the open steps as `stopped`, with the text they had at `seen`."""
    log = read_events(run.pk)
    state = fold(run.number, log)
    shown = state
    if seen is not None and seen < state.seq:
        shown = fold(run.number, (event for event in log if event.seq <= seen))
    now = wall_clock()
    events: list[Event] = []
    rows: list[Step] = []
    for step in state.open_steps():
        duration = max(0, int((now - step.timestamp) * 1000))
        if step.step not in shown.steps:
            gone = StepFinished(
                step=step.step,
                status="discarded",
                duration_ms=duration,
                digest=digest(step.content),
            )
            events.append(gone)
            continue
        content = shown.steps[step.step].content
        if content != step.content:
            events.append(StepReplaced(step=step.step, text=content))
        finished = StepFinished(
            step=step.step,
            status="stopped",
            duration_ms=duration,
            digest=digest(content),
        )
        events.append(finished)
        rows.append(
            Step(
                run_id=run.pk,
                step=step.step,
                type=step.type,
                iteration=step.iteration,
                content=content,
                tool_name=step.tool_name or "",
                call_id=step.call_id or "",
                status="stopped",
                started_at=datetime.fromtimestamp(step.timestamp, UTC),
                duration_ms=duration,
                digest=finished.digest,
            )
        )
    return events, rows
