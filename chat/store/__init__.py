"""The only reader and writer of rows, but for the journal. Blocking: use threads.

Whoever asks is an `Identity`; every function that takes one answers only about what
is theirs. Transactions that change a run write its events with it (`journal.write`).
"""

from __future__ import annotations

from chat.store.asking import Asked, ask, retry
from chat.store.driving import (
    Claimed,
    abandoned,
    release,
    renew,
    start_next,
    take_over,
    waiting_sessions,
)
from chat.store.log import (
    Position,
    merged_page,
    positions,
    read_events,
    session_positions,
)
from chat.store.memory import history, steps_to_continue
from chat.store.sessions import (
    Identity,
    NotYoursError,
    SessionChange,
    SessionPage,
    adopt,
    busy_sessions,
    change_session,
    find_session,
    list_sessions,
    restore_session,
    session_data,
    sessions_of,
)
from chat.store.stopping import Stopped, delete_session, stop
from chat.store.tickets import Ticket, invalid_tickets
from chat.store.tidying import tidy
from chat.store.views import latest_runs, run_views, usage_of
from chat.store.writing import Committed

__all__ = [
    "Asked",
    "Claimed",
    "Committed",
    "Identity",
    "NotYoursError",
    "Position",
    "SessionChange",
    "SessionPage",
    "Stopped",
    "Ticket",
    "abandoned",
    "adopt",
    "ask",
    "busy_sessions",
    "change_session",
    "delete_session",
    "find_session",
    "history",
    "invalid_tickets",
    "latest_runs",
    "list_sessions",
    "merged_page",
    "positions",
    "read_events",
    "release",
    "renew",
    "restore_session",
    "retry",
    "run_views",
    "session_data",
    "session_positions",
    "sessions_of",
    "start_next",
    "steps_to_continue",
    "stop",
    "take_over",
    "tidy",
    "usage_of",
    "waiting_sessions",
]
