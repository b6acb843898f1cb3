"""The feeds of a process, over a real database and real outboxes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError

from chat import store
from chat.live import feeds as feeds_module
from chat.live.feeds import Feeds
from chat.live.outbox import Outbox
from chat.live.reads import Read, ReadLog, ReadRows, Result
from chat.live.viewer import Viewer
from chat.models import Run, Session
from chat.store import Identity
from chat.store.database import db
from chat.wire.protocol import (
    CLOSE_NO_SUCH_SESSION,
    Frame,
    Place,
    StepDelta,
    Subscribe,
    encode,
)
from chat.wire.transcript import fold, view
from tests.live.memory import Client
from tests.rows import GUEST, STRANGER, ask, log_of, running_run, say, started

pytestmark = pytest.mark.django_db(transaction=True)


class Watching:
    """A socket's viewer, as a consumer keeps one."""

    def __init__(self, feeds: Feeds, session_id: UUID, who: Identity) -> None:
        self.feeds = feeds
        self.session_id = session_id
        self.client = Client()
        outbox = Outbox(self._send, max_chars=10_000, on_broken=lambda _: None)
        self.viewer = Viewer(who, outbox, self.client.codes.append)

    async def _send(self, text: str) -> None:
        self.client.hear(text)

    async def subscribe(self, seen: dict[int, Place] | None = None) -> None:
        """Return when the snapshot has come."""
        joined = asyncio.Event()
        feed = self.feeds.of(self.session_id)
        assert feed is not None
        feed.subscribe(self.viewer, Subscribe(2, seen or {}), joined.set)
        async with asyncio.timeout(10):
            await joined.wait()

    async def shows(self, run: Run) -> None:
        """Wait until it shows the run as the log has it."""
        log = view(fold(run.number, await db(log_of, run.pk)))
        shown = self.client.runs
        await until(lambda: run.number in shown and shown[run.number].seq == log.seq)
        assert encode(view(shown[run.number])) == encode(log)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  (of many kinds: no event stands for all)
            await asyncio.sleep(0)


@asynccontextmanager
async def watching(
    feeds: Feeds, session_id: UUID, who: Identity = GUEST
) -> AsyncIterator[Watching]:
    """Somebody watches the session, in classic mode as yet."""
    with feeds.watching(session_id) as watched:
        feed = await watched.ready()
        person = Watching(feeds, session_id, who)
        entry = await db(store.enter, session_id, who)
        feed.join(person.viewer, entry.facts)
        try:
            yield person
        finally:
            feed.leave(person.viewer)


def say_on(run: Run, *texts: str) -> Frame:
    """Append to the run's log; the frame to publish."""
    deltas = [StepDelta(step=0, text=text) for text in texts]
    return say(run, *deltas)


def begun() -> Run:
    """A run whose first step is open."""
    run = running_run()
    say(run, started(0))
    return run


async def test_a_snapshot_and_what_comes_after_it_are_the_log() -> None:
    feeds, run = Feeds(), await db(begun)
    async with watching(feeds, run.session_id) as person:
        await person.subscribe()
        await person.shows(run)
        feeds.deliver(run.session_id, await db(say_on, run, "Hello "))
        await db(say_on, run, "lost ")
        feeds.deliver(run.session_id, await db(say_on, run, "found."))
        await person.shows(run)
        await db(say_on, run, "And the last one lost.")
        await feeds.check()
        await person.shows(run)
    assert feeds.sessions == []


async def test_many_who_come_at_once_have_the_log_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feeds, run = Feeds(), await db(begun)
    reads: list[Read] = []
    perform = feeds_module._perform

    def counted(session_id: UUID, read: Read) -> Result:
        reads.append(read)
        return perform(session_id, read)

    monkeypatch.setattr(feeds_module, "_perform", counted)
    with feeds.watching(run.session_id) as watched:
        feed = await watched.ready()
        people = [Watching(feeds, run.session_id, GUEST) for _ in range(50)]
        facts = (await db(store.enter, run.session_id, GUEST)).facts
        for person in people:
            feed.join(person.viewer, facts)
        async with asyncio.TaskGroup() as tasks:
            for person in people:
                tasks.create_task(person.subscribe())
        feeds.deliver(run.session_id, await db(say_on, run, "Hello"))
        for person in people:
            await person.shows(run)
    assert [type(read) for read in reads].count(ReadLog) == 1
    assert [type(read) for read in reads].count(ReadRows) == 1


async def test_who_comes_back_is_told_only_what_is_new() -> None:
    feeds, run = Feeds(), await db(begun)
    async with watching(feeds, run.session_id) as other:
        await other.subscribe()
        async with watching(feeds, run.session_id) as person:
            await person.subscribe()
        client = person.client
        feeds.deliver(run.session_id, await db(say_on, run, "meanwhile"))
        async with watching(feeds, run.session_id) as person:
            person.client.runs = client.runs
            await person.subscribe(person.client.seen(plain=False))
            await person.shows(run)
            assert person.client.types == ["snapshot", "events"]


async def test_a_branch_that_was_lost_is_not_gone_on_from() -> None:
    feeds, run = Feeds(), await db(begun)
    async with watching(feeds, run.session_id) as person:
        await person.subscribe()
        client = person.client
        await db(say_on, run, "one", "two")
        client.runs[1].seq += 2  # of another branch, under another epoch
        client.runs[1].epoch += 1
        async with watching(feeds, run.session_id) as again:
            again.client.runs = client.runs
            await again.subscribe(client.seen(plain=False))
            await again.shows(run)
            assert again.client.types == ["snapshot"]


async def test_a_session_that_begins_is_shown_to_its_owner_only() -> None:
    feeds, session_id = Feeds(), uuid4()
    async with (
        watching(feeds, session_id) as mine,
        watching(feeds, session_id, STRANGER) as theirs,
    ):
        await mine.subscribe()
        await theirs.subscribe()
        asked = await db(ask, session_id)
        assert asked.written is not None
        feeds.deliver(session_id, asked.written.frame)
        feeds.announce(session_id, {"title": "secret"})
        await mine.shows(await db(Run.objects.get, id=asked.run_id))
        assert theirs.client.codes == [CLOSE_NO_SUCH_SESSION]
        assert theirs.client.types == ["snapshot"]
        assert theirs.client.runs == {}


async def test_a_session_deleted_elsewhere_closes_its_viewers() -> None:
    feeds, run = Feeds(), await db(begun)
    async with watching(feeds, run.session_id) as person:
        await db(store.delete_session, run.session_id, GUEST)
        await feeds.check()
        assert person.client.codes == [CLOSE_NO_SUCH_SESSION]


async def test_a_session_that_changes_hands_closes_for_who_had_it() -> None:
    feeds, run = Feeds(), await db(begun)
    async with watching(feeds, run.session_id) as person:
        changed = Session.objects.filter(id=run.session_id)
        await db(changed.update, guest_key="another-key")
        await feeds.check()
        assert person.client.codes == [CLOSE_NO_SUCH_SESSION]


async def test_a_database_that_is_away_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feeds, run = Feeds(), await db(begun)
    monkeypatch.setattr(feeds_module, "RETRY_DELAY", 0)
    perform = feeds_module._perform
    failures = iter([OperationalError(), ValueError()])

    def fail_first(*args: Any) -> Any:
        if (error := next(failures, None)) is not None:
            raise error
        return perform(*args)

    monkeypatch.setattr(feeds_module, "_perform", fail_first)
    async with watching(feeds, run.session_id) as person:
        await person.subscribe()
        await person.shows(run)


async def test_classic_mode_is_told_each_step_when_it_is_finished() -> None:
    feeds, session_id = Feeds(), uuid4()
    async with watching(feeds, session_id) as person:
        run = await db(running_run, session_id)
        await feeds.check()
        await until(lambda: person.client.told)
        assert "reasoning_start" in person.client.told[0]
        stopped = await db(store.stop, session_id, GUEST, None, None)
        feeds.deliver(run.session_id, stopped.written.frame)
        await until(lambda: "reasoning_complete" in person.client.told[-1])
