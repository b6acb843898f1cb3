"""What an agent of one's own says: the words for a file named by `AGENTS`.

    from reasoning_site.agents import Thought, ToolCall, ToolResult


    async def weather(prompt, history):
        \"\"\"Knows whether to take an umbrella.\"\"\"
        yield Thought("I should look outside.")
        yield ToolCall("window", {"direction": "west"})
        yield ToolResult(await look("west"))
        yield "Take one."

Text that is yielded is the answer, as it grows. `history` is a list of earlier
messages, `{"role": "user" | "assistant", "content": …}`, oldest first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    """What plain text is, said by one of a team: `agent` is its name.

    More of the answer, which becomes a thought where something follows it.
    """

    text: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Thought:
    """More of what the agent thinks; a thought grows until something else is said."""

    text: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """More of the answer, also where something follows that is no answer.

    Plain text does the same, but becomes a thought where something follows it.
    """

    text: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool is about to be called.

    The agent is resumed when this is stored, so that a call can never be made and
    forgotten. `id` is needed only where results come in another order than calls.
    """

    name: str
    input: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave, or with `error` why it did not.

    It answers the oldest call that has no result yet, or the one that `id` names.
    """

    text: str
    id: str = ""
    error: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the oldest call without a result has come, until its result is there.

    `done` of `total`, where these are known, and a text for people.
    """

    text: str = ""
    done: float | None = None
    total: float | None = None


Said = str | Text | Thought | Answer | ToolCall | ToolResult | Progress
