"""One run, from its claim to its end: the agent speaks, the log keeps."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from chat import logs, metrics, store
from chat.agents import registry
from chat.agents.base import (
    AgentError,
    BaseAgent,
    Failure,
    RunEnded,
    SinkAgent,
)
from chat.agents.stream import play_into
from chat.log.errors import is_transient, note_failure
from chat.log.journal import Journal, RunLog, RunLostError
from chat.log.recorder import Recorder
from chat.store import Claimed, Memory
from chat.store.database import db

logger = logging.getLogger(__name__)

RETRY_DELAY: Final = 1.0  # seconds, while the database is away
MAX_TAKEOVERS: Final = 3  # without finishing a step; then the run has failed

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
STARTS_AGAIN: Final = Failure(
    "internal",
    "The server working on this answer was lost, and this agent cannot go on from where"
    " it was. Press Continue to have it start again: what it did may be done twice.",
    retryable=True,
)
CONTINUE: Final = "{lost} Press Continue to go on from here."


class Driver:
    """Has the agent answer a claimed run, and writes what it does, until it ends.

    `task` ends when the run has ended, is lost to another process, was handed over, or
    was given up.
    """

    def __init__(self, claimed: Claimed, journal: Journal) -> None:
        self.run = claimed.run
        self.is_guest = claimed.is_guest
        self._claimed = claimed
        self._journal = journal
        self._recorder: Recorder | None = None
        self._is_draining = False
        self._listening = asyncio.timeout(None)
        self.task = asyncio.create_task(self._drive(), name=f"run {self.run.pk}")

    def drain(self) -> None:
        """Hand the run over to another process as soon as a round is over."""
        self._is_draining = True
        if self._recorder is not None:
            self._recorder.drain(self._stop_listening)

    def _stop_listening(self) -> None:
        if self._recorder is not None:  # it listens
            self._listening.reschedule(asyncio.get_running_loop().time())

    def give_up(self) -> None:
        """Cancel the agent, its model call and its tools; write nothing more."""
        self.task.cancel()

    async def _drive(self) -> None:
        logs.about(session=self.run.session_id, run=self.run.pk)
        log = self._journal.open(self.run, lambda _: self.give_up())
        try:
            await self._record(log)
            await log.committed()
        except RunLostError:
            logger.info("run %s is not ours any more", self.run.pk)
        except asyncio.CancelledError:
            logger.info("run %s was given up", self.run.pk)
            raise
        finally:
            self._journal.release(log)

    async def _record(self, log: RunLog) -> None:
        claimed, run = self._claimed, self.run
        written = sum(len(part.content.encode()) for part in claimed.done)
        recorder = Recorder(
            log,
            next_step=claimed.next_step,
            max_bytes=settings.MAX_ANSWER_BYTES - written,
            max_events=settings.MAX_EVENTS_PER_RUN,
            max_outage=settings.MAX_DATABASE_OUTAGE_SECONDS,
            started_at=run.started_at.timestamp() if run.started_at else None,
            used=store.usage_of(run),
        )
        if run.takeovers >= MAX_TAKEOVERS:
            recorder.end("failed", error=ABANDONED)
            return
        try:
            if claimed.lost_call:
                lost = CONTINUE.format(lost=claimed.lost_call)
                recorder.end(
                    "server_lost", error=Failure("tool_failed", lost, retryable=True)
                )
            elif (end := await self._hear(recorder)) is not None:
                recorder.end(
                    end.reason, usage=end.usage, error=end.error, cause=end.cause
                )
            else:
                recorder.release()
                metrics.HANDOVERS.inc()
                logger.info("run %s is handed over", run.pk)
        except AgentError as error:
            recorder.end("failed", error=error.failure)
        except (RunLostError, asyncio.CancelledError):
            raise
        except Exception:
            logger.exception("run %s failed", run.pk)
            recorder.end("failed", error=INTERNAL)

    async def _hear(self, recorder: Recorder) -> RunEnded | None:
        """Listen until the agent has ended; None where others go on with the run."""
        agent = _agent(self.run.agent_name)
        can_continue: bool = getattr(agent, "can_continue", True)
        if self._claimed.done and not can_continue:
            return RunEnded("server_lost", error=STARTS_AGAIN)
        end = None
        try:
            async with self._listening:
                # Who cannot continue is not interrupted, unless time is up.
                if can_continue:
                    self._recorder = recorder
                    if self._is_draining:
                        self.drain()
                end = await self._listen(agent, recorder)
        except (TimeoutError, AgentError):
            if not recorder.has_left:
                raise
        finally:
            self._recorder = None
        return None if recorder.has_left else end

    async def _listen(self, agent: BaseAgent, recorder: Recorder) -> RunEnded:
        """Have the agent answer; the recorder writes down what it says."""
        prompt = self.run.prompt
        memory = await self._memory()
        done = [*memory.continued, *self._claimed.done]
        if isinstance(agent, SinkAgent):
            thinking = self.run.enable_reasoning
            return await agent.run_into(
                recorder,
                prompt,
                memory.exchanges,
                settings.MAX_ITERATIONS,
                done=done,
                thinking=thinking,
            )
        stream = agent.run_with_reasoning_stream(
            prompt, memory.exchanges, settings.MAX_ITERATIONS, done=done
        )
        async with aclosing(stream):
            return await play_into(recorder, stream)

    async def _memory(self) -> Memory:
        """What the agent is to know: read with the claim, or as soon as can be."""
        while (memory := self._claimed.memory) is None:
            try:
                return await db(store.recall, self.run)
            except (DatabaseError, InterfaceError) as error:
                if not is_transient(error):
                    raise
                note_failure("reading what the agent remembers", error)
                await asyncio.sleep(RETRY_DELAY)
        return memory


def _agent(name: str) -> BaseAgent:
    try:
        return registry.create(name)
    except KeyError:
        message = f"The agent {name!r} is not there any more."
        raise AgentError("unknown_agent", message) from None
