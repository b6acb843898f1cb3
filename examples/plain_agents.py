"""Agents of one's own: `AGENTS=examples/plain_agents.py make run` shows them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator

from reasoning_site.agents import Progress, Said, Thought, ToolCall, ToolResult

History = list[dict[str, str]]


async def dice(prompt: str, history: History) -> AsyncIterator[Said]:
    """Rolls dice until you are lucky."""
    yield Thought("Whoever asks wants a six.")
    for roll in range(1, 11):
        yield ToolCall("roll", {"sides": 6, "roll": roll})
        await asyncio.sleep(0.2)
        number = random.randint(1, 6)  # noqa: S311 - a game
        yield ToolResult(str(number))
        if number == 6:  # noqa: PLR2004
            yield f"A six, at roll {roll}!"
            return
    yield "No six in ten rolls. Ask again."


def counter(prompt: str, history: History) -> Iterator[Said]:
    """Counts the words of all you have said, slowly."""
    said = [m["content"] for m in history if m["role"] == "user"] + [prompt]
    yield ToolCall("count", {"messages": len(said)})
    total = 0
    for number, message in enumerate(said, 1):
        total += len(message.split())
        yield Progress("messages", done=number, total=len(said))
    yield ToolResult(str(total))
    yield f"You have said {total} words so far."
