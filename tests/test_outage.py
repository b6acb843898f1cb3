"""A database that is away for longer than the site has patience; and Redis too."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.client import Person
from tests.conftest import StartSite
from tests.model_server.process import ModelServer, eventually
from tests.promises import both_show_the_log
from tests.servers import Databases, Postgres, Site, Valkey


async def test_a_long_outage_of_the_database_ends_the_run_and_says_why(
    own_postgres: Postgres,
    own_valkey: Valkey,
    start_site: StartSite,
    tmp_path: Path,
) -> None:
    url = Databases(tmp_path, lambda: own_postgres).new("postgresql")
    with ModelServer() as model:
        site = start_site(
            DATABASE_URL=url,
            REDIS_URL=own_valkey.url,
            LLM_BASE_URL=model.base_url,
            LLM_MODEL="hello",
            MAX_DATABASE_OUTAGE_SECONDS=2,
        )
        person = Person(site.url)
        async with person.watch([site.url]) as here:
            here.ask("[stream tokens=2000 rate=50]")
            await here.until(lambda: len(here.text(1)) > 40, 20, "some text")
            own_postgres.kill()
            own_valkey.kill()
            await asyncio.sleep(4)  # how long the outage lasts
            own_postgres.start()
            own_valkey.start()
            await here.until(lambda: here.reason(1), 30, "ended")
            assert here.reason(1) == "failed"
            assert "database was away" in here.text(1, "error")
            await both_show_the_log(site, here)
            await eventually(lambda: len(warnings(site)) == 4, within=20)
    told = sorted(line.partition(" after ")[0] for line in warnings(site))
    assert [line.partition(":")[0] for line in told] == [
        "the channel layer is away",
        "the channel layer is back",
        "the database is away",
        "the database is back",
    ]


def warnings(site: Site) -> list[str]:
    """What the site warned of, and its tracebacks."""
    found = re.findall(r" WARNING +\S+ (.*)|^( {4}.*)|ERROR", site.log_text, re.M)
    return ["".join(groups) for groups in found]
