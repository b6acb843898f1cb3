"""Measures the page while it shows a long answer; writes docs/performance-page.md.

    make bench-page
    python scripts/bench_page.py PART …    some of the tables, which are not kept

How soon an empty page and a finished answer are painted, a 20,000-token answer at 200
tokens a second, one of 200,000 characters, and a session of 500 runs, in the real page,
from the real server.
How busy the main thread is comes from the browser's own metrics (TaskDuration), its
longest task from a trace, the heap after a forced collection. Of a task the thread's
own time is told besides the clock's, most of which on a shared machine is waiting.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import CDPSession, Page, sync_playwright  # noqa: E402

from scripts.screenshots import start  # noqa: E402
from tests.browser.drive import Chat, Screens, launch  # noqa: E402
from tests.browser.states import MODEL  # noqa: E402

Rows = list[tuple[str, str]]

TARGET = ROOT / "docs" / "performance-page.md"
TOKENS = 20_000
RATE = 200
PARAGRAPH = (
    "Paragraph {n} has **bold**, *emphasis*, `code` and a [link](https://example.com/) "
    "and goes on for a while, as answers do, with words after words after words.\n\n"
)
CODE = "```python\ndef f_{n}(x: int) -> int:\n    return x * {n}  # a comment\n```\n\n"
LIST = "- one of {n}\n- another\n  - nested\n\n| a | b |\n|---|---|\n| {n} | 2 |\n\n"
TASKS = "disabled-by-default-devtools.timeline"  # what the trace has of each task
FORCED = (
    "V8.GCLowMemoryNotification"  # and, of "v8", of collections that were asked for
)
LONG_MS = 50
LOADED = "(n) => document.querySelector('#transcript').childElementCount > n"


SHOWN = "(word) => document.querySelector('#run-1 .prose')?.textContent.includes(word)"


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


class Tasks:
    """How long the page's main thread is busy without a pause."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.devtools = page.context.browser.new_browser_cdp_session()  # type: ignore[union-attr]
        self.devtools.on("Tracing.dataCollected", self._collect)
        self.devtools.on("Tracing.tracingComplete", self._complete)
        self._is_complete = False
        self._main: set[tuple[int, int]] = set()
        self._tasks: list[dict[str, Any]] = []
        self._forced: list[float] = []
        config = {
            "recordMode": "recordAsMuchAsPossible",
            "includedCategories": [TASKS, "v8"],
        }
        self.devtools.send(
            "Tracing.start", {"transferMode": "ReportEvents", "traceConfig": config}
        )

    def _collect(self, data: dict[str, Any]) -> None:
        for event in data["value"]:
            if event["name"] == "RunTask" and "dur" in event:  # the last may be cut
                self._tasks.append(event)
            elif event["name"] == FORCED:
                self._forced.append(event["ts"])
            elif event.get("args", {}).get("name") == "CrRendererMain":
                self._main.add((event["pid"], event["tid"]))

    def _complete(self, _: object) -> None:
        self._is_complete = True

    def _is_ours(self, task: dict[str, Any]) -> bool:
        """Whether the meter, not the page, had it done."""
        return any(0 <= at - task["ts"] <= task["dur"] for at in self._forced)

    def rows(self) -> Rows:
        """The longest since the beginning, and how many were long."""
        self.devtools.send("Tracing.end")
        while not self._is_complete:
            self.page.wait_for_timeout(50)
        tasks = [
            (task.get("tdur", 0) / 1000, task["dur"] / 1000)
            for task in self._tasks
            if (task["pid"], task["tid"]) in self._main and not self._is_ours(task)
        ]
        own, clock = max(tasks), max(clock for _, clock in tasks)
        long = [sum(times[which] > LONG_MS for times in tasks) for which in (0, 1)]
        return [
            ("longest task", f"{own[0]:.0f} ms of its own, {clock:.0f} by the clock"),
            (
                f"tasks over {LONG_MS} ms, of {len(tasks):,}",
                f"{long[0]} of their own time, {long[1]} by the clock",
            ),
        ]


class Bench:
    """A page of a fresh site, with the scripted model, and a meter on it."""

    def __init__(self, stack: ExitStack) -> None:
        playwright = stack.enter_context(sync_playwright())
        self.model, site = start(stack)
        browser = launch(playwright)
        stack.callback(browser.close)
        # Breakable lines run through the test's process: not here.
        page = Screens(browser, site.url).person().new_page()
        self.chat = Chat(page, site.url, breakable=False).open()
        self.meter = Meter(self.chat)

    def answers(self, answer: str, rate: int) -> tuple[float, float]:
        """Seconds until all of it is there, at so many tokens a second; and megabytes
        of the heap when its first tenth was, with the libraries that this needs."""
        page = self.chat.page
        begun = answer.index("Paragraph", len(answer) // 10)
        first, rest = (
            {"text": part, "piece": 4, "rate": rate}
            for part in (answer[:begun], answer[begun:])
        )
        gate = {"wait": "tenth"}
        self.model.add(MODEL, {"rounds": [{"actions": [first, gate, rest]}]})
        page.set_default_timeout(len(answer) / rate * 1000 + 60_000)
        began = time.monotonic()
        self.chat.say("Go")
        last = answer[answer.rindex("Paragraph", 0, begun) : begun]
        page.wait_for_function(SHOWN, arg=last.partition(" has")[0])
        paused = time.monotonic()
        heap = self.meter.heap()
        self.model.release("tenth")
        began += time.monotonic() - paused
        page.locator('#run-1[data-status="finished"]').wait_for()
        return time.monotonic() - began, heap

    def painted(self, path: str) -> tuple[float, float, int]:
        """Milliseconds to the first paint, kilobytes over the wire, and requests, of a
        page that the browser sees for the first time."""
        context = self.chat.page.context.browser.new_context()  # type: ignore[union-attr]
        context.add_cookies([{**cookie} for cookie in self.chat.page.context.cookies()])  # type: ignore[typeddict-item]
        page = context.new_page()
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")
        sizes: list[float] = []
        devtools.on(
            "Network.loadingFinished",
            lambda event: sizes.append(event["encodedDataLength"]),
        )
        page.goto(self.chat.url + path)
        Chat(page, self.chat.url, breakable=False).live()
        page.wait_for_load_state("networkidle")
        paint: float = page.evaluate(
            "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        )
        context.close()
        return paint, sum(sizes) / 1000, len(sizes)


def first_paint() -> Rows:
    """A new chat, and a finished answer without code: of five times the middle one."""
    with ExitStack() as stack:
        bench = Bench(stack)
        bench.answers(PARAGRAPH * 20, 2000)
        path = bench.chat.page.url.removeprefix(bench.chat.url)
        rows: Rows = []
        for name, address in (("a new chat", "/"), ("an answer", path)):
            paint, size, requests = sorted(bench.painted(address) for _ in range(5))[2]
            rows += [
                (f"{name}: first paint", f"{paint:.0f} ms"),
                (f"{name}: over the wire", f"{size:.0f} kB in {requests} requests"),
            ]
    return rows


def streaming(tokens: int, rate: int) -> Rows:
    """One long answer as it streams."""
    answer = text(tokens * 4)  # four characters a token, as models have
    with ExitStack() as stack:
        bench = Bench(stack)
        heap_empty = bench.meter.heap()
        before = bench.meter.metrics()
        tasks = Tasks(bench.chat.page)
        took, heap_tenth = bench.answers(answer, rate)
        after = bench.meter.metrics()
        longest = tasks.rows()
        heap_after = bench.meter.heap()
        shown = len(bench.chat.steps()[-1][1])
        reload = reloaded(bench.chat)
        bench.chat.assert_clean()

    def share(name: str) -> str:
        return f"{(after[name] - before[name]) / took:.0%}"

    return [
        ("answer", f"{tokens:,} tokens at {rate}/s, {len(answer):,} characters"),
        ("took", f"{took:.1f} s"),
        ("main thread busy", share("TaskDuration")),
        ("scripts", share("ScriptDuration")),
        ("layout", share("LayoutDuration")),
        *longest,
        (
            "heap: empty page, a tenth of the answer and its libraries, all of it",
            f"{heap_empty:.1f} MB, {heap_tenth:.1f} MB, {heap_after:.1f} MB",
        ),
        ("characters shown", f"{shown:,}"),
        ("whole again after a reload", f"{reload:.1f} s"),
    ]


def long_answer(chars: int) -> Rows:
    """A very long one, as fast as the model can."""
    answer = text(chars)
    with ExitStack() as stack:
        bench = Bench(stack)
        tasks = Tasks(bench.chat.page)
        took, _ = bench.answers(answer, 2000)
        longest = tasks.rows()
        rows = [
            ("answer", f"{len(answer):,} characters at 2,000 tokens/s"),
            ("took", f"{took:.1f} s"),
            *longest,
            ("whole again after a reload", f"{reloaded(bench.chat):.1f} s"),
        ]
        bench.chat.assert_clean()
    return rows


def long_session(runs: int) -> Rows:
    """A session of many runs, opened and scrolled to its beginning."""
    with ExitStack() as stack:
        bench = Bench(stack)
        chat, page = bench.chat, bench.chat.page
        bench.model.add(MODEL, [{"text": text(2_000), "piece": 400}])
        chat.say("Question 1").finished()
        chat.say_many([f"Question {n}" for n in range(2, runs + 1)])
        opened = reloaded(chat)
        tasks = Tasks(page)
        began = time.monotonic()
        for count in range(40, runs + 1, 20):
            page.eval_on_selector("#scroller", "e => e.scrollTo(0, 0)")
            page.wait_for_function(LOADED, arg=min(count, runs))
        took = time.monotonic() - began
        loaded = bench.meter.heap()
        for _ in range(3):
            for place in ("e.scrollHeight", "0"):
                page.eval_on_selector("#scroller", f"e => e.scrollTo(0, {place})")
                page.wait_for_timeout(500)
        rows = [
            ("session", f"{runs} runs, {runs * 2_000:,} characters"),
            ("opened in", f"{opened:.1f} s"),
            ("scrolled to the first in", f"{took:.1f} s"),
            *tasks.rows(),
            (
                "heap, and after going to and fro three times",
                f"{loaded:.1f} MB, {bench.meter.heap():.1f} MB",
            ),
        ]
        chat.assert_clean()
    return rows


def reloaded(chat: Chat) -> float:
    """Seconds from a reload to the end of the answer being there."""
    began = time.monotonic()
    chat.page.reload()
    chat.live()
    return time.monotonic() - began


def table(rows: Rows) -> str:
    """As Markdown."""
    return "\n".join(["| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


PARTS: dict[str, Callable[[], Rows]] = {
    "paint": first_paint,
    "stream": lambda: streaming(TOKENS, RATE),
    "answer": lambda: long_answer(200_000),
    "session": lambda: long_session(500),
}


def main(parts: list[str]) -> None:
    """Print the tables; keep them if they are all."""
    tables = []
    for name in parts or PARTS:
        tables.append(table(PARTS[name]()))
        sys.stdout.write(f"{tables[-1]}\n\n")
    if parts:
        return
    about = (
        "# How quick the page is\n\nWritten by `make bench-page` "
        f"({platform.machine()}, {platform.system()}, headless Chromium without GPU; "
        f"server, model and browser share {os.cpu_count()} cores, on which "
        f"{os.getloadavg()[2]:.1f} processes were busy).\n\n"
    )
    TARGET.write_text(about + "\n\n".join(tables) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
