"""The streaming chat client for any OpenAI-compatible server.

It lives on the asyncio event loop: `stream` hands every delta to a sink as it comes
and returns when the answer is complete. Cancelling it closes the connection at once.
Whatever goes wrong becomes a `ModelError`, which says to people what happened and
whether trying again can help. Retrying is for before the first token only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct

from chat.agents.model import errors
from chat.agents.model.errors import ModelError
from chat.agents.model.sse import DeltaSink, EventReader, StreamError

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 4
BACKOFF: Final = 0.5
MAX_BACKOFF: Final = 8.0
MAX_RETRY_AFTER: Final = 20.0
KEEP_ALIVES: Final = 10  # silent times that a server may fill with comments alone


class ChatRequest(Struct, frozen=True):
    """What the model is asked: messages and tools in OpenAI's form."""

    messages: Sequence[dict[str, Any]]
    tools: Sequence[dict[str, Any]] = ()
    options: dict[str, Any] = {}


class Completion(Struct, frozen=True):
    """How an answer ended, and what it cost."""

    finish_reason: str | None
    input_tokens: int = 0
    output_tokens: int = 0


Room = Callable[[], Awaitable[None] | None]


class ChatModel(Protocol):
    """Anything that can be asked: a server, or the built-in model."""

    async def prepare(self) -> None:
        """Get ready: a question comes soon."""
        ...

    async def stream(
        self, request: ChatRequest, sink: DeltaSink, room: Room | None = None
    ) -> Completion:
        """Hand the answer to the sink as it comes; raise `ModelError` if it fails.

        `room` is asked between the chunks and says what to wait for, if anything,
        before more is taken from the model.
        """
        ...

    async def close(self) -> None:
        """Give back connections and processes."""
        ...


class ServerConfig(Struct, frozen=True):
    """Where the model is, and how long it may be silent (seconds)."""

    base_url: str
    model: str
    api_key: str = ""
    first_chunk_timeout: float = 60.0
    chunk_timeout: float = 60.0


class ChatServer:
    """An OpenAI-compatible server; its connections are kept and used again."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.config = config
        self._sleep = sleep
        self._chance = chance
        self._url = config.base_url.rstrip("/") + "/chat/completions"
        self._headers = {"Content-Type": "application/json"}
        if config.api_key:
            self._headers["Authorization"] = f"Bearer {config.api_key}"
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._counts_tokens = True  # until the server says it does not know how

    async def prepare(self) -> None:
        """A server of somebody else's is ready or not."""

    async def stream(
        self, request: ChatRequest, sink: DeltaSink, room: Room | None = None
    ) -> Completion:
        """Hand the answer to the sink as it comes; retry before the first token."""
        for attempt in range(ATTEMPTS):
            reader = EventReader(sink)
            try:
                return await self._ask(request, reader, room)
            except ModelError as error:
                last = attempt == ATTEMPTS - 1
                if reader.started or not error.transient or last:
                    raise
                delay = self._delay(attempt, error.retry_after)
                if delay is None:
                    raise
                logger.info("asking the model again in %.2f s: %s", delay, error)
            await self._sleep(delay)
        raise AssertionError  # pragma: no cover

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            await session.close()

    def _delay(self, attempt: int, retry_after: float | None) -> float | None:
        """Seconds until the next attempt (full jitter), or None: do not wait for it."""
        if retry_after is not None:
            return retry_after if retry_after <= MAX_RETRY_AFTER else None
        return min(MAX_BACKOFF, BACKOFF * 2.0**attempt) * self._chance()

    def _connect(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                trust_env=not _is_local(self._url),
                auto_decompress=True,
                read_bufsize=2**18,
            )
        return self._session

    def _body(self, request: ChatRequest) -> bytes:
        body = {
            **request.options,
            "model": self.config.model,
            "messages": request.messages,
            "stream": True,
        }
        if request.tools:
            body["tools"] = request.tools
        if self._counts_tokens:
            body["stream_options"] = {"include_usage": True}
        return msgspec.json.encode(body)

    async def _ask(
        self, request: ChatRequest, reader: EventReader, room: Room | None
    ) -> Completion:
        limit = self.config.first_chunk_timeout
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(limit):
                response = await self._connect().post(
                    self._url, data=self._body(request), headers=self._headers
                )
                if response.status != 200:  # noqa: PLR2004 - OK
                    raise await self._refusal(response)
            await self._read(response, reader, room)
        except TimeoutError:
            raise errors.silent(limit, started=False) from None
        except aiohttp.ClientError as error:
            raise errors.broken(error, started=reader.started) from error
        except StreamError as error:
            logger.warning("the model server sent an error: %s", self._redact(error))
            raise errors.stream_error(str(error), started=reader.started) from error
        finally:
            if response is not None:
                response.close()
        return Completion(
            reader.finish_reason, reader.input_tokens, reader.output_tokens
        )

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        reader: EventReader,
        room: Room | None,
    ) -> None:
        content = response.content
        if response.content_type == "application/json":
            async with asyncio.timeout(self.config.first_chunk_timeout):
                reader.read_whole(await response.read())
            return
        watch = _Watch(content, reader, self.config)
        try:
            while not reader.done:
                data = await content.readany()
                if not data:
                    break
                watch.alive = True
                reader.feed(data)
                if room is not None and (more := room()) is not None:
                    watch.waiting = True  # the silence is ours
                    await more
                    watch.waiting = False
        finally:
            watch.stop()
        reader.close()
        # A server that closes an answer without a length, and without saying that
        # it is complete, may as well have died.
        sized = "Content-Length" in response.headers or response.headers.get(
            "Transfer-Encoding"
        )
        if not (reader.done or reader.finish_reason or (sized and reader.started)):
            raise errors.cut(started=reader.started)

    async def _refusal(self, response: aiohttp.ClientResponse) -> ModelError:
        """What a status other than 200 means."""
        body = (await response.content.read(4096)).decode(errors="replace")
        status = response.status
        logger.warning(
            "the model server answered %s: %s", status, self._redact(body[:500])
        )
        if self._counts_tokens and "stream_options" in body and status in {400, 422}:
            self._counts_tokens = False
            return ModelError(
                "model_error",
                "The model server does not understand the site's request.",
                transient=True,
                retry_after=0.0,
            )
        return errors.refusal(status, body, _retry_after(response), self.config.model)

    def _redact(self, text: object) -> str:
        key = self.config.api_key
        return str(text).replace(key, "[key]") if key else str(text)


class _Watch:
    """Fails the reading of an answer when the server is silent for too long.

    One timer, set anew only when it fires: nothing is paid per chunk but a flag.
    """

    def __init__(
        self, content: aiohttp.StreamReader, reader: EventReader, config: ServerConfig
    ) -> None:
        self.alive = False
        self.waiting = False
        self._content = content
        self._reader = reader
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._limit = config.first_chunk_timeout
        self._idle_since = self._empty_since = self._loop.time()
        self._events = 0
        self._timer = self._loop.call_later(self._step(), self._check)

    def stop(self) -> None:
        """The answer is complete, or nobody waits for it any more."""
        self._timer.cancel()

    def _step(self) -> float:
        return self._limit / 4

    def _check(self) -> None:
        now = self._loop.time()
        if self.alive or self.waiting:
            self.alive = False
            self._idle_since = now
        if self._reader.events != self._events or self.waiting:
            self._limit = self._config.chunk_timeout
            self._events = self._reader.events
            self._empty_since = now
        overdue = now - self._empty_since >= KEEP_ALIVES * self._limit
        if overdue or now - self._idle_since >= self._limit * 0.9:
            self._content.set_exception(
                errors.silent(self._limit, started=self._reader.started)
            )
            return
        self._timer = self._loop.call_later(self._step(), self._check)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = float(parsedate_to_datetime(value).timestamp())
        return max(0.0, when - time.time())
    except ValueError:
        return None


def _is_local(url: str) -> bool:
    """Whether the address is this machine's, where no proxy is asked."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
