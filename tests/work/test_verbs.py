"""The verbs: who asks is answered, once, in order; what is stopped stays stopped."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from pytest_django import Settings

from chat.models import Run
from chat.store import NotYoursError
from chat.store.database import db
from chat.wire.protocol import Chat, Frame, ProtocolError
from chat.wire.transcript import fold
from tests.rows import GUEST, STRANGER, log_of
from tests.work.processes import (
    Use,
    Watcher,
    agent_closed,
    check_live_is_reload,
    hello,
    process,
    row_of,
    stuck,
)

pytestmark = pytest.mark.django_db(transaction=True)


# ---------------------------------------------------------------- asking


async def test_a_message_is_answered(use: Use) -> None:
    agent = use(hello)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        assert await here.ask(session_id, "Good day", client_id="id-1") == 1
        run = await watcher.ended()
        assert run.reason == "answered"
        assert watcher.texts() == ["You said Good day.", "Hello after 0."]
        assert watcher.announced == [{"title": "Good day"}]
        # Again, since the answer was not heard: nothing new.
        assert await here.ask(session_id, "Good day", client_id="id-1") == 1
        await check_live_is_reload(session_id, watcher)
    assert agent.calls == [("Good day", [], [])]


async def test_messages_are_answered_one_after_another(use: Use) -> None:
    agent = use(hello)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        for number in (1, 2, 3):
            assert await here.ask(session_id, f"{number}") == number
        for number in (1, 2, 3):
            await watcher.ended(number)
        await check_live_is_reload(session_id, watcher)
    assert [prompt for prompt, _, _ in agent.calls] == ["1", "2", "3"]
    earlier = [[exchange.prompt for exchange in past] for _, past, _ in agent.calls]
    assert earlier == [[], ["1"], ["1", "2"]]


async def test_what_was_asked_by_a_socket_that_went_is_answered(use: Use) -> None:
    use(hello)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        asking = asyncio.create_task(here.ask(session_id))
        await asyncio.sleep(0)  # it is on its way to the database
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await watcher.ended()).reason == "answered"


async def test_the_question_is_told_before_its_beginning(use: Use) -> None:
    use(hello)
    session_id = uuid4()
    told: list[int] = []

    class Ordered(Watcher):
        def deliver(self, frame: Frame) -> None:
            told.append(frame.first)
            super().deliver(frame)

    async with process() as here:
        watcher = Ordered()
        here.show(session_id, watcher)
        await here.ask(session_id)
        await watcher.ended()
    assert told[:2] == [1, 2]


async def test_an_unknown_agent_is_refused(use: Use) -> None:
    use(hello)
    async with process() as here:
        for name in ("nobody", ""):
            with pytest.raises(ProtocolError) as caught:
                await here.ask(uuid4(), agent_name=name)
            assert caught.value.data.code == "unknown_agent"
    assert not await db(Run.objects.exists)


async def test_nobody_acts_in_somebody_elses_session(use: Use) -> None:
    use(stuck)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.said("Half")
        with pytest.raises(NotYoursError):
            await here.verbs.ask(session_id, STRANGER, Chat("Hi"))
        with pytest.raises(NotYoursError):
            await here.verbs.retry(session_id, STRANGER, 1)
        with pytest.raises(NotYoursError):
            await here.verbs.stop(session_id, STRANGER, None, None)
        assert watcher.status(1) == "running"


# ---------------------------------------------------------------- stopping


async def test_stopping_ends_the_agent_and_keeps_the_text(use: Use) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.said("Half")
        await here.ask(session_id, "next")
        await here.verbs.stop(session_id, GUEST, None, None)
        run = await watcher.ended()
        assert run.reason == "stopped"
        assert watcher.texts() == ["Hm.", "Half"]
        await watcher.said("Half", 2)  # whose turn has come
        assert agent.closed == 1
        agent.gate.set()
        await watcher.ended(2)
        assert watcher.texts() == ["Hm.", "Half"]
        await check_live_is_reload(session_id, watcher)


async def test_a_stop_on_another_process_takes_the_run_from_its_owner(
    use: Use, settings: Settings
) -> None:
    settings.HEARTBEAT_SECONDS = 0.1
    agent = use(stuck)
    session_id = uuid4()
    async with process() as owner, process() as other:
        watcher = owner.watch(session_id)
        await owner.ask(session_id)
        await watcher.said("Half")
        await other.verbs.stop(session_id, GUEST, 1, None)
        await agent_closed(agent, 1)  # the nudge was lost: the heartbeat finds out
        agent.gate.set()
        events = await db(log_of, (await row_of(session_id)).pk)
        assert fold(1, events).reason == "stopped"


async def test_a_waiting_run_can_be_withdrawn(use: Use) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        for _ in range(3):
            await here.ask(session_id)
        await here.verbs.stop(session_id, GUEST, 2, None)
        agent.gate.set()
        for number in (1, 2, 3):
            await watcher.ended(number)
        reasons = [watcher.runs[number].reason for number in (1, 2, 3)]
        assert reasons == ["answered", "withdrawn", "answered"]
        await check_live_is_reload(session_id, watcher)
    assert len(agent.calls) == 2


# ---------------------------------------------------------------- again, and on


async def test_continuing_a_stopped_run_hands_on_what_is_done(use: Use) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.said("Half")
        await here.verbs.stop(session_id, GUEST, None, None)
        agent.gate.set()
        await here.verbs.retry(session_id, GUEST, 1)
        await watcher.ended(2)
        assert watcher.texts(2) == ["Half and whole"]
        await here.ask(session_id, "And now?")
        await watcher.ended(3)
        await check_live_is_reload(session_id, watcher)
    _, (_, history, done), (_, later, _) = agent.calls
    assert (history, [kept.content for kept in done]) == ([], ["Hm.", "Half"])
    assert [kept.status for kept in done] == ["ok", "stopped"]
    # Later runs remember both halves, once.
    (exchange,) = later
    assert [kept.content for kept in exchange.parts] == [
        "Hm.",
        "Half",
        "Half and whole",
    ]


async def test_running_an_answered_run_again_starts_from_nothing(use: Use) -> None:
    agent = use(hello)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id, "one")
        await here.ask(session_id, "two")
        await watcher.ended(2)
        await here.verbs.retry(session_id, GUEST, 1)
        await watcher.ended(3)
        await check_live_is_reload(session_id, watcher)
    prompt, history, done = agent.calls[-1]
    assert (prompt, list(done)) == ("one", [])
    assert [exchange.prompt for exchange in history] == ["two"]
