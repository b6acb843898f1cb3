"""Classic mode: runs and their finished steps in the words of the reference system.

Pure. Classic tells whole steps, so that nobody has to fold the log for it: the rows of
runs and steps hold all that is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import UNSET

from chat.wire.protocol import RunView, StepView, message

STARTED_SEQ: Final = (
    2  # of a run's first `run_started`: nothing else follows its creation
)


def messages(
    run: RunView, steps: Iterable[tuple[int, StepView]], *, after: int
) -> list[tuple[int, str]]:
    """What happened in `run` after seq `after`: messages, each with its event's seq.

    `steps` are those finished since, in order, with the seq of their end; of a run
    without reasoning, only its last answer is looked at.
    """
    told: list[tuple[int, str]] = []
    if after < STARTED_SEQ and run.status != "queued" and run.reason != "withdrawn":
        told.append((STARTED_SEQ, _start(run)))
    if run.enable_reasoning:
        told += [(seq, _step(run, step)) for seq, step in steps]
    if run.status == "finished" and after < run.seq:
        answers = "" if run.enable_reasoning else _response(run, steps)
        told += [(run.seq, text) for text in (*filter(None, [answers]), *_end(run))]
    return told


def _start(run: RunView) -> str:
    return message(
        "reasoning_start",
        {
            "run": run.run,
            "agent": run.agent_name,
            "message": run.prompt,
            "enable_reasoning": run.enable_reasoning,
        },
    )


def _step(run: RunView, step: StepView) -> str:
    data: dict[str, Any] = {
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
    return message("reasoning_step", data)


def _response(run: RunView, steps: Iterable[tuple[int, StepView]]) -> str:
    answers = [step.content for _, step in steps if step.type == "final_answer"]
    return message("response", {"run": run.run, "content": "".join(answers[-1:])})


def _end(run: RunView) -> list[str]:
    texts = []
    if run.reason in {"stopped", "withdrawn"}:
        texts.append(message("interrupted", {"run": run.run, "message": "Stopped."}))
    if run.error is not UNSET:
        texts.append(message("error", run.error))
    data = {"run": run.run, "reason": run.reason}
    return [*texts, message("reasoning_complete", data)]
