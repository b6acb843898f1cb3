"""Plays a consumer: folds an agent's events into parts, and checks their grammar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from msgspec import structs

from chat.agents.base import (
    AgentEvent,
    OpenPart,
    Part,
    PartFinished,
    PartGrew,
    PartProgressed,
    PartReplaced,
    PartStarted,
    PartStatus,
    PartType,
    RoundEnded,
    RunEnded,
    Usage,
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
                    "agent": event.agent,
                    "content": "",
                }
            case PartGrew():
                assert event.text, "growth has text"
                open_parts[event.part]["content"] += event.text
            case PartReplaced():
                now = {"type": event.type, "content": event.text}
                open_parts[event.part] |= {
                    k: v for k, v in now.items() if v is not None
                }
            case PartProgressed():
                assert event.part in open_parts
            case PartFinished():
                fields = open_parts.pop(event.part)
                told.parts.append(
                    Part(
                        **fields,
                        status=event.status,
                        tool_input=event.tool_input,
                        server_fields=event.server_fields,
                    )
                )
            case RoundEnded():
                assert event.usage.input_tokens >= spent, "usage adds up"
                spent = event.usage.input_tokens
            case RunEnded():
                assert not open_parts, "all parts are finished before the end"
                told.end = event
    assert told.end is not None, "a run ends"
    return told


class Sink:
    """Takes what an agent says by calls; its parts are as `listen` folds them."""

    crowded = False

    def __init__(self, first: int = 0) -> None:
        """`first`: the number of the first part."""
        self._numbers = count(first)
        self.told = Told()
        self._open: list[_Open] = []

    def start(
        self,
        kind: PartType,
        iteration: int,
        tool_name: str = "",
        call_id: str = "",
        *,
        agent: str = "",
        parent: int | None = None,
    ) -> OpenPart:
        others = [each for each in self._open if each.part.type != "tool_result"]
        assert not others, "one part is open at a time, but for calls under way"
        number = next(self._numbers)
        what = Part(kind, iteration, "", "ok", tool_name, call_id, None, agent)
        what = structs.replace(what, step=number, parent=parent)
        part = _Open(self, what, number)
        self._open.append(part)
        return part

    def count(self, usage: Usage) -> None:
        self.told.events.append(RoundEnded(usage))

    async def committed(self) -> None:
        """Nothing has to be waited for."""

    @property
    def under_way(self) -> str:
        """The text of the part that is open."""
        return "".join(part.content for part in self._open)

    def finished(self, part: _Open) -> None:
        self._open.remove(part)
        self.told.parts.append(part.part)


class _Open:
    def __init__(self, sink: Sink, part: Part, number: int) -> None:
        self.part = part
        self.number = number
        self._sink = sink

    @property
    def content(self) -> str:
        return self.part.content

    def _set(self, **fields: Any) -> None:
        self.part = structs.replace(self.part, **fields)

    def grow(self, text: str) -> None:
        assert text, "growth has text"
        self._set(content=self.content + text)

    def replace(self, *, kind: PartType | None = None, text: str | None = None) -> None:
        if kind is not None:
            self._set(type=kind)
        if text is not None:
            self._set(content=text)

    def progress(
        self, text: str = "", done: float | None = None, total: float | None = None
    ) -> None:
        """Not kept."""

    def finish(
        self,
        status: PartStatus = "ok",
        tool_input: dict[str, Any] | None = None,
        server_fields: dict[str, Any] | None = None,
    ) -> None:
        self._set(status=status, tool_input=tool_input, server_fields=server_fields)
        self._sink.finished(self)
