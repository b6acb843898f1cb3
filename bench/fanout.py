"""What travels between a hundred processes, counted: messages and bytes.

Each process is a hub with a connection of its own to one Valkey; all live in this one,
so what is counted holds on any machine, and nothing is timed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid4

import redis.asyncio

from bench.harness import House, table
from chat.live.hub import Hub
from chat.live.layer import SiteChannelLayer
from chat.wire.protocol import Frame
from reasoning_site import env

PROCESSES: Final = 100
RUNS: Final = 16  # under way in each
FLUSHES: Final = 5  # counted; another before them finds out who listens
SHARES: Final = (0.0, 0.1, 1.0)  # of the runs that one more process watches
TEXT: Final = "x" * 300  # of a frame, some two tokens


class _Process:
    """A hub, and how many frames of others it was told."""

    def __init__(self, layer: SiteChannelLayer) -> None:
        self.frames = 0
        self.layer = layer
        self.sessions = [uuid4() for _ in range(RUNS)]
        self.hub = Hub(self, _ignore, _nothing, _ignore, _ignore, _nothing, layer)

    def deliver(self, session_id: UUID, _frame: Frame) -> None:
        """Count what is not its own."""
        self.frames += session_id not in self.sessions

    def announce(self, session_id: UUID, changes: Mapping[str, Any]) -> None:
        """Nothing is announced here."""

    def end(self, session_id: UUID) -> None:
        """Nothing is deleted here."""

    async def flush(self, seq: int) -> None:
        """Publish a frame of each run, and wait until all are sent."""
        frame = Frame(run=1, epoch=1, first=seq, last=seq, ends=False, text=TEXT)
        self.hub.publish([(session, frame) for session in self.sessions])
        await self.hub._drained.wait()  # noqa: SLF001


async def fanout(house: House) -> None:
    """Every process flushes as often; some runs are watched by one process more."""
    rows = [await _share(house, share) for share in SHARES]
    runs = PROCESSES * RUNS
    everything = f"{runs * (PROCESSES - 1):,}"
    rows.append(
        (
            "all of each other (one group for all)",
            everything,
            f"{runs * (PROCESSES - 1) * len(TEXT) // 1000:,} at least",
        )
    )
    head = ("watched elsewhere", "frames received a flush", "kB out of Valkey a flush")
    table(f"{PROCESSES} processes of {RUNS} runs, one flush of each", head, rows)


async def _share(house: House, share: float) -> tuple[str, str, str]:
    with house.valkey() as valkey:
        os.environ["REDIS_URL"] = valkey.url
        host = env.redis_host("REDIS_URL")
        processes = [
            _Process(SiteChannelLayer(hosts=[host], prefix="bench-"))
            for _ in range(PROCESSES)
        ]
        for at, process in enumerate(processes):
            watcher = processes[(at + 1) % PROCESSES]
            for session in process.sessions[: round(RUNS * share)]:
                await watcher.hub.join(session)
        client = redis.asyncio.Redis.from_url(valkey.url)
        for process in processes:
            await process.flush(1)
        before = (await client.info("stats"))["total_net_output_bytes"]
        told = sum(process.frames for process in processes)
        for seq in range(2, FLUSHES + 2):
            for process in processes:
                await process.flush(seq)
        wanted = told + PROCESSES * round(RUNS * share) * FLUSHES
        async with asyncio.timeout(60):
            while sum(process.frames for process in processes) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        sent = (await client.info("stats"))["total_net_output_bytes"] - before
        told = sum(process.frames for process in processes) - told
        await client.aclose()
        for process in processes:
            await process.hub.close()
            await process.layer.flush()
    return f"{share:.0%}", f"{told / FLUSHES:,.0f}", f"{sent / FLUSHES / 1000:,.0f}"


def _ignore(_: object) -> None:
    pass


def _nothing() -> None:
    pass
