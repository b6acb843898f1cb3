"""The main path in WebKit, the engine of Safari, driven by WebDriver.

https://w3c.github.io/webdriver/; Debian has GTK's MiniBrowser with a driver.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Site, free_port, wait_until

DRIVER = shutil.which("WebKitWebDriver") or "WebKitWebDriver"
XVFB = shutil.which("Xvfb") or "Xvfb"
BROWSERS = "*/webkit2gtk-*/MiniBrowser"
ENTER = "\ue007"
LIVE = """document.querySelector('#connection[data-tone="live"]') !== null"""
OVER = """document.querySelector('#run-1[data-status="finished"]') !== null"""
STEPS = """JSON.stringify(
    [...document.querySelectorAll("#transcript [data-step]")].map((step) => [
      step.dataset.type,
      step.querySelector(".prose, .half__text")?.textContent.trim(),
    ]))"""
# What is skipped while it is out of view is cut at its box; this engine knows no margin
# for that.
CUT = """JSON.stringify(
    [...document.querySelectorAll(".run .step, .run .ask, .run .answer")]
      .filter((each) => {
        const run = each.closest(".run").getBoundingClientRect();
        const { left, right } = each.getBoundingClientRect();
        return left < run.left || right > run.right;
      })
      .map((each) => each.className))"""


class WebKit:
    """A MiniBrowser on a screen that nobody sees."""

    def __init__(self, stack: ExitStack, home: Path) -> None:
        self._port = free_port()
        display = self._start(
            stack, [XVFB, "-displayfd", "1", "-screen", "0", "1280x800x24"], {}
        )
        assert display.stdout is not None
        environment = {
            "DISPLAY": f":{display.stdout.readline().decode().strip()}",
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # for who is root
        }
        self._start(stack, [DRIVER, f"--port={self._port}"], environment)
        wait_until(self._is_listening, "the driver listens", 20)
        options = {"binary": browser(), "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        session = self._ask("POST", "/session", {"capabilities": wanted})
        self._session = f"/session/{session['sessionId']}"
        stack.callback(self._ask, "DELETE", self._session)

    @staticmethod
    def _start(
        stack: ExitStack, command: list[str], more: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        process = stack.enter_context(
            subprocess.Popen(
                command,
                env={**os.environ, **more},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
        stack.callback(process.terminate)
        return process

    def _is_listening(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port)).close()
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request(method, path, json.dumps(body or {}))
            response = connection.getresponse()
            value = json.load(response)["value"]
            assert response.status == 200, value
        return value

    def open(self, url: str) -> None:
        """Go there."""
        self._ask("POST", f"{self._session}/url", {"url": url})

    def find(self, expression: str) -> Any:
        """What an expression is in the page."""
        script = {"script": f"return {expression}", "args": []}
        return self._ask("POST", f"{self._session}/execute/sync", script)

    def type(self, selector: str, text: str) -> None:
        """Press these keys in a field."""
        where = {"using": "css selector", "value": selector}
        found = self._ask("POST", f"{self._session}/element", where)
        (element,) = found.values()
        self._ask("POST", f"{self._session}/element/{element}/value", {"text": text})


def browser() -> str:
    """Where Debian keeps it."""
    found = sorted(Path("/usr/lib").glob(BROWSERS))
    assert found, "no MiniBrowser: scripts/install-system.sh"
    return str(found[-1])


@pytest.fixture
def webkit(tmp_path: Path) -> Iterator[WebKit]:
    """A running WebKit."""
    with ExitStack() as stack:
        yield WebKit(stack, tmp_path)


def test_webkit_shows_the_same_live_and_after_a_refresh(
    site: Site, webkit: WebKit
) -> None:
    webkit.open(f"{site.url}/")
    wait_until(lambda: webkit.find(LIVE), "the page is live", 20)
    webkit.type("#message", f"[scenario calculator] What is 23 * 47?{ENTER}")
    wait_until(lambda: webkit.find(OVER), "the run is finished", 30)
    steps = json.loads(webkit.find(STEPS))
    kinds = {kind for kind, _ in steps}
    assert kinds == {"thought", "tool_use", "tool_result", "final_answer"}
    assert "1081" in steps[-1][1]
    webkit.find("document.querySelector('.work__sum').click()")
    assert json.loads(webkit.find(CUT)) == []
    webkit.open(webkit.find("location.href"))
    wait_until(lambda: webkit.find(LIVE), "the page is live again", 20)
    assert json.loads(webkit.find(STEPS)) == steps
