"""Messages become runs: begun at once where the session is idle, else queued."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from msgspec import UNSET, Struct, structs

from chat.access import Act, Identity
from chat.agents import registry
from chat.log.batches import insert, make_batch, wall_clock
from chat.models import Run, Session
from chat.store.claiming import (
    Claimant,
    Claimed,
    Runs,
    is_turn,
    remembering,
    run_started,
    runs_of,
)
from chat.store.sessions import require_session
from chat.store.sql import fetch
from chat.store.writing import Committed, locked_session
from chat.wire.protocol import ProtocolError, RunCreated

TITLE_CHARS: Final = 80


class AddressLimit(Struct, frozen=True):
    """What guests at one address may have going on at once."""

    key_prefix: str  # with which the keys of all of them begin
    max_sessions: int  # with a run that is running or queued


class Asked(Struct, frozen=True):
    """The run of a message; `written` is None where it was there before."""

    run_id: int
    number: int
    written: Committed | None
    title: str | None  # where the session has just got one
    claimed: Claimed | None = None  # where its turn came at once


class _Question(Struct, frozen=True):
    """What a run is to be about."""

    prompt: str
    agent_name: str
    enable_reasoning: bool
    client_id: str | None = None
    retry_of: int | None = None


# Begins the session, or locks it: one row version either way, since it is touched.
_TOUCH_SESSION: Final = """
INSERT INTO chat_session
  (id, owner_id, guest_key, agent_name, title, pinned, archived)
VALUES (%s, %s, %s, %s, %s, FALSE, FALSE)
ON CONFLICT (id) DO UPDATE SET
  updated_at = {now}, agent_name = COALESCE(%s, chat_session.agent_name)
RETURNING owner_id, guest_key, deleted_at, agent_name, title
"""

# By the few sessions where something goes on: a prefix of the key has no index.
_BUSY_AT_ADDRESS: Final = """
SELECT COUNT(*) FROM (
  SELECT session_id FROM chat_run WHERE status = 'running'
  UNION SELECT session_id FROM chat_run WHERE status = 'queued'
) busy JOIN chat_session s ON s.id = busy.session_id
WHERE s.id <> %s AND SUBSTR(s.guest_key, 1, %s) = %s
"""

_INSERT_RUN: Final = """
INSERT INTO chat_run
  (session_id, number, client_id, prompt, agent_name, enable_reasoning, retry_of_id,
   created_at, status, reason, epoch, last_seq, process, started_at, takeovers)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, '', %s, %s, %s, %s, 0)
RETURNING id
"""


def ask(  # noqa: PLR0913  (what a message consists of)
    session_id: UUID,
    who: Identity,
    *,
    prompt: str,
    agent_name: str | None,
    enable_reasoning: bool,
    client_id: str | None,
    max_queued: int,
    claimant: Claimant | None = None,
    address: AddressLimit | None = None,
    closed: str = "",
) -> Asked:
    """Store a message as a run of the session, which begins with its first.

    `claimant` drives the run at once if its turn has come; else it is queued. Without
    `agent_name` the session's agent is asked. `closed`: why nothing new is taken, where
    that is so. Raises NotYoursError, NotAllowedError, or ProtocolError (`queue_full`,
    `model_unavailable`).
    """
    with transaction.atomic():
        session = _touched_session(session_id, who, agent_name, prompt)
        runs = runs_of(session_id, client_id)
        if runs.known:
            transaction.set_rollback(True)  # nothing new has been said
            run_id, number = runs.known
            return Asked(run_id, number, None, None)
        if closed:
            raise ProtocolError("model_unavailable", closed, retryable=True)
        _check_address(session_id, address)
        question = _Question(
            prompt, session.agent_name, enable_reasoning, client_id=client_id
        )
        asked = _create_run(session, runs, question, max_queued, claimant)
    return _remembering(asked)


def retry(
    session_id: UUID,
    who: Identity,
    number: int,
    max_queued: int,
    claimant: Claimant | None = None,
    address: AddressLimit | None = None,
) -> Asked:
    """Run the prompt of a finished run again. Raises as `ask`, or `not_found`."""
    with transaction.atomic():
        session = locked_session(session_id, who, Act.ASK)
        old = Run.objects.filter(session=session, number=number).first()
        if old is None:
            raise ProtocolError("not_found", f"There is no run {number} here.")
        if old.status != Run.Status.FINISHED:
            raise ProtocolError("bad_message", f"Run {number} has not finished yet.")
        _check_address(session_id, address)
        Session.objects.filter(id=session_id).update(
            agent_name=old.agent_name, updated_at=Now()
        )
        question = _Question(
            old.prompt, old.agent_name, old.enable_reasoning, retry_of=old.pk
        )
        runs = runs_of(session_id)
        asked = _create_run(session, runs, question, max_queued, claimant)
    return _remembering(asked)


def _touched_session(
    session_id: UUID, who: Identity, agent_name: str | None, prompt: str
) -> Session:
    """The session, begun or locked. Raises NotYoursError, NotAllowedError."""
    guest_key = "" if who.user_id is not None else who.guest_key
    first_agent = agent_name or registry.default()
    values = (session_id, who.user_id, guest_key, first_agent, title_of(prompt))
    ((owner_id, guest_key, deleted_at, agent_name, title),) = fetch(
        _TOUCH_SESSION, *values, agent_name
    )
    session = Session(
        id=session_id,
        owner_id=owner_id,
        guest_key=guest_key,
        agent_name=agent_name,
        title=title,
        deleted_at=deleted_at,
    )
    require_session(session, who, Act.ASK)
    return session


def _check_address(session_id: UUID, limit: AddressLimit | None) -> None:
    """Raise ProtocolError where others at the address have enough going on."""
    if limit is None:
        return
    prefix = limit.key_prefix
    ((busy,),) = fetch(_BUSY_AT_ADDRESS, session_id, len(prefix), prefix)
    if busy >= limit.max_sessions:
        raise ProtocolError(
            "queue_full",
            f"{busy} answers are being written for your address already. "
            "Wait for one of them, or sign in.",
            retryable=True,
        )


def _remembering(asked: Asked) -> Asked:
    if asked.claimed is None:
        return asked
    return structs.replace(asked, claimed=remembering(asked.claimed))


def _create_run(
    session: Session,
    runs: Runs,
    question: _Question,
    max_queued: int,
    claimant: Claimant | None,
) -> Asked:
    if runs.queued >= max_queued:
        raise ProtocolError(
            "queue_full",
            f"{max_queued} messages are waiting already. Wait for an answer first.",
            retryable=True,
        )
    if claimant and (runs.queued or not is_turn(runs, claimant)):
        claimant = None
    timestamp = wall_clock()
    now = datetime.fromtimestamp(timestamp, UTC)
    run = Run(
        session_id=session.pk,
        number=runs.last + 1,
        client_id=question.client_id,
        prompt=question.prompt,
        agent_name=question.agent_name,
        enable_reasoning=question.enable_reasoning,
        retry_of_id=question.retry_of,
        created_at=now,
        last_seq=1,
        cause="",
        is_compacted=False,
    )
    if claimant:
        run.status = Run.Status.RUNNING
        run.process = claimant.process
        run.started_at = now
        run.epoch, run.last_seq = 1, 2
    run.pk = _insert(run)
    created = RunCreated(
        prompt=run.prompt,
        agent_name=run.agent_name,
        enable_reasoning=run.enable_reasoning,
        client_id=run.client_id or UNSET,
        timestamp=timestamp,
    )
    batches = [make_batch(run.pk, 0, 0, [created])]
    if claimant:
        batches.append(make_batch(run.pk, 1, 1, [run_started(run, timestamp)]))
    insert([row for batch in batches for row in batch.rows])
    written = [Committed(session.pk, batch.frame(run.number)) for batch in batches]
    return Asked(
        run.pk,
        run.number,
        written[0],
        session.title if run.number == 1 else None,
        Claimed(run, [], "", 0, written[1], is_guest=runs.is_guest)
        if claimant
        else None,
    )


def _insert(run: Run) -> int:
    ((run_id,),) = fetch(
        _INSERT_RUN,
        run.session_id,
        run.number,
        run.client_id,
        run.prompt,
        run.agent_name,
        run.enable_reasoning,
        run.retry_of_id,
        run.created_at,
        run.status,
        run.epoch,
        run.last_seq,
        run.process,
        run.started_at,
    )
    return int(run_id)


def title_of(prompt: str) -> str:
    """What a session is called that begins with this."""
    line = " ".join(prompt.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"
