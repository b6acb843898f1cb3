"""Events in messages of a bounded size."""

from __future__ import annotations

import json

from hypothesis import given, strategies as st

from chat.live.frames import frames_of, joined
from chat.wire.protocol import Event, RunFinished, StepDelta
from chat.wire.transcript import fold
from tests.streams import logs


def test_what_is_caught_up_comes_in_frames_of_a_bounded_size() -> None:
    events: list[Event] = [
        StepDelta(seq=seq, step=0, text="x" * 30_000) for seq in range(1, 21)
    ]
    found = frames_of(3, events, epoch=1)
    assert [event for frame in found for event in frame.events()] == events
    assert max(len(frame.text) for frame in found) < 200_000
    assert len(found) > 3
    last = 0
    for frame in found:
        assert frame.first == last + 1
        last = frame.last
    assert last == 20


@given(logs(), st.data())
def test_a_frame_says_of_which_epoch_it_is_and_whether_it_ends_the_run(
    events: list[Event], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    epoch = fold(3, events[:cut]).epoch
    for frame in frames_of(3, events[cut:], epoch=epoch):
        assert frame.epoch == fold(3, events[: frame.last]).epoch
        assert frame.ends == isinstance(events[frame.last - 1], RunFinished)


@given(logs(), st.data())
def test_frames_that_follow_on_each_other_are_one_message(
    events: list[Event], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    parts = [*frames_of(3, events[:cut], epoch=0), *frames_of(3, events[cut:], epoch=0)]
    (whole,) = frames_of(3, events, epoch=0)
    assert json.loads(joined(parts)) == json.loads(whole.text)
