"""One run as a feed follows it: its latest frames, its fold, and what was read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from chat.live.frames import frames_of
from chat.wire.protocol import Event, Frame, encode
from chat.wire.transcript import RunState, apply, first_of, merged, view

MAX_TAIL_CHARS: Final = 256 * 1024  # of a run's latest frames
MAX_EARLY_CHARS: Final = (
    256 * 1024
)  # of frames that came while earlier ones are missing


class Track:
    """A run that is open, or of which some viewer is owed something.

    `head` is the last seq that was handed on, and `target` the last that is known of.
    """

    __slots__ = (
        "_early",
        "_early_chars",
        "_shown",
        "_state",
        "_tail",
        "_tail_chars",
        "ended",
        "epoch",
        "head",
        "number",
        "page",
        "target",
        "told",
    )

    def __init__(
        self, number: int, head: int = 0, epoch: int = 0, *, ended: bool = False
    ) -> None:
        self.number = number
        self.head = self.target = head
        self.epoch = epoch
        self.ended = ended
        self.told = 0  # the last seq of which classic mode tells
        self.page: Page | None = None  # what was read last for viewers that are behind
        self._tail: deque[Frame] = (
            deque()
        )  # each follows on the one before, to the head
        self._tail_chars = 0
        self._early: dict[int, Frame] = {}  # by the first seq
        self._early_chars = 0
        self._state: RunState | None = None  # the fold, from when somebody wants it on
        self._shown: tuple[int, bytes] | None = None  # the fold at a seq

    def append(self, frame: Frame) -> None:
        """Take the frame that follows on the head, which moves on."""
        self.head = frame.last
        self.target = max(self.target, frame.last)
        self.epoch = frame.epoch
        self.ended = frame.ends
        self._tail.append(frame)
        self._tail_chars += len(frame.text)
        if self._tail_chars > MAX_TAIL_CHARS:
            if self._state is not None:
                self._fold_tail(self._state)
            # By half, so that the fold goes on in large pieces.
            while self._tail_chars > MAX_TAIL_CHARS // 2:
                self._tail_chars -= len(self._tail.popleft().text)

    def keep(self, frame: Frame) -> None:
        """Keep a frame until those before it are here, if there is room."""
        self.target = max(self.target, frame.last)
        size = len(frame.text)
        if (
            frame.first not in self._early
            and self._early_chars + size <= MAX_EARLY_CHARS
        ):
            self._early[frame.first] = frame
            self._early_chars += size

    def next_kept(self) -> Frame | None:
        """The kept frame that follows on the head, if it is here."""
        frame = self._early.pop(self.head + 1, None)
        if frame is not None:
            self._early_chars -= len(frame.text)
        elif self.head == self.target:  # they were read in other pieces
            self._early.clear()
            self._early_chars = 0
        return frame

    def since(self, seq: int) -> list[Frame] | None:
        """What follows on `seq`, from the tail or the page; None: it is to be read."""
        found: list[Frame] = []
        for frame in reversed(self._tail):
            if frame.last <= seq:
                break
            found.append(frame)
        if found and found[-1].first == seq + 1:
            return found[::-1]
        return None if self.page is None else self.page.since(seq)

    def shown(self) -> tuple[int, bytes] | None:
        """The run as snapshots show it, at its head: the seq, and JSON.

        None where the log is to be read first, from `folded` on.
        """
        if self._state is None:
            self._state = RunState(self.number)
        self._fold_tail(self._state)
        if self._state.seq < self.head:
            return None
        if self._shown is None or self._shown[0] != self.head:
            self._shown = (self.head, encode(view(self._state)))
        return self._shown

    @property
    def folded(self) -> int:
        """The last seq that the fold holds."""
        return 0 if self._state is None else self._state.seq

    def fold(self, events: Iterable[Event]) -> None:
        """Put what was read into the fold, if there is one, where it follows on it."""
        state = self._state
        if state is not None:
            for event in events:
                if event.seq > state.seq:
                    if first_of(event) != state.seq + 1:
                        return
                    apply(state, event)

    def _fold_tail(self, state: RunState) -> None:
        for frame in self._tail:
            if frame.last > state.seq:
                self.fold(frame.events())
        for step in state.open_steps():
            _ = step.content  # joins its pieces, which take room, each of them


class Page:
    """Some of a run's events as they were read from the log."""

    def __init__(self, run: int, after: int, events: list[Event]) -> None:
        self._run = run
        self._after = after
        self._events = events
        self._frames: dict[int, list[Frame]] = {}  # by the seq on which they follow

    def since(self, seq: int) -> list[Frame] | None:
        """What follows on `seq`; None where this is not the page for that."""
        if not self._after <= seq < self._events[-1].seq:
            return None
        for frames in self._frames.values():
            for index, frame in enumerate(frames):
                if frame.first == seq + 1:
                    return frames[index:]
        events = merged(event for event in self._events if event.seq > seq)
        frames = frames_of(self._run, events, epoch=0)
        self._frames[seq] = frames
        return frames
