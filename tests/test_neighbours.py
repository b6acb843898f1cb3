"""Two sites on one Redis leave each other alone: its pub/sub knows no databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.client import Person
from tests.conftest import StartSite
from tests.model_server.process import ModelServer, eventually
from tests.servers import Databases, Valkey


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """The scripted model server."""
    with ModelServer() as server:
        yield server


async def test_a_stop_elsewhere_never_ends_another_sites_run_of_the_same_id(
    start_site: StartSite, databases: Databases, valkey: Valkey, model: ModelServer
) -> None:
    # With the same key, as a copy of the site for trying things out may have.
    shared: dict[str, Any] = {
        "REDIS_URL": valkey.url,
        "LLM_BASE_URL": model.base_url,
        "LLM_MODEL": "hello",
    }
    ours = start_site(DATABASE_URL=databases.new("sqlite"), **shared)
    theirs = start_site(DATABASE_URL=databases.new("sqlite"), **shared)
    async with (
        Person(ours.url).watch([ours.url]) as here,
        Person(theirs.url).watch([theirs.url]) as there,
    ):
        here.ask("[stream tokens=150 rate=75]")
        there.ask("[stream tokens=3000 rate=75]")
        await here.until(lambda: here.text(1), 20, "our run writes")
        await there.until(lambda: there.text(1), 20, "theirs too")
        await there.send("interrupt", run=1)
        await there.until(lambda: there.reason(1) == "stopped", 10, "theirs stopped")
        await here.until(lambda: here.reason(1), 20, "ours ended")
        assert here.reason(1) == "answered"
        assert here.runs[1].epoch == 1  # nobody had to take it over


async def test_sites_with_keys_of_their_own_do_not_even_hear_each_other(
    start_site: StartSite, own_valkey: Valkey
) -> None:
    channels = redis.Redis(port=own_valkey.port).pubsub_channels
    start_site(REDIS_URL=own_valkey.url, SECRET_KEY="one" * 20)
    await eventually(channels, within=15)
    ours = set(channels())
    start_site(REDIS_URL=own_valkey.url, SECRET_KEY="two" * 20)
    await eventually(lambda: len(channels()) == 2 * len(ours), within=15)
    groups = {name for name in channels() if b"__group__" in name}
    assert len(groups) == 2 * len(groups & ours)
