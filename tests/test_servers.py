"""The test servers themselves: ready means ready, hung is hung, data stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import redis

from tests.conftest import StartSite
from tests.servers import Databases, Postgres, Valkey


def test_valkey_hangs_and_comes_back(own_valkey: Valkey) -> None:
    with redis.Redis.from_url(own_valkey.url, socket_timeout=0.2) as client:
        assert client.ping()
        with own_valkey.paused(), pytest.raises(redis.TimeoutError):
            client.ping()
        assert client.ping()


def test_valkey_is_killed_and_starts_again_on_its_port(own_valkey: Valkey) -> None:
    own_valkey.kill()
    assert not own_valkey.is_ready()
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.ping()


def test_postgres_keeps_what_was_committed_when_killed(own_postgres: Postgres) -> None:
    with psycopg.connect(own_postgres.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    own_postgres.kill()
    own_postgres.start()
    with psycopg.connect(own_postgres.url()) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (42,)


def test_postgres_hangs_with_the_connections_it_has(own_postgres: Postgres) -> None:
    with (
        psycopg.connect(own_postgres.url()) as connection,
        ThreadPoolExecutor() as pool,
    ):
        with own_postgres.paused():
            asked = pool.submit(connection.execute, "SELECT 1")
            with pytest.raises(TimeoutError):
                asked.result(0.2)
        assert asked.result(5).fetchone() == (1,)


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_databases_are_fresh_and_migrated(vendor: str, databases: Databases) -> None:
    assert databases.new(vendor) != databases.new(vendor)


@pytest.mark.parametrize("server", ["uvicorn", "daphne", "runserver"])
def test_every_server_serves_the_site(
    server: str, start_site: StartSite, database_url: str
) -> None:
    site = start_site(server, DATABASE_URL=database_url)
    site.manage("setup_admin")
    found = site.rows("SELECT is_superuser FROM auth_user WHERE username = ?", "admin")
    assert found == [(True,)]
    site.restart()
    site.kill()
    assert not site.is_ready()
