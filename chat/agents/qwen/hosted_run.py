"""One run of agents of the library's own, as it happens on the event loop."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from chat.agents.base import (
    Exchange,
    Failure,
    OpenPart,
    Part,
    PartType,
    RunEnded,
    RunSink,
    Usage,
)
from chat.agents.model.client import ChatModel, ChatRequest
from chat.agents.model.rounds import Call, Round, object_in
from chat.agents.qwen.history import told
from chat.agents.qwen.replay import ASKED, OWN, Diverged, Recorded, Replay, ReplayedPart
from chat.agents.qwen.run import LibraryRun, RunClosed
from chat.agents.qwen.scopes import HeldPart, RunOver, Scope
from chat.agents.qwen.speech import (
    Ear,
    ReactText,
    Said,
    Snapshots,
    UpTo,
    is_trimmed,
    same,
)
from chat.agents.qwen.threads import ThreadPool

S = TypeVar("S")
T = TypeVar("T")

STARTS_AGAIN: Final = Failure(
    "internal",
    "The server working on this answer was lost, and this agent does something else "
    "when it begins anew. Press Continue to have it start again: what it did may be "
    "done twice.",
    retryable=True,
)


class HostedRun(LibraryRun):
    """What one run of an agent of the library's own does on the event loop."""

    def __init__(  # noqa: PLR0913 - what a run consists of
        self,
        sink: RunSink,
        *,
        history: Sequence[Exchange],
        done: Sequence[Part],
        max_rounds: int,
        thinking: bool,
        tool_threads: ThreadPool,
        tool_timeout: float,
        replay: bool = False,
    ) -> None:
        """`replay`: the agent begins anew, and is given what is `done` (see there)."""
        super().__init__(
            None,
            sink,
            history=history,
            done=done,
            max_rounds=max_rounds,
            text_protocol=False,
            thinking=thinking,
        )
        self._replay = Replay(sink, done) if replay and done else None
        self.sink: RunSink = self._replay or sink
        if self._replay is not None:
            self._newest, self._iteration = self._iteration, 0
        self.held: HeldPart | None = None
        self.telling: tuple[Scope, Snapshots] | None = None  # a round under way
        self.base = Scope()
        self._said: list[str] = []  # texts that were settled
        self._tool_threads = tool_threads
        self._tool_timeout = tool_timeout

    @property
    def iteration(self) -> int:
        """The round under way."""
        return max(1, self._iteration)

    def has_said(self, text: str) -> bool:
        """Whether this was shown before."""
        return any(same(said, text) for said in self._said)

    def settle(self, kind: PartType) -> None:
        """What was held is this for good."""
        held, self.held = self.held, None
        if held is None:
            return
        self._said.append(held.content)
        self._answered = self._answered or kind == "final_answer"
        held.settle(kind)

    def parent_of(self, scope: Scope) -> int | None:
        """The number of the step that the scope's steps are inside of."""
        if not scope.has_parent:
            scope.has_parent = True
            scope.parent = self._find_parent(scope)
        return scope.parent

    def _find_parent(self, scope: Scope) -> int | None:
        outer = scope.outer
        if outer is None or outer.outer is None:
            return None  # the run's own agent
        if scope.role != "inside":
            return self.parent_of(outer)
        if outer.call is not None:
            return outer.call
        held = self.held
        if held is not None and held.scope is outer:
            self.settle("thought")
            return held.number
        asked = ScopedSink(self, outer).start("thought", self.iteration)
        asked.grow(f"{scope.label} is asked.")
        asked.finish(server_fields=ASKED)
        return asked.number

    def hold(self, part: HeldPart) -> None:
        """The text is the answer, unless something follows it."""
        self.held = part

    def snapshots(self, scope: Scope) -> Snapshots:
        """For a round of a model that speaks by them."""

        def begin() -> Round:
            self.telling = scope, snapshots
            said = self.begin_round(scope, {})
            said.raw = snapshots.text
            return said

        snapshots = Snapshots(begin, self.sink)
        return snapshots

    async def end_of_snapshots(self) -> None:
        """The model has said all that it will, or nobody wants the rest."""
        if self.telling is None:
            return
        (scope, snapshots), self.telling = self.telling, None
        snapshots.finish()
        if snapshots.round is not None:
            scope.calls.extend(snapshots.round.calls)

    def begin_round(
        self, scope: Scope, tools: Any, recorded: Recorded | None = None
    ) -> Round:
        """A new round of a model, said in this scope. Raises OutOfRounds."""
        sink = ScopedSink(self, scope)
        said = self._begin_round(sink, tools, text_protocol=bool(tools))
        if recorded is not None:
            ids = recorded.call_ids
            said.name_call = lambda wanted: next(ids, wanted)
        return said

    async def round(
        self,
        scope: Scope,
        model: ChatModel,
        request: ChatRequest,
        tools: Any,
        sign: str,
    ) -> Said:
        """Ask the model once, showing its answer as it comes; or say it once more."""
        recorded = self._next_recorded()
        said = self.begin_round(scope, {} if sign else tools, recorded)
        form: ReactText | UpTo | None = None
        if scope.is_react:
            form = ReactText(said)
        elif sign:
            form = UpTo(sign, said.text)
        ear = Ear(said, said.text if form is None else form.feed)
        said.raw = ear.so_far
        if recorded is not None:
            recorded.play(ear, calls_in_text=bool(tools) or scope.is_react)
            said.extras = recorded.extras
        else:
            await self._hear(said, ear, model, request)
        if form is not None:
            form.close()
        said.finish()
        scope.calls.extend(said.calls)
        return Said(ear.so_far(), said)

    async def recorded_round(self, scope: Scope) -> Round | None:
        """What a model of another kind said here, where that is recorded."""
        recorded = self._next_recorded()
        if recorded is None:
            return None
        said = self.begin_round(scope, {}, recorded)
        recorded.play(said, calls_in_text=False)
        said.finish()
        scope.calls.extend(said.calls)
        return said

    def _next_recorded(self) -> Recorded | None:
        if self._replay is None:
            return None
        recorded = self._replay.round()
        if recorded is None:  # from here on everything is new
            self._replay, self._iteration = None, self._newest
        else:
            self._iteration = recorded.iteration - 1
        return recorded

    async def say_own(self, scope: Scope, text: str) -> None:
        """An agent's own words, or more of them."""
        held = self.held
        is_more = held is not None and held.is_own and held.scope is scope
        if held is not None and is_more and text.startswith(held.content):
            held.grow(text[len(held.content) :])
            return
        part = ScopedSink(self, scope).start("final_answer", self.iteration)
        part.grow(text)
        part.finish(server_fields=OWN)
        if self.held is not None:
            self.held.is_own = True

    async def leave(self, scope: Scope, text: str) -> None:
        """The scope's agent has ended with this text."""
        await self.end_of_snapshots()
        if scope.role in {"helper", "host"}:
            if self.held is not None and self.held.scope.is_inside(scope):
                self.settle("thought")
            return
        held = self.held
        if text and not scope.is_opaque:
            if held is None and not self.has_said(text):
                await self.say_own(scope, text)
            elif held is not None and not same(held.content, text):
                if held.scope is scope and is_trimmed(text, held.content):
                    held.replace(text=text)
                else:
                    await self.say_own(scope, text)
        if scope.role == "speaker":
            self.settle("final_answer")

    async def use(
        self,
        scope: Scope,
        name: str,
        arguments: Any,
        tool: Any,
        given: Any,
        context: contextvars.Context,
        shown: Callable[[Any], Any] | None,
    ) -> Any:
        """Make a call that the library asks for; its result, for the model."""
        sink = ScopedSink(self, scope)
        seen = shown(arguments) if shown is not None else arguments
        call, number = self._decided(scope, sink, name, seen)
        if self._replay is not None:
            recorded = self._replay.result(call.call_id)
            if recorded is not None:
                self.settle("thought")
                return told(recorded)
        results: list[Any] = []

        def invoke(_: dict[str, Any]) -> str:
            result = context.run(tool.call, arguments, **given)
            results.append(result)
            return _as_text(result if shown is None else shown(result))

        async def work(parsed: dict[str, Any]) -> str:
            if hasattr(tool, "call_here"):
                return str(await tool.call_here(parsed))
            return str(await self._tool_threads.call(_within_run(invoke), parsed))

        limit = getattr(tool, "time_limit", None) or self._tool_timeout
        before, scope.call = scope.call, number
        try:
            text = await self.tool_call(
                call, work if tool is not None else None, limit, sink=sink
            )
        finally:
            scope.call = before
        if not results or text.startswith("Error: "):
            return text
        if shown is not None:
            return shown(results[0])
        is_items = isinstance(results[0], list) and all(map(_is_item, results[0]))
        return results[0] if is_items else text

    def _decided(
        self, scope: Scope, sink: ScopedSink, name: str, arguments: Any
    ) -> tuple[Call, int | None]:
        """The call that the model asked for; or one that the agent makes itself."""
        for call in scope.calls:
            if call.name == name:
                scope.calls.remove(call)
                known = call.arguments if call.arguments is not None else {}
                return Call(call.call_id, name, call.text, known), call.step
        text = arguments if isinstance(arguments, str) else _json(arguments)
        parsed = object_in(text)
        call_id = self._name_call("")
        part = sink.start("tool_use", self.iteration, name, call_id)
        part.grow(text or "{}")
        part.finish("ok", parsed, OWN)
        call_id = part.call_id if isinstance(part, ReplayedPart) else call_id
        return Call(call_id, name, text, parsed or {}), part.number

    def _end(self, error: BaseException | None) -> None:
        if self.closed or self.ended.done():
            return
        if error is None:
            self.settle("final_answer")
        elif self.held is not None:
            self.held.settle("thought")
            self.held = None
        super()._end(error)

    def _ending(self, error: BaseException | None, usage: Usage | None) -> RunEnded:
        if isinstance(error, Diverged):
            return RunEnded("server_lost", usage, STARTS_AGAIN)
        return super()._ending(error, usage)


class ScopedSink:
    """The run's sink, for what is said in a scope."""

    def __init__(self, run: HostedRun, scope: Scope) -> None:
        self._run = run
        self._scope = scope

    def start(
        self,
        kind: PartType,
        iteration: int,
        tool_name: str = "",
        call_id: str = "",
        *,
        agent: str = "",
        parent: int | None = None,
    ) -> OpenPart:
        """Open a part; what was held before it was not the answer."""
        scope = self._scope
        parent = self._run.parent_of(scope) if parent is None else parent
        self._run.settle("thought")
        part = self._run.sink.start(
            kind,
            iteration,
            tool_name,
            call_id,
            agent=agent or scope.label,
            parent=parent,
        )
        if kind in {"tool_use", "tool_result"}:
            return part
        return HeldPart(scope, part, kind, self._run.hold)

    def count(self, usage: Any) -> None:
        self._run.sink.count(usage)

    @property
    def crowded(self) -> bool:
        return self._run.sink.crowded

    async def committed(self) -> None:
        await self._run.sink.committed()


def _within_run(function: Callable[[S], T]) -> Callable[[S], T | None]:
    """The function, where what ends the run is an error like others, or nothing."""

    def call(argument: S) -> T | None:
        try:
            return function(argument)
        except RunClosed:
            return None  # for which nobody waits any more
        except RunOver as over:
            if over.error is None:
                return None
            raise over.error from None

    return call


def _is_item(item: Any) -> bool:
    return hasattr(item, "get_type_and_value")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=4, default=str)


def _as_text(result: Any) -> str:
    """A tool's result as it is shown, and as the library tells it to the model."""
    if isinstance(result, str):
        return result
    if isinstance(result, list) and all(map(_is_item, result)):
        return "\n".join(
            str(item.text) if item.text else f"[{item.type}]" for item in result
        )
    return _json(result)


def out_of_order(reason: str) -> RunEnded:
    """The end of a run of an agent that could not be made."""
    message = f"This agent is out of order: {reason}"
    return RunEnded("failed", error=Failure("internal", message, retryable=True))
