"""What the database's errors mean, told from real ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from psycopg import errors as pg

from chat.log.errors import is_away, is_busy, is_conflict


def as_django_raises(
    kind: type[DatabaseError | InterfaceError], cause: BaseException
) -> BaseException:
    error = kind(*cause.args)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (OperationalError, psycopg.OperationalError("connection refused")),
        (OperationalError, psycopg_pool.PoolTimeout("couldn't get a connection")),
        (OperationalError, pg.AdminShutdown("terminating connection")),
        (OperationalError, pg.CannotConnectNow("the database system is starting up")),
        (OperationalError, pg.ConnectionFailure("gone")),
        (OperationalError, pg.TooManyConnections("sorry, too many clients already")),
        (InternalError, pg.ReadOnlySqlTransaction("cannot execute UPDATE in a read-o")),
        (InterfaceError, psycopg.InterfaceError("the connection is closed")),
    ],
    ids=repr,
)
def test_what_means_that_postgresql_is_away(kind: Any, cause: Exception) -> None:
    error = as_django_raises(kind, cause)
    assert is_away(error)
    assert not is_conflict(error)
    assert not is_busy(error)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (ProgrammingError, pg.UndefinedTable("relation does not exist")),
        (IntegrityError, pg.UniqueViolation("duplicate key")),
        (OperationalError, pg.DeadlockDetected("deadlock detected")),
        (OperationalError, pg.SerializationFailure("could not serialize access")),
        (OperationalError, pg.QueryCanceled("statement timeout")),
        (OperationalError, pg.LockNotAvailable("lock timeout")),
    ],
    ids=repr,
)
def test_what_does_not(kind: Any, cause: Exception) -> None:
    assert not is_away(as_django_raises(kind, cause))


def test_conflicts_can_be_tried_again_at_once_and_waits_were_too_long() -> None:
    for cause in (pg.DeadlockDetected(), pg.SerializationFailure()):
        assert is_conflict(as_django_raises(OperationalError, cause))
        assert is_busy(as_django_raises(OperationalError, cause))
    for waited in (pg.QueryCanceled(), pg.LockNotAvailable()):
        assert not is_conflict(as_django_raises(OperationalError, waited))
        assert is_busy(as_django_raises(OperationalError, waited))


def no_table(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT * FROM nowhere")


def locked(connection: sqlite3.Connection) -> None:
    (path,) = [row[2] for row in connection.execute("PRAGMA database_list")]
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("BEGIN IMMEDIATE")
    finally:
        other.close()


def read_only(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = 1")
    connection.execute("CREATE TABLE x (y)")


@pytest.mark.parametrize(
    ("break_it", "away"), [(no_table, False), (locked, True), (read_only, True)]
)
def test_sqlite_is_told_by_its_words(
    break_it: Callable[[sqlite3.Connection], None],
    away: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    connection = sqlite3.connect(tmp_path / "file.sqlite3", timeout=0)
    with pytest.raises(sqlite3.OperationalError) as caught:
        break_it(connection)
    connection.close()
    assert is_away(as_django_raises(OperationalError, caught.value)) is away


def test_what_is_no_error_of_a_database_is_neither() -> None:
    assert not is_away(ValueError())
    assert not is_busy(ValueError())
