"""Threads that never keep the process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonExecutor(Executor):
    """As ThreadPoolExecutor, whose threads Python joins when the process exits.

    A query to a database that hangs would keep the process for ever. What these
    threads do is abandoned then.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._busy = 0  # jobs under way or waiting

    def submit(
        self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Have a thread do `call(*args, **kwargs)`."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = call(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  (whoever waits gets it)
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            self._busy += 1
            start = self._busy > self._threads and self._threads < self._size
            self._threads += start
        self._jobs.put(job)
        if start:
            name = f"{self._name}-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def shutdown(self, *_: Any, **__: Any) -> None:
        """Let the threads end once they have done what there is. Does not wait."""
        for _number in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job
            with self._lock:
                self._busy -= 1
