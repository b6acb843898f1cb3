"""Anybody's agent: a function that yields text, thoughts, calls and results.

The words are those of `reasoning_site.agents`; here they become the parts of which
every agent's run is made.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Final

from msgspec import Struct

from chat.agents.base import (
    AgentError,
    AgentEvent,
    Exchange,
    Failure,
    Part,
    PartFinished,
    PartGrew,
    PartProgressed,
    PartReplaced,
    PartStarted,
    PartStatus,
    PartType,
    RunEnded,
)
from chat.agents.tools.errors import kind_and_message
from reasoning_site.agents import (
    Answer,
    Progress,
    Text,
    Thought,
    ToolCall,
    ToolResult,
)

logger = logging.getLogger(__name__)

NO_RESULT: Final = "The agent gave no result for this call."

Function = Callable[..., Any]


class PlainAgent:
    """Runs a function for each prompt and tells what it yields.

    `function(prompt, history)` is an async generator function, an ordinary one, which
    then runs in threads, or a coroutine function that returns the whole answer. Where
    it has a third parameter, `done`, it gets the finished parts of a run that was
    interrupted and goes on from them; without, it starts again.
    """

    def __init__(self, name: str, description: str, function: Function) -> None:
        self.name = name
        self.description = description
        self._function = function
        self.can_continue = len(inspect.signature(function).parameters) > 2  # noqa: PLR2004
        self._repeatable = frozenset(getattr(function, "repeatable", ()))

    def is_repeatable(self, tool_name: str) -> bool:
        """Whether the function lists it in its attribute `repeatable`."""
        return tool_name in self._repeatable

    async def run_with_reasoning_stream(
        self,
        prompt: str,
        history: Sequence[Exchange],
        max_iterations: int = 20,
        *,
        done: Sequence[Part] = (),
    ) -> AsyncGenerator[AgentEvent]:
        """Yield what the function says, as parts; see `BaseAgent`.

        `max_iterations` is the function's own business.
        """
        del max_iterations
        telling = Telling(max((part.iteration for part in done), default=0) + 1)
        arguments: list[Any] = [prompt, messages_of(history)]
        if self.can_continue:
            arguments.append(list(done))
        try:
            async with aclosing(_said(self._function(*arguments))) as stream:
                async for said in stream:
                    for event in telling.take(said):
                        yield event
        except AgentError as error:
            failure = error.failure
        except Exception as error:
            logger.warning("the agent %s failed", self.name, exc_info=True)
            why = kind_and_message(error)
            failure = Failure("internal", f"The agent failed: {why}", retryable=True)
        else:
            for event in telling.end("ok"):
                yield event
            yield RunEnded("answered")
            return
        for event in telling.end("error"):
            yield event
        yield RunEnded("failed", error=failure)


def messages_of(history: Sequence[Exchange]) -> list[dict[str, str]]:
    """Earlier prompts and answers as `{role, content}`, oldest first."""
    messages = []
    for exchange in history:
        messages.append({"role": "user", "content": exchange.prompt})
        answers = [p.content for p in exchange.parts if p.type == "final_answer"]
        if answers:
            messages.append({"role": "assistant", "content": "\n\n".join(answers)})
    return messages


class _Call(Struct):
    """A call that has no result yet."""

    part: int
    id: str


class _Kind(Struct, frozen=True):
    """What a text is, and whether it becomes a thought where something follows it."""

    kind: PartType
    agent: str = ""
    may_change: bool = False


class Telling:
    """The parts of one run, made from what its function says. Pure."""

    def __init__(self, iteration: int = 1) -> None:
        self._iteration = iteration
        self._parts = 0
        self._part = 0  # of the text under way
        self._text: _Kind | None = None
        self._calls: list[_Call] = []
        self._had_results = False
        self._events: list[AgentEvent] = []

    def take(self, said: object) -> list[AgentEvent]:
        """What follows from one thing that was said. Raises AgentError."""
        match said:
            case str():
                self._grow(said, _Kind("final_answer", may_change=True))
            case Text(text, agent):
                self._grow(text, _Kind("final_answer", agent, may_change=True))
            case Thought(text, agent):
                self._grow(text, _Kind("thought", agent))
            case Answer(text, agent):
                self._grow(text, _Kind("final_answer", agent))
            case ToolCall():
                self._call(said)
            case ToolResult():
                self._result(said)
            case Progress():
                self._progress(said)
            case _:
                raise AgentError(
                    "internal",
                    f"The agent said something of type {type(said).__name__}. It may "
                    "say text, Text, Thought, Answer, ToolCall, ToolResult, Progress.",
                )
        return self._taken()

    def end(self, status: PartStatus) -> list[AgentEvent]:
        """Close what is open; `status` is that of the text under way."""
        if self._text is not None:
            self._events.append(PartFinished(self._part, status))
            self._text = None
        for call in self._calls:
            self._events.append(PartReplaced(call.part, text=NO_RESULT))
            self._events.append(PartFinished(call.part, "error"))
        self._calls.clear()
        return self._taken()

    def _taken(self) -> list[AgentEvent]:
        events, self._events = self._events, []
        return events

    def _grow(self, text: str, what: _Kind) -> None:
        if not text:
            return
        if self._text != what:
            self._close_text()
            self._part, self._text = self._start(what.kind, agent=what.agent), what
        self._events.append(PartGrew(self._part, text))

    def _close_text(self) -> None:
        """Finish the text under way: plain text that is followed by more is thought."""
        if self._text is None:
            return
        if self._text.may_change:
            self._events.append(PartReplaced(self._part, type="thought"))
        self._events.append(PartFinished(self._part))
        self._text = None

    def _start(
        self, kind: PartType, tool_name: str = "", call_id: str = "", *, agent: str = ""
    ) -> int:
        # What comes after all results is said in the next round.
        if self._had_results and not self._calls:
            self._iteration += 1
            self._had_results = False
        part, self._parts = self._parts, self._parts + 1
        started = PartStarted(part, kind, self._iteration, tool_name, call_id, agent)
        self._events.append(started)
        return part

    def _call(self, said: ToolCall) -> None:
        given = dict(said.input)
        try:
            text = json.dumps(given, ensure_ascii=False)
        except (TypeError, ValueError):
            message = f"The input of the tool {said.name!r} cannot be written as JSON."
            raise AgentError("internal", message) from None
        call_id = said.id or f"call-{self._parts}"
        if any(call.id == call_id for call in self._calls):
            message = f"The agent made two calls at once with the id {call_id!r}."
            raise AgentError("internal", message)
        self._close_text()
        part = self._start("tool_use", said.name, call_id, agent=said.agent)
        self._events += [PartGrew(part, text), PartFinished(part, tool_input=given)]
        part = self._start("tool_result", said.name, call_id, agent=said.agent)
        self._calls.append(_Call(part, call_id))

    def _result(self, said: ToolResult) -> None:
        call = self._open_call(said.id)
        self._calls.remove(call)
        self._had_results = True
        status: PartStatus = "error" if said.error else "ok"
        self._events.append(PartReplaced(call.part, text=said.text))
        self._events.append(PartFinished(call.part, status))

    def _progress(self, said: Progress) -> None:
        call = self._open_call("")
        try:
            done = None if said.done is None else float(said.done)
            total = None if said.total is None else float(said.total)
        except (TypeError, ValueError, OverflowError):
            message = "The done and total of Progress must be numbers."
            raise AgentError("internal", message) from None
        self._events.append(PartProgressed(call.part, str(said.text), done, total))

    def _open_call(self, call_id: str) -> _Call:
        for call in self._calls:
            if call_id in {"", call.id}:
                return call
        wanted = f" with the id {call_id!r}" if call_id else ""
        message = f"The agent gave a result, but no call{wanted} waits for one."
        raise AgentError("internal", message)


async def _said(result: Any) -> AsyncGenerator[object]:
    """What a function's result says: of a generator, a coroutine, or a plain value."""
    if isinstance(result, AsyncIterator):
        try:
            async for said in result:
                yield said
        finally:
            if isinstance(result, AsyncGenerator):
                await result.aclose()
    elif isinstance(result, Iterator):
        async for said in _in_threads(result):
            yield said
    else:
        yield await result if inspect.isawaitable(result) else result


async def _in_threads(iterator: Iterator[object]) -> AsyncGenerator[object]:
    """An ordinary generator's items; it may block, since it runs in threads."""
    end = object()
    try:
        while (said := await asyncio.to_thread(next, iterator, end)) is not end:
            yield said
    finally:
        if inspect.isgenerator(iterator) and not iterator.gi_running:
            iterator.close()
