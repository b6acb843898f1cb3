"""The verbs: ask, retry, stop, recover. Runs belong to this, never to a socket."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DatabaseError

from chat import store
from chat.agents import registry
from chat.agents.base import (
    AgentError,
    BaseAgent,
    Exchange,
    Failure,
    Part,
    PartStarted,
    RunEnded,
)
from chat.database import db, urgent
from chat.fanout import Hub
from chat.journal import TRANSIENT, Journal, RunLog, RunLostError
from chat.models import Run, Step
from chat.protocol import Chat, ProtocolError, message
from chat.recorder import Recorder
from chat.store import Asked, Claimed, Committed, Identity

logger = logging.getLogger(__name__)

MAX_HISTORY: Final = 50  # earlier runs handed to an agent, which cuts them to its model
MAX_TAKEOVERS: Final = 3  # without finishing a step; then the run has failed
CLAIMS_AT_ONCE: Final = 8  # between two looks at what others have left

INTERNAL: Final = Failure(
    "internal",
    "Something went wrong inside the site. It has been logged.",
    retryable=True,
)
ABANDONED: Final = Failure(
    "internal",
    "The servers working on this answer were lost several times. Try again later.",
    retryable=True,
)
TOO_LONG: Final = "This answer took more steps than this site allows and was ended."
OUTAGE: Final = (
    "The database was away for so long that this answer was given up. Try again."
)
GO_ON: Final = "{lost} Press Continue to go on from here."


class Runs:
    """The runs that this process drives, and the verbs that begin and end any run."""

    def __init__(self, hub: Hub, journal: Journal) -> None:
        self._hub = hub
        self._journal = journal
        self.process = f"{socket.gethostname()[:24]}:{os.getpid()}:{uuid4().hex[:12]}"
        self._driving: dict[int, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._claiming = 0  # claims under way: each may become a run
        # When the database last failed, on the loop's clock: see `recover`.
        self.troubled = float("-inf")

    # ------------------------------------------------------------ verbs

    async def ask(self, session_id: UUID, who: Identity, chat: Chat) -> Asked:
        """Queue a message; return when it is committed. It starts when it can.

        Raises ProtocolError and NotYoursError.
        """
        _check_agent(chat.agent_name)
        asked = await db(
            store.ask,
            session_id,
            who,
            prompt=chat.message,
            agent_name=chat.agent_name,
            enable_reasoning=chat.enable_reasoning,
            client_id=chat.client_id,
            max_queued=settings.MAX_QUEUED_RUNS,
        )
        self._asked(session_id, asked)
        return asked

    async def retry(self, session_id: UUID, who: Identity, number: int) -> Asked:
        """Queue a finished run's prompt again. Raises as `ask`."""
        asked = await db(store.retry, session_id, who, number, settings.MAX_QUEUED_RUNS)
        self._asked(session_id, asked)
        return asked

    async def stop(
        self, session_id: UUID, who: Identity, number: int | None, seen: int | None
    ) -> None:
        """End a run, wherever it is driven. Raises ProtocolError, NotYoursError."""
        stopped = await urgent(store.stop, session_id, who, number, seen)
        self._publish(stopped.written)
        self._hub.nudge([stopped.run_id])
        self._spawn(self._start_next(session_id))

    def give_up(self, run_ids: list[int]) -> None:
        """Stop driving these runs, if this process does: they are not its any more."""
        for run_id in run_ids:
            task = self._driving.get(run_id)
            if task is not None:
                task.cancel()

    # ------------------------------------------------------------ keeping runs alive

    async def renew(self) -> None:
        """Say that this process is alive; give up what others have taken."""
        if self._driving:
            renew = partial(store.renew, self.process, list(self._driving))
            self.give_up(list(await self._journal.between_flushes(renew)))

    async def recover(self) -> None:
        """Take over abandoned runs and start waiting ones, as far as there is room.

        Not while the database has just come back: then no process could say that it
        is alive, and all runs look abandoned.
        """
        calm = 2 * settings.HEARTBEAT_SECONDS
        if asyncio.get_running_loop().time() - self.troubled < calm:
            return
        while self._room and await self._take_over_some():
            pass
        while self._room and await self._start_some():
            pass

    async def _take_over_some(self) -> bool:
        """Take over some abandoned runs; whether there may be more."""
        older_than = timedelta(seconds=settings.TAKEOVER_SECONDS)
        found = await urgent(
            store.abandoned, older_than, CLAIMS_AT_ONCE, list(self._driving)
        )
        taken = [
            run_id
            for run_id in found
            if await self._claim(
                store.take_over, run_id, self.process, older_than, _is_repeatable
            )
        ]
        if taken:
            logger.warning("took over runs %s", taken)
        return bool(taken) and len(found) == CLAIMS_AT_ONCE

    async def _start_some(self) -> bool:
        """Start some waiting runs; whether there may be more."""
        waiting = await urgent(
            store.waiting_sessions, CLAIMS_AT_ONCE, settings.MAX_RUNS_PER_USER
        )
        started = [await self._start_next(session_id) for session_id in waiting]
        return any(started) and len(waiting) == CLAIMS_AT_ONCE

    async def close(self) -> None:
        """Stop driving; the runs stay open in the log."""
        self._closing = True
        tasks = [*self._driving.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def hand_over(self) -> None:
        """Let other processes claim this one's runs at once, not after a silence."""
        try:
            async with asyncio.timeout(2):
                await urgent(store.release, self.process)
        except (TimeoutError, DatabaseError) as error:
            logger.warning("could not hand the runs over: %s", error)
        self._hub.call_recover()

    # ------------------------------------------------------------ driving

    @property
    def _room(self) -> int:
        return max(0, settings.MAX_RUNS - len(self._driving) - self._claiming)

    async def _claim(self, claim: Callable[..., Claimed | None], *args: Any) -> bool:
        """Claim a run and drive it, unless there is no room; whether it was so."""
        if self._closing or not self._room:
            return False  # whoever has room finds it in `recover`
        self._claiming += 1
        try:
            claimed = await urgent(claim, *args)
        finally:
            self._claiming -= 1
        if claimed is not None:
            self._begin(claimed)
        return claimed is not None

    def _asked(self, session_id: UUID, asked: Asked) -> None:
        if asked.written is None:
            return
        self._publish(asked.written)
        if asked.title is not None:
            data = {"session_id": str(session_id), "title": asked.title}
            self._hub.announce(session_id, message("session", data))
        self._spawn(self._start_next(session_id))

    def _publish(self, written: Committed) -> None:
        self._hub.publish([(written.session_id, written.frame)])

    def _spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _start_next(self, session_id: UUID) -> bool:
        """Start what waits in the session, if its turn has come; whether it was so."""
        per_user = settings.MAX_RUNS_PER_USER
        try:
            return await self._claim(
                store.start_next, session_id, self.process, per_user
            )
        except DatabaseError as error:
            logger.warning("could not start the next run, will try again: %s", error)
            return False

    def _begin(self, claimed: Claimed) -> None:
        self._publish(claimed.written)
        run = claimed.run
        task = asyncio.create_task(self._drive(claimed), name=f"run {run.pk}")
        self._driving[run.pk] = task
        task.add_done_callback(lambda _: self._ended(run))

    def _ended(self, run: Run) -> None:
        self._driving.pop(run.pk, None)
        if not self._closing:
            self._spawn(self._start_next(run.session_id))

    async def _drive(self, claimed: Claimed) -> None:
        """Have the agent answer, and write what it does, until it ends."""
        run = claimed.run
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task)
        log = self._journal.open(run, lambda _: task.cancel())
        try:
            await self._record(claimed, log)
            await log.committed()
        except RunLostError:
            logger.info("run %s is not ours any more", run.pk)
        except asyncio.CancelledError:
            if log.lost is None and self._closing:
                raise
            logger.info("run %s was given up", run.pk)
        finally:
            self._journal.release(log)

    async def _record(self, claimed: Claimed, log: RunLog) -> None:
        run = claimed.run
        recorder = Recorder(
            log,
            next_step=claimed.next_step,
            max_bytes=settings.MAX_ANSWER_BYTES,
            started_at=run.started_at.timestamp() if run.started_at else None,
            used=store.usage_of(run),
        )
        if run.takeovers >= MAX_TAKEOVERS:
            recorder.end("failed", error=ABANDONED)
            return
        try:
            if claimed.lost_call:
                lost = GO_ON.format(lost=claimed.lost_call)
                recorder.end(
                    "server_lost", error=Failure("tool_failed", lost, retryable=True)
                )
            else:
                agent = _agent(run.agent_name)
                await self._listen(agent, claimed, log, recorder)
        except AgentError as error:
            recorder.end("failed", error=error.failure)
        except (RunLostError, asyncio.CancelledError):
            raise
        except Exception:
            logger.exception("run %s failed", run.pk)
            recorder.end("failed", error=INTERNAL)

    async def _listen(
        self, agent: BaseAgent, claimed: Claimed, log: RunLog, recorder: Recorder
    ) -> None:
        """Write down what the agent says until it has ended."""
        run = claimed.run
        # Read once: each look at Django's settings costs as much as a token.
        max_events = settings.MAX_EVENTS_PER_RUN
        patience = settings.DATABASE_PATIENCE_SECONDS
        history, done = await self._memory(run, claimed.steps)
        stream = agent.run_with_reasoning_stream(run.prompt, history, done=done)
        async with aclosing(stream):
            async for event in stream:
                recorder.record(event)
                if type(event) is RunEnded:
                    return
                if log.crowded or (
                    type(event) is PartStarted and event.type == "tool_result"
                ):
                    await log.committed()
                if log.last_seq > max_events:
                    raise AgentError("model_error", TOO_LONG)
                if log.outage > patience:
                    raise AgentError("internal", OUTAGE, retryable=True)
        raise RuntimeError("the agent stopped without RunEnded")

    async def _memory(
        self, run: Run, steps: list[Step]
    ) -> tuple[list[Exchange], list[Part]]:
        """Earlier exchanges, and what this answer has so far: both for the agent."""
        earlier = await _patiently(store.history, run, MAX_HISTORY)
        continued = await _patiently(store.steps_to_continue, run)
        history = [Exchange(prompt, tuple(_parts(of))) for prompt, of in earlier]
        return history, _parts([*continued, *steps])


def _check_agent(name: str | None) -> None:
    known = [agent.name for agent in registry.describe()]
    if name is not None and name not in known:
        message = f"There is no such agent. There are: {', '.join(known)}."
        raise ProtocolError("unknown_agent", message)


def _is_repeatable(agent_name: str, tool_name: str) -> bool:
    try:
        return registry.create(agent_name).is_repeatable(tool_name)
    except KeyError:
        return False


def _agent(name: str) -> BaseAgent:
    try:
        return registry.create(name)
    except KeyError:
        message = f"The agent {name!r} is not there any more."
        raise AgentError("unknown_agent", message) from None


async def _patiently(query: Any, *args: Any) -> Any:
    """`db(query, …)`, again while the database is away."""
    while True:
        try:
            return await db(query, *args)
        except TRANSIENT as error:
            logger.warning("the database is away, trying again: %s", error)
            await asyncio.sleep(1)


def _parts(steps: list[Step]) -> list[Part]:
    """What an agent remembers of steps: not errors, nor what was cut short."""
    return [
        Part(
            step.type,  # type: ignore[arg-type]  # its choices are the literals
            step.iteration,
            step.content,
            step.status,  # type: ignore[arg-type]  # its choices are the literals
            step.tool_name,
            step.call_id,
            step.tool_input,
        )
        for step in steps
        if step.type != "error" and (step.status == "ok" or step.type == "tool_result")
    ]
