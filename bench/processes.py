"""What a second process costs, and what sockets cost that only wait."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from bench.harness import (
    House,
    Tokens,
    connect,
    cpu_seconds,
    memory,
    milliseconds,
    table,
    tokens_written,
)
from tests.servers import Site

STREAMS = 30
SECONDS = 10
IDLE = 2000


async def two(house: House) -> None:
    """The same streams by one process and by two, all watched in both cases."""
    rows = []
    single = 0.0
    for count in (1, 2):
        with house.valkey() as valkey:
            database = house.database("postgresql")
            settings = {"DATABASE_URL": database, "REDIS_URL": valkey.url}
            with house.site("postgresql", **settings) as one:
                if count == 1:
                    found = await _measure(house, [one], valkey.pid)
                else:
                    with house.site("postgresql", **settings) as other:
                        found = await _measure(house, [one, other], valkey.pid)
        cost, of_valkey, of_database, delays = found
        single = single or cost
        rows.append(
            (
                str(count),
                f"{cost * 1e6:.0f}",
                f"{cost / single:.2f}",
                f"{of_valkey * 1e6:.0f}",
                f"{of_database * 1e6:.0f}",
                milliseconds(delays),
            )
        )
    head = (
        "processes",
        "µs of CPU a token, all processes",
        "of one's",
        "Valkey, µs",
        "PostgreSQL, µs",
        "delay, ms, p50 / p99",
    )
    table(f"{STREAMS} streams of 50 tokens/s, on so many processes", head, rows)


async def _measure(
    house: House, sites: list[Site], valkey: int
) -> tuple[float, float, float, list[int]]:
    """CPU a token of the sites, Valkey and PostgreSQL; the delays in µs."""
    tokens = Tokens()
    sockets = []
    for number in range(STREAMS):
        site = sites[number % len(sites)]
        socket = await connect(site.port, tokens)
        socket.ask("[stream tokens=3000 rate=50 stamped=1]")
        sockets.append(socket)
    await asyncio.gather(*(socket.first for socket in sockets))
    await asyncio.sleep(3)
    tokens.clear()
    pids = ([site.pid for site in sites], [valkey], [house.postgres.pid])
    before = [sum(map(cpu_seconds, group)) for group in pids]
    written = tokens_written(house.model)
    await asyncio.sleep(SECONDS)
    written = tokens_written(house.model) - written
    after = [sum(map(cpu_seconds, group)) for group in pids]
    for socket in sockets:
        socket.close()
    web, of_valkey, database = (
        (now - then) / written for now, then in zip(after, before, strict=True)
    )
    return web, of_valkey, database, tokens.delays


async def idle(house: House) -> None:
    """Two thousand sockets that watch sessions in which nothing happens."""
    with house.site("postgresql") as site:
        socket = await connect(site.port)
        socket.ask("[stream tokens=10 rate=100]")
        await socket.ended
        before = memory(site.pid)
        sockets = [await connect(site.port, session=str(uuid4())) for _ in range(IDLE)]
        await asyncio.sleep(2)
        cpu = cpu_seconds(site.pid)
        await asyncio.sleep(SECONDS)
        busy = (cpu_seconds(site.pid) - cpu) / SECONDS
        bytes_each = (memory(site.pid) - before) / IDLE
        for open_socket in sockets:
            open_socket.close()
    rows = [(f"{IDLE:,}", f"{bytes_each / 1024:.0f}", f"{busy * 100:.1f}")]
    table("Sockets that wait", ("sockets", "KiB each", "% of a core"), rows)
