"""Turns what an agent says into log events: steps, durations, digests, rows."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import UNSET, UnsetType

from chat.agents.base import (
    AgentError,
    Failure as AgentFailure,
    OpenPart,
    Usage as AgentUsage,
)
from chat.log.batches import wall_clock
from chat.log.journal import RunLog
from chat.models import Step
from chat.redaction import Stream, redact, redact_json
from chat.wire.protocol import (
    CutCause,
    Failure,
    Reason,
    RunFinished,
    RunReleased,
    StepDelta,
    StepFinished,
    StepProgress,
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
MAX_PROGRESS_CHARS: Final = 200  # of what is said of a step's progress
MAX_AMOUNT: Final = 2**53  # of done and total, for people
MAX_TOKEN_CHARS: Final = 256  # longer texts are no tokens, and looked at as a whole
MAX_TOKENS: Final = 2**31 - 1  # that a row can tell of

TOO_BIG: Final = "The answer grew beyond the limit of this site and was cut off."
TOO_LONG: Final = "This answer took more steps than this site allows and was ended."
OUTAGE: Final = (
    "The database was away for so long that this answer was given up. Try again."
)


class _OpenStep:
    """A step that has started and not finished: where a token goes on into the log.

    What has a secret in it is shown without: then `_shown` is what the log holds. The
    agent itself goes on with what was said, or it could use no key.
    """

    __slots__ = (
        "_blocks",
        "_chunks",
        "_log",
        "_recorder",
        "_shown",
        "_stream",
        "agent",
        "call_id",
        "iteration",
        "parent",
        "started",
        "step",
        "timestamp",
        "tool_name",
        "type",
    )

    def __init__(self, recorder: Recorder, log: RunLog, event: StepStarted) -> None:
        self._recorder = recorder
        self._log = log
        self.step = event.step
        self.type: StepType = event.type
        self.iteration = event.iteration
        self.timestamp = event.timestamp
        self.started = recorder.monotonic()
        self.tool_name = event.tool_name or ""
        self.call_id = event.call_id or ""
        self.agent = event.agent or ""
        self.parent = None if event.parent is UNSET else event.parent
        self._chunks: list[str] = []
        self._blocks: list[str] = []  # what earlier chunks add up to
        self._stream = Stream()
        self._shown: list[str] | None = None  # where that is not what was said

    @property
    def number(self) -> int:
        """The step, as others inside it name it."""
        return self.step

    @property
    def content(self) -> str:
        """The text so far, as the agent said it."""
        return "".join((*self._blocks, *self._chunks))

    def grow(self, text: str) -> None:
        """Append `text`. Raises AgentError when the run grows beyond `max_bytes`."""
        size = len(text)
        if not text.isascii() or "\x00" in text:
            text = storable(text)
            size = len(text.encode())
        recorder = self._recorder
        recorder.bytes_left -= size
        if recorder.bytes_left < 0:
            raise AgentError("model_error", TOO_BIG)
        # A chunk of a few characters takes ten times its size in memory.
        chunks = self._chunks
        if size <= MAX_TOKEN_CHARS and self._stream.may_show(text):
            shown = text
            if self._shown is not None:
                self._shown.append(text)
        else:
            shown = self._without_secrets(text)
        chunks.append(text)
        if len(chunks) == CHUNKS_PER_BLOCK:
            self._blocks.append("".join(chunks))
            chunks.clear()
        if shown:
            self._write(shown)

    def _without_secrets(self, text: str) -> str:
        """What can be shown now, of what was held back and `text`."""
        held = self._stream.held
        before = (self._chunks or self._blocks or [""])[-1][-1:]
        shown = self._stream.feed(text, before)
        self._note(shown, held, is_all=shown + self._stream.held == held + text)
        return shown

    def _note(self, shown: str, held: str, *, is_all: bool) -> None:
        """Remember what is shown instead of `held` and more, where not all is."""
        if self._shown is None and not is_all:
            said = self.content
            self._shown = [said[: len(said) - len(held)]]
        if self._shown is not None:
            self._shown.append(shown)

    def _write(self, shown: str) -> None:
        if len(shown) <= MAX_DELTA_CHARS:
            self._log.delta(self.step, shown)
            return
        for start in range(0, len(shown), MAX_DELTA_CHARS):
            piece = shown[start : start + MAX_DELTA_CHARS]
            self._log.add(StepDelta(step=self.step, text=piece))

    def replace(self, *, kind: StepType | None = None, text: str | None = None) -> None:
        """The step is now of this type, or holds this text, where not None."""
        if kind is not None:
            self.type = kind
        if text is not None:
            text = storable(text)
            self._recorder.bytes_left -= len(text.encode())
            if self._recorder.bytes_left < 0:
                raise AgentError("model_error", TOO_BIG)
            self._chunks, self._blocks = [text], []
            self._stream = Stream()
            shown = redact(text)
            self._shown = None if shown == text else [shown]
            text = shown
        self._log.add(
            StepReplaced(
                step=self.step,
                type=UNSET if kind is None else kind,
                text=UNSET if text is None else text,
            )
        )

    def progress(
        self, text: str = "", done: float | None = None, total: float | None = None
    ) -> None:
        """How far the step has come; of numbers, those that make sense are told."""
        self._log.progress(
            StepProgress(
                step=self.step,
                done=_amount(done),
                total=_amount(total),
                text=redact(storable(text))[:MAX_PROGRESS_CHARS] or UNSET,
            )
        )

    def finish(
        self,
        status: StepStatus = "ok",
        tool_input: dict[str, Any] | None = None,
        server_fields: dict[str, Any] | None = None,
    ) -> None:
        """Write the step's row with its last event."""
        self._recorder.forget(self)
        if server_fields is not None:
            server_fields = redact_json(storable_json(server_fields))
            self._recorder.bytes_left -= len(str(server_fields))
        if tool_input is not None:
            tool_input = redact_json(storable_json(tool_input))
        content = self._all_shown()
        duration = int((self._recorder.monotonic() - self.started) * 1000)
        event = StepFinished(
            step=self.step,
            status=status,
            duration_ms=duration,
            digest=digest(content),
            tool_input=UNSET if tool_input is None else tool_input,
        )
        row = Step(
            run_id=self._log.run_id,
            step=self.step,
            type=self.type,
            iteration=self.iteration,
            content=content,
            tool_name=self.tool_name,
            call_id=self.call_id,
            agent=self.agent,
            parent=self.parent,
            tool_input=tool_input,
            server_fields=server_fields,
            status=status,
            started_at=datetime.fromtimestamp(self.timestamp, UTC),
            duration_ms=duration,
            digest=event.digest,
        )
        self._log.add(event, row)
        self._recorder.finished()

    def _all_shown(self) -> str:
        """The text as it is shown, now to its end."""
        if held := self._stream.held:
            shown = self._stream.close()
            self._note(shown, held, is_all=shown == held)
            self._write(shown)
        return self.content if self._shown is None else "".join(self._shown)


class _UnheardStep:
    """What an agent says that others are to say again."""

    content = ""
    number = 0

    def grow(self, text: str) -> None:
        """Not heard."""

    def replace(self, *, kind: StepType | None = None, text: str | None = None) -> None:
        """Not heard."""

    def progress(
        self, text: str = "", done: float | None = None, total: float | None = None
    ) -> None:
        """Not heard."""

    def finish(
        self,
        status: StepStatus = "ok",
        tool_input: dict[str, Any] | None = None,
        server_fields: dict[str, Any] | None = None,
    ) -> None:
        """Not heard."""


class Recorder:
    """Writes one run into its log, step by step, from step number `next_step` on.

    It is the sink that an agent speaks to, and at last `end` is called. `started_at`
    and `used` say when the run began and what it has cost, where another process began
    it. AgentError is raised when the run grows beyond `max_bytes` or `max_events`, or
    the database was away for longer than `max_outage` seconds.
    """

    def __init__(  # noqa: PLR0913 - a run, and its limits
        self,
        log: RunLog,
        *,
        next_step: int = 0,
        max_bytes: int,
        max_events: int = 2**63,
        max_outage: float = math.inf,
        started_at: float | None = None,
        used: Usage | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = wall_clock,
    ) -> None:
        self._log = log
        self.monotonic = monotonic
        self._clock = clock
        now = clock()
        self._begun = monotonic() - max(0, now - (started_at or now))
        self._used = self._earlier = used
        self._next_step = next_step
        self._open: dict[int, _OpenStep] = {}  # by step
        self.bytes_left: float = max_bytes
        self._max_events = max_events
        self._max_outage = max_outage
        self._iteration = 1
        self._last_type: StepType | None = None  # of the step that finished last
        self._leave: Callable[[], object] | None = None  # set while it drains
        self.has_left = False

    def drain(self, leave: Callable[[], object]) -> None:
        """Write on until no step is open and a round is over, then call `leave`.

        What the agent says after that is not heard, and no tool of its called: whoever
        goes on does that. Within a round of the model it would think again what people
        have read.
        """
        self._leave = leave
        if self._is_between_rounds:
            self._stop_hearing()

    def release(self) -> None:
        """Hand the run over to whichever process takes it."""
        self._log.add(RunReleased(timestamp=self._clock()))

    @property
    def _is_between_rounds(self) -> bool:
        return not self._open and self._last_type in {None, "tool_result"}

    def _stop_hearing(self) -> None:
        if self._leave is not None and not self.has_left:
            self.has_left = True
            self._leave()

    def start(
        self,
        kind: StepType,
        iteration: int,
        tool_name: str = "",
        call_id: str = "",
        *,
        agent: str = "",
        parent: int | None = None,
    ) -> OpenPart:
        """Open a step."""
        if self._leave is not None and not self._open:
            is_new_round = self._is_between_rounds or iteration > self._iteration
            if is_new_round or kind == "tool_result":
                self._stop_hearing()
        if self.has_left:
            return _UnheardStep()
        return self._start(
            kind, iteration, tool_name, call_id, agent=agent, parent=parent
        )

    def _start(
        self,
        kind: StepType,
        iteration: int,
        tool_name: str = "",
        call_id: str = "",
        *,
        agent: str = "",
        parent: int | None = None,
    ) -> _OpenStep:
        event = StepStarted(
            step=self._next_step,
            type=kind,
            iteration=iteration,
            timestamp=self._clock(),
            tool_name=redact(storable(tool_name))[:200] or UNSET,
            call_id=redact(storable(call_id))[:100] or UNSET,
            agent=redact(storable(agent))[:64] or UNSET,
            parent=UNSET if parent is None else parent,
        )
        self._next_step += 1
        self._iteration = iteration
        step = self._open[event.step] = _OpenStep(self, self._log, event)
        self._log.add(event)
        return step

    def forget(self, step: _OpenStep) -> None:
        """The step has finished. Raises KeyError where it had before."""
        del self._open[step.step]
        self._last_type = step.type

    def finished(self) -> None:
        """A step has finished, and is in the log."""
        if self._is_between_rounds:
            self._stop_hearing()

    def count(self, usage: AgentUsage) -> None:
        """Note what the agent's rounds have cost, with those of earlier processes."""
        earlier = self._earlier or Usage(0, 0)
        self._log.used = self._used = Usage(
            _countable(earlier.input_tokens + usage.input_tokens),
            _countable(earlier.output_tokens + usage.output_tokens),
        )

    @property
    def crowded(self) -> bool:
        """Whether the agent has to wait for the log."""
        log = self._log
        if log.last_seq > self._max_events:
            raise AgentError("model_error", TOO_LONG)
        if log.outage > self._max_outage:
            raise AgentError("internal", OUTAGE, retryable=True)
        return log.crowded

    async def committed(self) -> None:
        """Return when all that was said is in the database."""
        if self.has_left:
            await asyncio.Event().wait()  # until the agent is cancelled
        await self._log.committed()

    def end(
        self,
        reason: Reason,
        *,
        usage: AgentUsage | None = None,
        error: AgentFailure | None = None,
        cause: CutCause | None = None,
    ) -> None:
        """Finish the run: close what is open, show `error` as a step, say why."""
        if usage is not None:
            self.count(usage)
        status: StepStatus = "stopped" if error is None else "error"
        for step in list(self._open.values()):
            step.finish(status)
        if error is not None:
            step = self._start("error", self._iteration)
            self.bytes_left = math.inf
            step.grow(error.message)
            step.finish("error")
        duration = int((self.monotonic() - self._begun) * 1000)
        self._log.add(
            RunFinished(
                reason=reason,
                duration_ms=duration,
                usage=UNSET if self._used is None else self._used,
                error=(
                    UNSET
                    if error is None
                    else Failure(error.code, redact(error.message), error.retryable)
                ),
                cause=UNSET if cause is None else cause,
            )
        )


def storable_json(value: Any) -> Any:
    """`value` without what a database's JSON cannot hold: see `storable`, and NaN."""
    match value:
        case str():
            return storable(value)
        case float() if not math.isfinite(value):
            return None
        case list():
            return [storable_json(item) for item in value]
        case dict():
            return {storable(key): storable_json(of) for key, of in value.items()}
        case _:
            return value


def _amount(number: float | None) -> float | UnsetType:
    return float(number) if number is not None and 0 <= number <= MAX_AMOUNT else UNSET


def _countable(tokens: int) -> int:
    """What a model server says, made a number that can be stored."""
    return min(max(tokens, 0), MAX_TOKENS)
