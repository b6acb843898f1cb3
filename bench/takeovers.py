"""How long an answer is silent when its process dies, and what leases cost meanwhile.

Three processes on PostgreSQL, 12 answers under way; one process is killed, another one
stopped, again and again. What counts is the time until each answer's next token, as
its viewer on another process sees it, and that no other answer was begun anew.

    python -m bench.takeovers --kills 10 --stops 2
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.client import Viewer
from tests.fleet import Runs, fleet
from tests.model_server.process import ModelServer
from tests.servers import Databases, Postgres, Site, Valkey

PROCESSES: Final = 3
RUNS: Final = 12
PATIENCE: Final = 30.0


async def measure(sites: Sequence[Site], kills: int, stops: int) -> bool:
    """Print the times; whether nothing was taken from a process that lived."""
    silences: dict[str, list[float]] = {"killed": [], "stopped": []}
    whole = True
    for number in range(kills + stops):
        site = sites[number % len(sites)]
        # New answers each time: one that has lost three processes is given up.
        async with fleet(sites, RUNS) as runs:
            await runs.watch_on([other for other in sites if other is not site])
            lost, expected = _about_to_lose(runs, site)
            if number < kills:
                site.kill()
                silences["killed"] += await runs.begin_anew(lost, PATIENCE)
            else:
                with site.paused():
                    silences["stopped"] += await runs.begin_anew(lost, PATIENCE)
            await runs.go_on(PATIENCE)
            whole = whole and runs.epochs == expected
            for viewer in runs.viewers:
                await viewer.send("interrupt", run=1)
        if number < kills:
            await asyncio.to_thread(site.start)
    for what, seconds in silences.items():
        _tell(what, seconds)
    return whole


def _about_to_lose(runs: Runs, site: Site) -> tuple[list[Viewer], list[int]]:
    lost = runs.of(site)
    return lost, [v.runs[1].epoch + (v in lost) for v in runs.viewers]


def _tell(what: str, silences: list[float]) -> None:
    if silences:
        sys.stdout.write(
            f"{what}: {len(silences)} answers went on after"
            f" {statistics.median(silences):.2f} s (median),"
            f" {max(silences):.2f} s (at most)\n"
        )
        sys.stdout.flush()


async def idle_wal(site: Site, seconds: float) -> float:
    """KiB of WAL in a minute without answers: what the leases write."""
    ((before,),) = site.rows("SELECT pg_current_wal_lsn() - '0/0'")
    await asyncio.sleep(seconds)
    ((after,),) = site.rows("SELECT pg_current_wal_lsn() - '0/0'")
    return float(after - before) / 1024 * 60 / seconds


def main() -> int:
    """Measure as often as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stops", type=int, default=3)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(Postgres())
        valkey = stack.enter_context(Valkey(folder))
        model = stack.enter_context(ModelServer())
        url = Databases(folder, lambda: postgres).new("postgresql")
        static = folder / "static"
        collect = Site(folder, DATABASE_URL=url, STATIC_ROOT=static)
        collect.manage("collectstatic", "--no-input", "--verbosity", "0")
        sites = [
            stack.enter_context(
                Site(
                    folder,
                    DATABASE_URL=url,
                    REDIS_URL=valkey.url,
                    STATIC_ROOT=static,
                    LLM_BASE_URL=model.base_url,
                    LLM_MODEL="hello",
                    MAX_RUNS_PER_USER=100,
                )
            )
            for _ in range(PROCESSES)
        ]
        written = asyncio.run(idle_wal(sites[0], 30))
        sys.stdout.write(f"idle, {PROCESSES} processes: {written:.1f} KiB of WAL/min\n")
        whole = asyncio.run(measure(sites, given.kills, given.stops))
        verdict = "nothing" if whole else "SOMETHING"
        sys.stdout.write(f"{verdict} was taken from a process that lived\n")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
