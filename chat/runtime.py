"""What one process runs beside its sockets: hub, journal, runs, and their watches."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, TypeVar
from uuid import UUID

from django.conf import settings

from chat import metrics, store
from chat.agents import registry
from chat.auth.limits import Limits
from chat.auth.tickets import Ground, Ticket, ended
from chat.live.feeds import Feeds
from chat.live.hub import Hub
from chat.live.viewer import State
from chat.log.errors import is_transient, note_failure
from chat.log.journal import Journal
from chat.operating import Operating, Socket
from chat.store.database import db
from chat.wire.protocol import CLOSE_NOT_SIGNED_IN, CLOSE_OVERLOADED, Notice
from chat.work.leases import LOOK_SECONDS
from chat.work.scheduler import Scheduler
from chat.work.verbs import Verbs

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Readers of a run's last events should find them as they were written. Nobody is told
# anything wrong otherwise; it only takes longer.
COMPACT_AFTER: Final = timedelta(seconds=60)
COMPACT_SECONDS: Final = 30.0
COMPACT_RUNS: Final = 100  # at a time; `manage.py compact` does not wait in between

DAY: Final = 24 * 3600.0
MEASURE_SECONDS: Final = 5.0
ALONE_SECONDS: Final = 0.5  # from one look whether others are there to the next
WARM_SECONDS: Final = 20.0  # that imports may take before a newcomer goes to work
CLOSE_SECONDS: Final = 2.0  # for each part of closing that others could hold up
WAITING: Final = Notice("Waiting for a worker")


class Runtime:
    """The parts of one process, wired together. Made on the running event loop."""

    def __init__(self, role: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = Limits()
        self.draining = False
        self.sockets: set[Socket] = set()
        self.streams: set[Socket] = set()  # of these, those that no server closes
        self.changed_hands = asyncio.Event()  # somebody has signed in, or shares end
        self._directed = asyncio.Event()  # operators want something done
        self._maintenance: Notice | None = None
        self._lacks_workers = False
        self._hang_ups: set[asyncio.Task[None]] = set()
        self._warm = asyncio.Event()  # a run can begin without waiting for imports
        self._draining: asyncio.Task[None] | None = None
        self._impatient = asyncio.Event()
        self._left_behind = asyncio.Event()  # another process has handed runs over
        self.feeds = Feeds()
        self.hub = Hub(
            self.feeds,
            on_nudge=self._look_at,
            on_recover=self._left_behind.set,
            on_call=self._on_call,
            on_started=self._on_started,
            on_directed=self._directed.set,
        )
        self.feeds.transport = self.hub
        self.journal = Journal(self.hub.publish)
        self.scheduler = Scheduler(self.hub, self.journal, self._left_behind.set, role)
        self.verbs = Verbs(self.hub, self.feeds, self.scheduler)
        self.operating = Operating(
            self.sockets,
            self._hang_up,
            self._on_maintenance,
            lambda: self.scheduler.lease.process_id,
        )
        beat = settings.HEARTBEAT_SECONDS
        self._watches = [
            self._watch(self._recover, beat, sooner=self._left_behind),
            self._watch(self.feeds.check, settings.POSITION_CHECK_SECONDS),
            self._watch(
                self._check_tickets,
                settings.SIGN_IN_CHECK_SECONDS,
                sooner=self.changed_hands,
            ),
            self._watch(
                self.operating.check,
                settings.SIGN_IN_CHECK_SECONDS,
                sooner=self._directed,
            ),
            self._watch(self._clean_up, DAY),
            self._watch(self._compact, COMPACT_SECONDS),
            self._watch(self._measure, MEASURE_SECONDS),
        ]
        if role == "web":
            self._watches.append(self._watch(self._look_for_workers, LOOK_SECONDS))
        registry.warm_up(self._warmed_up)

    def begin_to_drain(self) -> asyncio.Task[None]:
        """Take nothing on any more, and let others go on with what is under way.

        Steps that are open may finish within DRAIN_SECONDS, unless nobody else is
        there: then the site is back sooner if this process ends at once.
        """
        self.draining = True
        for stream in self.streams:
            self._hang_up(stream, CLOSE_OVERLOADED)
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(), name="drain")
        return self._draining

    def stop_draining(self) -> None:
        """End at once: somebody is impatient."""
        self._impatient.set()

    async def _drain(self) -> None:
        drained = asyncio.create_task(self.scheduler.drain())
        impatient = asyncio.create_task(self._impatient.wait())
        end = self.loop.time() + settings.DRAIN_SECONDS
        # Looked at again and again: the others may be ending as well.
        while (
            not self.scheduler.lease.is_alone and (left := end - self.loop.time()) > 0
        ):
            over, _ = await asyncio.wait(
                {drained, impatient},
                timeout=min(left, ALONE_SECONDS),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if over:
                break
        for wait in (drained, impatient):
            wait.cancel()
        await asyncio.gather(drained, impatient, return_exceptions=True)

    async def close(self) -> None:
        """Stop, and hand the runs over to whoever is there. No part may take long."""
        draining = self.begin_to_drain()
        # Servers that close sockets themselves have done so by now, with 1012.
        hang_ups = [socket.hang_up(CLOSE_OVERLOADED) for socket in self.sockets]
        await _within(
            CLOSE_SECONDS, "sockets", asyncio.gather(*hang_ups, return_exceptions=True)
        )
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        await draining
        await self.scheduler.close()
        await self.journal.flush()
        await self.scheduler.hand_over()
        await self.journal.close()
        await self.scheduler.lease.stop()
        await self.hub.close()
        await _within(CLOSE_SECONDS, "agents", registry.shutdown())

    def shut_out(self, is_over: Callable[[Ticket], bool]) -> None:
        """Hang up on who got in with what is over.

        A guest's page may come back: as the user's that the guest has become, maybe.
        """
        for socket in tuple(self.sockets):
            if socket.ticket is None or not is_over(socket.ticket):
                continue
            is_guest = socket.ticket.user_id is None
            self._hang_up(socket, CLOSE_OVERLOADED if is_guest else CLOSE_NOT_SIGNED_IN)

    def _hang_up(self, socket: Socket, code: int) -> None:
        hang_up = asyncio.create_task(socket.hang_up(code))
        self._hang_ups.add(hang_up)
        hang_up.add_done_callback(self._hang_ups.discard)

    def directed(self) -> None:
        """Operators want something done: here, and by the other processes."""
        self._directed.set()
        self.hub.tell_directed()

    def stopped(self, stopped: Sequence[store.Stopped]) -> None:
        """Runs were ended from outside: tell whoever watches, or drives them."""
        for each in stopped:
            session_id = each.written.session_id
            self.hub.publish([(session_id, each.written.frame)])
            self.scheduler.wake(session_id, is_guest=False)
        self.scheduler.give_up_everywhere([each.run_id for each in stopped])

    def erased(self, erased: store.Erased) -> None:
        """Sessions are gone for good: tell whoever watches, or drives runs there."""
        for session_id in erased.session_ids:
            self.hub.end(session_id)
        self.scheduler.give_up_everywhere(erased.run_ids)

    def _on_call(self, session_id: UUID) -> None:
        self.scheduler.on_called(session_id)

    def _on_started(self, session_id: UUID) -> None:
        self.scheduler.on_started(session_id)

    def _look_at(self, run_ids: list[int]) -> None:
        self.scheduler.look_at(run_ids)

    def _watch(
        self,
        check: Callable[[], Awaitable[None]],
        seconds: float,
        *,
        sooner: asyncio.Event | None = None,
    ) -> asyncio.Task[None]:
        """Check every so many seconds, or as soon as `sooner` is set, for ever."""
        wake = sooner or asyncio.Event()

        async def for_ever() -> None:
            while True:
                wake.clear()
                try:
                    await check()
                except Exception as error:
                    # A watch that ends would not be missed until it is needed.
                    if is_transient(error):
                        note_failure(check.__name__, error)
                    else:
                        logger.exception("%s failed, will try again", check.__name__)
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await wake.wait()

        return asyncio.create_task(for_ever(), name=check.__name__)

    def _warmed_up(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._warm.set)

    async def _recover(self) -> None:
        """Go on with what others left; as a newcomer, let those do it who are warm."""
        if not self._warm.is_set() and not self.scheduler.lease.is_alone:
            with suppress(TimeoutError):
                async with asyncio.timeout(WARM_SECONDS):
                    await self._warm.wait()
        await self.scheduler.recover()

    async def _check_tickets(self) -> None:
        """Shut out who has signed out, or may not come in any more, or so."""
        grounds: set[Ground] = {
            ground
            for socket in self.sockets
            for ground in (socket.ticket, socket.shared)
            if ground is not None
        }
        over = await db(ended, grounds) if grounds else set[Ground]()
        self.shut_out(over.__contains__)
        for socket in tuple(self.sockets):
            if socket.shared in over:
                # Who comes back is told what they may now, or that it is not there.
                self._hang_up(socket, CLOSE_OVERLOADED)

    async def _look_for_workers(self) -> None:
        """Tell people, where nobody is there to answer, as long as it is so."""
        lease = self.scheduler.lease
        nobody = lease.process_id is not None and lease.is_alone
        self._lacks_workers = nobody
        self._say_what_stands()

    def _on_maintenance(self, notice: Notice | None) -> None:
        """Begin nothing more and say so; or go on."""
        self._maintenance = notice
        self.scheduler.maintenance = "" if notice is None else notice.text
        self._say_what_stands()
        if notice is None:
            self._left_behind.set()  # what waited can begin

    def _say_what_stands(self) -> None:
        waiting = WAITING if self._lacks_workers else None
        self.feeds.say(self._maintenance or waiting)

    async def _measure(self) -> None:
        """Tell Prometheus how much there is here now."""
        metrics.RUNNING.set(self.scheduler.driven)
        metrics.SOCKETS.set(len(self.sockets))
        viewers = list(self.feeds.viewers)
        states = Counter(viewer.state for viewer in viewers)
        for state in State:
            metrics.VIEWERS.labels(state.name.lower()).set(states[state])
        metrics.OUTBOX_CHARS.set(sum(viewer.outbox.chars for viewer in viewers))

    async def _clean_up(self) -> None:
        for erased in await db(store.clean_up):
            self.erased(erased)
        await db(store.forget_directives)

    async def _compact(self) -> None:
        """Make the log smaller where a run's end has been seen by everybody."""
        for run_id in await db(store.compactable, COMPACT_RUNS, COMPACT_AFTER):
            await db(store.compact, run_id)


async def _within(seconds: float, what: str, closing: Awaitable[object]) -> None:
    """Await the closing of something that is not to be waited for for long."""
    try:
        async with asyncio.timeout(seconds):
            await closing
    except TimeoutError:
        logger.warning("%s were not closed within %g s", what, seconds)


_runtime: Runtime | None = None


def current(role: str | None = None) -> Runtime:
    """The runtime of this process; the first caller starts it on its event loop.

    `role`: of the process, where it is not what the settings say.
    """
    global _runtime  # noqa: PLW0603  (one per process)
    if _runtime is None or _runtime.loop.is_closed():
        _runtime = Runtime(role or settings.ROLE)
    return _runtime


def call_soon(act: Callable[[Runtime], object]) -> None:
    """Have the runtime do something, if this process has one. From any thread."""
    if _runtime is not None and not _runtime.loop.is_closed():
        _runtime.loop.call_soon_threadsafe(act, _runtime)


def call(act: Callable[[Runtime], T]) -> T | None:
    """What the runtime's `act` returns, or raises. None: this process has none.

    From a thread that may wait for the event loop.
    """
    if _runtime is None or _runtime.loop.is_closed():
        return None

    async def acted(running: Runtime) -> T:
        return act(running)

    return asyncio.run_coroutine_threadsafe(acted(_runtime), _runtime.loop).result()


async def close() -> None:
    """Stop the runtime, if it was started."""
    global _runtime  # noqa: PLW0603  (one per process)
    if _runtime is not None:
        try:
            await _runtime.close()
        finally:
            _runtime = None
