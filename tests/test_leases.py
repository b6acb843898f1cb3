"""Who drives a run: what ends with its process goes on, what lives keeps its own."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.client import Viewer
from tests.conftest import StartSite
from tests.fleet import Runs, fleet
from tests.model_server.process import ModelServer
from tests.servers import Databases, Postgres, Site, Valkey

SETTINGS: dict[str, Any] = {
    "HEARTBEAT_SECONDS": 1,
    "TAKEOVER_SECONDS": 6,
    "POSITION_CHECK_SECONDS": 1,
    "MAX_RUNS_PER_USER": 100,
    "LLM_MODEL": "hello",
}


@pytest.fixture
def start(
    own_postgres: Postgres, valkey: Valkey, start_site: StartSite, tmp_path: Path
) -> Iterator[Callable[[], Site]]:
    """Start another process on one PostgreSQL."""
    url = Databases(tmp_path, lambda: own_postgres).new("postgresql")
    with ModelServer() as model:
        yield lambda: start_site(
            DATABASE_URL=url,
            REDIS_URL=valkey.url,
            LLM_BASE_URL=model.base_url,
            **SETTINGS,
        )


@pytest.fixture
def sites(start: Callable[[], Site]) -> list[Site]:
    """Three processes."""
    with ThreadPoolExecutor() as at_once:
        starting = [at_once.submit(start) for _ in range(3)]
    return [future.result() for future in starting]


async def test_what_a_dead_process_drove_goes_on_and_nothing_else_is_touched(
    sites: list[Site],
) -> None:
    # Well before a heartbeat could be overdue. bench/takeovers.py says how long it
    # takes where nothing else keeps the machine busy.
    soon = 0.8 * SETTINGS["TAKEOVER_SECONDS"]
    killed, hung, well = sites
    async with fleet(sites, 9) as runs:
        await runs.watch_on([well])
        lost, expected = about_to_lose(runs, killed)
        killed.kill()
        await runs.begin_anew(lost, soon)
        await runs.go_on(soon)
        assert runs.epochs == expected
        lost, expected = about_to_lose(runs, hung)
        with hung.paused():
            await runs.begin_anew(lost, 2 * SETTINGS["TAKEOVER_SECONDS"])
        await runs.go_on(soon)  # who comes back takes nothing
        assert runs.epochs == expected


def about_to_lose(runs: Runs, site: Site) -> tuple[list[Viewer], list[int]]:
    """Whose answers this process drives, and which epochs follow when it is gone."""
    lost = runs.of(site)
    assert lost
    return lost, [v.runs[1].epoch + (v in lost) for v in runs.viewers]


@pytest.mark.timeout(200)
async def test_no_trouble_of_the_database_takes_runs_from_processes_that_live(
    sites: list[Site], start: Callable[[], Site], own_postgres: Postgres
) -> None:
    def execute(statement: str) -> None:
        with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def restart() -> None:
        own_postgres.terminate()
        own_postgres.start()

    def kill_a_backend() -> None:
        with psycopg.connect(own_postgres.url()) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")

    def terminate_a_lock() -> None:
        execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND objsubid = 2 LIMIT 1"
        )

    def terminate_all() -> None:
        execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def hang() -> None:
        with own_postgres.paused():
            threading.Event().wait(SETTINGS["TAKEOVER_SECONDS"] + 2)

    async with fleet(sites, 9) as runs:
        for fault in (restart, kill_a_backend, terminate_a_lock, terminate_all, hang):
            newcomer = asyncio.create_task(asyncio.to_thread(start))
            await asyncio.to_thread(fault)
            await runs.go_on(10)
            await (asyncio.sleep(0) if newcomer.done() else newcomer)
            newcomer.result().stop()
            await calm(runs)
            assert runs.epochs == [1] * 9, fault.__name__


async def calm(runs: Runs) -> None:
    """Return when whoever might think somebody dead has had the time to."""
    end = asyncio.get_running_loop().time() + 5
    while asyncio.get_running_loop().time() < end:
        await runs.go_on(5)
