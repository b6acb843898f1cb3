"""What hypothesis draws: texts, logs of runs as they can be, and ways to deliver them.

Importing this sets how many examples a property test tries, always the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings, strategies as st
from msgspec import UNSET, structs

from chat.wire.protocol import (
    Event,
    Failure,
    Reason,
    RunCreated,
    RunFinished,
    RunStarted,
    StepDelta,
    StepFinished,
    StepProgress,
    StepReplaced,
    StepStarted,
    StepStatus,
    Usage,
)
from chat.wire.transcript import digest

T = TypeVar("T")

settings.register_profile(
    "site",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("site")

DEEDS = ("grow", "grow", "finish", "replace", "progress", "take over")
STEP_TYPES = ("thought", "tool_use", "tool_result", "final_answer", "error")

texts = st.one_of(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8
    ),
    st.sampled_from(["", "👩‍👩‍👧", "\u2028", "</script>", "שלום", "e\u0301", '"\\\n']),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
inputs = st.dictionaries(texts, texts | st.integers(-5, 5) | st.none(), max_size=3)
moments = st.integers(0, 2_000_000_000_000).map(lambda ms: ms / 1000)


class _Told:
    """Gathers the events of one run, keeping to the rules of the protocol."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.events: list[Event] = []
        self.open: dict[int, str] = {}
        self.next_step = 0
        self.epoch = 0

    def add(self, event: Event) -> None:
        seq = len(self.events) + 1
        self.events.append(structs.replace(event, seq=seq))

    def start_step(self) -> None:
        step, self.next_step = self.next_step, self.next_step + 1
        type_: Any = self.draw(st.sampled_from(STEP_TYPES))
        tool = type_ in {"tool_use", "tool_result"}
        self.open[step] = ""
        self.add(
            StepStarted(
                step=step,
                type=type_,
                iteration=self.draw(st.integers(1, 3)),
                timestamp=self.draw(moments),
                tool_name="calculator" if tool else UNSET,
                call_id=f"call-{step}" if tool else UNSET,
            )
        )

    def grow(self, step: int) -> None:
        for text in self.draw(st.lists(texts, min_size=1, max_size=4)):
            self.open[step] += text
            self.add(StepDelta(step=step, text=text))

    def replace(self, step: int) -> None:
        type_: Any = self.draw(st.sampled_from([UNSET, "thought", "final_answer"]))
        text = self.draw(st.just(UNSET) | texts)
        if isinstance(text, str):
            self.open[step] = text
        self.add(StepReplaced(step=step, type=type_, text=text))

    def progress(self, step: int) -> None:
        for _ in range(self.draw(st.integers(1, 3))):
            done: Any = self.draw(st.sampled_from([UNSET, 0.5, 3.0]))
            text = self.draw(st.just(UNSET) | texts)
            self.add(StepProgress(step=step, done=done, text=text))

    def finish_step(self, step: int, status: StepStatus | None = None) -> None:
        content = self.open.pop(step)
        statuses: Sequence[StepStatus] = ("ok", "error", "stopped", "discarded")
        ended = self.draw(st.sampled_from(statuses)) if status is None else status
        self.add(
            StepFinished(
                step=step,
                status=ended,
                duration_ms=self.draw(st.integers(0, 10**6)),
                digest=digest(content),
                tool_input=self.draw(st.just(UNSET) | inputs),
            )
        )

    def take_over(self, epoch: int) -> None:
        self.epoch = epoch
        self.add(RunStarted(epoch=epoch, timestamp=self.draw(moments)))
        for step in list(self.open):
            self.finish_step(step, "discarded")

    def end(self, reason: Reason) -> None:
        for step in list(self.open):
            self.finish_step(step)
        usage: Any = self.draw(st.sampled_from([UNSET, Usage(3, 5)]))
        failed = reason in {"failed", "server_lost"}
        causes: Any = ["length", "filter", "ended"]
        self.add(
            RunFinished(
                reason=reason,
                epoch=self.epoch + 1 if reason in {"stopped", "withdrawn"} else UNSET,
                duration_ms=self.draw(st.integers(0, 10**6)),
                usage=usage,
                error=Failure("internal", "Sorry.", retryable=True)
                if failed
                else UNSET,
                cause=self.draw(st.sampled_from(causes)) if reason == "cut" else UNSET,
            )
        )


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """The numbered events of one run: waiting, under way or finished."""
    told = _Told(draw)
    client_id: Any = draw(st.sampled_from([UNSET, "id-1"]))
    told.add(
        RunCreated(
            prompt=draw(texts),
            agent_name="researcher",
            enable_reasoning=draw(st.booleans()),
            timestamp=draw(moments),
            client_id=client_id,
        )
    )
    life = draw(st.sampled_from(["waiting", "withdrawn", "under way", "finished"]))
    if life == "waiting":
        return told.events
    if life == "withdrawn":
        told.end("withdrawn")
        return told.events
    epoch = 1
    told.take_over(epoch)
    for _ in range(draw(st.integers(0, 12))):
        step = draw(st.sampled_from([None, *told.open]))
        deed = draw(st.sampled_from(DEEDS))
        if step is None:
            told.start_step()
        elif deed == "grow":
            told.grow(step)
        elif deed == "replace":
            told.replace(step)
        elif deed == "progress":
            told.progress(step)
        elif deed == "finish":
            told.finish_step(step)
        else:
            epoch += draw(st.integers(1, 3))
            told.take_over(epoch)
    if life == "finished":
        reasons: Sequence[Reason] = (
            "answered",
            "cut",
            "stopped",
            "failed",
            "max_iterations",
            "server_lost",
        )
        told.end(draw(st.sampled_from(reasons)))
    return told.events


@st.composite
def parts_of(draw: st.DrawFn, items: Sequence[T]) -> list[list[T]]:
    """`items` cut into consecutive parts, none of them empty."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(items) - 1)), max_size=8)))
    ends = [*(cut for cut in cuts if cut < len(items)), len(items)]
    starts = [0, *ends[:-1]]
    return [list(items[a:b]) for a, b in zip(starts, ends, strict=True) if a < b]
