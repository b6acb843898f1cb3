"""An agent that plays a script, for tests and demonstrations.

A script is a list of events in the order they are yielded, in JSON:

    [
      {"event": "started", "part": 0, "type": "thought", "iteration": 1},
      {"event": "grew", "part": 0, "text": "Let me see. ", "after": 0.05},
      {"event": "grew", "part": 0, "text": "You asked: {prompt}"},
      {"event": "replaced", "part": 0, "type": "thought", "text": null},
      {"event": "progressed", "part": 0, "text": "", "done": 3, "total": 10},
      {"event": "finished", "part": 0, "status": "ok"},
      {"event": "ended", "reason": "answered",
       "usage": {"input_tokens": 3, "output_tokens": 5}}
    ]

The fields are those of the vocabulary in `base.py`; `after` is a delay in seconds
before the event. `{prompt}` in a text stands for the prompt. A script without an
`ended` ends `answered`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from chat.agents.base import (
    AgentEvent,
    Exchange,
    Part,
    PartFinished,
    PartGrew,
    PartProgressed,
    PartReplaced,
    PartStarted,
    RoundEnded,
    RunEnded,
)

_EVENTS: Final[dict[str, type[AgentEvent]]] = {
    "started": PartStarted,
    "grew": PartGrew,
    "replaced": PartReplaced,
    "progressed": PartProgressed,
    "finished": PartFinished,
    "round": RoundEnded,
    "ended": RunEnded,
}


class Cue(Struct, frozen=True):
    """An event of a script, and how long to wait before it."""

    event: AgentEvent
    after: float = 0.0


def parse_script(entries: Sequence[dict[str, Any]]) -> list[Cue]:
    """The script that these entries are."""
    cues = []
    for entry in entries:
        fields = dict(entry)
        kind = _EVENTS[fields.pop("event")]
        after = float(fields.pop("after", 0.0))
        cues.append(Cue(msgspec.convert(fields, kind), after))
    return cues


def read_script(path: Path) -> list[Cue]:
    """The script in this file."""
    return parse_script(json.loads(path.read_text(encoding="utf-8")))


class ScriptedAgent:
    """Plays its script to whoever asks."""

    def __init__(
        self,
        name: str,
        description: str,
        script: Sequence[Cue],
        *,
        repeatable: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Play this script; time passes by `sleep`."""
        self.name = name
        self.description = description
        self._script = tuple(script)
        self._repeatable = repeatable
        self._sleep = sleep

    def is_repeatable(self, tool_name: str) -> bool:
        """Whatever the script was made for; nothing is really called."""
        del tool_name
        return self._repeatable

    async def run_with_reasoning_stream(
        self,
        prompt: str,
        history: Sequence[Exchange],
        max_iterations: int = 20,
        *,
        done: Sequence[Part] = (),
    ) -> AsyncGenerator[AgentEvent]:
        """Yield the events of the script; what is done already is left out."""
        del history, max_iterations
        # What was cut short is written anew.
        skip = sum(p.status == "ok" or p.type == "tool_result" for p in done)
        for cue in self._script:
            event = cue.event
            if not isinstance(event, RoundEnded | RunEnded):
                if event.part < skip:
                    continue
                event = msgspec.structs.replace(event, part=event.part - skip)
            if cue.after:
                await self._sleep(cue.after)
            if isinstance(event, PartGrew) and "{prompt}" in event.text:
                text = event.text.replace("{prompt}", prompt)
                event = PartGrew(event.part, text)
            yield event
            if isinstance(event, RunEnded):
                return
        yield RunEnded("answered")
