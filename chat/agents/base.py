"""What an agent is, and the vocabulary in which it says what it does.

An agent knows neither the wire nor the database. It yields parts (a thought, a
tool call, a tool's result, an answer) as they start, grow and finish, and at last
one `RunEnded`. Whoever iterates numbers, stores and shows them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct

PartType = Literal["thought", "tool_use", "tool_result", "final_answer"]
PartStatus = Literal["ok", "error", "stopped"]
EndReason = Literal["answered", "failed", "max_iterations"]


class Usage(Struct, frozen=True):
    """Tokens of all rounds of a run, as the model server counted them."""

    input_tokens: int
    output_tokens: int


class Failure(Struct, frozen=True):
    """Why something failed: a code of the wire protocol and a sentence for people."""

    code: str
    message: str
    retryable: bool


class AgentError(Exception):
    """An agent's run failed; `failure` says how, and whether trying again can help."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.failure = Failure(code, message, retryable)


class PartStarted(Struct, frozen=True):
    """A new part is open. `part` counts from 0, `iteration` (model rounds) from 1.

    `call_id` pairs a `tool_use` with its `tool_result`; both carry `tool_name`.
    """

    part: int
    type: PartType
    iteration: int
    tool_name: str = ""
    call_id: str = ""


class PartGrew(Struct, frozen=True, gc=False):
    """`text` is to be appended to the open part."""

    part: int
    text: str


class PartReplaced(Struct, frozen=True):
    """The open part is now of this type, or holds this text, where not None."""

    part: int
    type: PartType | None = None
    text: str | None = None


class PartFinished(Struct, frozen=True):
    """The part is complete. `tool_input` is a tool_use's parsed arguments."""

    part: int
    status: PartStatus = "ok"
    tool_input: dict[str, Any] | None = None


class RoundEnded(Struct, frozen=True):
    """A round of the model is over. `usage` is of all rounds told of so far."""

    usage: Usage


class RunEnded(Struct, frozen=True):
    """The last event of a run; all parts are finished. `error` goes with `failed`."""

    reason: EndReason
    usage: Usage | None = None
    error: Failure | None = None


AgentEvent: TypeAlias = (
    PartStarted | PartGrew | PartReplaced | PartFinished | RoundEnded | RunEnded
)


class Part(Struct, frozen=True):
    """A finished part, as memory: what the agent did earlier."""

    type: PartType
    iteration: int
    content: str
    status: PartStatus = "ok"
    tool_name: str = ""
    call_id: str = ""
    tool_input: dict[str, Any] | None = None


class Exchange(Struct, frozen=True):
    """An earlier run of the session: the person's message and what came of it."""

    prompt: str
    parts: tuple[Part, ...]


class BaseAgent(Protocol):
    """Answers prompts and says what it does meanwhile."""

    name: str
    description: str

    def run_with_reasoning_stream(
        self,
        prompt: str,
        history: Sequence[Exchange],
        max_iterations: int = 20,
        *,
        done: Sequence[Part] = (),
    ) -> AsyncGenerator[AgentEvent]:
        """Yield what the agent does about `prompt`, part by part, then `RunEnded`.

        `done` holds the finished parts of this same run where it was interrupted:
        the agent goes on from there (a `tool_use` without a result is called now)
        and numbers its new parts from 0 again, `iteration` going on.

        A tool is called only after the generator was resumed from yielding the
        `PartStarted` of its `tool_result`: the consumer resumes it when that part is
        committed, so that a call can never be made and forgotten.

        Closing the generator (`aclose`) cancels the model call and the tool.
        Model and tool trouble is yielded (`RunEnded("failed")`, or a `tool_result`
        with status `error`), not raised.
        """
        ...

    def is_repeatable(self, tool_name: str) -> bool:
        """Whether calling this tool twice does no harm (asked after a crash)."""
        ...
