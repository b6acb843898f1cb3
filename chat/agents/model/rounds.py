"""Turns what the model says in one round into parts, as it comes.

The text of a round is shown as the answer. If the round then calls a tool, it was
not: the open part becomes a thought. One part of a round is open at a time; where a
server interleaves several tool calls, the later ones wait for the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from chat.agents.base import OpenPart, PartStatus, PartType, RunSink
from chat.agents.model import lenient
from chat.agents.model.calls import CallTable, JsonProgress, PendingCall
from chat.agents.model.fields import CallDelta
from chat.agents.model.tags import TagSplitter
from chat.agents.model.textcalls import TextCall, Tools, known_name

Kind = Literal["text", "thought", "call"]

_TYPES: Final[dict[Kind, PartType]] = {
    "text": "final_answer",
    "thought": "thought",
    "call": "tool_use",
}


class Call(Struct, frozen=True):
    """A tool call of the model; `arguments` is None where they make no sense.

    `extras` are fields of the server's that go back to it with the call.
    """

    call_id: str
    name: str
    text: str
    arguments: dict[str, Any] | None
    extras: Mapping[str, Any] = {}
    step: int | None = None  # the number of its part


class _Item:
    """Something the model says: shown as the open part, or waiting for its turn."""

    __slots__ = ("call", "chunks", "kind", "part", "reasoned", "said", "shown")

    def __init__(self, kind: Kind, text: str = "") -> None:
        self.kind = kind
        self.part: OpenPart | None = None
        self.shown: PartType | None = None
        self.chunks = [text]  # while it waits
        self.call = PendingCall(None)  # of kind call
        self.reasoned = False  # it came as a thought, in a field of its own
        self.said = False  # it came as text, and is shown as a thought

    @property
    def content(self) -> str:
        if self.kind == "call":
            return self.call.text
        return "".join(self.chunks) if self.part is None else self.part.content


class Round:
    """One answer of the model: takes its deltas, and tells the run's sink of the parts.

    `tools` are those that are offered. `name_call` makes an id for a call of the id
    that the server gave it. After `finish`, `answer` is the text for the person ("" if
    tools are called), `said` all text and `reasoning_text` what came as thoughts in
    fields of their own (`reasoning_fields`), for the model's memory, and `calls` are
    the tools to call. `extras`, set before, go back with the message. `raw`, where it
    is set, gives all text as it came; then the last part says that the round is whole.
    """

    def __init__(
        self,
        sink: RunSink,
        iteration: int,
        *,
        text_protocol: bool = False,
        tools: Tools = {},  # noqa: B006 - nobody changes it
        name_call: Callable[[str], str] = str,
    ) -> None:
        self.iteration = iteration
        self.calls: list[Call] = []
        self.answer = ""
        self.said = ""
        self.extras: Mapping[str, Any] = {}
        self.reasoning_fields: list[str] = []
        self.started = False  # something was shown
        self.raw: Callable[[], str] | None = None
        self._sink = sink
        self.name_call = name_call
        self._open: _Item | None = None
        self._waiting: list[_Item] = []
        self._tools = tools
        self._table = CallTable(tools.keys())
        self._items: dict[int, _Item] = {}  # of calls, by the call's identity
        self._texts: list[str] = []  # texts that were not the answer
        self._reasoning: list[str] = []
        self._calling = False
        self._is_over = False
        self._splitter = TagSplitter(self, tools=tools if text_protocol else None)
        self.text = self._splitter.feed  # straight to the splitter: the token path

    @property
    def reasoning_text(self) -> str:
        """All that came as thoughts, in fields of their own."""
        return "".join(self._reasoning)

    # ---- what the server says (DeltaSink; `text` is the splitter's)

    def reasoning(self, text: str) -> None:
        """More of the model's thoughts."""
        self._reasoning.append(text)
        self.think(text)
        item = self._waiting[-1] if self._waiting else self._open
        if item is not None and item.kind == "thought":
            item.reasoned = True

    def call(self, delta: CallDelta) -> None:
        """More of a tool call."""
        call = self._table.find(delta)
        if call is None:
            call = self._table.begin(delta)
            item = self._items[id(call)] = _Item("call")
            item.call = call
            call.add(delta)
            self._calling = True
            self._put(item)
            return
        item = self._items[id(call)]
        text = call.add(delta)
        if item is not self._open:
            return
        if item.part is None:
            self._show_call(item)
        elif text:
            item.part.grow(text)
        if self._waiting:
            self._advance()

    # ---- what the splitter finds in the text (TagSink)

    def say(self, text: str) -> None:
        """More text for the person."""
        item = self._open
        if item is not None and item.kind == "text" and not self._waiting:
            item.part.grow(text)  # type: ignore[union-attr]  # only a call may be unshown
            return
        self._add("text", text)

    def think(self, text: str) -> None:
        """More of a thought."""
        item = self._open
        if item is not None and item.kind == "thought" and not self._waiting:
            item.part.grow(text)  # type: ignore[union-attr]  # only a call may be unshown
            return
        self._add("thought", text)

    def recast(self) -> None:
        """All text so far was a thought."""
        item = self._open
        if item is not None and item.kind == "text":
            self._make_thought(item)

    def answer_after_all(self) -> None:
        """The open thought was the answer."""
        item = self._open
        if item is not None and item.kind == "thought" and item.part is not None:
            item.kind, item.shown = "text", "final_answer"
            item.part.replace(kind="final_answer")

    def call_in_text(self, call: TextCall) -> None:
        """A whole call in the text protocol."""
        item = _Item("call")
        item.call = self._table.begin(CallDelta())
        item.call.add(CallDelta(call.name, call.arguments))
        self._items[id(item.call)] = item
        self._calling = True
        self._put(item)

    # ---- the end

    def finish(self) -> None:
        """The round is complete: finish what is open, show what waits."""
        self._splitter.close()
        self._is_over = True
        while self._open is not None:
            self._finish_open()
        if not self._calling and not self.answer and self._texts:
            # What looked like a remark before more thinking was all there is.
            self._add("text", self._texts.pop())
            self._finish_open()
        self.said = "".join([*self._texts, self.answer])

    def abort(self, status: PartStatus) -> None:
        """The round broke off: show what was held back, close the open part."""
        self._splitter.break_off()
        item, self._open = self._open, None
        if item is not None and item.part is not None:
            item.part.finish(status)
        self._waiting.clear()

    # ---- inside

    def _add(self, kind: Kind, text: str) -> None:
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.kind == kind:
            last.chunks.append(text)
        elif text and not text.isspace():
            self._put(_Item(kind, text))

    def _make_thought(self, item: _Item) -> None:
        item.kind = "thought"
        if item.part is not None and item.shown != "thought":
            item.shown = "thought"
            item.part.replace(kind="thought")

    def _put(self, item: _Item) -> None:
        """Open the item, after closing what it puts an end to; or let it wait."""
        if self._open is not None and (self._waiting or not self._give_way()):
            self._waiting.append(item)
            return
        self._begin(item)

    def _give_way(self) -> bool:
        """Close the open part because another begins, if it can be complete."""
        item = self._open
        if item is not None and item.kind == "call" and not item.call.complete:
            return False
        if item is not None and item.kind == "text":
            self._texts.append(item.content)
            item.said = True
            self._make_thought(item)
        self._finish_open(advance=False)
        return True

    def _begin(self, item: _Item) -> None:
        self._open = item
        if item.kind == "call":
            self._show_call(item)
            return
        text = item.content
        item.shown = _TYPES[item.kind]
        if item.kind == "text" and self._calling:
            item.shown = "thought"
        self.started = True
        item.part = self._sink.start(item.shown, self.iteration)
        item.chunks.clear()
        item.part.grow(text)

    def _show_call(self, item: _Item, *, over: bool = False) -> None:
        """Show the call as soon as it has a name that will not grow."""
        call = item.call
        if not over:
            whole = (call.chunks and call.name) or self._table.is_whole_name(call.name)
            if not whole or call.held:
                return
        call.name = known_name(call.name.strip(), self._tools)
        name = call.name or "unknown"
        call.id = self.name_call(call.id)
        self.started = True
        item.part = self._sink.start("tool_use", self.iteration, name, call.id)
        if call.text:
            item.part.grow(call.text)

    def _advance(self) -> None:
        """The open call may have become complete, so that the next can be shown."""
        item = self._open
        while self._waiting and item is not None and item.call.complete:
            self._finish_open()
            item = self._open

    def _finish_open(self, *, advance: bool = True) -> None:
        item, self._open = self._open, None
        if item is None:
            return
        if item.kind == "call":
            self._finish_call(item)
        elif item.part is not None:
            if item.kind == "text":
                if self._calling:
                    self._texts.append(item.content)
                    item.said = True
                else:
                    self.answer = item.content
            item.part.finish(server_fields=self._server_fields(item))
        if advance and self._waiting:
            self._begin(self._waiting.pop(0))

    def _finish_call(self, item: _Item) -> None:
        call = item.call
        if item.part is None:
            self._show_call(item, over=True)
        part = item.part
        assert part is not None  # noqa: S101 - it is shown now
        text = call.text
        if not text.strip() or text.strip() == "null":
            text = "{}"
            part.replace(text=text)
        arguments = object_in(text)
        name = call.name or "unknown"
        self.calls.append(
            Call(call.id, name, text, arguments, call.extras, part.number)
        )
        status: PartStatus = "error" if arguments is None else "ok"
        part.finish(status, arguments, self._server_fields(item))

    def _server_fields(self, item: _Item) -> dict[str, Any] | None:
        """What is kept with a finished part, for whoever goes on with the run."""
        is_last = self._calling and self._is_over and not self._waiting
        fields: dict[str, Any] = {
            "reasoning": list(self.reasoning_fields) if item.reasoned else None,
            "text": item.said,
            "call": item.call.extras,
            "message": dict(self.extras) if is_last else None,
        }
        if self.raw is not None and self._is_over and not self._waiting:
            raw = self.raw()
            shown = "".join([*self._texts, self.answer])
            fields |= {"over": True, "raw": raw if raw != shown else None}
        return {name: of for name, of in fields.items() if of} or None


def arguments_text(text: str, arguments: Mapping[str, Any] | None) -> str:
    """A call's arguments for the server: as they came, if that is JSON."""
    if arguments is None:
        return "{}"
    try:
        as_it_came = isinstance(json.loads(text), dict)
    except ValueError:
        as_it_came = False
    return text if as_it_came else json.dumps(arguments, ensure_ascii=False)


def object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that the text is, also where it was encoded twice."""
    value: Any = text
    for _ in range(3):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value, strict=False)
        except (ValueError, RecursionError):
            value = _nearly_json(value)
    return value if isinstance(value, dict) else None


def _nearly_json(text: str) -> Any:
    """The value, where it is complete but not quite JSON; else None."""
    bare = text.strip().removeprefix("```json").strip("`\n\r\t ")
    progress = JsonProgress()
    progress.feed(bare)
    try:
        value, end = lenient.read_at(bare, 0)
    except (ValueError, RecursionError):
        return None
    return value if progress.complete and not bare[end:].strip("}] \n") else None
