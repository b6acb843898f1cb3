"""Fixtures that every test module may use. `tests/servers.py` has the servers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.servers import Databases, Postgres, Site, Valkey

_SITES = pytest.StashKey[list[Site]]()


class StartSite(Protocol):
    """Start a server process of the site; it ends with the test."""

    def __call__(
        self, server: str = ..., *, port: Any = ..., **settings: object
    ) -> Site: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much `test_fuzz.py` tries; whether docs/access.md is to be written anew."""
    parser.addoption("--fuzz", type=int, default=300, help="frames and requests")
    parser.addoption("--write-access", action="store_true", help="docs/access.md")
    parser.addoption("--fuzz-seed", type=int, default=1, help="which of them")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the sites printed when a test has failed."""
    report = yield
    if report.failed:
        for site in item.stash.get(_SITES, []):
            title = f"{site.server} on {site.port}"
            report.sections.append((title, site.log_text[-8000:]))
    return report


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Redis-compatible server for all tests; use own_valkey to break one."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Redis-compatible server to kill, pause and restart."""
    with Valkey(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL for all tests; use own_postgres to break one."""
    with Postgres() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """PostgreSQL to kill, pause and restart; bring databases in with Databases."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def databases(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Databases:
    """`databases.new("sqlite")`: the URL of a fresh, migrated database."""
    folder = tmp_path_factory.mktemp("databases")
    return Databases(folder, lambda: request.getfixturevalue("postgres"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, databases: Databases) -> str:
    """Runs the test once on a fresh SQLite file and once on fresh PostgreSQL."""
    return databases.new(request.param)


@pytest.fixture(scope="session")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The static files, collected as `make serve` does, and not again by a start."""
    folder = tmp_path_factory.mktemp("static")
    site = Site(folder, STATIC_ROOT=folder / "collected")
    collect = "from reasoning_site.storage import collect_static_files as collect"
    site.manage("shell", "--verbosity", "0", "-c", f"{collect}; collect()")
    return folder / "collected"


@pytest.fixture
def start_site(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    static_root: Path,
    databases: Databases,
) -> Iterator[StartSite]:
    """`start_site("uvicorn", LLM_BASE_URL=…)`: as many processes as the test wants.

    Without DATABASE_URL they share one fresh SQLite file. If the test fails, what
    they printed is in its report.
    """
    sites = request.node.stash.setdefault(_SITES, [])
    shared: list[str] = []

    def default_database() -> str:
        if not shared:
            shared.append(databases.new("sqlite"))
        return shared[0]

    with ExitStack() as stack:

        def start(
            server: str = "uvicorn", *, port: Any = None, **settings: object
        ) -> Site:
            settings.setdefault("STATIC_ROOT", static_root)
            if "DATABASE_URL" not in settings:
                settings["DATABASE_URL"] = default_database()
            site = Site(tmp_path, server, port, **settings)
            sites.append(site)
            return stack.enter_context(site)

        yield start
