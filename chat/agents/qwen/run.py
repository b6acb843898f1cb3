"""One run of the library: what happens on the event loop while a thread decides.

The thread asks for a model round or a tool call and gets the finished result; what
happens meanwhile is told to the run's sink directly from the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future, InvalidStateError
from itertools import count
from typing import Any, Final, TypeVar

from chat.agents.base import (
    AgentError,
    CutCause,
    Exchange,
    Failure,
    Part,
    RunEnded,
    RunSink,
    Usage,
)
from chat.agents.model import errors
from chat.agents.model.client import ChatModel, ChatRequest
from chat.agents.model.rounds import Call, Round
from chat.agents.model.sse import DeltaSink
from chat.agents.model.textcalls import Tools
from chat.agents.tools.base import ToolError
from chat.agents.tools.errors import kind_and_message

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_RESULT: Final = 32_000  # characters of a tool's result that are kept
MAX_CALL_ID: Final = 100  # characters of a server's id that can be kept
MAX_REPEATS: Final = 3  # times the same call in a row, where calls are text

# What servers say of an answer that is not whole, and why; any other reason is whole.
CUT: Final[dict[str | None, CutCause]] = {
    None: "ended",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "content_filter": "filter",
    "safety": "filter",
    "recitation": "filter",
    "prohibited_content": "filter",
    "sensitive": "filter",
    "guardrail_intervened": "filter",
}
BROKEN: Final = frozenset(
    {"error", "abort", "aborted", "cancelled", "network_error"}
    | {"insufficient_system_resource", "malformed_function_call"}
)


class RunClosed(BaseException):
    """Nobody waits for this run any more.

    Not an Exception: loops of the library, and of others, catch those and go on.
    """


def has_answer(done: Sequence[Part]) -> bool:
    """Whether the answer is among what was done."""
    return any(part.type == "final_answer" and part.status == "ok" for part in done)


class OutOfRounds(Exception):  # noqa: N818 - an end, not an error
    """The model has had all the rounds it may have."""


class AnswerCut(Exception):  # noqa: N818 - an end, not an error
    """The model's answer is not whole."""

    def __init__(self, cause: CutCause) -> None:
        super().__init__(cause)
        self.cause: CutCause = cause


class LibraryRun:
    """What one run does on the event loop, and the tasks that do it."""

    def __init__(
        self,
        model: ChatModel | None,
        sink: RunSink,
        *,
        history: Sequence[Exchange],
        done: Sequence[Part],
        max_rounds: int,
        text_protocol: bool,
        thinking: bool,
    ) -> None:
        """The run goes on after `done`, and its calls get no ids of earlier ones."""
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[RunEnded] = self.loop.create_future()
        self.calls: deque[Call] = deque()  # decided on in this round, not yet made
        self.thinking = thinking
        self._model = model
        self._sink = sink
        self._text_protocol = text_protocol
        self._iteration = max((part.iteration for part in done), default=0)
        self._last_iteration = self._iteration + max_rounds
        earlier = (part for exchange in history for part in exchange.parts)
        self._ids = {part.call_id for part in (*done, *earlier)}
        self._fresh_ids = count(1)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._promises: set[Future[Any]] = set()
        self._usage = (0, 0)
        self._answered = False
        self._last_call: tuple[str, str] | None = None
        self._repeats = 0
        self.closed = False

    def prepare(self) -> None:
        """Let the model get ready while the thread does."""
        assert self._model is not None  # noqa: S101 - who prepares has one
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

    async def model_round(self, request: ChatRequest, tools: Tools) -> Round:
        """Ask the model once, showing its answer as it comes."""
        assert self._model is not None  # noqa: S101 - who asks has one
        said = self._begin_round(self._sink, tools, text_protocol=self._text_protocol)
        await self._hear(said, said, self._model, request)
        said.finish()
        self._check_repeats(said.calls)
        self.calls.extend(said.calls)
        self._answered = bool(said.answer.strip()) and not said.calls
        return said

    def _begin_round(
        self, sink: RunSink, tools: Tools, *, text_protocol: bool
    ) -> Round:
        """A new round of a model, said to this sink. Raises OutOfRounds."""
        if self._iteration >= self._last_iteration:
            raise OutOfRounds
        self._iteration += 1
        return Round(
            sink,
            self._iteration,
            text_protocol=text_protocol,
            tools=tools,
            name_call=self._name_call,
        )

    async def _hear(
        self, said: Round, ear: DeltaSink, model: ChatModel, request: ChatRequest
    ) -> None:
        """Have the model say a round, to `ear`; raise where it is not whole."""
        try:
            completion = await model.stream(request, ear, self._sink)
        except Exception:
            said.abort("error")
            raise
        self._count(completion.input_tokens, completion.output_tokens)
        self._check_whole(said, completion.finish_reason)
        said.extras = completion.extras

    async def tool_call(
        self,
        call: Call,
        invoke: Callable[[dict[str, Any]], Awaitable[str]] | None,
        limit: float,
        iteration: int | None = None,
        *,
        sink: RunSink | None = None,
    ) -> str:
        """Make a call of the model; the text is for the model, errors and all.

        The tool is called only when the beginning of the `tool_result` part is stored.
        """
        part = (sink or self._sink).start(
            "tool_result", iteration or self._iteration, call.name, call.call_id
        )
        await self._sink.committed()
        try:
            text = _shortened(await _invoke(call, invoke, limit))
        except ToolError as error:
            text = str(error)
            part.grow(text)
            part.finish("error")
            return f"Error: {text}"
        if text:
            part.grow(text)
        part.finish()
        return text

    def _name_call(self, wanted: str) -> str:
        """An id for a call: the server's own, if it can be told from all others.

        Else one of nine letters and digits, which every server takes.
        """
        if not wanted or wanted in self._ids or len(wanted) > MAX_CALL_ID:
            fresh = (f"call{number:05}" for number in self._fresh_ids)
            wanted = next(each for each in fresh if each not in self._ids)
        self._ids.add(wanted)
        return wanted

    def _count(self, given: int, written: int) -> None:
        self._usage = (self._usage[0] + given, self._usage[1] + written)
        if any(self._usage):
            self._sink.count(Usage(*self._usage))

    @staticmethod
    def _check_whole(said: Round, reason: str | None) -> None:
        """Raise where half of an answer would be taken for a whole one."""
        low = None if reason is None else reason.lower()
        if low in BROKEN:
            said.abort("error")
            raise errors.failed(started=True)
        if low in CUT:
            said.abort("stopped")
            if CUT[low] == "filter" and not said.started:
                raise errors.filtered()
            raise AnswerCut(CUT[low])

    def _check_repeats(self, calls: list[Call]) -> None:
        """Raise where a model that writes its calls as text goes round in circles."""
        for call in calls if self._text_protocol else ():
            same = (call.name, json.dumps(call.arguments, sort_keys=True) or call.text)
            self._repeats = self._repeats + 1 if same == self._last_call else 1
            self._last_call = same
            if self._repeats == MAX_REPEATS:
                raise AgentError(
                    "model_error",
                    f"The model asked for the same call of “{call.name[:60]}” "
                    f"{MAX_REPEATS} times in a row, so it was stopped. Please try "
                    "again, or put the question differently.",
                    retryable=True,
                )

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
        if self.closed or self.ended.done():
            return
        usage = Usage(*self._usage) if any(self._usage) else None
        self.ended.set_result(self._ending(error, usage))

    def _ending(self, error: BaseException | None, usage: Usage | None) -> RunEnded:
        match error:
            case None if self._answered:
                return RunEnded("answered", usage)
            case None:
                return RunEnded("failed", usage, NO_ANSWER)
            case AnswerCut():
                return RunEnded("cut", usage, cause=error.cause)
            case OutOfRounds():
                return RunEnded("max_iterations", usage)
            case AgentError():
                return RunEnded("failed", usage, error.failure)
            case _:
                logger.error("an agent's run failed", exc_info=error)
                return RunEnded("failed", usage, INTERNAL)


INTERNAL: Final = Failure(
    "internal",
    "Something went wrong on the site. Please try again.",
    retryable=True,
)
NO_ANSWER: Final = Failure(
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
        # A tool is a third party: what it raises is logged whole, and shown cleaned.
        logger.warning("the tool %s failed", call.name, exc_info=error)
        why = kind_and_message(error)
        message = f"The tool “{call.name}” failed: {why}"
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
