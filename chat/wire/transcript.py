"""The fold: what a page shows of a run is its log's events applied in order.

Pure, and the twin of `static/chat/js/client/transcript.js`; the event streams in
`tests/contract/` hold the two together. Cost is linear in the text: deltas are
gathered in a list and joined when somebody asks for the content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from msgspec import UNSET, UnsetType, structs

from chat.wire.protocol import (
    CutCause,
    Event,
    Failure,
    Progress,
    Reason,
    RunCreated,
    RunFinished,
    RunReleased,
    RunStarted,
    RunView,
    StepDelta,
    StepFinished,
    StepProgress,
    StepReplaced,
    StepStarted,
    StepStatus,
    StepType,
    StepView,
    Usage,
)


class GapError(Exception):
    """An event does not follow on the last one applied: read the log again."""


def digest(content: str) -> str:
    """The SHA-256 of `content` in UTF-8, lowercase hex."""
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass(slots=True)
class StepState:
    """One step of a run; `content` is what its deltas add up to."""

    step: int
    type: StepType
    iteration: int
    timestamp: float
    tool_name: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    agent: str | UnsetType = UNSET
    parent: int | UnsetType = UNSET
    status: StepStatus | Literal["running"] = "running"
    duration_ms: int | UnsetType = UNSET
    tool_input: dict[str, Any] | UnsetType = UNSET
    digest: str | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET
    chunks: list[str] = field(default_factory=list)

    @property
    def content(self) -> str:
        """The text so far."""
        if len(self.chunks) > 1:
            self.chunks[:] = ["".join(self.chunks)]
        return self.chunks[0] if self.chunks else ""


@dataclass(slots=True)
class RunState:
    """A run as far as it has been folded; `seq` is the last event applied."""

    run: int
    status: Literal["queued", "running", "finished"] = "queued"
    seq: int = 0
    epoch: int = 0
    prompt: str = ""
    agent_name: str = ""
    enable_reasoning: bool = True
    timestamp: float = 0.0
    client_id: str | UnsetType = UNSET
    steps: dict[int, StepState] = field(default_factory=dict)
    reason: Reason | UnsetType = UNSET
    duration_ms: int | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET
    error: Failure | UnsetType = UNSET
    cause: CutCause | UnsetType = UNSET

    def open_steps(self) -> list[StepState]:
        """The steps that have not finished, oldest first."""
        return [step for step in self.steps.values() if step.status == "running"]


def fold(run: int, events: Iterable[Event]) -> RunState:
    """The state of run number `run` after `events`, from its first."""
    state = RunState(run)
    for event in events:
        apply(state, event)
    return state


def first_of(event: Event) -> int:
    """The first seq that the event stands for."""
    return event.seq if event.first is UNSET else event.first


def epoch_after(event: Event, epoch: int) -> int:
    """The epoch of an event that comes in `epoch`: the same, or the one it begins."""
    if isinstance(event, RunStarted | RunFinished) and event.epoch is not UNSET:
        return event.epoch
    return epoch


def apply(run: RunState, event: Event) -> bool:
    """Apply `event` to `run` in place; False if it was applied before.

    Raises GapError when events between the last one and this one are missing.
    """
    first = first_of(event)
    if event.seq <= run.seq:
        return False
    if first != run.seq + 1:
        message = f"run {run.run}: have {run.seq}, got {first}"
        raise GapError(message)
    _change(run, event)
    run.seq = event.seq
    return True


def _change(run: RunState, event: Event) -> None:
    match event:
        case StepDelta():
            run.steps[event.step].chunks.append(event.text)
        case StepStarted():
            _start_step(run, event)
        case StepReplaced():
            _replace(run.steps[event.step], event)
        case StepProgress():
            progress = Progress(event.done, event.total, event.text)
            run.steps[event.step].progress = progress
        case StepFinished():
            _finish_step(run, event)
        case RunCreated():
            run.prompt = event.prompt
            run.agent_name = event.agent_name
            run.enable_reasoning = event.enable_reasoning
            run.timestamp = event.timestamp
            run.client_id = event.client_id
        case RunStarted():
            run.status = "running"
            run.epoch = event.epoch
        case RunReleased():
            pass  # for people it goes on
        case RunFinished():
            _finish_run(run, event)
        case _:
            assert_never(event)


def _start_step(run: RunState, event: StepStarted) -> None:
    run.steps[event.step] = StepState(
        event.step,
        event.type,
        event.iteration,
        event.timestamp,
        event.tool_name,
        event.call_id,
        event.agent,
        event.parent,
    )


def _replace(step: StepState, event: StepReplaced) -> None:
    if event.type is not UNSET:
        step.type = event.type
    if event.text is not UNSET:
        step.chunks[:] = [event.text]


def _finish_step(run: RunState, event: StepFinished) -> None:
    if event.status == "discarded":
        del run.steps[event.step]
        return
    step = run.steps[event.step]
    step.status = event.status
    step.duration_ms = event.duration_ms
    step.digest = event.digest
    step.tool_input = event.tool_input
    step.progress = UNSET


def _finish_run(run: RunState, event: RunFinished) -> None:
    run.status = "finished"
    run.reason = event.reason
    run.duration_ms = event.duration_ms
    run.usage = event.usage
    run.error = event.error
    run.cause = event.cause
    if event.epoch is not UNSET:
        run.epoch = event.epoch


def step_view(step: StepState) -> StepView:
    """The step as a snapshot shows it."""
    return StepView(
        step.step,
        step.type,
        step.iteration,
        step.content,
        step.status,
        step.timestamp,
        step.duration_ms,
        step.tool_name,
        step.call_id,
        step.tool_input,
        step.digest,
        step.agent,
        step.parent,
        step.progress,
    )


def view(run: RunState) -> RunView:
    """The run as a snapshot shows it."""
    return RunView(
        run.run,
        run.status,
        run.seq,
        run.epoch,
        run.prompt,
        run.agent_name,
        run.enable_reasoning,
        run.timestamp,
        [step_view(step) for step in run.steps.values()],
        run.client_id,
        run.reason,
        run.duration_ms,
        run.usage,
        run.error,
        run.cause,
    )


def merged(events: Iterable[Event]) -> list[Event]:
    """The same in fewer events, for catching up.

    Neighbouring deltas of one step are made one; of progress the last is kept.
    """
    result: list[Event] = []
    chunks: list[str] = []
    last: StepDelta | StepProgress | None = None  # of the neighbours so far
    first = count = 0

    def close() -> None:
        if last is None:
            return
        if count == 1:
            result.append(last)
        elif isinstance(last, StepProgress):
            result.append(structs.replace(last, first=first))
        else:
            text = "".join(chunks)
            result.append(
                StepDelta(seq=last.seq, first=first, step=last.step, text=text)
            )

    for event in events:
        if not isinstance(event, StepDelta | StepProgress):
            close()
            last = None
            result.append(event)
            continue
        if last is None or type(last) is not type(event) or last.step != event.step:
            close()
            first, count = first_of(event), 0
            chunks = []
        if isinstance(event, StepDelta):
            chunks.append(event.text)
        count += 1
        last = event
    close()
    return result
