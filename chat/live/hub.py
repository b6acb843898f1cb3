"""The only user of the channel layer: carries what is published to the processes.

The layer is a fast path that may lose anything: feeds see gaps by `seq` and read the
log, and a position check finds what nobody told us. So publishing never waits: what is
for other processes goes through one bounded queue and one task.

Each process has one channel of the layer. It is a member of the control group, where
processes tell each other of work, and of one group per session that somebody watches
here. So a process is told of what it shows, not of all that others do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from channels.layers import BaseChannelLayer, get_channel_layer
from msgspec import structs

from chat import metrics
from chat.live.layer import SiteChannelLayer
from chat.logs import Outage
from chat.wire.protocol import Frame

logger = logging.getLogger(__name__)

VERSION: Final = 1  # of the messages; others are ignored, and read from the log
CONTROL: Final = "control"
TIMEOUT: Final = 2.0  # seconds for the layer's answer; then it counts as away
BEAT_SECONDS: Final = 2.0  # from one look whether the layer is there to the next
RECONNECT_DELAY: Final = 1.0  # seconds between tries to reach the layer
MAX_QUEUED_CHARS: Final = 8 * 1024 * 1024  # for other processes; then the oldest go
MAX_MESSAGE_CHARS: Final = 512 * 1024  # a layer's message holds at most 1 MiB
# So long it is believed that nobody elsewhere watches a session, unless somebody says
# that they do: asking at each flush would cost as much as sending.
UNWATCHED_SECONDS: Final = 2.0
MAX_UNWATCHED: Final = 10_000  # then it is asked again of all
MAX_BATCH: Final = 256  # messages in one round trip


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
    that another process has left runs behind; `on_call` of a session where something
    waits that the other has no slot for, `on_started` that it waits no more, and
    `on_directed` that operators want something done.
    """

    def __init__(
        self,
        listener: Listener,
        on_nudge: Callable[[list[int]], None],
        on_recover: Callable[[], None],
        on_call: Callable[[UUID], None],
        on_started: Callable[[UUID], None],
        on_directed: Callable[[], None],
        layer: BaseChannelLayer | None = None,
    ) -> None:
        """`layer`: by default the configured one; without any there is one process."""
        self._listener = listener
        self._on_nudge = on_nudge
        self._on_recover = on_recover
        self._on_call = on_call
        self._on_started = on_started
        self._on_directed = on_directed
        self._me = uuid4().hex
        self._layer = layer or get_channel_layer()
        self._outage = Outage(logger, "the channel layer")
        self._is_closed = False
        self._channel: str | None = None
        self._queue: deque[tuple[int, str, dict[str, Any]]] = deque()  # size, group
        self._queued_chars = 0
        self._something = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._unwatched: dict[str, float] = {}  # groups, and until when, on the loop
        self._newly_watched: set[str] = set()  # while it was asked who listens
        self._wanted: dict[UUID, asyncio.Future[None]] = {}  # done: it is a member
        self._changed: dict[UUID, None] = {}  # whose membership may have to change
        self._change = asyncio.Event()
        self._tasks = (
            [
                asyncio.create_task(self._publish_for_ever(self._layer)),
                asyncio.create_task(self._receive_for_ever(self._layer)),
                asyncio.create_task(self._keep_memberships(self._layer)),
                asyncio.create_task(self._beat_for_ever(self._layer)),
            ]
            if self._layer is not None
            else []
        )

    # ------------------------------------------------------------ who listens here

    async def join(self, session_id: UUID) -> None:
        """Hear of the session, from now on where the layer is there.

        Otherwise as soon as it is back; until then the position check must do.
        """
        if self._layer is None:
            return
        joined = self._wanted.get(session_id)
        if joined is None:
            joined = asyncio.get_running_loop().create_future()
            self._wanted[session_id] = joined
            self._touch(session_id)
        if not self._outage.is_on:
            with suppress(TimeoutError):
                async with asyncio.timeout(TIMEOUT):
                    await asyncio.shield(joined)

    def leave(self, session_id: UUID) -> None:
        """Hear of the session no more."""
        if (joined := self._wanted.pop(session_id, None)) is not None:
            joined.cancel()
            self._touch(session_id)

    def _touch(self, session_id: UUID) -> None:
        self._changed[session_id] = None
        self._change.set()

    # ------------------------------------------------------------ what is published

    def publish(self, frames: list[tuple[UUID, Frame]]) -> None:
        """Deliver committed frames here, and send them to whoever watches elsewhere."""
        for session_id, frame in frames:
            self._listener.deliver(session_id, frame)
        if self._layer is None:
            return
        now = asyncio.get_running_loop().time()
        for session_id, frame in frames:
            size = len(frame.text)
            group = _group(session_id)
            if size > MAX_MESSAGE_CHARS or self._unwatched.get(group, 0.0) > now:
                continue  # where somebody watches, the position check brings it
            body = {"frame": structs.astuple(frame), "of": session_id.hex}
            self._enqueue(size, group, body)

    def announce(self, session_id: UUID, changes: Mapping[str, Any]) -> None:
        """Tell the session's viewers everywhere what has changed of it."""
        self._listener.announce(session_id, changes)
        body = {"announce": dict(changes), "of": session_id.hex}
        self._enqueue(0, _group(session_id), body)

    def end(self, session_id: UUID) -> None:
        """Tell the session's viewers everywhere that it is deleted."""
        self._listener.end(session_id)
        self._enqueue(0, _group(session_id), {"end": True, "of": session_id.hex})

    def nudge(self, run_ids: list[int]) -> None:
        """Have the other processes look whether these runs are still theirs."""
        self._enqueue(0, CONTROL, {"nudge": run_ids})

    def call_recover(self) -> None:
        """Tell the other processes that there are runs to take over now."""
        self._enqueue(0, CONTROL, {"recover": True})

    def call_start(self, session_id: UUID) -> None:
        """Have a process with a free slot start what waits in the session."""
        self._enqueue(0, CONTROL, {"start": session_id.hex})

    def tell_started(self, session_id: UUID) -> None:
        """Tell the others who heard the same call that they need not."""
        self._enqueue(0, CONTROL, {"started": session_id.hex})

    def tell_directed(self) -> None:
        """Have the other processes look what operators want."""
        self._enqueue(0, CONTROL, {"directed": True})

    @property
    def state(self) -> str:
        """Of the channel layer: `ok`, `away`, or `none` where there is one process."""
        if self._layer is None:
            return "none"
        return "away" if self._outage.is_on else "ok"

    async def close(self) -> None:
        """Send what is queued, within the time limit of one message, and stop."""
        if self._layer is not None:
            try:
                async with asyncio.timeout(TIMEOUT):
                    await self._drained.wait()
            except TimeoutError:
                logger.warning("closing with messages unpublished")
        # redis-py may swallow a cancellation: so the tasks look at this as well.
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TIMEOUT)

    def _enqueue(self, size: int, group: str, body: dict[str, Any]) -> None:
        if self._layer is None:
            return
        self._queue.append((size, group, body))
        self._queued_chars += size
        while self._queued_chars > MAX_QUEUED_CHARS:
            self._queued_chars -= self._queue.popleft()[0]
            metrics.FANOUT.labels("lost").inc()
        self._drained.clear()
        self._something.set()

    # ------------------------------------------------------------ tasks

    async def _publish_for_ever(self, layer: BaseChannelLayer) -> None:
        while not self._is_closed:
            await self._something.wait()
            self._something.clear()
            while self._queue:
                messages = self._take()
                self._newly_watched.clear()
                try:
                    async with asyncio.timeout(TIMEOUT):
                        heard = await _send(layer, messages)
                    self._outage.answered()
                    self._note_watched(messages, heard)
                    metrics.FANOUT.labels("sent").inc(sum(heard))
                except Exception as error:  # noqa: BLE001  (each layer has its own)
                    metrics.FANOUT.labels("lost").inc(len(messages))
                    self._is_not_there(error)
            self._drained.set()

    def _note_watched(
        self, messages: list[tuple[str, dict[str, Any]]], heard: list[bool]
    ) -> None:
        if len(self._unwatched) > MAX_UNWATCHED:
            self._unwatched.clear()
        until = asyncio.get_running_loop().time() + UNWATCHED_SECONDS
        for (group, _), is_heard in zip(messages, heard, strict=True):
            if is_heard or group == CONTROL or group in self._newly_watched:
                self._unwatched.pop(group, None)
            else:
                self._unwatched[group] = until

    def _take(self) -> list[tuple[str, dict[str, Any]]]:
        """The next messages, together no longer than one may be."""
        messages: list[tuple[str, dict[str, Any]]] = []
        chars = 0
        while self._queue and len(messages) < MAX_BATCH:
            size, group, body = self._queue[0]
            if messages and chars + size > MAX_MESSAGE_CHARS:
                break
            self._queue.popleft()
            self._queued_chars -= size
            chars += size
            messages.append((group, self._message(body)))
        return messages

    def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"type": "hub", "v": VERSION, "from": self._me, **body}

    async def _receive_for_ever(self, layer: BaseChannelLayer) -> None:
        while not self._is_closed:
            channel = None
            try:
                channel = await layer.new_channel()
                await layer.group_add(CONTROL, channel)
                self._channel = channel
                for session_id in self._wanted:
                    self._touch(session_id)
                while not self._is_closed:
                    self._receive(await layer.receive(channel))
            except Exception as error:  # noqa: BLE001  (each layer has its own)
                self._is_not_there(error)
                self._channel = None
                if channel is not None and isinstance(layer, SiteChannelLayer):
                    # A channel that nobody reads would fill for ever.
                    with suppress(Exception):
                        await layer.delete_channel(channel)
                await asyncio.sleep(RECONNECT_DELAY)

    def _receive(self, message: dict[str, Any]) -> None:
        if message.get("v") != VERSION or message.get("from") == self._me:
            return  # of another version while the site is brought up to date, or ours
        try:
            self._take_in(message)
        except Exception as error:  # noqa: BLE001  (whatever somebody has sent)
            logger.warning("a message of another process was dropped: %r", error)

    def _take_in(self, message: dict[str, Any]) -> None:
        if "frame" in message:
            self._listener.deliver(UUID(message["of"]), Frame(*message["frame"]))
        elif "announce" in message:
            self._listener.announce(UUID(message["of"]), message["announce"])
        elif "end" in message:
            self._listener.end(UUID(message["of"]))
        elif "recover" in message:
            self._on_recover()
        elif "watching" in message:
            self._unwatched.pop(message["watching"], None)
            self._newly_watched.add(message["watching"])
        elif "directed" in message:
            self._on_directed()
        elif "start" in message:
            self._on_call(UUID(message["start"]))
        elif "started" in message:
            self._on_started(UUID(message["started"]))
        elif "nudge" in message:
            self._on_nudge([int(run_id) for run_id in message["nudge"]])

    async def _keep_memberships(self, layer: BaseChannelLayer) -> None:
        """Be a member of the groups of what is wanted, and of no other."""
        while not self._is_closed:
            await self._change.wait()
            self._change.clear()
            while self._changed and self._channel is not None:
                session_id = next(iter(self._changed))
                try:
                    async with asyncio.timeout(TIMEOUT):
                        await self._keep_membership(layer, self._channel, session_id)
                except Exception as error:  # noqa: BLE001  (each layer has its own)
                    self._is_not_there(error)
                    await asyncio.sleep(RECONNECT_DELAY)

    async def _keep_membership(
        self, layer: BaseChannelLayer, channel: str, session_id: UUID
    ) -> None:
        joined = self._wanted.get(session_id)
        if joined is None:
            await layer.group_discard(_group(session_id), channel)
        else:
            await layer.group_add(_group(session_id), channel)
            # Whoever believes that nobody watches it must hear before the log is read.
            watching = self._message({"watching": _group(session_id)})
            await layer.group_send(CONTROL, watching)
        if self._wanted.get(session_id) is joined:  # else once more
            self._changed.pop(session_id, None)
            if joined is not None and not joined.done():
                joined.set_result(None)

    async def _beat_for_ever(self, layer: BaseChannelLayer) -> None:
        """Notice that the layer is away, or back, though nothing is published."""
        while not self._is_closed:
            await asyncio.sleep(BEAT_SECONDS)
            if self._channel is None:
                continue
            try:
                async with asyncio.timeout(TIMEOUT):
                    await layer.send(self._channel, self._message({"beat": True}))
                self._outage.answered()
            except Exception as error:  # noqa: BLE001  (each layer has its own)
                self._is_not_there(error)

    def _is_not_there(self, error: Exception) -> None:
        metrics.ERRORS.labels("layer").inc()
        self._outage.failed(error)


async def _send(
    layer: BaseChannelLayer, messages: list[tuple[str, dict[str, Any]]]
) -> list[bool]:
    if isinstance(layer, SiteChannelLayer):
        return await layer.group_send_many(messages)
    for group, message in messages:
        await layer.group_send(group, message)
    return [True] * len(messages)


def _group(session_id: UUID) -> str:
    return f"session.{session_id.hex}"
