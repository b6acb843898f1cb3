"""Splits a growing text at `<think>…</think>` and `<tool_call>…</tool_call>`.

Some models write their thoughts and tool calls into the text. The splitter is fed
the text as it comes, in pieces cut anywhere, and hands each piece on as what it is
as soon as that is certain; half a tag is never shown. Any cutting gives the same
result, and the cost is linear in the text.

A tag that is merely talked about stays text: `<think>` opens only at the start of
the text, right after another tag or at the start of a line, and no tag opens right
after a backtick. Templates that open the thought themselves leave a `</think>`
without an opening tag: all that came before it then turns out to have been thought.
White space next to a tag belongs to nobody and is dropped.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

THINK: Final = "<think>"
END_THINK: Final = "</think>"
CALL: Final = "<tool_call>"
END_CALL: Final = "</tool_call>"


class TagSink(Protocol):
    """Takes what the splitter has recognised."""

    def text(self, text: str) -> None:
        """More text for the person."""

    def thought(self, text: str) -> None:
        """More of a thought."""

    def retype(self) -> None:
        """All text so far was a thought."""

    def call(self, text: str) -> None:
        """A whole tool call as the model wrote it (to the end, if unclosed)."""


class TagSplitter:
    """Feeds a sink from a growing text; `close` says that the text is complete."""

    __slots__ = (
        "_call",
        "_first",
        "_held",
        "_last",
        "_lead",
        "_opening",
        "_plain",
        "_sink",
        "_state",
    )

    def __init__(self, sink: TagSink, *, tool_calls: bool = False) -> None:
        """Split at thoughts, and at tool calls where the text protocol is spoken."""
        self._sink = sink
        self._opening = (THINK, END_THINK, CALL) if tool_calls else (THINK, END_THINK)
        self._state: Literal["text", "think", "call"] = "text"
        self._plain = False  # in the middle of text, nothing held back
        self._first = True  # no tag seen yet
        self._held = ""  # may be the beginning of a tag
        self._lead = ""  # white space before the text's first visible character
        self._last = ""  # the text just given out, for the character before a tag
        self._call: list[str] = []

    def feed(self, text: str) -> None:
        """Take the next piece of the text."""
        if not text:
            return
        if self._plain and "<" not in text:
            self._sink.text(text)
            self._last = text
            return
        rest = self._held + text
        self._held = ""
        while rest:
            if self._state == "text":
                rest = self._feed_text(rest)
            elif self._state == "think":
                rest = self._feed_thought(rest)
            else:
                rest = self._feed_call(rest)
        self._plain = self._state == "text" and bool(self._last) and not self._held

    def close(self) -> None:
        """Give out what was held back: the text is complete."""
        held, self._held = self._held, ""
        if self._state == "text" and held:
            self._give_text(held)
        elif self._state == "think" and held:
            self._give_thought(held)
        elif self._state == "call":
            self._sink.call("".join(self._call) + held)
        self._plain = False

    def _feed_text(self, rest: str) -> str:
        at = rest.find("<")
        while at >= 0:
            tail = rest[at : at + len(CALL)]
            for tag in self._opening:
                if not (tail.startswith(tag) or tag.startswith(tail)):
                    continue
                if not self._may_open(tag, rest[:at]):
                    continue
                self._give_text(rest[:at])
                if not tail.startswith(tag):
                    self._held = rest[at:]
                    return ""
                self._open(tag)
                return rest[at + len(tag) :]
            at = rest.find("<", at + 1)
        self._give_text(rest)
        return ""

    def _may_open(self, tag: str, before: str) -> bool:
        """Whether a tag may open here, given the text since the last piece."""
        seen = before.lstrip() if not self._last else self._last + before
        if seen.endswith("`"):
            return False
        if tag == THINK:
            return not seen or seen.endswith("\n")
        return tag != END_THINK or self._first

    def _open(self, tag: str) -> None:
        if tag == CALL:
            self._state = "call"
        elif tag == THINK:
            self._state = "think"
        elif self._last:
            self._sink.retype()
        self._first = False
        self._last = self._lead = ""

    def _feed_thought(self, rest: str) -> str:
        at = rest.find(END_THINK)
        if at >= 0:
            self._give_thought(rest[:at])
            self._end()
            return rest[at + len(END_THINK) :]
        keep = _beginning_of(END_THINK, rest)
        self._give_thought(rest[: len(rest) - keep])
        self._held = rest[len(rest) - keep :]
        return ""

    def _feed_call(self, rest: str) -> str:
        at = rest.find(END_CALL)
        if at >= 0:
            self._call.append(rest[:at])
            self._sink.call("".join(self._call))
            self._call.clear()
            self._end()
            return rest[at + len(END_CALL) :]
        keep = _beginning_of(END_CALL, rest)
        self._call.append(rest[: len(rest) - keep])
        self._held = rest[len(rest) - keep :]
        return ""

    def _end(self) -> None:
        self._state = "text"
        self._last = self._lead = ""

    def _give_text(self, text: str) -> None:
        if not self._last:
            text = self._lead + text if self._first else text.lstrip()
            if not text or text.isspace():
                self._lead = text
                return
            self._lead = ""
        if text:
            self._sink.text(text)
            self._last = text

    def _give_thought(self, text: str) -> None:
        if not self._last:
            text = text.lstrip()
        if text:
            self._sink.thought(text)
            self._last = text


def _beginning_of(tag: str, text: str) -> int:
    """How many characters at the end of the text may be the beginning of the tag."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-size:]):
            return size
    return 0
