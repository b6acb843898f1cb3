"""What one process runs beside its sockets: hub, journal, runs, and their watches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError

from chat import store
from chat.agents import registry
from chat.bounds import Bounds
from chat.database import db
from chat.fanout import Hub
from chat.journal import Journal
from chat.runs import Runs
from chat.viewers import SocketViewer

logger = logging.getLogger(__name__)

SINCE_MARGIN = (
    60.0  # seconds: how much longer than needed the position check looks back
)


class Runtime:
    """The parts of one process, wired together. Made on the running event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.hub = Hub(on_nudge=self._give_up)
        self.journal = Journal(self.hub.publish)
        self.runs = Runs(self.hub, self.journal)
        self.bounds = Bounds()
        self.draining = False
        self._checked = self.loop.time()
        self._watches = [
            self._watch(self.runs.renew, settings.HEARTBEAT_SECONDS),
            self._watch(self.runs.recover, settings.HEARTBEAT_SECONDS),
            self._watch(self._check_positions, settings.POSITION_CHECK_SECONDS),
        ]

    def _give_up(self, run_ids: list[int]) -> None:
        self.runs.give_up(run_ids)

    async def close(self) -> None:
        """Stop, and hand the runs over to whoever is there."""
        self.draining = True
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        await self.runs.close()
        await self.journal.close()
        await self.runs.hand_over()
        await self.hub.close()
        await registry.shutdown()

    def _watch(
        self, look: Callable[[], Awaitable[None]], seconds: float
    ) -> asyncio.Task[None]:
        async def for_ever() -> None:
            while True:
                try:
                    await look()
                except DatabaseError as error:
                    logger.warning("the database is away, will try again: %s", error)
                await asyncio.sleep(seconds)

        return asyncio.create_task(for_ever(), name=look.__name__)

    async def _check_positions(self) -> None:
        """Have viewers read the log where it has more than they were told of."""
        watched = self.hub.watched
        since = self.loop.time() - self._checked + SINCE_MARGIN
        started = self.loop.time()
        if watched:
            found = await db(store.positions, watched, timedelta(seconds=since))
            for session_id, run, last_seq in found:
                for viewer in self.hub.viewers(session_id):
                    if isinstance(viewer, SocketViewer):
                        viewer.check(run, last_seq)
        self._checked = started


_runtime: Runtime | None = None


def current() -> Runtime:
    """The runtime of this process; the first caller starts it on its event loop."""
    global _runtime  # noqa: PLW0603  (one per process)
    if _runtime is None or _runtime.loop.is_closed():
        _runtime = Runtime()
    return _runtime


async def close() -> None:
    """Stop the runtime, if it was started."""
    global _runtime
    if _runtime is not None:
        runtime, _runtime = _runtime, None
        await runtime.close()
