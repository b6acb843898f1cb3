"""One site, one model server and one Chromium for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.drive import Screens, launch
from tests.browser.states import MODEL
from tests.model_server import ModelServer
from tests.servers import Databases, Site


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="package")
def model() -> Iterator[ModelServer]:
    """The scripted model server."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="package")
def site(
    model: ModelServer,
    databases: Databases,
    static_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """The site, with that model."""
    settings: dict[str, Any] = {
        "DATABASE_URL": databases.new("sqlite"),
        "STATIC_ROOT": static_root,
        "LLM_BASE_URL": model.base_url,
        "LLM_MODEL": MODEL,
        "MAX_MESSAGES_PER_MINUTE": 10_000,
    }
    folder = tmp_path_factory.mktemp("browser-site")
    with Site(folder, "uvicorn", **settings) as server:
        yield server


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Closed before other packages' tests: it keeps an event loop running."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def screens(browser: Browser, site: Site) -> Iterator[Screens]:
    """People with browsers."""
    screens = Screens(browser, site.url)
    yield screens
    screens.close()
