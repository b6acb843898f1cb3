"""Between an agent's events and a sink's calls, both ways.

`stream_of` makes the public stream of events out of an agent that speaks by calls;
`play_into` plays anybody's stream of events into a sink.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from itertools import count
from typing import Any, Final, TypeAlias, assert_never

from chat.agents.base import (
    AgentEvent,
    Exchange,
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
    RunSink,
    SinkAgent,
    Usage,
)

PartEvent: TypeAlias = (
    PartStarted | PartGrew | PartReplaced | PartProgressed | PartFinished
)

MAX_EVENTS: Final = 2000  # that the consumer may be behind; then the model waits


async def play_into(sink: RunSink, events: AsyncGenerator[AgentEvent]) -> RunEnded:
    """Have the sink take what an agent yields; return the end.

    Raises RuntimeError where the agent stops without `RunEnded`.
    """
    player = EventPlayer(sink)
    async for event in events:
        if isinstance(event, RunEnded):
            return event
        player.play(event)
        is_result = isinstance(event, PartStarted) and event.type == "tool_result"
        if is_result or sink.crowded:
            await sink.committed()
    raise RuntimeError("the agent stopped without RunEnded")


class EventPlayer:
    """Plays events into a sink, one by one."""

    def __init__(self, sink: RunSink) -> None:
        self._sink = sink
        self._parts: dict[int, OpenPart] = {}
        self._numbers: dict[int, int] = {}  # the sink's, of parts

    def play(self, event: PartEvent | RoundEnded) -> None:
        """Tell the sink. Raises what that does; KeyError for a part not open."""
        match event:
            case PartGrew():
                self._parts[event.part].grow(event.text)
            case PartStarted():
                self._parts[event.part] = self._sink.start(
                    event.type,
                    event.iteration,
                    event.tool_name,
                    event.call_id,
                    agent=event.agent,
                    parent=self._parent(event),
                )
                self._numbers[event.part] = self._parts[event.part].number
            case PartReplaced():
                self._parts[event.part].replace(kind=event.type, text=event.text)
            case PartProgressed():
                part = self._parts[event.part]
                part.progress(event.text, event.done, event.total)
            case PartFinished():
                part = self._parts.pop(event.part)
                part.finish(event.status, event.tool_input, event.server_fields)
            case RoundEnded():
                self._sink.count(event.usage)
            case _:
                assert_never(event)

    def _parent(self, event: PartStarted) -> int | None:
        return None if event.parent is None else self._numbers[event.parent]


async def stream_of(
    run: Callable[[RunSink], Awaitable[RunEnded]],
) -> AsyncGenerator[AgentEvent]:
    """Yield as events what `run` tells the sink it is given; closing cancels it."""
    sink = _EventSink()

    async def tell() -> None:
        try:
            sink.put(await run(sink))
        finally:
            sink.close()

    telling = asyncio.create_task(tell())
    try:
        while (event := await sink.next()) is not None:
            yield event
        await telling
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


class Streamed:
    """Gives an agent that speaks by calls its public stream."""

    def run_with_reasoning_stream(
        self: SinkAgent,
        prompt: str,
        history: Sequence[Exchange],
        max_iterations: int = 20,
        *,
        done: Sequence[Part] = (),
        thinking: bool = True,
    ) -> AsyncGenerator[AgentEvent]:
        """Yield what the agent does about the prompt; see `BaseAgent`."""

        def run(sink: RunSink) -> Coroutine[Any, Any, RunEnded]:
            return self.run_into(
                sink, prompt, history, max_iterations, done=done, thinking=thinking
            )

        return stream_of(run)


class _Barrier:
    """A place in the queue: whoever waits for it goes on when all before is taken."""

    def __init__(self) -> None:
        self.passed = asyncio.Event()


class _EventSink:
    """Makes events of a run's calls, and keeps them until they are asked for."""

    def __init__(self) -> None:
        self._queue: deque[AgentEvent | _Barrier] = deque()
        self._numbers = count()
        self._something = asyncio.Event()
        self._closed = False

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
        part = _EventPart(next(self._numbers), self)
        started = PartStarted(
            part.number, kind, iteration, tool_name, call_id, agent, parent
        )
        self.put(started)
        return part

    def count(self, usage: Usage) -> None:
        self.put(RoundEnded(usage))

    @property
    def crowded(self) -> bool:
        return len(self._queue) > MAX_EVENTS

    async def committed(self) -> None:
        barrier = _Barrier()
        self.put(barrier)
        await barrier.passed.wait()

    def put(self, event: AgentEvent | _Barrier) -> None:
        self._queue.append(event)
        self._something.set()

    def close(self) -> None:
        """Nothing more will be put."""
        self._closed = True
        self._something.set()

    async def next(self) -> AgentEvent | None:
        """The next event; None after the last."""
        while True:
            while self._queue:
                event = self._queue.popleft()
                if not isinstance(event, _Barrier):
                    return event
                event.passed.set()
            if self._closed:
                return None
            self._something.clear()
            await self._something.wait()


class _EventPart:
    """An open part that makes events."""

    def __init__(self, number: int, sink: _EventSink) -> None:
        self.number = number
        self._sink = sink
        self._chunks: list[str] = []

    @property
    def content(self) -> str:
        return "".join(self._chunks)

    def grow(self, text: str) -> None:
        self._chunks.append(text)
        self._sink.put(PartGrew(self.number, text))

    def replace(self, *, kind: PartType | None = None, text: str | None = None) -> None:
        if text is not None:
            self._chunks = [text]
        self._sink.put(PartReplaced(self.number, kind, text))

    def progress(
        self, text: str = "", done: float | None = None, total: float | None = None
    ) -> None:
        self._sink.put(PartProgressed(self.number, text, done, total))

    def finish(
        self,
        status: PartStatus = "ok",
        tool_input: dict[str, Any] | None = None,
        server_fields: dict[str, Any] | None = None,
    ) -> None:
        self._sink.put(PartFinished(self.number, status, tool_input, server_fields))
