"""One site, and a scripted model, for all tests of the faces for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model_server.process import ModelServer
from tests.servers import Databases, Site


@pytest.fixture(scope="package")
def model() -> Iterator[ModelServer]:
    """The scripted model server."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="package")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    databases: Databases,
    static_root: Path,
    model: ModelServer,
) -> Iterator[Site]:
    """A server whose agents ask the scripted model."""
    with Site(
        tmp_path_factory.mktemp("programs"),
        DATABASE_URL=databases.new("sqlite"),
        STATIC_ROOT=static_root,
        LLM_BASE_URL=model.base_url,
        LLM_MODEL="hello",
        MAX_MESSAGES_PER_MINUTE=1000,
    ) as site:
        yield site
