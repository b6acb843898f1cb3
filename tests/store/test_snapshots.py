"""What snapshots show of runs, and that it is what the log says."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings, strategies as st
from msgspec import Struct

from chat import store
from chat.agents.base import (
    AgentEvent,
    Failure as AgentFailure,
    PartFinished,
    PartGrew,
    PartReplaced,
    PartStarted,
    RunEnded,
    Usage as AgentUsage,
)
from chat.agents.stream import EventPlayer
from chat.log.journal import Journal
from chat.log.recorder import Recorder
from chat.models import Run
from chat.wire.protocol import (
    StepDelta,
    StepReplaced,
    encode,
)
from chat.wire.transcript import digest, fold, view
from tests.rows import (
    GUEST,
    IN_THREADS,
    answer,
    ask,
    bury_process_of,
    finish,
    log_of,
    queued_run,
    running_run,
    say,
    started,
    take_over,
)
from tests.streams import texts

pytestmark = pytest.mark.django_db


class Played(Struct):
    """What an agent says in one property test."""

    events: list[AgentEvent]


@st.composite
def played(draw: st.DrawFn) -> list[AgentEvent]:
    """An agent's whole run, as agents may say it."""
    events: list[AgentEvent] = []
    kinds = ("thought", "tool_use", "tool_result", "final_answer")
    for part in range(draw(st.integers(0, 5))):
        kind: Any = draw(st.sampled_from(kinds))
        tool = kind in {"tool_use", "tool_result"}
        events.append(
            PartStarted(part, kind, 1, "calc" if tool else "", "c1" if tool else "")
        )
        events += [PartGrew(part, text) for text in draw(st.lists(texts, max_size=4))]
        if draw(st.booleans()) and not tool:
            events.append(PartReplaced(part, draw(st.sampled_from(["thought", None]))))
            events.append(PartGrew(part, draw(texts)))
        if draw(st.integers(0, 4)):
            status: Any = draw(st.sampled_from(["ok", "error", "stopped"]))
            given_input = draw(
                st.none() | st.dictionaries(texts, texts | st.integers(), max_size=2)
            )
            events.append(
                PartFinished(part, status, given_input if kind == "tool_use" else None)
            )
    error = AgentFailure("model_error", "No.", retryable=True)
    usage = draw(st.sampled_from([None, AgentUsage(3, 5)]))
    events.append(
        draw(
            st.sampled_from(
                [
                    RunEnded("answered", usage),
                    RunEnded("max_iterations", usage),
                    RunEnded("failed", usage, error),
                ]
            )
        )
    )
    return events


async def record(run: Run, events: list[AgentEvent]) -> None:
    kept = Journal(lambda _: None)
    log = kept.open(run, lambda error: None)
    recorder = Recorder(log, max_bytes=10**6)
    player = EventPlayer(recorder)
    for event in events:
        if isinstance(event, RunEnded):
            recorder.end(event.reason, usage=event.usage, error=event.error)
            continue
        player.play(event)
        if isinstance(event, PartStarted):
            await log.committed()
    await log.committed()
    await kept.flush()
    await kept.close()


@IN_THREADS
@settings(max_examples=30)
@given(played())
def test_live_equals_reload(events: list[AgentEvent]) -> None:
    run = running_run()
    asyncio.run(record(run, events))
    run.refresh_from_db()
    live = view(fold(run.number, log_of(run.pk)))
    (reloaded,) = store.run_views([run])
    assert encode(reloaded) == encode(live)
    for step in live.steps:
        assert step.digest == digest(step.content)


@pytest.mark.parametrize("reason", ["withdrawn", "stopped", "taken over", "running"])
def test_live_equals_reload_for_what_ends_from_outside(reason: str) -> None:
    run = queued_run() if reason == "withdrawn" else running_run()
    if reason != "withdrawn":
        say(run, started(0), StepDelta(step=0, text="Hel"))
        say(run, StepReplaced(step=0, type="thought"))
    if reason == "taken over":
        bury_process_of(run.pk)
        claimed = take_over(run.pk)
        say(claimed.run, started(1))
    if reason != "running":
        store.stop(run.session_id, GUEST, 1, None)
    (reloaded,) = store.run_views([Run.objects.get(id=run.pk)])
    assert encode(reloaded) == encode(view(fold(1, log_of(run.pk))))


def test_latest_runs_come_oldest_first_in_pages() -> None:
    session_id = uuid4()
    for _ in range(5):
        ask(session_id)
    runs, earlier = store.latest_runs(session_id, 2)
    assert ([run.run for run in runs], earlier) == ([4, 5], True)
    runs, earlier = store.latest_runs(session_id, 3, before=4)
    assert ([run.run for run in runs], earlier) == ([1, 2, 3], False)
    runs, earlier = store.latest_runs(session_id, 20, but=[5, 2])
    assert ([run.run for run in runs], earlier) == ([1, 3, 4], False)
    for before in (1, 0, -3):
        assert store.latest_runs(session_id, 3, before=before) == ([], False)
    runs, _ = store.latest_runs(session_id, 3, before=10**30)
    assert [run.run for run in runs] == [3, 4, 5]


def test_rows_for_a_snapshot_hold_what_is_finished_and_where_the_rest_stands() -> None:
    session_id = uuid4()
    assert store.snapshot_rows(session_id, {}) == store.Rows(store.Standing(None))
    for _ in range(3):
        finish(running_run(session_id))
    running_run(session_id)
    rows = store.snapshot_rows(session_id, {1: (1, 3), 2: 2, 3: (9, 3), 4: 1, 99: 1})
    assert rows.standing.newest == 4
    assert [run.number for run in rows.standing.runs] == [4]
    assert {number: seq for number, (seq, _) in rows.held.items()} == {1: 3, 2: 2, 4: 1}
    assert [run.run for run in rows.runs] == [3]
    assert rows.earlier is False
    for nonsense in ({10**30: 1}, {-1: 1}, {1: 10**30}, {1: (1, -1)}):
        rows = store.snapshot_rows(session_id, nonsense)
        assert [run.run for run in rows.runs] == [1, 2, 3]


def test_standing_is_of_open_runs_and_of_those_that_began_since() -> None:
    session_id = uuid4()
    for _ in range(3):
        finish(running_run(session_id))
    ask(session_id)
    assert [run.number for run in store.standing(session_id).runs] == [4]
    assert [run.number for run in store.standing(session_id, 1).runs] == [2, 3, 4]
    assert store.standing(session_id).newest == 4


def test_rows_of_a_run_hold_its_steps_finished_since() -> None:
    run = running_run()
    answer(run, "Hello")
    rows = store.run_rows(run.session_id, 1, 0)
    assert rows is not None
    assert [step.content for _, step in rows.steps] == ["Hello"]
    ((seq, _),) = rows.steps
    again = store.run_rows(run.session_id, 1, seq)
    assert again is not None
    assert again.steps == []
    assert store.run_rows(run.session_id, 2, 0) is None
