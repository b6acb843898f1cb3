"""Classic mode: the log in the words of the reference system."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, strategies as st
from msgspec import structs

from chat.wire.classic import messages
from chat.wire.protocol import (
    Event,
    Failure,
    RunCreated,
    RunFinished,
    RunStarted,
    StepDelta,
    StepFinished,
    StepStarted,
)
from chat.wire.transcript import digest, fold, view
from tests.streams import logs


def told(events: list[Event], after: int = 0) -> list[dict[str, Any]]:
    """What classic says of a run with this log, to who knows it up to `after`."""
    return [json.loads(text) for _, text in numbered(events, after)]


def numbered(events: list[Event], after: int = 0) -> list[tuple[int, str]]:
    run = view(fold(3, events))
    shown = {step.step: step for step in run.steps}
    steps = [
        (event.seq, shown[event.step])
        for event in events
        if isinstance(event, StepFinished)
        and event.step in shown
        and (event.seq > after or not run.enable_reasoning)
    ]
    return messages(structs.replace(run, steps=[]), steps, after=after)


def beginning(*, enable_reasoning: bool = True) -> list[Event]:
    return [
        RunCreated(
            seq=1,
            prompt="Hi",
            agent_name="researcher",
            enable_reasoning=enable_reasoning,
            timestamp=1.5,
        ),
        RunStarted(seq=2, epoch=1, timestamp=2.5),
    ]


def step(seq: int, number: int, type_: Any, text: str, **more: Any) -> list[Event]:
    return [
        StepStarted(
            seq=seq, step=number, type=type_, iteration=1, timestamp=3.25, **more
        ),
        StepDelta(seq=seq + 1, step=number, text=text),
        StepFinished(
            seq=seq + 2, step=number, status="ok", duration_ms=9, digest=digest(text)
        ),
    ]


def test_a_run_is_told_from_start_to_completion() -> None:
    events = [
        *beginning(),
        *step(3, 0, "thought", "Hm"),
        *step(6, 1, "final_answer", "Hello"),
        RunFinished(seq=9, reason="answered", duration_ms=20),
    ]
    assert told(events) == [
        {
            "type": "reasoning_start",
            "data": {
                "run": 3,
                "agent": "researcher",
                "message": "Hi",
                "enable_reasoning": True,
            },
        },
        {
            "type": "reasoning_step",
            "data": {
                "type": "thought",
                "content": "Hm",
                "iteration": 1,
                "timestamp": 3.25,
                "run": 3,
                "step": 0,
                "duration_ms": 9,
            },
        },
        {
            "type": "reasoning_step",
            "data": {
                "type": "final_answer",
                "content": "Hello",
                "iteration": 1,
                "timestamp": 3.25,
                "run": 3,
                "step": 1,
                "duration_ms": 9,
            },
        },
        {"type": "reasoning_complete", "data": {"run": 3, "reason": "answered"}},
    ]


def test_a_tool_call_has_its_name_and_input() -> None:
    events = beginning()
    events += step(3, 0, "tool_use", "{}", tool_name="calculator", call_id="c1")[:2]
    events.append(
        StepFinished(
            seq=5,
            step=0,
            status="ok",
            duration_ms=1,
            digest=digest("{}"),
            tool_input={"expression": "1+1"},
        )
    )
    data = told(events)[-1]["data"]
    assert (data["tool_name"], data["tool_input"]) == (
        "calculator",
        {"expression": "1+1"},
    )


def test_without_reasoning_the_last_answer_comes_as_a_response() -> None:
    events = [
        *beginning(enable_reasoning=False),
        *step(3, 0, "thought", "Hm"),
        *step(6, 1, "final_answer", "First"),
        *step(9, 2, "final_answer", "Hello"),
        RunFinished(seq=12, reason="answered", duration_ms=20),
    ]
    start, *rest = told(events)
    assert start["data"]["enable_reasoning"] is False
    assert rest == [
        {"type": "response", "data": {"run": 3, "content": "Hello"}},
        {"type": "reasoning_complete", "data": {"run": 3, "reason": "answered"}},
    ]


def test_a_stopped_run_is_interrupted_and_complete() -> None:
    events = [*beginning(), RunFinished(seq=3, reason="stopped", duration_ms=1)]
    assert [message["type"] for message in told(events)] == [
        "reasoning_start",
        "interrupted",
        "reasoning_complete",
    ]


def test_a_withdrawn_run_is_interrupted_though_it_never_started() -> None:
    events = [beginning()[0], RunFinished(seq=2, reason="withdrawn", duration_ms=0)]
    assert [message["type"] for message in told(events)] == [
        "interrupted",
        "reasoning_complete",
    ]


def test_a_failed_run_says_why_before_it_is_complete() -> None:
    failure = Failure("model_error", "The model gave up.", retryable=True)
    events = [
        *beginning(),
        RunFinished(seq=3, reason="failed", duration_ms=1, error=failure),
    ]
    assert told(events)[1:] == [
        {
            "type": "error",
            "data": {
                "code": "model_error",
                "message": "The model gave up.",
                "retryable": True,
            },
        },
        {"type": "reasoning_complete", "data": {"run": 3, "reason": "failed"}},
    ]


def test_a_takeover_is_not_a_second_start() -> None:
    events = [*beginning(), RunStarted(seq=3, epoch=2, timestamp=9.0)]
    assert [m["type"] for m in told(events)] == ["reasoning_start"]


def test_what_was_before_the_socket_is_not_told() -> None:
    events = [*beginning(), *step(3, 0, "thought", "Hm")]
    (message,) = told(events, after=4)
    assert message["data"]["content"] == "Hm"
    assert told(events, after=5) == []


@given(logs(), st.data())
def test_any_time_tells_what_has_happened_since(
    events: list[Event], data: st.DataObject
) -> None:
    whole = numbered(events)
    after = data.draw(st.integers(0, len(events)))
    assert numbered(events, after) == [(n, text) for n, text in whole if n > after]
    run = fold(3, events)
    said = [json.loads(text) for _, text in whole]
    steps = [m["data"] for m in said if m["type"] == "reasoning_step"]
    finished = [s for s in run.steps.values() if s.status != "running"]
    if run.enable_reasoning:
        found = sorted((shown["step"], shown["content"]) for shown in steps)
        assert found == sorted((s.step, s.content) for s in finished)
    else:
        assert steps == []
    ends = [m["data"]["reason"] for m in said if m["type"] == "reasoning_complete"]
    assert ends == ([run.reason] if run.status == "finished" else [])
