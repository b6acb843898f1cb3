"""The rows of processes: who lives, who is to be declared dead. See `work.leases`.

Everything here goes over the calling thread's connection.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from msgspec import Struct

from chat.models import Process, Run
from chat.store.sql import fetch

# The first half of the keys of PostgreSQL's advisory locks; the second is the id of
# the process. Locks are the database's own, so that sites do not meet.
LOCK_CLASS: Final = 1_381_191_795

# Asked twice a second by each process: Django would take longer to word it than the
# database to answer.
_NEIGHBOURS: Final = {
    "postgresql": """
SELECT id, name, slots, lock_no,
  lock_pid IS NOT NULL AND id::bigint NOT IN (
    SELECT objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  ),
  heartbeat < {now} - %s * INTERVAL '1 second'
FROM chat_process WHERE id <> %s
""",
    "sqlite": """
SELECT id, name, slots, lock_no, %s = 0,
  heartbeat < STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', -%s || ' seconds')
FROM chat_process WHERE id <> %s
""",
}

# The literal is for SQLite, which takes a partial index only for what it can read.
_ABANDONED: Final = """
SELECT id, process FROM chat_run WHERE status = 'running' AND NOT EXISTS (
  SELECT 1 FROM chat_process WHERE chat_process.id = chat_run.process
) ORDER BY started_at, id LIMIT %s
"""


class DeclaredDeadError(Exception):
    """Another process has taken this one for dead: it must begin as a new one."""


class Neighbour(Struct, frozen=True):
    """Another process, as its row and PostgreSQL's locks tell of it."""

    id: int
    name: str
    slots: int  # none: it takes no runs, or none any more
    lock_no: int
    gone: bool  # it should hold a lock of PostgreSQL, and does not
    late: bool  # its heartbeat is overdue


class Abandoned(Struct, frozen=True):
    """A running run that no living process drives."""

    run_id: int
    process: int | None  # which died; None: it has handed the run over


def register(name: str, role: str, version: str, slots: int) -> int:
    """Make a row for this process; its id."""
    row = Process.objects.create(name=name, role=role, version=version, slots=slots)
    return row.pk


def take_lock(process_id: int) -> bool:
    """Take the process's lock for as long as this connection lives.

    Returns False where it cannot be had, since PostgreSQL has not noticed that the
    former connection is gone; then the row says so. Raises DeclaredDeadError.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_CLASS, process_id])
        if cursor.fetchone() != (True,):
            drop_lock(process_id)
            return False
        cursor.execute(
            "UPDATE chat_process SET lock_no = lock_no + 1,"
            " lock_pid = pg_backend_pid(), heartbeat = statement_timestamp()"
            " WHERE id = %s",
            [process_id],
        )
        if cursor.rowcount == 0:
            raise DeclaredDeadError
        return True


def drop_lock(process_id: int) -> None:
    """Have the process judged by its heartbeat alone, and be this one.

    Raises DeclaredDeadError.
    """
    row = Process.objects.filter(id=process_id)
    if not row.update(lock_no=F("lock_no") + 1, lock_pid=None, heartbeat=Now()):
        raise DeclaredDeadError


def beat(process_id: int, running: int, slots: int) -> set[int]:
    """Say that the process lives, drives so many runs of at most so many.

    Returns the ids of the runs that it owns.

    Raises DeclaredDeadError.
    """
    row = Process.objects.filter(id=process_id)
    if not row.update(heartbeat=Now(), running=running, slots=slots):
        raise DeclaredDeadError
    mine = Run.objects.filter(status=Run.Status.RUNNING, process=process_id)
    return set(mine.values_list("id", flat=True))


def neighbours(process_id: int, takeover: timedelta) -> list[Neighbour]:
    """All other processes; they are late after `takeover` without a heartbeat."""
    statement = _NEIGHBOURS[connection.vendor]
    return [
        Neighbour(number, name, slots, lock_no, gone=bool(gone), late=bool(late))
        for number, name, slots, lock_no, gone, late in fetch(
            statement, LOCK_CLASS, takeover.total_seconds(), process_id
        )
    ]


def declare_gone(dead: Neighbour) -> bool:
    """Delete the row of a process that has lost its lock; True if it was still so."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM chat_process WHERE id = %s AND lock_no = %s"
            " AND lock_pid IS NOT NULL AND pg_try_advisory_xact_lock(%s, id)",
            [dead.id, dead.lock_no, LOCK_CLASS],
        )
        return bool(cursor.rowcount == 1)


def declare_late(dead: Neighbour, takeover: timedelta) -> bool:
    """Delete the row of a process without a heartbeat; True if it was still so."""
    late = Process.objects.filter(id=dead.id, heartbeat__lt=Now() - takeover)
    return late.delete()[0] == 1


def declare_dead(process_id: int) -> bool:
    """Delete the row of a process that is known to be dead; True if there was one."""
    return Process.objects.filter(id=process_id).delete()[0] == 1


def abandoned(limit: int) -> list[Abandoned]:
    """Running runs that no living process drives, the oldest first."""
    return [Abandoned(*row) for row in fetch(_ABANDONED, limit)]


def disown(process_id: int, run_ids: Collection[int]) -> None:
    """Let others take over runs that the process owns and does not drive.

    They count as lost: what cannot be written ends in the end.
    """
    Run.objects.filter(
        id__in=run_ids, status=Run.Status.RUNNING, process=process_id
    ).update(process=None, takeovers=F("takeovers") + 1)


def leave(process_id: int) -> None:
    """Hand all runs of the process over, and delete its row.

    A run that somebody else has locked is left as it is: abandoned, as after a death.
    """
    with transaction.atomic():
        mine = Run.objects.filter(status=Run.Status.RUNNING, process=process_id)
        free = mine.select_for_update(skip_locked=True).order_by("id")
        ids = list(free.values_list("id", flat=True))
        Run.objects.filter(id__in=ids).update(process=None)
        Process.objects.filter(id=process_id).delete()
