"""The recorder: what an agent says becomes events, rows and digests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import UNSET

from chat import store
from chat.agents.base import (
    AgentError,
    AgentEvent,
    Failure,
    PartFinished,
    PartGrew,
    PartReplaced,
    PartStarted,
    RunEnded,
    Usage,
)
from chat.agents.stream import EventPlayer
from chat.log.journal import Journal
from chat.log.recorder import MAX_DELTA_CHARS, Recorder
from chat.models import Run, Step
from chat.store.database import db
from chat.wire import protocol
from chat.wire.protocol import (
    Event,
    RunFinished,
    StepDelta,
    StepFinished,
    StepProgress,
    StepStarted,
)
from chat.wire.transcript import apply, digest, fold
from tests.rows import GUEST, log_of, running_run

pytestmark = pytest.mark.django_db(transaction=True)

FAILURE = Failure("model_error", "The model gave up.", retryable=True)


class Ticks:
    """A clock that goes on by one second at each look."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@asynccontextmanager
async def recording(**options: Any) -> AsyncIterator[tuple[Recorder, Run]]:
    """A recorder of a new run; what it records is committed at the end."""
    run = await db(running_run)
    kept = Journal(lambda _: None)
    log = kept.open(run, lambda _: None)
    given: dict[str, Any] = {"max_bytes": 10**6, "clock": lambda: 5.0}
    yield Recorder(log, **given | options), run
    await log.committed()
    await kept.flush()
    await kept.close()


async def recorded(*events: AgentEvent, **options: Any) -> tuple[list[Event], Run]:
    """The events after `run_started`, and the run."""
    async with recording(**options) as (recorder, run):
        player = EventPlayer(recorder)
        for event in events:
            if isinstance(event, RunEnded):
                recorder.end(event.reason, usage=event.usage, error=event.error)
            else:
                player.play(event)
    log = await db(log_of, run.pk)
    return log[2:], await db(Run.objects.get, id=run.pk)


async def test_a_part_becomes_a_step_with_its_row() -> None:
    events, run = await recorded(
        PartStarted(0, "tool_use", 3, "calculator", "call-1"),
        PartGrew(0, '{"expression"'),
        PartGrew(0, ': "1+1"}'),
        PartFinished(0, "ok", {"expression": "1+1"}),
    )
    content = '{"expression": "1+1"}'
    start, *_, finish = events
    assert start == StepStarted(
        seq=3,
        step=0,
        type="tool_use",
        iteration=3,
        timestamp=5.0,
        tool_name="calculator",
        call_id="call-1",
    )
    assert isinstance(finish, StepFinished)
    assert finish.digest == digest(content)
    row = await db(Step.objects.get, run=run)
    assert (row.type, row.iteration, row.content) == ("tool_use", 3, content)
    assert (row.tool_name, row.call_id) == ("calculator", "call-1")
    assert row.tool_input == {"expression": "1+1"}
    assert (row.seq, row.digest) == (finish.seq, digest(content))


async def test_parts_that_grow_by_turns_keep_their_text_apart() -> None:
    events, _ = await recorded(
        PartStarted(0, "thought", 1),
        PartStarted(1, "final_answer", 1),
        PartGrew(0, "a"),
        PartGrew(1, "1"),
        PartGrew(0, "b"),
        PartFinished(0),
        PartGrew(1, "2"),
        PartFinished(1),
        RunEnded("answered"),
    )
    steps = fold_of(events)
    assert [step.content for step in steps] == ["ab", "12"]
    assert [step.digest for step in steps] == [digest("ab"), digest("12")]


def fold_of(events: list[Event]) -> list[Any]:
    return list(fold_after(events).steps.values())


def fold_after(events: list[Event]) -> Any:
    state = fold(1, [])
    state.seq = 2
    for event in events:
        apply(state, event)
    return state


async def test_a_part_number_used_again_is_a_new_step() -> None:
    """As after a takeover, when the agent counts from 0 again."""
    events, _ = await recorded(
        PartStarted(0, "thought", 1),
        PartGrew(0, "one"),
        PartFinished(0),
        PartStarted(0, "thought", 2),
        PartGrew(0, "two"),
        PartFinished(0),
        next_step=4,
    )
    assert [(s.step, s.content) for s in fold_of(events)] == [(4, "one"), (5, "two")]


async def test_a_replaced_part_has_the_digest_of_its_new_text() -> None:
    events, run = await recorded(
        PartStarted(0, "final_answer", 1),
        PartGrew(0, "half a t"),
        PartReplaced(0, type="thought", text="new "),
        PartGrew(0, "text"),
        PartFinished(0),
    )
    (step,) = fold_of(events)
    assert (step.type, step.content, step.digest) == (
        "thought",
        "new text",
        digest("new text"),
    )
    row = await db(Step.objects.get, run=run)
    assert (row.type, row.content) == ("thought", "new text")


async def test_progress_is_told_while_the_step_is_open() -> None:
    async with recording() as (recorder, run):
        step = recorder.start("tool_result", 1)
        step.progress("far\x00", -1, float("nan"))
        await recorder.committed()
        step.progress("x" * 1000, 1, 10**400)
        step.progress("", 3, 10)  # before the former is written: in its place
        await recorder.committed()
        shown = fold_of((await db(log_of, run.pk))[2:])[0]
        step.finish()
    events = (await db(log_of, run.pk))[2:]
    assert shown.progress == protocol.Progress(3.0, 10.0)
    assert [event for event in events if isinstance(event, StepProgress)] == [
        StepProgress(seq=4, step=0, text="far\ufffd"),
        StepProgress(seq=5, step=0, done=3.0, total=10.0),
    ]
    assert fold_of(events)[0].progress is UNSET


async def test_who_tells_of_progress_without_end_waits_for_the_log() -> None:
    async with recording() as (recorder, _):
        step = recorder.start("tool_result", 1)
        for done in range(10_000):
            step.progress("", done)
            if recorder.crowded:
                break
        assert 1000 < done < 9999
        await recorder.committed()
        assert not recorder.crowded


async def test_the_end_closes_what_is_open_shows_the_error_and_counts() -> None:
    events, run = await recorded(
        PartStarted(0, "final_answer", 2),
        PartGrew(0, "Hel"),
        RunEnded("failed", Usage(3, 5), FAILURE),
        monotonic=Ticks(),
    )
    open_step, error = fold_of(events)
    assert (open_step.status, open_step.content) == ("error", "Hel")
    assert (error.type, error.iteration, error.content) == (
        "error",
        2,
        FAILURE.message,
    )
    end = events[-1]
    assert isinstance(end, RunFinished)
    assert end.error is not UNSET
    assert (end.reason, end.error.code, end.error.retryable) == (
        "failed",
        "model_error",
        True,
    )
    assert end.usage is not UNSET
    assert (end.usage.input_tokens, end.usage.output_tokens) == (3, 5)
    assert end.duration_ms > 0
    assert (run.status, run.reason, run.input_tokens) == ("finished", "failed", 3)
    assert run.error == {
        "code": "model_error",
        "message": FAILURE.message,
        "retryable": True,
    }


async def test_a_run_that_others_began_is_counted_whole() -> None:
    events, run = await recorded(
        PartStarted(0, "final_answer", 2),
        PartGrew(0, "Hello"),
        PartFinished(0),
        RunEnded("answered", Usage(3, 5)),
        used=protocol.Usage(100, 20),
        started_at=5.0,
        clock=lambda: 65.0,
        monotonic=Ticks(),
    )
    end = events[-1]
    assert isinstance(end, RunFinished)
    assert end.usage == protocol.Usage(103, 25)
    assert 60_000 < end.duration_ms < 70_000
    assert (run.input_tokens, run.output_tokens) == (103, 25)
    assert run.duration_ms == end.duration_ms


@pytest.mark.parametrize("reason", ["failed", "stopped"])
async def test_what_a_round_has_cost_is_stored_when_it_is_over(reason: str) -> None:
    async with recording(used=protocol.Usage(100, 20)) as (recorder, run):
        recorder.start("thought", 1).finish()
        recorder.count(Usage(3, 5))
        await recorder._log.committed()
        row = await db(Run.objects.get, id=run.pk)
        assert (row.input_tokens, row.output_tokens) == (103, 25)
        if reason == "stopped":
            await db(store.stop, run.session_id, GUEST, None, None)
        else:
            recorder.end("failed", error=FAILURE)
            await recorder._log.committed()
        *_, end = await db(log_of, run.pk)
        assert isinstance(end, RunFinished)
        assert (end.reason, end.usage) == (reason, protocol.Usage(103, 25))
        (shown,) = await db(store.run_views, [await db(Run.objects.get, id=run.pk)])
        assert shown.usage == end.usage


async def test_a_count_that_no_database_holds_is_cut() -> None:
    events, run = await recorded(RunEnded("answered", Usage(2**40, -7)))
    assert (run.input_tokens, run.output_tokens) == (2**31 - 1, 0)
    assert fold_after(events).usage == protocol.Usage(2**31 - 1, 0)


async def test_a_page_at_once_becomes_deltas_that_fit_a_frame() -> None:
    text = "x" * (2 * MAX_DELTA_CHARS + 1)
    events, _ = await recorded(
        PartStarted(0, "tool_result", 1), PartGrew(0, text), PartFinished(0)
    )
    deltas = [event.text for event in events if isinstance(event, StepDelta)]
    assert [len(delta) for delta in deltas] == [MAX_DELTA_CHARS, MAX_DELTA_CHARS, 1]
    assert fold_of(events)[0].digest == digest(text)


async def test_what_cannot_be_stored_is_replaced_everywhere_alike() -> None:
    events, run = await recorded(
        PartStarted(0, "tool_use", 1, "to\x00ol", "\ud800"),
        PartGrew(0, "a\x00b"),
        PartGrew(0, "\ud83d"),
        PartReplaced(0, text="c\x00\udfff"),
        PartGrew(0, "d\ud800"),
        PartFinished(0),
    )
    (step,) = fold_of(events)
    assert step.content == "c\ufffd\ufffdd\ufffd"
    assert step.digest == digest(step.content)
    row = await db(Step.objects.get, run=run)
    assert (row.content, row.tool_name, row.call_id) == (
        step.content,
        "to\ufffdol",
        "\ufffd",
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"a": "x\x00y"}, {"a": "x\ufffdy"}),
        ({"k\x00": ["\ud800"]}, {"k\ufffd": ["\ufffd"]}),
        ({"n": 2**70}, None),
        ({"n": float("nan"), "i": float("-inf")}, {"n": None, "i": None}),
        ({"deep": {"er": [1, True, None, 1.5, "é"]}}, None),
    ],
)
async def test_what_cannot_be_stored_of_a_tools_input_is_replaced(
    given: dict[str, Any], kept: dict[str, Any] | None
) -> None:
    events, run = await recorded(
        PartStarted(0, "tool_use", 1, "tool"),
        PartFinished(0, "ok", given),
        RunEnded("answered"),
    )
    assert run.status == "finished"
    (step,) = fold_of(events)
    row = await db(Step.objects.get, run=run)
    assert step.tool_input == row.tool_input == (given if kept is None else kept)


async def test_an_answer_beyond_the_limit_is_cut_off_and_says_so() -> None:
    async with recording(max_bytes=10) as (recorder, run):
        part = recorder.start("final_answer", 1)
        part.grow("x" * 8)
        part.grow("é")
        with pytest.raises(AgentError) as caught:
            part.grow("y")
        recorder.end("failed", error=caught.value.failure)
    events = (await db(log_of, run.pk))[2:]
    answer, error = fold_of(events)
    assert answer.content == "xxxxxxxxé"
    assert error.content == caught.value.failure.message
    assert (await db(Run.objects.get, id=run.pk)).reason == "failed"


async def test_replacing_text_counts_toward_the_limit_too() -> None:
    async with recording(max_bytes=10) as (recorder, _):
        part = recorder.start("final_answer", 1)
        part.replace(text="x" * 8)
        with pytest.raises(AgentError):
            part.replace(text="x" * 8)


async def test_an_empty_text_is_no_event() -> None:
    events, _ = await recorded(
        PartStarted(0, "thought", 1), PartGrew(0, ""), PartFinished(0)
    )
    assert [type(event) for event in events] == [StepStarted, StepFinished]


KEY = "sk-proj-0123456789abcdefghij"


@pytest.mark.parametrize("size", [1, 3, 7, 100])
async def test_a_secret_is_in_no_event_and_no_row_however_it_is_cut(size: int) -> None:
    said = f"Use {KEY}, it is a key. An ask at the end: s"
    async with recording() as (recorder, run):
        part = recorder.start("tool_use", 1, f"with {KEY}", KEY)
        for start in range(0, len(said), size):
            part.grow(said[start : start + size])
        assert part.content == said  # the agent goes on with what was said
        part.finish("ok", {KEY: [f"is {KEY}"]}, {"call": {"key": KEY}})
        part = recorder.start("thought", 1)
        part.progress(f"with {KEY}")
        part.replace(text=f"No, {KEY}")
        part.grow(".")
        part.finish()
        error = Failure("model_error", f"Not with {KEY}.", retryable=False)
        recorder.end("failed", error=error)
    events = await db(log_of, run.pk)
    shown = "Use sk-[secret], it is a key. An ask at the end: s"
    call, thought, failure = fold_of(events[2:])
    assert (call.content, call.digest) == (shown, digest(shown))
    assert thought.content == "No, sk-[secret]."
    assert failure.content == "Not with sk-[secret]."
    rows = await db(lambda: list(Step.objects.filter(run=run).order_by("step")))
    assert [row.content for row in rows[:2]] == [call.content, thought.content]
    assert rows[0].tool_input == {"sk-[secret]": ["is sk-[secret]"]}
    run = await db(Run.objects.get, id=run.pk)
    assert KEY not in f"{events}{[vars(row) for row in rows]}{vars(run)}"
