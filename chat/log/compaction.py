"""What becomes of a finished run's deltas: one row for many, and no character twice.

While a run goes on, each flush adds a row of the log. Once it has finished, the rows
of up to MAX_ROWS neighbouring deltas of a step become one. Its `seq` is the last one's,
its `merged` says for each of them when it came and how many characters it had:

    merged := step, place, ms, chars, { ms, chars }

all in LEB128 varints (7 bits a byte, lowest first). The first `ms` counts from the
run's start, the others from the one before. `place` is 0 where the row's payload is the
text, as JSON; else the text is part of the step's row, from character `place` - 1 on,
and the payload is empty. That is two bytes a delta and no text.

Of neighbouring events of a step's progress the last one is kept, which then stands for
all of them.

So the log still says every event: `deltas` cuts where a reader resumes, at any seq, and
the pace is there for whoever replays it. `ms` of the row itself is NULL where it is of
the time before times were kept in this way; then the pace is not known and all are 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from django.db import transaction
from msgspec import UNSET, Struct, structs

from chat.log.recorder import MAX_DELTA_CHARS
from chat.models import Event as EventRow, Run, Step
from chat.wire.protocol import (
    StepDelta,
    StepProgress,
    StepReplaced,
    decode_event,
    encode as encode_json,
)
from chat.wire.transcript import first_of

MAX_ROWS: Final = 2_000  # of one transaction, and so of one merged row
MORE: Final = 0x80  # set in every byte of a varint but its last


class Merged(Struct, frozen=True):
    """Neighbouring deltas of a step: for each, ms since the one before, characters."""

    step: int
    deltas: list[tuple[int, int]]
    offset: int | None = None  # in the step's text; None: the payload is the text

    @property
    def chars(self) -> int:
        """Characters of all."""
        return sum(chars for _, chars in self.deltas)

    def cut_from(self, contents: Mapping[int, str]) -> str:
        """The text, of the steps' contents."""
        begin = self.offset or 0
        return contents.get(self.step, "")[begin : begin + self.chars]


def encode(merged: Merged) -> bytes:
    """`merged` as the log holds it."""
    place = 0 if merged.offset is None else merged.offset + 1
    numbers = [merged.step, place]
    for delta in merged.deltas:
        numbers += delta
    encoded = bytearray()
    for number in numbers:
        left = number
        while left >= MORE:
            encoded.append(left % MORE + MORE)
            left >>= 7
        encoded.append(left)
    return bytes(encoded)


def decode(encoded: bytes) -> Merged:
    """What `encode` has encoded."""
    numbers = _numbers(encoded)
    step, place = next(numbers), next(numbers)
    deltas = list(zip(numbers, numbers, strict=True))
    return Merged(step, deltas, None if place == 0 else place - 1)


def _numbers(encoded: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in encoded:
        number |= byte % MORE << shift
        shift += 7
        if byte < MORE:
            yield number
            number = shift = 0


def deltas(merged: Merged, last: int, text: str, after: int = 0) -> list[StepDelta]:
    """The deltas after seq `after`, as few as fit the wire; `last` is the row's seq."""
    result: list[StepDelta] = []
    seq = last - len(merged.deltas)
    first, begin, end = seq + 1, 0, 0

    def close(seq: int) -> None:
        result.append(
            StepDelta(
                seq=seq,
                first=first if first < seq else UNSET,
                step=merged.step,
                text=text[begin:end],
            )
        )

    for _, chars in merged.deltas:
        seq += 1
        if seq <= after:
            end += chars
            first, begin = seq + 1, end
            continue
        if begin < end and end - begin + chars > MAX_DELTA_CHARS:
            close(seq - 1)
            first, begin = seq, end
        end += chars
    if begin < end:
        close(seq)
    return result


def compact(run_id: int) -> bool:
    """Merge a finished run's deltas. Returns False if there is nothing to be done.

    In transactions of at most MAX_ROWS rows; what one of them has done stays.
    """
    compaction = _Compaction(run_id)
    done = compaction.go_on()
    while done == MAX_ROWS:  # there may be more
        done = compaction.go_on()
    return compaction.has_done


class _Row(Struct, frozen=True):
    seq: int
    ms: int | None
    payload: str
    merged: bytes | None


class _Compaction:
    """One run's compaction, which knows how far in each step's text it is."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self.has_done = False
        self._after = 0
        self._contents: dict[int, str] = {}  # by step
        self._offsets: dict[int, int] = {}  # by step: characters so far
        self._group: list[_Row] = []  # neighbouring deltas of a step
        self._texts: list[str] = []  # theirs
        self._step = -1
        self._progress: list[StepProgress] = []  # neighbours, of a step

    def go_on(self) -> int:
        """Do some of it, in one transaction; how many rows were read."""
        with transaction.atomic():
            row = Run.objects.filter(
                id=self._run_id, status=Run.Status.FINISHED, is_compacted=False
            )
            if not row.select_for_update(no_key=True, skip_locked=True):
                return 0
            self.has_done = True
            rows = self._read()
            for each in rows:
                self._add(each)
            self._close()
            if len(rows) < MAX_ROWS:
                row.update(is_compacted=True)
            else:
                self._after = rows[-1].seq
            return len(rows)

    def _read(self) -> list[_Row]:
        if not self._after:
            steps = Step.objects.filter(run_id=self._run_id).order_by()
            self._contents = dict(steps.values_list("step", "content"))
        rows = EventRow.objects.filter(run_id=self._run_id, seq__gt=self._after)
        columns = rows.order_by("seq").values_list("seq", "ms", "payload", "merged")
        return [
            _Row(seq, ms, payload, None if merged is None else bytes(merged))
            for seq, ms, payload, merged in columns[:MAX_ROWS]
        ]

    def _add(self, row: _Row) -> None:
        if row.merged is not None:  # by a compaction that was ended on its way
            self._close()
            earlier = decode(row.merged)
            offset = self._offsets.get(earlier.step, 0)
            self._offsets[earlier.step] = offset + earlier.chars
            return
        event = decode_event(row.payload)
        if not isinstance(event, StepDelta | StepProgress):
            self._close()
            if isinstance(event, StepReplaced) and event.text is not UNSET:
                self._offsets[event.step] = len(event.text)
            return
        is_delta = isinstance(event, StepDelta)
        if event.step != self._step or is_delta != bool(self._group):
            self._close()
            self._step = event.step
        if isinstance(event, StepDelta):
            self._group.append(row)
            self._texts.append(event.text)
        else:
            self._progress.append(event)

    def _close(self) -> None:
        """Merge the neighbours, if they are more than one."""
        self._close_progress()
        rows, texts, step = self._group, self._texts, self._step
        self._group, self._texts, self._step = [], [], -1
        text = "".join(texts)
        offset = self._offsets.get(step, 0)
        self._offsets[step] = offset + len(text)
        if len(rows) < 2:  # noqa: PLR2004  (one row is one already)
            return
        is_in_step = self._contents.get(step, "").startswith(text, offset)
        merged = Merged(step, list(_pace(rows, texts)), offset if is_in_step else None)
        last = rows[-1].seq
        events = EventRow.objects.filter(run_id=self._run_id)
        events.filter(seq__gte=rows[0].seq, seq__lt=last).delete()
        events.filter(seq=last).update(
            payload="" if is_in_step else encode_json(text).decode(),
            merged=encode(merged),
        )

    def _close_progress(self) -> None:
        passed, self._progress = self._progress, []
        if len(passed) > 1:
            first, last = first_of(passed[0]), passed[-1]
            events = EventRow.objects.filter(run_id=self._run_id)
            events.filter(seq__gte=first, seq__lt=last.seq).delete()
            kept = encode_json(structs.replace(last, first=first)).decode()
            events.filter(seq=last.seq).update(payload=kept)


def _pace(rows: Iterable[_Row], texts: Iterable[str]) -> Iterator[tuple[int, int]]:
    """When each came after the one before, and how many characters it had."""
    before = 0
    for row, text in zip(rows, texts, strict=True):
        ms = max(before, row.ms or 0)  # clocks of two machines may differ
        yield ms - before, len(text)
        before = ms
