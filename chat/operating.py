"""What operators want done by every process: each looks for it, and does it once.

The rows say so (`store.directives`), and are looked at every few seconds, so that
nothing is missed where the channel layer is away; the hub says that there are some.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, Protocol, assert_never

from msgspec import Struct

from chat import store
from chat.auth.tickets import Ticket
from chat.live.feed import Feed
from chat.live.viewer import Viewer
from chat.store.database import db
from chat.store.directives import (
    Connection,
    Directive,
    HangUp,
    Maintain,
    Notify,
    Report,
)
from chat.wire.protocol import CLOSE_OVERLOADED, Notice, message

MAX_REPORTED: Final = 500  # connections of one process


class Watching(Struct, frozen=True):
    """What somebody watches over a socket."""

    feed: Feed
    viewer: Viewer


class Socket(Protocol):
    """A socket that this process serves, and what its opener was let in with."""

    name: str
    since: float  # Unix seconds
    ticket: Ticket | None
    shared: store.Shared | None  # where the session is not its opener's
    watching: Watching | None  # None: not let in yet

    async def hang_up(self, code: int) -> None:
        """Close it, saying why."""


class Operating:
    """Does in this process what operators want of all.

    `hang_up` closes a socket soon; `on_maintenance` is told when maintenance begins,
    with what people are told meanwhile, and when it ends, with None.
    """

    def __init__(
        self,
        sockets: Collection[Socket],
        hang_up: Callable[[Socket, int], None],
        on_maintenance: Callable[[Notice | None], None],
        process_id: Callable[[], int | None],
    ) -> None:
        self._sockets = sockets
        self._hang_up = hang_up
        self._on_maintenance = on_maintenance
        self._process_id = process_id
        self._last: int | None = None  # the directive that was carried out last

    async def check(self) -> None:
        """Do what is new. A process that begins does only what still stands."""
        if self._last is None:
            last, standing = await db(store.standing_directives)
            self._last = last
            if standing:
                self._on_maintenance(Notice(standing))
        for number, directive in await db(store.directives_after, self._last):
            self._last = number
            await self._carry_out(directive)

    async def _carry_out(self, directive: Directive) -> None:
        match directive:
            case Notify():
                await self._notify(directive)
            case HangUp():
                for socket in self._sockets_of(directive):
                    self._hang_up(socket, CLOSE_OVERLOADED)
            case Maintain(text):
                self._on_maintenance(Notice(text) if text else None)
            case Report():
                await self._report()
            case _:
                assert_never(directive)

    async def _notify(self, notify: Notify) -> None:
        """Tell it to who is connected now, in the group where there is one."""
        text = message("notice", {"text": notify.text, "level": notify.level})
        watching = [socket.watching for socket in self._sockets if socket.watching]
        if notify.group is not None:
            user_ids = {each.viewer.who.user_id for each in watching} - {None}
            members = await db(store.members, notify.group, user_ids)
            watching = [one for one in watching if one.viewer.who.user_id in members]
        for each in watching:
            each.viewer.outbox.put(text)

    def _sockets_of(self, directive: HangUp) -> list[Socket]:
        return [
            socket
            for socket in self._sockets
            if socket.name == directive.connection
            or (
                directive.user is not None
                and socket.watching is not None
                and socket.watching.viewer.who.user_id == directive.user
            )
        ]

    async def _report(self) -> None:
        """Write down who is connected to this process."""
        process_id = self._process_id()
        if process_id is None:
            return
        oldest_first = sorted(self._sockets, key=lambda socket: socket.since)
        found = [_connection(socket) for socket in oldest_first[:MAX_REPORTED]]
        await db(store.report, process_id, len(oldest_first), found)


def _connection(socket: Socket) -> Connection:
    if socket.watching is None:
        return Connection(socket.name, socket.since)
    feed, viewer = socket.watching.feed, socket.watching.viewer
    return Connection(
        socket.name,
        socket.since,
        user=viewer.who.user_id,
        session=feed.session_id,
        is_classic=viewer.is_classic,
        state=viewer.state.name.lower(),
        behind=feed.behind(viewer),
        waiting=viewer.outbox.chars,
    )
