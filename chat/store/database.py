"""The way from the event loop to the database: two small pools of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")

# Not `sync_to_async`: that shares one thread among all sockets of the process, and
# one slow query would hold up every stream.
_POOL: Final = ThreadPoolExecutor(8, thread_name_prefix="database")
# Stopping runs and keeping them alive must not wait behind all that viewers read.
_URGENT: Final = ThreadPoolExecutor(2, thread_name_prefix="urgent")


async def db(query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`query(*args, **kwargs)` in a thread, with a connection that is given back."""
    return await _in(_POOL, query, *args, **kwargs)


async def urgent(query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `db`, but past whatever waits there: for what must happen in time."""
    return await _in(_URGENT, query, *args, **kwargs)


async def _in(
    pool: ThreadPoolExecutor,
    query: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    def call() -> T:
        close_old_connections()
        try:
            return query(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(pool, call)
