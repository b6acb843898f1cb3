"""The client, for asyncio."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from websockets import ConnectionClosed, InvalidHandshake
from websockets.asyncio.client import ClientConnection, connect

from reasoning_client.errors import ClientError, Refused, RunFailed
from reasoning_client.fold import GapError, RunState, Step

FIRST_DELAY: Final = 0.25  # seconds before coming back, at most; doubled each time
MAX_DELAY: Final = 20.0
# Close codes after which coming back would change nothing: docs/protocol.md.
FINAL: Final = {
    4400: "The site does not speak this client's protocol.",
    4401: "The site does not take the token, or wants one.",
    4403: "The site does not let this client in.",
    4404: "There is no such chat, or no longer.",
}


class AsyncClient:
    """A site, and who one is there."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        patience: float = 60.0,
    ) -> None:
        """`token`: an access token; without, one is a guest for as long as it lives.

        `patience`: seconds without a connection after which a run raises ClientError.
        """
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            message = f"an address such as https://chat.example is needed, not {url!r}"
            raise ValueError(message)
        scheme = "wss" if parts.scheme == "https" else "ws"
        self._address = f"{scheme}://{parts.netloc}{parts.path}/ws/chat/"
        self._headers = dict(headers or {})
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self.patience = patience

    def ask(
        self,
        message: str,
        *,
        agent: str | None = None,
        session: UUID | None = None,
    ) -> AsyncRun:
        """Ask, in a new chat or in `session`. It is sent when the run is iterated."""
        return AsyncRun(self, message, agent, session or uuid4())

    def connect(self, session: UUID) -> connect:
        """A socket to a chat."""
        return connect(
            f"{self._address}{session}",
            additional_headers=self._headers,
            max_size=None,
            compression=None,
        )


class AsyncRun:
    """What becomes of a question. Iterate over it, once: its steps as they finish."""

    def __init__(
        self, client: AsyncClient, message: str, agent: str | None, session: UUID
    ) -> None:
        self._client = client
        self._chat = {"message": message, "client_id": uuid4().hex}
        if agent is not None:
            self._chat["agent_name"] = agent
        self.session = session
        self.state = RunState(0)  # number 0: not taken yet
        self._others: dict[int, RunState] = {}  # until it is known which is ours
        self._socket: ClientConnection | None = None
        self._stops = False

    @property
    def number(self) -> int:
        """The run's number in its chat; 0 before it is taken."""
        return self.state.number

    async def __aiter__(self) -> AsyncIterator[Step]:
        """Each step once it is finished. Raises RunFailed, Refused, ClientError."""
        told: set[int] = set()
        async with aclosing(self.updates()) as updates:
            async for state in updates:
                for number, step in tuple(state.steps.items()):
                    if step.is_finished and number not in told:
                        told.add(number)
                        yield step

    async def updates(self) -> AsyncGenerator[RunState]:
        """The run's state, each time there is more of it. Raises as iterating."""
        loop = asyncio.get_running_loop()
        delay, last_heard = FIRST_DELAY, loop.time()
        while self.state.status != "finished":
            try:
                async for changed in self._follow():
                    delay, last_heard = FIRST_DELAY, loop.time()
                    if changed:
                        yield self.state
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                if code in FINAL:
                    raise ClientError(FINAL[code]) from closed
            except (OSError, InvalidHandshake, TimeoutError, GapError) as error:
                if loop.time() - last_heard > self._client.patience:
                    message = f"no connection to the site: {error}"
                    raise ClientError(message) from error
            if self.state.status != "finished":
                await asyncio.sleep(random.random() * delay)  # noqa: S311  (to spread clients out)
                delay = min(MAX_DELAY, delay * 2)
        self._judge()

    def _judge(self) -> None:
        if self.state.reason in {"failed", "server_lost"}:
            error = self.state.error or {}
            message = error.get("message", "The agent's server was lost.")
            raise RunFailed(error.get("code", "internal"), message)

    async def answer(self) -> str:
        """The text of the answer, once it is there. Raises as iterating."""
        async for _ in self.updates():
            pass
        return self.state.answer

    async def stop(self) -> None:
        """End the run, keeping what has been written."""
        self._stops = True
        if self._socket is not None and self.state.number:
            await self._send(self._socket, "interrupt", run=self.state.number)

    async def _follow(self) -> AsyncGenerator[bool]:
        """One connection: for each message, whether it has changed the run."""
        try:
            async with self._client.connect(self.session) as socket:
                await self._begin(socket)
                async for text in socket:
                    yield self._hear(json.loads(text))
                    if self.state.status == "finished":
                        return
        finally:
            self._socket = None

    async def _begin(self, socket: ClientConnection) -> None:
        state = self.state
        seen = {str(state.number): [state.epoch, state.seq]} if state.seq else {}
        await self._send(socket, "subscribe", protocol=2, seen=seen)
        if not state.number:
            await self._send(socket, "chat", **self._chat)
        elif self._stops:
            await self._send(socket, "interrupt", run=state.number)
        self._socket = socket

    @staticmethod
    async def _send(socket: ClientConnection, type_: str, **payload: Any) -> None:
        await socket.send(json.dumps({"type": type_, "payload": payload}))

    def _hear(self, message: dict[str, Any]) -> bool:
        """Take a message; whether something of the run has changed."""
        data = message["data"]
        match message["type"]:
            case "accepted" if data["client_id"] == self._chat["client_id"]:
                self.state = self._others.pop(data["run"], RunState(data["run"]))
                self._others.clear()
                return True
            case "snapshot":
                shown = [self._show(run) for run in data["runs"]]
                return any(shown)
            case "events":
                state = self._of(data["run"])
                changed = [state.apply(event) for event in data["events"]]
                return any(changed) and state is self.state
            case "error" if not self.state.number:
                if data["code"] == "internal" and data["retryable"]:
                    raise ConnectionError(data["message"])  # the database is away, say
                raise Refused(data["code"], data["message"], data.get("retry_after"))
            case _:
                return False

    def _of(self, number: int) -> RunState:
        if number == self.state.number:
            return self.state
        if self.state.number:
            return RunState(number, seq=2**53)  # of no interest: nothing is news
        return self._others.setdefault(number, RunState(number))

    def _show(self, run: dict[str, Any]) -> bool:
        if run.get("client_id") == self._chat["client_id"]:
            self.state.number = run["run"]
        if run["run"] != self.state.number:
            if not self.state.number:
                self._of(run["run"]).replace(run)
            return False
        self.state.replace(run)
        return True
