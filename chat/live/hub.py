"""The only user of the channel layer: hands what is published to all processes.

The layer is a fast path that may lose anything: feeds see gaps by `seq` and read the
log, and a position check finds what nobody told us. So publishing never waits:
frames for other processes go through one bounded queue and one task. All hubs share
one group and each message holds a whole flush: one PUBLISH per flush, however many
runs and viewers there are, and no subscription per socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from channels.layers import BaseChannelLayer, get_channel_layer
from msgspec import structs

from chat import metrics
from chat.wire.protocol import Frame

logger = logging.getLogger(__name__)

GROUP: Final = "reasoning-site"
PUBLISH_TIMEOUT: Final = 2.0  # seconds; then the message is given up
RECONNECT_DELAY: Final = 1.0  # seconds between tries to reach the layer
MAX_QUEUED_CHARS: Final = 8 * 1024 * 1024  # for other processes; then the oldest go
MAX_MESSAGE_CHARS: Final = 512 * 1024  # a layer's message holds at most 1 MiB


class Listener(Protocol):
    """Who takes what is published, here or elsewhere. No method waits."""

    def deliver(self, session_id: UUID, frame: Frame) -> None:
        """New events of a run."""

    def announce(self, session_id: UUID, changes: Mapping[str, Any]) -> None:
        """What has changed of a session."""

    def end(self, session_id: UUID) -> None:
        """A session has been deleted."""


class Hub:
    """The way to this process's listener and to those of the other processes.

    `on_nudge` is told the ids of runs that were, maybe, stopped elsewhere; `on_recover`
    that another process has left runs behind.
    """

    def __init__(
        self,
        listener: Listener,
        on_nudge: Callable[[list[int]], None],
        on_recover: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._on_nudge = on_nudge
        self._on_recover = on_recover
        self._me = uuid4().hex
        self._layer = get_channel_layer()  # None: there is one process only
        self._queue: deque[tuple[int, dict[str, Any]]] = deque()
        self._queued_chars = 0
        self._is_away = False
        self._something = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._tasks = (
            [
                asyncio.create_task(self._publish_for_ever(self._layer)),
                asyncio.create_task(self._receive_for_ever(self._layer)),
            ]
            if self._layer is not None
            else []
        )

    def publish(self, frames: list[tuple[UUID, Frame]]) -> None:
        """Deliver committed frames here, and send them to the other processes."""
        for session_id, frame in frames:
            self._listener.deliver(session_id, frame)
        if self._layer is None:
            return
        part: list[tuple[Any, ...]] = []
        size = 0
        for session_id, frame in frames:
            if len(frame.text) > MAX_MESSAGE_CHARS:
                continue  # too large for the layer: the position check brings it
            if size + len(frame.text) > MAX_MESSAGE_CHARS:
                self._enqueue(size, {"frames": part})
                part, size = [], 0
            part.append((session_id.hex, *structs.astuple(frame)))
            size += len(frame.text)
        if part:
            self._enqueue(size, {"frames": part})

    def announce(self, session_id: UUID, changes: Mapping[str, Any]) -> None:
        """Tell the session's viewers everywhere what has changed of it."""
        self._listener.announce(session_id, changes)
        self._enqueue(0, {"announce": [session_id.hex, dict(changes)]})

    def end(self, session_id: UUID) -> None:
        """Tell the session's viewers everywhere that it is deleted."""
        self._listener.end(session_id)
        self._enqueue(0, {"end": session_id.hex})

    def nudge(self, run_ids: list[int]) -> None:
        """Have the other processes look whether these runs are still theirs."""
        self._enqueue(0, {"nudge": run_ids})

    def call_recover(self) -> None:
        """Tell the other processes that there are runs to take over now."""
        self._enqueue(0, {"recover": True})

    @property
    def state(self) -> str:
        """Of the channel layer: `ok`, `away`, or `none` where there is one process."""
        if self._layer is None:
            return "none"
        return "away" if self._is_away else "ok"

    async def close(self) -> None:
        """Send what is queued, within the time limit of one message, and stop."""
        if self._layer is not None:
            try:
                async with asyncio.timeout(PUBLISH_TIMEOUT):
                    await self._drained.wait()
            except TimeoutError:
                logger.warning("closing with messages unpublished")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _enqueue(self, size: int, message: dict[str, Any]) -> None:
        if self._layer is None:
            return
        self._queue.append((size, message))
        self._queued_chars += size
        while self._queued_chars > MAX_QUEUED_CHARS:
            self._queued_chars -= self._queue.popleft()[0]
        self._drained.clear()
        self._something.set()

    async def _publish_for_ever(self, layer: BaseChannelLayer) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while self._queue:
                size, message = self._queue.popleft()
                self._queued_chars -= size
                message |= {"type": "hub", "from": self._me}
                try:
                    async with asyncio.timeout(PUBLISH_TIMEOUT):
                        await layer.group_send(GROUP, message)
                    self._is_away = False
                    metrics.FANOUT.labels("sent").inc()
                except Exception as error:  # noqa: BLE001  (each layer has its own)
                    metrics.FANOUT.labels("lost").inc()
                    metrics.ERRORS.labels("layer").inc()
                    if not self._is_away:
                        logger.warning("cannot reach other processes: %r", error)
                    self._is_away = True
            self._drained.set()

    async def _receive_for_ever(self, layer: BaseChannelLayer) -> None:
        while True:
            try:
                channel = await layer.new_channel()
                await layer.group_add(GROUP, channel)
                while True:
                    self._receive(await layer.receive(channel))
            except Exception as error:  # noqa: BLE001  (each layer has its own)
                logger.warning("cannot hear other processes: %r", error)
                await asyncio.sleep(RECONNECT_DELAY)

    def _receive(self, message: dict[str, Any]) -> None:
        if message["from"] == self._me:
            return
        for session, *frame in message.get("frames", ()):
            self._listener.deliver(UUID(session), Frame(*frame))
        if "announce" in message:
            session, changes = message["announce"]
            self._listener.announce(UUID(session), changes)
        if "end" in message:
            self._listener.end(UUID(message["end"]))
        if "recover" in message:
            self._on_recover()
        if "nudge" in message:
            self._on_nudge(message["nudge"])
