"""Chromium, and a page of the site that is watched for everything it must not do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    WebSocketRoute,
    expect,
)

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

expect.set_options(timeout=10_000)


def launch(playwright: Playwright) -> Browser:
    """The machine's Chromium."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


class Line:
    """The page's connection, to be cut: `with line.cut(): …`, `line.drop()`."""

    def __init__(self, page: Page) -> None:
        self.is_down = False
        self.is_mute = False  # what the server says does not arrive
        self.opened = 0
        self._open: list[WebSocketRoute] = []
        page.route_web_socket(lambda url: "/ws/chat/" in url, self._connect)

    def _connect(self, socket: WebSocketRoute) -> None:
        if self.is_down:
            socket.close(code=1012, reason="down")
            return
        self.opened += 1
        server = socket.connect_to_server()
        if self.is_mute:
            server.on_message(lambda _message: None)
        self._open.append(socket)

    def drop(self) -> None:
        """The line breaks; the next one may hold."""
        dropped, self._open = self._open, []
        for socket in dropped:
            socket.close(code=1012, reason="dropped")

    @contextmanager
    def cut(self) -> Iterator[None]:
        """No connection until the block ends."""
        self.is_down = True
        self.drop()
        try:
            yield
        finally:
            self.is_down = False


class Chat:
    """A page of the site, with the words for what people do in it."""

    def __init__(self, page: Page, url: str, *, breakable: bool = True) -> None:
        self.page = page
        self.url = url
        self.wrongs: list[str] = []
        self.requests: list[str] = []
        if breakable:
            self.line = Line(page)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrongs.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.wrongs.append(dialog.message))
        page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        expected = "WebSocket connection to" in message.text
        if message.type in {"error", "warning"} and not expected:
            self.wrongs.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.requests.append(request.url)

    def open(self, path: str = "/") -> Chat:
        """Go there and wait until it is live."""
        self.page.goto(self.url + path)
        return self.live()

    def live(self) -> Chat:
        """Wait for the connection."""
        self.page.locator('#connection[data-tone="live"]').wait_for()
        return self

    def proved(self) -> Chat:
        """Wait until every digest agrees with what is shown."""
        expect(self.page.locator("#connection")).to_have_attribute(
            "data-proof", "agrees"
        )
        return self.live()

    def say(self, text: str) -> Chat:
        """Type it and send it: with Ctrl, Enter does so on a phone too."""
        self.page.fill("#message", text)
        self.page.press("#message", "Control+Enter")
        return self

    def say_many(self, texts: list[str]) -> Chat:
        """Ask one after the other, over a socket of its own, as a program would."""
        self.page.evaluate(
            """async ([path, texts]) => {
              const socket = new WebSocket(`ws://${location.host}/ws${path}`);
              for (const message of ["", ...texts]) {
                if (message)
                  socket.send(JSON.stringify({ type: "chat", payload: { message } }));
                const end = message ? "reasoning_complete" : "connected";
                await new Promise((resolve) => {
                  socket.onmessage = ({ data }) =>
                    JSON.parse(data).type === end && resolve();
                });
              }
              socket.close();
            }""",
            [self.page.url.removeprefix(self.url), texts],
        )
        return self

    def finished(self, run: int = 1) -> Chat:
        """Wait for the end of a run."""
        self.page.locator(f'#run-{run}[data-status="finished"]').wait_for(
            timeout=60_000
        )
        return self

    def unfold(self, run: int = 1) -> Chat:
        """Open the work of a run, and then each of its steps."""
        for fold in (".work__sum", ".earlier > button", ".step__row"):
            for head in self.page.locator(f"#run-{run} {fold}").all():
                state = "e => e.ariaExpanded ?? String(e.parentElement.open)"
                if head.evaluate(state) == "false":
                    head.click()
        return self

    def reload(self) -> Chat:
        """F5."""
        self.page.reload()
        return self.live()

    def steps(self) -> list[tuple[str, str]]:
        """Type and shown text of each step, in order."""
        found: list[list[str]] = self.page.evaluate(
            """() => [...document.querySelectorAll("#transcript [data-step]")].map(
                (step) => {
                  const text = step.querySelector(".prose, .half__text")?.textContent;
                  return [step.dataset.type, (text ?? "").trim()];
                })"""
        )
        return [(kind, text) for kind, text in found]

    def text(self) -> str:
        """All that the transcript shows."""
        return self.page.locator("#transcript").inner_text()

    def assert_clean(self) -> None:
        """Nothing ran, nothing was blocked, no request left the origin."""
        assert not self.wrongs, self.wrongs
        assert not self.requests, self.requests


OpenChat = Callable[..., Chat]


class Screens:
    """Browser contexts: each a person with cookies of their own."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._contexts: list[BrowserContext] = []

    def person(self, **options: Any) -> BrowserContext:
        """Somebody new."""
        context = self._browser.new_context(**{"viewport": DESK, **options})
        self._contexts.append(context)
        return context

    def chat(self, person: BrowserContext | None = None, **options: Any) -> Chat:
        """A tab, not opened yet."""
        return Chat((person or self.person(**options)).new_page(), self._url)

    def close(self) -> None:
        """All of them."""
        for context in self._contexts:
            context.close()
