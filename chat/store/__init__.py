"""The only reader and writer of rows, but for the journal. Blocking: use threads.

Whoever asks is an `Identity`; every function that takes one asks `chat.access` whether
they may. Transactions that change a run write its events too (`log.batches.write`).
"""

from __future__ import annotations

from chat.access import Identity, NotAllowedError, NotYoursError
from chat.log.compaction import compact
from chat.store.asking import AddressLimit, Asked, ask, retry
from chat.store.auditing import Action, audit
from chat.store.claiming import (
    Claimant,
    Claimed,
    has_queued,
    lost,
    start_next,
    take_over,
    waiting_sessions,
)
from chat.store.cleanup import clean_up, retention_of
from chat.store.conversations import (
    Question,
    begin_after,
    known_question,
    question,
    session_after,
)
from chat.store.directives import (
    direct,
    directives_after,
    forget_directives,
    maintenance,
    members,
    report,
    reported,
    standing_directives,
)
from chat.store.erasing import Erased, erase
from chat.store.events import (
    LogPage,
    Position,
    compactable,
    log_page,
    positions,
    read_events,
    read_pace,
)
from chat.store.exchanges import Memory, recall
from chat.store.exporting import SessionLog, TooLongError, session_log
from chat.store.guests import adopt, former_guests, retire_guest
from chat.store.importing import UnreadableError, import_session
from chat.store.load import Load, load
from chat.store.own_data import (
    Owned,
    Taken,
    erase_owned,
    owned,
    owned_ids,
    take,
)
from chat.store.processes import Abandoned, abandoned
from chat.store.sessions import (
    PAGE_SESSIONS,
    Entry,
    SessionChange,
    SessionFacts,
    SessionPage,
    change_session,
    enter,
    facts_of,
    find_session,
    list_sessions,
    restore_session,
    session_data,
    sessions_of,
)
from chat.store.shares import (
    NobodyError,
    Shared,
    share,
    shares_of,
    withdraw,
)
from chat.store.snapshots import (
    Rows,
    RunRows,
    Standing,
    latest_runs,
    run_rows,
    run_views,
    snapshot_rows,
    standing,
    usage_of,
)
from chat.store.stopping import Stopped, delete_session, stop, stop_all
from chat.store.tokens import (
    TokenFacts,
    add_token,
    find_token,
    revoke_token,
    tokens_of,
)
from chat.store.writing import Committed

__all__ = [
    "PAGE_SESSIONS",
    "Abandoned",
    "Action",
    "AddressLimit",
    "Asked",
    "Claimant",
    "Claimed",
    "Committed",
    "Entry",
    "Erased",
    "Identity",
    "Load",
    "LogPage",
    "Memory",
    "NobodyError",
    "NotAllowedError",
    "NotYoursError",
    "Owned",
    "Position",
    "Question",
    "Rows",
    "RunRows",
    "SessionChange",
    "SessionFacts",
    "SessionLog",
    "SessionPage",
    "Shared",
    "Standing",
    "Stopped",
    "Taken",
    "TokenFacts",
    "TooLongError",
    "UnreadableError",
    "abandoned",
    "add_token",
    "adopt",
    "ask",
    "audit",
    "begin_after",
    "change_session",
    "clean_up",
    "compact",
    "compactable",
    "delete_session",
    "direct",
    "directives_after",
    "enter",
    "erase",
    "erase_owned",
    "facts_of",
    "find_session",
    "find_token",
    "forget_directives",
    "former_guests",
    "has_queued",
    "import_session",
    "known_question",
    "latest_runs",
    "list_sessions",
    "load",
    "log_page",
    "lost",
    "maintenance",
    "members",
    "owned",
    "owned_ids",
    "positions",
    "question",
    "read_events",
    "read_pace",
    "recall",
    "report",
    "reported",
    "restore_session",
    "retention_of",
    "retire_guest",
    "retry",
    "revoke_token",
    "run_rows",
    "run_views",
    "session_after",
    "session_data",
    "session_log",
    "sessions_of",
    "share",
    "shares_of",
    "snapshot_rows",
    "standing",
    "standing_directives",
    "start_next",
    "stop",
    "stop_all",
    "take",
    "take_over",
    "tokens_of",
    "usage_of",
    "waiting_sessions",
    "withdraw",
]
