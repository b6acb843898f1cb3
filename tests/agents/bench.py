"""What a token costs an agent: `python -m tests.agents.bench [streams tokens rate]`.

Measures the processor time of this process (client, splitter, Qwen-Agent's thread,
event generator) and of the model server, for many streams at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from chat.agents.base import PartGrew
from chat.agents.model.client import ChatServer, ServerConfig
from chat.agents.qwen import QwenAgent
from chat.agents.qwen.threads import ThreadPool
from tests.model_server import ModelServer


async def measure(streams: int, tokens: int, rate: float) -> None:
    """Stream, and print what it cost."""
    with ModelServer() as server:
        model = ChatServer(ServerConfig(server.base_url, "hello"))
        pool = ThreadPool(streams, "agent")
        agent = QwenAgent("bench", "", model=model, threads=pool, tool_threads=pool)

        async def listen(prompt: str) -> int:
            events = agent.run_with_reasoning_stream(prompt, [])
            return sum([type(event) is PartGrew async for event in events])

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
