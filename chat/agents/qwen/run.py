"""One run of the library: what happens on the event loop while a thread decides.

The thread asks for a model round or a tool call and gets the finished result; what
happens meanwhile is told to the run's consumer directly from the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from itertools import count
from typing import Any, Final, TypeVar

from chat.agents.base import (
    AgentError,
    AgentEvent,
    Failure,
    PartFinished,
    PartGrew,
    PartStarted,
    RoundEnded,
    RunEnded,
    Usage,
)
from chat.agents.model.client import ChatModel, ChatRequest
from chat.agents.model.rounds import Call, Round
from chat.agents.tools.base import ToolError

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_EVENTS: Final = 2000  # that the consumer may be behind; then the model waits
MAX_RESULT: Final = 32_000  # characters of a tool's result that are kept


class RunClosed(Exception):  # noqa: N818 - a state, not an error
    """Nobody waits for this run any more."""


class OutOfRounds(Exception):  # noqa: N818 - an end, not an error
    """The model has had all the rounds it may have."""


class LibraryRun:
    """The events of one run, and the tasks that make them."""

    def __init__(
        self,
        model: ChatModel,
        *,
        first_round: int,
        max_rounds: int,
        text_protocol: bool,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.calls: deque[Call] = deque()  # decided on in this round, not yet made
        self._model = model
        self._text_protocol = text_protocol
        self._iteration = first_round - 1
        self._last_iteration = self._iteration + max_rounds
        self._parts = count()
        self._events: deque[AgentEvent | asyncio.Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._promises: set[Future[Any]] = set()
        self._usage = (0, 0)
        self._answered = False
        self._finish_reason: str | None = None
        self._over = False
        self.closed = False

    # ---- for the consumer

    async def events(self) -> AsyncGenerator[AgentEvent]:
        """What happens, until the run has ended: many events per wake-up."""
        events = self._events
        while True:
            while events:
                event = events.popleft()
                if event.__class__ is asyncio.Event:
                    event.set()  # the consumer has come back from all before this
                    continue
                yield event  # type: ignore[misc]  # what is no barrier is an event
            if self._room is not None:
                self._room.set()
            if self._over:
                return
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def prepare(self) -> None:
        """Let the model get ready while the thread does."""
        task = self.loop.create_task(self._model.prepare())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel the model call and the tool, and let the thread go."""
        self.closed = True
        for promise in tuple(self._promises):
            _reject(promise, RunClosed())
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    # ---- for the thread

    def ask(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Have something done on the event loop; called from the run's thread."""
        promise: Future[T] = Future()
        if self.closed or self.loop.is_closed():
            raise RunClosed
        self.loop.call_soon_threadsafe(self._undertake, work, promise)
        return promise.result()

    def end(self, error: BaseException | None) -> None:
        """The thread has come to its end; called from it."""
        if not (self.closed or self.loop.is_closed()):
            self.loop.call_soon_threadsafe(self._end, error)

    # ---- on the event loop

    def emit(self, event: AgentEvent) -> None:
        """Tell the consumer."""
        self._events.append(event)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def model_round(self, request: ChatRequest) -> Round:
        """Ask the model once, showing its answer as it comes."""
        if self._iteration >= self._last_iteration:
            raise OutOfRounds
        self._iteration += 1
        said = Round(
            self.emit,
            self._parts,
            self._iteration,
            text_protocol=self._text_protocol,
        )
        try:
            completion = await self._model.stream(request, said, self._wait_for_room)
        except AgentError:
            said.abort("error")
            raise
        said.finish()
        self.calls.extend(said.calls)
        self._answered = bool(said.answer.strip()) and not said.calls
        self._finish_reason = completion.finish_reason
        self._usage = (
            self._usage[0] + completion.input_tokens,
            self._usage[1] + completion.output_tokens,
        )
        if any(self._usage):
            self.emit(RoundEnded(Usage(*self._usage)))
        return said

    async def tool_call(
        self,
        call: Call,
        invoke: Callable[[dict[str, Any]], Awaitable[str]] | None,
        limit: float,
        iteration: int | None = None,
    ) -> str:
        """Make a call of the model; the text is for the model, errors and all.

        The tool is called only after the consumer came back from the beginning of
        the `tool_result` part, when that is stored.
        """
        part = next(self._parts)
        self.emit(
            PartStarted(
                part,
                "tool_result",
                iteration or self._iteration,
                call.name,
                call.call_id,
            )
        )
        stored = asyncio.Event()
        self._events.append(stored)
        await stored.wait()
        try:
            text = _shortened(await _invoke(call, invoke, limit))
        except ToolError as error:
            text = str(error)
            self.emit(PartGrew(part, text))
            self.emit(PartFinished(part, "error"))
            return f"Error: {text}"
        if text:
            self.emit(PartGrew(part, text))
        self.emit(PartFinished(part))
        return text

    def _wait_for_room(self) -> Awaitable[None] | None:
        """What the model has to wait for, where the consumer is far behind."""
        return self._consumed() if len(self._events) > MAX_EVENTS else None

    async def _consumed(self) -> None:
        self._room = asyncio.Event()
        await self._room.wait()
        self._room = None

    def _undertake(
        self, work: Callable[[], Coroutine[Any, Any, T]], promise: Future[T]
    ) -> None:
        if self.closed:
            _reject(promise, RunClosed())
            return
        task = self.loop.create_task(work())
        self._tasks.add(task)
        self._promises.add(promise)

        def settle(task: asyncio.Task[T]) -> None:
            self._tasks.discard(task)
            self._promises.discard(promise)
            if task.cancelled():
                _reject(promise, RunClosed())
            elif (error := task.exception()) is not None:
                _reject(promise, error)
            elif not promise.done():
                promise.set_result(task.result())

        task.add_done_callback(settle)

    def _end(self, error: BaseException | None) -> None:
        if self.closed or self._over:
            return
        self._over = True
        usage = Usage(*self._usage) if any(self._usage) else None
        match error:
            case None if self._answered:
                self.emit(RunEnded("answered", usage))
            case None:
                self.emit(RunEnded("failed", usage, self._no_answer()))
            case OutOfRounds():
                self.emit(RunEnded("max_iterations", usage))
            case AgentError():
                self.emit(RunEnded("failed", usage, error.failure))
            case _:
                logger.error("an agent's run failed", exc_info=error)
                failure = Failure(
                    "internal",
                    "Something went wrong on the site. Please try again.",
                    retryable=True,
                )
                self.emit(RunEnded("failed", usage, failure))

    def _no_answer(self) -> Failure:
        if self._finish_reason == "length":
            return Failure(
                "model_error",
                "The model used up all the text it may write before it came to an "
                "answer. Please try again, or ask for less at once.",
                retryable=True,
            )
        if self._finish_reason == "content_filter":
            return Failure(
                "model_error",
                "The model's provider withheld the answer (content filter). Please "
                "put the question differently.",
                retryable=False,
            )
        return Failure(
            "model_error",
            "The model ended without an answer. Please try again.",
            retryable=True,
        )


async def _invoke(
    call: Call,
    invoke: Callable[[dict[str, Any]], Awaitable[str]] | None,
    limit: float,
) -> str:
    """Call the tool within its time; whatever goes wrong becomes a `ToolError`."""
    if invoke is None:
        raise ToolError(f"There is no tool “{call.name[:60]}”.")
    if call.arguments is None:
        raise ToolError("The tool was not called: its arguments are no JSON object.")
    try:
        async with asyncio.timeout(limit):
            return await invoke(call.arguments)
    except ToolError:
        raise
    except TimeoutError:
        message = f"The tool “{call.name}” did not finish within {limit:g} seconds."
        raise ToolError(message) from None
    except Exception as error:
        # A tool is a third party: what it raises is logged, never shown.
        logger.warning("the tool %s failed", call.name, exc_info=error)
        message = f"The tool “{call.name}” failed ({type(error).__name__})."
        raise ToolError(message) from None


def _shortened(text: str) -> str:
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    text = text.encode(errors="replace").decode()
    if len(text) <= MAX_RESULT:
        return text
    return f"{text[:MAX_RESULT]}\n… ({len(text) - MAX_RESULT} more characters left out)"


def _reject(promise: Future[Any], error: BaseException) -> None:
    try:
        promise.set_exception(error)
    except InvalidStateError:
        return  # it was settled in the same moment
