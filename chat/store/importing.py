"""A session made from a log that was taken away: as a session of whoever brings it.

The file may have been written by anybody. What its events add up to is kept, and a log
is written anew from that, so that ours holds nothing that we did not write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from django.db import transaction
from msgspec import UNSET, structs, to_builtins

from chat.access import Act, Identity, NotAllowedError, require
from chat.agents import registry
from chat.log.batches import MAX_MS, insert, make_batch, wall_clock
from chat.log.recorder import MAX_DELTA_CHARS, storable_json
from chat.models import Run, Session, Step
from chat.store.exporting import MAX_EXPORT_CHARS, SessionLog, TooLongError
from chat.wire.protocol import (
    MAX_MESSAGE_CHARS,
    Event,
    RunCreated,
    RunFinished,
    RunStarted,
    RunView,
    StepDelta,
    StepFinished,
    StepStarted,
    StepView,
    storable,
)
from chat.wire.transcript import GapError, digest, fold, view

MAX_RUNS: Final = 2_000
MAX_STEPS: Final = 20_000  # of all runs
MAX_COUNT: Final = 2**31 - 1  # that a column takes
LATEST: Final = 2**33  # Unix seconds; more than any clock of a site says
EPOCH: Final = 1  # of every run: its log is written once


class UnreadableError(Exception):
    """What was brought is not the log of a session; the message says why."""


def import_session(who: Identity, log: SessionLog) -> Session:
    """A new session of theirs with these runs.

    Raises UnreadableError, TooLongError; NotAllowedError for who cannot come back.
    """
    try:
        runs = list(_checked(log))
    except RecursionError:
        raise UnreadableError("it is nested too deeply") from None
    return session_with(who, log.facts.title, log.facts.agent_name, runs)


def session_with(
    who: Identity, title: str, agent_name: str, runs: Sequence[RunView]
) -> Session:
    """A new session of theirs that begins with these runs, which must be storable.

    Raises NotAllowedError for who cannot come back, or may not ask.
    """
    require(who, Act.ASK, None)
    if who.user_id is None and not who.guest_key:
        raise NotAllowedError("Open the site's page first, to be somebody here.")
    session = Session(
        id=uuid4(),
        owner_id=who.user_id,
        guest_key="" if who.user_id is not None else who.guest_key,
        title=storable(title)[:200],
        agent_name=agent_name if agent_name in registry.names() else registry.default(),
    )
    with transaction.atomic():
        session.save(force_insert=True)
        for number, run in enumerate(runs, 1):
            _write(session, number, run)
    session.refresh_from_db()
    return session


def _checked(log: SessionLog) -> Iterator[RunView]:
    if len(log.runs) > MAX_RUNS:
        raise TooLongError
    chars = steps = 0
    for number in sorted(log.runs):
        try:
            run = view(fold(number, log.runs[number]))
        except (GapError, KeyError):
            raise UnreadableError(f"the events of run {number} do not fit") from None
        steps += len(run.steps)
        chars += sum(len(step.content) for step in run.steps)
        if steps > MAX_STEPS or chars > MAX_EXPORT_CHARS:
            raise TooLongError
        yield storable_run(run)


def storable_run(run: RunView) -> RunView:
    """The run as rows can hold it. Raises UnreadableError."""
    if not 0 < len(run.prompt) <= MAX_MESSAGE_CHARS:
        raise UnreadableError(f"run {run.run} has no question that could be one")
    times = [run.timestamp, run.duration_ms or 0]
    counts = [run.usage.input_tokens, run.usage.output_tokens] if run.usage else []
    for step in run.steps:
        times += [step.timestamp, step.duration_ms or 0]
        counts += [step.step, step.iteration, step.parent or 0]
    are_times = all(0 <= time <= LATEST for time in times)
    if not are_times or not all(0 <= count <= MAX_COUNT for count in counts):
        raise UnreadableError(f"run {run.run} has numbers beyond all bounds")
    error = run.error
    if error:
        error = structs.replace(error, message=storable(error.message)[:2000])
    return structs.replace(
        run,
        prompt=storable(run.prompt),
        agent_name=storable(run.agent_name)[:64],
        steps=[_storable_step(step) for step in run.steps],
        error=error,
    )


def _storable_step(step: StepView) -> StepView:
    given = step.tool_input
    content = storable(step.content)
    return structs.replace(
        step,
        content=content,
        digest=digest(content),
        status="stopped" if step.status == "running" else step.status,
        duration_ms=step.duration_ms or 0,
        tool_name=storable(step.tool_name or "")[:200] or UNSET,
        call_id=storable(step.call_id or "")[:100] or UNSET,
        tool_input=given if given is UNSET else storable_json(given),
        agent=storable(step.agent or "")[:64] or UNSET,
    )


def _write(session: Session, number: int, run: RunView) -> None:
    """The run's row, its steps' and its log; inside a transaction."""
    has_begun = run.status == "running" or run.steps
    reason = run.reason or ("stopped" if has_begun else "withdrawn")
    usage = run.usage or None
    duration = run.duration_ms or 0
    created = _time(run.timestamp)
    row = Run.objects.create(
        session=session,
        number=number,
        prompt=run.prompt,
        agent_name=run.agent_name,
        enable_reasoning=run.enable_reasoning,
        status=Run.Status.FINISHED,
        reason=reason,
        cause=run.cause or "",
        error=to_builtins(run.error) if run.error else None,
        epoch=EPOCH,
        created_at=created,
        started_at=None if reason == "withdrawn" else created,
        finished_at=_time(min(run.timestamp + duration / 1000, wall_clock())),
        duration_ms=duration,
        input_tokens=usage and usage.input_tokens,
        output_tokens=usage and usage.output_tokens,
    )
    finished = RunFinished(
        reason=reason,
        duration_ms=duration,
        usage=run.usage,
        error=run.error,
        cause=run.cause,
        epoch=EPOCH,
    )
    seq, timed = 0, [(run.timestamp, _beginning(run, reason))]
    timed += [_events_of(step) for step in run.steps]
    timed.append((run.timestamp + duration / 1000, [finished]))
    steps = [_step_row(row.pk, step) for step in run.steps]
    for at, events in timed:
        ms = min(max(0, int((at - run.timestamp) * 1000)), MAX_MS)
        batch = make_batch(row.pk, EPOCH, seq, events, steps, ms)
        insert(batch.rows)
        seq = batch.last
    Step.objects.bulk_create(steps)
    Run.objects.filter(pk=row.pk).update(last_seq=seq)


def _beginning(run: RunView, reason: str) -> list[Event]:
    created = RunCreated(
        prompt=run.prompt,
        agent_name=run.agent_name,
        enable_reasoning=run.enable_reasoning,
        timestamp=run.timestamp,
    )
    if reason == "withdrawn":
        return [created]
    return [created, RunStarted(epoch=EPOCH, timestamp=run.timestamp)]


def _events_of(step: StepView) -> tuple[float, list[Event]]:
    """When the step was over, and what the log says of it."""
    content = step.content
    pieces = range(0, len(content), MAX_DELTA_CHARS)
    events: list[Event] = [
        StepStarted(
            step=step.step,
            type=step.type,
            iteration=step.iteration,
            timestamp=step.timestamp,
            tool_name=step.tool_name,
            call_id=step.call_id,
            agent=step.agent,
            parent=step.parent,
        ),
        *(
            StepDelta(step=step.step, text=content[start : start + MAX_DELTA_CHARS])
            for start in pieces
        ),
        StepFinished(
            step=step.step,
            status="ok" if step.status == "running" else step.status,
            duration_ms=step.duration_ms or 0,
            digest=step.digest or "",
            tool_input=step.tool_input,
        ),
    ]
    return step.timestamp + (step.duration_ms or 0) / 1000, events


def _step_row(run_id: int, step: StepView) -> Step:
    return Step(
        run_id=run_id,
        step=step.step,
        type=step.type,
        iteration=step.iteration,
        content=step.content,
        tool_name=step.tool_name or "",
        call_id=step.call_id or "",
        tool_input=None if step.tool_input is UNSET else step.tool_input,
        agent=step.agent or "",
        parent=None if step.parent is UNSET else step.parent,
        status=step.status,
        started_at=_time(step.timestamp),
        duration_ms=step.duration_ms or 0,
        digest=step.digest or "",
    )


def _time(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
