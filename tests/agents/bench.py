"""What a token costs an agent: `python -m tests.agents.bench [streams tokens rate]`.

Measures the processor time of this process (client, reader, splitter, Qwen-Agent's
thread) and of the model server, for many streams at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from chat.agents.base import PartStatus, PartType, Usage
from chat.agents.model.client import ChatServer, ServerConfig
from chat.agents.qwen import QwenAgent
from chat.agents.qwen.threads import ThreadPool
from tests.model_server import ModelServer


class Counting:
    """A sink that counts the pieces of text; it is its own part."""

    crowded = False
    content = ""
    number = 0

    def __init__(self) -> None:
        self.pieces = 0

    def start(
        self,
        kind: PartType,
        iteration: int,
        tool_name: str = "",
        call_id: str = "",
        *,
        agent: str = "",
        parent: int | None = None,
    ) -> Counting:
        return self

    def grow(self, text: str) -> None:
        self.pieces += 1

    def replace(self, *, kind: PartType | None = None, text: str | None = None) -> None:
        pass

    def progress(
        self, text: str = "", done: float | None = None, total: float | None = None
    ) -> None:
        pass

    def finish(
        self,
        status: PartStatus = "ok",
        tool_input: dict[str, Any] | None = None,
        server_fields: dict[str, Any] | None = None,
    ) -> None:
        pass

    def count(self, usage: Usage) -> None:
        pass

    async def committed(self) -> None:
        pass


async def measure(streams: int, tokens: int, rate: float) -> None:
    """Stream, and print what it cost."""
    with ModelServer() as server:
        model = ChatServer(ServerConfig(server.base_url, "hello"))
        pool = ThreadPool(streams, "agent")
        agent = QwenAgent("bench", "", model=model, threads=pool, tool_threads=pool)

        async def listen(prompt: str) -> int:
            sink = Counting()
            await agent.run_into(sink, prompt, [])
            return sink.pieces

        await listen("hi")  # the library is imported, a connection open
        prompt = f"[stream tokens={tokens} rate={rate}]"
        began, here, there = time.time(), time.process_time(), _spent(server.pid)
        total = sum(await asyncio.gather(*(listen(prompt) for _ in range(streams))))
        here = (time.process_time() - here) / total * 1e6
        there = (_spent(server.pid) - there) / total * 1e6
        print(  # noqa: T201 - a command
            f"{streams} streams: {total} tokens in {time.time() - began:.2f} s, "
            f"{here:.1f} µs each here, {there:.1f} µs in the model server"
        )
        await model.close()


def _spent(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()
    return (int(stat[13]) + int(stat[14])) / 100


if __name__ == "__main__":
    wanted = [float(value) for value in sys.argv[1:]] or [50.0, 200.0, 50.0]
    asyncio.run(measure(int(wanted[0]), int(wanted[1]), wanted[2]))
