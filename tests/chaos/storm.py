"""One seeded storm: everything is broken while people chat, and then it is judged.

Three server processes, PostgreSQL, Valkey and the scripted model server; sessions
with several viewers each, one of them a page in a real browser where asked for; and a
second site on the same Valkey. In the end every viewer must show exactly what the log
holds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from playwright.async_api import Page, async_playwright, expect

from chat.wire.protocol import Failure
from tests.browser.drive import ARGUMENTS, CHROMIUM
from tests.chaos.faults import (
    MAX_LINES,
    PASSWORD,
    Faults,
    Stop,
    World,
    add_lines,
    add_users,
)
from tests.chaos.report import Report
from tests.client import Person, Viewer
from tests.model_server.process import ModelServer
from tests.promises import stored
from tests.servers import Databases, PgBouncer, Postgres, Site, Valkey

SERVERS: Final = 3
SETTLE_SECONDS: Final = 120  # until everything must be whole again
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
        self._world: World
        self._shown: list[tuple[Page, UUID]] = []
        self._people: list[Person] = []
        self._asked = 0
        self._lines = 0  # asked to be written into the ledger, each another one
        self._ledger = folder / "ledger"

    async def run(self, seconds: float) -> Report:
        """Start everything, break it for so long, let it settle, and check."""
        os.environ["LEDGER_FILE"] = str(self._ledger)
        async with AsyncExitStack() as stack:
            self._world = await self._start(stack)
            await self._let_people_in(stack)
            await self._open_pages(stack)
            faults = Faults(self.chance, self.report, self._world, self._say)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._chat(seconds))
                tasks.create_task(faults.inject(seconds))
            await self._settle()
            await self._judge()
            await faults.judge_the_neighbour()
            self._judge_the_logs()
        return self.report

    async def _start(self, stack: AsyncExitStack) -> World:
        model = stack.enter_context(ModelServer())
        add_lines(model)
        valkey = stack.enter_context(Valkey(self._folder))
        postgres = stack.enter_context(Postgres())
        databases = Databases(self._folder, lambda: postgres)
        database = url = await asyncio.to_thread(databases.new, "postgresql")
        if self._pooled:
            pooler = stack.enter_context(PgBouncer(postgres))
            url = pooler.url(urlsplit(url).path[1:])
        settings = SETTINGS | {
            "REDIS_URL": valkey.url,
            "LLM_BASE_URL": model.base_url,
            "STATIC_ROOT": self._folder / "static",
        }
        sites = [
            Site(self._folder, DATABASE_URL=url, **settings) for _ in range(SERVERS)
        ]
        another = await asyncio.to_thread(databases.new, "postgresql")
        neighbour = Site(self._folder, DATABASE_URL=another, **settings)
        add_users(database)
        await asyncio.to_thread(
            sites[0].manage, "collectstatic", "--no-input", "--verbosity", "0"
        )
        for site in (*sites, neighbour):
            stack.callback(site.stop)
        await asyncio.gather(*(asyncio.to_thread(s.start) for s in (*sites, neighbour)))
        admin = await asyncio.to_thread(Person, sites[0].url)
        await asyncio.to_thread(
            partial(admin.submit, username="admin", password=PASSWORD),
            f"{sites[0].url}/sign-in",
        )
        somebody = await asyncio.to_thread(Person, neighbour.url)
        return World(
            sites,
            neighbour,
            valkey,
            postgres,
            model,
            database,
            admin,
            await stack.enter_async_context(somebody.watch([neighbour.url])),
        )

    async def _let_people_in(self, stack: AsyncExitStack) -> None:
        urls = self._world.urls
        for _ in range(self._sessions):
            person = await asyncio.to_thread(Person, urls[0])
            first = person.watch(urls)
            others = [
                person.watch(urls, first.session_id) for _ in range(self._viewers - 1)
            ]
            for viewer in (first, *others):
                await stack.enter_async_context(viewer)
            self._world.watching.append([first, *others])
            self._people.append(person)

    async def _open_pages(self, stack: AsyncExitStack) -> None:
        """One more viewer in as many sessions as asked for: the page, in Chromium."""
        if not self._pages:
            return
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS
        )
        stack.push_async_callback(browser.close)
        pairs = list(zip(self._people, self._world.watching, strict=True))[
            : self._pages
        ]
        for person, viewers in pairs:
            site = self.chance.choice(self._world.sites)
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

    # ------------------------------------------------------------ traffic

    async def _chat(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            viewer = self.chance.choice(self.chance.choice(self._world.watching))
            self._say(viewer, self._prompt())
            await asyncio.sleep(self.chance.random() * 2 * seconds / 40)

    def _say(self, viewer: Viewer, prompt: str) -> None:
        viewer.ask(prompt)
        self._asked += 1

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

    # ------------------------------------------------------------ the end

    async def _settle(self) -> None:
        """Wait until every message is accepted and every run is finished everywhere."""
        for viewers in self._world.watching:
            for viewer in viewers:
                await self._settled(viewer, partial(_has_sent_all, viewer))
            asked = {run for viewer in viewers for run in viewer.accepted.values()}
            for viewer in viewers:
                seen = partial(_has_seen_the_end, viewer, viewers, asked)
                await self._settled(viewer, seen)

    async def _settled(self, viewer: Viewer, holds: Callable[[], bool]) -> None:
        try:
            await viewer.until(holds, SETTLE_SECONDS, "settled")
        except AssertionError as stuck:
            self.report.check("nothing is stuck", holds=False, otherwise=str(stuck))
        else:
            self.report.check("nothing is stuck", holds=True, otherwise="")

    async def _judge(self) -> None:
        check = self.report.check
        site = self._world.sites[0]
        for viewers in self._world.watching:
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
        self._judge_people()
        for page, session_id in self._shown:
            await self._judge_page(
                page, await asyncio.to_thread(stored, site, session_id)
            )
        names = {
            name
            for vs in self._world.watching
            for viewer in vs
            for name in viewer.accepted
        }
        rows = await asyncio.to_thread(
            site.rows,
            # What was run again has none; what deleted people asked is gone.
            "SELECT client_id, count(*) FROM chat_run WHERE client_id IS NOT NULL"
            " GROUP BY client_id",
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
        for site in self._world.sites:
            memory = _memory_mb(site.pid)
            check(
                "memory comes back",
                holds=memory < 250 + MAX_GROWTH_MB,
                otherwise=f"{memory:.0f} MB",
            )

    def _judge_people(self) -> None:
        """Nobody saw what they must not."""
        for viewers in self._world.watching:
            session_id = viewers[0].session_id
            for run in viewers[0].runs.values():
                self.report.check(
                    "nothing is stopped but by who pressed Stop",
                    holds=run.reason != "stopped"
                    or Stop(session_id, run.run) in self._world.stops,
                    otherwise=f"{session_id}, run {run.run}",
                )
                self.report.check(
                    "nothing fails but what the model has failed at",
                    holds=run.reason != "failed"
                    or (
                        isinstance(run.error, Failure)
                        and run.error.code.startswith("model")
                    ),
                    otherwise=f"{session_id}, run {run.run}: {run.error}",
                )
            for viewer in viewers:
                wrong = [e for e in viewer.errors if "went wrong" in e["message"]]
                self.report.check(
                    "nobody is told that something went wrong inside the site",
                    holds=not wrong,
                    otherwise=f"{wrong}",
                )

    def _judge_the_logs(self) -> None:
        for site in (*self._world.sites, self._world.neighbour):
            _, found, after = site.log_text.partition("Traceback")
            self.report.check(
                "no server has logged a traceback",
                holds=not found,
                otherwise=after[-300:],
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


def _has_seen_the_end(viewer: Viewer, all_: list[Viewer], asked: set[int]) -> bool:
    """Of what was asked, and of what was run again, which whoever sees it tells of."""
    runs = asked.union(*(each.runs for each in all_))
    return all(viewer.reason(run) for run in runs)


def _memory_mb(pid: int) -> float:
    """What the process holds in memory, without what it shares."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20
