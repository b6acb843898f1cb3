"""What an agent remembers of earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from django.db.models import Sum
from django.db.models.functions import Length
from msgspec import Struct

from chat.models import Run, Step

MAX_TRIES: Final = 20  # runs that were continued, whose steps one run begins with
MAX_CHARS: Final = 8 * 1024 * 1024  # of earlier steps; more than any model reads

Steps = dict[int, list[Step]]  # by run


def history(run: Run, limit: int) -> list[tuple[str, list[Step]]]:
    """Earlier finished runs, oldest first: prompt and steps.

    Of all tries at one prompt, the last that was not withdrawn; none of those at
    `run`'s own, which must not remember its first try. One that continues another is
    remembered with what the other had done.
    """
    tries = _tries(run.session_id, run.number)
    last: dict[int, _Try] = {}  # at each prompt
    for each in tries.values():
        if each.reason not in {"", Run.Reason.WITHDRAWN}:
            last[each.first] = each
    last.pop(tries[run.pk].first, None)
    latest = sorted(last.values(), key=lambda each: each.number)[-limit:]
    runs = {each.run_id: [*_continued(each, tries), each.run_id] for each in latest}
    runs = _newest_that_fit(runs)
    steps = _steps(run_id for of in runs.values() for run_id in of)
    prompts = dict(Run.objects.filter(id__in=runs).values_list("id", "prompt"))
    return [(prompts[run_id], _joined(runs[run_id], steps)) for run_id in runs]


def steps_to_continue(run: Run) -> list[Step]:
    """The steps of the run that `run` continues, oldest first; none for a rerun."""
    tries = _tries(run.session_id, run.number)
    continued = _continued(tries[run.pk], tries)
    return _joined(continued, _steps(continued))


class _Try(Struct, frozen=True):
    """A run among the tries at its prompt."""

    run_id: int
    number: int
    retry_of: int  # its id, or 0
    reason: str
    first: int  # the first try's id


def _tries(session_id: UUID, until: int) -> dict[int, _Try]:
    """The session's runs up to number `until`, in order, by id."""
    rows = (
        Run.objects.filter(session_id=session_id, number__lte=until)
        .order_by("number")
        .values_list("id", "number", "retry_of_id", "reason")
    )
    tries: dict[int, _Try] = {}
    for run_id, number, retry_of, reason in rows:
        first = tries[retry_of].first if retry_of in tries else run_id
        tries[run_id] = _Try(run_id, number, retry_of or 0, reason, first)
    return tries


def _continued(run: _Try, tries: Mapping[int, _Try]) -> list[int]:
    """The runs, oldest first, that `run` goes on from; an answered one is over."""
    chain: list[int] = []
    old = tries.get(run.retry_of)
    while old and old.reason != Run.Reason.ANSWERED and len(chain) < MAX_TRIES:
        chain.append(old.run_id)
        old = tries.get(old.retry_of)
    return chain[::-1]


def _newest_that_fit(runs: dict[int, list[int]]) -> dict[int, list[int]]:
    """Without the oldest, if all their steps are too much text."""
    sizes = dict(
        Step.objects.filter(run_id__in=[r for of in runs.values() for r in of])
        .values_list("run_id")
        .annotate(size=Sum(Length("content")))
    )
    left = MAX_CHARS
    fit: list[int] = []
    for run_id in reversed(runs):
        left -= sum(sizes.get(each, 0) for each in runs[run_id])
        if left < 0:
            break
        fit.append(run_id)
    return {run_id: runs[run_id] for run_id in reversed(fit)}


def _steps(run_ids: Iterable[int]) -> Steps:
    steps: Steps = {}
    rows = Step.objects.filter(run_id__in=list(run_ids))
    for step in rows.order_by("run_id", "step"):
        steps.setdefault(step.run_id, []).append(step)
    return steps


def _joined(run_ids: Iterable[int], steps: Steps) -> list[Step]:
    return [step for run_id in run_ids for step in steps.get(run_id, ())]
