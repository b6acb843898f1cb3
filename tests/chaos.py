"""Breaks everything while it runs, and checks that nobody notices. `make chaos`.

Three server processes, PostgreSQL, Valkey and the scripted model server; sessions
with several viewers each, one of them a page in a real browser where asked for. At
random but seeded moments servers are killed or ended, sockets dropped, readers
stalled, Valkey killed or hung, PostgreSQL restarted or hung, runs locked in it, the
model server cut. In the end every viewer must show exactly what the log holds.

    python -m tests.chaos --seed 7 --sessions 20 --pages 8 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from playwright.async_api import Page, async_playwright, expect

from tests.browser.drive import ARGUMENTS, CHROMIUM
from tests.client import Person, Viewer
from tests.model_server.process import ModelServer
from tests.promises import stored
from tests.servers import Databases, PgBouncer, Postgres, Site, Valkey

SERVERS: Final = 3
SETTLE_SECONDS: Final = 120  # until everything must be whole again
MAX_LINES: Final = 60
STEPS_SHOWN: Final = """() => Object.fromEntries(
    [...document.querySelectorAll("#transcript article[data-run]")].map((run) => [
      run.id,
      [...run.querySelectorAll("[data-step]")].map((step) => step.dataset.type),
    ]))"""
MAX_GROWTH_MB: Final = 80  # of a server's memory, over all that was streamed

SETTINGS: Final[dict[str, Any]] = {
    "HEARTBEAT_SECONDS": 1,
    "TAKEOVER_SECONDS": 4,
    "DRAIN_SECONDS": 4,
    "POSITION_CHECK_SECONDS": 1,
    "MAX_RUNS_PER_USER": 100,
    "MAX_MESSAGES_PER_MINUTE": 1000,
    "MAX_SOCKETS_PER_ADDRESS": 1000,
    "EXTRA_TOOLS": "tests.agents.ledger.Ledger",
    "LLM_MODEL": "hello",
    "LLM_CHUNK_TIMEOUT": 10,
}


@dataclass
class Report:
    """What was done to the site, and what became of it."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    broken: dict[str, list[str]] = field(default_factory=dict)
    checked: Counter[str] = field(default_factory=Counter)

    def check(self, promise: str, *, holds: bool, otherwise: str) -> None:
        """Count one check of a promise."""
        self.checked[promise] += 1
        self.broken.setdefault(promise, [])
        if not holds:
            self.broken[promise].append(otherwise)

    @property
    def is_whole(self) -> bool:
        """Whether every promise held."""
        return not any(self.broken.values())

    def table(self) -> str:
        """The faults injected and the promises checked, for people."""
        lines = [f"seed {self.seed}", "", "faults injected"]
        lines += [f"  {count:5}  {name}" for name, count in sorted(self.faults.items())]
        lines += ["", "how runs ended"]
        lines += [
            f"  {count:5}  {name}" for name, count in sorted(self.reasons.items())
        ]
        lines += ["", "promises checked"]
        for promise, broken in self.broken.items():
            verdict = f"BROKEN {len(broken)} times" if broken else "held"
            lines.append(f"  {self.checked[promise]:5}  {promise}: {verdict}")
            lines += [f"           {what[:300]}" for what in broken[:5]]
        return "\n".join(lines)


class Storm:
    """One seeded run of the suite."""

    def __init__(
        self,
        seed: int,
        folder: Path,
        *,
        sessions: int,
        viewers: int,
        pages: int,
        pooled: bool = False,
    ) -> None:
        self.chance = random.Random(seed)
        self.report = Report(seed)
        self._folder = folder
        self._sessions = sessions
        self._viewers = viewers
        self._pages = pages
        self._pooled = pooled
        self._shown: list[tuple[Page, UUID]] = []
        self._watching: list[list[Viewer]] = []
        self._people: list[Person] = []
        self._asked = 0
        self._lines = 0  # asked to be written into the ledger, each another one
        self._ledger = folder / "ledger"
        self._memory: dict[int, float] = {}

    async def run(self, seconds: float) -> Report:
        """Start everything, break it for so long, let it settle, and check."""
        os.environ["LEDGER_FILE"] = str(self._ledger)
        async with AsyncExitStack() as stack:
            self.model = stack.enter_context(ModelServer())
            self._add_lines()
            self.valkey = stack.enter_context(Valkey(self._folder))
            self.postgres = stack.enter_context(Postgres())
            databases = Databases(self._folder, lambda: self.postgres)
            url = await asyncio.to_thread(databases.new, "postgresql")
            self._database = urlsplit(url).path[1:]
            if self._pooled:
                pooler = stack.enter_context(PgBouncer(self.postgres))
                url = pooler.url(self._database)
            self.sites = [
                Site(
                    self._folder,
                    DATABASE_URL=url,
                    REDIS_URL=self.valkey.url,
                    LLM_BASE_URL=self.model.base_url,
                    STATIC_ROOT=self._folder / "static",
                    **SETTINGS,
                )
                for _ in range(SERVERS)
            ]
            await asyncio.to_thread(
                self.sites[0].manage, "collectstatic", "--no-input", "--verbosity", "0"
            )
            for site in self.sites:
                stack.callback(site.stop)
            await asyncio.gather(*(asyncio.to_thread(s.start) for s in self.sites))
            urls = [site.url for site in self.sites]
            for _ in range(self._sessions):
                person = await asyncio.to_thread(Person, self.sites[0].url)
                first = person.watch(urls)
                others = [
                    person.watch(urls, first.session_id)
                    for _ in range(self._viewers - 1)
                ]
                for viewer in (first, *others):
                    await stack.enter_async_context(viewer)
                self._watching.append([first, *others])
                self._people.append(person)
            await self._open_pages(stack)
            await self._break_for(seconds)
            await self._settle()
            await self._judge()
        return self.report

    async def _open_pages(self, stack: AsyncExitStack) -> None:
        """One more viewer in as many sessions as asked for: the page, in Chromium."""
        if not self._pages:
            return
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS
        )
        stack.push_async_callback(browser.close)
        pairs = list(zip(self._people, self._watching, strict=True))[: self._pages]
        for person, viewers in pairs:
            site = self.chance.choice(self.sites)
            context = await browser.new_context()
            await context.add_cookies(
                [
                    {"name": name, "value": value, "url": site.url}
                    for name, value in person.cookies.items()
                ]
            )
            page = await context.new_page()
            session_id = viewers[0].session_id
            await page.goto(f"{site.url}/chat/{session_id}")
            self._shown.append((page, session_id))

    # ------------------------------------------------------------ traffic and faults

    async def _break_for(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._chat(seconds))
            tasks.create_task(self._inject(seconds))

    async def _chat(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            viewer = self.chance.choice(self.chance.choice(self._watching))
            viewer.ask(self._prompt())
            self._asked += 1
            await asyncio.sleep(self.chance.random() * 2 * seconds / 40)

    def _prompt(self) -> str:
        kind = self.chance.random()
        if kind < 0.6:
            tokens = self.chance.randrange(20, 400)
            thought = self.chance.randrange(0, 40)
            rate = self.chance.choice((20, 50, 100))
            return f"[stream thought={thought} tokens={tokens} rate={rate}]"
        if kind < 0.8 or self._lines == MAX_LINES:
            return "[scenario calculator]"
        self._lines += 1
        return f"[scenario line-{self._lines}]"

    def _add_lines(self) -> None:
        """Tell the model server of every line that the ledger may be asked to hold."""
        for number in range(1, MAX_LINES + 1):
            line = f"line-{number}"
            call = {"call": {"name": "ledger", "arguments": {"line": line}}}
            answer = {"text": "Written: {result}"}
            rounds = [{"actions": [call]}, {"actions": [answer]}]
            self.model.add(line, {"rounds": rounds})

    async def _inject(self, seconds: float) -> None:
        faults: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._kill_a_server, 2),
            (self._end_a_server, 2),
            (self._drop_sockets, 5),
            (self._stall_a_reader, 3),
            (self._kill_valkey, 1),
            (self._hang_valkey, 1),
            (self._restart_postgres, 1),
            (self._hang_postgres, 1),
            (self._lock_a_run, 2),
            (self._cut_the_model, 1),
        ]
        every = [fault for fault, _ in faults]
        self.chance.shuffle(every)
        kinds, weights = zip(*faults, strict=True)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        # Each at least once; then as chance will have it.
        while every or loop.time() < end:
            await asyncio.sleep(self.chance.random() * 2)
            fault = every.pop() if every else self.chance.choices(kinds, weights)[0]
            self.report.faults[fault.__name__.strip("_").replace("_", " ")] += 1
            await fault()

    async def _kill_a_server(self) -> None:
        site = self.chance.choice(self.sites)
        await asyncio.to_thread(site.kill)
        await asyncio.sleep(self.chance.random() * 3)
        await asyncio.to_thread(site.start)

    async def _end_a_server(self) -> None:
        site = self.chance.choice(self.sites)
        await asyncio.to_thread(site.terminate, 30)
        await asyncio.to_thread(site.start)

    async def _drop_sockets(self) -> None:
        for viewers in self._watching:
            self.chance.choice(viewers).drop()

    async def _stall_a_reader(self) -> None:
        viewer = self.chance.choice(self.chance.choice(self._watching))
        viewer.reading.clear()
        await asyncio.sleep(3)
        viewer.reading.set()

    async def _kill_valkey(self) -> None:
        await asyncio.to_thread(self.valkey.kill)
        await asyncio.sleep(self.chance.random() * 5)
        await asyncio.to_thread(self.valkey.start)

    async def _hang_valkey(self) -> None:
        with self.valkey.paused():
            await asyncio.sleep(self.chance.random() * 5)

    async def _restart_postgres(self) -> None:
        await asyncio.to_thread(self.postgres.terminate)
        await asyncio.sleep(self.chance.random() * 3)
        await asyncio.to_thread(self.postgres.start)

    async def _hang_postgres(self) -> None:
        with self.postgres.paused():  # for longer than a heartbeat may be late, or not
            await asyncio.sleep(self.chance.random() * 6)

    async def _lock_a_run(self) -> None:
        seconds = self.chance.random() * 4

        async def hold() -> None:
            url = self.postgres.url(self._database)
            async with await psycopg.AsyncConnection.connect(url) as connection:
                await connection.execute(
                    "SELECT id FROM chat_run WHERE status = 'running'"
                    " ORDER BY random() LIMIT 1 FOR UPDATE"
                )
                await asyncio.sleep(seconds)

        # PostgreSQL may be away, or go away: then there is nothing to hold.
        with suppress(psycopg.OperationalError):
            await hold()

    async def _cut_the_model(self) -> None:
        await asyncio.to_thread(self.model.stop)
        await asyncio.to_thread(self.model.start)
        await asyncio.to_thread(self._add_lines)

    # ------------------------------------------------------------ the end

    async def _settle(self) -> None:
        """Wait until every message is accepted and every run is finished everywhere."""
        for viewers in self._watching:
            for viewer in viewers:
                await self._settled(viewer, partial(_has_sent_all, viewer))
            asked = {run for viewer in viewers for run in viewer.accepted.values()}
            for viewer in viewers:
                await self._settled(viewer, partial(_has_seen_the_end, viewer, asked))

    async def _settled(self, viewer: Viewer, holds: Callable[[], bool]) -> None:
        try:
            await viewer.until(holds, SETTLE_SECONDS, "settled")
        except AssertionError as stuck:
            self.report.check("nothing is stuck", holds=False, otherwise=str(stuck))
        else:
            self.report.check("nothing is stuck", holds=True, otherwise="")

    async def _judge(self) -> None:
        check = self.report.check
        site = self.sites[0]
        for viewers in self._watching:
            session_id = viewers[0].session_id
            log = await asyncio.to_thread(stored, site, session_id)
            for viewer in viewers:
                check(
                    "every viewer shows the log, byte for byte",
                    holds=viewer.transcript() == log,
                    otherwise=f"{session_id}: {viewer.transcript()} is not {log}",
                )
            for viewer in viewers:
                self.report.reasons.update(
                    str(run.reason) for run in viewer.runs.values()
                )
                break
        for page, session_id in self._shown:
            await self._judge_page(
                page, await asyncio.to_thread(stored, site, session_id)
            )
        names = {
            name for vs in self._watching for viewer in vs for name in viewer.accepted
        }
        rows = await asyncio.to_thread(
            site.rows, "SELECT client_id, count(*) FROM chat_run GROUP BY client_id"
        )
        check(
            "every message sent exists exactly once",
            holds=dict(rows) == dict.fromkeys(names, 1) and len(names) == self._asked,
            otherwise=f"{self._asked} sent, {len(names)} accepted, {len(rows)} stored",
        )
        written = self._ledger.read_text().split() if self._ledger.exists() else []
        twice = [line for line, count in Counter(written).items() if count > 1]
        check(
            "no tool that must not be repeated was called twice",
            holds=not twice,
            otherwise=f"twice: {twice}",
        )
        unfinished = await asyncio.to_thread(
            site.rows, "SELECT id FROM chat_run WHERE status <> 'finished'"
        )
        check("no run is left open", holds=not unfinished, otherwise=f"{unfinished}")
        for site in self.sites:
            memory = _memory_mb(site.pid)
            check(
                "memory comes back",
                holds=memory < 250 + MAX_GROWTH_MB,
                otherwise=f"{memory:.0f} MB",
            )

    async def _judge_page(self, page: Page, log: dict[int, str]) -> None:
        """The page is live, its digests are the log's, and it shows it all."""
        wanted = {
            f"run-{number}": [step["type"] for step in json.loads(run)["steps"]]
            for number, run in log.items()
        }
        try:
            # Where nothing was asked there is nothing to prove: it is just live.
            proof = "agrees" if any(wanted.values()) else ""
            connection = page.locator('#connection[data-tone="live"]')
            await expect(connection).to_have_attribute(
                "data-proof", proof, timeout=60_000
            )
            for run in wanted:
                finished = page.locator(f'#{run}[data-status="finished"]')
                await expect(finished).to_have_count(1, timeout=60_000)
        except AssertionError as error:
            shown: Any = str(error)
        else:
            shown = await page.evaluate(STEPS_SHOWN)
        self.report.check(
            "every page shows the log, and its digests are the log's",
            holds=shown == wanted,
            otherwise=f"{shown} is not {wanted}",
        )


def _has_sent_all(viewer: Viewer) -> bool:
    return not viewer.outbox


def _has_seen_the_end(viewer: Viewer, runs: set[int]) -> bool:
    return all(viewer.reason(run) for run in runs)


def _memory_mb(pid: int) -> float:
    """What the process holds in memory, without what it shares."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20


def storm(seed: int, seconds: float, **extent: Any) -> Report:
    """One storm, with everything it needs, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="reasoning-site-chaos-") as folder:
        return asyncio.run(Storm(seed, Path(folder), **extent).run(seconds))


def main() -> int:
    """Run the storms that were asked for and print what became of each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, nargs="*", default=[1, 2, 3, 4, 5])
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--viewers", type=int, default=3)
    parser.add_argument("--pages", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--pooled", action="store_true", help="behind PgBouncer, in transaction mode"
    )
    given = parser.parse_args()
    whole = True
    for seed in given.seed:
        report = storm(
            seed,
            given.seconds,
            sessions=given.sessions,
            viewers=given.viewers,
            pages=given.pages,
            pooled=given.pooled,
        )
        sys.stdout.write(report.table() + "\n\n")
        sys.stdout.flush()
        whole = whole and report.is_whole
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
