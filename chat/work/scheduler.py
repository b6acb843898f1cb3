"""Which runs this process drives: claimed, kept, taken over, handed over."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DatabaseError

from chat import store
from chat.agents import registry
from chat.live.hub import Hub
from chat.log.journal import Journal
from chat.models import Run
from chat.store import Claimed
from chat.store.database import urgent
from chat.work.driver import Driver

logger = logging.getLogger(__name__)

CLAIMS_AT_ONCE: Final = 8  # between two looks at what others have left


class Scheduler:
    """Claims runs for this process while it has slots, and drives them."""

    def __init__(self, hub: Hub, journal: Journal) -> None:
        self._hub = hub
        self._journal = journal
        self.process = f"{socket.gethostname()[:24]}:{os.getpid()}:{uuid4().hex[:12]}"
        self._drivers: dict[int, Driver] = {}  # by run id
        self._background: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._claiming = 0  # claims under way: each may become a run
        # When the database last failed, on the loop's clock: see `recover`.
        self.last_database_error = float("-inf")

    def wake(self, session_id: UUID) -> None:
        """Start what waits in the session, if its turn has come."""
        self._spawn(self._start_next(session_id))

    def give_up(self, run_ids: list[int]) -> None:
        """Stop driving these runs, if this process does: they are not its any more."""
        for run_id in run_ids:
            if driver := self._drivers.get(run_id):
                driver.give_up()

    def give_up_everywhere(self, run_ids: list[int]) -> None:
        """Stop driving these runs, whichever process does: they have been ended."""
        self.give_up(run_ids)
        self._hub.nudge(run_ids)

    def look_at(self, run_ids: list[int]) -> None:
        """Give up what of these runs is not this process's any more.

        Somebody said so who may be mistaken: another site on the same Redis has runs
        of the same ids. So the rows are looked at.
        """
        drivers = [d for run_id in run_ids if (d := self._drivers.get(run_id))]
        if drivers:
            self._spawn(self._give_up_lost({d.run.pk: d.run.epoch for d in drivers}))

    async def renew(self) -> None:
        """Say that this process is alive; give up what others have taken."""
        if self._drivers:
            renew = partial(store.renew, self.process, list(self._drivers))
            self.give_up(list(await self._journal.between_flushes(renew)))

    async def recover(self) -> None:
        """Take over abandoned runs and start waiting ones, while there are slots.

        Not while the database has just come back: then no process could say that it
        is alive, and all runs look abandoned.
        """
        calm = 2 * settings.HEARTBEAT_SECONDS
        if asyncio.get_running_loop().time() - self.last_database_error < calm:
            return
        while self._free_slots and await self._take_over_some():
            pass
        while self._free_slots and await self._start_some():
            pass

    async def close(self) -> None:
        """Stop driving; the runs stay open in the log."""
        self._closing = True
        tasks = [driver.task for driver in self._drivers.values()]
        tasks += self._background
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def hand_over(self) -> None:
        """Let other processes claim this one's runs at once, not after a silence."""
        try:
            async with asyncio.timeout(2):
                await urgent(store.release, self.process)
        except (TimeoutError, DatabaseError) as error:
            logger.warning("could not hand the runs over: %s", error)
        self._hub.call_recover()

    # ------------------------------------------------------------ claiming

    @property
    def _free_slots(self) -> int:
        return max(0, settings.MAX_RUNS - len(self._drivers) - self._claiming)

    async def _take_over_some(self) -> bool:
        """Take over some abandoned runs. Returns True if there may be more."""
        older_than = timedelta(seconds=settings.TAKEOVER_SECONDS)
        found = await urgent(
            store.abandoned, older_than, CLAIMS_AT_ONCE, list(self._drivers)
        )
        taken = [
            run_id
            for run_id in found
            if await self._claim(
                store.take_over, run_id, self.process, older_than, _is_repeatable
            )
        ]
        if taken:
            logger.warning("took over runs %s", taken)
        return bool(taken) and len(found) == CLAIMS_AT_ONCE

    async def _start_some(self) -> bool:
        """Start some waiting runs. Returns True if there may be more."""
        waiting = await urgent(
            store.waiting_sessions, CLAIMS_AT_ONCE, settings.MAX_RUNS_PER_USER
        )
        started = [await self._start_next(session_id) for session_id in waiting]
        return any(started) and len(waiting) == CLAIMS_AT_ONCE

    async def _start_next(self, session_id: UUID) -> bool:
        """Start what waits in the session, if its turn has come.

        Returns True if a run was started.
        """
        per_user = settings.MAX_RUNS_PER_USER
        try:
            return await self._claim(
                store.start_next, session_id, self.process, per_user
            )
        except DatabaseError as error:
            logger.warning("could not start the next run, will try again: %s", error)
            return False

    async def _claim(self, claim: Callable[..., Claimed | None], *args: Any) -> bool:
        """Claim a run and drive it, if there is a slot. Returns True if it was."""
        if self._closing or not self._free_slots:
            return False  # whoever has a free slot finds it in `recover`
        self._claiming += 1
        try:
            claimed = await urgent(claim, *args)
        finally:
            self._claiming -= 1
        if claimed is not None:
            self._begin(claimed)
        return claimed is not None

    def _begin(self, claimed: Claimed) -> None:
        self._hub.publish([(claimed.written.session_id, claimed.written.frame)])
        driver = Driver(claimed, self._journal)
        self._drivers[driver.run.pk] = driver
        driver.task.add_done_callback(lambda _: self._ended(driver.run))

    def _ended(self, run: Run) -> None:
        self._drivers.pop(run.pk, None)
        if not self._closing:
            self.wake(run.session_id)

    async def _give_up_lost(self, epochs: dict[int, int]) -> None:
        try:
            self.give_up(list(await urgent(store.lost, epochs)))
        except DatabaseError as error:  # then the next flush or heartbeat finds out
            logger.warning("could not look at runs %s: %s", list(epochs), error)

    def _spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _is_repeatable(agent_name: str, tool_name: str) -> bool:
    try:
        return registry.create(agent_name).is_repeatable(tool_name)
    except KeyError:
        return False
