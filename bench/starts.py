"""What it costs to begin a run, and how soon its first token comes.

    python -m bench.starts --runs 200 --rush 50

Every run is the first of a chat whose socket is open already, and ends after three
tokens; the CPU is the server process's, from the question to the end. First one run
at a time, the site idle; then many asked at the same instant, who stream on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import websockets
from msgspec import Struct

from tests.model_server.process import ModelServer
from tests.servers import Databases, Postgres, Site

SHORT: Final = "[stream tokens=3 rate=1000]"
LONG: Final = "[stream tokens=200 rate=50]"
SETTLE: Final = 0.05  # seconds
LIMITS: Final = (
    "MAX_RUNS",
    "MAX_RUNS_PER_USER",
    "MAX_SOCKETS_PER_ADDRESS",
    "MAX_MESSAGES_PER_MINUTE",
)


class Starts(Struct):
    """What one database's site did."""

    name: str
    cpu_ms: float  # a run, one at a time
    idle: list[float]  # ms from the question to the first token, one at a time
    rush: list[float]  # the same, all asked at once
    rush_cpu_ms: float  # a run, until all have their first token


async def measure(name: str, site: Site, runs: int, rush: int) -> Starts:
    """Ask one at a time, then many at once."""
    for _ in range(10):
        await _one_run(site, SHORT)  # imports, connections, plans
    cpu = 0.0
    idle = []
    for _ in range(runs):
        async with _chat(site) as socket:
            await _subscribe(socket)
            before = cpu_seconds(site.pid)
            idle.append(await _ask(socket, SHORT, until='"run_finished"'))
            await asyncio.sleep(SETTLE)  # what follows on the end is the run's too
            cpu += cpu_seconds(site.pid) - before
    latencies, rush_cpu = await _rush(site, rush)
    return Starts(name, cpu / runs * 1e3, idle, latencies, rush_cpu / rush * 1e3)


async def _rush(site: Site, rush: int) -> tuple[list[float], float]:
    sockets = [await _open(site) for _ in range(rush)]
    cpu = cpu_seconds(site.pid)
    latencies = await asyncio.gather(*(_ask(socket, LONG) for socket in sockets))
    cpu = cpu_seconds(site.pid) - cpu
    await asyncio.gather(*(socket.close() for socket in sockets))
    return list(latencies), cpu


async def _one_run(site: Site, prompt: str) -> None:
    async with _chat(site) as socket:
        await _subscribe(socket)
        await _ask(socket, prompt, until='"run_finished"')


def _chat(site: Site) -> websockets.connect:
    return websockets.connect(site.ws_url(uuid4()), compression=None, max_size=None)


async def _open(site: Site) -> websockets.ClientConnection:
    """A socket whose snapshot has come: the rush is not about connecting."""
    socket = await _chat(site)
    await _subscribe(socket)
    return socket


async def _subscribe(socket: websockets.ClientConnection) -> None:
    await socket.send('{"type":"subscribe","payload":{"protocol":2}}')
    while '"snapshot"' not in str(await socket.recv()):
        pass


async def _ask(
    socket: websockets.ClientConnection, prompt: str, until: str = '"step_delta"'
) -> float:
    """Milliseconds from the question to the first token; waits for `until`."""
    payload = {"message": prompt, "client_id": uuid4().hex}
    asked = time.perf_counter()
    await socket.send(json.dumps({"type": "chat", "payload": payload}))
    first = 0.0
    frame = ""
    while until not in frame:
        frame = str(await socket.recv())
        if not first and '"step_delta"' in frame:
            first = (time.perf_counter() - asked) * 1e3
    return first


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid makes it


@contextmanager
def sites(vendors: Sequence[str]) -> Iterator[list[Site]]:
    """A site on a fresh database of each vendor, not started."""
    with (
        tempfile.TemporaryDirectory() as name,
        ModelServer() as model,
        Postgres() as postgres,
    ):
        databases = Databases(Path(name), lambda: postgres)
        yield [
            Site(
                Path(name),
                DATABASE_URL=databases.new(vendor),
                LLM_BASE_URL=model.base_url,
                LLM_MODEL="hello",
                LOG_LEVEL="WARNING",
                **dict.fromkeys(LIMITS, "10000"),
            )
            for vendor in vendors
        ]


def run(vendors: Sequence[str], runs: int, rush: int) -> list[Starts]:
    """Measure each, one after the other."""
    results = []
    with sites(vendors) as measured:
        for vendor, site in zip(vendors, measured, strict=True):
            with site:
                results.append(asyncio.run(measure(vendor, site, runs, rush)))
    return results


def table(results: Sequence[Starts], rush: int) -> str:
    """What people read."""
    lines = [
        f"{'':11} {'CPU ms/run':>10} {'first token, idle: p50':>23} {'p99':>6}"
        f" {f'{rush} at once: p50':>18} {'p99':>6} {'CPU ms/run':>11}"
    ]
    lines += [
        f"{each.name:11} {each.cpu_ms:10.1f} {_percentile(each.idle, 50):23.1f}"
        f" {_percentile(each.idle, 99):6.1f} {_percentile(each.rush, 50):18.0f}"
        f" {_percentile(each.rush, 99):6.0f} {each.rush_cpu_ms:11.1f}"
        for each in results
    ]
    return "\n".join(lines)


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rush", type=int, default=50)
    parser.add_argument("--vendors", nargs="+", default=["sqlite", "postgresql"])
    given = parser.parse_args()
    results = run(given.vendors, given.runs, given.rush)
    sys.stdout.write(table(results, given.rush) + "\n")


if __name__ == "__main__":
    main()
