"""The whole path in Firefox too, driven by WebDriver BiDi, which it speaks by itself.

https://w3c.github.io/webdriver-bidi/; Playwright cannot drive Debian's Firefox.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.servers import Server, Site, wait_until

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox") or "firefox-esr"
STEPS = """JSON.stringify(
    [...document.querySelectorAll("#transcript [data-step]")].map((step) => [
      step.dataset.type,
      step.querySelector(".prose, .half__text")?.textContent.trim(),
    ]))"""


class Firefox(Server):
    """A headless Firefox with a profile of its own, and one page in it."""

    name = "firefox"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._ids = itertools.count(1)
        self._connection = ExitStack()
        self._socket: ClientConnection | None = None
        self._page = ""

    def command(self) -> list[str]:
        """What to run."""
        profile = self.folder / "profile"
        profile.mkdir(exist_ok=True)
        return [
            *(FIREFOX, "--headless", "--no-remote", "--profile", str(profile)),
            *("--remote-debugging-port", str(self.port), "about:blank"),
        ]

    def environment(self) -> dict[str, str]:
        """With a home that it may write to."""
        return {**os.environ, "HOME": str(self.folder), "MOZ_HEADLESS": "1"}

    def open(self, url: str) -> None:
        """Go there, and return when the page has loaded."""
        if self._socket is None:
            address = f"ws://127.0.0.1:{self.port}/session"
            connecting = connect(address, max_size=None, compression=None)
            self._socket = self._connection.enter_context(connecting)
            self.ask("session.new", capabilities={})
            tree = self.ask("browsingContext.getTree")
            self._page = tree["contexts"][0]["context"]
        self.ask(
            "browsingContext.navigate", context=self._page, url=url, wait="complete"
        )

    def ask(self, method: str, **params: Any) -> Any:
        """The answer to a command."""
        assert self._socket is not None
        number = next(self._ids)
        command = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps(command))
        while (answer := json.loads(self._socket.recv(30))).get("id") != number:
            pass  # an event
        assert answer["type"] == "success", answer
        return answer["result"]

    def find(self, expression: str) -> Any:
        """What an expression is in the page."""
        target = {"context": self._page}
        result = self.ask(
            "script.evaluate", expression=expression, target=target, awaitPromise=True
        )
        assert result["type"] == "success", result
        return result["result"].get("value")

    def type(self, text: str) -> None:
        """Press these keys; `\\ue007` is Enter."""
        keys = [
            {"type": kind, "value": key}
            for key in text
            for kind in ("keyDown", "keyUp")
        ]
        actions = [{"type": "key", "id": "keyboard", "actions": keys}]
        self.ask("input.performActions", context=self._page, actions=actions)

    def stop(self, seconds: float = 15) -> None:
        """End it."""
        self._connection.close()
        super().stop(seconds)


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    """A running Firefox."""
    with Firefox(tmp_path) as browser:
        yield browser


def test_firefox_shows_the_same_live_and_after_a_refresh(
    site: Site, firefox: Firefox
) -> None:
    firefox.open(f"{site.url}/")
    live = """document.querySelector('#connection[data-tone="live"]') !== null"""
    wait_until(lambda: firefox.find(live), "the page is live", 20)
    firefox.find("document.querySelector('#message').focus()")
    firefox.type("[scenario calculator] What is 23 * 47?\ue007")
    over = """document.querySelector('#run-1[data-status="finished"]') !== null"""
    wait_until(lambda: firefox.find(over), "the run is finished", 30)
    steps = json.loads(firefox.find(STEPS))
    kinds = {kind for kind, _ in steps}
    assert kinds == {"thought", "tool_use", "tool_result", "final_answer"}
    assert "1081" in steps[-1][1]
    firefox.open(firefox.find("location.href"))
    wait_until(lambda: firefox.find(live), "the page is live again", 20)
    assert json.loads(firefox.find(STEPS)) == steps
    agrees = """document.querySelector('#connection[data-proof="agrees"]') !== null"""
    wait_until(lambda: firefox.find(agrees), "the digests agree", 20)
