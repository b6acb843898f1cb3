"""One site, and a scripted model, for all tests of the faces for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from tests.client import Person
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


class Program(Struct):
    """A program of a user's: its token, and the user's browser."""

    token: str
    person: Person

    @property
    def headers(self) -> dict[str, str]:
        """What each of its requests has."""
        return {"Authorization": f"Bearer {self.token}"}


_ADD: Final = """
from django.contrib.auth.models import User
from chat.auth import tokens
user = User.objects.create_user("{name}", password="a secret")
print(tokens.add(user.pk, name="mine", scope="ask", expires_at=None))
"""


@pytest.fixture(scope="package")
def program(site: Site) -> Program:
    """Ada's program."""
    return program_of(site, "ada")


@pytest.fixture(scope="package")
def other_program(site: Site) -> Program:
    """Bob's."""
    return program_of(site, "bob")


def program_of(site: Site, name: str) -> Program:
    """A new user's."""
    token = site.manage("shell", "-v0", "-c", _ADD.format(name=name)).split()[-1]
    person = Person(site.url)
    person.open(f"{site.url}/sign-in")
    person.submit(f"{site.url}/sign-in", username=name, password="a secret")
    return Program(token, person)
