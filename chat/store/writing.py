"""What every change of a run shares: lock, append to the log, hand on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from msgspec import UNSET, Struct

from chat.access import Act, Identity
from chat.log.batches import make_batch, since, wall_clock, write
from chat.models import Run, Session, Step
from chat.store.sessions import require_session
from chat.wire.protocol import (
    Event,
    Frame,
    ProtocolError,
    StepFinished,
    StepReplaced,
    StepStatus,
)
from chat.wire.transcript import StepState, digest


class Committed(Struct, frozen=True):
    """What a transaction wrote to a run's log: to be published."""

    session_id: UUID
    frame: Frame


def locked_session(session_id: UUID, who: Identity, act: Act) -> Session:
    """A session with which they may do that, locked until the transaction ends.

    Raises NotYoursError, NotAllowedError, or ProtocolError where nobody has begun it.
    """
    # Not for its key: whoever ends a run there looks, at the commit, whether its
    # session exists, and would wait for this transaction while this waits for the run.
    session = (
        Session.objects.select_for_update(no_key=True).filter(id=session_id).first()
    )
    if session is None:
        raise ProtocolError("not_found", "Nothing has been asked here yet.")
    require_session(session, who, act)
    return session


def append(run: Run, events: Iterable[Event], steps: Sequence[Step] = ()) -> Committed:
    """Write events of a run that this transaction has locked or made."""
    ms = since(run.started_at)
    batch = make_batch(run.pk, run.epoch, run.last_seq, events, steps, ms)
    if run.pk not in write([batch]):
        message = f"run {run.pk} changed under its lock"
        raise RuntimeError(message)
    run.last_seq = batch.last
    return Committed(run.session_id, batch.frame(run.number))


class Closing:
    """What closes the open steps of a run from outside: events, and rows for them."""

    def __init__(self, run: Run) -> None:
        self.events: list[Event] = []
        self.rows: list[Step] = []
        self._run = run
        self._now = wall_clock()

    def discard(self, step: StepState) -> None:
        """The step disappears."""
        self._close(step, "discarded", step.content)

    def finish(
        self, step: StepState, status: Literal["error", "stopped"], content: str
    ) -> None:
        """The step stays, holding `content`."""
        if content != step.content:
            self.events.append(StepReplaced(step=step.step, text=content))
        finished = self._close(step, status, content)
        self.rows.append(
            Step(
                run_id=self._run.pk,
                step=step.step,
                type=step.type,
                iteration=step.iteration,
                content=content,
                tool_name=step.tool_name or "",
                call_id=step.call_id or "",
                agent=step.agent or "",
                parent=None if step.parent is UNSET else step.parent,
                status=status,
                started_at=datetime.fromtimestamp(step.timestamp, UTC),
                duration_ms=finished.duration_ms,
                digest=finished.digest,
            )
        )

    def _close(self, step: StepState, status: StepStatus, content: str) -> StepFinished:
        event = StepFinished(
            step=step.step,
            status=status,
            duration_ms=max(0, int((self._now - step.timestamp) * 1000)),
            digest=digest(content),
        )
        self.events.append(event)
        return event
