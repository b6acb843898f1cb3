"""What snapshots show of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from django.db.models import Sum
from django.db.models.functions import Length
from msgspec import UNSET, Struct, convert

from chat.models import Run, Step
from chat.store.events import POSITION, Position, goes_on, position, read_events
from chat.store.sessions import SessionFacts, facts_of
from chat.wire.protocol import (
    SNAPSHOT_RUNS,
    CutCause,
    Failure,
    Place,
    Reason,
    RunView,
    StepView,
    Usage,
)
from chat.wire.transcript import fold, view

MAX_NUMBER: Final = 2**31 - 1  # of a run, in its column
MAX_SNAPSHOT_CHARS: Final = 1024 * 1024  # of steps; the rest is history to ask for


class Standing(Struct, frozen=True):
    """Where a session stands: whose it is, its newest run, and how far runs go."""

    facts: SessionFacts | None  # None: nobody has begun it, or it is deleted
    newest: int = 0
    runs: list[Position] = []


def standing(session_id: UUID, above: int | None = None) -> Standing:
    """Where the session stands, with the runs that are not finished.

    And with all those after number `above`, where that is given.
    """
    facts = facts_of([session_id]).get(session_id)
    if facts is None:
        return Standing(None)
    runs = Run.objects.filter(session_id=session_id).order_by("number")
    # Before the rows: what begins meanwhile may be among them, never be passed over.
    newest = runs.order_by("-number").values_list("number", flat=True).first() or 0
    rows = list(runs.filter(finished_at=None).values_list(*POSITION))
    if above is not None:
        rows += runs.filter(number__gt=above, finished_at__isnull=False).values_list(
            *POSITION
        )
    return Standing(facts, newest, [position(*row) for row in sorted(rows)])


class Rows(Struct, frozen=True):
    """What snapshots are made of besides runs that are under way.

    `held`: of the runs that somebody says to have, those whose log goes on from there,
    with the seq up to which they have it. `runs` are the latest finished of the others.
    """

    standing: Standing
    held: dict[int, tuple[int, Position]] = {}
    runs: list[RunView] = []
    earlier: bool = False


def snapshot_rows(session_id: UUID, seen: Mapping[int, Place]) -> Rows:
    """The rows for who says to have `seen` of the session's runs."""
    now = standing(session_id)
    if now.facts is None:
        return Rows(now)
    held = _held(session_id, seen)
    runs, earlier = latest_runs(session_id, SNAPSHOT_RUNS, but=held, finished=True)
    return Rows(now, held, runs, earlier)


def _held(
    session_id: UUID, seen: Mapping[int, Place]
) -> dict[int, tuple[int, Position]]:
    numbers = [number for number in seen if 0 < number <= MAX_NUMBER]
    rows = Run.objects.filter(session_id=session_id, number__in=numbers)
    held: dict[int, tuple[int, Position]] = {}
    for run_id, *row in rows.values_list("id", *POSITION):
        found = position(*row)
        place = seen[found.number]
        seq = place if isinstance(place, int) else place[1]
        if 0 < seq <= found.last_seq and goes_on(run_id, found, place):
            held[found.number] = (seq, found)
    return held


def latest_runs(
    session_id: UUID,
    limit: int,
    *,
    before: int | None = None,
    but: Iterable[int] = (),
    finished: bool = False,
) -> tuple[list[RunView], bool]:
    """The latest runs, oldest first, and whether there are earlier ones.

    With `finished`, only such are looked at.
    """
    runs = Run.objects.filter(session_id=session_id).exclude(number__in=list(but))
    if finished:
        runs = runs.filter(status=Run.Status.FINISHED)
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
        _row_view(run, steps[run.pk])
        if run.pk in steps
        else view(fold(run.number, read_events(run.pk)))
        for run in runs
    ]


def _row_view(run: Run, steps: list[StepView]) -> RunView:
    return RunView(
        run=run.number,
        status=run.status,  # type: ignore[arg-type]  # its choices are the literals
        epoch=run.epoch,
        seq=run.last_seq,
        prompt=run.prompt,
        agent_name=run.agent_name,
        enable_reasoning=run.enable_reasoning,
        timestamp=run.created_at.timestamp(),
        steps=steps,
        client_id=run.client_id or UNSET,
        reason=convert(run.reason, Reason) if run.reason else UNSET,
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


class RunRows(Struct, frozen=True):
    """What rows say of a run as far as it is: the run, without steps, and its steps.

    Each step comes with the seq of the event that finished it.
    """

    run: RunView
    steps: list[tuple[int, StepView]]


def run_rows(session_id: UUID, number: int, after: int) -> RunRows | None:
    """The run, with the steps that finished after seq `after`. None: there is no run.

    A run without reasoning comes with its last answer, once it is over.
    """
    run = Run.objects.filter(session_id=session_id, number=number).first()
    if run is None:
        return None
    steps = Step.objects.filter(run=run, seq__lte=run.last_seq)
    if run.enable_reasoning:
        steps = steps.filter(seq__gt=after).order_by("seq")
    elif run.status == Run.Status.FINISHED:
        steps = steps.filter(type=Step.Type.FINAL_ANSWER).order_by("-step")[:1]
    else:
        steps = steps.none()
    return RunRows(_row_view(run, []), [(row.seq, _step_view(row)) for row in steps])


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
        row.agent or UNSET,
        UNSET if row.parent is None else row.parent,
    )
