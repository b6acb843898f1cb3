"""The only user of the channel layer: one hub per process hands frames to viewers.

The layer is a fast path that may lose anything: viewers see gaps by `seq` and read
the log, and a position check finds what nobody told us. So publishing never waits:
frames for other processes go through one bounded queue and one task. All hubs share
one group and each message holds a whole flush: one PUBLISH per flush, however many
runs and viewers there are, and no subscription per socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from channels.layers import BaseChannelLayer, get_channel_layer

from chat.wire.protocol import Frame

logger = logging.getLogger(__name__)

GROUP: Final = "reasoning-site"
PUBLISH_TIMEOUT: Final = 2.0  # seconds; then the message is given up
RECONNECT_DELAY: Final = 1.0  # seconds between tries to reach the layer
MAX_QUEUED_CHARS: Final = 8 * 1024 * 1024  # for other processes; then the oldest go
MAX_MESSAGE_CHARS: Final = 512 * 1024  # a layer's message holds at most 1 MiB


class Viewer(Protocol):
    """Who watches a session. No method waits."""

    def deliver(self, frame: Frame) -> None:
        """New events of a run."""

    def announce(self, text: str) -> None:
        """A message about the session itself, ready to send."""

    def check(self, run: int, last_seq: int) -> None:
        """How far the run's log goes."""


class Hub:
    """Who watches what in this process, and the way to the other processes.

    `on_nudge` is told the ids of runs that were, maybe, stopped elsewhere; `on_recover`
    that another process has left runs behind.
    """

    def __init__(
        self, on_nudge: Callable[[list[int]], None], on_recover: Callable[[], None]
    ) -> None:
        self._on_nudge = on_nudge
        self._on_recover = on_recover
        self._viewers: dict[UUID, set[Viewer]] = {}
        self._me = uuid4().hex
        self._layer = get_channel_layer()  # None: there is one process only
        self._queue: deque[tuple[int, dict[str, Any]]] = deque()
        self._queued_chars = 0
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

    def join(self, session_id: UUID, viewer: Viewer) -> None:
        """Deliver the session's frames to `viewer` from now on."""
        self._viewers.setdefault(session_id, set()).add(viewer)

    def leave(self, session_id: UUID, viewer: Viewer) -> None:
        """Stop delivering to `viewer`."""
        viewers = self._viewers.get(session_id)
        if viewers is not None:
            viewers.discard(viewer)
            if not viewers:
                del self._viewers[session_id]

    @property
    def watched(self) -> list[UUID]:
        """The sessions that somebody watches here."""
        return list(self._viewers)

    def viewers(self, session_id: UUID) -> Iterable[Viewer]:
        """Who watches the session here."""
        return tuple(self._viewers.get(session_id, ()))

    def publish(self, frames: list[tuple[UUID, Frame]]) -> None:
        """Deliver committed frames here, and send them to the other processes."""
        for session_id, frame in frames:
            self._deliver(session_id, frame)
        if self._layer is None:
            return
        part: list[tuple[str, int, int, int, str]] = []
        size = 0
        for session_id, frame in frames:
            if len(frame.text) > MAX_MESSAGE_CHARS:
                continue  # too large for the layer: the position check brings it
            if size + len(frame.text) > MAX_MESSAGE_CHARS:
                self._enqueue(size, {"frames": part})
                part, size = [], 0
            part.append(
                (session_id.hex, frame.run, frame.first, frame.last, frame.text)
            )
            size += len(frame.text)
        if part:
            self._enqueue(size, {"frames": part})

    def _deliver(self, session_id: UUID, frame: Frame) -> None:
        for viewer in self._viewers.get(session_id, ()):
            try:
                viewer.deliver(frame)
            except Exception:
                # One broken viewer must harm neither the others nor the run.
                logger.exception("a viewer could not be told of run %s", frame.run)

    def announce(self, session_id: UUID, text: str) -> None:
        """Tell the session's viewers everywhere about a change of the session."""
        for viewer in self.viewers(session_id):
            viewer.announce(text)
        self._enqueue(len(text), {"announce": [session_id.hex, text]})

    def nudge(self, run_ids: list[int]) -> None:
        """Have the other processes look whether these runs are still theirs."""
        self._enqueue(0, {"nudge": run_ids})

    def call_recover(self) -> None:
        """Tell the other processes that there are runs to take over now."""
        self._enqueue(0, {"recover": True})

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
        away = False
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
                    away = False
                except Exception as error:  # noqa: BLE001  (each layer has its own)
                    if not away:
                        logger.warning("cannot reach other processes: %r", error)
                    away = True
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
        for session, run, first, last, text in message.get("frames", ()):
            self._deliver(UUID(session), Frame(run, first, last, text))
        if "announce" in message:
            session, text = message["announce"]
            for viewer in self.viewers(UUID(session)):
                viewer.announce(text)
        if "recover" in message:
            self._on_recover()
        if "nudge" in message:
            self._on_nudge(message["nudge"])
