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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
import msgspec
from msgspec import Struct

from chat.agents.base import Flow
from chat.agents.model import errors
from chat.agents.model.answer import Answer
from chat.agents.model.errors import ModelError
from chat.agents.model.sse import (
    DeltaSink,
    EventReader,
    NotAnAnswerError,
    StreamError,
)
from chat.redaction import known, redact

logger = logging.getLogger(__name__)

# Seconds a connection is kept for the next request. Less than the 5 after which uvicorn
# (vLLM, SGLang) and llama.cpp's server hang up: one that is gone costs another attempt.
KEEP_ALIVE: Final = 4.0
ATTEMPTS: Final = 4
BACKOFF: Final = 0.5
MAX_BACKOFF: Final = 8.0
MAX_RETRY_AFTER: Final = 20.0
MAX_REDIRECTS: Final = 3

# How a server is asked not to think, by those who know one of these; see `_drop`.
NOT_THINKING: Final[Mapping[str, Any]] = {
    "chat_template_kwargs": {"enable_thinking": False},
    "enable_thinking": False,
}


class ChatRequest(Struct, frozen=True):
    """What the model is asked: messages and tools in OpenAI's form."""

    messages: Sequence[dict[str, Any]]
    tools: Sequence[dict[str, Any]] = ()
    options: dict[str, Any] = {}
    thinking: bool = True  # False: it is asked not to, where it can be


class Completion(Struct, frozen=True):
    """How an answer ended, what it cost, and what goes back with it.

    `finish_reason` is the server's; "" where it said only that this was all, None
    where the stream just ended. `extras` are fields of the message that nobody here
    knows.
    """

    finish_reason: str | None
    input_tokens: int = 0
    output_tokens: int = 0
    extras: Mapping[str, Any] = {}


class ChatModel(Protocol):
    """Anything that can be asked: a server, or the built-in model."""

    async def prepare(self) -> None:
        """Get ready: a question comes soon."""
        ...

    async def stream(
        self, request: ChatRequest, sink: DeltaSink, flow: Flow | None = None
    ) -> Completion:
        """Hand the answer to the sink as it comes; raise `ModelError` if it fails.

        While `flow` is crowded nothing more is taken from the model.
        """
        ...

    async def close(self) -> None:
        """Give back connections and processes."""
        ...


class ServerConfig(Struct, frozen=True):
    """Where the model is, how long it may be silent (seconds), and with which options.

    `options` are fields of each request, as the server takes them; those of
    `extra_body` in it stand beside the others, as OpenAI's client sends them.
    """

    base_url: str
    model: str
    api_key: str = ""
    first_chunk_timeout: float = 60.0
    chunk_timeout: float = 60.0
    options: Mapping[str, Any] = {}


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
        self._options = {**config.options, **config.options.get("extra_body", {})}
        self._options.pop("extra_body", None)
        self._url = _completions(config.base_url)
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",  # what is compressed is held back
        }
        if config.api_key:
            known.learn([config.api_key])
            self._headers["Authorization"] = f"Bearer {config.api_key}"
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dropped: set[str] = set()  # fields that the server does not take

    async def prepare(self) -> None:
        """A server of somebody else's is ready or not."""

    async def stream(
        self, request: ChatRequest, sink: DeltaSink, flow: Flow | None = None
    ) -> Completion:
        """Hand the answer to the sink as it comes; retry before the first token."""
        attempt = 0
        while True:
            reader = EventReader(sink)
            try:
                return await self._ask(request, reader, flow)
            except _AskDifferentlyError:
                continue
            except ModelError as error:
                attempt += 1
                if reader.started or not error.transient or attempt == ATTEMPTS:
                    raise
                delay = self._delay(attempt - 1, error.retry_after)
                if delay is None:
                    raise
                logger.info("asking the model again in %.2f s: %s", delay, error)
            await self._sleep(delay)

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
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                trust_env=not _is_local(self._url),
                auto_decompress=True,
                read_bufsize=2**18,
            )
        return self._session

    def _body(self, request: ChatRequest) -> bytes:
        body = {
            **self._options,
            **request.options,
            "model": self.config.model,
            "messages": request.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.tools:
            body["tools"] = request.tools
        if not request.thinking:
            body |= NOT_THINKING
        for field in self._dropped:
            body.pop(field, None)
        return msgspec.json.encode(body)

    async def _ask(
        self, request: ChatRequest, reader: EventReader, flow: Flow | None
    ) -> Completion:
        limit = self.config.first_chunk_timeout
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(limit):
                response = await self._post(self._body(request))
                if response.status != 200:  # noqa: PLR2004 - OK
                    raise await self._refusal(response, request)
            await Answer(response, reader, flow, self.config).read()
        except TimeoutError:
            raise errors.silent(limit, started=False) from None
        except aiohttp.ClientError as error:
            raise errors.broken(error, started=reader.started) from error
        except NotAnAnswerError as error:
            logger.warning("the model server sent no answer: %s", redact(str(error)))
            raise errors.wrong_address() from error
        except StreamError as error:
            logger.warning("the model server sent an error: %s", redact(str(error)))
            raise errors.stream_error(
                str(error), self.config.model, started=reader.started
            ) from error
        finally:
            if response is not None:
                response.close()
        return self._completion(reader)

    def _completion(self, reader: EventReader) -> Completion:
        reason = reader.finish_reason
        if reason is None and not reader.started and not reader.done:
            raise errors.cut(started=False)
        if reason is None and reader.done:
            reason = ""
        return Completion(
            reason,
            reader.input_tokens,
            reader.output_tokens,
            reader.extras.message,
        )

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        """Ask; go where the server has moved to, if that is still this server."""
        place = ""
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._connect().post(
                self._url, data=body, headers=self._headers, allow_redirects=False
            )
            place = response.headers.get("Location", "")
            if response.status not in {301, 302, 303, 307, 308} or not place:
                return response
            response.close()
            url = urljoin(self._url, place)
            if not _is_same_server(urlsplit(self._url), urlsplit(url)):
                break
            # Asked in the same way: what a browser does, a GET, would ask nothing.
            logger.warning("the model server has moved to %s", redact(url))
            self._url = url
        logger.warning(
            "the model server at %s has moved to %s: set LLM_BASE_URL to that",
            self.config.base_url,
            redact(urljoin(self._url, place)),
        )
        raise errors.moved()

    async def _refusal(
        self, response: aiohttp.ClientResponse, request: ChatRequest
    ) -> Exception:
        """What a status other than 200 means."""
        body = (await response.content.read(16_384)).decode(errors="replace")
        status = response.status
        logger.warning("the model server answered %s: %s", status, redact(body[:500]))
        if status in {400, 422} and self._drop(body, request):
            return _AskDifferentlyError()
        url = urlsplit(self._url)
        if status in {404, 405} and url.path == "/chat/completions":
            # The address was given without the path that most servers want.
            self._url = url._replace(path="/v1/chat/completions").geturl()
            return _AskDifferentlyError()
        return errors.refusal(status, body, _retry_after(response), self.config.model)

    def _drop(self, body: str, request: ChatRequest) -> bool:
        """Whether the server refused a field that it can be asked without."""
        fields = {"stream_options"} | (set() if request.thinking else {*NOT_THINKING})
        named = {field for field in fields - self._dropped if field in body}
        self._dropped |= named
        return bool(named)


class _AskDifferentlyError(Exception):
    """The server was asked for what it does not know, and is asked without it now."""


def _completions(base_url: str) -> str:
    """Where to ask, given the address up to `/v1`, which may have a query."""
    url = urlsplit(base_url)
    return url._replace(path=url.path.rstrip("/") + "/chat/completions").geturl()


def _is_same_server(old: SplitResult, new: SplitResult) -> bool:
    """Whether the key may go there too: the same host, and no less secret."""
    if old.hostname != new.hostname or new.scheme not in {"http", "https"}:
        return False
    if old.scheme == new.scheme:
        return old.port == new.port
    return old.scheme == "http" and {old.port, new.port} <= {None, 80, 443}


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
