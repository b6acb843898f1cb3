"""Turns what an agent says into log events: steps, durations, digests, rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, assert_never

from msgspec import UNSET, Struct

from chat.agents.base import (
    AgentError,
    AgentEvent,
    Failure as AgentFailure,
    PartFinished,
    PartGrew,
    PartReplaced,
    PartStarted,
    RoundEnded,
    RunEnded,
    Usage as AgentUsage,
)
from chat.log.batches import wall_clock
from chat.log.journal import RunLog
from chat.models import Step
from chat.wire.protocol import (
    Failure,
    Reason,
    RunFinished,
    StepDelta,
    StepFinished,
    StepReplaced,
    StepStarted,
    StepStatus,
    StepType,
    Usage,
    storable,
)
from chat.wire.transcript import digest

# A provider may send a page at once; a delta must fit a frame of the wire.
CHUNKS_PER_BLOCK: Final = 512
MAX_DELTA_CHARS: Final = 32_000
MAX_TOKENS: Final = 2**31 - 1  # that a row can tell of


class _OpenStep(Struct):
    step: int
    type: StepType
    iteration: int
    timestamp: float
    started: float
    tool_name: str
    call_id: str
    chunks: list[str]
    blocks: list[str]  # what earlier chunks add up to

    def append(self, text: str) -> None:
        """Grow. A chunk of a few characters takes ten times its size in memory."""
        self.chunks.append(text)
        if len(self.chunks) == CHUNKS_PER_BLOCK:
            self.blocks.append("".join(self.chunks))
            self.chunks.clear()

    @property
    def content(self) -> str:
        """The text so far."""
        return "".join((*self.blocks, *self.chunks))


class Recorder:
    """Writes one run into its log, step by step, from step number `next_step` on.

    `started_at` and `used` say when the run began and what it has cost, where another
    process began it. Raises AgentError when the run grows beyond `max_bytes`.
    """

    def __init__(
        self,
        log: RunLog,
        *,
        next_step: int = 0,
        max_bytes: int,
        started_at: float | None = None,
        used: Usage | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = wall_clock,
    ) -> None:
        self._log = log
        self._monotonic = monotonic
        self._clock = clock
        now = clock()
        self._begun = monotonic() - max(0, now - (started_at or now))
        self._used = self._earlier = used
        self._next_step = next_step
        self._open: dict[int, _OpenStep] = {}
        self._last: _OpenStep | None = None  # where the latest text went
        self._last_part = -1
        self._room = max_bytes
        self.iteration = 1

    def record(self, event: AgentEvent) -> None:
        """Write what the agent said; `RunEnded` also closes what is open."""
        match event:
            case PartGrew():
                self._grew(event.part, event.text)
            case PartStarted():
                self._started(event)
            case PartReplaced():
                self._replaced(event)
            case PartFinished():
                self._finish(event.part, event.status, event.tool_input)
            case RoundEnded():
                self._count_tokens(event.usage)
                self._log.used = self._used
            case RunEnded():
                self._count_tokens(event.usage)
                self.end(event.reason, error=event.error)
            case _:
                assert_never(event)

    def end(self, reason: Reason, *, error: AgentFailure | None = None) -> None:
        """Finish the run: close what is open, show `error` as a step, say why."""
        status: StepStatus = "stopped" if error is None else "error"
        for part in list(self._open):
            self._finish(part, status, None)
        if error is not None:
            part = self._next_step
            self._start(part, "error", self.iteration)
            self._write(self._open[part], storable(error.message))
            self._finish(part, "error", None)
        duration = int((self._monotonic() - self._begun) * 1000)
        self._log.add(
            RunFinished(
                reason=reason,
                duration_ms=duration,
                usage=UNSET if self._used is None else self._used,
                error=(
                    UNSET
                    if error is None
                    else Failure(error.code, error.message, error.retryable)
                ),
            )
        )

    def _count_tokens(self, usage: AgentUsage | None) -> None:
        """Note what the agent's rounds have cost, with those of earlier processes."""
        if usage is not None:
            earlier = self._earlier or Usage(0, 0)
            self._used = Usage(
                _countable(earlier.input_tokens + usage.input_tokens),
                _countable(earlier.output_tokens + usage.output_tokens),
            )

    def _grew(self, part: int, text: str) -> None:
        if not text:
            return
        if part != self._last_part:
            self._last, self._last_part = self._open[part], part
        step = self._last
        assert step is not None  # noqa: S101  (for the type checker; set just above)
        size = len(text)
        if not text.isascii() or "\x00" in text:
            text = storable(text)
            size = len(text.encode())
        self._count(size)
        self._write(step, text)

    def _count(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            message = "The answer grew beyond the limit of this site and was cut off."
            raise AgentError("model_error", message)

    def _write(self, step: _OpenStep, text: str) -> None:
        step.append(text)
        if len(text) <= MAX_DELTA_CHARS:
            self._log.delta(step.step, text)
            return
        for start in range(0, len(text), MAX_DELTA_CHARS):
            piece = text[start : start + MAX_DELTA_CHARS]
            self._log.add(StepDelta(step=step.step, text=piece))

    def _started(self, event: PartStarted) -> None:
        self._start(
            event.part, event.type, event.iteration, event.tool_name, event.call_id
        )

    def _start(
        self,
        part: int,
        type_: StepType,
        iteration: int,
        tool_name: str = "",
        call_id: str = "",
    ) -> None:
        step = _OpenStep(
            self._next_step,
            type_,
            iteration,
            self._clock(),
            self._monotonic(),
            storable(tool_name)[:200],
            storable(call_id)[:100],
            chunks=[],
            blocks=[],
        )
        self._next_step += 1
        self.iteration = iteration
        self._open[part] = step
        self._log.add(
            StepStarted(
                step=step.step,
                type=type_,
                iteration=iteration,
                timestamp=step.timestamp,
                tool_name=step.tool_name or UNSET,
                call_id=step.call_id or UNSET,
            )
        )

    def _replaced(self, event: PartReplaced) -> None:
        step = self._open[event.part]
        text = event.text
        if event.type is not None:
            step.type = event.type
        if text is not None:
            text = storable(text)
            self._count(len(text.encode()))
            step.chunks, step.blocks = [text], []
        self._log.add(
            StepReplaced(
                step=step.step,
                type=UNSET if event.type is None else event.type,
                text=UNSET if text is None else text,
            )
        )

    def _finish(
        self, part: int, status: StepStatus, tool_input: dict[str, Any] | None
    ) -> None:
        step = self._open.pop(part)
        if tool_input is not None:
            tool_input = _storable_json(tool_input)
        if part == self._last_part:
            self._last, self._last_part = None, -1
        content = step.content
        duration = int((self._monotonic() - step.started) * 1000)
        event = StepFinished(
            step=step.step,
            status=status,
            duration_ms=duration,
            digest=digest(content),
            tool_input=UNSET if tool_input is None else tool_input,
        )
        row = Step(
            run_id=self._log.run_id,
            step=step.step,
            type=step.type,
            iteration=step.iteration,
            content=content,
            tool_name=step.tool_name,
            call_id=step.call_id,
            tool_input=tool_input,
            status=status,
            started_at=datetime.fromtimestamp(step.timestamp, UTC),
            duration_ms=duration,
            digest=event.digest,
        )
        self._log.add(event, row)


def _storable_json(value: Any) -> Any:
    """`value` without what a database's JSON cannot hold: see `storable`, and NaN."""
    match value:
        case str():
            return storable(value)
        case float() if not math.isfinite(value):
            return None
        case list():
            return [_storable_json(item) for item in value]
        case dict():
            return {storable(key): _storable_json(of) for key, of in value.items()}
        case _:
            return value


def _countable(tokens: int) -> int:
    """What a model server says, made a number that can be stored."""
    return min(max(tokens, 0), MAX_TOKENS)
