"""The fold: however a log is cut, merged and repeated, it says the same."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st
from msgspec import structs

from chat.wire.protocol import (
    Event,
    RunCreated,
    RunStarted,
    StepDelta,
    StepFinished,
    StepProgress,
    StepReplaced,
    StepStarted,
    decode_events,
    encode,
)
from chat.wire.transcript import GapError, RunState, apply, digest, fold, merged, view
from tests.streams import logs, parts_of, texts

CREATED = RunCreated(
    seq=1, prompt="Hi", agent_name="a", enable_reasoning=True, timestamp=1.0
)
STARTED = RunStarted(seq=2, epoch=1, timestamp=2.0)
THOUGHT = StepStarted(seq=3, step=0, type="thought", iteration=1, timestamp=3.0)


def delta(seq: int, text: str, first: int | None = None) -> StepDelta:
    event = StepDelta(seq=seq, step=0, text=text)
    return event if first is None else structs.replace(event, first=first)


# ---------------------------------------------------------------- any delivery


@given(logs(), st.data())
def test_any_cut_any_merging_and_any_repetition_gives_the_same(
    events: list[Event], data: st.DataObject
) -> None:
    frames = data.draw(parts_of(events))
    run = RunState(7)
    for number, frame in enumerate(frames):
        for event in merged(frame) if data.draw(st.booleans()) else frame:
            assert apply(run, event)
        again = data.draw(st.lists(st.sampled_from(frames[: number + 1]), max_size=2))
        for event in [event for old in again for event in old]:
            assert not apply(run, event)
    assert view(run) == view(fold(7, events))


@given(logs(), st.data())
def test_a_missing_frame_is_noticed_at_the_next_one(
    events: list[Event], data: st.DataObject
) -> None:
    frames = data.draw(parts_of(events))
    lost = data.draw(st.integers(0, len(frames) - 1))
    run = fold(7, [event for frame in frames[:lost] for event in frame])
    before = view(run)
    for frame in frames[lost + 1 :]:
        for event in (frame[0], merged(frame)[0]):
            with pytest.raises(GapError):
                apply(run, event)
    assert view(run) == before
    for frame in frames[lost:]:  # the log is read again
        for event in frame:
            apply(run, event)
    assert view(run) == view(fold(7, events))


@given(logs())
def test_folding_survives_the_wire(events: list[Event]) -> None:
    heard = decode_events(encode(events))
    assert encode(view(fold(7, heard))) == encode(view(fold(7, events)))


@given(logs(), st.data())
def test_a_view_halfway_goes_on_to_the_same_end(
    events: list[Event], data: st.DataObject
) -> None:
    middle = data.draw(st.integers(0, len(events)))
    run = fold(7, events[:middle])
    view(run)  # looking joins the chunks, and must change nothing
    for event in events[middle:]:
        apply(run, event)
    assert view(run) == view(fold(7, events))


# ---------------------------------------------------------------- merging


@given(logs())
def test_merged_events_cover_the_log_without_gap_or_overlap(
    events: list[Event],
) -> None:
    last = 0
    for event in merged(events):
        first = event.first if isinstance(event.first, int) else event.seq
        assert first == last + 1
        last = event.seq
    assert last == len(events)


@given(logs())
def test_merging_leaves_no_neighbouring_deltas_of_one_step(events: list[Event]) -> None:
    """Nor neighbours that tell of its progress."""
    few = merged(events)
    for kind in (StepDelta, StepProgress):
        for one, other in pairwise(few):
            if isinstance(one, kind) and isinstance(other, kind):
                assert one.step != other.step
    assert merged(few) == few


@given(logs(), st.data())
def test_merging_what_is_merged_in_part_is_merging_it_all(
    events: list[Event], data: st.DataObject
) -> None:
    parts = data.draw(parts_of(events))
    assert merged([e for part in parts for e in merged(part)]) == merged(events)


# ---------------------------------------------------------------- what must hold


@given(logs())
def test_digests_are_of_what_is_shown(events: list[Event]) -> None:
    for step in fold(7, events).steps.values():
        if step.status != "running":
            assert step.digest == digest(step.content)


@given(texts)
def test_the_digest_is_sha256_of_utf8_in_lowercase_hex(text: str) -> None:
    assert digest(text) == hashlib.sha256(text.encode("utf-8")).hexdigest().lower()


@given(logs())
def test_a_finished_run_has_no_open_step(events: list[Event]) -> None:
    run = fold(7, events)
    if run.status == "finished":
        assert run.open_steps() == []
    assert run.seq == len(events)


def test_a_run_waits_starts_and_takes_a_higher_epoch_when_taken_over() -> None:
    run = fold(1, [CREATED])
    assert (run.status, run.epoch) == ("queued", 0)
    apply(run, STARTED)
    assert (run.status, run.epoch) == ("running", 1)
    apply(run, RunStarted(seq=3, epoch=4, timestamp=3.0))
    assert (run.status, run.epoch) == ("running", 4)


def test_a_discarded_step_disappears() -> None:
    gone = StepFinished(seq=5, step=0, status="discarded", duration_ms=1, digest="")
    run = fold(1, [CREATED, STARTED, THOUGHT, delta(4, "Hm"), gone])
    assert view(run).steps == []


def test_a_replaced_step_has_the_new_type_and_text_and_grows_on() -> None:
    answer = StepReplaced(seq=5, step=0, type="final_answer", text="So: ")
    run = fold(1, [CREATED, STARTED, THOUGHT, delta(4, "Hm"), answer, delta(6, "42")])
    assert (run.steps[0].type, run.steps[0].content) == ("final_answer", "So: 42")
    apply(run, StepReplaced(seq=7, step=0, text=""))
    assert (run.steps[0].type, run.steps[0].content) == ("final_answer", "")


def test_a_merged_event_that_overlaps_what_is_there_is_a_gap() -> None:
    run = fold(1, [CREATED, STARTED, THOUGHT, delta(4, "a"), delta(5, "b")])
    with pytest.raises(GapError):
        apply(run, delta(7, "bcd", first=5))
    assert not apply(run, delta(5, "ab", first=4))
    assert apply(run, delta(7, "cd", first=6))
    assert (run.seq, run.steps[0].content) == (7, "abcd")


def test_a_long_answer_costs_no_more_per_token_than_a_short_one() -> None:
    run = fold(1, [CREATED, STARTED, THOUGHT])
    for seq in range(4, 100_004):
        apply(run, delta(seq, "x"))
    assert len(run.steps[0].chunks) == 100_000  # nothing is copied as it grows
    assert len(run.steps[0].content) == 100_000
    assert len(run.steps[0].chunks) == 1
