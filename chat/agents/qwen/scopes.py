"""One run of Qwen-Agent's own agents: who speaks, inside what, and what is the answer.

An agent's `run` is a scope; agents run by agents are scopes inside it. What is said in
a scope carries its agent's name. The text of a round may be the answer or not: its step
is held open until it is clear whether anything follows.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from chat.agents.base import (
    OpenPart,
    PartStatus,
    PartType,
)
from chat.agents.model.client import ChatModel, ChatRequest
from chat.agents.model.rounds import Call
from chat.agents.qwen.run import OutOfRounds
from chat.agents.qwen.speech import Said, Snapshots, last_text, same

if TYPE_CHECKING:
    from chat.agents.qwen.hosted_run import HostedRun

T = TypeVar("T")

# Who a scope's agent is among those that run it: most go on inside a step; speakers in
# turn keep their answers; a host chooses among them; a helper is not seen itself.
Role = Literal["inside", "speaker", "host", "helper"]


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

    def call_tool(
        self,
        name: str,
        arguments: Any,
        tool: Any,
        given: Any,
        shown: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Make a call, and give the library its result.

        `shown`: what people see of arguments and result, where that is not all.
        """
        context = contextvars.copy_context()
        use = partial(self.run.use, self, name, arguments, tool, given, context, shown)
        return self.run.ask(use)


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
