"""The verbs: runs go on whatever happens around them, and end exactly once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from pytest_django import Settings

from chat import store
from chat.agents import registry
from chat.agents.base import (
    AgentError,
    AgentEvent,
    Exchange,
    Part,
    PartFinished,
    PartGrew,
    PartStarted,
    RoundEnded,
    RunEnded,
    Usage,
)
from chat.agents.registry import AgentInfo
from chat.live.hub import Hub
from chat.log import journal
from chat.log.batches import Batch
from chat.log.journal import Journal
from chat.models import Event as EventRow, Run
from chat.store import NotYoursError
from chat.store.database import db, urgent
from chat.wire.protocol import Chat, Frame, ProtocolError, encode
from chat.wire.transcript import RunState, apply, fold, view
from chat.work.driver import MAX_TAKEOVERS
from chat.work.scheduler import CLAIMS_AT_ONCE, Scheduler
from chat.work.verbs import Verbs
from tests.rows import GUEST, STRANGER, claimed_run, log_of, queued_run, silence

pytestmark = pytest.mark.django_db(transaction=True)

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
        self.announced: list[str] = []
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

    def announce(self, text: str) -> None:
        self.announced.append(text)

    def check(self, run: int, last_seq: int) -> None:
        raise AssertionError((run, last_seq))

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


class Process:
    """What one process of the site drives runs with."""

    def __init__(self) -> None:
        self.hub = Hub(self._give_up, lambda: None)
        self.journal = Journal(self.hub.publish)
        self.scheduler = Scheduler(self.hub, self.journal)
        self.verbs = Verbs(self.hub, self.scheduler)
        self._gone = False

    def _give_up(self, run_ids: list[int]) -> None:
        self.scheduler.give_up(run_ids)

    def watch(self, session_id: UUID) -> Watcher:
        watcher = Watcher()
        self.hub.join(session_id, watcher)
        return watcher

    async def ask(self, session_id: UUID, prompt: str = "Hi", **more: Any) -> int:
        chat = Chat(prompt, **more)
        return (await self.verbs.ask(session_id, GUEST, chat)).number

    async def crash(self) -> None:
        """Be gone, without a word to anybody."""
        if not self._gone:
            self._gone = True
            await self.scheduler.close()
            await self.journal.close()
            await self.hub.close()


@asynccontextmanager
async def process() -> AsyncIterator[Process]:
    running = Process()
    try:
        yield running
    finally:
        await running.crash()


Use = Callable[..., Agent]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """`use(play)`: the agent that answers in this test."""

    def use_agent(play: Play, *, repeatable: bool = True) -> Agent:
        agent = Agent(play, repeatable=repeatable)
        monkeypatch.setattr(registry, "create", {agent.name: agent}.__getitem__)
        names = [AgentInfo(agent.name, "")]
        monkeypatch.setattr(registry, "describe", lambda: names)
        return agent

    return use_agent


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
        assert '"title":"Good day"' in watcher.announced[0]
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


# ---------------------------------------------------------------- failing


async def failing(
    _agent: Agent, _prompt: str, _done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    yield PartStarted(0, "final_answer", 1)
    yield PartGrew(0, "Hel")
    raise ZeroDivisionError("/secret/path")


async def refusing(
    _agent: Agent, _prompt: str, _done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    yield PartStarted(0, "thought", 1)
    raise AgentError("model_unavailable", "No model.", retryable=True)


async def silent(
    _agent: Agent, _prompt: str, _done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    yield PartStarted(0, "thought", 1)


async def confused(
    _agent: Agent, _prompt: str, _done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    yield PartGrew(7, "a part that never started")


@pytest.mark.parametrize(
    ("play", "code", "shown"),
    [
        (failing, "internal", "Hel"),
        (refusing, "model_unavailable", ""),
        (silent, "internal", ""),
        (confused, "internal", None),
    ],
)
async def test_an_agent_that_fails_ends_its_run_with_an_error(
    use: Use, play: Play, code: str, shown: str | None
) -> None:
    agent = use(play)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        run = await watcher.ended()
        await here.ask(session_id)
        await watcher.ended(2)  # the process is none the worse
        await check_live_is_reload(session_id, watcher)
    assert run.reason == "failed"
    assert (await row_of(session_id)).error["code"] == code  # type: ignore[index]  # JSON
    steps = list(run.steps.values())
    assert [step.status for step in steps] == ["error"] * len(steps)
    assert steps[-1].type == "error"
    assert "secret" not in steps[-1].content
    assert [step.content for step in steps[:-1]] == ([] if shown is None else [shown])
    assert agent.closed == 2


async def test_what_an_agent_says_after_its_end_is_not_heard(use: Use) -> None:
    async def chatty(
        agent: Agent, prompt: str, done: Sequence[Part]
    ) -> AsyncGenerator[AgentEvent]:
        async for event in hello(agent, prompt, done):
            yield event
        yield PartStarted(2, "final_answer", 1)

    use(chatty)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.ended()
        await here.ask(session_id)
        await watcher.ended(2)
        await check_live_is_reload(session_id, watcher)
        assert len(watcher.texts()) == 2


async def test_an_agent_that_is_gone_fails_its_run(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(hello)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        monkeypatch.setattr(registry, "create", {}.__getitem__)
        await here.ask(session_id)
        await watcher.ended()
    row = await row_of(session_id)
    assert row.error["code"] == "unknown_agent"  # type: ignore[index]  # JSON


async def talkative(
    _agent: Agent, _prompt: str, _done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    for number in range(100_000):
        async for event in part(number, "thought", "x" * 100):
            yield event
        await asyncio.sleep(0)


@pytest.mark.parametrize("bound", ["MAX_ANSWER_BYTES", "MAX_EVENTS_PER_RUN"])
async def test_an_endless_answer_is_ended(
    use: Use, settings: Settings, bound: str
) -> None:
    setattr(settings, bound, 1000)
    agent = use(talkative)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        run = await watcher.ended()
        await check_live_is_reload(session_id, watcher)
    assert run.reason == "failed"
    assert agent.closed == 1
    assert watcher.texts()[-1].startswith("The answer" if "BYTES" in bound else "This")


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
    use: Use,
) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as owner, process() as other:
        watcher = owner.watch(session_id)
        await owner.ask(session_id)
        await watcher.said("Half")
        await other.verbs.stop(session_id, GUEST, 1, None)
        await owner.scheduler.renew()  # the nudge was lost: the heartbeat finds out
        await agent_closed(agent, 1)
        agent.gate.set()
        events = await db(log_of, (await row_of(session_id)).pk)
        assert fold(1, events).reason == "stopped"


async def agent_closed(agent: Agent, times: int) -> None:
    await db_until(lambda: agent.closed >= times)


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


# ---------------------------------------------------------------- surviving


async def test_a_run_goes_on_elsewhere_from_its_last_finished_step(use: Use) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as there:
        watcher = Watcher()
        async with process() as here:
            here.hub.join(session_id, watcher)
            await here.ask(session_id)
            await watcher.said("Half")
            row = await row_of(session_id)
            await there.scheduler.recover()  # the owner is well: nothing to do
            assert (await row_of(session_id)).epoch == 1
            await here.crash()
            await db(silence, row.pk, 11)
            there.hub.join(session_id, watcher)  # it comes back, having seen so much
            await there.scheduler.recover()
            await watcher.said("Half")
            agent.gate.set()
            run = await watcher.ended()
    assert [step.content for step in run.steps.values()] == ["Hm.", "Half and whole"]
    assert (run.epoch, run.reason) == (2, "answered")
    (_, _, nothing), (_, _, done) = agent.calls
    assert (len(nothing), [kept.content for kept in done]) == (0, ["Hm."])
    await check_live_is_reload(session_id, watcher)


async def costly(
    agent: Agent, _prompt: str, done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    """Two rounds that cost something; the first time it waits in the second."""
    if not done:
        async for event in part(0, "thought", "Hm."):
            yield event
        yield RoundEnded(Usage(10, 1))
        yield PartStarted(1, "final_answer", 2)
        await asyncio.Event().wait()
    agent.gate.set()
    async for event in part(0, "final_answer", "So."):
        yield event
    yield RunEnded("answered", Usage(20, 2))


async def test_a_run_that_was_taken_over_tells_what_it_took_as_a_whole(
    use: Use,
) -> None:
    use(costly)
    session_id = uuid4()
    async with process() as there:
        async with process() as here:
            watcher = here.watch(session_id)
            await here.ask(session_id)
            await watcher.until(lambda: len(watcher.texts()) == 2)
            row = await row_of(session_id)
        assert row.started_at is not None
        await db(silence, row.pk, 11)
        began = row.started_at - timedelta(seconds=60)
        await db(Run.objects.filter(id=row.pk).update, started_at=began)
        await there.scheduler.recover()
        await db_until(lambda: Run.objects.filter(status="finished").exists())
    row = await row_of(session_id)
    assert (row.input_tokens, row.output_tokens) == (30, 3)
    assert row.duration_ms is not None
    assert row.duration_ms > 60_000


async def test_a_run_that_is_handed_over_need_not_be_waited_for(use: Use) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as there:
        watcher = Watcher()
        async with process() as here:
            here.hub.join(session_id, watcher)
            await here.ask(session_id)
            await watcher.said("Half")
            await here.scheduler.close()
            await here.scheduler.hand_over()
        there.hub.join(session_id, watcher)
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
    lost = [await db(claimed_run, process="gone") for _ in numbers]
    for claimed in lost:
        await db(silence, claimed.run.pk, 11)
        await db(queued_run, who=STRANGER)
    async with process() as there:
        await there.scheduler.recover()
        assert not await db(store.abandoned, timedelta(seconds=10), 1, [])
        assert not await db(store.waiting_sessions, 1, 100)


async def test_no_more_is_taken_over_than_there_is_room_for(
    use: Use, settings: Settings
) -> None:
    settings.MAX_RUNS = CLAIMS_AT_ONCE + 3
    use(stuck)
    for _ in range(CLAIMS_AT_ONCE + 5):
        claimed = await db(claimed_run, process="gone")
        await db(silence, claimed.run.pk, 11)
    async with process() as there:
        await there.scheduler.recover()
        assert len(await db(store.abandoned, timedelta(seconds=10), 99, [])) == 2


async def test_what_this_process_drives_does_not_hide_what_others_left(
    use: Use,
) -> None:
    use(stuck)
    async with process() as there:
        sessions = [uuid4() for _ in range(CLAIMS_AT_ONCE)]
        for session_id in sessions:  # driven here, though nothing was heard for long
            watcher = there.watch(session_id)
            await there.ask(session_id)
            await watcher.said("Half")
            await db(silence, (await row_of(session_id)).pk, 20)
        left = await db(claimed_run, process="gone")
        await db(silence, left.run.pk, 11)
        await there.scheduler.recover()
        assert (await db(Run.objects.get, id=left.run.pk)).epoch == 2


async def calling(
    agent: Agent, _prompt: str, done: Sequence[Part]
) -> AsyncGenerator[AgentEvent]:
    """Calls a tool, which hangs the first time."""
    if not done:
        yield PartStarted(0, "tool_use", 1, "transfer", "c1")
        yield PartGrew(0, "{}")
        yield PartFinished(0, "ok", {})
    number = 0 if done else 1
    if not any(kept.type == "tool_result" for kept in done):
        yield PartStarted(number, "tool_result", 1, "transfer", "c1")
        agent.gate.set()
        if len(agent.calls) == 1:
            await asyncio.Event().wait()
        yield PartGrew(number, "done")
        yield PartFinished(number)
        number += 1
    async for event in part(number, "final_answer", "Transferred."):
        yield event
    yield RunEnded("answered")


@pytest.mark.parametrize("repeatable", [True, False])
async def test_a_lost_call_is_made_again_only_if_that_does_no_harm(
    use: Use, *, repeatable: bool
) -> None:
    agent = use(calling, repeatable=repeatable)
    session_id = uuid4()
    async with process() as there:
        watcher = Watcher()
        async with process() as here:
            here.hub.join(session_id, watcher)
            await here.ask(session_id)
            await agent.gate.wait()
            # The call was committed before it was made.
            row = await row_of(session_id)
            log = await db(log_of, row.pk)
            assert [s.type for s in fold(1, log).open_steps()] == ["tool_result"]
            await here.crash()
        await db(silence, row.pk, 11)
        there.hub.join(session_id, watcher)
        await there.scheduler.recover()
        run = await watcher.ended()
        await check_live_is_reload(session_id, watcher)
        assert run.reason == ("answered" if repeatable else "server_lost")
        assert len(agent.calls) == (2 if repeatable else 1)
        if repeatable:
            return
        assert run.error is not None
        await there.verbs.retry(session_id, GUEST, 1)  # Continue
        again = await watcher.ended(2)
        assert again.reason == "answered"
        *_, (_, history, done) = agent.calls
        assert history == []
        # The agent learns that the call may have been made, and does not repeat it.
        assert [(kept.type, kept.status) for kept in done] == [
            ("tool_use", "ok"),
            ("tool_result", "error"),
        ]


async def test_a_run_that_loses_every_server_ends_failed(use: Use) -> None:
    agent = use(stuck)
    session_id = uuid4()
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.said("Half")
    pk = (await row_of(session_id)).pk
    for takeovers in range(1, MAX_TAKEOVERS + 1):
        await db(silence, pk, 11)
        async with process() as there:
            await there.scheduler.recover()
            if takeovers < MAX_TAKEOVERS:
                await db_until(partial(started_times, pk, takeovers + 1))
            else:
                await db_until(lambda: Run.objects.filter(status="finished").exists())
    row = await row_of(session_id)
    assert (row.reason, row.error["retryable"]) == ("failed", True)  # type: ignore[index]  # JSON
    assert len(agent.calls) == MAX_TAKEOVERS
    (shown,) = await db(store.run_views, [row])
    assert encode(shown) == encode(view(fold(1, await db(log_of, pk))))


def started_times(run_id: int, times: int) -> bool:
    """Whether so many processes have begun to write the answer."""
    deltas = EventRow.objects.filter(run_id=run_id, payload__contains='"text":"Half"')
    return deltas.count() >= times


async def db_until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await db(holds):
            pass


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
    assert (history, [kept.content for kept in done]) == ([], ["Hm."])
    # Later runs remember the answer as a whole, once.
    (exchange,) = later
    assert [kept.content for kept in exchange.parts] == ["Hm.", "Half and whole"]


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


async def test_many_readers_hold_up_neither_heartbeats_nor_stop_nor_recovery(
    use: Use,
) -> None:
    use(stuck)
    session_id = uuid4()
    lost = await db(claimed_run, process="gone")
    await db(silence, lost.run.pk, 11)
    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.said("Half")
        async with busy_readers(), asyncio.timeout(10):
            await here.scheduler.renew()
            await here.scheduler.recover()
            assert (await urgent(Run.objects.get, id=lost.run.pk)).epoch == 2
            await here.verbs.stop(session_id, GUEST, None, None)
            await here.scheduler.hand_over()


async def test_heartbeats_wait_for_the_flush_that_is_under_way(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both update many runs: at the same time, each would lock what the other wants."""
    use(stuck)
    session_id = uuid4()
    gate, reached = threading.Event(), threading.Event()
    transact = journal._transact
    done: list[str] = []

    def slowly(batches: list[Batch]) -> tuple[set[int], set[int]]:
        reached.set()
        assert gate.wait(30)
        done.append("flushed")
        return transact(batches)

    def renew(_process: str, _run_ids: Sequence[int]) -> set[int]:
        done.append("renewed")
        return set()

    async with process() as here:
        watcher = here.watch(session_id)
        await here.ask(session_id)
        await watcher.said("Half")
        monkeypatch.setattr(journal, "_transact", slowly)
        monkeypatch.setattr(store, "renew", renew)
        await here.verbs.stop(session_id, GUEST, None, None)
        await here.ask(session_id)
        await asyncio.to_thread(reached.wait, 30)
        renewing = asyncio.create_task(here.scheduler.renew())
        await asyncio.sleep(0.1)
        assert done == []
        gate.set()
        await renewing
        assert done[:2] == ["flushed", "renewed"]
