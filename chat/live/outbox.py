"""What waits to be sent to one socket: in order, bounded, and mostly nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

# Answers to commands that nobody reads; then it is enough.
MAX_REPLIES: Final = 256
MAX_UNREAD_CHARS: Final = 4 * 1024 * 1024  # or four outboxes, where that is more


class TooSlowError(Exception):
    """A client asks and asks but does not read the answers."""


class Outbox:
    """Sends texts to a socket, at once where it is ready, else when it is.

    `send(text)` is the server's own way to send, which waits while the socket takes no
    more. `on_empty` is called when all that had to wait has been sent; `on_broken` when
    sending failed, which closes the outbox.
    """

    __slots__ = (
        "_chars",
        "_is_closed",
        "_max_chars",
        "_on_broken",
        "_queue",
        "_replies",
        "_send",
        "_sending",
        "on_empty",
    )

    def __init__(
        self,
        send: Callable[[str], Coroutine[Any, Any, None]],
        *,
        max_chars: int,
        on_broken: Callable[[Exception], None],
    ) -> None:
        self._send = send
        self._max_chars = max_chars
        self._on_broken = on_broken
        self.on_empty: Callable[[], None] = lambda: None
        self._queue: deque[str] = deque()
        self._chars = 0
        self._replies = 0
        self._is_closed = False
        self._sending: asyncio.Task[None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._sending is None

    @property
    def chars(self) -> int:
        """How much waits."""
        return self._chars

    @property
    def is_full(self) -> bool:
        """Whether more waits than may."""
        return self._chars > self._max_chars

    def put(self, text: str) -> None:
        """Send `text` after all that waits. The caller sees to the bound: `is_full`."""
        if self._sending is not None:
            self._queue.append(text)
            self._chars += len(text)
            return
        if self._is_closed:
            return
        # Most of the time the socket is ready and `send` waits for nothing. Then no
        # task has to be woken for it, which would cost as much again as sending.
        sending = self._send(text)
        try:
            waiting_for = sending.send(None)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001  (whatever a server raises)
            self._break(error)
            return
        self._chars += len(text)
        rest = _Rest(sending, waiting_for)
        self._sending = asyncio.create_task(self._send_rest(rest, len(text)))

    def reply(self, text: str) -> None:
        """As `put`, for the answer to a command.

        Raises TooSlowError where too many answers are not read.
        """
        if self.is_empty:
            self._replies = 0
        elif self._replies >= MAX_REPLIES or self._chars > max(
            MAX_UNREAD_CHARS, 4 * self._max_chars
        ):
            raise TooSlowError
        self._replies += 1
        self.put(text)

    def close(self) -> None:
        """Send nothing more, not even what waits."""
        self._is_closed = True
        self._queue.clear()
        self._chars = 0
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    async def _send_rest(self, rest: _Rest, size: int) -> None:
        try:
            await rest
            self._chars -= size
            while self._queue:
                text = self._queue.popleft()
                await self._send(text)
                self._chars -= len(text)
        except Exception as error:  # noqa: BLE001  (whatever a server raises)
            self._sending = None
            self._break(error)
            return
        self._sending = None
        self.on_empty()

    def _break(self, error: Exception) -> None:
        self.close()
        self._on_broken(error)


class _Rest:
    """What remains of a coroutine that was begun outside of a task, to be awaited."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], waiting_for: object
    ) -> None:
        self._coroutine = coroutine
        self._waiting_for = waiting_for

    def __await__(self) -> Generator[Any, Any, None]:
        waiting_for = self._waiting_for
        while True:
            thrown: BaseException | None = None
            try:
                yield waiting_for
            except BaseException as error:  # noqa: BLE001  (goes on where it belongs)
                thrown = error
            try:
                if thrown is None:
                    waiting_for = self._coroutine.send(None)
                else:
                    waiting_for = self._coroutine.throw(thrown)
            except StopIteration:
                return
