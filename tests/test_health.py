"""What machines ask a server: whether it lives, is ready, and what it has counted."""

from __future__ import annotations

import http.client
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chat.health import Probes
from tests.client import Person
from tests.conftest import StartSite
from tests.model_server.process import ModelServer, eventually
from tests.servers import Databases, Postgres, Site, Valkey, wait_until


def ask(site: Site, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and body, asked by address as probes do."""
    with closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)) as c:
        c.request(method, path, headers={"Host": "10.1.2.3:80"} | headers)
        answer = c.getresponse()
        return answer.status, answer.read().decode()


def counted(site: Site) -> dict[str, float]:
    """The samples of /metrics; of those with labels, their sum as well."""
    status, text = ask(site, "/metrics")
    assert status == 200
    found: dict[str, float] = defaultdict(float)
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] += float(value)
            if "{" in name:
                found[name.partition("{")[0]] += float(value)
    return found


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """The scripted model server."""
    with ModelServer() as server:
        yield server


def test_probes_need_no_host_name_and_no_https(
    start_site: StartSite, own_postgres: Postgres, tmp_path: Path
) -> None:
    url = Databases(tmp_path, lambda: own_postgres).new("postgresql")
    site = start_site(DATABASE_URL=url, ALLOWED_HOSTS="chat.example", HTTPS=1)
    assert ask(site, "/livez") == (200, "ok\n")
    assert ask(site, "/livez", "HEAD") == (200, "")
    assert ask(site, "/livez", "POST")[0] != 200
    status, body = ask(site, "/readyz")
    assert status == 200
    assert json.loads(body) == {
        "ready": True,
        "database": "ok",
        "layer": "none",
        "draining": False,
    }
    own_postgres.kill()
    status, body = ask(site, "/readyz")
    assert status == 503
    assert json.loads(body)["database"] == "away"
    assert ask(site, "/livez")[0] == 200
    assert ask(site, "/metrics")[0] == 200
    own_postgres.start()
    wait_until(lambda: ask(site, "/readyz")[0] == 200, "ready again", 20)


def test_who_asks_for_a_host_that_is_not_ours_is_one_line(
    start_site: StartSite,
) -> None:
    site = start_site()
    before = len(site.log_text.splitlines())
    assert ask(site, "/", Host="evil.example")[0] == 400
    wait_until(lambda: "evil.example" in site.log_text, "the line", 5)
    lines = site.log_text.splitlines()[before:]
    told = [line for line in lines if "HTTP/1.1" not in line]  # the server's own
    assert len(told) == 1, told


def test_without_migrations_nobody_is_sent_here(
    start_site: StartSite, tmp_path: Path
) -> None:
    site = start_site(DATABASE_URL=f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    status, body = ask(site, "/readyz")
    assert status == 503
    assert json.loads(body)["database"] == "migrations are missing"


async def test_what_happens_is_counted(
    start_site: StartSite, model: ModelServer, valkey: Valkey
) -> None:
    site = start_site(
        LLM_BASE_URL=model.base_url, LLM_MODEL="hello", REDIS_URL=valkey.url
    )
    person = Person(site.url)
    async with person.watch([site.url]) as here:
        here.ask("[stream tokens=20 rate=200]")
        await here.until(lambda: here.reason(1), 20, "answered")
        here.ask("[stream tokens=5000 rate=100]")
        await here.until(lambda: here.text(2), 20, "another is being written")
        here.ask("Hi")
        await here.until(lambda: 3 in here.runs, 20, "a third waits")
        found = counted(site)
    ended = 'site_runs_ended_total{agent="researcher",reason="answered"}'
    assert found[ended] == 1
    assert found['site_runs{agent="researcher",status="running"}'] == 1
    assert found['site_runs{agent="researcher",status="queued"}'] == 1
    assert found["site_startable_runs"] == 0
    assert found["site_oldest_wait_seconds"] == 0  # its turn has not come
    assert found["site_slots"] == 64
    assert found["site_processes"] == 1
    assert found["site_first_text_seconds_count"] == 2
    assert found["site_tokens_total"] > 20
    assert found["site_log_reads_total"] > 0
    assert found["site_flush_events_sum"] > 10  # what comes together is one event
    assert found["site_delivery_seconds_count"] >= found["site_flush_seconds_count"] / 2
    # Nobody watches on another process, so nothing is sent there.
    assert found['site_fanout_messages_total{outcome="sent"}'] == 0


async def test_of_several_processes_whichever_is_asked_tells_of_all(
    start_site: StartSite, databases: Databases, model: ModelServer, valkey: Valkey
) -> None:
    settings: dict[str, Any] = {
        "LLM_BASE_URL": model.base_url,
        "LLM_MODEL": "hello",
        "REDIS_URL": valkey.url,
        "WEB_CONCURRENCY": 2,
        "DATABASE_URL": databases.new("postgresql"),
    }
    site = start_site(**settings)
    await eventually(lambda: counted(site)["site_processes"] == 2, within=30)
    people = [Person(site.url) for _ in range(6)]
    for person in people:  # so many that both are asked
        async with person.watch([site.url]) as viewer:
            viewer.ask("[stream tokens=5 rate=500]")
            await viewer.until(lambda v=viewer: v.reason(1), 20, "answered")  # type: ignore[misc]
    for _ in range(6):
        assert counted(site)["site_runs_ended_total"] == len(people)
    pids = set(re.findall(r"Started server process \[(\d+)\]", site.log_text))
    assert len(pids) == 2


@pytest.mark.parametrize("path", ["/livez", "/agents/livez"])
async def test_probes_are_found_below_a_path_too(path: str) -> None:
    """Whether the proxy leaves the path away, or the server was told of it."""
    sent: list[Any] = []

    async def somebody_else(scope: object, receive: object, send: object) -> None:
        sent.append({"status": 404})

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"path": path, "root_path": "/agents", "method": "GET"}
    await Probes(somebody_else)(scope, receive, send)
    assert sent[0]["status"] == 200
