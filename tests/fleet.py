"""Several processes of the site with answers under way, to see who drives them.

async with fleet(sites, runs=12) as runs:
    sites[0].kill()
    await runs.go_on(within=2)
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import psycopg

from tests.client import Person, Viewer
from tests.servers import Postgres, Site

# A viewer's patience; how long a run may be silent is what tests measure.
LONG = 60.0


class Runs:
    """Answers that go on for long, and somebody who watches each on every process."""

    def __init__(self, viewers: list[Viewer]) -> None:
        self.viewers = viewers

    async def go_on(self, within: float) -> None:
        """Wait until every answer has grown."""
        lengths = [len(viewer.text(1)) for viewer in self.viewers]
        for viewer, length in zip(self.viewers, lengths, strict=True):
            await viewer.until(lambda: len(viewer.text(1)) > length, within, "more")  # noqa: B023

    async def begin_anew(self, lost: Sequence[Viewer], within: float) -> list[float]:
        """Wait until another process has written on; after how many seconds each."""
        started = time.monotonic()

        async def begun(viewer: Viewer) -> float:
            epoch = viewer.runs[1].epoch
            await viewer.until(
                lambda: viewer.runs[1].epoch > epoch and viewer.text(1),
                within,
                "begun anew",
            )
            return time.monotonic() - started

        return await asyncio.gather(*map(begun, lost))

    async def watch_on(self, sites: Sequence[Site]) -> None:
        """Send all viewers to these processes."""
        for viewer in self.viewers:
            viewer.site_urls = [site.url for site in sites]
            viewer.drop()
        await self.go_on(LONG)

    @property
    def epochs(self) -> list[int]:
        """How often each run was begun, as its viewer knows."""
        return [viewer.runs[1].epoch for viewer in self.viewers]

    def of(self, site: Site) -> list[Viewer]:
        """Who watches what this process drives, as the database has it."""
        driven = {
            str(session_id).replace("-", "")
            for (session_id,) in site.rows(
                "SELECT session_id FROM chat_run JOIN chat_process"
                " ON chat_process.id = chat_run.process"
                " WHERE status = 'running' AND chat_process.name LIKE ?",
                f"%:{site.pid}",
            )
        }
        return [v for v in self.viewers if v.session_id.hex in driven]


async def longest_silence(viewer: Viewer, run: int = 1) -> float:
    """Watch a run to its end; for how many seconds nothing came, at most."""
    longest = 0.0
    while not viewer.reason(run):
        seen, since = viewer.runs[run].seq, time.monotonic()
        await viewer.until(lambda: viewer.runs[run].seq > seen, LONG, "anything")  # noqa: B023
        longest = max(longest, time.monotonic() - since)
    return longest


def database_faults(postgres: Postgres, hung_for: float) -> list[Callable[[], None]]:
    """What may befall PostgreSQL without any process of the site being to blame."""

    def execute(statement: str) -> None:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def restart() -> None:
        postgres.terminate()
        postgres.start()

    def kill_a_backend() -> None:  # so that PostgreSQL reinitialises
        with psycopg.connect(postgres.url()) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            with suppress(psycopg.OperationalError):
                connection.execute("SELECT 1")

    def terminate_a_lock() -> None:
        execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND objsubid = 2 LIMIT 1"
        )

    def terminate_all_connections() -> None:
        execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def hang() -> None:
        with postgres.paused():
            threading.Event().wait(hung_for)

    return [restart, kill_a_backend, terminate_a_lock, terminate_all_connections, hang]


@asynccontextmanager
async def fleet(
    sites: Sequence[Site], runs: int, prompt: str = "[stream tokens=50000 rate=20]"
) -> AsyncIterator[Runs]:
    """`runs` answers under way, asked for on one process after the other."""
    person = await asyncio.to_thread(Person, sites[0].url)
    urls = [site.url for site in sites]
    async with AsyncExitStack() as stack:
        viewers = []
        for number in range(runs):
            viewer = person.watch([urls[number % len(urls)]])
            await stack.enter_async_context(viewer)
            viewer.ask(prompt)
            viewers.append(viewer)
        for viewer in viewers:
            await viewer.until(lambda: viewer.text(1), LONG, "an answer")  # noqa: B023
            viewer.site_urls = urls
        yield Runs(viewers)
