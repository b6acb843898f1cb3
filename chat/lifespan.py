"""When the process starts and stops: so that runs go on though nobody connects."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, Final

from django.conf import settings

from chat import runtime
from chat.runtime import Runtime

logger = logging.getLogger(__name__)

# What closing may take besides draining; then the process ends whatever hangs. Whoever
# ends servers, such as systemd, must be as patient: see deploy/.
CLOSE_SECONDS: Final = 15
IMPATIENT_SECONDS: Final = 5


async def application(
    _scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """ASGI lifespan (https://asgi.readthedocs.io/en/latest/specs/lifespan.html)."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            runtime.current()
            follow_signals()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await runtime.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def work() -> None:
    """Run agents without a server, until the process is told to end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(ended.set)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    runtime.current("worker")
    follow_signals()
    logger.info("working")
    await ended.wait()
    await runtime.close()


def follow_signals(*, twice: bool = True) -> None:
    """Begin to drain as soon as the process is told to end; at once on a second Ctrl-C.

    The server only says so when it has closed its sockets. `twice`: whether it wants to
    hear of the second Ctrl-C too.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # under the autoreloader: the process is ended without a signal
    interrupts = 0

    def follow(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if interrupts > 1:
            runtime.call_soon(Runtime.stop_draining)
            _end_within(IMPATIENT_SECONDS)
        else:
            runtime.call_soon(Runtime.begin_to_drain)
            _end_within(settings.DRAIN_SECONDS + CLOSE_SECONDS)
        before = servers[signal.Signals(number)]
        if callable(before) and (twice or interrupts < 2):  # noqa: PLR2004
            before(number, frame)

    servers = {
        number: signal.signal(number, follow)
        for number in (signal.SIGINT, signal.SIGTERM)
    }


def _end_within(seconds: float) -> None:
    """End the process though something hangs: a thread in a query, say."""

    def end() -> None:
        logger.error("not closed within %g s: ending all the same", seconds)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def follow_reactor() -> None:
    """Start and stop with Twisted's reactor, under Daphne."""
    from twisted.internet import reactor  # noqa: PLC0415  (only Daphne has one)
    from twisted.internet.defer import Deferred  # noqa: PLC0415

    def stop() -> Deferred[None]:
        return Deferred.fromFuture(
            asyncio.get_running_loop().create_task(runtime.close())
        )

    def start() -> None:
        runtime.current()
        follow_signals(twice=False)

    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger("before", "shutdown", stop)  # type: ignore[arg-type]  # phase and event are strings: twisted.internet.interfaces
