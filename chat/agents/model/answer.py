"""Reads one answer's body in the socket's data callback, as it comes.

`aiohttp` makes the request and unpacks the body (chunks, compression, encryption).
From then on the answer stands between its socket and `aiohttp`'s protocol: what a
packet adds to the body goes on to the reader in the same call. No task is woken until
the answer is over.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import aiohttp
from aiohttp.client_proto import ResponseHandler

from chat.agents.base import Flow
from chat.agents.model import errors
from chat.agents.model.sse import EventReader

KEEP_ALIVES: Final = 10  # silent times that a server may fill with comments alone
GRACE: Final = 1.0  # seconds after the last word, for what it cost
END_GRACE: Final = 0.02  # seconds after all is said, for the end of the body


class Limits(Protocol):
    """How long a model server may be silent, in seconds."""

    @property
    def first_chunk_timeout(self) -> float:
        """Before it says anything."""
        ...

    @property
    def chunk_timeout(self) -> float:
        """In the middle of its answer."""
        ...


class Answer(asyncio.Protocol):
    """The body of a response, on its way to a reader. To be made and read once."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        reader: EventReader,
        flow: Flow | None,
        limits: Limits,
    ) -> None:
        self._response = response
        self._content = response.content
        self._reader = reader
        self._flow = flow
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._inner: ResponseHandler | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._grace: asyncio.TimerHandle | None = None
        # The watch over silence: one timer, set anew only when it fires.
        self._alive = False
        self._limit = limits.first_chunk_timeout
        self._idle_since = self._empty_since = self._loop.time()
        self._events = 0
        self._timer: asyncio.TimerHandle | None = None

    async def read(self) -> None:
        """Return when the answer is over, as far as the reader can tell.

        Raises ModelError when the server is silent for too long, aiohttp.ClientError
        when the connection breaks, and what the reader and its sink raise.
        """
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            self._transport = connection.transport
            self._inner = connection.protocol
            self._transport.set_protocol(self)
            self._timer = self._loop.call_later(self._limit / 4, self._check_silence)
        self._take()
        try:
            await self._over
        finally:
            self._detach()
            self._response.close()  # unless the body has ended: then it was given back

    # ---- for the transport

    def data_received(self, data: bytes) -> None:
        """A packet: the way of every token."""
        self._inner.data_received(data)  # type: ignore[union-attr]  # set with the transport
        self._alive = True
        self._take()

    def eof_received(self) -> None:
        """The server writes no more."""
        if self._inner is not None:
            self._inner.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has closed, or broken."""
        if self._inner is not None:
            self._inner.connection_lost(error)
        self._take()
        if not self._over.done():  # not even what was there has come to an end
            self._fail(aiohttp.ServerDisconnectedError())

    def pause_writing(self) -> None:
        """As the transport wishes."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """As the transport wishes."""
        if self._inner is not None:
            self._inner.resume_writing()

    # ---- inside

    def _take(self) -> None:
        """Hand on what the body has gained, and see whether that was all."""
        if self._over.done():
            return
        reader = self._reader
        try:
            if data := self._content.read_nowait():
                reader.feed(data)
            if self._content.at_eof():
                reader.close()
                self._end()
            elif reader.done or reader.finish_reason is not None:
                self._wait_for_end()
            elif self._flow is not None and self._flow.crowded:
                self._hold()
        except Exception as error:  # noqa: BLE001 - it goes on to whoever reads
            self._fail(error)

    def _wait_for_end(self) -> None:
        """All is said: only what it cost may come, and the end of the body.

        A body that has come to its end leaves its connection to be used again.
        """
        known = self._reader.done or self._reader.output_tokens
        if self._grace is None or known:
            if self._grace is not None:
                self._grace.cancel()
            delay = END_GRACE if known else GRACE
            self._grace = self._loop.call_later(delay, self._end)

    def _end(self) -> None:
        self._detach()
        if not self._over.done():
            self._over.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._detach()
        if not self._over.done():
            self._over.set_exception(error)

    def _hold(self) -> None:
        """Take nothing more from the server until what it said is taken for good."""
        if self._waiting is None and self._transport is not None:
            self._transport.pause_reading()
            self._waiting = self._loop.create_task(self._go_on())

    async def _go_on(self) -> None:
        assert self._flow is not None  # noqa: S101 - it made us wait
        try:
            await self._flow.committed()
        except Exception as error:  # noqa: BLE001 - it goes on to whoever reads
            self._waiting = None
            self._fail(error)
            return
        self._waiting = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._take()

    def _check_silence(self) -> None:
        now = self._loop.time()
        if self._alive or self._waiting is not None:  # then the silence is ours
            self._alive = False
            self._idle_since = now
        if self._reader.events != self._events or self._waiting is not None:
            self._limit = self._limits.chunk_timeout
            self._events = self._reader.events
            self._empty_since = now
        overdue = now - self._empty_since >= KEEP_ALIVES * self._limit
        if overdue or now - self._idle_since >= self._limit * 0.9:
            self._fail(errors.silent(self._limit, started=self._reader.started))
            return
        self._timer = self._loop.call_later(self._limit / 4, self._check_silence)

    def _detach(self) -> None:
        """Stop the timers; leave the connection to `aiohttp` again.

        At once when the answer is over: the connection may be another's by then.
        """
        for timer in (self._timer, self._grace):
            if timer is not None:
                timer.cancel()
        transport, self._transport = self._transport, None
        if transport is not None and not transport.is_closing():
            assert self._inner is not None  # noqa: S101 - set with the transport
            transport.set_protocol(self._inner)
        if self._waiting is not None:
            self._waiting.cancel()
            if transport is not None and not transport.is_closing():
                transport.resume_reading()
