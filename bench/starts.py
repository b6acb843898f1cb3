"""What it costs to begin a run, and how soon its first token comes on an idle site."""

from __future__ import annotations

import asyncio
from typing import Final

from bench.harness import House, connect, cpu_seconds, milliseconds, table
from tests.servers import Site

RUNS: Final = 200
WARM_UP: Final = 10  # imports, connections, plans
SHORT: Final = "[stream tokens=3 rate=1000 stamped=1]"
SETTLE: Final = 0.05  # seconds; what follows on the end is the run's too


async def starts(house: House) -> None:
    """One run at a time, each the first of a chat whose socket is open already."""
    rows = []
    for vendor in ("sqlite", "postgresql"):
        with house.site(vendor) as site:
            for _ in range(WARM_UP):
                await _run(site)
            found = [await _run(site) for _ in range(RUNS)]
        cpu = sum(seconds for seconds, _ in found) / RUNS
        firsts = milliseconds([first for _, first in found], 1e-3)
        rows.append((vendor, f"{cpu * 1e3:.1f}", firsts))
    head = ("server", "ms of CPU a run", "first token, ms, p50 / p99")
    table("Beginning a run, and ending it after three tokens", head, rows)


async def _run(site: Site) -> tuple[float, float]:
    """Seconds of CPU that a run took, and seconds to its first token."""
    socket = await connect(site.port)
    await socket.joined
    cpu = cpu_seconds(site.pid)
    socket.ask(SHORT)
    await socket.ended
    await asyncio.sleep(SETTLE)
    cpu = cpu_seconds(site.pid) - cpu
    socket.close()
    return cpu, await socket.first
