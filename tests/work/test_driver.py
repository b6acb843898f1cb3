"""One run: whatever its agent does, it ends exactly once, and says why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from uuid import uuid4

import pytest
from pytest_django import Settings

from chat.agents import registry
from chat.agents.base import (
    AgentError,
    AgentEvent,
    Part,
    PartFinished,
    PartGrew,
    PartStarted,
    RoundEnded,
    RunEnded,
    Usage,
)
from chat.models import Run
from chat.store.database import db
from chat.wire.transcript import fold
from tests.rows import GUEST, log_of
from tests.work.processes import (
    Agent,
    Play,
    Use,
    Watcher,
    check_live_is_reload,
    db_until,
    hello,
    part,
    process,
    row_of,
)

pytestmark = pytest.mark.django_db(transaction=True)


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
        began = row.started_at - timedelta(seconds=60)
        await db(Run.objects.filter(id=row.pk).update, started_at=began)
        await there.recover()
        await db_until(lambda: Run.objects.filter(status="finished").exists())
    row = await row_of(session_id)
    assert (row.input_tokens, row.output_tokens) == (30, 3)
    assert row.duration_ms is not None
    assert row.duration_ms > 60_000


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
            here.show(session_id, watcher)
            await here.ask(session_id)
            await agent.gate.wait()
            # The call was committed before it was made.
            row = await row_of(session_id)
            log = await db(log_of, row.pk)
            assert [s.type for s in fold(1, log).open_steps()] == ["tool_result"]
            await here.crash()
        there.show(session_id, watcher)
        await there.recover()
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
