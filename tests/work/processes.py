"""A process of the site that drives runs in a test, and who watches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from chat import store
from chat.agents.base import (
    AgentEvent,
    Exchange,
    Part,
    PartFinished,
    PartGrew,
    PartStarted,
    RunEnded,
)
from chat.live.feeds import Feeds
from chat.live.hub import Hub
from chat.log.journal import Journal
from chat.models import Event as EventRow, Run
from chat.store import processes
from chat.store.database import db
from chat.wire.protocol import Chat, Frame, encode
from chat.wire.transcript import RunState, apply, fold, view
from chat.work.scheduler import Scheduler
from chat.work.verbs import Verbs
from tests.rows import GUEST, log_of

Play = Callable[["Agent", str, Sequence[Part]], AsyncGenerator[AgentEvent]]


class Agent:
    """Plays a function, and remembers what it was asked."""

    name = "researcher"
    description = ""

    def __init__(self, play: Play, *, repeatable: bool = True) -> None:
        self._play = play
        self._repeatable = repeatable
        self.calls: list[tuple[str, Sequence[Exchange], Sequence[Part]]] = []
        self.closed = 0
        self.gate = asyncio.Event()

    def is_repeatable(self, tool_name: str) -> bool:
        assert tool_name
        return self._repeatable

    async def run_with_reasoning_stream(
        self,
        prompt: str,
        history: Sequence[Exchange],
        max_iterations: int = 20,
        *,
        done: Sequence[Part] = (),
    ) -> AsyncGenerator[AgentEvent]:
        assert max_iterations
        self.calls.append((prompt, history, done))
        try:
            async for event in self._play(self, prompt, done):
                yield event
        finally:
            self.closed += 1


class Watcher:
    """Folds what the hub delivers; whatever it shows must be in order and whole.

    Runs may be claimed before their asking is published: what comes too early waits.
    """

    def __init__(self) -> None:
        self.runs: dict[int, RunState] = {}
        self.announced: list[Mapping[str, Any]] = []
        self._early: dict[tuple[int, int], Frame] = {}
        self._changed = asyncio.Event()

    def deliver(self, frame: Frame) -> None:
        run = self.runs.setdefault(frame.run, RunState(frame.run))
        assert frame.first > run.seq, "told twice"
        self._early[frame.run, frame.first] = frame
        while fitting := self._early.pop((frame.run, run.seq + 1), None):
            for event in fitting.events():
                assert apply(run, event)
        self._changed.set()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def ended(self, number: int = 1) -> RunState:
        """The run, when it has ended."""
        await self.until(lambda: self.status(number) == "finished")
        return self.runs[number]

    async def said(self, text: str, number: int = 1) -> None:
        """Return when the run shows this text somewhere."""
        await self.until(lambda: text in self.texts(number))

    def status(self, number: int) -> str:
        return self.runs[number].status if number in self.runs else "unknown"

    def texts(self, number: int = 1) -> list[str]:
        run = self.runs.get(number)
        return [step.content for step in run.steps.values()] if run else []


class WatchedFeeds(Feeds):
    """Hands each frame to watchers as it is published, instead of to sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.watchers: dict[UUID, list[Watcher]] = {}

    def deliver(self, session_id: UUID, frame: Frame) -> None:
        for watcher in self.watchers.get(session_id, ()):
            watcher.deliver(frame)

    def announce(self, session_id: UUID, changes: Mapping[str, Any]) -> None:
        for watcher in self.watchers.get(session_id, ()):
            watcher.announced.append(changes)


class Process:
    """What one process of the site drives runs with."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.feeds = WatchedFeeds()
        self.hub = Hub(
            self.feeds,
            self._look_at,
            self._changed.set,
            self._on_call,
            self._on_started,
            self._changed.set,
        )
        self.journal = Journal(self.hub.publish)
        self.scheduler = Scheduler(self.hub, self.journal, self._changed.set)
        self.verbs = Verbs(self.hub, self.feeds, self.scheduler)
        self._gone = False

    def _on_call(self, session_id: UUID) -> None:
        self.scheduler.on_called(session_id)

    def _on_started(self, session_id: UUID) -> None:
        self.scheduler.on_started(session_id)

    def _look_at(self, run_ids: list[int]) -> None:
        self.scheduler.look_at(run_ids)

    async def begun(self) -> None:
        """Return when it has a lease, and may drive runs."""
        async with asyncio.timeout(20):
            while self.scheduler.lease.process_id is None:
                await self._changed.wait()

    async def recover(self) -> None:
        """Take over what dead processes left, as soon as they have been found dead."""
        async with asyncio.timeout(20):
            while not await db(processes.abandoned, 1):
                await self._heard()
        await self.scheduler.recover()

    async def _heard(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def watch(self, session_id: UUID) -> Watcher:
        watcher = Watcher()
        self.show(session_id, watcher)
        return watcher

    def show(self, session_id: UUID, watcher: Watcher) -> None:
        """Have the watcher told of what is published here from now on."""
        self.feeds.watchers.setdefault(session_id, []).append(watcher)

    async def ask(self, session_id: UUID, prompt: str = "Hi", **more: Any) -> int:
        chat = Chat(prompt, **more)
        return (await self.verbs.ask(session_id, GUEST, chat)).number

    async def crash(self) -> None:
        """Be gone, without a word to anybody."""
        if not self._gone:
            self._gone = True
            await self.scheduler.close()
            await self.journal.flush()
            await self.journal.close()
            await self.scheduler.lease.stop()
            await self.hub.close()


Use = Callable[..., Agent]


@asynccontextmanager
async def process() -> AsyncIterator[Process]:
    running = Process()
    try:
        await running.begun()
        yield running
    finally:
        await running.crash()


async def part(number: int, type_: Any, text: str) -> AsyncGenerator[AgentEvent]:
    """One whole part."""
    yield PartStarted(number, type_, 1)
    yield PartGrew(number, text)
    yield PartFinished(number)


async def hello(
    _agent: Agent, prompt: str, done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    async for event in part(0, "thought", f"You said {prompt}."):
        yield event
    async for event in part(1, "final_answer", f"Hello after {len(done)}."):
        yield event
    yield RunEnded("answered")


async def stuck(
    agent: Agent, _prompt: str, done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    """Thinks, begins to answer, and waits until the gate opens."""
    if not done:
        async for event in part(0, "thought", "Hm."):
            yield event
    number = 0 if done else 1
    yield PartStarted(number, "final_answer", 1)
    yield PartGrew(number, "Half")
    await agent.gate.wait()
    yield PartGrew(number, " and whole")
    yield PartFinished(number)
    yield RunEnded("answered")


async def row_of(session_id: UUID, number: int = 1) -> Run:
    return await db(Run.objects.get, session_id=session_id, number=number)


async def check_live_is_reload(session_id: UUID, watcher: Watcher) -> None:
    """What was shown is what the log and the rows hold, byte for byte."""
    runs, _ = await db(store.latest_runs, session_id, 50)
    for shown in runs:
        row = await row_of(session_id, shown.run)
        log = await db(log_of, row.pk)
        assert encode(shown) == encode(view(fold(shown.run, log)))
        assert encode(shown) == encode(view(watcher.runs[shown.run]))


async def agent_closed(agent: Agent, times: int) -> None:
    await db_until(lambda: agent.closed >= times)


def started_times(run_id: int, times: int) -> bool:
    """Whether so many processes have begun to write the answer."""
    deltas = EventRow.objects.filter(run_id=run_id, payload__contains='"text":"Half"')
    return deltas.count() >= times


async def db_until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await db(holds):
            pass
