"""Writes the golden event streams that Python's and JavaScript's folds must agree on.

    python -m tests.contract.generate

Each file is {name, run, events, view}: events as on the wire, and the RunView that
`chat/wire/transcript.py` makes of them. `tests/wire/test_contract.py` and
`tests/js/transcript.test.js` check them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec import convert, to_builtins

from chat.wire.protocol import Event
from chat.wire.transcript import digest, fold, view

FOLDER = Path(__file__).parent
T0 = 1_700_000_000.25


class Story:
    """A run's log, written line by line."""

    def __init__(self, prompt: str, **more: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self._texts: dict[int, str] = {}
        self.add(
            "run_created",
            prompt=prompt,
            agent_name="researcher",
            enable_reasoning=more.pop("enable_reasoning", True),
            timestamp=T0,
            **more,
        )

    def add(self, kind: str, **fields: Any) -> Story:
        """One more event."""
        self.events.append({"seq": len(self.events) + 1, "kind": kind, **fields})
        return self

    def begin(self, epoch: int = 1) -> Story:
        """A process takes the run."""
        return self.add("run_started", epoch=epoch, timestamp=T0 + epoch)

    def open(self, step: int, type_: str, iteration: int = 1, **more: Any) -> Story:
        """A step starts."""
        self._texts[step] = ""
        fields = {"type": type_, "iteration": iteration, "timestamp": T0 + step, **more}
        return self.add("step_started", step=step, **fields)

    def say(self, step: int, *texts: str) -> Story:
        """It grows."""
        for text in texts:
            self._texts[step] += text
            self.add("step_delta", step=step, text=text)
        return self

    def replace(self, step: int, **fields: Any) -> Story:
        """It turns out to be something else."""
        self._texts[step] = fields.get("text", self._texts[step])
        return self.add("step_replaced", step=step, **fields)

    def close(self, step: int, status: str = "ok", **more: Any) -> Story:
        """It is finished."""
        proof = digest(self._texts[step])
        fields = {"status": status, "duration_ms": 10 + step, "digest": proof, **more}
        return self.add("step_finished", step=step, **fields)

    def end(self, reason: str = "answered", **more: Any) -> Story:
        """The run is finished."""
        return self.add("run_finished", reason=reason, duration_ms=1234, **more)


def stories() -> dict[str, Story]:
    """All of them, by name."""
    return {
        "calculator": _calculator(),
        "two-tools-at-once": _two_tools(),
        "taken-over": _taken_over(),
        "handed-over": _handed_over(),
        "stopped": _stopped(),
        "failed": _failed(),
        "cut": _cut(),
        "withdrawn": Story("Never mind").end("withdrawn", epoch=1),
        "queued": Story("Wait for it", client_id="c-1"),
        "still-running": Story("Go on")
        .begin()
        .open(0, "thought")
        .say(0, "Let me", " see"),
        "no-reasoning": _no_reasoning(),
        "every-script": _every_script(),
        "step-started-anew": _started_anew(),
        "several-agents": _several_agents(),
        "progress": _progress(),
        "under-way": _progress(ends=False),
    }


def _calculator() -> Story:
    story = Story("What is 23 * 47?", client_id="c-1").begin()
    story.open(0, "final_answer").say(0, "I need ", "the calculator.")
    story.replace(0, type="thought").close(0)
    story.open(1, "tool_use", tool_name="calculator", call_id="call-1")
    story.say(1, '{"expression": ', '"23 * 47"}')
    story.close(1, tool_input={"expression": "23 * 47"})
    story.open(2, "tool_result", tool_name="calculator", call_id="call-1")
    story.say(2, "1081").close(2)
    story.open(3, "final_answer", 2).say(3, "It is ", "**1081**", ".").close(3)
    return story.end(usage={"input_tokens": 120, "output_tokens": 30})


def _several_agents() -> Story:
    story = Story("Who can do sums?").begin()
    story.open(0, "final_answer").say(0, "Call: accountant")
    story.replace(0, type="thought").close(0)
    inside = {"agent": "accountant", "parent": 0}
    story.open(1, "tool_use", 2, tool_name="calculator", call_id="a", **inside)
    story.say(1, "{}").close(1, tool_input={})
    story.open(2, "tool_result", 2, tool_name="calculator", call_id="a", **inside)
    story.say(2, "1081").close(2)
    story.open(3, "final_answer", 3, **inside).say(3, "It is 1081.").close(3)
    story.open(4, "final_answer", 4, agent="critic").say(4, "So it is.").close(4)
    return story.end()


def _progress(*, ends: bool = True) -> Story:
    story = Story("Count sheep").begin()
    for step, call in ((0, "a"), (1, "b")):
        story.open(step, "tool_use", tool_name="count", call_id=call)
        story.say(step, "{}").close(step, tool_input={})
        story.open(step + 2, "tool_result", tool_name="count", call_id=call)
    story.add("step_progress", step=2, done=3.0, total=10.0, text="sheep")
    story.add("step_progress", step=2, done=4.5, total=10.0)
    story.add("step_progress", step=3, text="羊 🐑").say(3, "one ", "two ")
    story.add("step_progress", step=3, done=2.0).add("step_progress", step=2)
    if ends:
        story.say(2, "Ten.").close(2).close(3, "error").end()
    return story


def _two_tools() -> Story:
    story = Story("Two things").begin()
    for step, call in ((0, "a"), (1, "b")):
        story.open(step, "tool_use", tool_name=f"tool-{call}", call_id=call)
        story.say(step, "{}").close(step, tool_input={})
    story.open(2, "tool_result", tool_name="tool-b", call_id="b").say(2, "B")
    story.close(2, "error")
    story.open(3, "tool_result", tool_name="tool-a", call_id="a").say(3, "A").close(3)
    return story.open(4, "final_answer", 2).say(4, "Done.").close(4).end()


def _taken_over() -> Story:
    story = Story("Survive").begin().open(0, "thought").say(0, "First ").close(0)
    story.open(1, "final_answer").say(1, "Half an ans").close(1, "discarded")
    story.begin(2).open(2, "final_answer").say(2, "A whole answer").close(2)
    return story.end()


def _handed_over() -> Story:
    story = Story("Do not wait for me").begin()
    story.open(0, "tool_use", tool_name="clock", call_id="a").say(0, "{}")
    story.close(0, tool_input={}).add("run_released", timestamp=T0 + 9).begin(2)
    story.open(1, "tool_result", tool_name="clock", call_id="a").say(1, "Noon").close(1)
    return story.open(2, "final_answer", 2).say(2, "Noon.").close(2).end()


def _stopped() -> Story:
    story = Story("Stop me").begin().open(0, "final_answer").say(0, "One, two, thr")
    story.replace(0, text="One, two").close(0, "stopped")
    return story.end("stopped", epoch=2)


def _failed() -> Story:
    story = Story("Fail").begin().open(0, "thought").say(0, "Hm").close(0, "error")
    story.open(1, "error").say(1, "The model server is away.").close(1)
    error = {"code": "model_unavailable", "message": "Try again.", "retryable": True}
    return story.end("failed", error=error)


def _cut() -> Story:
    story = Story("Tell me everything").begin().open(0, "final_answer")
    story.say(0, "The first half of").close(0, status="stopped")
    return story.end("cut", cause="length")


def _no_reasoning() -> Story:
    story = Story("Briefly", enable_reasoning=False).begin()
    story.open(0, "final_answer").close(0)
    return story.end("max_iterations")


def _every_script() -> Story:
    story = Story("你好 👋 مرحبا").begin().open(0, "final_answer")
    story.say(
        0,
        "你",
        "好",
        ", \u202eمرحبا\u202c",
        " 👩‍👩‍👧",
        "\r\n",
        "e\u0301",
        "\u200b",
        "\ufffd",
    )
    return story.close(0).end()


def _started_anew() -> Story:
    story = Story("Again").begin().open(0, "thought").say(0, "old text")
    story.open(0, "final_answer", 2).say(0, "new text").close(0)
    return story.end("server_lost")


def document(name: str, story: Story) -> dict[str, Any]:
    """What the file holds."""
    events = convert(story.events, list[Event])
    run = view(fold(3, events))
    return {"name": name, "run": 3, "events": story.events, "view": to_builtins(run)}


def text(name: str, story: Story) -> str:
    """The file."""
    return json.dumps(document(name, story), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    for name, story in stories().items():
        (FOLDER / f"{name}.json").write_text(text(name, story), "utf-8")
