"""Which process drives a run: claims, and takeovers of what others have left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Min
from msgspec import Struct

from chat.log.batches import wall_clock
from chat.models import Event as EventRow, Run, Session, Step
from chat.store.events import read_events
from chat.store.processes import abandoned_runs
from chat.store.writing import Closing, Committed, append
from chat.wire.protocol import RunStarted
from chat.wire.transcript import fold

LOST_CALL: Final = (
    "The server was lost while {tool} was being called. It is not known whether the"
    " call took effect, so it was not made again."
)


class Abandoned(Struct, frozen=True):
    """A running run that no living process drives."""

    run_id: int
    process: int | None  # which died; None: it has handed the run over


class Claimed(Struct, frozen=True):
    """A run that is now this process's to drive, and what it did before."""

    run: Run
    steps: list[Step]
    lost_call: str  # says that a call may have been made and forgotten, or ""
    next_step: int  # the first step number that no event has used
    written: Committed


def start_next(session_id: UUID, process: int, max_per_owner: int) -> Claimed | None:
    """Claim the session's oldest queued run, if its turn has come.

    It has when nothing is running in the session, and fewer than `max_per_owner`
    runs in all sessions of its owner.
    """
    with transaction.atomic():
        session = (
            Session.objects.select_for_update(no_key=True).filter(id=session_id).first()
        )
        if session is None or session.deleted_at:
            return None
        runs = Run.objects.filter(session_id=session_id)
        owners = Run.objects.filter(
            status=Run.Status.RUNNING,
            session__owner_id=session.owner_id,
            session__guest_key=session.guest_key,
        )
        if owners.count() >= max_per_owner:
            return None
        if runs.filter(status=Run.Status.RUNNING).exists():
            return None
        run = runs.filter(status=Run.Status.QUEUED).order_by("number").first()
        if run is None:
            return None
        return _claim(run, process, Closing(run))


def take_over(
    left: Abandoned, process: int, is_repeatable: Callable[[str, str], bool]
) -> Claimed | None:
    """Claim an abandoned run, if nobody else has yet.

    `is_repeatable(agent, tool)`: whether a call that may have been made can be made
    again. One that cannot stays in the log as failed, and is told in `lost_call`.
    """
    with transaction.atomic():
        # Held against the process that was read: PostgreSQL does not repeat an
        # anti-join after a lock wait, and two processes would claim one run.
        still = Run.objects.filter(id=left.run_id, status=Run.Status.RUNNING)
        if left.process is None:
            claimed = still.filter(process=None).update(process=process)
        else:
            claimed = still.filter(process=left.process).update(
                process=process, takeovers=F("takeovers") + 1
            )
        if not claimed:
            return None
        run = Run.objects.select_for_update(no_key=True).get(id=left.run_id)
        closing, lost_call = _close_open_steps(run, is_repeatable)
        return _claim(run, process, closing, lost_call)


def _close_open_steps(
    run: Run, is_repeatable: Callable[[str, str], bool]
) -> tuple[Closing, str]:
    closing = Closing(run)
    lost_call = ""
    for step in fold(run.number, read_events(run.pk)).open_steps():
        tool = step.tool_name or ""
        if step.type == "tool_result" and not is_repeatable(run.agent_name, tool):
            lost_call = LOST_CALL.format(tool=tool)
            closing.finish(step, "error", lost_call)
        else:
            closing.discard(step)
    return closing, lost_call


def _claim(run: Run, process: int, closing: Closing, lost_call: str = "") -> Claimed:
    timestamp = wall_clock()
    run.epoch += 1
    run.status = Run.Status.RUNNING
    run.process = process
    if run.started_at is None:
        run.started_at = datetime.fromtimestamp(timestamp, UTC)
    run.save(update_fields=["epoch", "status", "process", "started_at"])
    started = RunStarted(epoch=run.epoch, timestamp=timestamp)
    written = append(run, [started, *closing.events], closing.rows)
    steps = list(Step.objects.filter(run=run).order_by("step"))
    return Claimed(run, steps, lost_call, _next_step(run.pk), written)


def _next_step(run_id: int) -> int:
    # Not from the fold: discarded steps are gone from it, and their numbers used.
    return EventRow.objects.filter(run_id=run_id, kind="step_started").count()


def lost(epochs: Mapping[int, int]) -> set[int]:
    """Which of these runs, id → epoch, are not running under that epoch any more."""
    running = Run.objects.filter(id__in=epochs, status=Run.Status.RUNNING)
    held = running.values_list("id", "epoch")
    return set(epochs) - {run_id for run_id, epoch in held if epoch == epochs[run_id]}


def abandoned(limit: int) -> list[Abandoned]:
    """Running runs that no living process drives, the oldest first."""
    left = abandoned_runs().order_by("started_at", "id").values_list("id", "process")
    return [Abandoned(*row) for row in left[:limit]]


def waiting_sessions(limit: int, max_per_owner: int) -> list[UUID]:
    """Sessions where a run's turn has come, oldest first: see `start_next`."""
    running = Run.objects.filter(status=Run.Status.RUNNING)
    busy = (
        running.values_list("session__owner_id", "session__guest_key")
        .annotate(runs=Count("id"))
        .filter(runs__gte=max_per_owner)
    )
    queued = Run.objects.filter(status=Run.Status.QUEUED, session__deleted_at=None)
    for owner_id, guest_key, _ in busy:
        queued = queued.exclude(
            session__owner_id=owner_id, session__guest_key=guest_key
        )
    sessions = (
        queued.exclude(session__runs__status=Run.Status.RUNNING)
        .values("session_id")
        .annotate(since=Min("created_at"))
        .order_by("since")
    )
    return [row["session_id"] for row in sessions[:limit]]
