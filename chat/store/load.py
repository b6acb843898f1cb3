"""How much there is to do on all machines, and with how much."""

from __future__ import annotations

from django.db.models import Count, Exists, Min, OuterRef, QuerySet, Sum
from msgspec import Struct

from chat.log.batches import wall_clock
from chat.models import Process, Run


class Load(Struct, frozen=True):
    """Runs under way, and the processes that drive them."""

    runs: list[tuple[str, str, int]]  # status, agent, how many
    startable: int  # queued runs whose turn has come
    wait: float  # seconds: how long the first of them has waited
    running: int
    slots: int  # runs that all processes can drive at once
    processes: int  # that drive runs


def load() -> Load:
    """Ask the database. Cheap: what is finished is not looked at."""
    statuses = (Run.Status.QUEUED, Run.Status.RUNNING)
    # One query each, for one partial index each: see `models.Run`.
    runs = [
        (str(status), agent, count)
        for status in statuses
        for agent, count in _unfinished(status)
        .values_list("agent_name")
        .annotate(Count("id"))
    ]
    busy = _unfinished(Run.Status.RUNNING).filter(session=OuterRef("session"))
    startable = (
        _unfinished(Run.Status.QUEUED)
        .filter(~Exists(busy), session__deleted_at=None)
        .aggregate(sessions=Count("session", distinct=True), since=Min("created_at"))
    )
    since = startable["since"]
    processes = Process.objects.exclude(role="web").aggregate(
        count=Count("id"), slots=Sum("slots", default=0)
    )
    return Load(
        runs=runs,
        startable=startable["sessions"],
        wait=max(0.0, wall_clock() - since.timestamp()) if since else 0.0,
        running=sum(n for status, _, n in runs if status == Run.Status.RUNNING),
        slots=processes["slots"],
        processes=processes["count"],
    )


def _unfinished(status: Run.Status) -> QuerySet[Run]:
    return Run.objects.filter(status=status).order_by()
