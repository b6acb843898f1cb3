"""Starts the model server as a process, and asks it what it saw."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class ModelServer:
    """The scripted model server in its own process; a context manager.

    `base_url` is what LLM_BASE_URL takes. Scenarios are chosen by the model's name
    or by `[scenario name]` in the message.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self._process is not None
        return self._process.pid

    @property
    def base_url(self) -> str:
        """The value of LLM_BASE_URL."""
        return f"{self.address}/v1"

    def start(self) -> None:
        """Start it (again, on the same port) and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.model_server", "--port", str(self.port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(json.loads(self._process.stdout.readline())["port"])

    def stop(self) -> None:
        """Kill it: whatever it was sending is cut."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def add(self, name: str, scenario: dict[str, Any] | list[Any]) -> str:
        """Make a scenario known (or its actions, if it has one round); its name."""
        self._admin("scenarios", {name: scenario})
        return name

    def release(self, gate: str) -> None:
        """Let the scenarios that wait for this go on."""
        self._admin(f"release/{gate}", {})

    def reset(self) -> None:
        """Forget the requests, the gates, and how often scenarios were played."""
        self._admin("reset", {})

    def requests(self) -> list[dict[str, Any]]:
        """What was asked and what was sent, oldest first; see README.md."""
        found: list[dict[str, Any]] = self._admin("requests")
        return found

    def _admin(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.address}/admin/{path}",
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)


async def eventually(
    holds: Callable[[], Any], *, within: float = 5.0, every: float = 0.01
) -> Any:
    """Wait until the condition holds, and return what it returned."""
    async with asyncio.timeout(within):
        while not (value := holds()):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(every)
    return value
