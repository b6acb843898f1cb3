"""A client of the site as the page is one: outbox, resuming, the fold. For tests.

person = Person(site.url)
async with person.watch([site.url], session_id) as viewer:
    viewer.ask("Hello", "id-1")
    await viewer.until(lambda: viewer.reason(1) == "answered", 10)
"""

from __future__ import annotations

import asyncio
import http.cookiejar
import json
import random
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import websockets
from msgspec import convert

from chat.wire.protocol import RunView, decode_events, encode
from chat.wire.transcript import GapError, RunState, StepState, apply, view

CONNECT_SECONDS = 5


class Person:
    """A guest with a cookie, got from the page as a browser gets it."""

    def __init__(self, site_url: str) -> None:
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._jar)
        )
        self._opener.addheaders = [("Accept", "text/html")]
        self.open(site_url)

    def open(self, url: str) -> str:
        """The text at `url`, fetched with the person's cookies."""
        with self._opener.open(url, timeout=30) as answer:
            return str(answer.read().decode())

    def submit(self, url: str, **fields: str) -> str:
        """Send a form, with the CSRF token; the text of where that leads."""
        token = {"csrfmiddlewaretoken": self.cookie_named("csrf")}
        body = urllib.parse.urlencode(fields | token).encode()
        with self._opener.open(url, body, timeout=30) as answer:
            return str(answer.read().decode())

    def change(self, url: str, changes: dict[str, Any]) -> str:
        """What a PATCH is answered."""
        headers = {
            "Content-Type": "application/json",
            "X-CSRFToken": self.cookie_named("csrf"),
        }
        body = json.dumps(changes).encode()
        request = urllib.request.Request(url, body, headers, method="PATCH")  # noqa: S310
        with self._opener.open(request, timeout=30) as answer:
            return str(answer.read().decode())

    @property
    def cookies(self) -> dict[str, str]:
        """By name; cookies know no ports, so they are good for every server."""
        return {cookie.name: cookie.value or "" for cookie in self._jar}

    def cookie_named(self, kind: str) -> str:
        """The value of the site's `session`, `guest` or `csrf` cookie."""
        return next(v for name, v in self.cookies.items() if name.endswith(f"-{kind}"))

    @property
    def cookie(self) -> str:
        """The Cookie header."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def watch(self, site_urls: list[str], session_id: UUID | None = None) -> Viewer:
        """A viewer of a session, through any of these servers."""
        return Viewer(site_urls, session_id or uuid4(), self.cookie)


class Viewer:
    """Watches one session in log mode, through whatever happens to its socket."""

    def __init__(self, site_urls: list[str], session_id: UUID, cookie: str) -> None:
        self.site_urls = site_urls
        self.session_id = session_id
        self._cookie = cookie
        self.runs: dict[int, RunState] = {}
        self.outbox: dict[str, str] = {}  # client_id → message not yet accepted
        self.accepted: dict[str, int] = {}  # client_id → run
        self.errors: list[dict[str, Any]] = []
        self.session: dict[str, Any] = {}
        self.closes: list[int] = []
        self.notices: list[str] = []  # that were told once
        self.connections = 0
        self.reading = asyncio.Event()  # cleared: the socket is not read
        self.reading.set()
        self._changed = asyncio.Condition()
        self._socket: websockets.ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._live())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    # ------------------------------------------------------------ what a person does

    def ask(self, message: str, client_id: str | None = None) -> str:
        """Put a message into the outbox; it is sent until it is accepted."""
        client_id = client_id or uuid4().hex
        self.outbox[client_id] = message
        if self._socket is not None:
            task = asyncio.create_task(self._send_outbox(self._socket))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return client_id

    async def send(self, type_: str, **payload: Any) -> None:
        """Send a command now; the viewer must be connected."""
        await self.until(lambda: self._socket is not None, 15)
        assert self._socket is not None
        await self._socket.send(json.dumps({"type": type_, "payload": payload}))

    def drop(self) -> None:
        """Lose the connection without a word."""
        if self._socket is not None:
            self._socket.transport.abort()

    # ------------------------------------------------------------ what they see

    async def until(
        self, holds: Callable[[], Any], seconds: float, what: str = ""
    ) -> None:
        """Return as soon as `holds()`; fails after so many seconds."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            state = {n: (r.status, r.seq, r.reason) for n, r in self.runs.items()}
            message = f"not within {seconds:g} s: {what}; {state}, {self.errors}"
            raise AssertionError(message) from None

    def reason(self, number: int) -> str | None:
        """Why the run ended, or None where it has not."""
        run = self.runs.get(number)
        return None if run is None or run.status != "finished" else str(run.reason)

    def text(self, number: int, type_: str = "final_answer") -> str:
        """What the steps of one type say so far."""
        run = self.runs.get(number)
        steps: Iterator[StepState] = iter(run.steps.values() if run else ())
        return "".join(step.content for step in steps if step.type == type_)

    def transcript(self) -> dict[int, str]:
        """Everything that is shown, as JSON text by run."""
        return {n: encode(view(run)).decode() for n, run in sorted(self.runs.items())}

    # ------------------------------------------------------------ the connection

    async def _live(self) -> None:
        tries = 0
        while True:
            url = random.choice(self.site_urls)
            try:
                await self._connected(url)
                tries = 0
            except websockets.ConnectionClosed as closed:
                self.closes.append(closed.rcvd.code if closed.rcvd else 1006)
                tries = 0
            except (OSError, TimeoutError, websockets.InvalidHandshake):
                tries += 1
            finally:
                self._socket = None
            await asyncio.sleep(random.random() * min(2.0, 0.1 * 2**tries))

    async def _connected(self, url: str) -> None:
        address = f"ws://{urlsplit(url).netloc}/ws/chat/{self.session_id}"
        async with websockets.connect(
            address,
            additional_headers={"Cookie": self._cookie},
            max_size=None,
            open_timeout=CONNECT_SECONDS,
            ping_interval=5,
            ping_timeout=10,
            compression=None,
        ) as socket:
            self.connections += 1
            seen = {str(n): (run.epoch, run.seq) for n, run in self.runs.items()}
            payload = {"protocol": 2, "seen": seen}
            await socket.send(json.dumps({"type": "subscribe", "payload": payload}))
            await self._send_outbox(socket)
            self._socket = socket
            async with self._changed:
                self._changed.notify_all()
            while True:
                await self.reading.wait()
                self._hear(json.loads(await socket.recv()))
                async with self._changed:
                    self._changed.notify_all()

    async def _send_outbox(self, socket: websockets.ClientConnection) -> None:
        for client_id, message in list(self.outbox.items()):
            payload = {"message": message, "client_id": client_id}
            await socket.send(json.dumps({"type": "chat", "payload": payload}))

    def _hear(self, message: dict[str, Any]) -> None:
        data = message["data"]
        match message["type"]:
            case "session":
                self.session |= data
            case "snapshot" | "history":
                self.session = data.get("session", self.session)
                for run in data["runs"]:
                    self.runs[run["run"]] = from_view(convert(run, RunView))
            case "events":
                self._fold(data["run"], data["events"])
            case "accepted":
                self.outbox.pop(data["client_id"], None)
                self.accepted[data["client_id"]] = data["run"]
            case "notice":
                self.notices.append(data["text"])
            case "error":
                self.errors.append(data)
            case _:
                pass

    def _fold(self, number: int, events: list[dict[str, Any]]) -> None:
        run = self.runs.setdefault(number, RunState(number))
        for event in decode_events(encode(events)):
            try:
                apply(run, event)
            except GapError:
                self.drop()  # and subscribe again with what there is
                return


def from_view(shown: RunView) -> RunState:
    run = RunState(
        shown.run,
        shown.status,
        shown.seq,
        shown.epoch,
        shown.prompt,
        shown.agent_name,
        shown.enable_reasoning,
        shown.timestamp,
        shown.client_id,
        reason=shown.reason,
        duration_ms=shown.duration_ms,
        usage=shown.usage,
        error=shown.error,
    )
    for step in shown.steps:
        run.steps[step.step] = StepState(
            step.step,
            step.type,
            step.iteration,
            step.timestamp,
            step.tool_name,
            step.call_id,
            step.agent,
            step.parent,
            step.status,
            step.duration_ms,
            step.tool_input,
            step.digest,
            step.progress,
            [step.content],
        )
    return run
