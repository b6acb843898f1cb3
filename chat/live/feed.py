"""One session as watched in this process: what is new goes to all its viewers at once.

A feed alone reads the log for viewers. It takes the frames that were committed and has
each run's in order, once; what is missing it reads, once for everybody. It keeps the
latest frames of each open run for viewers that fall behind, and the fold of runs of
which somebody wanted a snapshot.

Nothing in here waits: frames, and what was read, come in; messages go to viewers, and
`next_read` says what is to be read. `live.feeds` reads, one thing at a time.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from msgspec import Struct, structs

from chat.access import Act, Identity, rights
from chat.live.frames import MAX_FRAME_CHARS, frames_of, joined
from chat.live.reads import (
    Read,
    ReadLog,
    ReadRows,
    ReadRun,
    ReadStanding,
    Result,
)
from chat.live.shelf import Shelf
from chat.live.track import MAX_EARLY_CHARS, Page, Track
from chat.live.viewer import Cursors, State, Viewer
from chat.store import (
    LogPage,
    Position,
    Rows,
    RunRows,
    SessionFacts,
    Standing,
    session_data,
)
from chat.store.snapshots import MAX_SNAPSHOT_CHARS
from chat.wire import classic
from chat.wire.protocol import (
    CLOSE_NO_SUCH_SESSION,
    CLOSE_OVERLOADED,
    SNAPSHOT_RUNS,
    Frame,
    Notice,
    Place,
    RunCreated,
    RunFinished,
    RunStarted,
    StepFinished,
    Subscribe,
    message,
)
from chat.wire.transcript import first_of, merged

logger = logging.getLogger(__name__)


# Of which classic mode tells.
TELLING: Final = (RunStarted, StepFinished, RunFinished)


class Mark(Struct, frozen=True):
    """How far a feed had come at some moment."""

    newest: int
    heads: Cursors
    facts: SessionFacts | None


class Feed:
    """A session's viewers in this process, and what they are told.

    `on_wish` is called when there may be something to read.
    """

    def __init__(self, session_id: UUID, on_wish: Callable[[], None]) -> None:
        self.session_id = session_id
        self._on_wish = on_wish
        self._facts: SessionFacts | None = None  # None: nobody has begun the session
        self._is_ready = False
        self._looks_again = False  # something has begun of which too little is known
        self._newest = 0  # run; of those up to it only the ones in `_tracks` are open
        self._tracks: dict[int, Track] = {}
        self._early: deque[Frame] = deque()  # what came before we were ready
        self._early_chars = 0
        self._viewers: dict[Viewer, None] = {}
        self._asking: dict[Viewer, None] = {}  # for a snapshot
        self._waiting: dict[Viewer, None] = {}  # behind, for something to be read
        self._notice: Notice | None = None
        self._shelf: Shelf | None = None
        self._reading: Read | None = None
        self._has_changed = False  # since something is being read

    # ------------------------------------------------------------ viewers

    @property
    def viewers(self) -> tuple[Viewer, ...]:
        """Who watches now."""
        return tuple(self._viewers)

    @property
    def is_ready(self) -> bool:
        """Whether viewers can join: it is known which runs are open, and where."""
        return self._is_ready

    @property
    def facts(self) -> SessionFacts | None:
        """Whose the session is, as far as is known here; None: nobody's yet."""
        return self._facts

    def join(self, viewer: Viewer, facts: SessionFacts | None) -> None:
        """Tell the viewer what comes from now on, in classic mode.

        `facts` is what the database says just now; None: nobody has begun the session.
        """
        if facts is not None:
            self._learn_facts(facts)
        self._viewers[viewer] = None
        viewer.outbox.on_empty = lambda: self._has_sent(viewer)
        if self._facts is not None:
            viewer.become(State.LIVE)
            self._judge(viewer)

    def leave(self, viewer: Viewer) -> None:
        """Tell the viewer nothing more."""
        self._remove(viewer)
        self._forget_ended()

    def subscribe(
        self, viewer: Viewer, command: Subscribe, on_joined: Callable[[], None]
    ) -> None:
        """Send a snapshot as soon as may be, and then all that comes after it."""
        if viewer not in self._viewers:
            on_joined()  # it is being closed
            return
        viewer.ask(command, on_joined)
        self._waiting.pop(viewer, None)
        self._asking[viewer] = None
        self._settle()

    # ------------------------------------------------------------ what comes in

    def behind(self, viewer: Viewer) -> int:
        """How many events are yet to be read for a viewer."""
        return sum(
            max(0, track.target - seq)
            for number, seq in viewer.cursors.items()
            if (track := self._tracks.get(number)) is not None
        )

    def begin(self, who: Identity, title: str, agent_name: str) -> None:
        """The session has just begun, with a message of `who`."""
        if self._is_ready and self._facts is None:
            key = "" if who.user_id is not None else who.guest_key
            self._learn_facts(SessionFacts(who.user_id, key, title, agent_name))
            self._settle()

    def end(self) -> None:
        """The session is deleted."""
        self._send_away(CLOSE_NO_SUCH_SESSION)

    def start_over(self, why: str) -> None:
        """Have everybody come again: what was followed is not what is in the log."""
        logger.warning("session %s starts over: %s", self.session_id, why)
        self._send_away(CLOSE_OVERLOADED)

    def _send_away(self, code: int) -> None:
        for viewer in tuple(self._viewers):
            self._drop(viewer, code)
        self._facts = None
        self._tracks = {}
        self._newest = 0
        self._is_ready = self._looks_again = False
        self._shelf = self._reading = None
        self._on_wish()

    def announce(self, changes: Mapping[str, Any]) -> None:
        """Pass on what has changed of the session."""
        self._change()
        if self._facts is not None and isinstance(changes.get("title"), str):
            self._facts = structs.replace(self._facts, title=changes["title"])
        text = message("session", {"session_id": str(self.session_id), **changes})
        for viewer in tuple(self._viewers):
            self._tell_of_session(viewer, text)

    def say(self, notice: Notice | None) -> None:
        """Tell everybody, who comes later too; None: it is not so any more."""
        self._notice = notice
        self.announce({"notice": notice})

    def deliver(self, frame: Frame) -> None:
        """Take new events of a run."""
        track = self._tracks.get(frame.run)
        if track is None:
            if not self._is_ready:
                self._keep(frame)
                return
            if frame.run <= self._newest:
                return  # it is over
            if frame.run > self._newest + 1:
                self._looks_again = True  # others have begun before it
                self._on_wish()
                return
            track = self._begin_run(frame.run)
        if frame.first == track.head + 1:
            self._extend(track, frame)
            if track.target > track.head:
                self._extend_with_kept(track)
        elif frame.last > track.head:
            track.keep(frame)
        elif frame.epoch > track.epoch:
            self.start_over(f"run {frame.run} was written anew from {frame.first} on")
            return
        if self._looks_again or track.target > track.head:
            self._on_wish()

    def mark(self) -> Mark:
        """How far things have come, to be compared with what is read from now on."""
        return Mark(self._newest, self._heads(), self._facts)

    def check(
        self, facts: SessionFacts | None, positions: Iterable[Position], mark: Mark
    ) -> None:
        """Compare with what the database said some time after `mark`."""
        if not self._is_ready:
            return
        self._shelf = None
        for track in self._tracks.values():
            track.page = None
        if self._facts is mark.facts:  # else ours are newer
            self._learn_whose(facts)
        for position in positions:
            head = mark.heads.get(position.number)
            if (
                position.last_seq < head
                if head is not None
                else position.number <= mark.newest and not position.finished
            ):
                self.start_over(f"run {position.number} is only at {position.last_seq}")
                return
            self._learn_position(position)
        self._settle()

    # ------------------------------------------------------------ what is read

    def next_read(self) -> Read | None:
        """What is to be read now, if anything; then `supply` it, or say it `failed`."""
        self._reading = self._advance()
        self._has_changed = False
        if isinstance(self._reading, ReadStanding):
            self._looks_again = False
        return self._reading

    def failed(self) -> None:
        """What was to be read could not be."""
        self._looks_again |= isinstance(self._reading, ReadStanding)
        self._reading = None

    def supply(self, read: Read, result: Result) -> None:
        """Take what was read."""
        if read is not self._reading:
            return  # it has started over meanwhile
        self._reading = None
        match read, result:
            case ReadStanding(), Standing():
                self._learn(result, is_complete=read.above is not None)
            case ReadRows(), Rows():
                self._take_rows(read, result)
            case ReadLog(), LogPage():
                self._take_page(read, result)
            case ReadRun(), RunRows():
                self._take_run(read, result)
            case _:
                self.start_over("a run is not there any more")
        self._settle()

    def _settle(self) -> None:
        """Go on as far as can be, and wish for what is missing."""
        if self._advance() is not None:
            self._on_wish()

    def _advance(self) -> Read | None:
        """Serve those who ask and wait, as far as can be; what is to be read next."""
        if not self._is_ready:
            return ReadStanding(None)
        if self._looks_again:
            return ReadStanding(self._newest)
        for track in self._tracks.values():
            if track.target > track.head:
                return self._log_after(track.number, track.head)
        wish: Read | None = None
        for viewer in tuple(self._asking):
            if (wish := self._give_snapshot(viewer)) is not None:
                break  # most others ask for the same
        for viewer in tuple(self._waiting):
            wish = self._serve(viewer) or wish
        self._forget_ended()
        return wish

    # ------------------------------------------------------------ runs

    def _heads(self) -> Cursors:
        return {track.number: track.head for track in self._tracks.values()}

    def _change(self) -> None:
        """What was read for snapshots is out of date, and what is being read too."""
        self._shelf = None
        self._has_changed = True

    def _keep(self, frame: Frame) -> None:
        self._early.append(frame)
        self._early_chars += len(frame.text)
        while self._early_chars > MAX_EARLY_CHARS:
            self._early_chars -= len(self._early.popleft().text)
            self._looks_again = True

    def _begin_run(self, number: int) -> Track:
        """Follow a run from its beginning."""
        self._looks_again |= self._facts is None
        self._newest = number
        self._change()
        track = self._tracks[number] = Track(number)
        for viewer in self._viewers:
            if viewer.state is State.BEHIND:
                viewer.cursors[number] = 0
        return track

    def _extend(self, track: Track, frame: Frame) -> None:
        """Hand on what follows on the head."""
        track.append(frame)
        if frame.first == 1:
            self._note_agent(frame)
        viewers = tuple(self._viewers)
        tells = any(viewer.is_classic for viewer in viewers) and _tells(frame)
        if tells:
            track.told = frame.last
        for viewer in viewers:
            if tells or not viewer.is_classic:
                self._offer(viewer, track, frame)
        if self._waiting:
            self._on_wish()
        if frame.ends:
            self._change()
            self._forget_ended()

    def _offer(self, viewer: Viewer, track: Track, frame: Frame) -> None:
        """Send the frame to the viewer now, if it is live and has room."""
        if viewer.state is State.LIVE:
            if not viewer.is_classic and not viewer.outbox.is_full:
                viewer.outbox.put(frame.text)
                return
            cursors = self._heads() | {track.number: frame.first - 1}
            viewer.become(State.BEHIND, cursors)
        if viewer.state is State.BEHIND and viewer not in self._waiting:
            self._serve(viewer)

    def _extend_with_kept(self, track: Track) -> None:
        while (frame := track.next_kept()) is not None:
            self._extend(track, frame)

    def _note_agent(self, frame: Frame) -> None:
        """A session's agent is that of its newest run."""
        created = frame.events()[0]
        if self._facts is not None and isinstance(created, RunCreated):
            self._facts = structs.replace(self._facts, agent_name=created.agent_name)

    def _forget_ended(self) -> None:
        """Forget runs that are over where no viewer is owed anything of them."""
        if self._facts is None:
            return  # who that will be is not known yet
        for track in tuple(self._tracks.values()):
            if track.ended and not any(
                track.number in viewer.cursors for viewer in self._viewers
            ):
                del self._tracks[track.number]

    # ------------------------------------------------------------ learning

    def _learn(self, standing: Standing, *, is_complete: bool) -> None:
        if not self._has_changed:  # else what we know is newer
            self._learn_whose(standing.facts)
        if self._is_ready:
            for position in standing.runs:
                self._learn_position(position, is_complete=is_complete)
            self._looks_again |= standing.newest > self._newest
            return
        self._is_ready = True
        self._newest = max([standing.newest, *(run.number for run in standing.runs)])
        self._tracks = {
            run.number: Track(run.number, run.last_seq, run.epoch)
            for run in standing.runs
        }
        early, self._early, self._early_chars = self._early, deque(), 0
        for frame in early:
            self.deliver(frame)

    def _learn_position(self, position: Position, *, is_complete: bool = False) -> None:
        """Take note of how far a run goes.

        `is_complete`: of all runs that have begun since, the oldest first.
        """
        track = self._tracks.get(position.number)
        if track is None and position.number > self._newest:
            if position.number > self._newest + 1 and not is_complete:
                self._looks_again = True  # others have begun before it
                return
            track = self._begin_run(position.number)
        if track is not None:
            track.target = max(track.target, position.last_seq)

    def _learn_whose(self, facts: SessionFacts | None) -> None:
        """What the database says of the session; None: there is none."""
        if facts is not None:
            self._learn_facts(facts)
        elif self._facts is not None:
            self.end()

    def _learn_facts(self, facts: SessionFacts) -> None:
        if facts == self._facts:
            return
        has_begun = self._facts is None
        self._facts = facts
        self._change()
        text = message("session", self._session_data())
        for viewer in tuple(self._viewers):
            self._judge(viewer)
            if has_begun and viewer in self._viewers and viewer not in self._asking:
                viewer.become(State.BEHIND, dict.fromkeys(self._tracks, 0))
                self._tell_of_session(viewer, text)
                self._serve(viewer)

    def _judge(self, viewer: Viewer) -> None:
        """Hang up on the viewer where the session is not theirs."""
        if self._facts is not None and Act.READ not in rights(
            viewer.who, self._facts, viewer.shared
        ):
            self._drop(viewer, CLOSE_NO_SUCH_SESSION)

    def _drop(self, viewer: Viewer, code: int) -> None:
        self._remove(viewer)
        viewer.close(code)

    def _remove(self, viewer: Viewer) -> None:
        self._viewers.pop(viewer, None)
        self._asking.pop(viewer, None)
        self._waiting.pop(viewer, None)

    def _session_data(self) -> dict[str, Any]:
        data = session_data(self._facts, self.session_id)
        return data if self._notice is None else data | {"notice": self._notice}

    def _tell_of_session(self, viewer: Viewer, text: str) -> None:
        if (
            viewer.state is not State.JOINING
            and not viewer.is_classic
            and not viewer.outbox.is_full
        ):
            viewer.outbox.put(text)

    def _take_rows(self, read: ReadRows, rows: Rows) -> None:
        has_changed = self._has_changed
        self._learn(rows.standing, is_complete=False)
        if not has_changed:
            self._shelf = Shelf(read.seen, rows)

    def _take_page(self, read: ReadLog, page: LogPage) -> None:
        track = self._tracks.get(read.run)
        if track is None:
            return
        if page.last_seq < read.head or (
            not page.events and page.last_seq > read.after
        ):
            self.start_over(f"run {read.run} has nothing after {read.after}")
            return
        if not page.events:
            if track.head == read.after:
                track.target = track.head  # there is no more
            return
        track.fold(page.events)
        if self._waiting:
            track.page = Page(read.run, read.after, page.events)
        following = [event for event in page.events if event.seq > track.head]
        if not following or first_of(following[0]) != track.head + 1:
            return
        for frame in frames_of(read.run, merged(following), epoch=track.epoch):
            self._extend(track, frame)
        self._extend_with_kept(track)

    def _take_run(self, read: ReadRun, rows: RunRows) -> None:
        """Tell viewers in classic mode what happened, each from its cursor on."""
        track = self._tracks.get(read.run)
        if track is None:
            return
        if rows.run.seq < read.head:
            self.start_over(f"run {read.run} is only at {rows.run.seq}")
            return
        told = classic.messages(rows.run, rows.steps, after=read.after)
        for viewer in tuple(self._waiting):
            cursor = viewer.cursors.get(read.run, 0)
            if (
                viewer.is_classic
                and read.run in viewer.cursors
                and cursor >= read.after
            ):
                viewer.cursors[read.run] = _tell(viewer, told, cursor, rows.run.seq)

    # ------------------------------------------------------------ serving

    def _has_sent(self, viewer: Viewer) -> None:
        """The viewer can take more."""
        if viewer in self._viewers:
            if self._serve(viewer) is not None:
                self._on_wish()
            self._forget_ended()

    def _serve(self, viewer: Viewer) -> Read | None:
        """Send what the viewer is owed, as much as it can take; what is to be read."""
        while viewer.state is State.BEHIND and viewer.outbox.is_empty:
            track = self._first_owed(viewer)
            if track is None:
                break
            cursor = viewer.cursors[track.number]
            frames = None if viewer.is_classic else track.since(cursor)
            if frames is None:
                self._waiting[viewer] = None
                if viewer.is_classic:
                    return ReadRun(track.number, cursor, track.told)
                return self._log_after(track.number, cursor)
            if frames[0].first != cursor + 1:  # these events are no longer kept singly
                self._drop(viewer, CLOSE_OVERLOADED)
                break
            piece = _first_piece(frames)
            viewer.cursors[track.number] = piece[-1].last
            viewer.outbox.put(joined(piece))
        self._waiting.pop(viewer, None)
        return None

    def _first_owed(self, viewer: Viewer) -> Track | None:
        """The first run of which the viewer has less than there is.

        Where there is none, and none of which it has more, the viewer is live.
        """
        is_ahead = False
        for number, cursor in sorted(viewer.cursors.items()):
            track = self._tracks[number]
            if cursor < (track.told if viewer.is_classic else track.head):
                return track
            if track.ended:
                del viewer.cursors[number]
            is_ahead |= cursor > track.head
        if not is_ahead:
            viewer.become(State.LIVE)
        return None

    # ------------------------------------------------------------ snapshots

    def _give_snapshot(self, viewer: Viewer) -> Read | None:
        """Send the viewer the snapshot it asks for; what is to be read before."""
        seen = viewer.seen or {}
        held = self._held_here(seen)
        rest = frozenset((run, place) for run, place in seen.items() if run not in held)
        shelf = self._shelf
        if shelf is None or shelf.seen != rest:
            return ReadRows(rest)
        held |= {run: seq for run, (seq, _) in shelf.held.items()}
        open_runs = [] if self._facts is None else self._open_runs()
        candidates = sorted({*shelf.runs, *open_runs} - set(held), reverse=True)
        shown: dict[int, tuple[int, bytes]] = {}
        size = 0
        for number in candidates[:SNAPSHOT_RUNS]:
            found = shelf.runs.get(number) or self._tracks[number].shown()
            if found is None:
                return self._log_after(number, self._tracks[number].folded)
            size += len(found[1])
            if shown and size > MAX_SNAPSHOT_CHARS:
                break
            shown[number] = found
        earlier = shelf.earlier or len(shown) < len(candidates)
        self._admit(
            viewer,
            shelf.snapshot(self._session_data(), shown, earlier=earlier),
            held | {number: seq for number, (seq, _) in shown.items()},
            shelf.held,
        )
        return None

    def _admit(
        self,
        viewer: Viewer,
        snapshot: str,
        told: Cursors,
        held: Mapping[int, tuple[int, Position]],
    ) -> None:
        """Send the snapshot, and then what comes after what is `told` with it."""
        del self._asking[viewer]
        if not viewer.join(snapshot):
            self._remove(viewer)
            return
        if self._facts is None:
            return  # whose it will be is seen when it begins
        cursors = {number: told.get(number, 0) for number in self._open_runs()}
        for number, (seq, position) in held.items():
            if number not in cursors and seq < position.last_seq:
                cursors[number] = seq
                self._tracks.setdefault(
                    number,
                    Track(number, position.last_seq, position.epoch, ended=True),
                )
        viewer.become(State.BEHIND, cursors)
        self._serve(viewer)

    def _open_runs(self) -> list[int]:
        return [track.number for track in self._tracks.values() if not track.ended]

    def _held_here(self, seen: Mapping[int, Place]) -> Cursors:
        """Of what somebody says to have, that of which it is known here that it is so.

        Of open runs only: with these a viewer that comes back costs no reading.
        """
        held: Cursors = {}
        for number in self._open_runs():
            track = self._tracks[number]
            match seen.get(number):
                case (epoch, seq) if epoch == track.epoch and 0 < seq <= track.head:
                    held[number] = seq
                case int(seq) if 0 < seq <= track.head:
                    held[number] = seq
                case _:
                    pass
        return held

    def _log_after(self, number: int, after: int) -> ReadLog:
        track = self._tracks[number]
        epoch = track.epoch if after == track.head else None
        return ReadLog(number, after, track.head, epoch)


def _tells(frame: Frame) -> bool:
    """Whether classic mode tells of anything in the frame."""
    return any(isinstance(event, TELLING) for event in frame.events())


def _tell(viewer: Viewer, told: list[tuple[int, str]], cursor: int, last: int) -> int:
    """Send classic messages that come after `cursor`, as many as there is room for.

    Returns the viewer's new cursor; `last` is up to where all is in `told`.
    """
    sent = cursor
    for seq, text in told:
        if seq <= cursor:
            continue
        if viewer.outbox.is_full and seq != sent:
            return sent
        viewer.outbox.put(text)
        sent = seq
    return last


def _first_piece(frames: list[Frame]) -> list[Frame]:
    """The first of `frames`, at least one, that fit one message."""
    size = 0
    for count, frame in enumerate(frames):
        size += len(frame.text)
        if count and size > MAX_FRAME_CHARS:
            return frames[:count]
    return frames
