"""The reader and writer of sessions, runs and steps. Blocking: call it in a thread.

Whoever asks is an `Identity`; every function that takes one answers only about what
is theirs. Transactions that change a run write its events with it (`journal.write`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now
from msgspec import UNSET, Meta, Struct, UnsetType, convert, structs

from chat import journal
from chat.agents import registry
from chat.journal import wall_clock
from chat.models import Event as EventRow, Run, Session, Step
from chat.protocol import (
    Event,
    Failure,
    Frame,
    ProtocolError,
    Reason,
    RunCreated,
    RunFinished,
    RunStarted,
    RunView,
    StepFinished,
    StepReplaced,
    StepView,
    Usage,
    decode_events,
    storable,
)
from chat.transcript import digest, fold, merged, view

PAGE_SESSIONS: Final = 50
PAGE_EVENTS: Final = 2_000  # log rows read at a time when catching up
MAX_FRAME_CHARS: Final = 256 * 1024
TITLE_CHARS: Final = 80


class Identity(Struct, frozen=True):
    """Who somebody is: a signed-in user, or a guest known by a random key."""

    user_id: int | None
    guest_key: str

    def owns(self, session: Session) -> bool:
        """Whether the session is theirs."""
        if self.user_id is not None:
            return session.owner_id == self.user_id
        return bool(self.guest_key) and session.guest_key == self.guest_key


class NotYoursError(Exception):
    """There is no such session for whoever asks."""


class Committed(Struct, frozen=True):
    """What a transaction wrote to a run's log: to be published."""

    session_id: UUID
    frame: Frame


# ---------------------------------------------------------------- sessions


def find_session(session_id: UUID, who: Identity) -> Session | None:
    """The session, or None where nobody has it yet; raises NotYoursError."""
    session = Session.objects.filter(id=session_id).first()
    if session is not None and (session.deleted_at or not who.owns(session)):
        raise NotYoursError
    return session


def sessions_of(who: Identity) -> QuerySet[Session]:
    """All sessions that are theirs and not deleted."""
    mine = (
        Q(owner_id=who.user_id)
        if who.user_id is not None
        else Q(guest_key=who.guest_key, owner=None) & ~Q(guest_key="")
    )
    return Session.objects.filter(mine, deleted_at=None)


class SessionChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a session is to be changed."""

    title: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class SessionPage(Struct, frozen=True):
    """Some sessions, and the cursor for more."""

    sessions: list[Session]
    next: str | None


def list_sessions(
    who: Identity, *, query: str = "", archived: bool = False, cursor: str = ""
) -> SessionPage:
    """A page of their sessions: pinned first, then by last activity, newest first.

    `query` is looked for in titles, prompts and answers. Raises ValueError for a
    cursor that is none.
    """
    found = sessions_of(who).filter(archived=archived)
    if query:
        in_runs = Run.objects.filter(session=OuterRef("pk")).filter(
            Q(prompt__icontains=query)
            | Exists(
                Step.objects.filter(
                    run=OuterRef("pk"), type="final_answer", content__icontains=query
                )
            )
        )
        found = found.filter(Q(title__icontains=query) | Exists(in_runs))
    start = int(cursor) if cursor else 0
    runs = Run.objects.filter(session=OuterRef("pk"))
    found = found.annotate(
        active=Subquery(
            runs.exclude(status=Run.Status.FINISHED)
            .order_by("-status")
            .values("status")[:1]
        ),
        last_reason=Subquery(
            runs.filter(status=Run.Status.FINISHED)
            .order_by("-number")
            .values("reason")[:1]
        ),
    ).order_by("-pinned", "-updated_at", "id")
    page = list(found[start : start + PAGE_SESSIONS + 1])
    more = len(page) > PAGE_SESSIONS
    return SessionPage(
        page[:PAGE_SESSIONS], str(start + PAGE_SESSIONS) if more else None
    )


def change_session(session_id: UUID, who: Identity, change: SessionChange) -> Session:
    """Rename, pin or archive. Raises NotYoursError."""
    session = _required_session(session_id, who)
    for name, value in structs.asdict(change).items():
        if value is not UNSET:
            setattr(session, name, storable(value) if name == "title" else value)
    session.save(update_fields=["title", "pinned", "archived"])
    return session


def delete_session(session_id: UUID, who: Identity) -> None:
    """Put a session out of sight. Raises NotYoursError."""
    session = _required_session(session_id, who)
    session.deleted_at = datetime.now(UTC)
    session.save(update_fields=["deleted_at"])


def restore_session(session_id: UUID, who: Identity) -> Session:
    """Undo `delete_session`. Raises NotYoursError."""
    session = Session.objects.filter(id=session_id).first()
    if session is None or not who.owns(session):
        raise NotYoursError
    session.deleted_at = None
    session.save(update_fields=["deleted_at"])
    return session


def _required_session(session_id: UUID, who: Identity) -> Session:
    session = find_session(session_id, who)
    if session is None:
        raise NotYoursError
    return session


def session_data(session: Session | None, session_id: UUID) -> dict[str, Any]:
    """What a snapshot says of the session itself."""
    return {
        "session_id": str(session_id),
        "title": session.title if session else "",
        "agent_name": session.agent_name if session else registry.DEFAULT,
    }


# ---------------------------------------------------------------- asking


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

    Without `agent_name` the session's agent is asked. Raises NotYoursError, or ProtocolError (`queue_full`).
    """
    with transaction.atomic():
        session = _locked_session(
            session_id, who, agent_name or registry.DEFAULT, prompt
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
        session = _existing_session(session_id, who)
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


def _locked_session(
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
    return _existing_session(session_id, who)


def _existing_session(session_id: UUID, who: Identity) -> Session:
    session = Session.objects.select_for_update().filter(id=session_id).first()
    if session is None or session.deleted_at or not who.owns(session):
        raise NotYoursError
    return session


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
    written = _append(run, [created])
    title = session.title if run.number == 1 else None
    return Asked(run.pk, run.number, written, title)


def _title(prompt: str) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"


# ---------------------------------------------------------------- a run's life


def _append(run: Run, events: Iterable[Event], steps: Sequence[Step] = ()) -> Committed:
    """Write events of a run that this transaction has locked or made."""
    batch = journal.make_batch(run.pk, run.epoch, run.last_seq, events, steps)
    if run.pk not in journal.write([batch]):
        message = f"run {run.pk} changed under its lock"
        raise RuntimeError(message)
    run.last_seq = batch.last
    return Committed(run.session_id, batch.frame(run.number))


class Claimed(Struct, frozen=True):
    """A run that is now this process's to drive, and what it did before."""

    run: Run
    steps: list[Step]
    lost_call: str  # the tool whose call may have been made and forgotten, or ""
    next_step: int  # the first step number that no event has used
    written: Committed


def start_next(session_id: UUID, process: str, max_per_owner: int) -> Claimed | None:
    """Claim the session's oldest queued run, if its turn has come.

    It has when nothing is running in the session, and fewer than `max_per_owner`
    runs in all sessions of its owner.
    """
    with transaction.atomic():
        session = Session.objects.select_for_update().filter(id=session_id).first()
        if session is None or session.deleted_at:
            return None
        runs = Run.objects.filter(session_id=session_id)
        owners = Run.objects.filter(
            status=Run.Status.RUNNING,
            session__owner_id=session.owner_id,
            session__guest_key=session.guest_key,
        )
        if owners.count() >= max_per_owner:
            return None
        if runs.filter(status=Run.Status.RUNNING).exists():
            return None
        run = runs.filter(status=Run.Status.QUEUED).order_by("number").first()
        if run is None:
            return None
        return _claim(run, process)


def take_over(run_id: int, process: str, older_than: timedelta) -> Claimed | None:
    """Claim a running run whose process has not been heard of, if it is still so."""
    with transaction.atomic():
        stale = Run.objects.filter(
            id=run_id,
            status=Run.Status.RUNNING,
            heartbeat__lt=Now() - older_than,
        )
        if not stale.update(takeovers=F("takeovers") + 1, heartbeat=Now()):
            return None
        run = Run.objects.select_for_update().get(id=run_id)
        return _claim(run, process)


def _claim(run: Run, process: str) -> Claimed:
    timestamp = wall_clock()
    state = fold(run.number, read_events(run.pk)) if run.epoch else None
    run.epoch += 1
    run.status = Run.Status.RUNNING
    run.process = process
    if run.started_at is None:
        run.started_at = datetime.fromtimestamp(timestamp, UTC)
    run.save(update_fields=["epoch", "status", "process", "started_at"])
    Run.objects.filter(id=run.pk).update(heartbeat=Now())
    events: list[Event] = [RunStarted(epoch=run.epoch, timestamp=timestamp)]
    lost_call = ""
    if state is not None:
        for step in state.open_steps():
            if step.type == "tool_result" and step.tool_name is not UNSET:
                lost_call = step.tool_name
            events.append(
                StepFinished(
                    step=step.step,
                    status="discarded",
                    duration_ms=0,
                    digest=digest(step.content),
                )
            )
    written = _append(run, events)
    steps = list(Step.objects.filter(run=run).order_by("step"))
    return Claimed(run, steps, lost_call, _next_step(run.pk), written)


def _next_step(run_id: int) -> int:
    # Not from the fold: discarded steps are gone from it, and their numbers used.
    return EventRow.objects.filter(run_id=run_id, kind="step_started").count()


class Stopped(Struct, frozen=True):
    """A run that has been stopped or withdrawn."""

    run_id: int
    written: Committed


def stop(
    session_id: UUID, who: Identity, number: int | None, seen: int | None
) -> Stopped:
    """End a run now, under a new epoch, keeping of its open step what was seen.

    Without `number`: the running one. Raises NotYoursError, ProtocolError.
    """
    with transaction.atomic():
        session = _existing_session(session_id, who)
        run = _run_to_stop(session, number)
        run.epoch += 1
        Run.objects.filter(id=run.pk).update(epoch=run.epoch)
        events: list[Event] = []
        steps: list[Step] = []
        duration = 0
        reason: Reason = "withdrawn"
        if run.status == Run.Status.RUNNING:
            reason = "stopped"
            events, steps = _close_open_steps(run, seen)
            if run.started_at is not None:
                elapsed = datetime.now(UTC) - run.started_at
                duration = max(0, int(elapsed.total_seconds() * 1000))
        events.append(RunFinished(reason=reason, duration_ms=duration))
        return Stopped(run.pk, _append(run, events, steps))


def _run_to_stop(session: Session, number: int | None) -> Run:
    unfinished = Run.objects.select_for_update().filter(session=session)
    if number is None:
        run = unfinished.filter(status=Run.Status.RUNNING).first()
    else:
        run = unfinished.filter(number=number).first()
    if run is None or run.status == Run.Status.FINISHED:
        raise ProtocolError("not_found", "Nothing is running that could be stopped.")
    return run


def _close_open_steps(run: Run, seen: int | None) -> tuple[list[Event], list[Step]]:
    """Finish the open steps as `stopped`, with the text they had at `seen`."""
    log = read_events(run.pk)
    state = fold(run.number, log)
    shown = state
    if seen is not None and seen < state.seq:
        shown = fold(run.number, (event for event in log if event.seq <= seen))
    now = wall_clock()
    events: list[Event] = []
    rows: list[Step] = []
    for step in state.open_steps():
        duration = max(0, int((now - step.timestamp) * 1000))
        if step.step not in shown.steps:
            gone = StepFinished(
                step=step.step,
                status="discarded",
                duration_ms=duration,
                digest=digest(step.content),
            )
            events.append(gone)
            continue
        content = shown.steps[step.step].content
        if content != step.content:
            events.append(StepReplaced(step=step.step, text=content))
        finished = StepFinished(
            step=step.step,
            status="stopped",
            duration_ms=duration,
            digest=digest(content),
        )
        events.append(finished)
        rows.append(
            Step(
                run_id=run.pk,
                step=step.step,
                type=step.type,
                iteration=step.iteration,
                content=content,
                tool_name=step.tool_name or "",
                call_id=step.call_id or "",
                status="stopped",
                started_at=datetime.fromtimestamp(step.timestamp, UTC),
                duration_ms=duration,
                digest=finished.digest,
            )
        )
    return events, rows


# ---------------------------------------------------------------- keeping runs alive


def renew(process: str, run_ids: Sequence[int]) -> set[int]:
    """Say that this process still drives these runs; those that are not its any more."""
    mine = Run.objects.filter(
        id__in=run_ids, status=Run.Status.RUNNING, process=process
    )
    mine.update(heartbeat=Now())
    return set(run_ids) - set(mine.values_list("id", flat=True))


def release(process: str) -> int:
    """Let any other process take over this one's runs at once; how many there were."""
    return Run.objects.filter(status=Run.Status.RUNNING, process=process).update(
        heartbeat=datetime(1970, 1, 1, tzinfo=UTC)
    )


def abandoned(older_than: timedelta, limit: int) -> list[int]:
    """Running runs whose process has not been heard of for so long."""
    stale = Run.objects.filter(
        status=Run.Status.RUNNING, heartbeat__lt=Now() - older_than
    )
    return list(stale.order_by("heartbeat").values_list("id", flat=True)[:limit])


def waiting_sessions(limit: int) -> list[UUID]:
    """Sessions with a queued run and no running one, longest waiting first."""
    queued = Run.objects.filter(status=Run.Status.QUEUED).exclude(
        session__runs__status=Run.Status.RUNNING
    )
    ids = queued.order_by("created_at").values_list("session_id", flat=True)
    return list(dict.fromkeys(ids[: limit * 4]))[:limit]


# ---------------------------------------------------------------- the log


def read_events(run_id: int, after: int = 0, limit: int | None = None) -> list[Event]:
    """The events of a run after seq `after`, in order, at most `limit`."""
    rows = EventRow.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")
    payloads = rows.values_list("payload", flat=True)[:limit]
    return decode_events(f"[{','.join(payloads)}]")


def positions(
    session_ids: Iterable[UUID], since: timedelta
) -> list[tuple[UUID, int, int]]:
    """(session, run, last_seq) of the runs that are, or just were, unfinished."""
    recent = ~Q(status=Run.Status.FINISHED) | Q(finished_at__gt=Now() - since)
    runs = Run.objects.filter(recent, session_id__in=list(session_ids))
    return list(runs.values_list("session_id", "number", "last_seq"))


class Position(Struct, frozen=True):
    """How far a run's log goes."""

    run_id: int
    number: int
    last_seq: int
    finished: bool


def session_positions(session_id: UUID, above: int) -> list[Position]:
    """How far the logs of the session's runs after number `above` go."""
    runs = Run.objects.filter(session_id=session_id, number__gt=above)
    rows = runs.order_by("number").values_list("id", "number", "last_seq", "status")
    return [
        Position(run_id, number, last_seq, status == Run.Status.FINISHED)
        for run_id, number, last_seq, status in rows
    ]


def merged_page(run_id: int, after: int) -> list[Event]:
    """The next page of a run's events after seq `after`, deltas merged."""
    return merged(read_events(run_id, after, PAGE_EVENTS))


# ---------------------------------------------------------------- views of runs


def latest_runs(
    session_id: UUID, limit: int, *, before: int | None = None, but: Iterable[int] = ()
) -> tuple[list[RunView], bool]:
    """The latest runs (before a number, but for some), and whether there are earlier."""
    runs = Run.objects.filter(session_id=session_id).exclude(number__in=list(but))
    if before is not None:
        runs = runs.filter(number__lt=before)
    rows = list(runs.order_by("-number")[: limit + 1])
    earlier = len(rows) > limit
    rows = rows[:limit][::-1]
    return run_views(rows), earlier


def run_views(runs: Sequence[Run]) -> list[RunView]:
    """What snapshots show of these runs: rows where finished, else the log's fold."""
    finished = [run.pk for run in runs if run.status == Run.Status.FINISHED]
    steps: dict[int, list[StepView]] = {run_id: [] for run_id in finished}
    for row in Step.objects.filter(run_id__in=finished).order_by("run_id", "step"):
        steps[row.run_id].append(_step_view(row))
    return [
        _finished_view(run, steps[run.pk])
        if run.pk in steps
        else view(fold(run.number, read_events(run.pk)))
        for run in runs
    ]


def _finished_view(run: Run, steps: list[StepView]) -> RunView:
    usage = (
        UNSET
        if run.input_tokens is None or run.output_tokens is None
        else Usage(run.input_tokens, run.output_tokens)
    )
    return RunView(
        run=run.number,
        status="finished",
        # A run that was withdrawn never started.
        epoch=0 if run.started_at is None else run.epoch - _stops(run.reason),
        seq=run.last_seq,
        prompt=run.prompt,
        agent_name=run.agent_name,
        enable_reasoning=run.enable_reasoning,
        timestamp=run.created_at.timestamp(),
        steps=steps,
        client_id=run.client_id or UNSET,
        reason=convert(run.reason, Reason),
        duration_ms=UNSET if run.duration_ms is None else run.duration_ms,
        usage=usage,
        error=UNSET if run.error is None else convert(run.error, Failure),
    )


def _stops(reason: str) -> Literal[0, 1]:
    """Stopping raises the epoch without a `run_started` that would say so."""
    return 1 if reason == Run.Reason.STOPPED else 0


def _step_view(row: Step) -> StepView:
    return StepView(
        row.step,
        row.type,  # type: ignore[arg-type]  (its choices are the literals)
        row.iteration,
        row.content,
        row.status,  # type: ignore[arg-type]  (its choices are the literals)
        row.started_at.timestamp(),
        row.duration_ms,
        row.tool_name or UNSET,
        row.call_id or UNSET,
        UNSET if row.tool_input is None else row.tool_input,
        row.digest,
    )


def history(run: Run, limit: int) -> list[tuple[str, list[Step]]]:
    """Earlier finished runs, oldest first: prompt and steps. Superseded ones are out.

    A run that is run again or continued must not remember its first try.
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
    return [(row.prompt, steps[row.pk]) for row in rows]


def steps_to_continue(run: Run) -> list[Step]:
    """The steps of the run that `run` continues, oldest first; none for a rerun."""
    old = run.retry_of
    chain: list[Step] = []
    while old is not None and old.reason not in {"answered", "withdrawn"}:
        chain = [*Step.objects.filter(run=old).order_by("step"), *chain]
        old = old.retry_of
    return chain
