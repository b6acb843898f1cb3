"""One run of Qwen-Agent's own agents: who speaks, inside what, and what is the answer.

An agent's `run` is a scope; agents run by agents are scopes inside it. What is said in
a scope carries its agent's name. The text of a round may be the answer or not: its step
is held open until it is clear whether anything follows.
"""

from __future__ import annotations

import contextvars
import json
import re
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Literal, TypeVar

from chat.agents.base import (
    Exchange,
    Failure,
    OpenPart,
    Part,
    PartStatus,
    PartType,
    RunEnded,
    RunSink,
)
from chat.agents.model.client import ChatModel, ChatRequest
from chat.agents.model.fields import CallDelta
from chat.agents.model.rounds import Call, Round, object_in
from chat.agents.qwen.run import LibraryRun, OutOfRounds, RunClosed
from chat.agents.qwen.threads import ThreadPool

S = TypeVar("S")
T = TypeVar("T")

# Who a scope's agent is among those that run it: most go on inside a step; speakers in
# turn keep their answers; a host chooses among them; a helper is not seen itself.
Role = Literal["inside", "speaker", "host", "helper"]

YOUR_TURN: Final = "It is your turn."
HOLD_BACK: Final = ("\nAction:", "\nFinal Answer:")  # what begins so is not shown yet
_THOUGHT: Final = re.compile(r".*</think>", re.DOTALL)


class RunOver(BaseException):
    """What ends the whole run, whatever the agent's own loop catches."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(str(error))
        self.error = error


class Scope:
    """An agent that is running, inside the scope that runs it."""

    def __init__(
        self,
        run: HostedRun,
        agent: Any = None,
        *,
        outer: Scope | None = None,
        label: str = "",
        role: Role = "inside",
        is_react: bool = False,
    ) -> None:
        self.run = run
        self.agent = agent
        self.outer = outer
        self.label = label
        self.role: Role = role
        self.is_react = is_react
        self.is_opaque = is_react  # its text is not what it returns
        self.calls: deque[Call] = deque()  # decided on, not yet made
        self.call: int | None = None  # the step of the call that is being made
        self._parent: int | None = None
        self._has_parent = False

    def is_inside(self, other: Scope) -> bool:
        """Whether it is the other, or runs in it."""
        at: Scope | None = self
        while at is not None and at is not other:
            at = at.outer
        return at is other

    def parent(self) -> int | None:
        """The number of the step that this scope's steps are inside of."""
        if not self._has_parent:
            self._has_parent = True
            self._parent = self._find_parent()
        return self._parent

    def _find_parent(self) -> int | None:
        outer = self.outer
        if outer is None or outer.outer is None:
            return None  # the run's own agent
        if self.role != "inside":
            return outer.parent()
        if outer.call is not None:
            return outer.call
        held = self.run.held
        if held is not None and held.scope is outer:
            self.run.settle("thought")
            return held.number
        asked = ScopedSink(self.run, outer).start("thought", self.run.iteration)
        asked.grow(f"{self.label} is asked.")
        asked.finish()
        return asked.number

    # ---- for the run's thread

    def returned(self, messages: Sequence[Any]) -> None:
        """The agent has yielded this; show what of it no model has said here."""
        text = last_text(messages)
        held = self.run.held
        if self.run.telling is not None:
            return  # what a model says is told of by itself
        if self.is_opaque or self.role in {"helper", "host"} or not text:
            return
        if held is not None:
            if not held.is_own or same(held.content, text):
                return
        elif self.run.has_said(text):
            return
        self.run.ask(partial(self.run.say_own, self, text))

    def left(self, messages: Sequence[Any]) -> None:
        """The agent has come to its end, having yielded this last."""
        self.run.ask(partial(self.run.leave, self, last_text(messages)))

    def ask(self, model: ChatModel, request: ChatRequest, tools: Any) -> Said:
        """One round of the model, shown as it comes; `tools` are those in the text."""
        return self._ask(partial(self.run.round, self, model, request, tools))

    def tell(self, snapshots: Snapshots, messages: Sequence[Any]) -> None:
        """More of what a model of another kind says."""
        self._ask(partial(snapshots.update, messages))

    def _ask(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return self.run.ask(work)
        except OutOfRounds as error:
            raise RunOver(error) from None

    def call_tool(self, name: str, arguments: Any, tool: Any, given: Any) -> Any:
        """Make a call, and give the library its result."""
        context = contextvars.copy_context()
        work = partial(self.run.use, self, name, arguments, tool, given, context)
        return self.run.ask(work)


def last_text(messages: Sequence[Any]) -> str:
    """The text that the last of the library's messages says, if it is an agent's."""
    if not messages:
        return ""
    last = messages[-1]
    if last["role"] == "function" or last.get("function_call"):
        return ""
    return _THOUGHT.sub("", _content(last), count=1).strip()


def same(one: str, other: str) -> bool:
    """Whether the two texts are the same to a reader."""
    return one.strip() == other.strip()


class HeldPart:
    """A text that is the answer unless something follows it."""

    def __init__(self, scope: Scope, part: OpenPart, kind: PartType) -> None:
        self.scope = scope
        self.is_own = False  # the agent's own words, not a model's
        self._part = part
        self._kind = kind
        self._server_fields: dict[str, Any] | None = None
        self.grow = part.grow  # the token path

    @property
    def number(self) -> int:
        return self._part.number

    @property
    def content(self) -> str:
        return self._part.content

    def replace(self, *, kind: PartType | None = None, text: str | None = None) -> None:
        if kind is not None:
            self._kind = kind
        self._part.replace(kind=kind, text=text)

    def progress(
        self, text: str = "", done: float | None = None, total: float | None = None
    ) -> None:
        self._part.progress(text, done, total)

    def finish(
        self,
        status: PartStatus = "ok",
        tool_input: dict[str, Any] | None = None,
        server_fields: dict[str, Any] | None = None,
    ) -> None:
        if status == "ok" and self._kind == "final_answer":
            self._server_fields = server_fields
            self.scope.run.held = self
        else:
            self._part.finish(status, tool_input, server_fields)

    def settle(self, kind: PartType) -> None:
        """It is that for good."""
        if kind != self._kind:
            self._part.replace(kind=kind)
        self._part.finish(server_fields=self._server_fields)


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
        parent = scope.parent() if parent is None else parent
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
        return HeldPart(scope, part, kind)

    def count(self, usage: Any) -> None:
        self._run.sink.count(usage)

    @property
    def crowded(self) -> bool:
        return self._run.sink.crowded

    async def committed(self) -> None:
        await self._run.sink.committed()


class Said:
    """What a model has said in a round: its text as it came, and what it meant."""

    def __init__(self, text: str, meant: Round) -> None:
        self.text = text
        self.meant = meant


class _Ear:
    """Takes a model's deltas: keeps the text as it came, and tells the round."""

    def __init__(self, said: Round, feed: Callable[[str], object]) -> None:
        self.chunks: list[str] = []
        self.reasoning_fields = said.reasoning_fields
        self.reasoning = said.reasoning
        self.call = said.call
        keep = self.chunks.append

        def text(piece: str) -> None:
            keep(piece)
            feed(piece)

        self.text = text


class ReactText:
    """What a model says in the form Thought, Action, Final Answer, piece by piece."""

    def __init__(self, said: Round) -> None:
        self._said = said
        self._held = "\n"  # what begins a line may begin the text
        self._is_fresh = True  # nothing of this part was said
        self._part: Literal["thought", "action", "answer"] = "thought"

    def feed(self, text: str) -> None:
        """More text."""
        if self._part == "answer":
            self._say(text)
            return
        self._held += text
        if self._part == "thought":
            self._look()

    def _look(self) -> None:
        found = re.search(r"\n(Action|Final Answer):", self._held)
        if found is not None:
            self._think(self._held[: found.start()])
            self._is_fresh = True
            rest = self._held[found.end() :]
            if found[1] == "Action":
                self._part, self._held = "action", self._held[found.start() :]
            else:
                self._part, self._held = "answer", ""
                self._say(rest)
            return
        keep = self._held.rfind("\n")
        tail = self._held[keep:] if keep >= 0 else ""
        if not any(sign.startswith(tail) for sign in HOLD_BACK):
            tail = ""
        shown = self._held[: len(self._held) - len(tail)]
        self._held = tail
        self._think(shown)

    def close(self) -> None:
        """That was all. What has no form is the answer."""
        if self._part == "action":
            if "\nAction Input:" not in self._held:
                self._say(self._held)
        elif self._part == "thought":
            self._think(self._held)
            self._said.answer_after_all()

    def _think(self, text: str) -> None:
        if text := self._trimmed(text):
            self._said.think(text)

    def _say(self, text: str) -> None:
        if text := self._trimmed(text):
            self._said.say(text)

    def _trimmed(self, text: str) -> str:
        """Without the space at its part's beginning."""
        text = text.lstrip() if self._is_fresh else text
        self._is_fresh = self._is_fresh and not text
        return text


class Snapshots:
    """A round of a model of another kind, told by what it has said so far."""

    def __init__(self, run: HostedRun, scope: Scope) -> None:
        self._run = run
        self._scope = scope
        self._round: Round | None = None
        self._told = {"reasoning": "", "text": ""}
        self._last: Sequence[Any] = ()

    async def update(self, messages: Sequence[Any]) -> None:
        """All that the model has said so far, as the library has it."""
        if self._round is None:
            self._round = self._run.begin_round(self._scope, {})
            self._run.telling = self
        self._last = messages
        reasoning = "".join(str(m.get("reasoning_content") or "") for m in messages)
        text = "".join(_content(m) for m in messages if not m.get("function_call"))
        sign = text.rfind("<")
        if sign >= 0 and "<tool_call>".startswith(text[sign:]):
            text = text[:sign]
        self._tell("reasoning", reasoning, self._round.reasoning)
        self._tell("text", text, self._round.text)
        if self._run.sink.crowded:
            await self._run.sink.committed()

    def _tell(self, kind: str, text: str, tell: Callable[[str], object]) -> None:
        told = self._told[kind]
        if text.startswith(told) and text != told:
            tell(text[len(told) :])
            self._told[kind] = text

    async def finish(self) -> None:
        """That was all."""
        if self._round is None:
            return
        self._run.telling = None
        for index, message in enumerate(self._last):
            if call := message.get("function_call"):
                delta = CallDelta(call["name"], call["arguments"], index=index)
                self._round.call(delta)
        self._round.finish()
        self._scope.calls.extend(self._round.calls)


def _content(message: Any) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(item.get("text") or "") for item in content)


class HostedRun(LibraryRun):
    """What one run of an agent of the library's own does on the event loop."""

    def __init__(
        self,
        sink: RunSink,
        *,
        history: Sequence[Exchange],
        done: Sequence[Part],
        max_rounds: int,
        thinking: bool,
        tool_threads: ThreadPool,
        tool_timeout: float,
    ) -> None:
        super().__init__(
            None,
            sink,
            history=history,
            done=done,
            max_rounds=max_rounds,
            text_protocol=False,
            thinking=thinking,
        )
        self.sink = sink
        self.held: HeldPart | None = None
        self.telling: Snapshots | None = None  # a round that is under way
        self.base = Scope(self)
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

    def begin_round(self, scope: Scope, tools: Any) -> Round:
        """A new round of a model, said in this scope. Raises OutOfRounds."""
        sink = ScopedSink(self, scope)
        return self._begin_round(sink, tools, text_protocol=bool(tools))

    async def round(
        self, scope: Scope, model: ChatModel, request: ChatRequest, tools: Any
    ) -> Said:
        """Ask the model once, showing its answer as it comes."""
        said = self.begin_round(scope, tools)
        react = ReactText(said) if scope.is_react else None
        ear = _Ear(said, said.text if react is None else react.feed)
        await self._hear(said, ear, model, request)
        if react is not None:
            react.close()
        said.finish()
        scope.calls.extend(said.calls)
        return Said("".join(ear.chunks), said)

    async def say_own(self, scope: Scope, text: str) -> None:
        """An agent's own words, or more of them."""
        held = self.held
        is_more = held is not None and held.is_own and held.scope is scope
        if held is not None and is_more and text.startswith(held.content):
            held.grow(text[len(held.content) :])
            return
        part = ScopedSink(self, scope).start("final_answer", self.iteration)
        part.grow(text)
        part.finish()
        if self.held is not None:
            self.held.is_own = True

    async def leave(self, scope: Scope, text: str) -> None:
        """The scope's agent has ended with this text."""
        if self.telling is not None:  # nobody wanted the rest of it
            await self.telling.finish()
        if scope.role in {"helper", "host"}:
            if self.held is not None and self.held.scope.is_inside(scope):
                self.settle("thought")
            return
        if text.startswith("<!-- INTERRUPT: PENDING_USER_INPUT"):
            text = YOUR_TURN
        held = self.held
        if text and not scope.is_opaque:
            if held is None and not self.has_said(text):
                await self.say_own(scope, text)
            elif held is not None and not same(held.content, text):
                if held.scope is scope:
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
    ) -> Any:
        """Make a call that the library asks for; its result, for the model."""
        sink = ScopedSink(self, scope)
        call, number = self._decided(scope, sink, name, arguments)
        results: list[Any] = []

        def invoke(_: dict[str, Any]) -> str:
            result = context.run(tool.call, arguments, **given)
            results.append(result)
            return _as_text(result)

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
        if results and isinstance(results[0], list) and not text.startswith("Error: "):
            return results[0] if all(map(_is_item, results[0])) else text
        return text

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
        part.finish("ok", parsed)
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
