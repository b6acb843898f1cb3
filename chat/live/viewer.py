"""One socket's view of a session: a bounded outbox, and the log where that is full."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final
from uuid import UUID

from django.db import DatabaseError, InterfaceError

from chat import store
from chat.live.frames import frames_of
from chat.log.errors import is_transient
from chat.store import Identity, NotYoursError, Position
from chat.store.database import db
from chat.wire.classic import Classic
from chat.wire.protocol import (
    CLOSE_NO_SUCH_SESSION,
    Event,
    Frame,
    message,
)

logger = logging.getLogger(__name__)

MAX_POSITIONS: Final = 64  # runs whose position is remembered without looking again
# Answers to commands that nobody reads; then it is enough.
MAX_REPLIES: Final = 256
MAX_UNREAD_CHARS: Final = 4 * 1024 * 1024  # or four outboxes, where that is more
RETRY_DELAY: Final = 1.0  # seconds, while the database is away


class TooSlowError(Exception):
    """A client asks and asks but does not read the answers."""


class SocketViewer:
    """Sends a session's events to one socket, in order, none twice, none missed.

    `deliver` puts frames into the outbox while it has room and they follow on what
    was sent. Otherwise the viewer has fallen behind: it sends what is in the outbox
    and then reads the log, at the socket's own pace, until it is up to date.
    """

    def __init__(
        self,
        session_id: UUID,
        who: Identity,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        *,
        max_chars: int,
    ) -> None:
        self._session_id = session_id
        self._who = who
        self._send = send
        self._close = close
        self._max_chars = max_chars
        self._max_unread = max(MAX_UNREAD_CHARS, 4 * max_chars)
        self._outbox: deque[str] = deque()
        self._chars = 0
        self._replies = 0
        self._wake = asyncio.Event()
        self._classic: Classic | None = Classic()
        self._silent: dict[int, int] = {}  # classic: events from before it connected
        self._seen: dict[int, int] = {}  # run number → last seq in the outbox or sent
        self._floor = 0  # runs up to this number are not watched
        self._most_seen = MAX_POSITIONS  # then it is time to forget some
        self._allowed = False  # whether the session is known to be theirs
        self._behind = False
        self._news = False  # something came while behind
        self._reading = asyncio.Lock()  # held while the log is read
        self._subscriptions = 0

    # ------------------------------------------------------------ from the hub

    def deliver(self, frame: Frame) -> None:
        """Put new events into the outbox, or note that the log must be read."""
        if self._behind:
            self._news = True
            return
        seen = self._seen.get(frame.run)
        if seen is None:
            if frame.run <= self._floor:
                return
            seen = 0
        if frame.first == seen + 1 and self._chars <= self._max_chars and self._allowed:
            self._note(frame.run, frame.last)
            self._put(frame)
        elif frame.last > seen:
            self._fall_behind()

    def announce(self, text: str) -> None:
        """Pass on a change of the session."""
        if self._allowed and self._classic is None and self._chars <= self._max_chars:
            self._push(text)

    def check(self, run: int, last_seq: int) -> None:
        """Read the log if it has more of `run` than this viewer was ever given."""
        if run > self._floor and last_seq > self._seen.get(run, 0):
            self._fall_behind()

    # ------------------------------------------------------------ from the consumer

    def reply(self, text: str) -> None:
        """Send an answer to a command. Raises TooSlowError where nobody reads them."""
        if not self._outbox:
            self._replies = 0
        elif self._replies >= MAX_REPLIES or self._chars > self._max_unread:
            raise TooSlowError
        self._replies += 1
        self._push(text)

    def start(self, positions: Sequence[Position], *, allowed: bool) -> None:
        """Begin in classic mode: what has happened so far is not told."""
        self._allowed = allowed
        for position in positions:
            if position.finished:
                self._seen[position.number] = position.last_seq
            else:
                self._silent[position.number] = position.last_seq
        self._settle(positions)
        self._behind = bool(self._silent)
        self._wake.set()

    @property
    def in_log_mode(self) -> bool:
        """Whether the client has subscribed."""
        return self._classic is None

    async def subscribe(self, seen: dict[int, int]) -> None:
        """Switch to log mode: a snapshot, then all that comes after it.

        Raises NotYoursError.
        """
        self._classic = None
        self._subscriptions += 1  # ends a reading of the log that is under way
        self._behind = True  # holds live frames back until the snapshot is queued
        async with self._reading:
            data, told, positions, allowed = await db(
                store.snapshot, self._session_id, self._who, seen
            )
            self._allowed = allowed
            self._seen = told
            self._floor = 0
            self._settle(positions)
            self.reply(message("snapshot", data))
        self._fall_behind()

    async def run(self) -> None:
        """Send what is in the outbox, and catch up from the log, until cancelled."""
        while True:
            while self._outbox:
                await self._send_next()
            if self._behind:
                await self._catch_up()
            elif not self._outbox:
                self._wake.clear()
                await self._wake.wait()

    # ------------------------------------------------------------ inside

    def _push(self, text: str) -> None:
        self._outbox.append(text)
        self._chars += len(text)
        self._wake.set()

    def _put(self, frame: Frame) -> None:
        if self._classic is None:
            self._push(frame.text)
            return
        for text in self._told(frame.run, frame.events()):
            self._push(text)

    def _told(self, run: int, events: list[Event]) -> list[str]:
        if self._classic is None:
            return [frame.text for frame in frames_of(run, events)]
        until = self._silent.get(run, 0)
        return self._classic.translate(run, events, silent_until=until)

    async def _send_next(self) -> None:
        text = self._outbox.popleft()
        self._chars -= len(text)
        await self._send(text)

    def _note(self, run: int, seq: int) -> None:
        self._seen[run] = seq
        if len(self._seen) > self._most_seen:
            self._fall_behind()  # which ends with `_settle`

    def _settle(self, positions: Iterable[Position]) -> None:
        """Forget the runs, from the first on, of which nothing more can come."""
        for position in positions:
            seen = self._seen.get(position.number, 0)
            if not position.finished or seen < position.last_seq:
                break
            self._floor = position.number
            self._seen.pop(position.number, None)
        self._most_seen = max(MAX_POSITIONS, 2 * len(self._seen))

    def _fall_behind(self) -> None:
        self._behind = self._news = True
        self._wake.set()

    async def _catch_up(self) -> None:
        self._news = False
        subscription = self._subscriptions
        try:
            async with self._reading:
                await self._read_on(subscription)
        except NotYoursError:
            await self._close(CLOSE_NO_SUCH_SESSION)
            await asyncio.Event().wait()  # until the socket's end cancels this
        except (DatabaseError, InterfaceError) as error:
            if not is_transient(error):
                raise
            logger.warning("cannot read the log, will try again: %s", error)
            await asyncio.sleep(RETRY_DELAY)
        else:
            # A subscription meanwhile has cut the reading short.
            self._behind = self._news or subscription != self._subscriptions

    async def _read_on(self, subscription: int) -> None:
        while self._outbox:  # a snapshot comes before what follows on it
            await self._send_next()
        session, positions = await db(
            store.find_with_positions, self._session_id, self._who, self._floor
        )
        if session is not None and not self._allowed:
            self._allowed = True
            data = store.session_data(session, self._session_id)
            self.announce(message("session", data))
        for position in positions:
            await self._read(position, subscription)
        if subscription == self._subscriptions:
            self._settle(positions)

    async def _read(self, position: Position, subscription: int) -> None:
        seen = self._seen.get(position.number, 0)
        while seen < position.last_seq and subscription == self._subscriptions:
            events = await db(store.merged_page, position.run_id, seen)
            if not events or subscription != self._subscriptions:
                return
            seen = events[-1].seq
            for text in self._told(position.number, events):
                await self._send(text)
            self._note(position.number, seen)
            while self._outbox:
                await self._send_next()
