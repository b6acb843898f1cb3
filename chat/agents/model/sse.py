"""Reads an OpenAI-compatible stream of server-sent events, byte by byte as it comes.

This is the token path: a line in the usual form is cut, decoded into the few wanted
fields and handed on without anything else being built. All that servers send besides
(comments, CRLF, broken JSON, lone surrogates, whole answers in one piece, errors in
the middle) takes the slow path.
"""

from __future__ import annotations

import json
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

MAX_LINE: Final = 8 * 1024 * 1024


class DeltaSink(Protocol):
    """Takes what the model says, piece by piece."""

    def reasoning(self, text: str) -> None:
        """More of the model's thoughts."""

    def text(self, text: str) -> None:
        """More of its text."""

    def call(self, key: int, name: str, arguments: str) -> None:
        """More of the tool call that is known by this key within the answer."""


class StreamError(Exception):
    """The server sent an error, or what no client can read, within the stream."""


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _CallDelta(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(_Chunk).decode


class EventReader:
    """Feeds a sink from the bytes of one answer.

    `started` says whether the sink was given anything; `finish_reason`, `done` and
    the two counts are known once the server has sent them.
    """

    __slots__ = (
        "_broken",
        "_calls",
        "_keys",
        "_rest",
        "_sink",
        "done",
        "events",
        "finish_reason",
        "input_tokens",
        "output_tokens",
        "started",
    )

    def __init__(self, sink: DeltaSink) -> None:
        self._sink = sink
        self._rest = b""
        self._broken = b""  # the beginning of an event that goes on in the next line
        self._calls: dict[int, tuple[int, str]] = {}  # index: key and id
        self._keys = 0
        self.started = False
        self.done = False
        self.events = 0
        self.finish_reason: str | None = None
        self.input_tokens = 0
        self.output_tokens = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        rest = self._rest
        lines = (rest + data if rest else data).split(b"\n")
        self._rest = rest = lines.pop()
        if len(rest) > MAX_LINE:
            raise StreamError("a line without end")
        for line in lines:
            if line.startswith(b"data:"):
                try:
                    chunk = _decode(line[5:])
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    self._read_odd(line[5:])
                else:
                    self._read(chunk)
            elif self._broken and not line.strip():
                raise StreamError("not JSON: " + _excerpt(self._broken))

    def close(self) -> None:
        """The server has closed the stream: read a last line without an end."""
        last, self._rest = self._rest, b""
        if last.startswith(b"data:"):
            self.feed(last + b"\n")
        if self._broken:
            raise StreamError("not JSON: " + _excerpt(self._broken))

    def read_whole(self, body: bytes) -> None:
        """Read an answer that came as one JSON document instead of a stream."""
        try:
            chunk = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._read_odd(body)
        else:
            self._read(chunk)
        if self._broken:
            raise StreamError("not JSON: " + _excerpt(self._broken))
        self.done = True

    def _read(self, chunk: _Chunk) -> None:
        self.events += 1
        if chunk.choices:
            choice = chunk.choices[0]
            delta = choice.delta or choice.message
            if delta is not None:
                if delta.reasoning_content or delta.reasoning:
                    self._give_reasoning(delta.reasoning_content or delta.reasoning)
                if delta.content:
                    self._give_text(delta.content)
                if delta.tool_calls:
                    self._give_calls(delta.tool_calls)
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason
        if chunk.usage is not None:
            self.input_tokens = chunk.usage.prompt_tokens or self.input_tokens
            self.output_tokens = chunk.usage.completion_tokens or self.output_tokens
        if chunk.error is not None:
            raise StreamError(_excerpt(msgspec.json.encode(chunk.error)))

    def _give_text(self, text: str) -> None:
        self.started = True
        if "\0" in text:
            text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        self._sink.text(text)

    def _give_reasoning(self, text: str | None) -> None:
        self.started = True
        if text and "\0" in text:
            text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        self._sink.reasoning(text or "")

    def _give_calls(self, deltas: list[_CallDelta]) -> None:
        for delta in deltas:
            function = delta.function or _Function()
            arguments = function.arguments or ""
            if not isinstance(arguments, str):
                arguments = json.dumps(arguments, ensure_ascii=False)
            self.started = True
            self._sink.call(
                self._key(delta, function),
                _clean(function.name or ""),
                _clean(arguments),
            )

    def _key(self, delta: _CallDelta, function: _Function) -> int:
        """Which call this belongs to: by index, and by id where the index lies."""
        index = delta.index
        if index is None:  # some servers number nothing: a name begins a new call
            begins = bool(function.name or not self._calls)
            index = len(self._calls) if begins else max(self._calls)
        known = self._calls.get(index)
        another = known and delta.id and function.name and delta.id != known[1]
        if known is None or another:
            known = (self._keys, delta.id or "")
            self._calls[index] = known
            self._keys += 1
        return known[0]

    # ---- what is not in the usual form

    def _read_odd(self, data: bytes) -> None:
        data = data.strip()
        if data == b"[DONE]":
            self.done = True
            return
        if not data:
            return
        try:
            whole = json.loads((self._broken + data).decode(errors="replace"))
        except ValueError:
            self._broken += data + b"\n"
            if len(self._broken) > MAX_LINE:
                raise StreamError("an event without end") from None
            return
        self._broken = b""
        try:
            chunk = msgspec.convert(_mended(whole), _Chunk)
        except msgspec.ValidationError as error:
            raise StreamError(f"not an answer: {error}") from None
        self._read(chunk)


def _mended(value: Any) -> Any:
    """JSON as Python reads it, without what no database and no wire can carry.

    Lone surrogates become U+FFFD, lists of text parts one text, numbered calls and
    ids that are not of the usual type what they should have been.
    """
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if not isinstance(value, dict):
        return value
    mended = {str(key): _mended(item) for key, item in value.items()}
    if isinstance(mended.get("content"), list):
        parts = [part for part in mended["content"] if isinstance(part, dict)]
        mended["content"] = "".join(str(part.get("text") or "") for part in parts)
    if isinstance(mended.get("id"), int):
        mended["id"] = str(mended["id"])
    return mended


def _clean(text: str) -> str:
    """The text without NULs, half surrogate pairs joined or replaced."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        data = text.encode("utf-16-le", "surrogatepass")
        text = data.decode("utf-16-le", "replace")
    return text


def _excerpt(data: bytes) -> str:
    """The beginning of what a server sent, for the log only."""
    return data[:300].decode(errors="replace")
