"""Measures the page while it shows a long answer; writes docs/performance.md.

    make bench-page

A 20,000-token answer at 200 tokens a second, in the real page, from the real server.
How busy the main thread is comes from the browser's own metrics (TaskDuration), long
tasks from PerformanceObserver, the heap after a forced collection.
"""

from __future__ import annotations

import platform
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import CDPSession, sync_playwright  # noqa: E402

from scripts.screenshots import start  # noqa: E402
from tests.browser.drive import Chat, Screens, launch  # noqa: E402
from tests.browser.states import MODEL  # noqa: E402

TARGET = ROOT / "docs" / "performance.md"
TOKENS = 20_000
RATE = 200
PARAGRAPH = (
    "Paragraph {n} has **bold**, *emphasis*, `code` and a [link](https://example.com/) "
    "and goes on for a while, as answers do, with words after words after words.\n\n"
)
CODE = "```python\ndef f_{n}(x: int) -> int:\n    return x * {n}  # a comment\n```\n\n"
LIST = "- one of {n}\n- another\n  - nested\n\n| a | b |\n|---|---|\n| {n} | 2 |\n\n"
WATCH = """() => {
  window.longest = 0; window.paints = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      window.longest = Math.max(window.longest, entry.duration);
  }).observe({ type: "longtask" });
}"""


def text(chars: int) -> str:
    """An answer of about so many characters, of every kind of block."""
    parts: list[str] = []
    size = 0
    while size < chars:
        n = len(parts)
        part = (PARAGRAPH, PARAGRAPH, CODE, PARAGRAPH, LIST)[n % 5].replace(
            "{n}", str(n)
        )
        parts.append(part)
        size += len(part)
    return "".join(parts)[:chars]


class Meter:
    """What the browser says it did."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.devtools: CDPSession = chat.page.context.new_cdp_session(chat.page)
        # The thread's own time: what else runs on this machine does not count.
        self.devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def metrics(self) -> dict[str, float]:
        """All of them, by name."""
        found: dict[str, Any] = self.devtools.send("Performance.getMetrics")
        return {metric["name"]: metric["value"] for metric in found["metrics"]}

    def heap(self) -> float:
        """Megabytes in use after a collection."""
        self.devtools.send("HeapProfiler.collectGarbage")
        return self.metrics()["JSHeapUsedSize"] / 1e6


def measure(tokens: int, rate: int) -> list[tuple[str, str]]:
    """The rows of the table."""
    answer = text(tokens * 4)  # four characters a token, as models have
    with ExitStack() as stack, sync_playwright() as playwright:
        model, site = start(stack)
        actions = [{"text": answer, "piece": 4, "rate": rate}]
        model.add(MODEL, {"rounds": [{"actions": actions}]})
        browser = launch(playwright)
        # Breakable lines run through the test's process: not here.
        page = Screens(browser, site.url).person().new_page()
        chat = Chat(page, site.url, breakable=False).open()
        meter = Meter(chat)
        chat.page.evaluate(WATCH)
        heap_before = meter.heap()
        before = meter.metrics()
        began = time.monotonic()
        chat.page.set_default_timeout(tokens / rate * 4000 + 60_000)
        chat.say("Go")
        chat.page.locator('#run-1[data-status="finished"]').wait_for()
        took = time.monotonic() - began
        after = meter.metrics()
        longest = chat.page.evaluate("() => window.longest")
        heap_after = meter.heap()
        chat.page.wait_for_timeout(5000)
        heap_later = meter.heap()
        busy = (after["TaskDuration"] - before["TaskDuration"]) / took
        first_half = heap_after - heap_before
        shown = len(chat.steps()[-1][1])
        reload = reloaded(chat)
        chat.assert_clean()
        browser.close()
    return [
        ("answer", f"{tokens:,} tokens at {rate}/s, {len(answer):,} characters"),
        ("took", f"{took:.1f} s"),
        ("main thread busy", f"{busy:.0%}"),
        (
            "scripts",
            f"{(after['ScriptDuration'] - before['ScriptDuration']) / took:.0%}",
        ),
        (
            "layout",
            f"{(after['LayoutDuration'] - before['LayoutDuration']) / took:.0%}",
        ),
        ("longest task", f"{longest:.0f} ms" if longest else "under 50 ms"),
        ("heap before, grown by", f"{heap_before:.1f} MB, {first_half:.1f} MB"),
        ("heap 5 s later", f"{heap_later:.1f} MB"),
        ("characters shown", f"{shown:,}"),
        ("whole again after a reload", f"{reload:.1f} s"),
    ]


def reloaded(chat: Chat) -> float:
    """Seconds from a reload to the end of the answer being there."""
    began = time.monotonic()
    chat.page.reload()
    chat.live()
    return time.monotonic() - began


def main(tokens: int = TOKENS, rate: int = RATE) -> None:
    """Print the table and keep it."""
    rows = measure(tokens, rate)
    table = "\n".join(["| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])
    sys.stdout.write(f"{table}\n")
    about = (
        "# How quick the page is\n\nWritten by `make bench-page` "
        f"({platform.machine()}, {platform.system()}, headless Chromium without GPU, "
        "server, model and browser sharing the machine).\n\n"
    )
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(f"{about}{table}\n", "utf-8")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
