"""What operators want every process to do, and what processes answer."""

from __future__ import annotations

from collections.abc import Sequence, Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Max
from django.db.models.functions import Now
from msgspec import Struct, convert, to_builtins

from chat.models import Census, Order, Process

KEPT: Final = timedelta(days=1)  # directives, for processes that are late


class Notify(Struct, frozen=True, tag="notify"):
    """Tell people something, once: who is connected, in a group where one is named."""

    text: str
    level: Literal["info", "warning"] = "info"
    group: int | None = None


class HangUp(Struct, frozen=True, tag="hang_up"):
    """Close a user's connections, or the one of that name."""

    user: int | None = None
    connection: str = ""


class Maintain(Struct, frozen=True, tag="maintain"):
    """Begin nothing more, and tell people this; without a text: go on as ever."""

    text: str = ""


class Report(Struct, frozen=True, tag="report"):
    """Write down who is connected."""


Directive: TypeAlias = Notify | HangUp | Maintain | Report


class Connection(Struct, frozen=True):
    """A connection as its process reports it; `user` is None for guests.

    `behind`: events that are yet to be read for it; `waiting`: characters that it has
    not taken yet.
    """

    name: str
    since: float  # Unix seconds
    user: int | None = None
    session: UUID | None = None
    is_classic: bool = False
    state: str = ""
    behind: int = 0
    waiting: int = 0


class Reported(Struct, frozen=True):
    """What a process has reported: of `total` connections the oldest."""

    process: str
    at: datetime
    total: int
    connections: list[Connection]


def direct(directive: Directive) -> None:
    """Have every process do this."""
    Order.objects.create(directive=to_builtins(directive))


def directives_after(number: int) -> list[tuple[int, Directive]]:
    """Those given since, oldest first, with their numbers."""
    rows = Order.objects.filter(id__gt=number).order_by("id")
    return [(row.pk, _read(row.directive)) for row in rows]


def standing_directives() -> tuple[int, str]:
    """The number of the last directive, and what is said of maintenance, if any."""
    last = Order.objects.aggregate(last=Max("id"))["last"] or 0
    return last, maintenance()


def maintenance() -> str:
    """What people are told of the maintenance that is on; empty where none is."""
    rows = Order.objects.filter(directive__type="maintain").order_by("-id")
    row = rows.first()
    return str(row.directive.get("text", "")) if row is not None else ""


def members(group: int, user_ids: AbstractSet[Any]) -> set[int]:
    """Which of these users are in the group."""
    users = get_user_model().objects.filter(groups=group, pk__in=user_ids)
    return set(users.values_list("pk", flat=True))


def report(process_id: int, total: int, connections: Sequence[Connection]) -> None:
    """Write down who is connected to a process."""
    Census.objects.update_or_create(
        process=process_id,
        defaults={
            "at": Now(),
            "total": total,
            "connections": to_builtins(connections),
        },
    )


def reported() -> list[Reported]:
    """What the processes that live have reported last."""
    names = {process.pk: str(process) for process in Process.objects.all()}
    return [
        Reported(
            names[row.process],
            row.at,
            row.total,
            convert(row.connections, list[Connection]),
        )
        for row in Census.objects.filter(process__in=names).order_by("process")
    ]


def forget_directives() -> None:
    """Drop what every process has done by now, and reports of processes that died."""
    maintains = Order.objects.filter(directive__type="maintain").order_by("-id")
    last = maintains.values_list("id", flat=True)[:1]  # which still stands
    Order.objects.filter(at__lt=Now() - KEPT).exclude(id__in=list(last)).delete()
    Census.objects.filter(at__lt=Now() - KEPT).delete()


def _read(value: Any) -> Directive:
    directive: Directive = convert(value, Notify | HangUp | Maintain | Report)
    return directive
