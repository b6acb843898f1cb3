"""What a tool is."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

MAX_RECOGNISED: Final = 500  # characters of a prompt that is a tool's; no more


class ToolError(Exception):
    """The tool cannot do what was asked; the message is for the model and people."""


@runtime_checkable
class Tool(Protocol):
    """Something an agent can do besides talking.

    `parameters` is the JSON schema of the arguments' object, with `type`,
    `properties` and `required`. `repeatable` says that calling twice does no harm.
    `time_limit` is in seconds; None means the site's. `call` is either a coroutine,
    which is cancelled when nobody waits for it any more, or an ordinary function,
    which runs in a thread and is then abandoned.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    repeatable: bool
    time_limit: float | None

    def call(self, arguments: dict[str, Any]) -> str | Awaitable[str]:
        """Do it; raise `ToolError` to say why not."""
        ...


@runtime_checkable
class RecognisingTool(Protocol):
    """A tool that knows its own prompts, for a model too small to choose tools."""

    def recognise(self, prompt: str) -> dict[str, Any] | None:
        """The arguments for a prompt that is plainly this tool's, or None.

        Called on the event loop, with prompts of any length: see `in_short`.
        """
        ...


def in_short(prompt: str) -> str:
    """The prompt with single spaces, for regular expressions; "" if it is too long.

    Runs of spaces cost expressions such as `\\s*(…)?\\s*$` the square of their length.
    """
    text = prompt.strip()
    return "" if len(text) > MAX_RECOGNISED else " ".join(text.split())
