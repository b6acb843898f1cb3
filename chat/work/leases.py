"""The lease by which a process drives runs: held while it lives, gone when it dies.

It is held by what PostgreSQL itself lets go of when a process dies: an advisory lock
of a session, on a connection of its own. On SQLite the kernel does the same with a lock
on a file. The heartbeat in the process's row is for processes that hang, and for
connection poolers, behind which a lock outlives its owner. A process whose row is gone
has been declared dead: it gives up its runs and begins as a new one. Why each rule is
there says docs/architecture.md.

All this goes on in one thread, so that no queue in the process can hold it up.
"""

from __future__ import annotations

import asyncio
import copy
import fcntl
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import psycopg
from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from chat.log.errors import answered, note_failure
from chat.store import processes
from chat.store.database import urgent
from chat.store.processes import DeclaredDeadError, Neighbour

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5  # from one look at the other processes to the next
GONE_SECONDS: Final = 0.45  # that a lock must have been missing
# So long after this process has taken its own lock, or had trouble with the database,
# a missing lock means nothing: when PostgreSQL starts anew, all are missing at once.
GRACE_SECONDS: Final = 3.0
SLOW_SECONDS: Final = 1.0  # a round that takes longer is trouble with the database
RECONNECT_SECONDS: Final = 0.2
LOCK_TIMEOUT_MS: Final = 2_000  # somebody has locked the row of a process
LEAVE_SECONDS: Final = 2.0  # to say goodbye; then others find out


class Lease:
    """Keeps this process's row alive, and declares other processes dead.

    `running` says which runs the process drives. `on_lost` is told the ids of those
    that are not its own any more, `on_undriven` of those that are, and that it does not
    drive: a claim whose answer was lost, a run that could not be written. `on_renewed`
    is told that `process_id` is another one: all runs which name the former are lost;
    `on_abandoned` that there are runs to take over. All are called on the event loop.
    """

    def __init__(
        self,
        *,
        running: Callable[[], frozenset[int]],
        on_lost: Callable[[frozenset[int]], None],
        on_undriven: Callable[[frozenset[int]], None],
        on_renewed: Callable[[], None],
        on_abandoned: Callable[[], None],
        role: str,
        slots: int,
    ) -> None:
        self.process_id: int | None = None  # None until there is a row
        self.is_alone = True  # as of the last look: nobody else takes runs
        self._running = running
        self._on_lost = on_lost
        self._on_undriven = on_undriven
        self._on_renewed = on_renewed
        self._on_abandoned = on_abandoned
        self._role = role
        self._slots = slots
        self._name = f"{socket.gethostname()[:48]}:{os.getpid()}"
        self._loop = asyncio.get_running_loop()
        self._takeover = timedelta(seconds=settings.TAKEOVER_SECONDS)
        self._hold: _Hold
        self._missing: dict[tuple[int, int], float] = {}  # id, lock_no → since when
        # Pings of the event loop: only a process whose loop answers may say it lives.
        self._pinged = self._answered = 0
        self._driven: frozenset[int] = frozenset()  # at the last answer
        self._undriven: frozenset[int] = frozenset()  # at the last beat
        self._troubled = self._started = self._awake_at = time.monotonic()
        self._next_beat = 0.0
        self._failures = 0
        self._background: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._stopped = asyncio.Event()
        self._wake_up, self._woken = socket.socketpair()
        self._wake_up.settimeout(0)
        self._woken.settimeout(0)
        self._thread = threading.Thread(target=self._live, name="lease", daemon=True)
        self._thread.start()

    def retire(self) -> None:
        """Let the others know that this process takes no runs any more."""
        self._slots = 0
        self._next_beat = 0.0
        self._wake()

    async def leave(self) -> None:
        """Hand over what this process drives, so that nobody takes it for dead."""
        process_id, self.process_id = self.process_id, None
        self._stopping = True  # or the thread would register anew
        if process_id is None:
            return
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await urgent(processes.leave, process_id)
        except (TimeoutError, DatabaseError) as error:
            logger.warning("could not hand the runs over: %s", error)

    async def stop(self) -> None:
        """End the thread, and with it the lock. Without `leave` that is a death."""
        self._stopping = True
        self._wake()
        with suppress(TimeoutError):  # hung in the database: it is a daemon
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._stopped.wait()

    # ------------------------------------------------------------ on the event loop

    def _wake(self) -> None:
        with suppress(OSError):  # it is being woken, or has ended
            self._wake_up.send(b"!")

    def _answer(self, ping: int) -> None:
        self._answered, self._driven = ping, self._running()

    def _drop_lock(self, process_id: int) -> None:
        """Say over another connection that the lock's own has failed."""

        async def drop() -> None:
            try:
                await urgent(processes.drop_lock, process_id)
            except DeclaredDeadError:
                logger.info("that the lock is lost need not be said any more")
            except DatabaseError as error:
                note_failure("saying that the lock is lost", error)

        task = self._loop.create_task(drop())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # ------------------------------------------------------------ in the thread

    def _live(self) -> None:
        connections[DEFAULT_DB_ALIAS] = _connection_of_its_own()
        on_postgresql = connection.vendor == "postgresql"
        self._hold = _SessionLock() if on_postgresql else _FileLock()
        try:
            while not self._stopping:
                self._sleep(self._round())
        except RuntimeError:
            if not self._loop.is_closed():
                raise
        finally:
            self._hold.release()
            connection.close()
            self._wake_up.close()
            self._woken.close()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._stopped.set)

    def _round(self) -> float:
        """Do what is due; in how many seconds to do it again."""
        self._started = time.monotonic()
        if self._started - self._awake_at > SLOW_SECONDS:
            self._troubled = self._started  # this process itself was stopped
        try:
            self._keep()
        except DeclaredDeadError:
            logger.warning("this process was taken for dead, and begins anew")
            self.process_id = None
            self._hold.release()
            return 0
        except (DatabaseError, OSError) as error:
            note_failure("keeping the lease", error)
            self._failed()
            return RECONNECT_SECONDS
        now = time.monotonic()
        if now - self._started > SLOW_SECONDS:
            self._troubled = now
        self._failures = 0
        answered()
        due = self._next_beat - now
        return min(due, LOOK_SECONDS) if due > 0 else LOOK_SECONDS

    def _sleep(self, seconds: float) -> None:
        """Wait so long, or until the lock's connection ends, or `stop`."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        postgres = getattr(connection.connection, "pgconn", None)
        if postgres is not None:
            poll.register(postgres.socket, select.POLLIN)
        self._awake_at = time.monotonic() + seconds
        ready = {fd for fd, _ in poll.poll(seconds * 1000)}
        if self._woken.fileno() in ready:
            self._woken.recv(64)
        if postgres is not None and postgres.socket in ready:
            try:
                postgres.consume_input()
            except psycopg.OperationalError as error:
                logger.info("the lease's connection has ended: %s", error)
                self._failed()

    def _failed(self) -> None:
        """Connect anew. If that fails too, have others go by the heartbeat."""
        now = self._troubled = time.monotonic()
        self._failures += 1
        if self.process_id is None:
            self._hold.release()
        connection.close()
        if self._failures > 1 and now >= self._next_beat and self.process_id:
            self._next_beat = now + settings.HEARTBEAT_SECONDS
            self._loop.call_soon_threadsafe(self._drop_lock, self.process_id)

    def _keep(self) -> None:
        """Hold the lock, say that this process lives, look at the others."""
        process_id = self.process_id
        if process_id is None:
            process_id = self._register()
        elif self._hold.take(process_id):
            self._troubled = time.monotonic()
        if self._answered == self._pinged:
            if time.monotonic() >= self._next_beat:
                self._beat(process_id)
            self._pinged += 1
            self._loop.call_soon_threadsafe(self._answer, self._pinged)
        self._look(process_id)

    def _register(self) -> int:
        # The lock first, for all that others see: a row without one would be a corpse.
        with transaction.atomic():
            process_id = processes.register(
                self._name, self._role, settings.VERSION, self._slots
            )
            self._hold.take(process_id)
        now = time.monotonic()
        self._troubled, self._next_beat = now, now + settings.HEARTBEAT_SECONDS
        self.process_id = process_id
        self._loop.call_soon_threadsafe(self._on_renewed)
        return process_id

    def _beat(self, process_id: int) -> None:
        driven = self._driven  # from before the question, so that nothing is missed
        self._next_beat = time.monotonic() + settings.HEARTBEAT_SECONDS
        mine = processes.beat(process_id, len(driven), self._slots)
        if lost := driven - mine:
            self._loop.call_soon_threadsafe(self._on_lost, lost)
        # At two beats: the first may have met a claim that was under way.
        undriven = frozenset(mine) - driven
        if forgotten := undriven & self._undriven:
            self._loop.call_soon_threadsafe(self._on_undriven, forgotten)
        self._undriven = undriven

    def _look(self, process_id: int) -> None:
        missing: dict[tuple[int, int], float] = {}
        others = processes.neighbours(process_id, self._takeover)
        self.is_alone = not any(other.slots for other in others)
        now = time.monotonic()
        if now - self._started > SLOW_SECONDS:
            self._troubled = now  # before judging by an answer that came so late
        for other in others:
            if self._hold.is_gone(other):
                key = other.id, other.lock_no
                missing[key] = self._missing.get(key, now)
                is_dead = (
                    now - missing[key] >= self._hold.missing_seconds
                    and now - self._troubled >= self._hold.grace_seconds
                    and self._hold.bury(other)
                )
            else:
                calm = 2 * settings.HEARTBEAT_SECONDS
                is_dead = (
                    other.late
                    and now - self._troubled >= calm
                    and processes.declare_late(other, self._takeover)
                )
            if is_dead:
                logger.warning("process %s (%s) is dead", other.id, other.name)
        self._missing = missing
        if processes.abandoned(1):
            self._loop.call_soon_threadsafe(self._on_abandoned)


def is_behind_a_pooler() -> bool:
    """Whether the lease's connection to PostgreSQL is lent by a pooler. Connects."""
    own = _connection_of_its_own()
    try:
        own.ensure_connection()
        return _is_lent(own)
    finally:
        own.close()


def _is_lent(own: BaseDatabaseWrapper) -> bool:
    """Whether another backend answers than the one that the connection's key names."""
    with own.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return bool(cursor.fetchone() != (own.connection.info.backend_pid,))


def _connection_of_its_own() -> BaseDatabaseWrapper:
    """A connection past the pool: a lock there would be anybody's."""
    wrapper = connections.create_connection(DEFAULT_DB_ALIAS)
    described = settings.LEASE_DATABASE or wrapper.settings_dict
    own = {**wrapper.settings_dict, **copy.deepcopy(described)}
    own["OPTIONS"].pop("pool", None)
    wrapper.settings_dict = own | {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
    return wrapper


class _Hold(Protocol):
    """What is let go of when the process dies.

    A lock must be missing for `missing_seconds`, and this process be without trouble
    for `grace_seconds`, before it means that its holder is dead.
    """

    missing_seconds: float
    grace_seconds: float

    def take(self, process_id: int) -> bool:
        """Take the lock, if it is not held. True if there was something to do.

        Raises DeclaredDeadError.
        """
        ...

    def release(self) -> None:
        """Let go of it."""
        ...

    def is_gone(self, other: Neighbour) -> bool:
        """Whether another process does not hold its lock though it should."""
        ...

    def bury(self, dead: Neighbour) -> bool:
        """Declare a process dead that has lost its lock; True if it was still so."""
        ...


class _SessionLock:
    """PostgreSQL's: it goes with the connection. None through a pooler."""

    missing_seconds = GONE_SECONDS
    grace_seconds = GRACE_SECONDS

    def __init__(self) -> None:
        self._on: object = None  # the connection that holds it

    def take(self, process_id: int) -> bool:
        connection.ensure_connection()
        if self._on is connection.connection:
            return False
        if _is_lent(connection):
            logger.info("behind a connection pooler: deaths are noticed by heartbeat")
            processes.drop_lock(process_id)
        else:
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
            if not processes.take_lock(process_id):
                return True
        self._on = connection.connection
        return True

    def release(self) -> None:
        self._on = None
        connection.close()

    def is_gone(self, other: Neighbour) -> bool:
        return other.gone

    def bury(self, dead: Neighbour) -> bool:
        return processes.declare_gone(dead)


class _FileLock:
    """The kernel's, on a file of the process beside the database: for SQLite."""

    missing_seconds = grace_seconds = 0.0  # what the kernel says is so

    def __init__(self) -> None:
        database = Path(connection.settings_dict["NAME"])
        self._folder = database.with_name(f"{database.name}-processes")
        self._file: BinaryIO | None = None

    def take(self, process_id: int) -> bool:
        if self._file is not None:
            return False
        self._folder.mkdir(exist_ok=True)
        self._file = self._path(process_id).open("wb")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        if self._file is not None:
            Path(self._file.name).unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def is_gone(self, other: Neighbour) -> bool:
        try:
            file = self._path(other.id).open("rb")
        except FileNotFoundError:
            return True  # the file is there before the row
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def bury(self, dead: Neighbour) -> bool:
        was_there = processes.declare_dead(dead.id)
        self._path(dead.id).unlink(missing_ok=True)
        return was_there

    def _path(self, process_id: int) -> Path:
        return self._folder / f"{process_id}.lock"
