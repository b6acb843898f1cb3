"""Any server that speaks AG-UI, the Agent User Interaction Protocol, over SSE.

from reasoning_site.adapters.ag_ui import ag_ui

agents = [ag_ui("http://localhost:9000/agent", name="tutor")]
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

from reasoning_site.adapters import AgentFunction, History, shown_as
from reasoning_site.adapters.ag_ui_events import AgentServerError, Listener
from reasoning_site.agents import Said

CONNECT_TIMEOUT: Final = 10.0  # seconds
OK: Final = 200
MAX_WORDS: Final = 300  # bytes of what a refusal says


def ag_ui(
    url: str,
    *,
    name: str = "",
    description: str = "",
    headers: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> AgentFunction:
    """The agent at that address, as the site runs agents.

    `headers` go with each request; `timeout` is of the time between two events, in
    seconds. Each run is a thread of its own, which begins with the chat so far.
    """
    host = urlsplit(url).netloc.rpartition("@")[2]
    limits = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT, sock_read=timeout)
    accepting = {"Accept": "text/event-stream", **(headers or {})}

    async def run(prompt: str, history: History) -> AsyncGenerator[Said]:
        listener = Listener()
        async with (
            aiohttp.ClientSession(timeout=limits, headers=accepting) as session,
            # A redirect would lose the method, or take the headers elsewhere.
            session.post(
                url, json=_input(prompt, history), allow_redirects=False
            ) as answer,
        ):
            await _check(answer, host)
            async for event in _events(answer.content.iter_any()):
                for said in listener.said(event):
                    yield said
                if listener.is_over:
                    return
        raise AgentServerError(f"{host} ended its stream before the run was finished.")

    return shown_as(name or host, description or f"An agent at {host}", run)


def _input(prompt: str, history: History) -> dict[str, Any]:
    said = [*history, {"role": "user", "content": prompt}]
    return {
        "threadId": str(uuid4()),
        "runId": str(uuid4()),
        "messages": [{"id": str(uuid4()), **message} for message in said],
        "state": {},
        "tools": [],
        "context": [],
        "forwardedProps": {},
    }


async def _check(answer: aiohttp.ClientResponse, host: str) -> None:
    if answer.status == OK:
        return
    where = answer.headers.get("Location", "")
    words = (await answer.content.read(MAX_WORDS)).decode(errors="replace")
    said = f"a redirect to {where}: name that address" if where else words.strip()
    raise AgentServerError(f"{host} answered {answer.status}: {said or 'nothing more'}")


async def _events(chunks: AsyncIterable[bytes]) -> AsyncGenerator[dict[str, Any]]:
    """The events of a stream, as they come."""
    data: list[str] = []
    async for line in _lines(chunks):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield _event("\n".join(data))
            data = []


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[str]:
    parts: list[bytes] = []  # of the line under way
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for end in whole:
            yield b"".join((*parts, end)).decode(errors="replace").removesuffix("\r")
            parts = []
        parts.append(rest)


def _event(text: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise AgentServerError(f"What came is no event of AG-UI: {text:.80}")
    return event
