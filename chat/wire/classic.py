"""Classic mode: the log told in the words of the reference system. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from chat.wire.protocol import (
    Event,
    RunFinished,
    RunStarted,
    StepFinished,
    message,
)
from chat.wire.transcript import RunState, StepState, apply


class Classic:
    """Turns log events into classic messages, for one socket.

    It folds each run until it finishes, since classic tells whole steps.
    """

    def __init__(self) -> None:
        self._runs: dict[int, RunState] = {}

    def translate(
        self, number: int, events: list[Event], *, silent_until: int = 0
    ) -> list[str]:
        """The messages for `events`; those through `silent_until` are only folded."""
        run = self._runs.setdefault(number, RunState(number))
        messages: list[str] = []
        for event in events:
            step = None
            if isinstance(event, StepFinished):
                step = run.steps.get(event.step)
            if apply(run, event) and event.seq > silent_until:
                messages += _messages(run, event, step)
            if isinstance(event, RunFinished):
                self._runs.pop(number, None)
        return messages


def _messages(run: RunState, event: Event, step: StepState | None) -> list[str]:
    match event:
        case RunStarted(epoch=1):
            return [
                message(
                    "reasoning_start",
                    {
                        "run": run.run,
                        "agent": run.agent_name,
                        "message": run.prompt,
                        "enable_reasoning": run.enable_reasoning,
                    },
                )
            ]
        case StepFinished() if step is not None and event.status != "discarded":
            if run.enable_reasoning:
                return [message("reasoning_step", _step_data(run, step))]
            return []
        case RunFinished():
            return _end(run, event)
        case _:
            return []


def _step_data(run: RunState, step: StepState) -> dict[str, Any]:
    data = {
        "type": step.type,
        "content": step.content,
        "iteration": step.iteration,
        "timestamp": step.timestamp,
        "run": run.run,
        "step": step.step,
        "duration_ms": step.duration_ms,
    }
    if step.tool_name is not UNSET:
        data["tool_name"] = step.tool_name
    if step.tool_input is not UNSET:
        data["tool_input"] = step.tool_input
    return data


def _end(run: RunState, event: RunFinished) -> list[str]:
    messages = []
    if not run.enable_reasoning:
        answers = [s.content for s in run.steps.values() if s.type == "final_answer"]
        content = "".join(answers[-1:])
        messages.append(message("response", {"run": run.run, "content": content}))
    if event.reason in {"stopped", "withdrawn"}:
        data = {"run": run.run, "message": "Stopped."}
        messages.append(message("interrupted", data))
    if event.error is not UNSET:
        messages.append(message("error", event.error))
    data = {"run": run.run, "reason": event.reason}
    messages.append(message("reasoning_complete", data))
    return messages
