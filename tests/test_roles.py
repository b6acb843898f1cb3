"""Processes that serve pages, and processes that run agents."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.client import Person
from tests.conftest import StartSite
from tests.model_server.process import ModelServer
from tests.promises import both_show_the_log
from tests.servers import ROOT, Databases, Site, Valkey, wait_until


@pytest.fixture
def settings(
    databases: Databases, valkey: Valkey, tmp_path: Any
) -> Iterator[dict[str, Any]]:
    """Of a site on PostgreSQL whose beat would be noticed."""
    with ModelServer() as model:
        yield {
            "DATABASE_URL": databases.new("postgresql"),
            "REDIS_URL": valkey.url,
            "LLM_BASE_URL": model.base_url,
            "LLM_MODEL": "hello",
            "HEARTBEAT_SECONDS": 3,
            "DATA_DIR": tmp_path,
        }


@contextmanager
def worker(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py work` beside the site, once it has its row."""
    log = (site.folder / "worker.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "work"],
        cwd=ROOT,
        env=site.environment() | {"ROLE": "both"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        count = "SELECT count(*) FROM chat_process WHERE role = 'worker'"
        wait_until(lambda: site.rows(count) == [(1,)], "the worker is there", 40)
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


async def test_a_worker_answers_what_a_web_process_is_asked(
    start_site: StartSite, settings: dict[str, Any]
) -> None:
    web = start_site(ROLE="web", **settings)
    person = Person(web.url)
    async with person.watch([web.url]) as here:
        here.ask("[stream tokens=5 rate=100]")
        await here.until(lambda: here.session.get("notice"), 20, "told of no worker")
        assert here.session["notice"]["text"] == "Waiting for a worker"
        async with person.watch([web.url], here.session_id) as later:
            await later.until(
                lambda: later.session.get("notice"), 20, "so is who comes"
            )
        with worker(web) as process:
            await here.until(lambda: not here.session["notice"], 20, "it is over")
            await here.until(lambda: here.reason(1), 20, "answered all the same")
            here.ask("[stream tokens=50 rate=100]")
            await here.until(lambda: here.reason(2), 20, "answered")
            assert here.reason(2) == "answered"
            rows = web.rows(
                "SELECT started_at - created_at < interval '1 second' FROM chat_run"
                " WHERE number = 2"
            )
            assert rows == [(True,)]  # the beat was not waited for
            await both_show_the_log(web, here)
            slots = dict(web.rows("SELECT role, slots FROM chat_process"))
            assert slots == {"web": 0, "worker": 64}
            here.ask("[stream tokens=20 rate=20]")
            await here.until(lambda: here.text(3), 20, "another is written")
            process.send_signal(signal.SIGTERM)
            # It is handed over; a web process does not take it.
            process.wait(30)
        assert process.returncode == 0
        assert "Traceback" not in (web.folder / "worker.log").read_text()
        with worker(web):
            await here.until(lambda: here.reason(3), 60, "gone on with elsewhere")
            assert here.reason(3) == "answered"


def test_web_without_a_worker_is_told_by_check_deploy(
    start_site: StartSite, settings: dict[str, Any]
) -> None:
    web = start_site(ROLE="web", **settings)
    told = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=ROOT,
        env=web.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "chat.W007" in told
    assert "manage.py work" in told
