"""Restarts that nobody sees: answers are finished, or handed on between steps."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.client import Person, Viewer
from tests.conftest import StartSite
from tests.fleet import longest_silence
from tests.model_server.process import ModelServer
from tests.promises import both_show_the_log
from tests.servers import Databases, Postgres, Site, Valkey

# A thought of a second and a call, twelve times, and then an answer.
THINK: list[dict[str, Any]] = [
    {"tokens": 20, "rate": 20, "to": "reasoning"},
    {"call": {"name": "calculator", "arguments": {"expression": "6 * 7"}}},
]
ROUNDS = {"rounds": [{"actions": THINK}] * 12 + [{"actions": [{"text": "So it is."}]}]}
SILENCE = 4.0  # seconds that a viewer may be told nothing, on a machine that is busy


@pytest.fixture
def start(
    own_postgres: Postgres, valkey: Valkey, start_site: StartSite, tmp_path: Path
) -> Iterator[Callable[..., Site]]:
    """Start another process on one PostgreSQL."""
    url = Databases(tmp_path, lambda: own_postgres).new("postgresql")
    with ModelServer() as model:
        model.add("rounds", ROUNDS)

        def start(**settings: object) -> Site:
            shared: dict[str, Any] = {
                "DATABASE_URL": url,
                "REDIS_URL": valkey.url,
                "LLM_BASE_URL": model.base_url,
                "LLM_MODEL": "hello",
                "MAX_RUNS_PER_USER": 100,
                **settings,
            }
            return start_site(**shared)

        yield start


def kinds_of(site: Site, viewer: Viewer) -> list[str]:
    """The kinds of the log's events; fails where a step was discarded."""
    rows = site.rows(
        "SELECT payload FROM chat_event JOIN chat_run ON chat_run.id = run_id"
        " WHERE session_id = ? ORDER BY seq",
        viewer.session_id,
    )
    events = [json.loads(payload) for (payload,) in rows]
    assert "discarded" not in {event.get("status") for event in events}
    return [event["kind"] for event in events]


async def test_a_rolling_restart_fails_no_answer_and_discards_no_step(
    start: Callable[..., Site],
) -> None:
    *old, new = [await asyncio.to_thread(start) for _ in range(3)]
    person = Person(old[0].url)
    async with AsyncExitStack() as stack:
        viewers: list[Viewer] = []
        for number in range(6):
            viewer = person.watch([old[number % 2].url])
            await stack.enter_async_context(viewer)
            long = "[stream thought=100 tokens=300 rate=50]"
            viewer.ask("[scenario rounds]" if number < 3 else long)
            viewers.append(viewer)
        for viewer in viewers:
            await viewer.until(lambda: viewer.text(1, "thought"), 20, "begun")  # noqa: B023
        for viewer in viewers:
            viewer.site_urls = [new.url]
        watching = asyncio.gather(*map(longest_silence, viewers))
        codes = [await asyncio.to_thread(site.terminate, 40) for site in old]
        assert max(await watching) < SILENCE
        assert [viewer.reason(1) for viewer in viewers] == ["answered"] * 6
        assert [viewer.closes for viewer in viewers] == [[1012]] * 6
        kinds = [await asyncio.to_thread(kinds_of, new, v) for v in viewers]
        assert any("run_released" in run for run in kinds)
        await both_show_the_log(new, *viewers)
        assert codes == [-signal.SIGTERM] * 2


async def test_a_second_ctrl_c_ends_at_once_and_the_answer_goes_on_elsewhere(
    start: Callable[..., Site],
) -> None:
    site, other = [await asyncio.to_thread(start) for _ in range(2)]
    person = Person(site.url)
    async with person.watch([site.url]) as viewer:
        viewer.ask("[stream tokens=3000 rate=50]")
        await viewer.until(lambda: viewer.text(1), 20, "begun")
        viewer.site_urls = [other.url]
        assert site.process is not None
        site.process.send_signal(signal.SIGINT)
        await viewer.until(lambda: viewer.connections == 2, 20, "sent elsewhere")
        with pytest.raises(subprocess.TimeoutExpired):
            site.process.wait(1)  # the answer is being finished
        assert viewer.runs[1].epoch == 1
        began = time.monotonic()
        site.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(site.process.wait, 10)
        assert time.monotonic() - began < 5
        await viewer.until(
            lambda: viewer.runs[1].epoch == 2 and viewer.text(1), 20, "goes on"
        )
        await viewer.send("interrupt", run=1)
        await viewer.until(lambda: viewer.reason(1), 20, "stopped")
    assert other.rows("SELECT takeovers FROM chat_run") == [(0,)]


async def test_a_process_ends_in_time_though_its_database_hangs(
    start: Callable[..., Site], own_postgres: Postgres
) -> None:
    site = await asyncio.to_thread(start, DRAIN_SECONDS=1)
    await asyncio.to_thread(start)  # another one, so that the first is patient
    person = Person(site.url)
    async with person.watch([site.url]) as viewer:
        viewer.ask("[stream tokens=3000 rate=50]")
        await viewer.until(lambda: viewer.text(1), 20, "begun")
        with own_postgres.paused():
            asking = asyncio.create_task(asyncio.to_thread(person.open, site.url))
            await viewer.until(lambda: viewer.closes or viewer.send, 1)
            code = await asyncio.to_thread(site.terminate, 1 + 15)
        await asyncio.gather(asking, return_exceptions=True)
    assert code in {-signal.SIGTERM, 1}
