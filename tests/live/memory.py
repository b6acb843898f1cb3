"""A log in memory, and sockets that are read when a test says so: what feeds need.

For tests that try thousands of orders of things; what the database itself answers is
tested in test_feeds.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID, uuid4

from msgspec import convert, structs

from chat.live.outbox import TooSlowError
from chat.live.reads import Read, ReadLog, ReadRows, ReadRun, ReadStanding, Result
from chat.store import (
    Identity,
    LogPage,
    Position,
    Rows,
    RunRows,
    SessionFacts,
    Standing,
)
from chat.wire.protocol import (
    SNAPSHOT_RUNS,
    Event,
    Frame,
    Place,
    RunCreated,
    RunFinished,
    RunStarted,
    RunView,
    StepDelta,
    StepFinished,
    StepStarted,
    StepView,
    decode_events,
    encode,
    events_text,
)
from chat.wire.transcript import RunState, apply, digest, epoch_after, fold, view
from tests.client import from_view
from tests.rows import GUEST

PAGE = 5  # events read at a time


class Run:
    """One run's log, as committed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.events: list[Event] = []
        self.epoch = 0
        self.open = ""  # the text of the open step
        self.next_step = 0

    @property
    def is_finished(self) -> bool:
        return isinstance(self.events[-1], RunFinished)

    @property
    def position(self) -> Position:
        return Position(
            self.number, len(self.events), self.epoch, finished=self.is_finished
        )

    def commit(self, *events: Event) -> Frame:
        """Append, as one transaction; the frame to publish."""
        first = len(self.events) + 1
        numbered = [
            structs.replace(event, seq=seq) for seq, event in enumerate(events, first)
        ]
        for event in numbered:
            self.epoch = epoch_after(event, self.epoch)
        self.events += numbered
        payloads = [encode(event).decode() for event in numbered]
        return Frame(
            self.number,
            self.epoch,
            first,
            len(self.events),
            ends=self.is_finished,
            text=events_text(self.number, payloads),
        )

    def view(self) -> RunView:
        return view(fold(self.number, self.events))

    def finished_steps(self) -> list[tuple[int, StepView]]:
        """With the seq of their end."""
        shown = {step.step: step for step in self.view().steps}
        return [
            (event.seq, shown[event.step])
            for event in self.events
            if isinstance(event, StepFinished) and event.step in shown
        ]


class Log:
    """A session's rows."""

    def __init__(self, owner: Identity = GUEST) -> None:
        self.session_id: UUID = uuid4()
        self.owner = owner
        self.runs: dict[int, Run] = {}
        self.is_deleted = False

    @property
    def facts(self) -> SessionFacts | None:
        """None before the first run."""
        if not self.runs or self.is_deleted:
            return None
        return SessionFacts(None, self.owner.guest_key, "Hi", "researcher")

    # ------------------------------------------------------------ what is written

    def ask(self) -> Frame:
        """A new run, which waits."""
        run = self.runs[len(self.runs) + 1] = Run(len(self.runs) + 1)
        return run.commit(
            RunCreated(
                prompt="Hi",
                agent_name="researcher",
                enable_reasoning=run.number % 3 > 0,
                timestamp=1.5,
            )
        )

    def write(self) -> Frame | None:
        """What comes next in the first run that is not over."""
        run = self.current
        if run is None:
            return None
        if not run.epoch:
            return run.commit(RunStarted(epoch=1, timestamp=2.5), *_opened(run))
        run.open += "tick tock "
        step = run.next_step - 1
        texts = ("tick ", "tock ")
        return run.commit(*(StepDelta(step=step, text=text) for text in texts))

    def finish_step(self) -> Frame | None:
        """The open step is over, and another one begins."""
        run = self.current
        if run is None or not run.epoch:
            return None
        return run.commit(_closed(run, "ok"), *_opened(run))

    def take_over(self) -> Frame | None:
        """Another process goes on, under a new epoch."""
        run = self.current
        if run is None or not run.epoch:
            return None
        started = RunStarted(epoch=run.epoch + 1, timestamp=3.5)
        return run.commit(started, _closed(run, "discarded"), *_opened(run))

    def end(self, *, stopped: bool = False) -> Frame | None:
        """The run is over."""
        run = self.current
        if run is None:
            return None
        if not run.epoch:
            return run.commit(RunFinished(reason="withdrawn", duration_ms=0, epoch=1))
        if stopped:
            end = RunFinished(reason="stopped", duration_ms=1, epoch=run.epoch + 1)
            return run.commit(_closed(run, "stopped"), end)
        end = RunFinished(reason="answered", duration_ms=1)
        return run.commit(_closed(run, "ok"), end)

    def lose(self, count: int) -> Frame | None:
        """A standby takes the database's place, and lacks the latest commits."""
        run = self.current
        if run is None or not run.epoch:
            return None
        deltas = 0
        while deltas < count and isinstance(last := run.events[-1], StepDelta):
            run.events.pop()
            run.open = run.open[: -len(last.text)]
            deltas += 1
        return self.take_over()

    @property
    def current(self) -> Run | None:
        """The first run that is not over."""
        return next((r for r in self.runs.values() if not r.is_finished), None)

    # ------------------------------------------------------------ what is read

    def perform(self, read: Read) -> Result:
        """What the store would answer now."""
        match read:
            case ReadStanding():
                return self._standing(read.above)
            case ReadRows():
                return self._rows(dict(read.seen))
            case ReadLog():
                run = self.runs[read.run]
                place = read.after if read.epoch is None else (read.epoch, read.after)
                if read.after and not self._holds(run, place, read.after):
                    return LogPage([])
                page = run.events[read.after : read.after + PAGE]
                return LogPage(page, len(run.events))
            case ReadRun():
                return self._run_rows(self.runs[read.run], read.after)

    def _standing(self, above: int | None) -> Standing:
        if self.facts is None:
            return Standing(None)
        positions = [
            run.position
            for run in self.runs.values()
            if not run.is_finished or (above is not None and run.number > above)
        ]
        return Standing(self.facts, max(self.runs), positions)

    def _rows(self, seen: dict[int, Place]) -> Rows:
        if self.facts is None:
            return Rows(Standing(None))
        held = {}
        for number, place in seen.items():
            run = self.runs.get(number)
            seq = place if isinstance(place, int) else place[1]
            if run and 0 < seq <= len(run.events) and self._holds(run, place, seq):
                held[number] = (seq, run.position)
        finished = [
            run.view()
            for run in self.runs.values()
            if run.is_finished and run.number not in held
        ]
        shown = finished[-SNAPSHOT_RUNS:]
        return Rows(self._standing(None), held, shown, len(shown) < len(finished))

    @staticmethod
    def _holds(run: Run, place: Place, seq: int) -> bool:
        if isinstance(place, int) or place[0] == run.epoch:
            return True
        following = run.events[seq] if seq < len(run.events) else None
        closing = following is None or isinstance(following, StepFinished | RunFinished)
        at = fold(1, run.events[:seq]).epoch
        return place[0] == at and not (at and run.is_finished and closing)

    @staticmethod
    def _run_rows(run: Run, after: int) -> RunRows:
        steps = run.finished_steps()
        if run.view().enable_reasoning:
            steps = [(seq, step) for seq, step in steps if seq > after]
        elif not run.is_finished:
            steps = []
        return RunRows(structs.replace(run.view(), steps=[]), steps)


def _opened(run: Run) -> list[Event]:
    run.open = ""
    run.next_step += 1
    step = run.next_step - 1
    return [StepStarted(step=step, type="final_answer", iteration=1, timestamp=1.0)]


def _closed(run: Run, status: Any) -> StepFinished:
    return StepFinished(
        step=run.next_step - 1, status=status, duration_ms=1, digest=digest(run.open)
    )


class Outbox:
    """As `live.outbox.Outbox`, of a socket that is read while `stalled` is not set."""

    def __init__(self, hear: Callable[[str], None], max_chars: int) -> None:
        self._hear = hear
        self._max_chars = max_chars
        self.queue: list[str] = []
        self.stalled = False
        self.on_empty: Callable[[], None] = lambda: None

    @property
    def is_empty(self) -> bool:
        return not self.queue

    @property
    def is_full(self) -> bool:
        return sum(map(len, self.queue)) > self._max_chars

    def put(self, text: str) -> None:
        if self.stalled:
            self.queue.append(text)
        else:
            self._hear(text)

    def reply(self, text: str) -> None:
        if len(self.queue) > 100:
            raise TooSlowError
        self.put(text)

    def read(self) -> None:
        """The socket is read again."""
        self.stalled = False
        had, self.queue = self.queue, []
        for text in had:
            self._hear(text)
        if had:
            self.on_empty()


class Client:
    """The other end: a page that forgives neither gaps nor doubles."""

    def __init__(self) -> None:
        self.runs: dict[int, RunState] = {}
        self.told: list[str] = []  # in classic mode
        self.codes: list[int] = []
        self.snapshots = 0
        self.refs: list[int | None] = []
        self.types: list[str] = []

    def hear(self, text: str) -> None:
        """What the server sends."""
        message = json.loads(text)
        self.types.append(message["type"])
        match message["type"]:
            case "snapshot":
                self.snapshots += 1
                self.refs.append(message["data"].get("ref"))
                for shown in message["data"]["runs"]:
                    self.runs[shown["run"]] = from_view(convert(shown, RunView))
            case "events":
                number = message["data"]["run"]
                run = self.runs.setdefault(number, RunState(number))
                for event in decode_events(encode(message["data"]["events"])):
                    assert apply(run, event), "told twice"
            case "session":
                pass
            case _:
                self.told.append(text)

    def seen(self, *, plain: bool) -> dict[int, Place]:
        """What it says to have."""
        return {
            number: run.seq if plain else (run.epoch, run.seq)
            for number, run in self.runs.items()
        }

    def shows(self, runs: Iterable[Run]) -> None:
        """Fail unless it shows what the log holds."""
        for run in runs:
            shown = self.runs.get(run.number)
            assert shown is not None, f"run {run.number} is not shown"
            assert encode(view(shown)) == encode(run.view())
