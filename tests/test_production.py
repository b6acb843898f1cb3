"""Several server processes, PostgreSQL, Valkey, and a model: broken while they run."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.client import Person
from tests.conftest import StartSite
from tests.model_server.process import ModelServer, eventually
from tests.promises import both_show_the_log
from tests.servers import Databases, Postgres, Site, Valkey

QUICK = {"HEARTBEAT_SECONDS": 1, "TAKEOVER_SECONDS": 3, "POSITION_CHECK_SECONDS": 1}


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """The scripted model server."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def start_two(
    start_site: StartSite, databases: Databases, valkey: Valkey, model: ModelServer
) -> Any:
    """Two uvicorn processes on one PostgreSQL and one Valkey."""

    def start(**settings: object) -> tuple[Site, Site]:
        shared: dict[str, Any] = {
            "DATABASE_URL": databases.new("postgresql"),
            "REDIS_URL": valkey.url,
            "LLM_BASE_URL": model.base_url,
            "LLM_MODEL": "hello",
            **QUICK,
            **settings,
        }
        with ThreadPoolExecutor() as at_once:
            starting = [at_once.submit(start_site, "uvicorn", **shared) for _ in "ab"]
        return starting[0].result(), starting[1].result()

    return start


async def test_another_server_continues_a_run_whose_server_was_killed(
    start_two: Any,
) -> None:
    first, second = start_two()
    person = Person(first.url)
    async with (
        person.watch([first.url]) as here,
        person.watch([second.url], here.session_id) as there,
    ):
        here.ask("[stream thought=20 tokens=300 rate=100]")
        await there.until(lambda: len(there.text(1)) > 100, 20, "half an answer")
        first.kill()
        here.site_urls = [second.url]
        await there.until(lambda: there.runs[1].epoch == 2, 15, "taken over")
        await there.until(lambda: there.reason(1), 20, "finished")
        await here.until(lambda: here.reason(1), 20, "finished")
        assert there.reason(1) == "answered"
        assert there.text(1).count("t0 ") <= 1
        await both_show_the_log(second, here, there)


async def test_stop_on_another_server_ends_the_run_and_the_models_connection(
    start_two: Any, model: ModelServer
) -> None:
    first, second = start_two()
    person = Person(first.url)
    model.reset()
    async with (
        person.watch([first.url]) as here,
        person.watch([second.url], here.session_id) as there,
    ):
        here.ask("[stream tokens=3000 rate=50]")
        await there.until(lambda: len(there.text(1)) > 40, 20, "some text")
        seen, text = there.runs[1].seq, there.text(1)
        await there.send("interrupt", run=1, seen=seen)
        await here.until(lambda: here.reason(1) == "stopped", 5, "stopped here")
        await there.until(lambda: there.reason(1) == "stopped", 5, "stopped there")
        assert here.text(1) == there.text(1) == text
        await eventually(lambda: model.requests()[-1]["closed_by_client_at"], within=5)
        await both_show_the_log(second, here, there)


async def test_what_outlasts_the_draining_is_begun_anew_elsewhere_at_once(
    start_two: Any,
) -> None:
    first, second = start_two(DRAIN_SECONDS=1)
    person = Person(first.url)
    async with person.watch([first.url]) as here:
        here.ask("[stream tokens=300 rate=50]")
        await here.until(lambda: len(here.text(1)) > 40, 20, "some text")
        here.site_urls = [second.url]
        first.terminate(10)
        await here.until(lambda: here.reason(1), 20, "finished")
        assert here.closes[0] == 1012
        assert here.reason(1) == "answered"
        assert here.runs[1].epoch == 2
        assert second.rows("SELECT takeovers FROM chat_run WHERE epoch = 2")[0] == (0,)
        await both_show_the_log(second, here)


async def test_a_call_that_may_have_been_made_is_not_made_again(
    start_two: Any, tmp_path: Path, model: ModelServer
) -> None:
    ledger = tmp_path / "ledger"
    os.environ["LEDGER_FILE"] = str(ledger)
    first, second = start_two(EXTRA_TOOLS="tests.agents.ledger.SlowLedger")
    person = Person(first.url)
    async with person.watch([first.url]) as here:
        here.ask("[scenario ledger]")
        await here.until(
            lambda: 1 in here.runs and len(here.runs[1].steps) > 1, 20, "the call"
        )
        await eventually(ledger.exists, within=10)
        here.site_urls = [second.url]
        first.kill()
        await here.until(lambda: here.reason(1), 20, "finished")
        assert here.reason(1) == "server_lost"
        assert ledger.read_text().splitlines() == ["one"]
        await here.send("retry", run=1)
        await here.until(lambda: here.reason(2), 20, "continued")
        await both_show_the_log(second, here)


async def test_viewers_elsewhere_keep_up_without_redis_and_after_it(
    own_valkey: Valkey, start_two: Any
) -> None:
    first, second = start_two(REDIS_URL=own_valkey.url)
    person = Person(first.url)
    async with (
        person.watch([first.url]) as here,
        person.watch([second.url], here.session_id) as there,
    ):
        here.ask("[stream tokens=600 rate=50]")
        await there.until(lambda: len(there.text(1)) > 40, 20, "some text")
        own_valkey.kill()
        length = len(there.text(1))
        await there.until(lambda: len(there.text(1)) > length + 40, 10, "by polling")
        own_valkey.start()
        length = len(there.text(1))
        await there.until(lambda: len(there.text(1)) > length + 40, 10, "again")
        with own_valkey.paused():
            length = len(there.text(1))
            await there.until(lambda: len(there.text(1)) > length + 40, 10, "hung")
        await there.until(lambda: there.reason(1), 20, "finished")
        await here.until(lambda: here.reason(1), 20, "finished")
        assert here.errors == there.errors == []
        await both_show_the_log(second, here, there)


async def test_an_outage_of_the_database_pauses_the_stream_and_loses_nothing(
    own_postgres: Postgres, start_two: Any, tmp_path: Path
) -> None:
    url = Databases(tmp_path, lambda: own_postgres).new("postgresql")
    first, _ = start_two(DATABASE_URL=url)
    person = Person(first.url)
    async with person.watch([first.url]) as here:
        here.ask("[stream tokens=400 rate=50]")
        await here.until(lambda: len(here.text(1)) > 40, 20, "some text")
        own_postgres.kill()
        own_postgres.start()
        await here.until(lambda: here.reason(1), 30, "finished")
        assert here.reason(1) == "answered"
        await both_show_the_log(first, here)


async def test_messages_wait_in_order_and_can_be_withdrawn(start_two: Any) -> None:
    first, second = start_two(MAX_QUEUED_RUNS=3)
    person = Person(first.url)
    async with person.watch([first.url, second.url]) as here:
        here.ask("[stream tokens=100 rate=50]", "a")
        await here.until(lambda: here.text(1), 20, "started")
        for name in ("b", "c", "d"):
            here.ask(f"hello {name}", name)
            await here.until(partial(here.accepted.__contains__, name), 10, name)
        here.ask("hello e", "e")
        await here.until(lambda: here.errors, 10, "queue full")
        assert here.errors[0]["code"] == "queue_full"
        assert here.errors[0]["client_id"] == "e"
        here.outbox.clear()
        await here.send("interrupt", run=3)
        await here.until(lambda: here.reason(4), 30, "all done")
        reasons = [here.reason(number) for number in (1, 2, 3, 4)]
        assert reasons == ["answered", "answered", "withdrawn", "answered"]
        assert [here.runs[n].prompt for n in (2, 3, 4)] == [
            "hello b",
            "hello c",
            "hello d",
        ]
        await both_show_the_log(first, here)


@pytest.mark.parametrize("server", ["runserver", "uvicorn"])
async def test_a_restarted_embedded_site_goes_on_by_itself(
    start_site: StartSite, model: ModelServer, server: str
) -> None:
    site = start_site(server, LLM_BASE_URL=model.base_url, LLM_MODEL="hello", **QUICK)
    person = Person(site.url)
    async with person.watch([site.url]) as here:
        here.ask("[stream tokens=200 rate=50]")
        await here.until(lambda: len(here.text(1)) > 40, 20, "some text")
        site.kill()
        site.start()
        await here.until(lambda: here.reason(1), 30, "finished")
        assert here.reason(1) == "answered"
        assert here.runs[1].epoch == 2
        await both_show_the_log(site, here)


async def test_after_a_restored_backup_everybody_is_shown_what_is_left(
    start_site: StartSite, model: ModelServer
) -> None:
    site = start_site(
        "uvicorn", LLM_BASE_URL=model.base_url, LLM_MODEL="hello", **QUICK
    )
    person = Person(site.url)
    async with person.watch([site.url]) as here:
        here.ask("[stream tokens=200 rate=50]")
        await here.until(lambda: len(here.text(1)) > 20, 20, "some text")
        site.kill()
        file = site.settings["DATABASE_URL"].removeprefix("sqlite:///")
        with closing(sqlite3.connect(file)) as backup, backup:
            # As it was when the answer began.
            backup.execute("DELETE FROM chat_event WHERE seq > 4")
            backup.execute("UPDATE chat_run SET last_seq = 4")
        site.start()
        await here.until(lambda: here.reason(1), 30, "finished")
        assert here.reason(1) == "answered"
        await both_show_the_log(site, here)


async def test_a_viewer_that_does_not_read_costs_little_memory_and_becomes_whole(
    start_two: Any,
) -> None:
    first, second = start_two(OUTBOX_BYTES=65536)
    person = Person(first.url)
    async with (
        person.watch([second.url]) as stalled,
        person.watch([first.url], stalled.session_id) as here,
    ):
        await stalled.until(lambda: stalled.connections, 10, "connected")
        stalled.reading.clear()
        here.ask("[stream tokens=20000 rate=20000]")
        await here.until(lambda: here.reason(1), 60, "finished")
        stalled.reading.set()
        await stalled.until(lambda: stalled.reason(1), 20, "whole")
        assert stalled.closes == []
        await both_show_the_log(first, here, stalled)


@pytest.mark.parametrize("what", ["session", "user"])
async def test_what_the_admin_deletes_ends_on_every_screen_at_once(
    start_two: Any, what: str
) -> None:
    first, second = start_two(POSITION_CHECK_SECONDS=60)
    begin = "from django.contrib.auth.models import User\n"
    users = "User.objects.create_superuser('eve', password='secret')\n"
    users += "print(User.objects.create_user('ada', password='secret').pk)"
    ada_id = first.manage("shell", "-v0", "-c", begin + users).strip()
    ada, eve = Person(first.url), Person(first.url)
    ada.submit(f"{first.url}/sign-in", username="ada", password="secret")
    eve.submit(f"{first.url}/sign-in", username="eve", password="secret")
    async with (
        ada.watch([first.url]) as here,
        ada.watch([second.url], here.session_id) as there,
    ):
        here.ask("[stream tokens=3000 rate=50]")
        await there.until(lambda: there.text(1), 20, "some text")
        paths = {
            "session": f"/admin/chat/session/{here.session_id}/delete/",
            "user": f"/admin/auth/user/{ada_id}/delete/",
        }
        await asyncio.to_thread(eve.submit, f"{first.url}{paths[what]}", post="yes")
        await eventually(lambda: {4404, 4401} & set(here.closes), within=5)
        await eventually(lambda: {4404, 4401} & set(there.closes), within=5)
    assert here.closes[0] == there.closes[0] == 4404
    assert first.rows("SELECT count(*) FROM chat_run") == [(0,)]
    for site in (first, second):
        assert "Traceback" not in site.log_text
