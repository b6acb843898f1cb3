"""What a token costs and how late it is: alone, in a burst, in a crowd, in a ramp."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator

from msgspec import Struct

from bench.harness import (
    House,
    Socket,
    Tokens,
    connect,
    cpu_seconds,
    milliseconds,
    percentile,
    table,
    tokens_written,
)
from tests.servers import Server

RELAYS = {"bare relay": "bare", "usual relay": "usual"}
SERVERS = (*RELAYS, "sqlite", "postgresql")
STEADY_SECONDS = 10
RAMP = (100, 200, 300, 400)  # streams; 10 are begun a second
RAMP_SECONDS = 5


class Crowd(Struct):
    """What one server did under many streams; times in seconds, delays in µs."""

    cpu_per_token: float
    rush_cpu: float
    first: list[float]
    rush: list[int]
    steady: list[int]
    database_cpu: float


@contextlib.contextmanager
def server(house: House, name: str) -> Iterator[Server]:
    """A relay, or the site on one of its databases."""
    kind = RELAYS.get(name)
    with house.relay(kind) if kind else house.site(name) as running:
        yield running


async def alone(house: House) -> None:
    """One stream of 100 tokens a second, first tokens of idle sites, and a burst."""
    rows = []
    for name in SERVERS:
        with server(house, name) as running:
            tokens = Tokens()
            await _finish(await connect(running.port), "[stream tokens=50 rate=100]")
            socket = await connect(running.port, tokens)
            await _finish(socket, "[stream tokens=1000 rate=100 stamped=1]")
            latency = milliseconds(tokens.delays)
            firsts = []
            for _ in range(30):
                socket = await connect(running.port)
                await _finish(socket, "[stream tokens=3 rate=1000 stamped=1]")
                firsts.append(await socket.first)
            cpu = cpu_seconds(running.pid)
            await _finish(
                await connect(running.port), "[stream tokens=20000 rate=1000000]"
            )
            burst = (cpu_seconds(running.pid) - cpu) / 20 * 1000
            rows.append((name, latency, milliseconds(firsts, 1e-3), f"{burst:.1f}"))
    head = (
        "server",
        "delay of a token, ms, p50 / p99",
        "first token, ms, p50 / p99",
        "burst: ms of CPU per 1,000 tokens",
    )
    table("One stream", head, rows)


async def crowd(house: House, streams: int = 50, rate: int = 50) -> None:
    """Streams begun at one instant, then steady."""
    results = {}
    for name in SERVERS:
        with server(house, name) as running:
            results[name] = await _crowd(house, running, streams, rate)
    relays = [results[name] for name in RELAYS]
    rows = [
        (
            name,
            f"{found.cpu_per_token * 1e6:.0f}",
            _of_relays(found.cpu_per_token, (of.cpu_per_token for of in relays)),
            _of_relays(found.rush_cpu, (of.rush_cpu for of in relays)),
            f"{percentile(found.first, 0.99) * 1000:.0f}",
            milliseconds(found.rush),
            milliseconds(found.steady),
            f"{found.database_cpu * 1e6:.0f}",
        )
        for name, found in results.items()
    ]
    head = (
        "server",
        "steady, µs of CPU a token",
        "of the bare and the usual relay's",
        "rush, of theirs",
        "first token p99, ms",
        "rush, ms, p50 / p99",
        "steady, ms, p50 / p99",
        "PostgreSQL, µs a token",
    )
    table(f"{streams} streams of {rate} tokens/s, begun at once", head, rows)


async def _crowd(house: House, running: Server, streams: int, rate: int) -> Crowd:
    tokens = Tokens()
    await _finish(await connect(running.port), "[stream tokens=50 rate=100]")
    sockets = [await connect(running.port, tokens) for _ in range(streams)]
    prompt = f"[stream tokens={rate * 60} rate={rate} stamped=1]"
    cpu, written = cpu_seconds(running.pid), tokens_written(house.model)
    for socket in sockets:
        socket.ask(prompt)
    first = await asyncio.gather(*(socket.first for socket in sockets))
    await asyncio.sleep(5)
    rush = tokens.delays
    rush_cpu = cpu_seconds(running.pid) - cpu
    rush_cpu /= tokens_written(house.model) - written
    tokens.clear()
    cpu, written = cpu_seconds(running.pid), tokens_written(house.model)
    database = cpu_seconds(house.postgres.pid)
    await asyncio.sleep(STEADY_SECONDS)
    written = tokens_written(house.model) - written
    cost = (cpu_seconds(running.pid) - cpu) / written
    database = (cpu_seconds(house.postgres.pid) - database) / written
    for socket in sockets:
        socket.close()
    return Crowd(cost, rush_cpu, list(first), rush, tokens.delays, database)


async def ramp(house: House, rate: int = 50) -> None:
    """Ten more streams a second, until there are 400."""
    head = ("server", *(f"{streams} streams" for streams in RAMP))
    rows = []
    for name in SERVERS:
        with server(house, name) as running:
            rows.append((name, *await _ramp(running, rate)))
    table(
        f"Delay while the streams grow, {rate} tokens/s each, ms, p50 / p99", head, rows
    )


async def _ramp(running: Server, rate: int) -> list[str]:
    tokens = Tokens()
    sockets: list[Socket] = []
    found = []
    for wanted in RAMP:
        begun = time.monotonic() - len(sockets) / 10
        while len(sockets) < wanted:
            await asyncio.sleep(max(0, begun + len(sockets) / 10 - time.monotonic()))
            sockets.append(await connect(running.port, tokens))
            sockets[-1].ask(f"[stream tokens={rate * 90} rate={rate} stamped=1]")
        tokens.clear()
        await asyncio.sleep(RAMP_SECONDS)
        found.append(milliseconds(tokens.delays))
    for socket in sockets:
        socket.close()
    return found


def _of_relays(cost: float, relays: Iterable[float]) -> str:
    return " / ".join(f"{cost / relay:.2f}" for relay in relays)


async def _finish(socket: Socket, prompt: str) -> None:
    """Ask, wait for the end, hang up."""
    socket.ask(prompt)
    await asyncio.wait_for(socket.ended, 120)
    socket.close()
