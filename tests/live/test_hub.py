"""What hubs of several processes tell each other, over a real server of pub/sub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import msgpack
import pytest
import redis

from chat.live import hub as hub_module
from chat.live.hub import CONTROL, VERSION, Hub
from chat.live.layer import SiteChannelLayer
from chat.wire.protocol import Frame
from reasoning_site import env
from tests.servers import Valkey


class Heard:
    """A listener that notes what it is told, and a hub for it."""

    def __init__(self, layer: SiteChannelLayer) -> None:
        self.frames: list[tuple[UUID, str]] = []
        self.changes: list[Mapping[str, Any]] = []
        self.ended: list[UUID] = []
        self.nudges: list[list[int]] = []
        self.called: list[UUID] = []
        self.started: list[UUID] = []
        self.recovers = 0
        self.directed = 0
        self.layer = layer
        self.hub = Hub(
            self,
            self.nudges.append,
            self._recover,
            self.called.append,
            self.started.append,
            self._directed,
            layer,
        )

    def deliver(self, session_id: UUID, frame: Frame) -> None:
        self.frames.append((session_id, frame.text))

    def announce(self, session_id: UUID, changes: Mapping[str, Any]) -> None:
        assert isinstance(session_id, UUID)
        self.changes.append(changes)

    def end(self, session_id: UUID) -> None:
        self.ended.append(session_id)

    def _recover(self) -> None:
        self.recovers += 1

    def _directed(self) -> None:
        self.directed += 1


Start = Callable[[], Any]


@pytest.fixture
async def start(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Start]:
    """`await start()`: the hub of one more process."""
    monkeypatch.setattr(hub_module, "RECONNECT_DELAY", 0.1)
    monkeypatch.setattr(hub_module, "BEAT_SECONDS", 0.1)
    monkeypatch.setenv("REDIS_URL", own_valkey.url)
    host = env.redis_host("REDIS_URL")
    async with AsyncExitStack() as stack:

        async def one_more() -> Heard:
            heard = Heard(SiteChannelLayer(hosts=[host], prefix="tests-"))
            stack.push_async_callback(heard.layer.flush)
            stack.push_async_callback(heard.hub.close)
            await until(lambda: heard.hub._channel is not None)
            return heard

        yield one_more


async def until(holds: Callable[[], object], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  (another task, or server, does it)
            await asyncio.sleep(0.01)


def frame(text: str = "hello", seq: int = 1) -> Frame:
    return Frame(run=1, epoch=1, first=seq, last=seq, text=text, ends=False)


async def test_who_watches_hears_and_nobody_else(
    start: Start, own_valkey: Valkey
) -> None:
    writer, watcher, other = await start(), await start(), await start()
    session_id, unwatched = uuid4(), uuid4()
    await watcher.hub.join(session_id)
    await other.hub.join(uuid4())
    before = traffic(own_valkey)
    for number in range(20):
        writer.hub.publish([(session_id, frame(f"{number}")), (unwatched, frame())])
    await until(lambda: len(watcher.frames) == 20)
    assert watcher.frames == [(session_id, f"{number}") for number in range(20)]
    assert len(writer.frames) == 40  # here everything is delivered
    assert other.frames == []
    # What nobody elsewhere watches was not even sent.
    alone = traffic(own_valkey)
    writer.hub.publish([(unwatched, frame("x" * 100_000))])
    await asyncio.wait_for(writer.hub._drained.wait(), 5)
    assert traffic(own_valkey) - alone < 50_000
    assert alone > before


def traffic(valkey: Valkey) -> int:
    """Bytes that the server has received."""
    client = redis.Redis(port=valkey.port)
    received: int = client.info("stats")["total_net_input_bytes"]
    client.close()
    return received


async def test_what_was_joined_before_it_was_published_is_heard_whole(
    start: Start,
) -> None:
    writer, watcher = await start(), await start()
    for _ in range(50):
        session_id = uuid4()
        await watcher.hub.join(session_id)
        writer.hub.publish([(session_id, frame("first"))])
        await until(lambda s=session_id: (s, "first") in watcher.frames)  # type: ignore[misc]


async def test_who_comes_where_nobody_was_is_told_at_once(start: Start) -> None:
    writer, watcher = await start(), await start()
    for _ in range(20):
        session_id = uuid4()
        writer.hub.publish([(session_id, frame("unheard"))])
        await asyncio.wait_for(writer.hub._drained.wait(), 5)
        assert f"session.{session_id.hex}" in writer.hub._unwatched
        await watcher.hub.join(session_id)
        await until(
            lambda s=session_id: f"session.{s.hex}" not in writer.hub._unwatched,  # type: ignore[misc]
            1,
        )
        writer.hub.publish([(session_id, frame("heard", 2))])
        await until(lambda s=session_id: (s, "heard") in watcher.frames)  # type: ignore[misc]


async def test_who_has_left_hears_no_more(start: Start, own_valkey: Valkey) -> None:
    writer, watcher = await start(), await start()
    session_id = uuid4()
    channels = redis.Redis(port=own_valkey.port).pubsub_channels
    quiet = len(channels())
    await watcher.hub.join(session_id)
    watcher.hub.leave(session_id)
    await watcher.hub.join(session_id)
    writer.hub.publish([(session_id, frame())])
    await until(lambda: watcher.frames)
    watcher.hub.leave(session_id)
    await until(lambda: len(channels()) == quiet)


async def test_changes_ends_and_nudges_are_told(start: Start) -> None:
    one, two = await start(), await start()
    session_id = uuid4()
    await two.hub.join(session_id)
    one.hub.announce(session_id, {"title": "Ünï"})
    one.hub.end(session_id)
    one.hub.nudge([7, 8])
    one.hub.call_start(session_id)
    one.hub.tell_started(session_id)
    one.hub.call_recover()
    await until(lambda: two.recovers)
    await until(lambda: two.ended)
    assert two.changes == one.changes == [{"title": "Ünï"}]
    assert two.ended == one.ended == [session_id]
    assert two.nudges == [[7, 8]]
    assert two.called == two.started == [session_id]
    assert (one.nudges, one.recovers) == ([], 0)


@pytest.mark.parametrize(
    "message",
    [
        b"\xc1",
        b"",
        b"\x01",
        msgpack.packb("text"),
        msgpack.packb({"type": "hub"}),
        msgpack.packb({"type": "hub", "v": VERSION + 1, "nudge": [1]}),
        msgpack.packb({"type": "hub", "v": VERSION, "nudge": 1}),
        msgpack.packb({"type": "hub", "v": VERSION, "nudge": ["x"]}),
        msgpack.packb({"type": "hub", "v": VERSION, "frame": [1], "of": "x"}),
    ],
    ids=range(9),
)
async def test_a_message_that_cannot_be_read_is_dropped_alone(
    start: Start, own_valkey: Valkey, message: bytes
) -> None:
    one, two = await start(), await start()
    channels: set[Any] = set(redis.Redis(port=own_valkey.port).pubsub_channels())
    (control,) = [name for name in channels if name.endswith(CONTROL.encode())]
    for _ in range(3):
        redis.Redis(port=own_valkey.port).publish(control, message)
    one.hub.nudge([7])
    await until(lambda: two.nudges)
    assert two.nudges == [[7]]
    # On the same channel as before: none was left behind.
    assert set(redis.Redis(port=own_valkey.port).pubsub_channels()) == channels
    assert len(two.layer.channels) == 1


async def test_a_layer_that_is_away_is_one_line_and_then_everything_goes_on(
    start: Start, own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("channels_redis").setLevel(logging.CRITICAL)
    one, two = await start(), await start()
    watched, later = uuid4(), uuid4()
    await two.hub.join(watched)
    own_valkey.kill()
    await until(lambda: two.hub.state == one.hub.state == "away")
    await asyncio.wait_for(two.hub.join(later), 5)  # nobody is kept waiting
    one.hub.publish([(watched, frame("lost"))])
    own_valkey.start()
    await until(lambda: two.hub.state == one.hub.state == "ok")

    def published(session_id: UUID) -> bool:
        one.hub.publish([(session_id, frame("found"))])
        return (session_id, "found") in two.frames

    await until(lambda: published(watched))
    await until(lambda: published(later))
    said = [each.getMessage() for each in caplog.records]
    assert sum("is away" in line for line in said) == 2  # one for each process
    assert sum("is back" in line for line in said) == 2
    assert len(said) == 4, said
