"""Which runs this process drives: claimed, taken over, handed over."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError

from chat import metrics, store
from chat.agents import registry
from chat.auth.limits import guests_share
from chat.live.hub import Hub
from chat.log.errors import note_failure
from chat.log.journal import Journal
from chat.store import Abandoned, Claimant, Claimed, processes
from chat.store.database import urgent
from chat.work.driver import Driver
from chat.work.leases import Lease

logger = logging.getLogger(__name__)

T = TypeVar("T")

CALL_JITTER: Final = 0.02  # seconds: so that not all answer a call at once
CLAIMS_AT_ONCE: Final = 8  # between two looks at what others have left


class Scheduler:
    """Claims runs for this process while it has slots, and drives them."""

    def __init__(
        self,
        hub: Hub,
        journal: Journal,
        on_abandoned: Callable[[], None],
        role: str = "both",
    ) -> None:
        """`on_abandoned` is told when there may be something to `recover`."""
        self._slots = 0 if role == "web" else settings.MAX_RUNS
        self._called: set[UUID] = set()  # what another process could not start
        self._hub = hub
        self._journal = journal
        self._on_abandoned = on_abandoned
        self._drivers: dict[int, Driver] = {}  # by run id
        self._background: set[asyncio.Task[Any]] = set()
        self._closing = False
        self.maintenance = ""  # what people are told while nothing more begins
        self._claiming = 0  # claims under way: each may become a run
        self.lease = Lease(
            running=lambda: frozenset(self._drivers),
            on_lost=self.give_up,
            on_undriven=self._disown,
            on_renewed=self._renewed,
            on_abandoned=on_abandoned,
            role=role,
            slots=self._slots,
        )

    @contextmanager
    def slot(self, *, is_guest: bool = False) -> Iterator[Claimant | None]:
        """Hold a slot, for a run that may be claimed; None where none is free."""
        process_id = self.lease.process_id
        for_guests = self._has_guest_slot
        if (
            process_id is None
            or not self._free_slots
            # Not even for the time of asking: somebody else may have it.
            or (is_guest and not for_guests)
        ):
            yield None
            return
        self._claiming += 1
        try:
            yield Claimant(
                process_id, settings.MAX_RUNS_PER_USER, for_guests=for_guests
            )
        finally:
            self._claiming -= 1

    async def to_the_end(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await what may claim a run: it goes on where whoever awaits is cancelled."""
        task = asyncio.create_task(coroutine)
        self._keep(task)
        return await asyncio.shield(task)

    def wake(self, session_id: UUID, *, is_guest: bool) -> None:
        """Start what waits in the session, here or elsewhere, if its turn has come."""
        if self._free_slots and (self._has_guest_slot or not is_guest):
            self._spawn(self._start_next(session_id))
        else:
            self._hub.call_start(session_id)

    def on_called(self, session_id: UUID) -> None:
        """Start what waits in the session, which another process has no slot for."""
        if self._free_slots:
            self._called.add(session_id)
            self._spawn(self._start_called(session_id))

    def on_started(self, session_id: UUID) -> None:
        """Another process has heard the same call sooner."""
        self._called.discard(session_id)

    def give_up(self, run_ids: Iterable[int]) -> None:
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

    @property
    def driven(self) -> int:
        """How many runs this process drives."""
        return len(self._drivers)

    async def recover(self) -> None:
        """Take over abandoned runs and start waiting ones, while there are slots."""
        while self._free_slots and await self._take_over_some():
            pass
        while self._free_slots and not self.maintenance and await self._start_some():
            pass

    async def drain(self) -> None:
        """Claim nothing more; return when all runs have ended or were handed over."""
        self._closing = True
        self.lease.retire()
        for driver in self._drivers.values():
            driver.drain()
        while tasks := [d.task for d in self._drivers.values()] + [*self._background]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop driving; what is open in the log is begun anew by whoever goes on."""
        self._closing = True
        tasks = [driver.task for driver in self._drivers.values()]
        tasks += self._background
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def hand_over(self) -> None:
        """Let other processes claim this one's runs at once."""
        await self.lease.leave()
        self._hub.call_recover()

    # ------------------------------------------------------------ claiming

    @property
    def _free_slots(self) -> int:
        if self._closing or self.lease.process_id is None:
            return 0
        return max(0, self._slots - len(self._drivers) - self._claiming)

    @property
    def _has_guest_slot(self) -> bool:
        """Whether guests may have one more: some slots are for who has signed in."""
        guests = sum(driver.is_guest for driver in self._drivers.values())
        return guests + self._claiming < guests_share(self._slots)

    async def _take_over_some(self) -> bool:
        """Take over some abandoned runs. Returns True if there may be more."""
        found = await urgent(store.abandoned, CLAIMS_AT_ONCE)
        taken = [
            left.run_id
            for left in found
            if await self._claim(partial(_take_over, left))
        ]
        if taken:
            metrics.TAKEOVERS.inc(len(taken))
            logger.warning("took over runs %s", taken)
        return bool(taken) and len(found) == CLAIMS_AT_ONCE

    async def _start_some(self) -> bool:
        """Start some waiting runs. Returns True if there may be more."""
        waiting = await urgent(
            partial(store.waiting_sessions, for_guests=self._has_guest_slot),
            CLAIMS_AT_ONCE,
            settings.MAX_RUNS_PER_USER,
        )
        started = [await self._start_next(session_id) for session_id in waiting]
        return any(started) and len(waiting) == CLAIMS_AT_ONCE

    async def _start_next(self, session_id: UUID) -> bool:
        """Start what waits in the session, if its turn has come.

        Returns True if a run was started.
        """
        if self.maintenance:
            return False
        try:
            return await self._claim(partial(store.start_next, session_id))
        except DatabaseError as error:
            note_failure("starting the next run", error)
            return False

    async def _start_called(self, session_id: UUID) -> None:
        """As `_start_next`; who has more to do lets others go first."""
        busy = len(self._drivers) / self._slots
        await asyncio.sleep(CALL_JITTER * (busy + random.random()))  # noqa: S311
        if session_id not in self._called:
            return
        self._called.discard(session_id)
        if await self._start_next(session_id):
            self._hub.tell_started(session_id)

    async def _claim(self, claim: Callable[[Claimant], Claimed | None]) -> bool:
        """Claim a run and drive it, if there is a slot. Returns True if it was."""
        with self.slot() as claimant:
            if claimant is None:
                return False  # whoever has a free slot finds it in `recover`
            claimed = await urgent(claim, claimant)
        if claimed is not None:
            self.drive(claimed)
        return claimed is not None

    def drive(self, claimed: Claimed) -> None:
        """Drive a run that this process has claimed."""
        self._hub.publish([(claimed.written.session_id, claimed.written.frame)])
        if claimed.run.process != self.lease.process_id:
            return  # abandoned, and found by whoever looks next
        driver = Driver(claimed, self._journal)
        self._drivers[driver.run.pk] = driver
        driver.task.add_done_callback(lambda _: self._ended(driver))
        if self._closing:
            driver.drain()

    def _disown(self, run_ids: frozenset[int]) -> None:
        """Let others go on with runs that are this process's and that it forgot."""
        process_id, forgotten = self.lease.process_id, run_ids - self._drivers.keys()

        async def disown(process_id: int) -> None:
            try:
                await urgent(processes.disown, process_id, forgotten)
            except DatabaseError as error:  # the next heartbeat finds them again
                note_failure(f"disowning runs {list(forgotten)}", error)
            else:
                logger.warning("runs %s were not driven by anybody", list(forgotten))

        if forgotten and process_id is not None:
            self._spawn(disown(process_id))

    def _renewed(self) -> None:
        """This process has begun anew: what it drove before is not its any more."""
        process_id = self.lease.process_id
        for driver in self._drivers.values():
            if driver.run.process != process_id:
                driver.give_up()
        self._on_abandoned()

    def _ended(self, driver: Driver) -> None:
        run = driver.run
        if self._drivers.get(run.pk) is driver:  # it may have come back
            del self._drivers[run.pk]
        if self._closing:
            self._hub.call_recover()  # to what was handed over, or waited for its turn
        else:
            self._spawn(self._go_on(run.session_id))

    async def _go_on(self, session_id: UUID) -> None:
        """Start what waits in the session, which seldom has anything."""
        try:
            look = partial(store.has_queued, session_id)
            queued = await self._journal.between_flushes(look)
        except DatabaseError as error:
            note_failure("looking for the next run", error)
            return  # `recover` finds it
        if queued:
            await self._start_next(session_id)

    async def _give_up_lost(self, epochs: dict[int, int]) -> None:
        try:
            self.give_up(list(await urgent(store.lost, epochs)))
        except DatabaseError as error:  # then the next flush or heartbeat finds out
            note_failure(f"looking at runs {list(epochs)}", error)

    def _spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self._keep(asyncio.create_task(coroutine))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _take_over(left: Abandoned, claimant: Claimant) -> Claimed | None:
    return store.take_over(left, claimant.process, _is_repeatable)


def _is_repeatable(agent_name: str, tool_name: str) -> bool:
    try:
        return registry.create(agent_name).is_repeatable(tool_name)
    except KeyError:
        return False
