"""Agents whose decisions are Qwen-Agent's.

The library's loop runs in a thread of a bounded pool and is not on the token path:
its chat model is ours, which asks for each round on the event loop, where the tokens
are told to the consumer as they come, and gives the library the finished messages.
So are tool calls. The library is imported in the thread, since that takes seconds.
"""

from __future__ import annotations

import inspect
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final

from chat.agents.base import AgentError, Exchange, Part, RunEnded, RunSink
from chat.agents.model.client import ChatModel, ChatRequest
from chat.agents.model.rounds import Call, Round
from chat.agents.qwen.context import LibraryAgent, current
from chat.agents.qwen.history import Message, as_openai, cut_to, messages_of
from chat.agents.qwen.run import LibraryRun, RunClosed, has_answer
from chat.agents.qwen.threads import ThreadPool
from chat.agents.stream import Streamed
from chat.agents.tools.base import Tool

logger = logging.getLogger(__name__)

BUILD_AGAIN_SECONDS: Final = 2.0  # after it has failed

_import_lock = threading.Lock()


class QwenAgent(Streamed):
    """An agent of Qwen-Agent, with our chat model and our tools.

    `library_tools` are given to the library as they are: names of its own tools,
    MCP configurations (`{"mcpServers": …}`), or its tool objects.
    """

    def __init__(  # noqa: PLR0913 - what an agent consists of
        self,
        name: str,
        description: str,
        *,
        model: ChatModel,
        threads: ThreadPool,
        tool_threads: ThreadPool,
        instructions: str = "",
        tools: Sequence[Tool] = (),
        library_tools: Sequence[Any] = (),
        text_protocol: bool = False,
        max_input_tokens: int = 30_000,
        tool_timeout: float = 60.0,
        mcp_timeout: float = 30.0,
    ) -> None:
        self.name = name
        self.description = description
        self.instructions = instructions
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self.library_tools = library_tools
        self.text_protocol = text_protocol and bool(self.tools)
        self.max_input_tokens = max_input_tokens
        self.tool_timeout = tool_timeout
        self.mcp_timeout = mcp_timeout
        self.tool_threads = tool_threads
        self._model = model
        self._threads = threads
        self._library_agent: LibraryAgent | None = None
        self._building = threading.Lock()
        self._build_error: tuple[AgentError | None, float] = (None, 0.0)

    def is_repeatable(self, tool_name: str) -> bool:
        """Whether calling this tool twice does no harm; unknown tools may do some."""
        tool = self.tools.get(tool_name)
        return tool is not None and tool.repeatable

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
        """Tell the sink what the agent does about the prompt; see `SinkAgent`.

        `max_iterations` counts the rounds of this call: a run that is continued may
        have as many again.
        """
        if has_answer(done):
            return RunEnded("answered")  # only the end itself was lost
        run = LibraryRun(
            self._model,
            sink,
            history=history,
            done=done,
            max_rounds=max_iterations,
            text_protocol=self.text_protocol,
            thinking=thinking,
        )
        work = partial(self._work, run, prompt, tuple(history), tuple(done))
        self._threads.submit(work)
        run.prepare()
        try:
            return await run.ended
        finally:
            await run.close()

    def warm_up(self, then: Callable[[], None]) -> None:
        """Import the library now, in a thread, so that the first run need not.

        `then` is called in the thread, whether or not that went well.
        """
        self._threads.submit(partial(self._warm_up, then))

    # ---- in the thread

    def _warm_up(self, then: Callable[[], None]) -> None:
        try:
            self._library()
        except AgentError as error:
            logger.warning("the agent %s is out of order: %s", self.name, error)
        finally:
            then()

    def _work(
        self,
        run: LibraryRun,
        prompt: str,
        history: tuple[Exchange, ...],
        done: tuple[Part, ...],
    ) -> None:
        """Let the library decide until it has an answer."""
        if run.closed:
            return
        current.run, current.agent = run, self
        error: BaseException | None = None
        try:
            library_agent = self._library()
            finished = self._catch_up(run, done)
            messages = messages_of(
                prompt, history, finished, with_tools=bool(library_agent.function_map)
            )
            for _ in library_agent.run(messages):
                pass  # all there is to see was told on the event loop
        except RunClosed:
            return
        except Exception as caught:  # noqa: BLE001 - the run reports or logs it
            error = caught
        finally:
            current.run = current.agent = None
        run.end(error)

    def _catch_up(self, run: LibraryRun, done: tuple[Part, ...]) -> tuple[Part, ...]:
        """Make the calls that were decided on before the run was interrupted."""
        results = {part.call_id for part in done if part.type == "tool_result"}
        finished = list(done)
        for part in done:
            if part.type != "tool_use" or part.call_id in results:
                continue
            if part.status == "stopped":
                continue
            call = Call(part.call_id, part.tool_name, part.content, part.tool_input)
            text = self._call(run, call, part.iteration)
            result = Part("tool_result", part.iteration, text, call_id=part.call_id)
            finished.append(result)
        return tuple(finished)

    def _library(self) -> LibraryAgent:
        """The library's agent: made once, and without state of a run.

        Where that fails, as with an MCP server that does not answer, all runs that
        waited for it fail alike, and the next one tries again.
        """
        with self._building:
            if self._library_agent is not None:
                return self._library_agent
            error, when = self._build_error
            if error is not None and time.monotonic() - when < BUILD_AGAIN_SECONDS:
                raise error
            with _import_lock:
                library = import_module("chat.agents.qwen.library")
            try:
                made: LibraryAgent = library.SiteAgent(self)
            except AgentError as failed:
                self._build_error = failed, time.monotonic()
                raise
            self._library_agent = made
            return made

    def ask_model(
        self,
        messages: list[Message],
        functions: list[dict[str, Any]],
        as_text: Callable[[list[Message]], list[Message]],
    ) -> Round:
        """One model round, asked for by the library.

        `as_text` writes calls, their results and the tools into the messages' text.
        """
        run = _current_run()
        tools = [{"type": "function", "function": f} for f in functions]
        wanted = cut_to(messages, tools, self.max_input_tokens)
        if self.text_protocol:
            wanted, tools = as_text(wanted), []
        request = ChatRequest(as_openai(wanted), tools, thinking=run.thinking)
        offered = {f["name"]: f.get("parameters") or {} for f in functions}
        return run.ask(partial(run.model_round, request, offered))

    def call_tool(self, name: str) -> str:
        """One tool call, asked for by the library, in the order of the round."""
        run = _current_run()
        if not run.calls:
            raise AgentError("internal", f"a call of {name} that the model never made")
        return self._call(run, run.calls.popleft(), None)

    def _call(self, run: LibraryRun, call: Call, iteration: int | None) -> str:
        limit = self.tool_timeout
        tool = self.tools.get(call.name)
        invoke: Callable[[dict[str, Any]], Any] | None = None
        if tool is not None:
            invoke = partial(self._invoke, tool.call)
            limit = tool.time_limit or limit
        elif self._library_agent is not None:
            foreign: Any = self._library_agent.function_map.get(call.name)
            if hasattr(foreign, "call_here"):
                invoke = partial(self._invoke, foreign.call_here)
            elif foreign is not None:
                invoke = partial(self._invoke, partial(_call_foreign, foreign))
        return run.ask(partial(run.tool_call, call, invoke, limit, iteration))

    async def _invoke(
        self, function: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]
    ) -> str:
        """Await a coroutine function; run any other in a thread, which is abandoned
        if nobody waits for it any more."""
        if inspect.iscoroutinefunction(function):
            return str(await function(arguments))
        return await self.tool_threads.call(lambda of: str(function(of)), arguments)


def _current_run() -> LibraryRun:
    """The run this thread is working on."""
    run = current.run
    assert run is not None  # noqa: S101 - only the library's half asks, in a run
    return run


def _call_foreign(tool: Any, arguments: dict[str, Any]) -> str:
    """Call one of the library's tools, or somebody's made for it, in a thread.

    Its contract gives arguments as JSON text, which many such tools decode themselves.
    """
    result = tool.call(json.dumps(arguments, ensure_ascii=False))
    if isinstance(result, str):
        return result
    if isinstance(result, list):
        return "\n".join(str(getattr(item, "text", None) or item) for item in result)
    return str(result)
