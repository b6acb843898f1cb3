"""What an agent remembers of earlier runs."""

from __future__ import annotations

from chat.models import Run, Step


def history(run: Run, limit: int) -> list[tuple[str, list[Step]]]:
    """Earlier finished runs, oldest first: prompt and steps. Superseded ones are out.

    A run that is run again or continued must not remember its first try; one that
    continues another is remembered with what the other had done.
    """
    superseded = Run.objects.filter(
        session_id=run.session_id, retry_of__isnull=False, number__lte=run.number
    ).values_list("retry_of_id", flat=True)
    runs = (
        Run.objects.filter(
            session_id=run.session_id,
            number__lt=run.number,
            status=Run.Status.FINISHED,
        )
        .exclude(reason=Run.Reason.WITHDRAWN)
        .exclude(id__in=list(superseded))
        .order_by("-number")[:limit]
    )
    rows = list(runs)[::-1]
    steps: dict[int, list[Step]] = {row.pk: [] for row in rows}
    for step in Step.objects.filter(run_id__in=list(steps)).order_by("step"):
        steps[step.run_id].append(step)
    return [(row.prompt, [*steps_to_continue(row), *steps[row.pk]]) for row in rows]


def steps_to_continue(run: Run) -> list[Step]:
    """The steps of the run that `run` continues, oldest first; none for a rerun."""
    old = run.retry_of
    chain: list[Step] = []
    while old is not None and old.reason not in {"answered", "withdrawn"}:
        chain = [*Step.objects.filter(run=old).order_by("step"), *chain]
        old = old.retry_of
    return chain
