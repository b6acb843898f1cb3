"""What machines ask a process: /livez, /readyz, /metrics.

Before Django, since probes come by address and not by a name in ALLOWED_HOSTS, and by
http also where people are sent to https.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from django.db import DatabaseError, InterfaceError, connection
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from chat import runtime, store
from chat.store import Load
from chat.store.database import urgent
from reasoning_site.setup_needed import migrations_are_missing

PATIENCE: Final = 2.0  # seconds for the database's answer
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class Answer(NamedTuple):
    """Of one probe."""

    status: int
    content_type: str
    body: bytes


class Probes:
    """An ASGI application that answers probes, and hands on everything else."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(
        self, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Answer GET and HEAD of the three paths."""
        # A server that is told of a path in front of all others (--root-path) adds it.
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        probe = _PROBES.get(path)
        if probe is None or scope["method"] not in {"GET", "HEAD"}:
            await self._application(scope, receive, send)
            return
        status, content_type, body = await probe()
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body})


async def _livez() -> Answer:
    """Whether the event loop answers: it has."""
    return Answer(200, TEXT, b"ok\n")


async def _readyz() -> Answer:
    """Whether a proxy should send people here, and why not.

    The channel layer is told of, but needs not be there: without it everything goes
    on, some seconds late.
    """
    running = runtime.current()
    database = await _database_state()
    found = {
        "database": database,
        "layer": running.hub.state,
        "draining": running.draining,
    }
    is_ready = database == "ok" and not running.draining
    body = msgspec.json.encode({"ready": is_ready, **found}) + b"\n"
    return Answer(200 if is_ready else 503, "application/json", body)


@cache
def _schema() -> dict[str, bool]:
    """Whether the schema was found to be whole: what was, stays so."""
    return {"is_whole": False}


def _look_at_database() -> bool:
    """Ask the database something. Returns False where migrations are missing."""
    schema = _schema()
    if schema["is_whole"]:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    else:
        schema["is_whole"] = not migrations_are_missing()
    return schema["is_whole"]


async def _database_state() -> str:
    """`ok`, `away`, or `migrations are missing`."""
    try:
        async with asyncio.timeout(PATIENCE):
            is_whole = await urgent(_look_at_database)
    except (TimeoutError, DatabaseError, InterfaceError):
        return "away"
    return "ok" if is_whole else "migrations are missing"


async def _metrics() -> Answer:
    """What this process has counted, or all that share its port; and the queue."""
    registry = REGISTRY
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        _forget_dead_processes(Path(folder))
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    body = generate_latest(registry)
    try:
        async with asyncio.timeout(PATIENCE):
            load = await urgent(store.load)
    except (TimeoutError, DatabaseError, InterfaceError):
        return Answer(200, TEXT, body)  # what was counted is told all the same
    queue = CollectorRegistry()
    queue.register(_Queue(load))
    return Answer(200, TEXT, body + generate_latest(queue))


class _Queue:
    """What the database says of all processes, as metrics."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def collect(self) -> Iterable[Metric]:
        """The same from every process: take one, or the greatest."""
        load = self._load
        runs = GaugeMetricFamily(
            "site_runs", "Runs under way, on all machines.", labels=["status", "agent"]
        )
        for status, agent, count in load.runs:
            runs.add_metric([status, agent], count)
        yield runs
        for name, text, value in (
            ("startable_runs", "Queued runs whose turn has come.", load.startable),
            ("oldest_wait_seconds", "How long the next run has waited.", load.wait),
            ("slots", "Runs that all processes can drive at once.", load.slots),
            ("processes", "Processes that drive runs.", load.processes),
        ):
            yield GaugeMetricFamily(f"site_{name}", text, value=value)


def _forget_dead_processes(folder: Path) -> None:
    """Gauges of a worker that was restarted must not be added to its successor's."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if not Path("/proc", pid).exists() and Path("/proc").exists():
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


_PROBES: Final[dict[str, Callable[[], Awaitable[Answer]]]] = {
    "/livez": _livez,
    "/readyz": _readyz,
    "/metrics": _metrics,
}
