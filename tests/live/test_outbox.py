"""What waits for a socket: in order, bounded, and sent at once where that can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from chat.live.outbox import MAX_REPLIES, MAX_UNREAD_CHARS, Outbox, TooSlowError


class Socket:
    """A server's side of a socket, which takes texts while `ready` is set."""

    def __init__(self, *, max_chars: int = 100) -> None:
        self.ready = asyncio.Event()
        self.ready.set()
        self.heard: list[str] = []
        self.error: Exception | None = None
        self.broken: list[Exception] = []
        self.times_empty = 0
        self.outbox = Outbox(
            self._send, max_chars=max_chars, on_broken=self.broken.append
        )
        self.outbox.on_empty = self._emptied

    async def _send(self, text: str) -> None:
        await self.ready.wait()  # as uvicorn does
        if self.error is not None:
            raise self.error
        self.heard.append(text)

    def _emptied(self) -> None:
        self.times_empty += 1


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  (of many kinds: no event stands for all)
            await asyncio.sleep(0)


async def test_a_ready_socket_is_sent_to_at_once() -> None:
    socket = Socket()
    tasks = asyncio.all_tasks()
    for text in "abc":
        socket.outbox.put(text)
    assert socket.heard == ["a", "b", "c"]
    assert socket.outbox.is_empty
    assert asyncio.all_tasks() == tasks
    assert socket.times_empty == 0  # nothing had to wait


async def test_what_must_wait_is_sent_in_order_when_the_socket_is_ready() -> None:
    socket = Socket()
    socket.ready.clear()
    for text in "abc":
        socket.outbox.put(text)
    assert not socket.outbox.is_empty
    await asyncio.sleep(0)
    assert socket.heard == []
    socket.ready.set()
    socket.outbox.put("d")
    await until(lambda: socket.outbox.is_empty)
    assert socket.heard == ["a", "b", "c", "d"]
    assert socket.times_empty == 1
    socket.outbox.put("e")
    assert socket.heard[-1] == "e"


async def test_it_is_full_while_too_much_waits() -> None:
    socket = Socket(max_chars=10)
    socket.ready.clear()
    socket.outbox.put("x" * 10)
    fullness = [socket.outbox.is_full]
    socket.outbox.put("y")
    fullness.append(socket.outbox.is_full)
    socket.ready.set()
    await until(lambda: socket.outbox.is_empty)
    fullness.append(socket.outbox.is_full)
    assert fullness == [False, True, False]


@pytest.mark.parametrize("error", [OSError(), ValueError()])
@pytest.mark.parametrize("is_ready", [True, False])
async def test_a_socket_that_fails_is_said_to_be_broken_once(
    error: Exception,
    is_ready: bool,  # noqa: FBT001
) -> None:
    socket = Socket()
    socket.error = error
    if not is_ready:
        socket.ready.clear()
    socket.outbox.put("a")
    socket.outbox.put("b")
    socket.ready.set()
    await until(lambda: socket.broken)
    socket.outbox.put("c")
    await asyncio.sleep(0)
    assert socket.broken == [error]
    assert socket.heard == []
    assert socket.times_empty == 0


async def test_a_closed_outbox_sends_nothing_more() -> None:
    socket = Socket()
    socket.ready.clear()
    socket.outbox.put("a")
    socket.outbox.put("b")
    socket.outbox.close()
    socket.ready.set()
    socket.outbox.put("c")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert socket.heard == []
    assert socket.broken == []


async def test_who_asks_and_asks_but_does_not_read_is_too_slow() -> None:
    socket = Socket()
    socket.ready.clear()
    for _ in range(MAX_REPLIES):
        socket.outbox.reply("pong")
    with pytest.raises(TooSlowError):
        socket.outbox.reply("pong")


async def test_long_answers_that_nobody_reads_are_bounded_by_their_length() -> None:
    socket = Socket()
    socket.ready.clear()
    page = "x" * 2**20
    sent = 0
    with suppress(TooSlowError):
        for _ in range(20):
            socket.outbox.reply(page)
            sent += 1
    assert sent <= MAX_UNREAD_CHARS / len(page) + 1
    socket.ready.set()
    await until(lambda: socket.outbox.is_empty)
    socket.outbox.reply(page)  # who has read may ask again


async def test_who_reads_may_ask_for_ever() -> None:
    socket = Socket()
    for _ in range(MAX_REPLIES * 2):
        socket.ready.clear()
        socket.outbox.reply("pong")
        socket.ready.set()
        await until(lambda: socket.outbox.is_empty)
    assert len(socket.heard) == MAX_REPLIES * 2
