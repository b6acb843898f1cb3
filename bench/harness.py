"""What every measurement uses: servers, sockets that take time, CPU of processes.

A socket here is a bare protocol, not a library's client: what watches must cost little,
since it shares two cores with what it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, cast
from uuid import uuid4

from tests.model_server.process import ModelServer
from tests.servers import Databases, Postgres, Server, Site, Valkey

STAMP: Final = re.compile(rb"@(\d+) ")  # of `[stream stamped=1]`: microseconds
ENDS: Final = (b'"run_finished"', b'{"type": "end"}')
# RFC 6455: opcodes, and what stands in place of a length that needs more bytes.
TEXT, PING, PONG = 1, 9, 10
TWO_BYTES, HEAD = 126, 2
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
LIMITS: Final = dict.fromkeys(
    (
        "MAX_RUNS",
        "MAX_RUNS_PER_USER",
        "MAX_SOCKETS_PER_USER",
        "MAX_SOCKETS_PER_ADDRESS",
        "MAX_MESSAGES_PER_MINUTE",
    ),
    100_000,
)


class Relay(Server):
    """A relay of `bench.relay`, as one uvicorn process."""

    name = "relay"

    def __init__(self, folder: Path, base_url: str, kind: str) -> None:
        super().__init__(folder)
        self._base_url = base_url
        self._kind = kind

    def command(self) -> list[str]:
        """Like the site's."""
        return [
            *(sys.executable, "-m", "uvicorn", f"bench.relay:{self._kind}"),
            *("--port", str(self.port), "--ws", "websockets-sansio"),
            *("--ws-per-message-deflate", "false", "--lifespan", "off"),
            *("--log-level", "warning"),
        ]

    def environment(self) -> dict[str, str]:
        """Where the model is."""
        return {**os.environ, "LLM_BASE_URL": self._base_url}


class House:
    """The servers of one measurement, started when asked for, gone at the end."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.model = stack.enter_context(ModelServer())
        self.postgres = stack.enter_context(Postgres())
        self._databases = Databases(folder, lambda: self.postgres)

    @cached_property
    def static_root(self) -> Path:
        """The page's files, collected."""
        root = self._folder / "static"
        site = Site(self._folder, STATIC_ROOT=str(root))
        site.manage("collectstatic", "--no-input", "--verbosity", "0")
        return root

    def database(self, vendor: str) -> str:
        """The URL of a fresh database, `sqlite` or `postgresql`."""
        return self._databases.new(vendor)

    @contextlib.contextmanager
    def relay(self, kind: str) -> Iterator[Relay]:
        """A relay, `bare` or `usual`, while the block lasts."""
        with Relay(self._folder, self.model.base_url, kind) as relay:
            yield relay

    @contextlib.contextmanager
    def site(self, vendor: str, **settings: object) -> Iterator[Site]:
        """One process of the site on a fresh database, while the block lasts."""
        settings.setdefault("DATABASE_URL", self.database(vendor))
        given = {**LIMITS, "LOG_LEVEL": "WARNING", "LLM_MODEL": "hello", **settings}
        with Site(
            self._folder,
            LLM_BASE_URL=self.model.base_url,
            **{name: str(value) for name, value in given.items()},
        ) as site:
            yield site

    @contextlib.contextmanager
    def valkey(self) -> Iterator[Valkey]:
        """A Redis-compatible server, while the block lasts."""
        with tempfile.TemporaryDirectory() as folder, Valkey(Path(folder)) as valkey:
            yield valkey


@contextlib.contextmanager
def house() -> Iterator[House]:
    """A model server and PostgreSQL, and a folder for what else is started."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        yield House(Path(folder), stack)


class Tokens:
    """When tokens were seen after they were written, in microseconds."""

    def __init__(self) -> None:
        self.delays: list[int] = []

    def clear(self) -> None:
        """Begin a new window."""
        self.delays = []


class Socket(asyncio.Protocol):
    """One open socket that asks, and watches what comes."""

    def __init__(self, session: str, tokens: Tokens | None, cookie: str) -> None:
        self._session = session
        self._cookie = cookie
        self._tokens = tokens
        self._buffer = bytearray()
        self._opened = False
        self.ready = asyncio.get_running_loop().create_future()
        self.joined = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()
        self.first = asyncio.get_running_loop().create_future()
        self.begun = 0.0  # when it asked
        self.frames = 0
        self.last = b""  # frame
        self.newest = 0  # stamp

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        self._transport = transport = cast("asyncio.Transport", transport)
        host = transport.get_extra_info("peername")
        transport.write(
            f"GET /ws/chat/{self._session} HTTP/1.1\r\n"
            f"Host: {host[0]}:{host[1]}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Cookie: {self._cookie}\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Take frames apart as far as they are whole."""
        buffer = self._buffer
        buffer += data
        if not self._opened:
            head = buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            del buffer[: head + 4]
            self._opened = True
            self.ready.set_result(None)
        at = 0
        while len(buffer) - at >= HEAD:
            size, start = buffer[at + 1] & 127, at + HEAD
            if size >= TWO_BYTES:
                wide = 2 if size == TWO_BYTES else 8
                if len(buffer) < start + wide:
                    break
                size = int.from_bytes(buffer[start : start + wide], "big")
                start += wide
            if len(buffer) < start + size:
                break
            self._frame(buffer[at] & 15, bytes(buffer[start : start + size]))
            at = start + size
        del buffer[:at]

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._write(PONG, payload)
        if opcode != TEXT:
            return
        self.frames += 1
        self.last = payload
        if not self.joined.done() and b'"snapshot"' in payload:
            self.joined.set_result(None)
        stamps = STAMP.findall(payload)
        if stamps:
            now = time.monotonic_ns() // 1000
            self.newest = int(stamps[-1])
            if not self.first.done():
                self.first.set_result(time.monotonic() - self.begun)
            if self._tokens is not None:
                self._tokens.delays += [now - int(stamp) for stamp in stamps]
        if not self.ended.done() and any(end in payload for end in ENDS):
            self.ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits is told."""
        for future in (self.ready, self.joined, self.first, self.ended):
            if not future.done():
                future.set_exception(ConnectionError(error or "closed"))
                future.exception()

    def send(self, type_: str, payload: dict[str, object]) -> None:
        """Send a command."""
        self._write(TEXT, json.dumps({"type": type_, "payload": payload}).encode())

    def ask(self, prompt: str) -> None:
        """Send a message."""
        self.begun = time.monotonic()
        self.send("chat", {"message": prompt, "client_id": uuid4().hex})

    def abort(self) -> None:
        """Be gone without a word."""
        self._transport.abort()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([128 | size]) if size < TWO_BYTES else b"\xfe" + size.to_bytes(2)
        # A mask of zeros: the payload as it is.
        self._transport.write(bytes([128 | opcode]) + length + bytes(4) + payload)


async def connect(
    port: int,
    tokens: Tokens | None = None,
    *,
    session: str = "",
    cookie: str = "",
    seen: dict[str, list[int]] | None = None,
) -> Socket:
    """A socket in log mode, to a session of its own unless one is named."""
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(
        lambda: Socket(session or str(uuid4()), tokens, cookie), "127.0.0.1", port
    )
    await socket.ready
    socket.send("subscribe", {"protocol": 2, "seen": seen or {}})
    return socket


def cpu_seconds(pid: int) -> float:
    """CPU time so far of a process and of all that it has started."""
    total = 0.0
    for process in (pid, *_children(pid)):
        # The clock of another process, as clock_getcpuclockid(3) makes it: ticks of
        # /proc are too coarse for one run.
        with contextlib.suppress(OSError):  # ended just now
            total += time.clock_gettime((~process << 3) | 2)
    return total


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield int(child)
            yield from _children(int(child))


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def tokens_written(model: ModelServer) -> int:
    """By all streams of the model so far."""
    return sum(request["tokens"] for request in model.requests())


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed; NaN where there are none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def milliseconds(values: Sequence[float], per: float = 1000) -> str:
    """`p50 / p99` of delays; `per`: how many of their unit are a millisecond."""
    return " / ".join(f"{percentile(values, p) / per:.1f}" for p in (0.5, 0.99))


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    lines = [f"\n### {title}\n", _row(head), _row(["---"] * len(head))]
    sys.stdout.write("\n".join([*lines, *map(_row, rows)]) + "\n")
    sys.stdout.flush()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
