"""What snapshots show of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal
from uuid import UUID

from django.db.models import Sum
from django.db.models.functions import Length
from msgspec import UNSET, convert

from chat.models import Run, Session, Step
from chat.store.events import Position, read_events, session_positions
from chat.store.sessions import Identity, find_session, session_data
from chat.wire.protocol import (
    SNAPSHOT_RUNS,
    CutCause,
    Failure,
    Reason,
    RunView,
    StepView,
    Usage,
)
from chat.wire.transcript import fold, view

MAX_SNAPSHOT_CHARS: Final = 1024 * 1024  # of steps; the rest is history to ask for


def find_with_positions(
    session_id: UUID, who: Identity, floor: int = 0
) -> tuple[Session | None, list[Position]]:
    """The session, if there is one, and how far its runs after `floor` go.

    Raises NotYoursError.
    """
    session = find_session(session_id, who)
    return session, session_positions(session_id, floor) if session else []


def snapshot(
    session_id: UUID, who: Identity, seen: dict[int, int]
) -> tuple[dict[str, object], dict[int, int], list[Position], bool]:
    """The snapshot's data, from where on each run is to be told, may they see it."""
    session = find_session(session_id, who)
    data: dict[str, object] = {
        "session": session_data(session, session_id),
        "runs": [],
        "earlier": False,
    }
    if session is None:
        return data, {}, [], False  # what begins just now may be somebody else's
    positions = session_positions(session_id, 0)
    # Runs that are over and not shown are for `history`, unless the client has a part.
    known = {
        position.number: seen[position.number]
        for position in positions
        if 0 < seen.get(position.number, 0) <= position.last_seq
    }
    past = {
        position.number: position.last_seq
        for position in positions
        if position.finished
    }
    runs, earlier = latest_runs(session_id, SNAPSHOT_RUNS, but=known)
    data |= {"runs": runs, "earlier": earlier}
    shown = {run.run: run.seq for run in runs}
    return data, past | known | shown, positions, True


def latest_runs(
    session_id: UUID, limit: int, *, before: int | None = None, but: Iterable[int] = ()
) -> tuple[list[RunView], bool]:
    """The latest runs, oldest first, and whether there are earlier ones."""
    runs = Run.objects.filter(session_id=session_id).exclude(number__in=list(but))
    if before is not None:
        runs = runs.filter(number__lt=before)
    rows = list(runs.order_by("-number")[: limit + 1])
    shown = _as_many_as_fit(rows[:limit])
    return run_views(shown[::-1]), len(rows) > len(shown)


def _as_many_as_fit(runs: list[Run]) -> list[Run]:
    """The first of `runs`, at least one, whose text fits one message."""
    sizes = dict(
        Step.objects.filter(run__in=runs)
        .values_list("run")
        .annotate(size=Sum(Length("content")))
    )
    room = MAX_SNAPSHOT_CHARS
    for count, run in enumerate(runs):
        room -= sizes.get(run.pk, 0)
        if room < 0:
            return runs[: max(1, count)]
    return runs


def run_views(runs: Sequence[Run]) -> list[RunView]:
    """What snapshots show of these runs: rows where finished, else the log's fold."""
    finished = [run.pk for run in runs if run.status == Run.Status.FINISHED]
    steps: dict[int, list[StepView]] = {run_id: [] for run_id in finished}
    for row in Step.objects.filter(run_id__in=finished).order_by("run_id", "step"):
        steps[row.run_id].append(_step_view(row))
    return [
        _finished_view(run, steps[run.pk])
        if run.pk in steps
        else view(fold(run.number, read_events(run.pk)))
        for run in runs
    ]


def _finished_view(run: Run, steps: list[StepView]) -> RunView:
    return RunView(
        run=run.number,
        status="finished",
        # A run that was withdrawn never started.
        epoch=0 if run.started_at is None else run.epoch - _stops(run.reason),
        seq=run.last_seq,
        prompt=run.prompt,
        agent_name=run.agent_name,
        enable_reasoning=run.enable_reasoning,
        timestamp=run.created_at.timestamp(),
        steps=steps,
        client_id=run.client_id or UNSET,
        reason=convert(run.reason, Reason),
        duration_ms=UNSET if run.duration_ms is None else run.duration_ms,
        usage=usage_of(run) or UNSET,
        error=UNSET if run.error is None else convert(run.error, Failure),
        cause=convert(run.cause, CutCause) if run.cause else UNSET,
    )


def usage_of(run: Run) -> Usage | None:
    """What the run has cost so far, where that is known."""
    if run.input_tokens is None or run.output_tokens is None:
        return None
    return Usage(run.input_tokens, run.output_tokens)


def _stops(reason: str) -> Literal[0, 1]:
    """Stopping raises the epoch without a `run_started` that would say so."""
    return 1 if reason == Run.Reason.STOPPED else 0


def _step_view(row: Step) -> StepView:
    return StepView(
        row.step,
        row.type,  # type: ignore[arg-type]  # its choices are the literals
        row.iteration,
        row.content,
        row.status,  # type: ignore[arg-type]  # its choices are the literals
        row.started_at.timestamp(),
        row.duration_ms,
        row.tool_name or UNSET,
        row.call_id or UNSET,
        UNSET if row.tool_input is None else row.tool_input,
        row.digest,
    )
