"""A socket's view: in order, none twice, none missed, never more than its bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from hypothesis import given, settings, strategies as st
from msgspec import convert

from chat import store
from chat.live import viewer as viewer_module
from chat.live.frames import frames_of
from chat.live.viewer import (
    MAX_REPLIES,
    MAX_UNREAD_CHARS,
    SocketViewer,
    TooSlowError,
)
from chat.log.batches import make_batch, write
from chat.models import Run, Step
from chat.store import Identity, snapshots
from chat.store.database import db
from chat.wire.protocol import (
    CLOSE_NO_SUCH_SESSION,
    Event,
    Frame,
    RunFinished,
    RunView,
    StepDelta,
    StepFinished,
    StepStarted,
    decode_events,
    encode,
    message,
)
from chat.wire.transcript import RunState, apply, digest, fold, view
from tests import streams  # noqa: F401  (sets how many examples are tried)
from tests.client import _from_view
from tests.rows import GUEST, STRANGER, ask, running_run

pytestmark = pytest.mark.django_db(transaction=True)


class Client:
    """The other end: a page in log mode that forgives neither gaps nor doubles."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.codes: list[int] = []
        self.runs: dict[int, RunState] = {}
        self.waiting = False  # for a snapshot
        self.reading = asyncio.Event()
        self.reading.set()

    async def send(self, text: str) -> None:
        """What the viewer calls to send."""
        await self.reading.wait()
        heard = json.loads(text)
        self.messages.append(heard)
        if heard["type"] == "snapshot":
            self.waiting = False
            for shown in heard["data"]["runs"]:
                self.runs[shown["run"]] = _from_view(convert(shown, RunView))
        if heard["type"] == "events" and not self.waiting:
            number = heard["data"]["run"]
            run = self.runs.setdefault(number, RunState(number))
            for event in decode_events(encode(heard["data"]["events"])):
                assert apply(run, event), "told twice"

    async def close(self, code: int) -> None:
        """What the viewer calls to hang up."""
        self.codes.append(code)

    @property
    def seen(self) -> dict[int, int]:
        return {number: run.seq for number, run in self.runs.items()}

    def types(self) -> list[str]:
        return [heard["type"] for heard in self.messages]


@asynccontextmanager
async def viewing(
    session_id: UUID, who: Identity = GUEST, *, max_chars: int = 10_000
) -> AsyncIterator[tuple[SocketViewer, Client]]:
    """A viewer as a consumer keeps one, from the connect on."""
    client = Client()
    viewer = SocketViewer(
        session_id, who, client.send, client.close, max_chars=max_chars
    )
    session = await db(store.find_session, session_id, who)
    positions = await db(store.session_positions, session_id, 0)
    viewer.start(positions if session else [], allowed=session is not None)
    pump = asyncio.create_task(viewer.run())
    try:
        yield viewer, client
    finally:
        pump.cancel()
        with suppress(asyncio.CancelledError):
            await pump  # raises what the client found wrong


def write_on(run_id: int, *events: Event) -> Frame:
    """Append to the run's log; the frame to publish."""
    with transaction.atomic():
        run = Run.objects.select_for_update().get(id=run_id)
        rows = [row(run, event) for event in events if isinstance(event, StepFinished)]
        batch = make_batch(run.pk, run.epoch, run.last_seq, events, rows)
        assert write([batch]) == {run.pk}
    return batch.frame(run.number)


def row(run: Run, event: StepFinished) -> Step:
    """The row of the step that `event` finishes."""
    step = fold(run.number, store.read_events(run.pk)).steps[event.step]
    assert event.digest == digest(step.content)
    return Step(
        run=run,
        step=step.step,
        type=step.type,
        iteration=step.iteration,
        content=step.content,
        status=event.status,
        started_at=datetime.fromtimestamp(step.timestamp, UTC),
        duration_ms=event.duration_ms,
        digest=event.digest,
    )


def started(step: int = 0) -> StepStarted:
    return StepStarted(step=step, type="thought", iteration=1, timestamp=1.0)


def finished(text: str, step: int = 0) -> StepFinished:
    return StepFinished(step=step, status="ok", duration_ms=1, digest=digest(text))


END = RunFinished(reason="answered", duration_ms=1)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  (of many kinds: no event stands for all)
            await asyncio.sleep(0)


async def shows_the_log(client: Client, run: Run) -> None:
    """Wait until the client shows the run as the log has it."""
    log = view(fold(run.number, await db(store.read_events, run.pk)))
    await until(lambda: client.seen.get(run.number) == log.seq)
    assert encode(view(client.runs[run.number])) == encode(log)


# ---------------------------------------------------------------- live


async def test_live_frames_are_passed_on_as_they_are() -> None:
    run = await db(running_run)
    async with viewing(run.session_id) as (viewer, client):
        await viewer.subscribe({})
        await until(lambda: "snapshot" in client.types())
        frame = await db(write_on, run.pk, started(), StepDelta(step=0, text="Hm"))
        await until(lambda: not viewer._behind)
        viewer.deliver(frame)
        await until(lambda: "events" in client.types())
        assert client.messages[-1] == json.loads(frame.text)
        await shows_the_log(client, run)


async def test_a_frame_that_comes_twice_is_sent_once() -> None:
    run = await db(running_run)
    async with viewing(run.session_id) as (viewer, client):
        await viewer.subscribe({})
        await until(lambda: client.types() and not viewer._behind)
        frame = await db(write_on, run.pk, started())
        for _ in range(3):
            viewer.deliver(frame)
        await shows_the_log(client, run)
        assert client.types().count("events") == 1


async def test_a_lost_frame_is_read_from_the_log() -> None:
    run = await db(running_run)
    async with viewing(run.session_id) as (viewer, client):
        await viewer.subscribe({})
        await until(lambda: client.types() and not viewer._behind)
        await db(write_on, run.pk, started(), StepDelta(step=0, text="lost "))
        viewer.deliver(await db(write_on, run.pk, StepDelta(step=0, text="found")))
        await shows_the_log(client, run)


async def test_a_lost_last_frame_is_found_by_the_position_check() -> None:
    run = await db(running_run)
    async with viewing(run.session_id) as (viewer, client):
        await viewer.subscribe({})
        await until(lambda: client.types() and not viewer._behind)
        frame = await db(write_on, run.pk, started(), END)
        viewer.check(run.number, frame.first - 1)
        assert not viewer._behind  # nothing new
        viewer.check(run.number, frame.last)
        await shows_the_log(client, run)


async def test_a_slow_reader_costs_no_more_than_its_outbox() -> None:
    run = await db(running_run)
    async with viewing(run.session_id, max_chars=2_000) as (viewer, client):
        await viewer.subscribe({})
        await until(lambda: client.types() and not viewer._behind)
        client.reading.clear()
        viewer.deliver(await db(write_on, run.pk, started()))
        for _ in range(50):
            viewer.deliver(
                await db(write_on, run.pk, StepDelta(step=0, text="x" * 500))
            )
            assert viewer._chars < 2_000 + 1_000
        assert viewer._behind
        client.reading.set()
        await shows_the_log(client, run)
        assert client.types().count("events") < 20  # caught up in few messages


async def test_who_asks_and_asks_but_does_not_read_is_too_slow() -> None:
    async with viewing(uuid4()) as (viewer, client):
        client.reading.clear()
        pong = message("pong", {"timestamp": None})
        for _ in range(MAX_REPLIES + 1):  # one of them is being sent
            viewer.reply(pong)
            await asyncio.sleep(0)
        with pytest.raises(TooSlowError):
            viewer.reply(pong)


async def test_long_answers_that_nobody_reads_are_bounded_by_their_length() -> None:
    async with viewing(uuid4()) as (viewer, client):
        client.reading.clear()
        page = message("history", {"runs": ["x" * 2**20]})
        with suppress(TooSlowError):
            for _ in range(20):
                viewer.reply(page)
                await asyncio.sleep(0)
        with pytest.raises(TooSlowError):
            viewer.reply(page)
        assert viewer._chars <= MAX_UNREAD_CHARS + len(page)
        client.reading.set()
        await until(lambda: not viewer._outbox)
        viewer.reply(page)  # who has read may ask again


async def test_who_reads_may_ask_for_ever() -> None:
    async with viewing(uuid4()) as (viewer, client):
        for _ in range(MAX_REPLIES * 2):
            viewer.reply(message("pong", {"timestamp": None}))
            await until(lambda: not viewer._outbox)
        await until(lambda: len(client.messages) == MAX_REPLIES * 2)


async def test_who_reads_while_events_come_and_come_may_ask_for_ever() -> None:
    run = await db(running_run)
    async with viewing(run.session_id, max_chars=100) as (viewer, client):
        await viewer.subscribe({})
        await until(lambda: client.types() and not viewer._behind)
        for _ in range(MAX_REPLIES * 2):
            viewer.check(run.number, 10**6)  # behind all the time
            viewer.reply(message("pong", {"timestamp": None}))
            await until(lambda: not viewer._outbox)


# ---------------------------------------------------------------- whose


async def test_a_session_that_begins_while_watched_is_shown_to_its_owner() -> None:
    session_id = uuid4()
    async with viewing(session_id) as (viewer, client):
        await viewer.subscribe({})
        await until(lambda: "snapshot" in client.types())
        asked = await db(ask, session_id)
        assert asked.written is not None
        viewer.deliver(asked.written.frame)
        await until(lambda: 1 in client.runs)
        assert "session" in client.types()
        assert client.codes == []


@pytest.mark.parametrize("subscribed", [True, False])
async def test_a_session_that_turns_out_to_be_somebody_elses_is_closed(
    *, subscribed: bool
) -> None:
    session_id = uuid4()
    async with viewing(session_id, STRANGER) as (viewer, client):
        if subscribed:
            await viewer.subscribe({})
            await until(lambda: "snapshot" in client.types())
        asked = await db(ask, session_id)
        assert asked.written is not None
        viewer.deliver(asked.written.frame)
        viewer.announce(message("session", {"title": "secret"}))
        await until(lambda: client.codes)
        assert client.codes == [CLOSE_NO_SUCH_SESSION]
        assert "events" not in client.types()
        assert "session" not in client.types()


async def test_who_comes_just_before_the_first_message_is_shown_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session_id = uuid4()
    find = store.find_session

    def find_too_early(session_id: UUID, who: Identity) -> Any:
        found = find(session_id, who)
        if found is None:
            ask(session_id, GUEST, prompt="secret")
        return found

    async with viewing(session_id, STRANGER) as (viewer, client):
        monkeypatch.setattr(snapshots, "find_session", find_too_early)
        await viewer.subscribe({})
        await until(lambda: client.codes)
        assert client.codes == [CLOSE_NO_SUCH_SESSION]
        assert client.types() == ["snapshot"]
        assert client.messages[0]["data"]["runs"] == []


# ---------------------------------------------------------------- which runs


async def test_runs_between_what_was_seen_and_the_latest_are_not_told() -> None:
    session_id = uuid4()
    runs = []
    for _ in range(25):
        run = await db(running_run, session_id)
        await db(write_on, run.pk, END)
        runs.append(run)
    async with viewing(session_id) as (viewer, client):
        client.runs = {
            number: fold(number, (await db(store.read_events, runs[number - 1].pk))[:n])
            for number, n in ((1, 3), (2, 2))
        }
        await viewer.subscribe(client.seen)
        await shows_the_log(client, runs[1])
        await until(lambda: not viewer._behind)
        assert sorted(client.runs) == [1, 2, *range(6, 26)]


@pytest.mark.parametrize("log_mode", [True, False])
async def test_a_run_under_way_is_told_though_later_ones_were_withdrawn(
    monkeypatch: pytest.MonkeyPatch, *, log_mode: bool
) -> None:
    monkeypatch.setattr(viewer_module, "MAX_POSITIONS", 8)
    run = await db(running_run)
    for number in range(2, 30):
        await db(ask, run.session_id)
        await db(store.stop, run.session_id, GUEST, number, None)
    async with viewing(run.session_id) as (viewer, client):
        if log_mode:
            await viewer.subscribe({})
        await until(lambda: not viewer._behind)
        viewer.deliver(await db(write_on, run.pk, started()))
        for number in range(30, 60):
            asked = await db(ask, run.session_id)
            assert asked.written is not None
            viewer.deliver(asked.written.frame)
            stopped = await db(store.stop, run.session_id, GUEST, number, None)
            viewer.deliver(stopped.written.frame)
        viewer.deliver(await db(write_on, run.pk, finished(""), END))
        if log_mode:
            await shows_the_log(client, run)
        else:
            await until(
                lambda: (
                    {"run": 1, "reason": "answered"}
                    in [heard["data"] for heard in client.messages]
                )
            )
            steps = [m for m in client.messages if m["type"] == "reasoning_step"]
            assert len(steps) == 1


async def test_positions_of_what_is_over_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(viewer_module, "MAX_POSITIONS", 8)
    session_id = uuid4()
    async with viewing(session_id) as (viewer, client):
        await viewer.subscribe({})
        run = await db(running_run, session_id)
        viewer.deliver(await db(write_on, run.pk, END))
        for _ in range(20):
            run = await db(running_run, session_id)
            viewer.check(run.number, 2)
            await shows_the_log(client, run)
            viewer.deliver(await db(write_on, run.pk, END))
        await shows_the_log(client, run)
        await until(lambda: not viewer._behind)
        assert len(viewer._seen) <= 8


# ---------------------------------------------------------------- any order

ACTIONS = [
    *("write", "write", "write", "deliver", "deliver", "deliver", "deliver"),
    *("lose", "repeat", "check", "subscribe", "subscribe afresh", "stall", "read"),
    *("rest", "rest", "end"),
]


class Scene:
    """A viewer, its client, and a run that is written while anything happens."""

    def __init__(self, viewer: SocketViewer, client: Client, session_id: UUID) -> None:
        self.viewer = viewer
        self.client = client
        self.session_id = session_id
        self.runs: list[Run] = []
        self.open = False
        self.text = ""
        self.frames: list[Frame] = []  # committed and not yet delivered
        self.sent: list[Frame] = []
        self.subscribing: asyncio.Task[None] | None = None

    async def play(self, action: str) -> None:  # noqa: C901  (a list of deeds)
        """Do one thing."""
        match action:
            case "write":
                await self.write()
            case "end" if self.open:
                self.open = False
                frame = await db(write_on, self.runs[-1].pk, finished(self.text), END)
                self.frames.append(frame)
            case "deliver" | "lose" if self.frames:
                self.sent.append(self.frames.pop(0))
                if action == "deliver":
                    self.viewer.deliver(self.sent[-1])
            case "repeat" if self.sent:
                self.viewer.deliver(self.sent[-1])
            case "check":
                await self.check()
            case "subscribe" | "subscribe afresh":
                await self.subscribe(afresh="afresh" in action)
            case "stall":
                self.client.reading.clear()
            case "read":
                self.client.reading.set()
            case _:
                for _ in range(20):
                    await asyncio.sleep(0)

    async def write(self) -> None:
        if not self.open:
            run = await db(running_run, self.session_id)
            self.runs.append(run)
            self.open, self.text = True, ""
            self.frames.append(await db(write_on, run.pk, started()))
            return
        deltas = [StepDelta(step=0, text=text) for text in ("tick ", "tock ")]
        self.text += "tick tock "
        self.frames.append(await db(write_on, self.runs[-1].pk, *deltas))

    async def check(self) -> None:
        for position in await db(store.session_positions, self.session_id, 0):
            self.viewer.check(position.number, position.last_seq)

    async def subscribe(self, *, afresh: bool) -> None:
        if self.subscribing is not None:
            if not self.client.reading.is_set():
                return  # a consumer carries out one command after the other
            await self.subscribing
        if self.client.waiting:
            return
        self.client.waiting = True
        if afresh:
            self.client.runs = {}
        self.subscribing = asyncio.create_task(
            self.viewer.subscribe(dict(self.client.seen))
        )
        await asyncio.sleep(0)

    async def settle(self) -> None:
        """Whatever was lost, the position check brings it."""
        self.client.reading.set()
        if self.subscribing is not None:
            await self.subscribing
        for run in self.runs:
            await self.check()
            await shows_the_log(self.client, run)


async def play(actions: list[str]) -> None:
    session_id = uuid4()
    await db(ask, session_id)
    await db(store.stop, session_id, GUEST, 1, None)
    async with viewing(session_id, max_chars=400) as (viewer, client):
        scene = Scene(viewer, client, session_id)
        for action in ["subscribe", *actions]:
            await scene.play(action)
        await scene.settle()
        assert client.codes == []


@settings(max_examples=40)
@given(st.lists(st.sampled_from(ACTIONS), min_size=10, max_size=40))
def test_in_any_order_nothing_is_missed_or_doubled(actions: list[str]) -> None:
    asyncio.run(play(actions))


# ---------------------------------------------------------------- frames


def test_what_is_caught_up_comes_in_frames_of_a_bounded_size() -> None:
    events: list[Event] = [
        StepDelta(seq=seq, step=0, text="x" * 30_000) for seq in range(1, 21)
    ]
    found = frames_of(3, events)
    assert [event for frame in found for event in frame.events()] == events
    assert max(len(frame.text) for frame in found) < 200_000
    assert len(found) > 3
    last = 0
    for frame in found:
        assert frame.first == last + 1
        last = frame.last
    assert last == 20
