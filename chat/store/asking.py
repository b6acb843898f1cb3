"""Messages become queued runs; finished runs are run again or continued."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now
from msgspec import UNSET, Struct

from chat.agents import registry
from chat.log.batches import wall_clock
from chat.models import Run, Session
from chat.store.sessions import Identity
from chat.store.writing import Committed, append, locked_session
from chat.wire.protocol import (
    ProtocolError,
    RunCreated,
)

TITLE_CHARS: Final = 80


class Asked(Struct, frozen=True):
    """The run of a message; `written` is None where it was there before."""

    run_id: int
    number: int
    written: Committed | None
    title: str | None  # where the session has just got one


def ask(
    session_id: UUID,
    who: Identity,
    *,
    prompt: str,
    agent_name: str | None,
    enable_reasoning: bool,
    client_id: str | None,
    max_queued: int,
) -> Asked:
    """Store a message as a queued run of the session, which begins with its first.

    Without `agent_name` the session's agent is asked. Raises NotYoursError, or
    ProtocolError (`queue_full`).
    """
    with transaction.atomic():
        session = _begun_session(
            session_id, who, agent_name or registry.default(), prompt
        )
        if client_id is not None:
            known = Run.objects.filter(session=session, client_id=client_id).first()
            if known is not None:
                return Asked(known.pk, known.number, None, None)
        return _create_run(
            session,
            Run(
                prompt=prompt,
                agent_name=agent_name or session.agent_name,
                enable_reasoning=enable_reasoning,
                client_id=client_id,
            ),
            max_queued,
        )


def retry(session_id: UUID, who: Identity, number: int, max_queued: int) -> Asked:
    """Queue the prompt of a finished run again. Raises as `ask`, or `not_found`."""
    with transaction.atomic():
        session = locked_session(session_id, who)
        old = Run.objects.filter(session=session, number=number).first()
        if old is None:
            raise ProtocolError("not_found", f"There is no run {number} here.")
        if old.status != Run.Status.FINISHED:
            raise ProtocolError("bad_message", f"Run {number} has not finished yet.")
        return _create_run(
            session,
            Run(
                prompt=old.prompt,
                agent_name=old.agent_name,
                enable_reasoning=old.enable_reasoning,
                retry_of=old,
            ),
            max_queued,
        )


def _begun_session(
    session_id: UUID, who: Identity, agent_name: str, prompt: str
) -> Session:
    Session.objects.bulk_create(
        [
            Session(
                id=session_id,
                owner_id=who.user_id,
                guest_key="" if who.user_id is not None else who.guest_key,
                agent_name=agent_name,
                title=_title(prompt),
            )
        ],
        ignore_conflicts=True,
    )
    return locked_session(session_id, who)


def _create_run(session: Session, run: Run, max_queued: int) -> Asked:
    runs = Run.objects.filter(session=session)
    if runs.filter(status=Run.Status.QUEUED).count() >= max_queued:
        raise ProtocolError(
            "queue_full",
            f"{max_queued} messages are waiting already. Wait for an answer first.",
            retryable=True,
        )
    run.session = session
    run.number = (runs.aggregate(last=Max("number"))["last"] or 0) + 1
    timestamp = wall_clock()
    run.created_at = datetime.fromtimestamp(timestamp, UTC)
    run.save()
    Session.objects.filter(id=session.pk).update(
        agent_name=run.agent_name, updated_at=Now()
    )
    created = RunCreated(
        prompt=run.prompt,
        agent_name=run.agent_name,
        enable_reasoning=run.enable_reasoning,
        client_id=run.client_id or UNSET,
        timestamp=timestamp,
    )
    written = append(run, [created])
    title = session.title if run.number == 1 else None
    return Asked(run.pk, run.number, written, title)


def _title(prompt: str) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"
