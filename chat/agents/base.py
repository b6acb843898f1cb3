"""What an agent is, and the vocabulary in which it says what it does.

An agent knows neither the wire nor the database. It yields parts (a thought, a
tool call, a tool's result, an answer) as they start, grow and finish, and at last
one `RunEnded`. Whoever iterates numbers, stores and shows them.

The same can be said by calls instead of events (`SinkAgent`, `RunSink`): that is how
the site's own agents speak, for whom each microsecond of a token counts. `stream.py`
translates both ways.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

PartType = Literal["thought", "tool_use", "tool_result", "final_answer"]
PartStatus = Literal["ok", "error", "stopped"]
EndReason = Literal["answered", "cut", "failed", "max_iterations", "server_lost"]
CutCause = Literal["length", "filter", "ended"]


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
    `agent` is who speaks, where it is not the run's agent itself, and `parent` the
    part inside which this one is, such as a router's choice.
    """

    part: int
    type: PartType
    iteration: int
    tool_name: str = ""
    call_id: str = ""
    agent: str = ""
    parent: int | None = None


class PartGrew(Struct, frozen=True, gc=False):
    """`text` is to be appended to the open part."""

    part: int
    text: str


class PartReplaced(Struct, frozen=True):
    """The open part is now of this type, or holds this text, where not None."""

    part: int
    type: PartType | None = None
    text: str | None = None


class PartProgressed(Struct, frozen=True):
    """How far the open part has come: `done` of `total`, and a text for people.

    Replaces what was said of that before, and is gone when the part is finished.
    """

    part: int
    text: str = ""
    done: float | None = None
    total: float | None = None


class PartFinished(Struct, frozen=True):
    """The part is complete. `tool_input` is a tool_use's parsed arguments.

    `server_fields` is for the agent's own memory, and shown to nobody; see `Part`.
    """

    part: int
    status: PartStatus = "ok"
    tool_input: dict[str, Any] | None = None
    server_fields: dict[str, Any] | None = None


class RoundEnded(Struct, frozen=True):
    """A round of the model is over. `usage` is of all rounds told of so far."""

    usage: Usage


class RunEnded(Struct, frozen=True):
    """The last event of a run; all parts are finished.

    `error` goes with `failed`. `cause` goes with `cut`, an answer that is not whole:
    the model's limit of text, its provider's filter, or a stream that just ended.
    """

    reason: EndReason
    usage: Usage | None = None
    error: Failure | None = None
    cause: CutCause | None = None


AgentEvent: TypeAlias = (
    PartStarted
    | PartGrew
    | PartReplaced
    | PartProgressed
    | PartFinished
    | RoundEnded
    | RunEnded
)


class Part(Struct, frozen=True):
    """A finished part, as memory: what the agent did earlier.

    `step` is its number in the run, or -1 where that is an earlier one which this one
    continues; `parent` that of the part inside which it is.
    `server_fields` is how the model server said it, as it goes back: the fields that a
    thought came in (`reasoning`) or that it was text (`text`), and what nobody here
    knows of a call (`call`) or of the round's message (`message`, with its last part).
    With that of a round of somebody's own agent also is that it is whole (`over`), and
    its text where that came otherwise than it is shown (`raw`); what no model has said
    is the agent's `own`.
    """

    type: PartType
    iteration: int
    content: str
    status: PartStatus = "ok"
    tool_name: str = ""
    call_id: str = ""
    tool_input: dict[str, Any] | None = None
    agent: str = ""
    step: int = 0
    server_fields: dict[str, Any] | None = None
    parent: int | None = None


class Exchange(Struct, frozen=True):
    """An earlier run of the session: the person's message and what came of it."""

    prompt: str
    parts: tuple[Part, ...]


class BaseAgent(Protocol):
    """Answers prompts and says what it does meanwhile."""

    @property
    def name(self) -> str:
        """By which it is chosen."""
        ...

    @property
    def description(self) -> str:
        """One line for people."""
        ...

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
        the agent goes on from there (a `tool_use` without a result is called now; a
        `final_answer` that is not `ok` was cut off, and is what the person has read)
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


class OpenPart(Protocol):
    """A part that has started and not finished."""

    @property
    def number(self) -> int:
        """The number by which other parts name it as their parent."""
        ...

    @property
    def content(self) -> str:
        """The text so far."""
        ...

    def grow(self, text: str) -> None:
        """Append `text`. Raises AgentError when the run grows beyond the limits."""
        ...

    def replace(self, *, kind: PartType | None = None, text: str | None = None) -> None:
        """The part is now of this type, or holds this text, where not None."""
        ...

    def progress(
        self, text: str = "", done: float | None = None, total: float | None = None
    ) -> None:
        """How far the part has come; see `PartProgressed`."""
        ...

    def finish(
        self,
        status: PartStatus = "ok",
        tool_input: dict[str, Any] | None = None,
        server_fields: dict[str, Any] | None = None,
    ) -> None:
        """The part is complete; see `PartFinished`."""
        ...


class Flow(Protocol):
    """How whoever takes what an agent says makes it wait."""

    @property
    def crowded(self) -> bool:
        """Whether so much is not yet taken that the agent has to wait for it.

        Raises AgentError when the run has grown beyond the limits.
        """
        ...

    async def committed(self) -> None:
        """Return when all that was said so far is taken, for good."""
        ...


class RunSink(Flow, Protocol):
    """Takes what an agent does, in calls: the same as the events say."""

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
        """A new part is open; see `PartStarted`."""
        ...

    def count(self, usage: Usage) -> None:
        """A round of the model is over; see `RoundEnded`."""
        ...


@runtime_checkable
class SinkAgent(Protocol):
    """An agent that can also say what it does by calls."""

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
        """Do about `prompt` what `run_with_reasoning_stream` does; return its end.

        A tool is called only after `sink.committed()` has returned since its
        `tool_result` part started. Without `thinking` a model that can be asked not to
        think is asked so. Cancelling cancels the model call and the tool. What the
        sink raises ends the run and is raised.
        """
        ...
