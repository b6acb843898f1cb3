"""What the run's thread asks of the run, from inside an agent of the library."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar

from msgspec import Struct

from chat.agents.model.client import ChatModel, ChatRequest
from chat.agents.model.rounds import Round
from chat.agents.qwen.hosted_run import HostedRun
from chat.agents.qwen.run import OutOfRounds
from chat.agents.qwen.scopes import RunOver, Scope
from chat.agents.qwen.speech import YOUR_TURN, Said, Snapshots, last_text, same

T = TypeVar("T")


class Inside(Struct, frozen=True):
    """Which agent of which run a thread is working for."""

    run: HostedRun
    scope: Scope

    def returned(self, messages: Sequence[Any]) -> None:
        """The agent has yielded this; show what of it no model has said here."""
        scope = self.scope
        text = last_text(messages)
        held = self.run.held
        if self.run.telling is not None:
            return  # what a model says is told of by itself
        if scope.is_opaque or scope.role in {"helper", "host"} or not text:
            return
        if held is not None:
            if not held.is_own or same(held.content, text):
                return
        elif self.run.has_said(text):
            return
        self.run.ask(partial(self.run.say_own, scope, text))

    def left(self, messages: Sequence[Any]) -> None:
        """The agent has come to its end, having yielded this last."""
        self.run.ask(partial(self.run.leave, self.scope, last_text(messages)))

    def ask(
        self, model: ChatModel, request: ChatRequest, tools: Any, sign: str = ""
    ) -> Said:
        """One round of the model, shown as it comes; `tools` are those in the text.

        `sign`: by which calls begin in the text that only the library reads.
        """
        return self._ask(
            partial(self.run.round, self.scope, model, request, tools, sign)
        )

    def hand_over(self, question: str) -> NoReturn:
        """Nothing more can be done until the person says something."""
        text = f"{YOUR_TURN} {question}".strip()
        self.run.ask(partial(self.run.say_own, self.scope, text))
        raise RunOver(None)

    def recorded_round(self) -> Round | None:
        """What a model of another kind said here, where that is recorded."""
        return self._ask(partial(self.run.recorded_round, self.scope))

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
        use = partial(
            self.run.use, self.scope, name, arguments, tool, given, context, shown
        )
        return self.run.ask(use)
