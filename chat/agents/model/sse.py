"""Reads an OpenAI-compatible stream of server-sent events, byte by byte as it comes.

This is the token path: a line in the usual form is cut, decoded into the few wanted
fields and handed on without anything else being built. All that servers send besides
(comments, events in several lines, lone surrogates, whole answers in one piece, fields
nobody knows, errors in the middle) is read from plain JSON, field by field: one odd
value never costs an answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from chat.agents.model import lenient
from chat.agents.model.fields import (
    CallDelta,
    Extras,
    PieceJoiner,
    call_delta,
    content_of,
    error_in,
    number,
    reasoning_in,
)

MAX_LINE: Final = 8 * 1024 * 1024
MAX_EXCERPT: Final = 300  # bytes of what a server sent, for the log


class DeltaSink(Protocol):
    """Takes what the model says, piece by piece.

    `reasoning_fields` are the names under which its thoughts came, which whoever
    reads adds before the thoughts.
    """

    reasoning_fields: list[str]

    def reasoning(self, text: str) -> None:
        """More of the model's thoughts."""

    def text(self, text: str) -> None:
        """More of its text."""

    def call(self, delta: CallDelta) -> None:
        """More of a tool call."""


class StreamError(Exception):
    """The server sent an error, or what no client can read, within the stream."""


class NotAnAnswerError(StreamError):
    """What the server sent is no stream and no JSON: a web page, for example."""


class _Delta(Struct, gc=False, forbid_unknown_fields=True):
    """What is decoded quickly; anything else, or of another type, is read slowly."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    role: Any = None
    tool_calls: None = None
    refusal: None = None
    function_call: None = None
    audio: None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: None = None  # read slowly


class _Choice(Struct, gc=False):
    delta: _Delta
    index: int = 0
    finish_reason: str | None = None
    error: None = None
    usage: None = None  # read slowly


class _Chunk(Struct, gc=False):
    choices: list[_Choice]
    usage: _Usage | None = None
    error: None = None


_decode: Final = msgspec.json.Decoder(_Chunk).decode
_decode_any: Final = msgspec.json.Decoder().decode


class EventReader:
    """Feeds a sink from the bytes of one answer.

    `started` says whether the sink was given anything; `finish_reason`, `done` (the
    server said that this was all) and the two counts are known once the server has
    sent them. `events` counts what was understood. `extras` is what the server said of
    the message beside text, reasoning and calls.
    """

    __slots__ = (
        "_bare",
        "_bare_size",
        "_event_name",
        "_halves",
        "_lines",
        "_reasoning_fields",
        "_rest",
        "_rest_size",
        "_sink",
        "_skip_newline",
        "done",
        "events",
        "extras",
        "finish_reason",
        "garbage",
        "input_tokens",
        "output_tokens",
        "started",
    )

    def __init__(self, sink: DeltaSink) -> None:
        self._sink = sink
        self._rest: list[bytes] = []  # a line that goes on in what comes next
        self._rest_size = 0
        self._skip_newline = False  # what came last ended between a CR and its LF
        self._lines: list[bytes] = []  # data lines of an event that goes on
        self._bare: list[bytes] = []  # lines of JSON that is no event
        self._bare_size = 0
        self._event_name = b""
        self._halves: dict[Callable[[str], None], PieceJoiner] = {}
        self.started = False
        self.done = False
        self.events = 0
        self.garbage = b""  # the beginning of what was neither event nor JSON
        self.finish_reason: str | None = None
        self.input_tokens = 0
        self.output_tokens = 0
        self.extras = Extras()
        self._reasoning_fields = sink.reasoning_fields

    def feed(  # noqa: C901, PLR0912 - the token path, in one piece
        self, data: bytes
    ) -> None:
        """Take the next bytes, cut anywhere. Raises StreamError."""
        if self._skip_newline:
            self._skip_newline = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\n" not in data and b"\r" not in data:
            self._keep(data)
            return
        lines = data.splitlines()
        last = data[-1]
        if self._rest:
            self._rest.append(lines[0])
            lines[0] = b"".join(self._rest)
            self._rest.clear()
            self._rest_size = 0
        if last == 13:  # noqa: PLR2004 - CR: its LF may come next
            self._skip_newline = True
        elif last != 10:  # noqa: PLR2004 - LF
            self._keep(lines.pop())
        for line in lines:
            if not line:  # of most events the end, which says nothing
                if self._lines or self._event_name:
                    self._end_event()
            elif line[:5] == b"data:" and not (self._lines or self._bare):
                try:
                    chunk = _decode(line[5:])
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    self._read_line(line)
                else:
                    if chunk.choices or chunk.usage is not None:
                        self._read_chunk(chunk)
                    else:
                        self._read_line(line)
            else:
                self._read_line(line)

    def close(self) -> None:
        """The server has closed the stream: read what has no end. Raises as `feed`."""
        if self._rest:
            line = b"".join(self._rest)
            self._rest.clear()
            self._read_line(line)
        self._end_event()
        self._end_bare()
        for give, joiner in self._halves.items():
            if text := joiner.close():
                self._give(give, text)
        self._halves.clear()
        if self.garbage and not self.events and not self.done:
            raise NotAnAnswerError(_excerpt(self.garbage))

    # ---- the quick way

    def _read_chunk(self, chunk: _Chunk) -> None:
        self.events += 1
        for choice in chunk.choices:
            if choice.index:
                continue
            delta = choice.delta
            if (thought := delta.reasoning_content) or (thought := delta.reasoning):
                if self._halves:
                    self._flush_halves()
                if not self._reasoning_fields:
                    self._note_reasoning(
                        [
                            name
                            for name in ("reasoning_content", "reasoning")
                            if getattr(delta, name)
                        ]
                    )
                self._give(self._sink.reasoning, thought)
            if delta.content:
                if self._halves:
                    self._flush_halves()
                self.started = True
                text = delta.content
                self._sink.text(_without_nul(text) if "\0" in text else text)
            if choice.finish_reason:
                self._finish(choice.finish_reason)
        if chunk.usage is not None:
            self._count(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)

    def _give(self, give: Callable[[str], None], text: str) -> None:
        self.started = True
        give(_without_nul(text) if "\0" in text else text)

    def _note_reasoning(self, names: list[str]) -> None:
        known = self._reasoning_fields
        known += [name for name in names if name not in known]

    def _finish(self, reason: str) -> None:
        if reason.lower() not in {"null", "none"}:
            self.finish_reason = reason

    def _count(self, given: Any, written: Any) -> None:
        # Where one of them makes no sense, neither is believed.
        if _is_count(given) and _is_count(written):
            self.input_tokens = given or self.input_tokens
            self.output_tokens = written or self.output_tokens

    # ---- lines

    def _keep(self, data: bytes) -> None:
        self._rest.append(data)
        self._rest_size += len(data)
        if self._rest_size > MAX_LINE:
            raise StreamError("a line without end")

    def _read_line(self, line: bytes) -> None:
        """Any line, by the rules of server-sent events, and leniently beyond them."""
        if line.startswith(b"\xef\xbb\xbf") and not self.events:
            line = line[3:]
        if not (self._lines or self._bare):
            line = _field(line)
        if line.startswith(b"data:"):
            self._end_bare()
            self._read_data(line[5:].lstrip(b" "))
        elif not line.strip():
            self._end_event()
        elif line.startswith(b":"):
            pass
        elif line.startswith(b"event:"):
            self._event_name = line[6:].strip().lower()
        elif line.startswith((b"id:", b"retry:")):
            pass
        elif line.startswith(b"error:"):
            self._event_name = b"error"
            self._read_data(line[6:].strip())
        elif self._lines:
            # A line break within the JSON of an event that was not written as one.
            self._add_data(line)
        else:
            self._read_bare(line)

    def _read_data(self, data: bytes) -> None:
        if self._lines:
            self._add_data(data)
            return
        is_error = self._event_name == b"error"
        while data.startswith(b"data:"):
            data = data[5:].lstrip()
        if _is_done(data):
            self.done = True
        elif data.lower().startswith((b"error", b"[error")):
            raise StreamError(_excerpt(data))
        elif not self._read_json(data, named_error=is_error) and _may_be_json(data):
            self._add_data(data)

    def _add_data(self, data: bytes) -> None:
        self._lines.append(data)
        self._bare_size += len(data)
        if self._bare_size > MAX_LINE:
            raise StreamError("an event without end")

    def _end_event(self) -> None:
        """A blank line: read an event that took more than one line."""
        if self._lines:
            whole = b"\n".join(self._lines)
            self._lines.clear()
            self._bare_size = 0
            is_error = self._event_name == b"error"
            if not self._read_leniently(whole, named_error=is_error):
                if is_error:
                    raise StreamError(_excerpt(whole))
                raise StreamError("not JSON: " + _excerpt(whole))
        elif self._event_name == b"error":
            raise StreamError("an error without words")
        self._event_name = b""

    def _read_bare(self, line: bytes) -> None:
        """A line that is no field: of an answer, or of an error, that is plain JSON."""
        if not self._bare and _is_done(line):
            self.done = True
            return
        if not self._bare and not _may_be_json(line):
            self.garbage = self.garbage or line[:MAX_EXCERPT]
            return
        if not self._bare and self._read_json(line, named_error=False):
            return
        self._bare.append(line)
        self._bare_size += len(line)
        if self._bare_size > MAX_LINE:
            raise StreamError("JSON without end")

    def _end_bare(self) -> None:
        if self._bare:
            whole = b"\n".join(self._bare)
            self._bare.clear()
            self._bare_size = 0
            if not self._read_leniently(whole, named_error=False):
                raise StreamError("not JSON: " + _excerpt(whole))

    # ---- plain JSON, field by field

    def _read_json(self, data: bytes, *, named_error: bool) -> bool:
        """Read one event's JSON. Returns False if it is none."""
        value = _json(data)
        if value is _NO_JSON:
            if named_error and data.strip() and not _may_be_json(data):
                raise StreamError(_excerpt(data))
            return False
        self._read_value(value, named_error=named_error)
        return True

    def _read_leniently(self, data: bytes, *, named_error: bool) -> bool:
        """Read what is all there is of an event: JSON, nearly JSON, or several."""
        if self._read_json(data, named_error=named_error):
            return True
        text = data.decode(errors="surrogateescape").strip()
        values: list[Any] = []
        at = 0
        try:
            while at < len(text):
                value, at = lenient.read_at(text, at)
                values.append(value)
        except ValueError:
            return False
        self._read_value(values, named_error=named_error)
        return True

    def _read_value(self, value: Any, *, named_error: bool) -> None:
        if isinstance(value, list):
            for item in value:
                self._read_value(item, named_error=named_error)
            return
        if value == "[DONE]":
            self.done = True
        if not isinstance(value, dict):
            if named_error and value:
                raise StreamError(str(value)[:MAX_EXCERPT])
            return
        error = error_in(value, named_error=named_error)
        usage = value.get("usage")
        for choice in _first_choices(value.get("choices")):
            self._read_choice(choice)
            usage = usage or choice.get("usage")
            error = error or error_in({"error": choice.get("error")}, named_error=False)
        if isinstance(usage, dict):
            self._count(
                _count_in(usage, "prompt_tokens", "input_tokens"),
                _count_in(usage, "completion_tokens", "output_tokens"),
            )
        if error is not None:
            raise StreamError(error)
        self.events += 1

    def _read_choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if not isinstance(delta, dict) or not delta:
            delta = choice.get("message")
        if isinstance(delta, dict):
            self._read_delta(delta)
        elif isinstance(choice.get("text"), str):
            self._read_piece(self._sink.text, choice["text"])
        reason = choice.get("finish_reason")
        if isinstance(reason, dict):
            reason = reason.get("type")
        if isinstance(reason, str) and reason:
            self._finish(reason)

    def _read_delta(self, delta: dict[str, Any]) -> None:
        thought, names = reasoning_in(delta)
        text, thought_in_text = content_of(delta.get("content"))
        if thought_in_text:
            names.append("thinking_part")
        if thought or thought_in_text:
            self._note_reasoning(names)
            self._read_piece(self._sink.reasoning, thought + thought_in_text)
        text += "".join(content_of(delta.get("refusal")))
        if text:
            self._read_piece(self._sink.text, text)
        calls = delta.get("tool_calls")
        if isinstance(calls, dict):
            calls = [calls]
        if not calls and isinstance(delta.get("function_call"), dict):
            calls = [{"index": 0, "function": delta["function_call"]}]
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self.started = True
                self._sink.call(call_delta(call))
        self.extras.add_message(delta)

    def _read_piece(self, give: Callable[[str], None], text: str) -> None:
        """Hand on text in which a character may have been cut in two."""
        joiner = self._halves.get(give)
        if joiner is None:
            joiner = PieceJoiner()
        self._halves.pop(give, None)
        self._flush_halves()
        if whole := joiner.feed(text):
            self._give(give, whole)
        if joiner.held:
            self._halves[give] = joiner

    def _flush_halves(self) -> None:
        """Half a character that nothing followed."""
        for give, joiner in tuple(self._halves.items()):
            del self._halves[give]
            self._give(give, joiner.close())


_NO_JSON: Final = object()
_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry", b"error"})


def _json(data: bytes) -> Any:
    """The JSON value, leniently; `_NO_JSON` if it is none.

    Half surrogate pairs stay, and bytes that are no UTF-8 become such halves.
    """
    if not data.strip():
        return _NO_JSON
    try:
        return _decode_any(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(data.decode(errors="surrogateescape"), strict=False)
    except (ValueError, RecursionError):
        return _NO_JSON


def _may_be_json(data: bytes) -> bool:
    """Whether an object or a list begins here; else it is a ping, or the like."""
    return data.lstrip()[:1] in (b"{", b"[")


def _first_choices(choices: Any) -> list[dict[str, Any]]:
    """What belongs to the first choice, which is the only one that was asked for."""
    if isinstance(choices, dict):
        choices = [choices]
    return [
        choice
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict) and number(choice.get("index")) in {None, 0}
    ]


def _is_done(data: bytes) -> bool:
    return data.strip().upper() == b"[DONE]"


def _field(line: bytes) -> bytes:
    """A line whose field is written in another way, as it should be written."""
    name, colon, value = line.lstrip().partition(b":")
    known = name.lower()
    return known + colon + value if known in _FIELDS and colon else line


def _count_in(usage: Mapping[str, Any], *names: str) -> Any:
    value = next((usage[name] for name in names if usage.get(name) is not None), None)
    whole = number(value)
    return value if whole is None else whole


def _is_count(value: Any) -> bool:
    return value is None or (type(value) is int and value >= 0)


def _without_nul(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _excerpt(data: bytes) -> str:
    """The beginning of what a server sent, for the log only."""
    return data[:MAX_EXCERPT].decode(errors="replace")
