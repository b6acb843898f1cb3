"""Puts tool calls together from the pieces that servers send.

Some number their calls and some do not, some name each call by an id, some repeat id
and name with every piece, or send the name itself in pieces. Which call a piece
belongs to is told by index and id together, and, where these do not say, by whether
the arguments so far are complete.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Any

from chat.agents.model.fields import CallDelta, merged

_SYNTAX = re.compile(r'[{}\[\]"]|\\.?', re.DOTALL)


class JsonProgress:
    """Whether a growing JSON text is complete; linear in the text, whatever asks."""

    __slots__ = ("_depth", "_escape", "_string", "began", "complete")

    def __init__(self) -> None:
        self.began = False
        self.complete = False
        self._depth = 0
        self._string = False
        self._escape = False

    def feed(self, text: str) -> None:
        """Take the next piece."""
        if self._escape and text:
            self._escape, text = False, text[1:]
        for match in _SYNTAX.finditer(text):
            sign = match[0]
            if self._string:
                if sign == '"':
                    self._string = False
                elif sign == "\\":  # the escaped character comes next
                    self._escape = True
            elif sign == '"':
                self._string = True
            elif sign in "{[":
                self._depth += 1
            elif sign in "}]":
                self._depth -= 1
            self.began = True
        self.complete = self.began and self._depth <= 0 and not self._string


class PendingCall:
    """A tool call as far as it has come."""

    __slots__ = ("_progress", "chunks", "extras", "id", "index", "name")

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.extras: dict[str, Any] = {}
        self.chunks: list[str] = []
        self._progress = JsonProgress()

    @property
    def text(self) -> str:
        """The arguments so far."""
        if len(self.chunks) > 1:
            self.chunks[:] = ["".join(self.chunks)]
        return self.chunks[0] if self.chunks else ""

    @property
    def complete(self) -> bool:
        """Whether the arguments are complete, as far as their brackets say."""
        return self._progress.complete

    def add(self, delta: CallDelta) -> str:
        """Take a piece. Returns what it adds to the arguments.

        `{}` alone is held back: with some servers the real arguments follow.
        """
        self.id = self.id or delta.id
        if delta.extras:
            self.extras = merged(self.extras, delta.extras)
        if delta.name and not self._progress.began:
            self.name = _grown(self.name, delta.name)
        text = delta.arguments
        if not text or (self.complete and text.strip() in {self.text.strip(), "{}"}):
            return ""
        empty = self.complete and self.text.strip() == "{}"
        if empty:
            self.chunks.clear()
            self._progress = JsonProgress()
        self.chunks.append(text)
        self._progress.feed(text)
        return text

    @property
    def held(self) -> bool:
        """Whether the arguments are not to be shown yet."""
        return len(self.chunks) <= 1 and self.text.strip() == "{}"


class CallTable:
    """The calls of one answer. `tools` are the names of those that are offered."""

    def __init__(self, tools: AbstractSet[str] = frozenset()) -> None:
        self.calls: list[PendingCall] = []
        self._tools = tools

    def find(self, delta: CallDelta) -> PendingCall | None:
        """The call that the piece belongs to; None if it begins one."""
        call = self._by_id(delta) or self._by_place(delta)
        return None if call is None or self._is_another(call, delta) else call

    def begin(self, delta: CallDelta) -> PendingCall:
        """A new call, to which the piece is still to be added."""
        call = PendingCall(delta.index)
        self.calls.append(call)
        return call

    def is_whole_name(self, name: str) -> bool:
        """Whether this is an offered tool's name, and cannot grow into another's."""
        return name in self._tools and not any(
            tool != name and tool.startswith(name) for tool in self._tools
        )

    def _by_id(self, delta: CallDelta) -> PendingCall | None:
        if not delta.id:
            return None
        for call in reversed(self.calls):
            if call.id == delta.id and (
                None in {delta.index, call.index} or call.index == delta.index
            ):
                return call
        return None

    def _by_place(self, delta: CallDelta) -> PendingCall | None:
        if delta.index is None:
            return self.calls[-1] if self.calls else None
        same = (call for call in reversed(self.calls) if call.index == delta.index)
        return next(same, None)

    def _is_another(self, call: PendingCall, delta: CallDelta) -> bool:
        """Whether the piece begins another call though it has this one's place."""
        if not delta.name or not call.name:
            return False
        if not call.chunks:
            return self._is_other_name(call, delta)
        if not call.complete:
            # A name, or an id, that is said with every piece; or two by turns.
            other_id = delta.id and call.id and delta.id != call.id
            by_turns = other_id and delta.index is None
            return bool(by_turns and delta.arguments.lstrip()[:1] == "{")
        if delta.name == call.name:
            if not delta.arguments or delta.arguments.strip() == call.text.strip():
                return bool(delta.id and call.id and delta.id != call.id)
            if call.text.strip() == "{}" and delta.id in {"", call.id}:
                return False  # the real arguments
        return True

    def _is_other_name(self, call: PendingCall, delta: CallDelta) -> bool:
        """Whether a second name, before any arguments, is another tool's."""
        grown = _grown(call.name, delta.name)
        if grown == call.name or delta.name.startswith(call.name):
            return call.name in self._tools and delta.name != call.name
        if self._tools:
            return not any(tool.startswith(grown) for tool in self._tools)
        return delta.index is None or bool(delta.id and delta.id != call.id)


def _grown(name: str, more: str) -> str:
    """A name that is sent in pieces, as a whole again and again, or growing."""
    return more if more.startswith(name) else name + more
