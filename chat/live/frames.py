"""Events made into messages of a bounded size, and messages made into one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from chat.wire.protocol import Event, Frame, RunFinished, encode, events_text
from chat.wire.transcript import epoch_after, first_of

MAX_FRAME_CHARS: Final = 128 * 1024  # of one `events` message when catching up


def frames_of(run: int, events: Iterable[Event], *, epoch: int) -> list[Frame]:
    """`events` as messages of a bounded size; the first is of `epoch`, if of no new."""
    result: list[Frame] = []
    payloads: list[str] = []
    size = first = last = 0
    ends = False

    def close() -> None:
        text = events_text(run, payloads)
        result.append(Frame(run, epoch, first, last, ends, text))

    for event in events:
        payload = encode(event).decode()
        if payloads and size + len(payload) > MAX_FRAME_CHARS:
            close()
            payloads, size = [], 0
        if not payloads:
            first = first_of(event)
        payloads.append(payload)
        size += len(payload)
        last = event.seq
        ends = type(event) is RunFinished
        epoch = epoch_after(event, epoch)
    if payloads:
        close()
    return result


def joined(frames: list[Frame]) -> str:
    """One message of frames that follow on each other."""
    if len(frames) == 1:
        return frames[0].text
    return events_text(frames[0].run, [frame.payloads for frame in frames])
