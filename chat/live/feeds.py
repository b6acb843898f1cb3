"""The feeds of one process: who keeps them, hands them frames, and reads for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, Protocol, assert_never
from uuid import UUID

from chat import metrics, store
from chat.live.feed import Feed
from chat.live.reads import (
    Read,
    ReadLog,
    ReadRows,
    ReadRun,
    ReadStanding,
    Result,
)
from chat.live.viewer import Viewer
from chat.log.errors import is_transient, note_failure
from chat.store import Position, SessionFacts
from chat.store.database import db
from chat.wire.protocol import Frame, Notice

logger = logging.getLogger(__name__)

RETRY_DELAY: Final = 1.0  # seconds, while the database is away
# How much longer than needed the position check looks back.
SINCE_MARGIN: Final = timedelta(seconds=60)


class Transport(Protocol):
    """Where frames of other processes come from."""

    async def join(self, session_id: UUID) -> None:
        """Have the session's frames come, from now on."""

    def leave(self, session_id: UUID) -> None:
        """Have them come no more."""


class Watched:
    """A feed that somebody wants, and the one task that reads for it."""

    def __init__(
        self, session_id: UUID, transport: Transport | None, notice: Notice | None
    ) -> None:
        self.feed = Feed(session_id, self._read_on)
        if notice is not None:
            self.feed.say(notice)
        self._transport = transport
        self._has_joined = transport is None
        self.users = 0
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def ready(self) -> Feed:
        """The feed, once viewers can join it."""
        while not self.feed.is_ready:
            self._ready.clear()
            self._read_on()
            await self._ready.wait()
        return self.feed

    def close(self) -> None:
        """Nobody wants it any more."""
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.leave(self.feed.session_id)

    def _read_on(self) -> None:
        if self._task is None and self.users:
            self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        feed = self.feed
        if self._transport is not None and not self._has_joined:
            # Before anything is read: so nothing can come in between.
            await self._transport.join(feed.session_id)
            self._has_joined = True
        while (read := feed.next_read()) is not None:
            metrics.LOG_READS.inc()
            try:
                result = await db(_perform, feed.session_id, read)
            except Exception as error:
                metrics.ERRORS.labels("database").inc()
                feed.failed()
                if is_transient(error):
                    note_failure("reading the log", error)
                else:
                    logger.exception("session %s cannot be read", feed.session_id)
                    feed.start_over("it failed")
                await asyncio.sleep(RETRY_DELAY)
            else:
                feed.supply(read, result)
            if feed.is_ready:
                self._ready.set()
        self._task = None


def _perform(session_id: UUID, read: Read) -> Result:
    match read:
        case ReadStanding():
            return store.standing(session_id, read.above)
        case ReadRows():
            return store.snapshot_rows(session_id, dict(read.seen))
        case ReadLog():
            after = read.after if read.epoch is None else (read.epoch, read.after)
            return store.log_page(session_id, read.run, after)
        case ReadRun():
            return store.run_rows(session_id, read.run, read.after)
        case _:
            assert_never(read)


class Feeds:
    """The sessions that are watched in this process, by id."""

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.notice: Notice | None = None
        self._watched: dict[UUID, Watched] = {}
        self._checked = asyncio.get_running_loop().time()

    @contextmanager
    def watching(self, session_id: UUID) -> Iterator[Watched]:
        """The session's feed, which is kept as long as somebody watches."""
        watched = self._watched.get(session_id)
        if watched is None:
            watched = Watched(session_id, self.transport, self.notice)
            self._watched[session_id] = watched
        watched.users += 1
        try:
            yield watched
        finally:
            watched.users -= 1
            if not watched.users:
                watched.close()
                del self._watched[session_id]

    @property
    def sessions(self) -> list[UUID]:
        """Which sessions somebody watches here."""
        return list(self._watched)

    @property
    def viewers(self) -> Iterator[Viewer]:
        """Everybody who watches here."""
        for watched in self._watched.values():
            yield from watched.feed.viewers

    # ------------------------------------------------------------ from the hub

    def deliver(self, session_id: UUID, frame: Frame) -> None:
        """Take new events of a run."""
        if (watched := self._watched.get(session_id)) is None:
            return
        try:
            watched.feed.deliver(frame)
        except Exception:
            # One broken feed must harm neither the others nor the run.
            logger.exception("viewers could not be told of run %s", frame.run)
            watched.feed.start_over("it failed")

    def announce(self, session_id: UUID, changes: Mapping[str, Any]) -> None:
        """Take a change of a session."""
        if (watched := self._watched.get(session_id)) is not None:
            watched.feed.announce(changes)

    def end(self, session_id: UUID) -> None:
        """Take note that a session has been deleted."""
        if (watched := self._watched.get(session_id)) is not None:
            watched.feed.end()

    # ------------------------------------------------------------ from this process

    def of(self, session_id: UUID) -> Feed | None:
        """The session's feed, if somebody watches it here."""
        watched = self._watched.get(session_id)
        return None if watched is None else watched.feed

    def say(self, notice: Notice | None) -> None:
        """Tell everybody here, who comes later too; None: it is not so any more."""
        if notice != self.notice:
            self.notice = notice
            for watched in self._watched.values():
                watched.feed.say(notice)

    async def check(self) -> None:
        """Have feeds read the log where it has more than they were told of."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        since = timedelta(seconds=started - self._checked) + SINCE_MARGIN
        if self._watched:
            marks = {sid: w.feed.mark() for sid, w in self._watched.items()}
            facts, positions = await db(_look, list(marks), since)
            for session_id, mark in marks.items():
                if (watched := self._watched.get(session_id)) is not None:
                    found = positions.get(session_id, ())
                    watched.feed.check(facts.get(session_id), found, mark)
        self._checked = started


def _look(
    session_ids: list[UUID], since: timedelta
) -> tuple[dict[UUID, SessionFacts], dict[UUID, list[Position]]]:
    positions: dict[UUID, list[Position]] = {}
    for session_id, position in store.positions(session_ids, since):
        positions.setdefault(session_id, []).append(position)
    for found in positions.values():
        found.sort(key=lambda position: position.number)
    return store.facts_of(session_ids), positions
