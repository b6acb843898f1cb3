"""A site that was started before `migrate`: the page says so, and then works."""

from __future__ import annotations

import http.client
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import StartSite
from tests.servers import Postgres, Site


def get(site: Site, path: str) -> tuple[int, str]:
    """Status and text of what a browser is shown."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=15)
    connection.request("GET", path, headers={"Accept": "text/html"})
    with closing(connection):
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create(f"empty_{uuid4().hex[:12]}")


def test_before_migrate_the_page_says_what_to_do(
    start_site: StartSite, empty_database: str, tmp_path: Path
) -> None:
    # As after `pip install`: nothing is collected either.
    site = start_site(
        "runserver", DATABASE_URL=empty_database, STATIC_ROOT=tmp_path / "collected"
    )
    for path in ("/", f"/chat/{uuid4()}"):
        status, text = get(site, path)
        assert status == 503
        assert "manage.py migrate" in text
    site.manage("migrate", "--no-input", "--verbosity", "0")
    status, text = get(site, "/")
    assert status == 200
    script = text.split('<script type="module" src="')[1].split('"')[0]
    assert get(site, script)[0] == 200
    assert "Traceback" not in site.log_text
