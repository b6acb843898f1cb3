"""What an error of the database means: who should try again, and when."""

from __future__ import annotations

import logging
from typing import Final

from django.db import DatabaseError, InterfaceError, OperationalError

from chat.logs import Outage

logger = logging.getLogger(__name__)

# Some connections fail later than others.
_outage: Final = Outage(logger, "the database", calm_seconds=1.0)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS: Final = frozenset({"40001", "40P01"})  # serialisation failure, deadlock
_TOO_LONG: Final = frozenset({"55P03", "57014"})  # lock_timeout, statement_timeout
_AWAY: Final = frozenset(
    {
        "25006",  # read-only: a standby after a failover
        "53300",  # too many connections
        "57P01",  # ended by an administrator
        "57P02",  # ended by a crash
        "57P03",  # starting up or shutting down
        "57P05",  # ended for idleness
    }
)
_AWAY_CLASSES: Final = frozenset({"08", "58"})  # connection, system
# SQLite gives no code; "no such table" and "near …: syntax error" are OperationalError
# too, and never pass.
_SQLITE_AWAY: Final = (
    "database is locked",
    "database table is locked",
    "disk i/o error",
    "database or disk is full",
    "unable to open database file",
    "attempt to write a readonly database",
)


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction was aborted for another's sake: again, at once."""
    return _code(error) in _CONFLICTS


def is_busy(error: BaseException) -> bool:
    """Whether it took too long, or was in others' way again and again."""
    return is_conflict(error) or _code(error) in _TOO_LONG


def is_away(error: BaseException) -> bool:
    """Whether the database cannot be reached, or not be written to: again, later."""
    if not isinstance(error, DatabaseError | InterfaceError):
        return False
    code = _code(error)
    if code:
        return code in _AWAY or code[:2] in _AWAY_CLASSES
    if type(error.__cause__).__module__.partition(".")[0] == "sqlite3":
        return any(words in str(error).lower() for words in _SQLITE_AWAY)
    # Without a code: psycopg could not connect, lost the connection, or had to wait
    # too long for one of the pool's.
    return isinstance(error, OperationalError | InterfaceError)


def is_transient(error: BaseException) -> bool:
    """Whether the same can succeed later, as it is."""
    return is_away(error) or is_busy(error)


def note_failure(what: str, error: BaseException) -> None:
    """Log that `what` has failed for a reason that passes.

    That the database is away is said once, whoever notices.
    """
    if is_away(error):
        _outage.failed(error)
    else:
        logger.warning("%s failed for now: %s", what, error)


def answered() -> None:
    """The database has answered."""
    _outage.answered()


def _code(error: BaseException) -> str:
    """PostgreSQL's SQLSTATE; empty on SQLite, and where the server said nothing."""
    return getattr(error.__cause__, "sqlstate", None) or ""
