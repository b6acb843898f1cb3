"""When the process starts and stops: so that runs go on though nobody connects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from chat import runtime

logger = logging.getLogger(__name__)


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
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await runtime.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


def follow_reactor() -> None:
    """Start and stop with Twisted's reactor, under Daphne."""
    from twisted.internet import reactor  # noqa: PLC0415  (only Daphne has one)
    from twisted.internet.defer import Deferred  # noqa: PLC0415

    def stop() -> Deferred[None]:
        return Deferred.fromFuture(
            asyncio.get_running_loop().create_task(runtime.close())
        )

    reactor.callWhenRunning(runtime.current)
    reactor.addSystemEventTrigger("before", "shutdown", stop)  # type: ignore[arg-type]  # phase and event are strings: twisted.internet.interfaces
