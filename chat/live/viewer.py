"""One socket's view of a session: where it is in each run, and its bounded outbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import TypeAlias

from chat.access import Identity, Share
from chat.live.outbox import Outbox, TooSlowError
from chat.wire.protocol import CLOSE_TOO_MANY, Place, Subscribe


class State(Enum):
    """What a viewer is to be told next."""

    JOINING = auto()  # nothing of the runs, until it is known what it has and may see
    LIVE = auto()  # whatever comes
    BEHIND = auto()  # what comes after `cursors`, as it can take it


Cursors: TypeAlias = dict[int, int]  # run number → the last seq that was told


class Viewer:
    """Who watches a session over one socket. Its feed moves it; see `feed.Feed`.

    A viewer that is behind has a cursor for each run that is open, or of which it is
    still owed something. One that is live is where the feed is.
    """

    __slots__ = (
        "_close",
        "_on_joined",
        "cursors",
        "is_classic",
        "outbox",
        "ref",
        "seen",
        "shared",
        "state",
        "who",
    )

    def __init__(
        self,
        who: Identity,
        outbox: Outbox,
        close: Callable[[int], None],
        shared: Share | None = None,
    ) -> None:
        """`shared`: what the session is shared for, where it is not theirs."""
        self.who = who
        self.shared = shared
        self.outbox = outbox
        self._close = close
        self._on_joined: Callable[[], None] | None = None
        self.is_classic = True
        self.state = State.JOINING
        self.seen: Mapping[int, Place] | None = None  # what it asks a snapshot with
        self.ref: int | None = None  # and how it calls that
        self.cursors: Cursors = {}

    def become(self, state: State, cursors: Cursors | None = None) -> None:
        """Change the state: whatever begins or ends with one does so here."""
        self.state = state
        self.cursors = {} if cursors is None else cursors
        if state is not State.JOINING:
            self.seen = None

    def ask(self, command: Subscribe, on_joined: Callable[[], None]) -> None:
        """Switch to log mode: it wants a snapshot. `on_joined` when that is sent."""
        self.is_classic = False
        self.become(State.JOINING)
        self.seen = command.seen
        self.ref = command.ref
        self._on_joined = on_joined

    def join(self, snapshot: str) -> bool:
        """Send the snapshot that was asked for. Returns False where that closes it."""
        self.seen = None
        if self.ref is not None:
            snapshot = f'{snapshot[:-2]},"ref":{self.ref}}}}}'
        try:
            self.outbox.reply(snapshot)
        except TooSlowError:
            self.close(CLOSE_TOO_MANY)
            return False
        self._has_joined()
        return True

    def close(self, code: int) -> None:
        """Hang up."""
        self._has_joined()
        self._close(code)

    def _has_joined(self) -> None:
        if self._on_joined is not None:
            self._on_joined()
            self._on_joined = None
