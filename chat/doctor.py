"""What can only be known by asking: the database, the layer, the agents, and the site
as people reach it. Each examination says what it found and, where that is bad, what
to do.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import redis.asyncio
from asgiref.sync import sync_to_async
from channels_redis.utils import create_pool
from django.conf import settings
from django.db import DatabaseError, connection
from msgspec import Struct

from chat import store
from chat.agents import registry
from reasoning_client import AsyncClient, ClientError
from reasoning_site.setup_needed import migrations_are_missing

MAX_SKEW: Final = 2.0  # seconds between this clock and the database's
MIN_FREE_BYTES: Final = 1024**3
PATIENCE: Final = 5.0  # seconds for what should be there at once
ANSWER_PATIENCE: Final = 180.0  # for a whole answer: a model may have to be loaded
PROMPT: Final = "What is 23 * 47?"
EXPECTED: Final = "1081"


class Finding(Struct, frozen=True):
    """What an examination found; `advice` where something is to be done."""

    what: str
    is_good: bool
    text: str
    advice: str = ""


async def examine(url: str | None, token: str | None) -> AsyncIterator[Finding]:
    """Everything, one after the other. `url`: of the site as people reach it."""
    for look in (_database, _clock, _disk, _layer, _workers, _agents):
        yield await _safely(look.__name__, look())
    if url is not None:
        for visit in (_page, _socket, _stream, _answer):
            yield await _safely(visit.__name__, visit(url, token))


async def _safely(name: str, look: Awaitable[Finding]) -> Finding:
    try:
        return await look
    except Exception as error:  # noqa: BLE001  (whatever it is, it is a finding)
        text = f"{type(error).__name__}: {error}"
        return Finding(name.strip("_"), is_good=False, text=text)


# ------------------------------------------------------------ this machine


@sync_to_async
def _database() -> Finding:
    what = "database"
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return Finding(
            what,
            is_good=False,
            text=str(error).strip(),
            advice="Is it running, and is DATABASE_URL right?",
        )
    if migrations_are_missing():
        advice = "Run `python manage.py migrate`."
        return Finding(
            what, is_good=False, text="migrations are missing", advice=advice
        )
    version = ".".join(map(str, connection.get_database_version()))
    return Finding(what, is_good=True, text=f"{connection.display_name} {version}")


@sync_to_async
def _clock() -> Finding:
    query = {
        "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
        "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    }[connection.vendor]
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute(query)
        (theirs,) = cursor.fetchone()
        ours = (before + time.time()) / 2
    skew = abs(float(theirs) - ours)
    return Finding(
        "clock",
        is_good=skew <= MAX_SKEW,
        text=f"{skew:.1f} s from the database's",
        advice=""
        if skew <= MAX_SKEW
        else "Set both by NTP: times on pages come of both.",
    )


async def _disk() -> Finding:
    folder = Path(settings.DATA_DIR)
    free = shutil.disk_usage(folder).free
    is_good = free >= MIN_FREE_BYTES
    return Finding(
        "disk",
        is_good=is_good,
        text=f"{free / 1024**3:.1f} GiB free at {folder}",
        advice="" if is_good else "Make room: a full disk stops every answer.",
    )


async def _layer() -> Finding:
    what = "channel layer"
    if not settings.REDIS_HOST:
        return Finding(what, is_good=True, text="none: one process")
    pool = create_pool(settings.REDIS_HOST)
    client = redis.asyncio.Redis(connection_pool=pool)
    channel = f"doctor-{uuid4()}"
    try:
        async with asyncio.timeout(PATIENCE), client.pubsub() as listener:
            await listener.subscribe(channel)
            started = time.perf_counter()
            await client.publish(channel, b"well?")
            while (said := await listener.get_message(timeout=1)) is None or (
                said["type"] != "message"
            ):
                pass
            ms = (time.perf_counter() - started) * 1000
    except (OSError, TimeoutError, redis.RedisError) as error:
        return Finding(
            what,
            is_good=False,
            text=f"{type(error).__name__}: {error}",
            advice="Is it running, and is REDIS_URL right? Without it, viewers at "
            "other processes see everything some seconds late.",
        )
    finally:
        await client.aclose()
        await pool.disconnect()
    return Finding(what, is_good=True, text=f"there and back in {ms:.1f} ms")


@sync_to_async
def _workers() -> Finding:
    load = store.load()
    waiting = f"{load.startable} waiting" if load.startable else "nothing waiting"
    text = f"{load.processes} running agents, {waiting}"
    is_good = bool(load.processes) or not load.startable
    advice = "" if is_good else "Start a server, or `python manage.py work`."
    return Finding("processes", is_good=is_good, text=text, advice=advice)


async def _agents() -> Finding:
    problems = list(await sync_to_async(registry.problems)())
    names = ", ".join(agent.name for agent in registry.describe())
    if problems:
        return Finding(
            "agents",
            is_good=False,
            text="; ".join(problems),
            advice="docs/agents.md says what AGENTS and the tools' settings take.",
        )
    return Finding("agents", is_good=True, text=names)


# ------------------------------------------------------------ as people reach it


async def _page(url: str, _token: str | None) -> Finding:
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, headers={"Accept": "text/html"}) as answer,
    ):
        body = await answer.text()
        policy = answer.headers.get("Content-Security-Policy", "")
    if answer.status != 200 or "default-src" not in policy:  # noqa: PLR2004
        text = f"{url} says {answer.status}"
        if "<title>" in body:
            text += f", {body.partition('<title>')[2].partition('<')[0].strip()[:80]!r}"
        advice = "Does the proxy lead here, and is the name among ALLOWED_HOSTS?"
        return Finding("page", is_good=False, text=text, advice=advice)
    scheme = urlsplit(str(answer.url)).scheme
    if scheme == "https" and not settings.HTTPS:
        advice = "Set HTTPS=1, so that cookies are never sent in the open."
        return Finding("page", is_good=False, text="over TLS", advice=advice)
    return Finding("page", is_good=True, text=f"{answer.status} at {answer.url}")


async def _socket(url: str, token: str | None) -> Finding:
    what = "WebSocket"
    started = time.perf_counter()
    try:
        async with (
            asyncio.timeout(PATIENCE),
            AsyncClient(url, token).connect(uuid4()) as socket,
        ):
            await socket.recv()
            await socket.send('{"type":"ping"}')
            await socket.recv()
    except Exception as error:  # noqa: BLE001  (whatever the way there does to it)
        return Finding(
            what,
            is_good=False,
            text=f"{type(error).__name__}: {error}",
            advice="The proxy must pass Upgrade and Connection on: deploy/nginx.conf.",
        )
    ms = (time.perf_counter() - started) * 1000
    return Finding(what, is_good=True, text=f"opened and answered in {ms:.0f} ms")


async def _stream(url: str, token: str | None) -> Finding:
    """Whether a proxy holds back what it should pass on at once."""
    address = f"{url.rstrip('/')}/api/sessions/{uuid4()}/events"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    started = time.perf_counter()
    try:
        async with (
            asyncio.timeout(PATIENCE),
            aiohttp.ClientSession() as session,
            session.get(address, headers=headers) as answer,
        ):
            answer.raise_for_status()
            await answer.content.readline()
    except TimeoutError:
        advice = (
            "The proxy must not buffer: proxy_buffering off, as in deploy/nginx.conf."
        )
        return Finding("stream", is_good=False, text="held back", advice=advice)
    ms = (time.perf_counter() - started) * 1000
    return Finding("stream", is_good=True, text=f"its first line after {ms:.0f} ms")


async def _answer(url: str, token: str | None) -> Finding:
    run = AsyncClient(url, token, patience=PATIENCE).ask(PROMPT)
    started = time.perf_counter()
    first = 0.0
    try:
        async with asyncio.timeout(ANSWER_PATIENCE):
            async for state in run.updates():
                if state.steps and not first:
                    first = time.perf_counter() - started
    except TimeoutError:
        advice = "Is the model server overloaded, or is no process running agents?"
        return Finding("answer", is_good=False, text="none came", advice=advice)
    except ClientError as error:
        return Finding("answer", is_good=False, text=str(error))
    seconds = time.perf_counter() - started
    text = f"{run.state.reason} after {seconds:.1f} s, first words after {first:.1f} s"
    called = any(step.type == "tool_use" for step in run.state.steps.values())
    is_right = EXPECTED in run.state.answer.replace(",", "").replace(" ", "")
    if not is_right:
        text += f": {PROMPT} got {run.state.answer[:80]!r}"
    return Finding(
        "answer",
        is_good=is_right,
        text=f"{text}, {'with' if called else 'without'} a tool",
        advice="" if is_right else "Can the model call tools? docs/models.md.",
    )
