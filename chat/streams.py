"""A session followed without a WebSocket: the same messages, for streams over HTTP."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from uuid import UUID

from django.conf import settings
from msgspec import Struct

from chat import runtime, store
from chat.access import Identity
from chat.auth.tickets import Ticket
from chat.live.outbox import Outbox
from chat.live.viewer import Viewer
from chat.operating import Watching
from chat.store.database import db
from chat.wire.protocol import (
    CLOSE_OVERLOADED,
    PROTOCOL_VERSION,
    Place,
    Subscribe,
)


class Caller(Struct, frozen=True):
    """Who follows, what they were let in with, and from which address."""

    who: Identity
    ticket: Ticket | None
    address: str


class Follower:
    """A viewer whose messages are taken one after the other.

    At most one waits here, so a client that reads slowly is one that falls behind.
    """

    def __init__(self, ticket: Ticket | None, shared: store.Shared | None) -> None:
        self.ticket = ticket
        self.shared = shared
        self.name = secrets.token_hex(4)
        self.since = time.time()
        self.watching: Watching | None = None
        self.code = 0  # a close code of the wire, once it has ended
        self._texts: asyncio.Queue[str | None] = asyncio.Queue(1)
        self.outbox = Outbox(
            self._texts.put, max_chars=settings.OUTBOX_BYTES, on_broken=self._broken
        )

    async def next(self, seconds: float) -> str:
        """The next message, or "" where none came for so long. Raises EndedError."""
        text: str | None = ""
        if not self.code:
            try:
                async with asyncio.timeout(seconds):
                    text = await self._texts.get()
            except TimeoutError:
                return ""
        if text is None or self.code:
            raise EndedError(self.code)
        return text

    async def hang_up(self, code: int) -> None:
        """End it: whoever waits for a message is told why there is none."""
        self.end(code)

    def end(self, code: int) -> None:
        """As `hang_up`."""
        if self.code:
            return
        self.code = code
        self.outbox.close()
        if self._texts.full():
            self._texts.get_nowait()
        self._texts.put_nowait(None)

    def _broken(self, _error: Exception) -> None:
        self.end(CLOSE_OVERLOADED)


class EndedError(Exception):
    """A stream is over; `code` is the wire's close code for it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@asynccontextmanager
async def following(
    session_id: UUID, caller: Caller, seen: Mapping[int, Place]
) -> AsyncIterator[Follower]:
    """Follow a session in log mode, from what has been `seen` on.

    Raises NotYoursError, TooManyError, DatabaseError, and EndedError where this process
    takes nobody on any more.
    """
    running = runtime.current()
    if running.draining:
        raise EndedError(CLOSE_OVERLOADED)
    with ExitStack() as held:
        held.enter_context(running.limits.address(caller.address))
        held.enter_context(running.limits.person(caller.who.person, caller.address))
        watched = held.enter_context(running.feeds.watching(session_id))
        await watched.ready()
        entry = await db(store.enter, session_id, caller.who)
        feed = await watched.ready()
        shared = None
        if entry.shared is not None and caller.who.user_id is not None:
            shared = store.Shared(session_id, caller.who.user_id, entry.shared)
        follower = Follower(caller.ticket, shared)
        held.callback(follower.outbox.close)
        for among in (running.sockets, running.streams):
            among.add(follower)
            held.callback(among.discard, follower)
        viewer = Viewer(caller.who, follower.outbox, follower.end, entry.shared)
        feed.join(viewer, entry.facts)
        follower.watching = Watching(feed, viewer)
        held.callback(feed.leave, viewer)
        feed.subscribe(viewer, Subscribe(PROTOCOL_VERSION, dict(seen)), lambda: None)
        yield follower
