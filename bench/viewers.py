"""Many viewers of one answer: what each costs, how late it is, how it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from msgspec import Struct

from bench.harness import (
    House,
    Socket,
    Tokens,
    connect,
    cpu_seconds,
    memory,
    milliseconds,
    percentile,
    table,
)
from tests.client import Person
from tests.servers import Site

RATES: Final = {1: 50, 50: 50, 200: 50, 500: 20}  # viewers → tokens a second
RUNS: Final = 5
SECONDS: Final = 6
READS_PER_MINUTE: Final = 600  # that one person may ask for: chat/auth/limits.py
SETTLE: Final = 1.5  # seconds until PostgreSQL has counted what it did
SOAK_MINUTES: Final = 5
SEQ: Final = re.compile(rb'"seq":(\d+)')


class Room(Struct):
    """A session with an answer under way, and who may watch it."""

    site: Site
    session: str
    cookie: str
    asker: Socket

    async def enter(
        self, tokens: Tokens | None = None, seen: dict[str, list[int]] | None = None
    ) -> Socket:
        """One more viewer."""
        return await connect(
            self.site.port,
            tokens,
            session=self.session,
            cookie=self.cookie,
            seen=seen,
        )


@contextlib.asynccontextmanager
async def room(house: House, rate: int, seconds: float) -> AsyncIterator[Room]:
    """A site on PostgreSQL that writes one answer of so many seconds."""
    with house.site("postgresql", STATIC_ROOT=house.static_root) as site:
        cookie = (await asyncio.to_thread(Person, site.url)).cookie
        session = str(uuid4())
        asker = await connect(site.port, session=session, cookie=cookie)
        asker.ask(f"[stream tokens={int(rate * seconds)} rate={rate} stamped=1]")
        await asker.first
        yield Room(site, session, cookie, asker)


class Counted(Struct):
    """What PostgreSQL has done so far: transactions, and reads of the log."""

    calls: int
    log_reads: int


async def counted(site: Site) -> Counted:
    """Once PostgreSQL has counted all that was done."""
    await asyncio.sleep(SETTLE)
    url = site.settings["DATABASE_URL"]
    name = urlsplit(url).path[1:]
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT xact_commit + xact_rollback,"
            " (SELECT coalesce(sum(seq_scan + idx_scan), 0)"
            "  FROM pg_stat_user_tables WHERE relname = 'chat_event')"
            " FROM pg_stat_database WHERE datname = %s",
            [name],
        )
        row = await cursor.fetchone()
    return Counted(*map(int, row or ()))


async def watching(house: House) -> None:
    """1, 50, 200 and 500 viewers of one answer; 200 several times over."""
    crowds = (1, 50, *[200] * RUNS, 500)
    rows = [await _watching(house, viewers, RATES[viewers]) for viewers in crowds]
    head = (
        "viewers",
        "tokens/s",
        "all live after, s",
        "delay, ms, p50 / p99",
        "µs of CPU a delivery",
        "database calls a viewer",
        "reads of the log",
    )
    table("Viewers of one answer (PostgreSQL, one process)", head, rows)


async def _watching(house: House, viewers: int, rate: int) -> tuple[str, ...]:
    async with room(house, rate, 120) as here:
        before, began = await counted(here.site), time.monotonic()
        idle = await counted(here.site)
        beat = (idle.calls - before.calls) / (time.monotonic() - began)
        tokens = Tokens()
        began = time.monotonic()
        sockets = await asyncio.gather(*(here.enter(tokens) for _ in range(viewers)))
        await asyncio.gather(*(socket.first for socket in sockets))
        live = time.monotonic() - began
        tokens.clear()
        frames = sum(socket.frames for socket in sockets)
        cpu = cpu_seconds(here.site.pid)
        await asyncio.sleep(SECONDS)
        cpu = cpu_seconds(here.site.pid) - cpu
        deliveries = sum(socket.frames for socket in sockets) - frames
        after, took = await counted(here.site), time.monotonic() - began
        calls = after.calls - idle.calls - beat * took
        for socket in (*sockets, here.asker):
            socket.close()
    return (
        f"{viewers}",
        f"{rate}",
        f"{live:.2f}",
        milliseconds(tokens.delays),
        f"{cpu / deliveries * 1e6:.0f}",
        f"{calls / viewers:.1f}",
        f"{after.log_reads - idle.log_reads}",
    )


async def coming_back(house: House, viewers: int = 500, rate: int = 20) -> None:
    """All viewers of an answer lose their connection at once, in its middle."""
    async with room(house, rate, 180) as here:
        sockets = await asyncio.gather(*(here.enter() for _ in range(viewers)))
        await asyncio.gather(*(socket.first for socket in sockets))
        # They are one person, who may subscribe so often in a minute.
        await asyncio.sleep(60 * viewers / READS_PER_MINUTE)
        before = await counted(here.site)
        seen = [int(SEQ.findall(socket.last)[-1]) for socket in sockets]
        for socket in sockets:
            socket.abort()
        cpu, began = cpu_seconds(here.site.pid), time.monotonic()
        tokens = Tokens()
        back = [
            asyncio.create_task(_back(here, {"1": [1, seq]}, tokens)) for seq in seen
        ]
        times = await asyncio.gather(*back)
        cpu = cpu_seconds(here.site.pid) - cpu
        after = await counted(here.site)
        here.asker.close()
    lives = [live - began for live in times]
    row = (
        f"{viewers}",
        f"{percentile(lives, 0.5):.2f} / {max(lives):.2f}",
        f"{cpu / viewers * 1000:.1f}",
        f"{(after.calls - before.calls) / viewers:.1f}",
        f"{after.log_reads - before.log_reads}",
    )
    head = (
        "viewers",
        "live again after, s, p50 / last",
        "ms of CPU each",
        "database calls each, the run's own included",
        "reads of the log",
    )
    table("Everybody reconnects at once, in the middle of an answer", head, [row])


async def _back(here: Room, seen: dict[str, list[int]], tokens: Tokens) -> float:
    """When a token came that was written after this viewer was back."""
    socket = await here.enter(tokens, seen)
    connected = time.monotonic_ns() // 1000
    while socket.newest < connected:
        socket.first = asyncio.get_running_loop().create_future()
        await socket.first
    return time.monotonic()


async def soak(house: House, viewers: int = 100) -> None:
    """Viewers come and go for minutes; what the process holds in the end."""
    rows = []
    async with room(house, 30, SOAK_MINUTES * 60 + 60) as here:
        sockets = await asyncio.gather(*(here.enter() for _ in range(viewers)))
        began = time.monotonic()
        turns = 0
        for minute in range(1, SOAK_MINUTES + 1):
            while time.monotonic() - began < minute * 60:
                place = turns % viewers
                sockets[place].close()
                sockets[place] = await here.enter()
                turns += 1
                await asyncio.sleep(0.05)
            size = memory(here.site.pid) / 2**20
            rows.append((f"{minute}", f"{turns}", f"{size:.1f}"))
            sys.stdout.write(f"{minute} min: {size:.1f} MiB\n")
        for socket in (*sockets, here.asker):
            socket.close()
    table(f"{viewers} viewers, coming and going", ("minute", "came", "MiB"), rows)
