"""The way from the event loop to the database: two small pools of threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from channels.db import database_sync_to_async
from django.db import DatabaseError, connection
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from chat.log.errors import is_conflict
from chat.threads import DaemonExecutor

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MAX_CONFLICTS: Final = 5  # with other transactions, until a query fails

_thread = threading.local()


@receiver(connection_created)
def _connected(connection: Any, **_kwargs: Any) -> None:
    # Opening SQLite anew costs more than most queries. PostgreSQL's go back to their
    # pool. In threads that end, as those of requests, a connection kept would leak.
    if connection.vendor == "sqlite" and getattr(_thread, "keeps_connection", False):
        connection.close_at = None


# Not Channels' default, one thread for all sockets of the process: there one slow
# query would hold up every stream.
_POOL: Final = DaemonExecutor(8, "database")
# Stopping runs and keeping them alive must not wait behind all that viewers read.
_URGENT: Final = DaemonExecutor(2, "urgent")


def settled(query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`query(*args, **kwargs)`, again where it was aborted for another's sake.

    `query` is one transaction: PostgreSQL ends one of two that wait for each other, and
    the other has gone on by the time this is known.
    """
    for _ in range(MAX_CONFLICTS):
        try:
            return query(*args, **kwargs)
        except DatabaseError as error:
            if not is_conflict(error) or connection.in_atomic_block:
                raise
            logger.info("%s is tried again: %s", query, error)
    return query(*args, **kwargs)


async def db(query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`settled(query, …)` in a thread, with that thread's connection."""
    return await _in_a_thread_of(_POOL, query, *args, **kwargs)


async def urgent(query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `db`, but past whatever waits there: for what must happen in time."""
    return await _in_a_thread_of(_URGENT, query, *args, **kwargs)


async def _in_a_thread_of(
    executor: DaemonExecutor, query: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    call = database_sync_to_async(
        _with_connection_kept,
        thread_sensitive=False,
        executor=executor,  # type: ignore[arg-type]  # the event loop takes any
    )
    return await call(query, *args, **kwargs)


def _with_connection_kept(
    query: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """`settled(query, …)` in a thread of ours, which lasts as long as the process."""
    _thread.keeps_connection = True
    return settled(query, *args, **kwargs)
