"""The agent that plays a script."""

from __future__ import annotations

import json
from pathlib import Path

from chat.agents.base import RunEnded
from chat.agents.scripted import ScriptedAgent, parse_script, read_script
from tests.agents.fold import listen

SCRIPT = [
    {"event": "started", "part": 0, "type": "final_answer", "iteration": 1},
    {"event": "grew", "part": 0, "text": "Hm.", "after": 0.5},
    {"event": "replaced", "part": 0, "type": "thought"},
    {"event": "finished", "part": 0},
    {"event": "started", "part": 1, "type": "final_answer", "iteration": 1},
    {"event": "grew", "part": 1, "text": "You said {prompt}"},
    {"event": "finished", "part": 1},
]


class Clock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_the_script_is_played_with_its_delays() -> None:
    clock = Clock()
    agent = ScriptedAgent("demo", "", parse_script(SCRIPT), sleep=clock.sleep)
    told = await listen(agent.run_with_reasoning_stream("hi", []))
    assert told.of("thought") == ["Hm."]
    assert told.answer == "You said hi"
    assert told.end == RunEnded("answered")
    assert clock.slept == [0.5]


async def test_what_is_done_already_is_left_out() -> None:
    agent = ScriptedAgent("demo", "", parse_script(SCRIPT))
    whole = await listen(agent.run_with_reasoning_stream("hi", []))
    rest = await listen(agent.run_with_reasoning_stream("hi", [], done=whole.parts[:1]))
    assert rest.types == ["final_answer"]


async def test_a_script_is_read_from_a_file_and_may_end_in_failure(
    tmp_path: Path,
) -> None:
    error = {"code": "model_error", "message": "No.", "retryable": True}
    file = tmp_path / "script.json"
    file.write_text(
        json.dumps([{"event": "ended", "reason": "failed", "error": error}])
    )
    agent = ScriptedAgent("demo", "", read_script(file))
    told = await listen(agent.run_with_reasoning_stream("hi", []))
    assert told.end is not None
    assert told.end.error is not None
    assert told.end.error.message == "No."
