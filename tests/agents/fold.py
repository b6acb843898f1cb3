"""Plays a consumer: folds an agent's events into parts, and checks their grammar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from chat.agents.base import (
    AgentEvent,
    Part,
    PartFinished,
    PartGrew,
    PartReplaced,
    PartStarted,
    RoundEnded,
    RunEnded,
)


@dataclass
class Told:
    """What an agent told, folded."""

    parts: list[Part] = field(default_factory=list)
    events: list[AgentEvent] = field(default_factory=list)
    end: RunEnded | None = None

    def of(self, type_: str) -> list[str]:
        """The contents of all parts of a type."""
        return [part.content for part in self.parts if part.type == type_]

    @property
    def answer(self) -> str:
        """The text of all answers."""
        return "".join(self.of("final_answer"))

    @property
    def types(self) -> list[str]:
        """The types of the parts in order."""
        return [part.type for part in self.parts]


async def listen(stream: AsyncIterator[AgentEvent]) -> Told:
    """Consume a run to its end, insisting on the rules of the vocabulary."""
    told = Told()
    open_parts: dict[int, dict[str, Any]] = {}
    spent = 0
    async for event in stream:
        assert told.end is None, "nothing comes after the end"
        told.events.append(event)
        match event:
            case PartStarted():
                assert not open_parts, "one part is open at a time"
                assert event.part == len(told.parts), "parts are numbered in order"
                open_parts[event.part] = {
                    "type": event.type,
                    "iteration": event.iteration,
                    "tool_name": event.tool_name,
                    "call_id": event.call_id,
                    "content": "",
                }
            case PartGrew():
                assert event.text, "growth has text"
                open_parts[event.part]["content"] += event.text
            case PartReplaced():
                part = open_parts[event.part]
                if event.type is not None:
                    part["type"] = event.type
                if event.text is not None:
                    part["content"] = event.text
            case PartFinished():
                fields = open_parts.pop(event.part)
                told.parts.append(
                    Part(**fields, status=event.status, tool_input=event.tool_input)
                )
            case RoundEnded():
                assert event.usage.input_tokens >= spent, "usage adds up"
                spent = event.usage.input_tokens
            case RunEnded():
                assert not open_parts, "all parts are finished before the end"
                told.end = event
    assert told.end is not None, "a run ends"
    return told
