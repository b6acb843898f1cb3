"""Turns what the model says in one round into parts, as it comes.

The text of a round is shown as the answer. If the round then calls a tool, it was
not: the open part becomes a thought. One part of a round is open at a time; where a
server interleaves several tool calls, the later ones wait for the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from msgspec import Struct

from chat.agents.base import (
    AgentEvent,
    PartFinished,
    PartGrew,
    PartReplaced,
    PartStarted,
    PartStatus,
    PartType,
)
from chat.agents.model.tags import TagSplitter

Kind = Literal["text", "thought", "call"]

_TYPES: Final[dict[Kind, PartType]] = {
    "text": "final_answer",
    "thought": "thought",
    "call": "tool_use",
}


class Call(Struct, frozen=True):
    """A tool call of the model; `arguments` is None where they make no sense."""

    call_id: str
    name: str
    text: str
    arguments: dict[str, Any] | None


class _Item(Struct):
    """Something the model says: shown as the open part, or waiting for its turn."""

    kind: Kind
    part: int = -1
    shown: PartType | None = None
    name: str = ""
    call_id: str = ""
    chunks: list[str] = []

    @property
    def content(self) -> str:
        if len(self.chunks) > 1:
            self.chunks[:] = ["".join(self.chunks)]
        return self.chunks[0] if self.chunks else ""


class Round:
    """One answer of the model: a sink for its deltas that emits the parts' events.

    `parts` numbers the parts of the whole run. After `finish`, `answer` is the text
    for the person ("" if tools are called) and `calls` are the tools to call.
    """

    def __init__(
        self,
        emit: Callable[[AgentEvent], None],
        parts: Iterator[int],
        iteration: int,
        *,
        text_protocol: bool = False,
    ) -> None:
        self.iteration = iteration
        self.calls: list[Call] = []
        self.answer = ""
        self.said = ""  # all text, for the model's memory
        self._emit = emit
        self._parts = parts
        self._open: _Item | None = None
        self._waiting: list[_Item] = []
        self._items: dict[int, _Item] = {}  # calls by key
        self._texts: list[str] = []  # texts that were not the answer
        self._calling = False
        self._text_calls = 0
        self._splitter = TagSplitter(_Tags(self), tool_calls=text_protocol)
        self.text = self._splitter.feed  # straight to the splitter: the token path

    # ---- what the server says (DeltaSink)

    def reasoning(self, text: str) -> None:
        """More of the model's thoughts."""
        self._grow("thought", text)

    def call(self, key: int, name: str, arguments: str) -> None:
        """More of a tool call."""
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = _Item("call", chunks=[])
            self._calling = True
            self._put(item)
        if name and not item.name:
            item.name = name
            if item is self._open:
                self._start(item)
                arguments = item.content + arguments
                item.chunks.clear()
        if not arguments:
            return
        item.chunks.append(arguments)
        if item is self._open and item.part >= 0:
            self._emit(PartGrew(item.part, arguments))
            if self._waiting:
                self._advance()

    # ---- the end

    def finish(self) -> None:
        """The round is complete: finish what is open, show what waits."""
        self._splitter.close()
        while self._open is not None:
            self._finish_open()
        if not self._calling and not self.answer and self._texts:
            # What looked like a remark before more thinking was all there is.
            self._grow("text", self._texts[-1])
            self._texts.pop()
            self._finish_open()
        self.said = "".join([*self._texts, self.answer])

    def abort(self, status: PartStatus) -> None:
        """The round broke off: close the open part as it is."""
        item, self._open = self._open, None
        if item is not None and item.part >= 0:
            self._emit(PartFinished(item.part, status))
        self._waiting.clear()

    # ---- inside

    def _grow(self, kind: Kind, text: str) -> None:
        item = self._open
        if item is not None and item.kind is kind and not self._waiting:
            item.chunks.append(text)
            self._emit(PartGrew(item.part, text))
            return
        if self._waiting and self._waiting[-1].kind is kind:
            self._waiting[-1].chunks.append(text)
            return
        if text and not text.isspace():
            self._put(_Item(kind, chunks=[text]))

    def _retype(self) -> None:
        """The open text was a thought."""
        item = self._open
        if item is not None and item.kind == "text":
            item.kind = "thought"
            if item.shown != "thought":
                self._emit(PartReplaced(item.part, type="thought"))

    def _call_in_text(self, text: str) -> None:
        """A whole call in the text protocol: an object with name and arguments."""
        self._text_calls += 1
        name, arguments = _parse_call(text)
        self.call(-self._text_calls, name, arguments)

    def _put(self, item: _Item) -> None:
        """Open the item, after closing what it puts an end to; or let it wait."""
        if self._open is not None and (self._waiting or not self._give_way()):
            self._waiting.append(item)
            return
        self._begin(item)

    def _give_way(self) -> bool:
        """Close the open part because another begins, if it can be complete."""
        item = self._open
        if item is not None and item.kind == "call" and _object(item.content) is None:
            return False
        if item is not None and item.kind == "text":
            self._texts.append(item.content)
            self._retype()
        self._finish_open(advance=False)
        return True

    def _begin(self, item: _Item) -> None:
        self._open = item
        if item.kind == "call" and not item.name:
            return  # it is shown as soon as it has a name
        self._start(item)
        if item.content:
            self._emit(PartGrew(item.part, item.content))

    def _start(self, item: _Item) -> None:
        item.part = next(self._parts)
        item.shown = _TYPES[item.kind]
        if item.kind == "text" and self._calling:
            item.shown = "thought"
        if item.kind == "call":
            item.call_id = f"call_{self.iteration}_{len(self.calls) + 1}"
        self._emit(
            PartStarted(item.part, item.shown, self.iteration, item.name, item.call_id)
        )

    def _advance(self) -> None:
        """The open call may have become complete, so that the next can be shown."""
        item = self._open
        while self._waiting and item is not None and _object(item.content) is not None:
            self._finish_open()
            item = self._open

    def _finish_open(self, *, advance: bool = True) -> None:
        item, self._open = self._open, None
        if item is None:
            return
        if item.kind == "call":
            self._finish_call(item)
        else:
            if item.kind == "text":
                if self._calling:
                    self._texts.append(item.content)
                else:
                    self.answer = item.content
            self._emit(PartFinished(item.part))
        if advance and self._waiting:
            self._begin(self._waiting.pop(0))

    def _finish_call(self, item: _Item) -> None:
        if item.part < 0:  # it never got a name
            item.name = "unknown"
            self._start(item)
            if item.content:
                self._emit(PartGrew(item.part, item.content))
        text = item.content
        if not text.strip() or text.strip() == "null":
            text = "{}"
            self._emit(PartReplaced(item.part, text=text))
        arguments = _object(text)
        self.calls.append(Call(item.call_id, item.name, text, arguments))
        status: PartStatus = "error" if arguments is None else "ok"
        self._emit(PartFinished(item.part, status, arguments))


class _Tags:
    """What the splitter finds in the text of a round."""

    __slots__ = ("_round",)

    def __init__(self, owner: Round) -> None:
        self._round = owner

    def text(self, text: str) -> None:
        self._round._grow("text", text)  # noqa: SLF001 - the round's other face

    def thought(self, text: str) -> None:
        self._round._grow("thought", text)  # noqa: SLF001

    def retype(self) -> None:
        self._round._retype()  # noqa: SLF001

    def call(self, text: str) -> None:
        self._round._call_in_text(text)  # noqa: SLF001


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that the text is, if it is one."""
    if not text.rstrip().endswith("}"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _parse_call(text: str) -> tuple[str, str]:
    """Name and arguments (JSON text) of a call in the text protocol."""
    value = _object(text)
    if value is None:
        return "", text.strip()
    name = value.get("name")
    arguments = value.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return (name if isinstance(name, str) else ""), arguments
