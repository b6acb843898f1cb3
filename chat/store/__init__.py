"""The only reader and writer of rows, but for the journal. Blocking: use threads.

Whoever asks is an `Identity`; every function that takes one answers only about what
is theirs. Transactions that change a run write its events too (`log.batches.write`).
"""

from __future__ import annotations

from chat.store.asking import AddressLimit, Asked, ask, retry
from chat.store.claiming import (
    Abandoned,
    Claimant,
    Claimed,
    abandoned,
    has_queued,
    lost,
    start_next,
    take_over,
    waiting_sessions,
)
from chat.store.cleanup import clean_up
from chat.store.erasing import Erased, erase
from chat.store.events import (
    Position,
    merged_page,
    positions,
    read_events,
    session_positions,
)
from chat.store.exchanges import Memory, recall
from chat.store.guests import adopt, former_guests, retire_guest
from chat.store.sessions import (
    PAGE_SESSIONS,
    Identity,
    NotYoursError,
    SessionChange,
    SessionPage,
    change_session,
    find_session,
    list_sessions,
    restore_session,
    session_data,
    sessions_of,
)
from chat.store.snapshots import (
    find_with_positions,
    latest_runs,
    run_views,
    snapshot,
    usage_of,
)
from chat.store.stopping import Stopped, delete_session, stop
from chat.store.writing import Committed

__all__ = [
    "PAGE_SESSIONS",
    "Abandoned",
    "AddressLimit",
    "Asked",
    "Claimant",
    "Claimed",
    "Committed",
    "Erased",
    "Identity",
    "Memory",
    "NotYoursError",
    "Position",
    "SessionChange",
    "SessionPage",
    "Stopped",
    "abandoned",
    "adopt",
    "ask",
    "change_session",
    "clean_up",
    "delete_session",
    "erase",
    "find_session",
    "find_with_positions",
    "former_guests",
    "has_queued",
    "latest_runs",
    "list_sessions",
    "lost",
    "merged_page",
    "positions",
    "read_events",
    "recall",
    "restore_session",
    "retire_guest",
    "retry",
    "run_views",
    "session_data",
    "session_positions",
    "sessions_of",
    "snapshot",
    "start_next",
    "stop",
    "take_over",
    "usage_of",
    "waiting_sessions",
]
