"""Agents made with Qwen-Agent by whoever runs the site, as the site sees them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from msgspec import Struct, structs

from chat.agents.base import AgentError, Exchange, Part, RunEnded, RunSink
from chat.agents.qwen.history import messages_of
from chat.agents.qwen.hosted_run import HostedRun, out_of_order
from chat.agents.qwen.inside import Inside
from chat.agents.qwen.run import RunClosed, has_answer
from chat.agents.qwen.scopes import RunOver
from chat.agents.qwen.speech import YOUR_TURN
from chat.agents.qwen.threads import ThreadPool
from chat.agents.stream import Streamed
from chat.agents.tools.errors import kind_and_message

logger = logging.getLogger(__name__)

REPEATABLE = frozenset({"retrieval", "doc_parser", "simple_doc_parser"})


class Hosting(Struct, frozen=True):
    """What agents of one's own are run with; limits are seconds."""

    threads: ThreadPool
    tool_threads: ThreadPool
    tool_timeout: float = 60.0
    first_chunk_timeout: float = 60.0
    chunk_timeout: float = 60.0
    mcp_timeout: float = 30.0
    user_name: str = ""  # what groups call the person
    run_options: dict[str, Any] = {}  # for each `agent.run`


class HostedAgent(Streamed):
    """One of Qwen-Agent's agents, or what makes one for each run."""

    def __init__(
        self,
        name: str,
        description: str,
        agent: Any,
        hosting: Hosting,
        *,
        make: Callable[[], Any] | None = None,
    ) -> None:
        self.name = name
        self._description = description
        self._agent = agent
        self._make = make
        self._hosting = hosting
        self._broken = ""

    @classmethod
    def broken(cls, name: str, reason: str, hosting: Hosting) -> HostedAgent:
        """An agent that could not be made."""
        made = cls(name, "", None, hosting)
        made._broken = reason
        return made

    @property
    def description(self) -> str:
        """In its owner's words; or why it is out of order, as far as is known."""
        if self._broken:
            return f"Out of order: {self._broken}"
        trouble: str = _equipment().trouble(self._agent)
        return trouble or self._description

    @property
    def lacks_packages(self) -> bool:
        """Whether it has files, and what reads them is not installed."""
        equipment = _equipment()
        return bool(
            self._agent is not None
            and equipment.has_files(self._agent)
            and equipment.lacks_packages()
        )

    def begin(self) -> None:
        """Start what its runs will need, in the background; not what is each run's."""
        if self._agent is not None and self._make is None:
            _equipment().begin(self._agent)

    def is_repeatable(self, tool_name: str) -> bool:
        """Looking up files is; other tools say so by an attribute of that name."""
        if tool_name in REPEATABLE or self._agent is None:
            return tool_name in REPEATABLE
        tools: list[Any] = _equipment().tools_named(self._agent, tool_name)
        return bool(tools) and all(getattr(t, "repeatable", False) for t in tools)

    async def run_into(
        self,
        sink: RunSink,
        prompt: str,
        history: Sequence[Exchange],
        max_iterations: int = 20,
        *,
        done: Sequence[Part] = (),
        thinking: bool = True,
    ) -> RunEnded:
        """Tell the sink what the agent does about the prompt; see `SinkAgent`."""
        if self._broken:
            return out_of_order(self._broken)
        goes_on = _seams().goes_on(self._agent)
        if goes_on and has_answer(done):
            return RunEnded("answered")  # only the end itself was lost

        async def run_once(*, replay: bool) -> RunEnded:
            run = HostedRun(
                sink,
                history=history,
                done=done,
                max_rounds=max_iterations,
                thinking=thinking,
                tool_threads=self._hosting.tool_threads,
                tool_timeout=self._hosting.tool_timeout,
                replay=replay,
            )
            finished = tuple(done) if goes_on else ()
            work = partial(self._work, run, prompt, tuple(history), finished)
            self._hosting.threads.submit(work)
            try:
                return await run.ended
            finally:
                await run.close()

        end = await run_once(replay=not goes_on)
        if end.reason == "server_lost" and all(part.step < 0 for part in done):
            # Somebody has asked for it, and nothing of this run is told.
            return await run_once(replay=False)
        return end

    def _work(
        self,
        run: HostedRun,
        prompt: str,
        history: tuple[Exchange, ...],
        done: tuple[Part, ...],
    ) -> None:
        """In a thread: let the library do its work."""
        if run.closed:
            return
        seams = _seams()
        token = seams.current.set(Inside(run, run.base))
        error: BaseException | None = None
        made = None
        try:
            if self._make is not None:
                made = self._make()
            agent = made or self._agent
            messages = self._messages(agent, prompt, history, done)
            for _ in agent.run(messages, **self._hosting.run_options):
                pass  # all there is to see was told on the event loop
        except RunClosed:
            return
        except RunOver as over:
            error = over.error
        except Exception as caught:  # noqa: BLE001 - the run reports it
            error = _cause(caught)
        finally:
            seams.current.reset(token)
            if made is not None:
                _equipment().end(made)
        run.end(error)

    def _messages(
        self,
        agent: Any,
        prompt: str,
        history: tuple[Exchange, ...],
        done: tuple[Part, ...],
    ) -> list[dict[str, Any]]:
        with_tools = bool(agent.function_map) and _seams().goes_on(agent)
        whole = _seams().is_remembered_whole(agent)
        messages = messages_of(
            prompt,
            [Exchange(e.prompt, _remembered(e.parts, whole=whole)) for e in history],
            done,
            with_tools=with_tools,
        )
        named: list[dict[str, Any]] = _seams().with_names(
            agent, messages, self._hosting.user_name
        )
        return named


def _seams() -> Any:
    return sys.modules["chat.agents.qwen.seams"]


def _equipment() -> Any:
    return sys.modules["chat.agents.qwen.equipment"]


def install(hosting: Hosting) -> None:
    """Listen to the library's agents from now on. Imports it: takes seconds."""
    seams = import_module("chat.agents.qwen.seams")
    limits = seams.Limits(
        hosting.first_chunk_timeout, hosting.chunk_timeout, hosting.mcp_timeout
    )
    seams.install(limits)


def is_installed() -> bool:
    """Whether the library's agents are listened to."""
    return "chat.agents.qwen.seams" in sys.modules


def is_agent(each: Any) -> bool:
    """Whether it is an agent of Qwen-Agent's."""
    qwen_agent = sys.modules.get("qwen_agent")
    return qwen_agent is not None and isinstance(each, qwen_agent.Agent)


def host(each: Any, hosting: Hosting) -> HostedAgent:
    """An agent, or a function without arguments that makes one for each run."""
    if is_agent(each):
        return HostedAgent(
            _equipment().name_of(each), _first_line(each.description), each, hosting
        )
    try:
        sample = each()
    except Exception as error:  # whatever building it raises
        logger.warning("the agent %s cannot be made", each.__name__, exc_info=True)
        reason = kind_and_message(error)
        return HostedAgent.broken(each.__name__, reason, hosting)
    if not is_agent(sample):
        kind = type(sample).__name__
        return HostedAgent.broken(each.__name__, f"it made a {kind}", hosting)
    name = _equipment().name_of(sample)
    description = _first_line(sample.description)
    return HostedAgent(name, description, sample, hosting, make=each)


async def close() -> None:
    """Close the connections of hosted agents."""
    if is_installed():
        await _seams().close()


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _remembered(parts: Sequence[Part], *, whole: bool) -> tuple[Part, ...]:
    """What of an earlier turn is the agent's memory; `whole`: as its model wrote it."""
    said = [part for part in parts if not part.content.startswith(YOUR_TURN)]
    if not whole:
        return tuple(said)
    thoughts = [part for part in said if part.type == "thought"]
    if not thoughts:
        return tuple(said)
    return (structs.replace(thoughts[-1], type="final_answer"),)


def _cause(error: Exception) -> Exception:
    """Our own error, where the library has wrapped it; or one with a clean message."""
    inner = getattr(error, "exception", None)
    if isinstance(inner, AgentError):
        return inner
    if isinstance(error, AgentError):
        return error
    logger.warning("an agent failed", exc_info=error)
    why = kind_and_message(inner if isinstance(inner, Exception) else error)
    return AgentError("internal", f"The agent failed: {why}", retryable=True)
