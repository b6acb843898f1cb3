"""Runs go on whatever happens to processes, and no process takes too many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from chat import store
from chat.agents.base import AgentEvent, Part, RunEnded
from chat.models import Run
from chat.store import Identity
from chat.store.database import db, urgent
from chat.wire.protocol import Chat, encode
from chat.wire.transcript import fold, view
from chat.work.driver import MAX_TAKEOVERS
from chat.work.scheduler import CLAIMS_AT_ONCE
from tests.rows import GUEST, STRANGER, claimed_run, log_of, queued_run
from tests.work.processes import (
    Agent,
    Use,
    Watcher,
    check_live_is_reload,
    db_until,
    hello,
    process,
    row_of,
    started_times,
    stuck,
)

GONE = 999_999  # a process that there is not

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_process_has_room_for_so_many_runs(
    use: Use, settings: Settings
) -> None:
    settings.MAX_RUNS = 1
    agent = use(stuck)
    async with process() as here:
        sessions = [uuid4() for _ in range(3)]
        watchers = [here.watch(session_id) for session_id in sessions]
        for session_id in sessions:
            await here.ask(session_id)
        await watchers[0].said("Half")
        await here.scheduler.recover()
        assert [w.status(1) for w in watchers] == ["running", "queued", "queued"]
        agent.gate.set()
        for watcher in watchers:
            while watcher.status(1) != "finished":
                await here.scheduler.recover()
                await asyncio.sleep(0)
        assert len(agent.calls) == 3


# ---------------------------------------------------------------- surviving


async def test_a_run_goes_on_elsewhere_from_its_last_finished_step(use: Use) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as there:
        watcher = Watcher()
        async with process() as here:
            here.show(session_id, watcher)
            await here.ask(session_id)
            await watcher.said("Half")
            await there.scheduler.recover()  # the owner is well: nothing to do
            assert (await row_of(session_id)).epoch == 1
            await here.crash()
            there.show(session_id, watcher)  # it comes back, having seen so much
            await there.recover()
            await watcher.said("Half")
            agent.gate.set()
            run = await watcher.ended()
    assert [step.content for step in run.steps.values()] == ["Hm.", "Half and whole"]
    assert (run.epoch, run.reason) == (2, "answered")
    (_, _, nothing), (_, _, done) = agent.calls
    assert (len(nothing), [kept.content for kept in done]) == (0, ["Hm."])
    await check_live_is_reload(session_id, watcher)


async def test_a_run_that_is_handed_over_need_not_be_waited_for(use: Use) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as there:
        watcher = Watcher()
        async with process() as here:
            here.show(session_id, watcher)
            await here.ask(session_id)
            await watcher.said("Half")
            await here.scheduler.close()
            await here.scheduler.hand_over()
        there.show(session_id, watcher)
        agent.gate.set()
        await there.scheduler.recover()
        assert (await watcher.ended()).reason == "answered"
        await check_live_is_reload(session_id, watcher)


async def test_all_that_a_dead_process_drove_goes_on_within_one_look(
    use: Use, settings: Settings
) -> None:
    settings.MAX_RUNS_PER_USER = 100
    use(hello)
    numbers = range(3 * CLAIMS_AT_ONCE - 1)
    lost = [await db(claimed_run, process=GONE) for _ in numbers]
    for _ in lost:
        await db(queued_run, who=STRANGER)
    async with process() as there:
        await there.scheduler.recover()
        assert not await db(store.abandoned, 1)
        assert not await db(store.waiting_sessions, 1, 100)


async def test_no_more_is_taken_over_than_there_is_room_for(
    use: Use, settings: Settings
) -> None:
    settings.MAX_RUNS = CLAIMS_AT_ONCE + 3
    use(stuck)
    for _ in range(CLAIMS_AT_ONCE + 5):
        await db(claimed_run, process=GONE)
    async with process() as there:
        await there.scheduler.recover()
        assert len(await db(store.abandoned, 99)) == 2


async def test_a_run_that_its_own_process_forgot_goes_on_and_is_not_tried_for_ever(
    use: Use, settings: Settings
) -> None:
    """It was claimed and the answer lost, or could not be written."""

    async def mute(
        agent: Agent, _prompt: str, _done: Sequence[Part]
    ) -> AsyncGenerator[AgentEvent]:
        await agent.gate.wait()
        yield RunEnded("answered")

    settings.HEARTBEAT_SECONDS = 0.1
    use(mute)
    async with process() as here:
        process_id = here.scheduler.lease.process_id
        forgotten = await db(claimed_run, process=process_id)
        await here.recover()
        row = await db(Run.objects.get, id=forgotten.run.pk)
        assert (row.epoch, row.takeovers) == (2, 1)


async def test_a_run_that_loses_every_server_ends_failed(use: Use) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.said("Half")
    pk = (await row_of(session_id)).pk
    for takeovers in range(1, MAX_TAKEOVERS + 1):
        async with process() as there:
            await there.recover()
            if takeovers < MAX_TAKEOVERS:
                await db_until(partial(started_times, pk, takeovers + 1))
            else:
                await db_until(lambda: Run.objects.filter(status="finished").exists())
    row = await row_of(session_id)
    assert (row.reason, row.error["retryable"]) == ("failed", True)  # type: ignore[index]  # JSON
    assert len(agent.calls) == MAX_TAKEOVERS
    (shown,) = await db(store.run_views, [row])
    assert encode(shown) == encode(view(fold(1, await db(log_of, pk))))


# ---------------------------------------------------------------- under load


@asynccontextmanager
async def busy_readers() -> AsyncIterator[None]:
    """Every thread that reads for viewers is held up."""
    gate = threading.Event()
    reads = [asyncio.create_task(db(gate.wait, 30)) for _ in range(50)]
    await asyncio.sleep(0)
    try:
        yield
    finally:
        gate.set()
        await asyncio.gather(*reads)


async def test_many_readers_hold_up_neither_stop_nor_recovery(
    use: Use,
) -> None:
    use(stuck)
    session_id = uuid4()
    lost = await db(claimed_run, process=GONE)
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.said("Half")
        async with busy_readers(), asyncio.timeout(10):
            await here.scheduler.recover()
            assert (await urgent(Run.objects.get, id=lost.run.pk)).epoch == 2
            await here.verbs.stop(session_id, GUEST, None, None)
            await here.scheduler.hand_over()


async def test_guests_leave_some_slots_to_those_who_have_signed_in(
    use: Use, settings: Settings
) -> None:
    settings.MAX_RUNS = 4
    use(stuck)
    ada = await db(User.objects.create_user, "ada")
    async with process() as here:
        guests = [uuid4() for _ in range(5)]
        for number, session_id in enumerate(guests):
            who = Identity(None, f"guest-{number}")
            await here.verbs.ask(session_id, who, Chat("Hi"))
        hers = uuid4()
        watcher = here.watch(hers)
        await here.verbs.ask(hers, Identity(ada.pk, ""), Chat("Hi"))
        await watcher.said("Half")
        await here.scheduler.recover()
        assert here.scheduler.driven == 4
        waiting = await db(store.waiting_sessions, 8, 8)
        assert waiting == guests[3:]
