"""The way from the event loop to the database: two small pools of threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from channels.db import database_sync_to_async

P = ParamSpec("P")
T = TypeVar("T")

# Not Channels' default, one thread for all sockets of the process: there one slow
# query would hold up every stream.
_POOL: Final = ThreadPoolExecutor(8, thread_name_prefix="database")
# Stopping runs and keeping them alive must not wait behind all that viewers read.
_URGENT: Final = ThreadPoolExecutor(2, thread_name_prefix="urgent")


async def db(query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`query(*args, **kwargs)` in a thread, with a connection that is given back."""
    call = database_sync_to_async(query, thread_sensitive=False, executor=_POOL)
    return await call(*args, **kwargs)


async def urgent(query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `db`, but past whatever waits there: for what must happen in time."""
    call = database_sync_to_async(query, thread_sensitive=False, executor=_URGENT)
    return await call(*args, **kwargs)
