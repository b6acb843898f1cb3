"""A bounded pool of daemon threads.

`concurrent.futures` joins its threads when the process exits, so that one tool that
never returns would keep the site from ending. These threads are daemons: what they
do may be abandoned.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

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
