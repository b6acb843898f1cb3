"""Which process drives a run: claims, and takeovers of what others have left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Count, F, Min
from django.db.models.functions import Coalesce
from msgspec import Struct, structs

from chat.agents.base import Part
from chat.log.batches import wall_clock
from chat.models import Run, Session
from chat.store.events import read_events
from chat.store.exchanges import Memory, done_in, recall
from chat.store.processes import Abandoned
from chat.store.sql import execute, fetch, fetch_one
from chat.store.writing import Closing, Committed, append
from chat.wire.protocol import Event, RunStarted, StepStarted
from chat.wire.transcript import fold

logger = logging.getLogger(__name__)

LOST_CALL: Final = (
    "The server was lost while {tool} was being called. It is not known whether the"
    " call took effect, so it was not made again."
)


class Claimant(Struct, frozen=True):
    """A process with a free slot."""

    process: int
    max_per_owner: int  # runs at a time in all sessions of one owner
    for_guests: bool = True  # whether guests may have the slot too


class Claimed(Struct, frozen=True):
    """A run that is now this process's to drive, and what it did before."""

    run: Run
    done: list[Part]
    lost_call: str  # says that a call may have been made and forgotten, or ""
    next_step: int  # the first step number that no event has used
    written: Committed
    is_guest: bool = False  # whose run it is
    memory: Memory | None = None  # None: the database went away before it was read


class Runs(Struct, frozen=True):
    """What a session's turn depends on."""

    last: int  # the highest number
    queued: int
    running: int
    owners: int  # running, in all sessions of the session's owner
    is_guest: bool  # who that is
    known: tuple[int, int] | None = None  # id and number of the message, if it is there


# The literals are for SQLite, which takes a partial index only for what it can read.
_RUNS: Final = """
SELECT
  (SELECT COALESCE(MAX(number), 0) FROM chat_run WHERE session_id = s.id),
  (SELECT COUNT(*) FROM chat_run WHERE session_id = s.id AND status = 'queued'),
  (SELECT COUNT(*) FROM chat_run WHERE session_id = s.id AND status = 'running'),
  (SELECT COUNT(*) FROM chat_run r JOIN chat_session o ON o.id = r.session_id
   WHERE r.status = 'running' AND o.guest_key = s.guest_key
   AND o.owner_id {same} s.owner_id),
  s.owner_id IS NULL,
  (SELECT id FROM chat_run WHERE session_id = s.id AND client_id = %s),
  (SELECT number FROM chat_run WHERE session_id = s.id AND client_id = %s)
FROM chat_session s WHERE s.id = %s
"""

_LOCK_SESSION: Final = """
SELECT id FROM chat_session WHERE id = %s AND deleted_at IS NULL {lock}
"""

_NEXT: Final = """
SELECT id, number, prompt, agent_name, enable_reasoning, retry_of_id, last_seq
FROM chat_run WHERE session_id = %s AND status = 'queued' ORDER BY number LIMIT 1
"""

_HAS_QUEUED: Final = """
SELECT 1 FROM chat_run WHERE session_id = %s AND status = 'queued' LIMIT 1
"""

_ARE_QUEUED: Final = "SELECT 1 FROM chat_run WHERE status = 'queued' LIMIT 1"

_CLAIM: Final = """
UPDATE chat_run SET status = 'running', epoch = %s, process = %s, started_at = %s
WHERE id = %s
"""


def runs_of(session_id: UUID, client_id: str | None = None) -> Runs:
    """The runs of a session that the transaction has locked, and that message's."""
    (row,) = fetch(_RUNS, client_id, client_id, session_id)
    last, queued, running, owners, is_guest, run_id, number = row
    known = None if run_id is None else (run_id, number)
    return Runs(last, queued, running, owners, bool(is_guest), known)


def is_turn(runs: Runs, claimant: Claimant) -> bool:
    """Whether one more run may start: one at a time, and so many per owner."""
    is_welcome = claimant.for_guests or not runs.is_guest
    return is_welcome and not runs.running and runs.owners < claimant.max_per_owner


def run_started(run: Run, timestamp: float) -> RunStarted:
    """What the log says of the run's claim."""
    return RunStarted(epoch=run.epoch, timestamp=timestamp)


def remembering(claimed: Claimed) -> Claimed:
    """With what the agent remembers, read in the same visit to the database.

    Where that fails the run is claimed all the same: its driver reads again.
    """
    try:
        return structs.replace(claimed, memory=recall(claimed.run))
    except DatabaseError as error:
        logger.warning("claimed run %s, but: %s", claimed.run.pk, error)
        return claimed


def has_queued(session_id: UUID) -> bool:
    """Whether a run waits in the session."""
    return fetch_one(_HAS_QUEUED, session_id) is not None


def start_next(session_id: UUID, claimant: Claimant) -> Claimed | None:
    """Claim the session's oldest queued run, if its turn has come: see `is_turn`."""
    with transaction.atomic():
        if not fetch(_LOCK_SESSION, session_id):
            return None
        runs = runs_of(session_id)
        if not runs.queued or not is_turn(runs, claimant):
            return None
        run = _next(session_id)
        written = _claim(run, claimant.process, Closing(run))
    return remembering(Claimed(run, [], "", 0, written, is_guest=runs.is_guest))


def _next(session_id: UUID) -> Run:
    """The queued run whose turn is next; there is one."""
    (row,) = fetch(_NEXT, session_id)
    run_id, number, prompt, agent_name, enable_reasoning, retry_of_id, last_seq = row
    return Run(
        id=run_id,
        session_id=session_id,
        number=number,
        prompt=prompt,
        agent_name=agent_name,
        enable_reasoning=enable_reasoning,
        retry_of_id=retry_of_id,
        last_seq=last_seq,
    )


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
            count = still.filter(process=None).update(process=process)
        else:
            count = still.filter(process=left.process).update(
                process=process, takeovers=F("takeovers") + 1
            )
        if not count:
            return None
        run = Run.objects.select_for_update(no_key=True).get(id=left.run_id)
        log = read_events(run.pk)
        closing, lost_call = _close_open_steps(run, log, is_repeatable)
        written = _claim(run, process, closing)
        done = done_in(run.pk)
    return remembering(Claimed(run, done, lost_call, _next_step(log), written))


def _close_open_steps(
    run: Run, log: Sequence[Event], is_repeatable: Callable[[str, str], bool]
) -> tuple[Closing, str]:
    closing = Closing(run)
    lost_call = ""
    for step in fold(run.number, log).open_steps():
        tool = step.tool_name or ""
        if step.type == "tool_result" and not is_repeatable(run.agent_name, tool):
            lost_call = LOST_CALL.format(tool=tool)
            closing.finish(step, "error", lost_call)
        else:
            closing.discard(step)
    return closing, lost_call


def _claim(run: Run, process: int, closing: Closing) -> Committed:
    """Claim a run that the transaction has locked, and close what it had open."""
    timestamp = wall_clock()
    run.epoch += 1
    run.status = Run.Status.RUNNING
    run.process = process
    if run.started_at is None:
        run.started_at = datetime.fromtimestamp(timestamp, UTC)
    execute(_CLAIM, run.epoch, process, run.started_at, run.pk)
    return append(run, [run_started(run, timestamp), *closing.events], closing.rows)


def _next_step(log: Iterable[Event]) -> int:
    # Not from the fold: discarded steps are gone from it, and their numbers used.
    return sum(isinstance(event, StepStarted) for event in log)


def lost(epochs: Mapping[int, int]) -> set[int]:
    """Which of these runs, id → epoch, are not running under that epoch any more."""
    running = Run.objects.filter(id__in=epochs, status=Run.Status.RUNNING)
    held = running.values_list("id", "epoch")
    return set(epochs) - {run_id for run_id, epoch in held if epoch == epochs[run_id]}


def waiting_sessions(
    limit: int, max_per_owner: int, *, for_guests: bool = True
) -> list[UUID]:
    """Sessions where a run's turn has come, oldest first: see `start_next`."""
    if not fetch(_ARE_QUEUED):
        return []  # as mostly
    running = Run.objects.filter(status=Run.Status.RUNNING)
    # Not by a join, for which SQLite would read all sessions.
    busy = (
        Session.objects.filter(id__in=running.values("session"))
        .order_by()
        .annotate(user=Coalesce("owner_id", 0))
        .values("user", "guest_key")
        .annotate(running=Count("id"))  # one of each session at a time
        .filter(running__gte=max_per_owner)
        .values_list("user", "guest_key")
    )
    queued = Run.objects.filter(status=Run.Status.QUEUED, session__deleted_at=None)
    if not for_guests:
        queued = queued.exclude(session__owner=None)
    for user_id, guest_key in busy:
        queued = queued.exclude(
            session__owner_id=user_id or None, session__guest_key=guest_key
        )
    sessions = (
        queued.exclude(session__runs__status=Run.Status.RUNNING)
        .values("session_id")
        .annotate(since=Min("created_at"), first=Min("id"))
        .order_by("since", "first")  # many come within one millisecond
    )
    return [row["session_id"] for row in sessions[:limit]]
