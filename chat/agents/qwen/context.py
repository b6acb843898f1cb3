"""What a thread is working on, and what the two halves know of each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from chat.agents.model.rounds import Round
from chat.agents.qwen.run import LibraryRun
from chat.agents.tools.base import Tool


class Owner(Protocol):
    """Our agent, as the library's half sees it."""

    name: str
    description: str
    instructions: str
    tools: Mapping[str, Tool]
    library_tools: Any
    text_protocol: bool
    mcp_timeout: float

    def ask_model(
        self,
        messages: list[dict[str, Any]],
        functions: list[dict[str, Any]],
        as_text: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    ) -> Round:
        """One model round."""
        ...

    def call_tool(self, name: str) -> str:
        """The next tool call of the round."""
        ...


class LibraryAgent(Protocol):
    """The library's agent, as our half sees it."""

    function_map: dict[str, Any]

    def run(self, messages: list[dict[str, Any]]) -> Iterator[Any]:
        """Decide until there is an answer."""
        ...


class _Current(threading.local):
    """Each thread of the pool works on one run at a time."""

    run: LibraryRun | None = None
    agent: Owner | None = None


current = _Current()
