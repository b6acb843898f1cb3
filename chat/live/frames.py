"""Events made into messages of a bounded size."""

from __future__ import annotations

from typing import Final

from chat.wire.protocol import Event, Frame, encode, events_frame

MAX_FRAME_CHARS: Final = 128 * 1024  # of one `events` message when catching up


def frames_of(run: int, events: list[Event]) -> list[Frame]:
    """`events` messages of a bounded size."""
    result: list[Frame] = []
    part: list[str] = []
    size = first = last = 0
    for event in events:
        payload = encode(event).decode()
        if part and size + len(payload) > MAX_FRAME_CHARS:
            result.append(events_frame(run, first, last, part))
            part, size = [], 0
        if not part:
            first = event.first if isinstance(event.first, int) else event.seq
        part.append(payload)
        size += len(payload)
        last = event.seq
    if part:
        result.append(events_frame(run, first, last, part))
    return result
