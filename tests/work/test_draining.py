"""A process that is told to end finishes what it writes, and hands on the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from uuid import UUID, uuid4

import pytest
from pytest_django import Settings

from chat.agents.base import (
    AgentEvent,
    Part,
    PartFinished,
    PartGrew,
    PartStarted,
    RunEnded,
)
from chat.models import Run
from chat.store.database import db
from chat.wire.protocol import Event, RunReleased, StepFinished
from tests.rows import log_of
from tests.work.processes import (
    Agent,
    Use,
    Watcher,
    check_live_is_reload,
    db_until,
    part,
    process,
    row_of,
    stuck,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def two_rounds(
    agent: Agent, _prompt: str, done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    """Thinks until the gate opens, calls a tool, and answers."""
    number = 0
    if not done:
        yield PartStarted(0, "thought", 1)
        yield PartGrew(0, "Hm.")
        await agent.gate.wait()
        yield PartFinished(0)
        yield PartStarted(1, "tool_use", 1, "clock", "c1")
        yield PartGrew(1, "{}")
        yield PartFinished(1, "ok", {})
        number = 2
    if not any(kept.type == "tool_result" for kept in done):
        yield PartStarted(number, "tool_result", 1, "clock", "c1")
        yield PartGrew(number, "Noon.")
        yield PartFinished(number)
        number += 1
    async for event in part(number, "final_answer", "It is noon."):
        yield event
    yield RunEnded("answered")


async def waiting(
    agent: Agent, _prompt: str, _done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    """Says nothing until the gate opens."""
    await agent.gate.wait()
    async for event in part(0, "final_answer", "At last."):
        yield event
    yield RunEnded("answered")


async def events_of(session_id: UUID) -> list[Event]:
    return await db(log_of, (await row_of(session_id)).pk)


async def test_a_run_is_handed_over_before_its_next_round_and_no_step_discarded(
    use: Use,
) -> None:
    agent = use(two_rounds)
    session_id = uuid4()
    async with process() as there:
        watcher = Watcher()
        async with process() as here:
            here.show(session_id, watcher)
            await here.ask(session_id)
            await watcher.said("Hm.")
            draining = asyncio.create_task(here.scheduler.drain())
            await asyncio.sleep(0)
            assert not draining.done()
            agent.gate.set()
            await draining
        log = await events_of(session_id)
        assert type(log[-1]) is RunReleased
        there.show(session_id, watcher)
        await there.recover()
        assert (await watcher.ended()).reason == "answered"
    assert watcher.texts() == ["Hm.", "{}", "Noon.", "It is noon."]
    finished = [e for e in await events_of(session_id) if type(e) is StepFinished]
    assert [event.status for event in finished] == ["ok"] * 4
    row = await row_of(session_id)
    assert (row.epoch, row.takeovers) == (2, 0)
    *_, (_, _, done) = agent.calls
    assert [kept.type for kept in done] == ["thought", "tool_use"]
    await check_live_is_reload(session_id, watcher)


async def test_a_run_that_has_nothing_open_is_handed_over_at_once(use: Use) -> None:
    agent = use(waiting)
    session_id = uuid4()
    async with process() as there:
        async with process() as here, asyncio.timeout(10):
            await here.ask(session_id)
            await here.scheduler.drain()
        assert agent.closed == len(agent.calls)
        assert (await row_of(session_id)).process is None
        agent.gate.set()
        await there.recover()
        await db_until(lambda: Run.objects.filter(status="finished").exists())
    row = await row_of(session_id)
    assert (row.reason, row.epoch, row.takeovers) == ("answered", 2, 0)


async def test_an_answer_that_is_being_written_is_finished_by_who_began_it(
    use: Use,
) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.said("Half")
        draining = asyncio.create_task(here.scheduler.drain())
        await asyncio.sleep(0)
        agent.gate.set()
        run = await watcher.ended()
        await draining
    assert (run.reason, run.epoch) == ("answered", 1)


async def test_what_was_claimed_at_the_last_moment_is_handed_over_too(
    use: Use,
) -> None:
    use(waiting)
    async with process() as here, asyncio.timeout(10):
        asking = asyncio.create_task(here.ask(uuid4()))
        await asyncio.sleep(0)
        await here.scheduler.drain()
        await asking
        await here.scheduler.drain()
        running = Run.objects.filter(status="running")
        assert await db(running.exclude(process=None).count) == 0


async def test_an_answer_cannot_grow_for_ever_from_process_to_process(
    use: Use, settings: Settings
) -> None:
    settings.MAX_ANSWER_BYTES = 30

    async def growing(
        agent: Agent, _prompt: str, done: Sequence[Part]
    ) -> AsyncGenerator[AgentEvent]:
        async for event in part(0, "thought", "x" * 20):
            yield event
        yield PartStarted(1, "final_answer", 2 + len(done))
        if not done:
            await agent.gate.wait()
        yield PartGrew(1, "x" * 20)
        await agent.gate.wait()

    use(growing)
    session_id = uuid4()
    async with process() as there:
        watcher = Watcher()
        async with process() as here:
            here.show(session_id, watcher)
            await here.ask(session_id)
            await watcher.until(lambda: len(watcher.texts()) == 2)
            await here.crash()
        there.show(session_id, watcher)
        await there.recover()
        run = await watcher.ended()
    assert run.reason == "failed"
    assert sum(len(text) for text in watcher.texts()[:-1]) <= 30
