"""What the tests of agents share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model_server import ModelServer


@pytest.fixture(scope="session")
def shared_model_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def model_server(shared_model_server: ModelServer) -> ModelServer:
    """A model server that has forgotten what other tests asked it."""
    shared_model_server.reset()
    return shared_model_server
