"""What a run's events add up to. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class GapError(Exception):
    """Events are missing: the run must be asked for again."""


@dataclass(slots=True)
class Step:
    """One step of a run.

    `type`: thought, tool_use, tool_result, final_answer or error. `status`: running,
    ok, error or stopped. `input`: a tool's arguments, once the step is finished.
    `progress`: {done?, total?, text?} of an open one, where its tool tells it.
    """

    number: int
    type: str
    content: str = ""
    status: str = "running"
    tool_name: str | None = None
    call_id: str | None = None
    input: dict[str, Any] | None = None
    agent: str | None = None
    parent: int | None = None
    duration_ms: int | None = None
    progress: dict[str, Any] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it will not change any more."""
        return self.status != "running"


@dataclass(slots=True)
class RunState:
    """A run as far as it is known; `(epoch, seq)` is the place in its log."""

    number: int
    status: str = "queued"
    reason: str | None = None  # why it has ended
    prompt: str = ""
    agent: str = ""
    steps: dict[int, Step] = field(default_factory=dict)
    usage: dict[str, int] | None = None
    error: dict[str, Any] | None = None
    epoch: int = 0
    seq: int = 0

    @property
    def answer(self) -> str:
        """The text of the answer so far."""
        return "\n\n".join(
            step.content for step in self.steps.values() if step.type == "final_answer"
        )

    def replace(self, view: dict[str, Any]) -> None:
        """Take a run as a snapshot shows it."""
        self.status, self.reason = view["status"], view.get("reason")
        self.prompt, self.agent = view["prompt"], view["agent_name"]
        self.epoch, self.seq = view["epoch"], view["seq"]
        self.usage, self.error = view.get("usage"), view.get("error")
        self.steps = {step["step"]: _step(step) for step in view["steps"]}

    def apply(self, event: dict[str, Any]) -> bool:
        """Apply an event of the log; False where it was applied before."""
        seq: int = event["seq"]
        if seq <= self.seq:
            return False
        if event.get("first", seq) != self.seq + 1:
            message = f"run {self.number}: have {self.seq}, got {seq}"
            raise GapError(message)
        change = getattr(self, f"_{event['kind']}", None)
        if change is not None:  # else of a kind that this client does not know yet
            change(event)
        self.seq = seq
        return True

    def _run_created(self, event: dict[str, Any]) -> None:
        self.prompt, self.agent = event["prompt"], event["agent_name"]

    def _run_started(self, event: dict[str, Any]) -> None:
        self.status, self.epoch = "running", event["epoch"]

    def _step_started(self, event: dict[str, Any]) -> None:
        self.steps[event["step"]] = _step(event)

    def _step_delta(self, event: dict[str, Any]) -> None:
        self.steps[event["step"]].content += event["text"]

    def _step_progress(self, event: dict[str, Any]) -> None:
        told = ("done", "total", "text")
        self.steps[event["step"]].progress = {
            key: value for key, value in event.items() if key in told
        }

    def _step_replaced(self, event: dict[str, Any]) -> None:
        step = self.steps[event["step"]]
        step.type = event.get("type", step.type)
        step.content = event.get("text", step.content)

    def _step_finished(self, event: dict[str, Any]) -> None:
        if event["status"] == "discarded":
            del self.steps[event["step"]]
            return
        step = self.steps[event["step"]]
        step.status, step.duration_ms = event["status"], event["duration_ms"]
        step.progress = None
        step.input = event.get("tool_input")

    def _run_finished(self, event: dict[str, Any]) -> None:
        self.status, self.reason = "finished", event["reason"]
        self.usage, self.error = event.get("usage"), event.get("error")
        self.epoch = event.get("epoch", self.epoch)


def _step(said: dict[str, Any]) -> Step:
    return Step(
        said["step"],
        said["type"],
        said.get("content", ""),
        said.get("status", "running"),
        said.get("tool_name"),
        said.get("call_id"),
        said.get("tool_input"),
        said.get("agent"),
        said.get("parent"),
        said.get("duration_ms"),
        said.get("progress"),
    )
