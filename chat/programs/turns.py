"""What was said in a run, for clients that cannot take anything back.

A run's log may discard a step and begin it anew, and call text a thought that was shown
as an answer. Most protocols only ever append. So here a step that begins anew goes on
in the item that its first try had begun, as long as it says the same; and an item stays
what it began as. Pure: log events in, changes of items out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, assert_never

from msgspec import UNSET, Struct

from chat.wire.protocol import (
    Event,
    RunCreated,
    RunFinished,
    RunReleased,
    RunStarted,
    StepDelta,
    StepFinished,
    StepProgress,
    StepReplaced,
    StepStarted,
    StepStatus,
    StepType,
)


class Opened(Struct, frozen=True):
    """An item begins; items count from 0."""

    item: int
    type: StepType
    tool_name: str
    call_id: str


class More(Struct, frozen=True):
    """More text of an open item."""

    item: int
    text: str


class Closed(Struct, frozen=True):
    """An item is whole, or will not become so (`stopped`, `discarded`)."""

    item: int
    status: StepStatus
    text: str
    tool_input: dict[str, Any] | None


class Ended(Struct, frozen=True):
    """The run is over."""

    run: RunFinished


Change: TypeAlias = Opened | More | Closed | Ended


class _Item:
    """An item, and the step that it shows now."""

    def __init__(self, number: int, type_: StepType) -> None:
        self.number = number
        self.type = type_
        self.told = ""
        self.said: str | None = None  # by a step that begins anew; None: what was told

    @property
    def text(self) -> str:
        """What the step says."""
        return self.told if self.said is None else self.said

    def more(self, text: str) -> str | None:
        """What is new as the step says `text` too; None: something else was told."""
        if self.said is None:
            self.told += text
            return text
        return self.now(self.said + text)

    def now(self, said: str) -> str | None:
        """What is new where the step says `said`; None: something else was told."""
        if said.startswith(self.told):
            new = said[len(self.told) :]
            self.told, self.said = said, None
            return new
        self.said = said
        return "" if self.told.startswith(said) else None


class Turns:
    """Follows one run from its first event."""

    def __init__(self) -> None:
        self._steps: dict[int, _Item] = {}  # open, by step
        self._orphans: list[_Item] = []  # whose step was discarded
        self._count = 0

    def apply(self, event: Event) -> Iterator[Change]:
        """What an event changes."""
        match event:
            case StepStarted():
                yield from self._start(event)
            case StepDelta():
                item = self._steps[event.step]
                yield from self._told(item, item.more(event.text))
            case StepReplaced():
                if event.text is not UNSET:
                    item = self._steps[event.step]
                    yield from self._told(item, item.now(event.text))
            case StepFinished():
                yield from self._finish(event)
            case RunFinished():
                yield from self._drop_orphans()
                yield Ended(event)
            case RunCreated() | RunStarted() | RunReleased() | StepProgress():
                pass
            case _:
                assert_never(event)

    def _start(self, event: StepStarted) -> Iterator[Change]:
        if self._orphans and self._orphans[0].type == event.type:
            item = self._steps[event.step] = self._orphans.pop(0)
            item.said = ""
            return
        yield from self._drop_orphans()
        item = self._steps[event.step] = _Item(self._count, event.type)
        self._count += 1
        name = "" if event.tool_name is UNSET else event.tool_name
        call_id = "" if event.call_id is UNSET else event.call_id
        yield Opened(item.number, event.type, name, call_id)

    def _told(self, item: _Item, new: str | None) -> Iterator[Change]:
        """Tell what is new; where that is something else, in an item of its own."""
        if new is None:
            text = item.text
            yield Closed(item.number, "discarded", item.told, None)
            item.number, item.told, item.said = self._count, text, None
            self._count += 1
            yield Opened(item.number, item.type, "", "")
            new = text
        if new:
            yield More(item.number, new)

    def _finish(self, event: StepFinished) -> Iterator[Change]:
        item = self._steps.pop(event.step)
        if event.status == "discarded":
            self._orphans.append(item)
            return
        tool_input = None if event.tool_input is UNSET else event.tool_input
        yield Closed(item.number, event.status, item.text, tool_input)

    def _drop_orphans(self) -> Iterator[Change]:
        for item in self._orphans:
            yield Closed(item.number, "discarded", item.told, None)
        self._orphans.clear()
