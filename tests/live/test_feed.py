"""A feed: in any order of frames, reads and slow sockets, viewers get the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from msgspec import structs

from chat.live import feed, track
from chat.live.feed import Feed, Mark
from chat.live.reads import Read, ReadLog, ReadRows, Result
from chat.live.viewer import State, Viewer
from chat.store import Identity, LogPage
from chat.wire import classic
from chat.wire.protocol import (
    CLOSE_NO_SUCH_SESSION,
    CLOSE_OVERLOADED,
    Frame,
    StepDelta,
    Subscribe,
)
from tests import streams  # noqa: F401  (sets how many examples are tried)
from tests.live.memory import Client, Log, Outbox, Run
from tests.rows import GUEST, STRANGER


@pytest.fixture(autouse=True, scope="module")
def _short_memory() -> Iterator[None]:
    """So that what was, or comes too early, is soon too much to keep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(track, "MAX_TAIL_CHARS", 900)
        patch.setattr(track, "MAX_EARLY_CHARS", 700)
        patch.setattr(feed, "MAX_EARLY_CHARS", 700)
        patch.setattr(feed, "MAX_FRAME_CHARS", 600)
        yield


class Scene:
    """A session, its feed in one process, and people who watch."""

    def __init__(self, *, max_chars: int = 500) -> None:
        self.log = Log()
        self.wishes = 0
        self.feed = Feed(self.log.session_id, self._wished)
        self.frames: list[Frame] = []  # committed and not yet delivered
        self.delivered: list[Frame] = []
        self.reading: tuple[Read, Result] | None = None
        self.reads: list[Read] = []
        self.mark: Mark | None = None
        self.people: list[Person] = []
        self._max_chars = max_chars

    def _wished(self) -> None:
        self.wishes += 1

    def commit(self, frame: Frame | None) -> None:
        if frame is not None:
            self.frames.append(frame)

    def deliver(self) -> None:
        """All that was committed."""
        while self.frames:
            self.feed.deliver(self.frames.pop(0))

    def start_reading(self) -> None:
        if self.reading is None and (read := self.feed.next_read()) is not None:
            self.reads.append(read)
            self.reading = read, self.log.perform(read)

    def end_reading(self) -> None:
        if self.reading is not None:
            reading, self.reading = self.reading, None
            self.feed.supply(*reading)

    def read_all(self) -> None:
        """Until nothing is wished for."""
        for _ in range(10_000):
            self.start_reading()
            if self.reading is None:
                return
            self.end_reading()
        raise AssertionError("reads without end")

    def watch(self, who: Identity = GUEST, **options: Any) -> Person:
        """Somebody opens a socket, where that is possible now."""
        person = Person(self, who, self._max_chars, **options)
        self.people.append(person)
        person.connect()
        return person

    def check(self) -> None:
        """The position check, as of now."""
        self.feed.check(*self._looked(self.feed.mark()))

    def check_since_mark(self) -> None:
        """The position check, which began some time ago."""
        if self.mark is not None:
            self.feed.check(*self._looked(self.mark))
            self.mark = None

    def _looked(self, mark: Mark) -> Any:
        positions = [run.position for run in self.log.runs.values()]
        return self.log.facts, positions, mark

    def settle(self) -> None:
        """Whatever was lost, reconnecting and the position check bring it."""
        for _ in range(6):
            self.end_reading()
            self.read_all()
            for person in self.people:
                person.outbox.read()
                person.connect()
            self.check()
        self.read_all()


class Person:
    """A client that comes back whenever it is sent away for a while."""

    def __init__(
        self,
        scene: Scene,
        who: Identity,
        max_chars: int,
        *,
        is_classic: bool = False,
        plain: bool = False,
    ) -> None:
        self.client = Client()
        self.who = who
        self._scene = scene
        self._max_chars = max_chars
        self._is_classic = is_classic
        self._plain = plain
        self.viewer: Viewer | None = None
        self.joined_at: dict[int, int] = {}
        self._newest = 0
        self.outbox = Outbox(self.client.hear, max_chars)

    def connect(self) -> None:
        """Open a socket, if there is none."""
        scene = self._scene
        if self.viewer is not None or CLOSE_NO_SUCH_SESSION in self.client.codes:
            return
        if not scene.feed.is_ready:
            return
        facts = scene.log.facts
        if facts is not None and not self.who.owns(facts):
            self.client.codes.append(CLOSE_NO_SUCH_SESSION)
            return
        self.outbox = Outbox(self.client.hear, self._max_chars)
        viewer = Viewer(self.who, self.outbox, self._closed)  # type: ignore[arg-type]  # one in memory
        self.viewer = viewer
        self.client.told.clear()
        mark = scene.feed.mark()
        self.joined_at, self._newest = mark.heads, mark.newest
        scene.feed.join(viewer, facts)
        if not self._is_classic:
            self.subscribe()

    def subscribe(self, *, afresh: bool = False) -> None:
        if self.viewer is None or self._is_classic or self.viewer.seen is not None:
            return
        if not self.outbox.is_empty:
            return  # what was sent before must be heard before
        if afresh:
            self.client.runs = {}
        seen = self.client.seen(plain=self._plain)
        self._scene.feed.subscribe(self.viewer, Subscribe(2, seen), lambda: None)

    def leave(self) -> None:
        """Close the socket; what was not heard is lost."""
        if self.viewer is not None:
            self._scene.feed.leave(self.viewer)
            self.viewer = None

    def _closed(self, code: int) -> None:
        self.client.codes.append(code)
        self.viewer = None

    def check(self) -> None:
        """Fail unless it was shown the log."""
        runs = self._scene.log.runs
        if not self._is_classic:
            self.client.shows(runs.values())
            return
        for run in runs.values():
            after = 0 if run.number > self._newest else self.joined_at.get(run.number)
            told = [text for text in self.client.told if _run_of(text) == run.number]
            wanted = [] if after is None else _classic(run, after)
            assert told == wanted


def _run_of(text: str) -> int:
    return int(json.loads(text)["data"]["run"])


def _classic(run: Run, after: int) -> list[str]:
    shown = structs.replace(run.view(), steps=[])
    steps = [(seq, step) for seq, step in run.finished_steps() if seq > after]
    if not shown.enable_reasoning and not run.is_finished:
        steps = []
    return [text for _, text in classic.messages(shown, steps, after=after)]


# ---------------------------------------------------------------- any order

ACTIONS = [
    *("ask", "write", "write", "write", "finish step", "take over", "end", "stop"),
    *("deliver", "deliver", "deliver", "deliver", "lose", "swap", "repeat"),
    *("start reading", "end reading", "start reading", "end reading", "fail"),
    *("watch", "watch", "watch classic", "watch plain", "stranger"),
    *("subscribe", "subscribe afresh", "leave", "come back", "stall", "read"),
    *("check", "mark", "check since mark", "begin", "announce"),
]


def play(scene: Scene, action: str, which: int) -> None:  # noqa: C901, PLR0912, PLR0915  (a list)
    """Do one thing."""
    log = scene.log
    person = scene.people[which % len(scene.people)] if scene.people else None
    match action:
        case "ask":
            scene.commit(log.ask())
        case "write":
            scene.commit(log.write())
        case "finish step":
            scene.commit(log.finish_step())
        case "take over":
            scene.commit(log.take_over())
        case "end" | "stop":
            scene.commit(log.end(stopped=action == "stop"))
        case "lose commits":
            scene.commit(log.lose(which))
        case "deliver" | "lose" if scene.frames:
            frame = scene.frames.pop(0)
            scene.delivered.append(frame)
            if action == "deliver":
                scene.feed.deliver(frame)
        case "swap" if len(scene.frames) > 1:
            scene.frames.append(scene.frames.pop(0))
        case "repeat" if scene.delivered:
            scene.feed.deliver(scene.delivered[-1 - which % len(scene.delivered)])
        case "start reading":
            scene.start_reading()
        case "end reading":
            scene.end_reading()
        case "fail" if scene.reading is not None:
            scene.reading = None
            scene.feed.failed()
        case "watch":
            scene.watch()
        case "watch classic":
            scene.watch(is_classic=True)
        case "watch plain":
            scene.watch(plain=True)
        case "stranger":
            scene.watch(STRANGER)
        case "subscribe" | "subscribe afresh" if person:
            person.subscribe(afresh="afresh" in action)
        case "leave" if person:
            person.leave()
        case "come back" if person:
            person.connect()
        case "stall" if person:
            person.outbox.stalled = True
        case "read" if person:
            person.outbox.read()
        case "check":
            scene.check()
        case "mark":
            scene.mark = scene.feed.mark()
        case "check since mark":
            scene.check_since_mark()
        case "begin" if log.facts and not scene.feed.facts:
            scene.feed.begin(GUEST, "Hi", "researcher")
        case "announce":
            scene.feed.announce({"pinned": True})
        case _:
            pass


def shows_the_log(scene: Scene) -> None:
    """Settle, and fail unless everybody shows what is theirs to see."""
    scene.settle()
    for person in scene.people:
        if person.who == GUEST:
            assert CLOSE_NO_SUCH_SESSION not in person.client.codes
            person.check()
        else:
            assert not person.client.runs
            assert not person.client.told


@settings(max_examples=300)
@given(
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.integers(0, 9)),
        min_size=10,
        max_size=60,
    ),
)
def test_in_any_order_everybody_ends_with_the_log(
    has_begun: bool,  # noqa: FBT001
    actions: list[tuple[str, int]],
) -> None:
    scene = Scene()
    if has_begun:
        scene.commit(scene.log.ask())
    scene.read_all()
    scene.watch()
    for action, which in actions:
        play(scene, action, which)
    shows_the_log(scene)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*ACTIONS, "lose commits", "lose commits"]),
            st.integers(0, 9),
        ),
        min_size=10,
        max_size=60,
    )
)
def test_where_commits_were_lost_everybody_is_shown_what_is_left(
    actions: list[tuple[str, int]],
) -> None:
    scene = Scene()
    scene.commit(scene.log.ask())
    scene.read_all()
    for action, which in actions:
        if action != "watch plain":  # that knows no epochs
            play(scene, action, which)
    shows_the_log(scene)


# ---------------------------------------------------------------- how it is done


def state(person: Person) -> State | None:
    """Its viewer's, if it is connected."""
    return None if person.viewer is None else person.viewer.state


def under_way(runs: int = 1) -> Scene:
    """A session whose last run is under way, looked at by nobody yet."""
    scene = Scene(max_chars=10_000)
    for number in range(runs):
        scene.commit(scene.log.ask())
        scene.commit(scene.log.write())
        scene.commit(scene.log.write())
        if number < runs - 1:
            scene.commit(scene.log.end())
    scene.frames.clear()
    scene.read_all()
    return scene


def test_what_is_live_is_passed_on_as_it_is_and_costs_no_reading() -> None:
    scene = under_way()
    people = [scene.watch() for _ in range(3)]
    scene.read_all()
    read = len(scene.reads)
    for _ in range(5):
        scene.commit(scene.log.write())
        scene.deliver()
    assert len(scene.reads) == read
    for person in people:
        assert state(person) is State.LIVE
        assert person.client.types == ["snapshot", *["events"] * 5]
        person.check()


def test_a_crowd_that_comes_at_once_is_read_for_once() -> None:
    scene = under_way(runs=3)
    scene.commit(scene.log.write())  # committed, and its frame lost
    people = [scene.watch() for _ in range(100)]
    read = len(scene.reads)
    scene.read_all()
    kinds = [type(each) for each in scene.reads[read:]]
    assert kinds.count(ReadRows) == 1
    assert all(person.client.snapshots == 1 for person in people)
    scene.check()
    scene.read_all()
    for person in people:
        person.check()


def test_a_crowd_that_comes_back_is_served_from_memory() -> None:
    scene = under_way(runs=2)
    people = [scene.watch() for _ in range(50)]
    scene.read_all()
    for person in people:
        person.leave()
        scene.commit(scene.log.write())
        scene.deliver()
    read = len(scene.reads)
    for person in people[-2:]:  # for the others it is too long ago
        person.connect()
    scene.read_all()
    assert [type(each) for each in scene.reads[read:]] == [ReadRows]
    for person in people[-2:]:
        person.check()


def test_frames_that_come_while_the_log_is_read_are_kept() -> None:
    scene = under_way()
    person = scene.watch()
    scene.read_all()
    scene.commit(scene.log.write())
    scene.frames.clear()  # lost
    scene.commit(scene.log.write())
    scene.deliver()
    scene.start_reading()
    for _ in range(3):
        scene.commit(scene.log.write())
        scene.deliver()
    read = len(scene.reads)
    scene.end_reading()
    assert len(scene.reads) == read
    person.check()


def test_a_slow_reader_is_behind_and_costs_no_more_than_its_outbox() -> None:
    scene = under_way()
    slow = scene.watch()
    scene.read_all()
    slow.outbox.stalled = True
    while not slow.outbox.is_full:
        scene.commit(scene.log.write())
        scene.deliver()
    waiting = len(slow.outbox.queue)
    for _ in range(50):
        scene.commit(scene.log.write())
        scene.deliver()
    assert state(slow) is State.BEHIND
    assert len(slow.outbox.queue) == waiting
    slow.outbox.read()
    scene.read_all()
    slow.check()
    assert state(slow) is State.LIVE


def test_what_a_session_says_first_is_shown_to_its_owner_without_reading() -> None:
    scene = Scene()
    scene.read_all()
    mine, theirs = scene.watch(), scene.watch(STRANGER)
    scene.read_all()
    read = len(scene.reads)
    frame = scene.log.ask()
    scene.feed.begin(GUEST, "Hi", "researcher")
    scene.feed.deliver(frame)
    mine.check()
    assert mine.client.types == ["snapshot", "session", "events"]
    assert theirs.client.codes == [CLOSE_NO_SUCH_SESSION]
    assert theirs.client.types == ["snapshot"]
    assert len(scene.reads) == read


def test_a_deleted_session_closes_its_viewers() -> None:
    scene = under_way()
    told, found = scene.watch(), scene.watch()
    scene.read_all()
    scene.feed.end()
    assert told.client.codes == found.client.codes == [CLOSE_NO_SUCH_SESSION]
    scene = under_way()
    person = scene.watch()
    scene.read_all()
    scene.log.is_deleted = True
    scene.check()  # where nobody could tell us
    assert person.client.codes == [CLOSE_NO_SUCH_SESSION]


def test_a_session_that_begins_during_the_check_is_not_taken_for_deleted() -> None:
    scene = Scene()
    scene.read_all()
    person = scene.watch()
    mark, facts = scene.feed.mark(), scene.log.facts
    frame = scene.log.ask()
    scene.feed.begin(GUEST, "Hi", "researcher")
    scene.feed.deliver(frame)
    scene.feed.check(facts, [], mark)
    scene.read_all()
    assert person.client.codes == []
    person.check()


def test_who_is_owed_events_that_were_merged_since_is_sent_for_the_whole_run() -> None:
    scene = under_way()
    person = scene.watch()
    scene.read_all()
    assert person.viewer is not None
    scene.feed.subscribe(person.viewer, Subscribe(2, {1: 3}, ref=7), lambda: None)
    read = scene.feed.next_read()
    assert isinstance(read, ReadLog)
    merged = StepDelta(seq=5, first=2, step=0, text="tick tock ")
    assert person.client.refs == [None, 7]
    scene.feed.supply(read, LogPage([merged], 5))
    assert person.client.codes == [CLOSE_OVERLOADED]
