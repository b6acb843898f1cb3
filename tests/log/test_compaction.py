"""A finished run's log takes little, and still says everything at every seq."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import given, settings, strategies as st

from chat import store
from chat.log import compaction
from chat.log.compaction import Merged, compact, decode, deltas, encode
from chat.log.recorder import MAX_DELTA_CHARS
from chat.models import Event as EventRow, Run, Step
from chat.wire.protocol import (
    Event,
    StepDelta,
    StepFinished,
    StepProgress,
    StepReplaced,
    encode as encode_json,
)
from chat.wire.transcript import RunState, apply, digest, fold, view
from tests.rows import GUEST, answer, finish, running_run, say, started
from tests.streams import texts

pytestmark = pytest.mark.django_db

pairs = st.lists(
    st.tuples(st.integers(0, 2**31), st.integers(1, 40_000)), min_size=1, max_size=60
)


# ---------------------------------------------------------------- the form


@given(st.integers(0, 2**31), pairs, st.none() | st.integers(0, 2**22))
def test_what_is_encoded_is_decoded(
    step: int, each: list[tuple[int, int]], offset: int | None
) -> None:
    merged = Merged(step, each, offset)
    assert decode(encode(merged)) == merged


def test_a_token_takes_two_bytes() -> None:
    merged = Merged(0, [(40, 20)] * 1000, 0)
    assert len(encode(merged)) == 2 * 1000 + 2


@given(pairs, st.integers(0, 70))
def test_deltas_are_cut_anywhere_and_fit_the_wire(
    each: list[tuple[int, int]], after: int
) -> None:
    sizes = [chars for _, chars in each]
    text = "".join(chr(97 + n % 26) * size for n, size in enumerate(sizes))
    last = 5 + len(each)
    found = deltas(Merged(3, each), last, text, after)
    missed = sum(sizes[: max(0, after - 5)])
    assert "".join(delta.text for delta in found) == text[missed:]
    seq = max(5, min(after, last))
    for delta in found:
        assert (delta.first if isinstance(delta.first, int) else delta.seq) == seq + 1
        seq = delta.seq
        assert len(delta.text) <= max(MAX_DELTA_CHARS, *sizes)
    assert seq == last


# ---------------------------------------------------------------- the log


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """What may be between a run's start and its end, two steps at once and all."""
    events: list[Event] = []
    open_steps: dict[int, str] = {}
    for _ in range(draw(st.integers(0, 25))):
        deed = draw(
            st.sampled_from([*["start", "progress", "replace", "end"], *["grow"] * 3])
        )
        if deed == "start" or not open_steps:
            step = sum(
                event.__struct_config__.tag == "step_started" for event in events
            )
            events.append(started(step, draw(st.sampled_from(["thought", "tool_use"]))))
            open_steps[step] = ""
            continue
        step = draw(st.sampled_from(sorted(open_steps)))
        if deed == "grow":
            text = draw(texts) or "x"
            events.append(StepDelta(step=step, text=text))
            open_steps[step] += text
        elif deed == "progress":
            amount = float(draw(st.integers(0, 9)))
            events.append(StepProgress(step=step, done=amount))
        elif deed == "replace":
            text = draw(st.sampled_from(["", open_steps[step][:2], "other"]))
            events.append(StepReplaced(step=step, text=text))
            open_steps[step] = text
        else:
            events.append(ended(step, open_steps.pop(step), draw(st.booleans())))
    events += [ended(step, text, kept=True) for step, text in open_steps.items()]
    return events


def ended(step: int, text: str, kept: bool) -> StepFinished:  # noqa: FBT001
    status: Any = "ok" if kept else "discarded"
    return StepFinished(step=step, status=status, duration_ms=1, digest=digest(text))


def played(events: list[Event]) -> Run:
    """A finished run with this log, and the rows of its steps."""
    run = running_run()
    state = fold(1, store.read_events(run.pk))
    for number, event in enumerate(events):
        say(run, event)
        log = store.read_events(run.pk, number + 2)
        apply(state, log[0])
    Step.objects.bulk_create(
        Step(
            run=run,
            step=step.step,
            seq=1,
            type=step.type,
            iteration=1,
            content=step.content,
            status="ok",
            started_at=datetime.fromtimestamp(1, UTC),
            duration_ms=1,
            digest=digest(step.content),
        )
        for step in state.steps.values()
    )
    finish(run)
    return run


@settings(max_examples=25, deadline=None)
@given(logs(), st.integers(1, 12))
def test_who_resumes_at_any_seq_ends_with_the_same(
    events: list[Event], rows_at_once: int
) -> None:
    run = played(events)
    log = store.read_events(run.pk)
    whole = encode_json(view(fold(1, log)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "MAX_ROWS", rows_at_once)
        assert compact(run.pk)
    for seq in range(len(log) + 1):
        state = fold(1, log[:seq])
        for event in store.read_events(run.pk, seq):
            assert apply(state, event)
        assert encode_json(view(state)) == whole
    assert not compact(run.pk)
    run.delete()


def long_run(tokens: int = 50) -> tuple[Run, str]:
    run = running_run()
    text = [f"token number {number:06} " for number in range(tokens)]
    say(run, started(0))
    say(run, *[StepDelta(step=0, text=token) for token in text])
    whole = "".join(text)
    end = StepFinished(step=0, status="ok", duration_ms=1, digest=digest(whole))
    row = Step(
        run=run,
        step=0,
        type="final_answer",
        iteration=1,
        content=whole,
        status="ok",
        started_at=datetime.fromtimestamp(1, UTC),
        duration_ms=1,
        digest=end.digest,
    )
    say(run, end, steps=(row,))
    finish(run)
    return run, whole


def test_what_a_step_holds_is_not_held_twice() -> None:
    run, text = long_run(1000)
    compact(run.pk)
    rows = EventRow.objects.filter(run=run).order_by("seq")
    (merged,) = [row for row in rows if row.merged is not None]
    assert (merged.payload, merged.seq) == ("", 1003)
    assert merged.merged is not None
    assert len(merged.merged) <= 3 * 1000
    assert rows.count() == 6
    assert fold(1, store.read_events(run.pk)).steps[0].content == text


def test_of_neighbouring_progress_the_last_is_kept() -> None:
    run = running_run()
    passed = [StepProgress(step=0, done=float(done)) for done in range(1000)]
    say(run, started(0, "tool_result"), *passed)
    store.stop(run.session_id, GUEST, 1, None)
    compact(run.pk)
    log = store.read_events(run.pk)
    assert len(log) == 6
    assert [e.first for e in log if isinstance(e, StepProgress)] == [4]
    assert fold(1, log).seq == log[-1].seq == 1005


def test_a_compaction_that_is_ended_on_its_way_is_finished_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, text = long_run()
    log = store.read_events(run.pk)
    monkeypatch.setattr(compaction, "MAX_ROWS", 7)
    assert compaction._Compaction(run.pk).go_on() == 7
    assert fold(1, store.read_events(run.pk)).steps[0].content == text
    assert store.compactable(8) == [run.pk]
    assert compact(run.pk)
    rows = EventRow.objects.filter(run=run, merged__isnull=False)
    assert all(row.payload == "" for row in rows)
    assert view(fold(1, store.read_events(run.pk))) == view(fold(1, log))
    assert store.compactable(8) == []


def test_what_goes_on_or_has_just_ended_is_left_alone() -> None:
    run = running_run()
    say(run, started(0), *[StepDelta(step=0, text="x")] * 3)
    assert not compact(run.pk)
    assert store.compactable(8) == []
    answer(run, "done")
    store.stop(run.session_id, GUEST, 1, None)
    assert store.compactable(8, timedelta(seconds=60)) == []
    assert store.compactable(8) == [run.pk]


def test_a_reader_in_the_middle_goes_on_where_it_was() -> None:
    run, text = long_run()
    first = store.read_events(run.pk, 0, 20)
    compact(run.pk)
    state = RunState(1)
    for event in [*first, *store.read_events(run.pk, first[-1].seq)]:
        assert apply(state, event)
    assert state.steps[0].content == text


def test_the_pace_stays() -> None:
    run, text = long_run(4)
    rows = EventRow.objects.filter(run=run)
    for ms, seq in zip((100, 140, 130, 2000), range(4, 8), strict=True):
        rows.filter(seq=seq).update(ms=ms)
    size = len(text) // 4
    assert store.read_pace(run.pk)[0][0] == (100, size)
    compact(run.pk)
    expected = [(ms, size) for ms in (100, 140, 140, 2000)]
    assert store.read_pace(run.pk) == {0: expected}


def test_a_log_from_before_times_were_kept_has_no_pace() -> None:
    run, text = long_run(4)
    EventRow.objects.filter(run=run).update(ms=None)
    compact(run.pk)
    assert store.read_pace(run.pk) == {}
    assert fold(1, store.read_events(run.pk)).steps[0].content == text


def test_events_are_timed_since_the_runs_start() -> None:
    run = running_run()
    Run.objects.filter(id=run.pk).update(
        started_at=datetime.now(UTC) - timedelta(seconds=100)
    )
    store.stop(run.session_id, GUEST, None, None)
    last = EventRow.objects.filter(run=run).latest("seq")
    assert last.ms is not None
    assert 100_000 <= last.ms < 200_000


def test_manage_py_compacts_all_that_has_finished() -> None:
    for _ in range(3):
        long_run(3)
    going_on = running_run()
    out = StringIO()
    call_command("compact", stdout=out)
    assert out.getvalue() == "Compacted 3 runs.\n"
    assert not Run.objects.get(id=going_on.pk).is_compacted
    assert store.compactable(8) == []
