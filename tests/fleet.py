"""Several processes of the site with answers under way, to see who drives them.

async with fleet(sites, runs=12) as runs:
    sites[0].kill()
    await runs.go_on(within=2)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from tests.client import Person, Viewer
from tests.servers import Site

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
