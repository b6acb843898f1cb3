"""What may befall the site, one fault after the other, as chance will have it."""

from __future__ import annotations

import asyncio
import random
import urllib.error
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

import psycopg
import websockets
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from tests.chaos.report import Report
from tests.client import Person, Viewer
from tests.model_server.process import ModelServer, eventually
from tests.promises import stored
from tests.servers import Postgres, Site, Valkey

MAX_LINES: Final = 60
VICTIMS: Final = 40  # users that there are to be deleted
PASSWORD: Final = "secret"
LONG: Final = "[stream tokens=3000 rate=50]"
PATIENCE: Final = 60.0  # seconds for what must happen in the end
MAKE_USER: Final[LiteralString] = """
INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active,
  first_name, last_name, email, date_joined)
VALUES (%s, %s, %s, %s, true, '', '', '', now())
"""


def add_users(database: str) -> None:
    """Make an administrator, and the victims."""
    password = PBKDF2PasswordHasher().encode(PASSWORD, "salt", iterations=1)
    names = ["admin", *(f"user-{number}" for number in range(VICTIMS))]
    with psycopg.connect(database) as connection:
        for name in names:
            is_admin = name == "admin"
            connection.execute(MAKE_USER, (name, password, is_admin, is_admin))


def add_lines(model: ModelServer) -> None:
    """Tell it of every line that the ledger may be asked to hold."""
    for number in range(1, MAX_LINES + 1):
        line = f"line-{number}"
        call = {"call": {"name": "ledger", "arguments": {"line": line}}}
        answer = {"text": "Written: {result}"}
        rounds = [{"actions": [call]}, {"actions": [answer]}]
        model.add(line, {"rounds": rounds})


class Stop(NamedTuple):
    """Somebody has pressed Stop."""

    session_id: UUID
    run: int


@dataclass
class World:
    """All that can be broken."""

    sites: list[Site]
    neighbour: Site  # with a database of its own, on the same Valkey
    valkey: Valkey
    postgres: Postgres
    model: ModelServer
    database: str  # the URL of the sites', past any pooler
    admin: Person
    neighbours_viewer: Viewer
    watching: list[list[Viewer]] = field(default_factory=list)
    stops: set[Stop] = field(default_factory=set)

    @property
    def urls(self) -> list[str]:
        """Of the sites."""
        return [site.url for site in self.sites]


class Faults:
    """Breaks a world; `ask` is to say something in a chat."""

    def __init__(
        self,
        chance: random.Random,
        report: Report,
        world: World,
        ask: Callable[[Viewer, str], None],
    ) -> None:
        self._chance = chance
        self._report = report
        self._world = world
        self._ask = ask
        self._users = 0  # of the victims, that are deleted

    async def inject(self, seconds: float) -> None:
        """Each fault at least once; then as chance will have it, for so long."""
        faults: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.kill_a_server, 2),
            (self.end_a_server, 2),
            (self.drop_sockets, 5),
            (self.stall_a_reader, 3),
            (self.kill_valkey, 1),
            (self.hang_valkey, 1),
            (self.restart_postgres, 1),
            (self.hang_postgres, 1),
            (self.lock_a_row, 3),
            (self.cut_the_model, 1),
            (self.delete_a_session_that_is_answered, 2),
            (self.delete_a_user_who_is_answered, 2),
            (self.ask_stop_and_retry_at_once, 3),
            (self.stop_a_run_of_the_neighbours, 2),
        ]
        every = [fault for fault, _ in faults]
        self._chance.shuffle(every)
        kinds, weights = zip(*faults, strict=True)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while every or loop.time() < end:
            await asyncio.sleep(self._chance.random() * 2)
            fault = every.pop() if every else self._chance.choices(kinds, weights)[0]
            self._report.faults[fault.__name__.replace("_", " ")] += 1
            await fault()

    # ------------------------------------------------------------ of machines

    async def kill_a_server(self) -> None:
        """SIGKILL, and up again."""
        site = self._chance.choice(self._world.sites)
        await asyncio.to_thread(site.kill)
        await asyncio.sleep(self._chance.random() * 3)
        await asyncio.to_thread(site.start)

    async def end_a_server(self) -> None:
        """SIGTERM, and up again."""
        site = self._chance.choice(self._world.sites)
        await asyncio.to_thread(site.terminate, 30)
        await asyncio.to_thread(site.start)

    async def drop_sockets(self) -> None:
        """One in each chat."""
        for viewers in self._world.watching:
            self._chance.choice(viewers).drop()

    async def stall_a_reader(self) -> None:
        """A viewer that does not read for a while."""
        viewer = self._somebody()
        viewer.reading.clear()
        await asyncio.sleep(3)
        viewer.reading.set()

    async def kill_valkey(self) -> None:
        """SIGKILL, and up again, empty."""
        await asyncio.to_thread(self._world.valkey.kill)
        await asyncio.sleep(self._chance.random() * 5)
        await asyncio.to_thread(self._world.valkey.start)

    async def hang_valkey(self) -> None:
        """SIGSTOP."""
        with self._world.valkey.paused():
            await asyncio.sleep(self._chance.random() * 5)

    async def restart_postgres(self) -> None:
        """Shut down, and up again."""
        await asyncio.to_thread(self._world.postgres.terminate)
        await asyncio.sleep(self._chance.random() * 3)
        await asyncio.to_thread(self._world.postgres.start)

    async def hang_postgres(self) -> None:
        """SIGSTOP, for longer than a heartbeat may be late, or not."""
        with self._world.postgres.paused():
            await asyncio.sleep(self._chance.random() * 6)

    async def lock_a_row(self) -> None:
        """As somebody who left a transaction open."""
        row = self._chance.choice(
            (
                "chat_run WHERE status = 'running'",
                "chat_session WHERE id IN"
                " (SELECT session_id FROM chat_run WHERE status = 'running')",
                "chat_process",
            )
        )
        seconds = self._chance.random() * 4

        async def hold() -> None:
            async with await psycopg.AsyncConnection.connect(
                self._world.database
            ) as connection:
                statement = f"SELECT id FROM {row} ORDER BY random() LIMIT 1 FOR UPDATE"  # noqa: S608
                await connection.execute(statement.encode())
                await asyncio.sleep(seconds)

        # PostgreSQL may be away, or go away: then there is nothing to hold.
        with suppress(psycopg.OperationalError):
            await hold()

    async def cut_the_model(self) -> None:
        """Everything that it was saying, and up again."""
        await asyncio.to_thread(self._world.model.stop)
        await asyncio.to_thread(self._world.model.start)
        await asyncio.to_thread(add_lines, self._world.model)

    # ------------------------------------------------------------ of people

    async def delete_a_session_that_is_answered(self) -> None:
        """In the admin."""
        person = await asyncio.to_thread(Person, self._some_url())
        async with person.watch(self._world.urls) as viewer:
            session_id = str(viewer.session_id)
            await self._delete(viewer, "chat/session", session_id, "chat_session")

    async def delete_a_user_who_is_answered(self) -> None:
        """In the admin."""
        name, url = f"user-{self._users}", self._some_url()
        self._users += 1
        person = await asyncio.to_thread(Person, url)
        sign_in = partial(person.submit, username=name, password=PASSWORD)
        await self._in_the_end(partial(sign_in, f"{url}/sign-in"))
        ((user_id,),) = await asyncio.to_thread(
            self._world.sites[0].rows,
            "SELECT id FROM auth_user WHERE username = ?",
            name,
        )
        async with person.watch(self._world.urls) as viewer:
            await self._delete(viewer, "auth/user", str(user_id), "auth_user")

    async def _delete(self, viewer: Viewer, kind: str, id_: str, table: str) -> None:
        """Delete what a viewer is in while it is answered; they must be told."""
        viewer.ask(LONG)
        await viewer.until(lambda: viewer.text(1), PATIENCE, "an answer")
        url = f"{self._some_url()}/admin/{kind}/{id_}/delete/"
        await self._in_the_end(partial(self._world.admin.submit, url, post="yes"))
        try:
            await eventually(lambda: {4401, 4404} & {*viewer.closes}, within=PATIENCE)
        except TimeoutError:
            told = False
        else:
            told = True
        left = await asyncio.to_thread(
            self._world.sites[0].rows,
            f"SELECT id FROM {table} WHERE CAST(id AS text) = ?",  # noqa: S608
            id_,
        )
        self._report.check(
            "what is deleted while it is answered is gone, and its viewers are told",
            holds=told and not left,
            otherwise=f"{kind} {id_}: {viewer.closes}, {left}",
        )

    async def ask_stop_and_retry_at_once(self) -> None:
        """Several sockets of one chat."""
        answered = [viewers for viewers in self._world.watching if _is_active(viewers)]
        viewers = self._chance.choice(answered or self._world.watching)
        session_id = viewers[0].session_id
        runs = viewers[0].runs.values()
        active = [run.run for run in runs if run.status == "running"]
        # Not what may write into the ledger: that would be twice, rightly.
        over = [
            run.run
            for run in runs
            if run.status == "finished" and run.prompt.startswith("[stream")
        ]
        sent: list[Awaitable[None]] = []
        for viewer in viewers:
            self._ask(viewer, "[stream thought=10 tokens=30 rate=50]")
            for number in active:
                self._world.stops.add(Stop(session_id, number))
                sent.append(viewer.send("interrupt", run=number))
            sent += [viewer.send("retry", run=number) for number in over[:1]]
        for result in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(
                result, websockets.ConnectionClosed | AssertionError
            ):
                raise result

    async def stop_a_run_of_the_neighbours(self) -> None:
        """Of the same id as one of ours that is under way."""
        ((ours,),) = await asyncio.to_thread(
            self._world.sites[0].rows,
            "SELECT coalesce(max(id), 0) FROM chat_run WHERE status = 'running'",
        )
        await asyncio.to_thread(
            self._world.neighbour.rows,
            "SELECT setval(pg_get_serial_sequence('chat_run', 'id'), greatest(?,"
            " (SELECT max(id) + 1 FROM chat_run), 2) - 1)",
            ours,
        )
        viewer = self._world.neighbours_viewer
        number = len(viewer.runs) + 1
        viewer.ask(LONG)
        await viewer.until(lambda: viewer.text(number), PATIENCE, "the neighbour's")
        while not viewer.reason(number):  # it may be offline when it is pressed
            with suppress(websockets.ConnectionClosed):
                await viewer.send("interrupt", run=number)
            with suppress(AssertionError):
                await viewer.until(lambda: viewer.reason(number), 2, "stopped")

    async def judge_the_neighbour(self) -> None:
        """It has stopped what was stopped there, and shows it."""
        viewer = self._world.neighbours_viewer
        log = await asyncio.to_thread(stored, self._world.neighbour, viewer.session_id)
        reasons = [run.reason for run in viewer.runs.values()]
        self._report.check(
            "a second site on the same Valkey is not disturbed",
            holds=viewer.transcript() == log and {*reasons} == {"stopped"},
            otherwise=f"{reasons}, {viewer.transcript()} is not {log}",
        )

    def _somebody(self) -> Viewer:
        return self._chance.choice(self._chance.choice(self._world.watching))

    def _some_url(self) -> str:
        return self._chance.choice(self._world.urls)

    async def _in_the_end(self, request: Callable[[], object]) -> None:
        """Try until it succeeds: a fault before may still be felt."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await asyncio.to_thread(request)
                except (urllib.error.URLError, OSError):
                    await asyncio.sleep(0.2)
                else:
                    return


def _is_active(viewers: list[Viewer]) -> bool:
    return any(run.status == "running" for run in viewers[0].runs.values())
