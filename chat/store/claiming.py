"""Which process drives a run: claims, takeovers, heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Min
from django.db.models.functions import Now
from msgspec import Struct

from chat.log.batches import wall_clock
from chat.models import Event as EventRow, Run, Session, Step
from chat.store.events import read_events
from chat.store.writing import Closing, Committed, append
from chat.wire.protocol import RunStarted
from chat.wire.transcript import fold

LOST_CALL: Final = (
    "The server was lost while {tool} was being called. It is not known whether the"
    " call took effect, so it was not made again."
)


class Claimed(Struct, frozen=True):
    """A run that is now this process's to drive, and what it did before."""

    run: Run
    steps: list[Step]
    lost_call: str  # says that a call may have been made and forgotten, or ""
    next_step: int  # the first step number that no event has used
    written: Committed


def start_next(session_id: UUID, process: str, max_per_owner: int) -> Claimed | None:
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
    run_id: int,
    process: str,
    older_than: timedelta,
    is_repeatable: Callable[[str, str], bool],
) -> Claimed | None:
    """Claim a running run whose process has not been heard of, if it is still so.

    `is_repeatable(agent, tool)`: whether a call that may have been made can be made
    again. One that cannot stays in the log as failed, and is told in `lost_call`.
    """
    with transaction.atomic():
        stale = Run.objects.filter(
            id=run_id,
            status=Run.Status.RUNNING,
            heartbeat__lt=Now() - older_than,
        )
        if not stale.update(takeovers=F("takeovers") + 1, heartbeat=Now()):
            return None
        run = Run.objects.select_for_update(no_key=True).get(id=run_id)
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


def _claim(run: Run, process: str, closing: Closing, lost_call: str = "") -> Claimed:
    timestamp = wall_clock()
    run.epoch += 1
    run.status = Run.Status.RUNNING
    run.process = process
    if run.started_at is None:
        run.started_at = datetime.fromtimestamp(timestamp, UTC)
    run.save(update_fields=["epoch", "status", "process", "started_at"])
    Run.objects.filter(id=run.pk).update(heartbeat=Now())
    started = RunStarted(epoch=run.epoch, timestamp=timestamp)
    written = append(run, [started, *closing.events], closing.rows)
    steps = list(Step.objects.filter(run=run).order_by("step"))
    return Claimed(run, steps, lost_call, _next_step(run.pk), written)


def _next_step(run_id: int) -> int:
    # Not from the fold: discarded steps are gone from it, and their numbers used.
    return EventRow.objects.filter(run_id=run_id, kind="step_started").count()


def renew(process: str, run_ids: Sequence[int]) -> set[int]:
    """Say that this process is alive; which of these runs are not its any more."""
    mine = Run.objects.filter(
        id__in=run_ids, status=Run.Status.RUNNING, process=process
    )
    mine.update(heartbeat=Now())
    return set(run_ids) - set(mine.values_list("id", flat=True))


def release(process: str) -> int:
    """Let any other process take over this one's runs at once; how many there were."""
    return Run.objects.filter(status=Run.Status.RUNNING, process=process).update(
        heartbeat=datetime(1970, 1, 1, tzinfo=UTC)
    )


def lost(epochs: Mapping[int, int]) -> set[int]:
    """Which of these runs, id → epoch, are not running under that epoch any more."""
    running = Run.objects.filter(id__in=epochs, status=Run.Status.RUNNING)
    held = running.values_list("id", "epoch")
    return set(epochs) - {run_id for run_id, epoch in held if epoch == epochs[run_id]}


def abandoned(older_than: timedelta, limit: int, but: Sequence[int] = ()) -> list[int]:
    """Running runs whose process has not been heard of for so long."""
    stale = Run.objects.filter(
        status=Run.Status.RUNNING, heartbeat__lt=Now() - older_than
    ).exclude(id__in=but)
    return list(stale.order_by("heartbeat").values_list("id", flat=True)[:limit])


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
