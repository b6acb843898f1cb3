"""One run of Qwen-Agent's own agents: who speaks, inside what, and what is the answer.

An agent's `run` is a scope; agents run by agents are scopes inside it. What is said in
a scope carries its agent's name. The text of a round may be the answer or not: its step
is held open until it is clear whether anything follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from chat.agents.base import OpenPart, PartStatus, PartType
from chat.agents.model.rounds import Call

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
        agent: Any = None,
        *,
        outer: Scope | None = None,
        label: str = "",
        role: Role = "inside",
        is_react: bool = False,
    ) -> None:
        self.agent = agent
        self.outer = outer
        self.label = label
        self.role: Role = role
        self.is_react = is_react
        self.is_opaque = False  # its text is not what it returns
        self.calls: deque[Call] = deque()  # decided on, not yet made
        self.call: int | None = None  # the step of the call that is being made
        self.parent: int | None = None  # the step that its steps are inside of,
        self.has_parent = False  # once that is known

    def is_inside(self, other: Scope) -> bool:
        """Whether it is the other, or runs in it."""
        at: Scope | None = self
        while at is not None and at is not other:
            at = at.outer
        return at is other


class HeldPart:
    """A text that is the answer unless something follows it."""

    def __init__(
        self,
        scope: Scope,
        part: OpenPart,
        kind: PartType,
        hold: Callable[[HeldPart], None],
    ) -> None:
        """`hold` is told when the text is finished as an answer."""
        self.scope = scope
        self._hold = hold
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
            self._hold(self)
        else:
            self._part.finish(status, tool_input, server_fields)

    def settle(self, kind: PartType) -> None:
        """It is that for good."""
        if kind != self._kind:
            self._part.replace(kind=kind)
        self._part.finish(server_fields=self._server_fields)
