"""A bounded pool of daemon threads.

`concurrent.futures` joins its threads when the process exits, so that one tool that
never returns would keep the site from ending. These threads are daemons: what they
do may be abandoned.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

logger = logging.getLogger(__name__)


class ThreadPool:
    """Runs jobs in at most `size` threads, which are started as they are needed."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._busy = 0  # jobs under way or waiting

    def submit(self, job: Callable[[], None]) -> None:
        """Run the job in a thread as soon as one is free; it must not raise."""
        with self._lock:
            self._busy += 1
            start = self._busy > self._threads and self._threads < self._size
            self._threads += start
        self._jobs.put(job)
        if start:
            threading.Thread(
                target=self._work, name=f"{self._name}-{self._threads}", daemon=True
            ).start()

    async def call(self, function: Callable[[S], T], argument: S) -> T:
        """What `function(argument)` returns or raises, called in a thread.

        The thread is abandoned if nobody waits for it any more.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(give: Callable[[], None]) -> None:
            if not future.done():
                give()

        def job() -> None:
            if future.cancelled():
                return
            try:
                give = partial(future.set_result, function(argument))
            except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
                give = partial(future.set_exception, error)
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, give)

        self.submit(job)
        return await future

    @property
    def busy(self) -> int:
        """How many jobs are under way or waiting."""
        return self._busy

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:  # a thread of the pool outlives any job
                logger.exception("a job of the pool %s failed", self._name)
            finally:
                del job
                with self._lock:
                    self._busy -= 1
