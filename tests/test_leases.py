"""Who drives a run: what ends with its process goes on, what lives keeps its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chat.work.leases import GRACE_SECONDS
from tests.client import Viewer
from tests.conftest import StartSite
from tests.fleet import Runs, database_faults, fleet
from tests.model_server.process import ModelServer
from tests.servers import ROOT, Databases, PgBouncer, Postgres, Site, Valkey

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
    faults = database_faults(own_postgres, SETTINGS["TAKEOVER_SECONDS"] + 2)
    async with fleet(sites, 9) as runs:
        # A process that starts at that instant knows the least, and must not judge.
        newcomer = asyncio.create_task(asyncio.to_thread(start))
        for fault in faults:
            await asyncio.to_thread(fault)
            await runs.go_on(10)
            await watch_for(runs, GRACE_SECONDS + 2)
            assert runs.epochs == [1] * 9, fault.__name__
        (await newcomer).stop()


async def watch_for(runs: Runs, seconds: float) -> None:
    """See all answers go on while whoever is mistaken would take them."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await runs.go_on(5)


def checked(site: Site) -> str:
    """What `check --deploy` says of the site's settings."""
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=ROOT,
        env=site.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stderr


async def test_behind_a_pooler_deaths_are_noticed_by_heartbeat_unless_past_it(
    postgres: Postgres, valkey: Valkey, start_site: StartSite, databases: Databases
) -> None:
    url = databases.new("postgresql")
    with ModelServer() as model, PgBouncer(postgres) as pooler:
        settings: dict[str, Any] = {
            "DATABASE_URL": pooler.url(urlsplit(url).path[1:]),
            "REDIS_URL": valkey.url,
            "LLM_BASE_URL": model.base_url,
            **SETTINGS,
        }
        behind = await asyncio.to_thread(start_site, **settings)
        past = await asyncio.to_thread(start_site, LEASE_DATABASE_URL=url, **settings)
        assert "chat.W006" in await asyncio.to_thread(checked, behind)
        assert "chat.W006" not in await asyncio.to_thread(checked, past)
        async with fleet([behind, past], 4) as runs:
            await runs.watch_on([behind])
            lost, expected = about_to_lose(runs, past)
            past.kill()
            await runs.begin_anew(lost, 0.8 * SETTINGS["TAKEOVER_SECONDS"])
            assert runs.epochs == expected
            await asyncio.to_thread(past.start)
            await runs.watch_on([past])
            lost, expected = about_to_lose(runs, behind)
            behind.kill()
            await runs.begin_anew(lost, 2 * SETTINGS["TAKEOVER_SECONDS"])
            assert runs.epochs == expected
