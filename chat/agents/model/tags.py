"""Splits a growing text into text, thoughts and tool calls, as models write them.

The splitter is fed the text as it comes, in pieces cut anywhere, and hands each piece
on as what it is as soon as that is certain: text that cannot become a call is shown at
once, half a tag never. Any cutting gives the same result, and the cost is linear in
the text.

Thoughts stand in `<think>…</think>`, or `<thinking>`. Templates that open the thought
themselves leave a `</think>` without an opening tag: all that came before it then turns
out to have been thought. Where the text protocol is spoken, calls stand in tags
(`CALL_TAGS`, `GUESS_TAGS`), or are JSON that names an offered tool, bare or in a code
block, if that is all that follows.

A tag that is merely talked about stays text: none opens within a code block or inline
code, and `<think>` only at the start of the text, right after another tag or at the
start of a line. White space next to a tag belongs to nobody and is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from chat.agents.model.textcalls import (
    CallGuess,
    TextCall,
    Tools,
    calls_in,
    offered_calls_in,
)

THINK: Final = "<think>"
END_THINK: Final = "</think>"
THOUGHT_TAGS: Final = {THINK: END_THINK, "<thinking>": "</thinking>"}
# What opens a call and what closes it; "" is the end of the text. Those in
# `KEPT_TAGS` are a part of the call.
CALL_TAGS: Final = {
    "<tool_call>": "</tool_call>",
    "<function_call>": "</function_call>",
    "<function=": "</function>",
    "[TOOL_CALLS]": "",
    "<|tool_calls_section_begin|>": "<|tool_calls_section_end|>",  # Kimi
    "<｜tool▁calls▁begin｜>": "<｜tool▁calls▁end｜>",  # DeepSeek
    "<｜DSML｜function_calls>": "</｜DSML｜function_calls>",  # DeepSeek since 3.2
}
KEPT_TAGS: Final = frozenset({"<function="})
# Calls only if JSON follows that names offered tools; and what may close them.
TOOLS: Final = "<tools>"
GUESS_TAGS: Final = {
    TOOLS: "</tools>",
    "<|python_tag|>": "<|eom_id|>",  # Llama
    "<|tool_call|>": "",  # Granite
}

PIECE: Final = 4096  # characters that are looked at together
FENCE: Final = 3  # signs that begin a code block
MAX_SIGNS: Final = 32  # of code that belong together; more of them are text
FENCED_CALLS: Final = frozenset(
    {"", "json", "json5", "tool_call", "tool", "tool_calls"}
)
MAX_INFO: Final = 20  # characters after the signs of a code block that may be calls
MAX_LINE: Final = 100  # characters of a line within a code block that may be its end


_IN_CODE: Final = re.compile(rf"`{{1,{MAX_SIGNS + 1}}}|\n")


class TagSink(Protocol):
    """Takes what the splitter has recognised."""

    def say(self, text: str) -> None:
        """More text for the person."""

    def think(self, text: str) -> None:
        """More of a thought."""

    def recast(self) -> None:
        """All text so far was a thought."""

    def call_in_text(self, call: TextCall) -> None:
        """A whole tool call."""


class TagSplitter:
    """Feeds a sink from a growing text; `close` says that the text is complete.

    `tools` are the offered tools where the text protocol is spoken, else None.
    """

    __slots__ = (
        "_call",
        "_end_tag",
        "_fence",
        "_first",
        "_guess",
        "_held",
        "_last",
        "_lead",
        "_line",
        "_opening",
        "_plain",
        "_sink",
        "_special",
        "_state",
        "_talked_about",
        "_tools",
    )

    def __init__(self, sink: TagSink, *, tools: Tools | None = None) -> None:
        self._sink = sink
        self._tools = tools
        self._opening = [*THOUGHT_TAGS, END_THINK]
        if tools is not None:
            self._opening += [*CALL_TAGS, *GUESS_TAGS]
        signs = r"[<`~]" if tools is None else r"[<`~\[{]"
        self._special = re.compile(signs).search
        self._state: Callable[[str], str] = self._feed_text
        self._plain = False  # in the middle of text, nothing held back
        self._first = True  # no tag seen yet
        self._held = ""  # what may be the beginning of a tag
        self._talked_about = False  # `<think>` stood where it is text: its end is, too
        self._lead = ""  # white space before the text's first visible character
        self._last = ""  # the end of the text given out, for what is before a tag
        self._fence = ""  # what closes the code block or the inline code
        self._line = ""  # the beginning of the line, within a code block
        self._end_tag = ""  # of the call or the thought
        self._call: list[str] = []
        self._guess: CallGuess | None = None

    def feed(self, text: str) -> None:
        """Take the next piece of the text."""
        if self._plain and self._special(text) is None:
            if text:
                self._sink.say(text)
                self._last = self._last + text if text.isspace() else text
            return
        # In small pieces: what is left is copied at every tag.
        for start in range(0, len(text), PIECE):
            rest = self._held + text[start : start + PIECE]
            self._held = ""
            while rest:
                rest = self._state(rest)
        in_text = self._state == self._feed_text
        self._plain = in_text and bool(self._last) and not self._held

    def close(self) -> None:
        """Give out what was held back: the text is complete."""
        self._plain = False
        held, self._held = self._held, ""
        if self._state == self._feed_guess:
            self._close_guess()
        elif self._state == self._feed_call:
            self._give_calls("".join(self._call) + held)
        elif self._state == self._feed_thought:
            self._give_thought(held)
        else:
            self._give_text(held)

    def break_off(self) -> None:
        """Give out what was held back as it is: the text is not complete."""
        self._plain = False
        held, self._held = "".join(self._call) + self._held, ""
        self._call.clear()
        if self._state == self._feed_thought:
            self._give_thought(held)
        else:
            self._give_text(held)

    # ---- text

    def _feed_text(self, rest: str) -> str:
        start = 0
        while (sign := self._special(rest, start)) is not None:
            at = sign.start()
            found = self._at_sign(rest, at)
            if found is not None:
                return found
            start = at + 1
        self._give_text(rest)
        return ""

    def _at_sign(self, rest: str, at: int) -> str | None:
        """What is left to feed, where something begins at this sign, or may."""
        char = rest[at]
        if char in "`~":
            return self._at_code(rest, at)
        for tag in self._opening:
            tail = rest[at : at + len(tag)]
            if not tag.startswith(tail):
                continue
            may_open = self._may_open(tag, rest[:at])
            if tail == tag and tag == THINK:
                self._talked_about = not may_open
            if tail != tag and (may_open or tag == THINK):
                self._give_text(rest[:at])
                self._held = rest[at:]
                return ""
            if may_open:
                self._give_text(rest[:at])
                self._open(tag)
                return rest[at + len(tag) :]
        if char in "{[" and self._is_blank(rest[:at]):
            self._give_text(rest[:at])
            self._begin_guess("", "")
            return rest[at:]
        return None

    def _may_open(self, tag: str, before: str) -> bool:
        """Whether a tag may open here, given the text since the last piece."""
        if tag in THOUGHT_TAGS or tag in {"[TOOL_CALLS]", TOOLS}:
            seen = before.lstrip() if not self._last else self._last + before
            return not seen or seen.endswith("\n")
        return tag != END_THINK or (self._first and not self._talked_about)

    def _is_blank(self, before: str) -> bool:
        """Whether the line is blank so far, given the text since the last piece."""
        return not (self._last + before).rpartition("\n")[2].strip()

    def _open(self, tag: str) -> None:
        if tag in THOUGHT_TAGS:
            self._state = self._feed_thought
            self._end_tag = THOUGHT_TAGS[tag]
        elif tag == END_THINK:
            if self._last:
                self._sink.recast()
        elif tag in GUESS_TAGS:
            self._begin_guess(tag, GUESS_TAGS[tag])
            return
        else:
            self._begin_call(tag)
        self._first = False
        self._last = self._lead = ""

    def _give_text(self, text: str) -> None:
        if not text:
            return
        if not self._last:
            text = self._lead + text if self._first else text.lstrip()
            if not text or text.isspace():
                self._lead = text
                return
            self._lead = ""
        self._sink.say(text)
        # White space goes on with the line that is there.
        self._last = self._last + text if text.isspace() else text

    # ---- code

    def _at_code(self, rest: str, at: int) -> str | None:
        """Signs of code: a code block's, where they begin a line, or inline code's."""
        char = rest[at]
        end = at
        while end < len(rest) and rest[end] == char and end - at <= MAX_SIGNS:
            end += 1
        signs = rest[at:end]
        if len(signs) > MAX_SIGNS:
            self._give_text(rest[:end])
            return rest[end:]
        is_block = self._is_blank(rest[:at])
        if char == "~" and not is_block:
            return None
        if end == len(rest):
            self._give_text(rest[:at])
            self._held = rest[at:]
            return ""
        if is_block and len(signs) >= FENCE:
            return self._open_block(rest, at, end)
        if char == "~":
            return None
        self._give_text(rest[:end])
        self._fence = signs
        self._state = self._feed_inline
        return rest[end:]

    def _open_block(self, rest: str, at: int, end: int) -> str:
        signs = rest[at:end]
        if self._tools is not None:
            info, newline, _ = rest[end:].partition("\n")
            word = info.strip().lower()
            if not newline and len(info) <= MAX_INFO and _may_be_info(word):
                self._give_text(rest[:at])
                self._held = rest[at:]
                return ""
            if newline and word in FENCED_CALLS:
                self._give_text(rest[:at])
                self._begin_guess(rest[at : end + len(info) + 1], signs)
                return rest[end + len(info) + 1 :]
        self._give_text(rest[:end])
        self._enter_block(signs, "opens")  # so that its first line does not close it
        return rest[end:]

    def _enter_block(self, signs: str, line: str) -> None:
        self._fence = signs
        self._line = line
        self._state = self._feed_block

    def _feed_block(self, rest: str) -> str:
        """Within a code block: all is text until a line of its signs alone."""
        start = 0
        while (end := rest.find("\n", start)) >= 0:
            line = self._line + rest[start:end] if not start else rest[start:end]
            start = end + 1
            if self._closes_block(line):
                self._give_text(rest[:start])
                self._state = self._feed_text
                return rest[start:]
            self._line = ""
        self._line = (self._line + rest[start:])[:MAX_LINE]
        self._give_text(rest)
        return ""

    def _closes_block(self, line: str) -> bool:
        bare = line.strip()
        if len(line) >= MAX_LINE or len(bare) < len(self._fence):
            return False
        return bare == self._fence[0] * len(bare)

    def _feed_inline(self, rest: str) -> str:
        """Within inline code: all is text until as many signs, or the line's end."""
        for run in _IN_CODE.finditer(rest):
            if run[0] != "\n" and run.end() == len(rest) and len(run[0]) <= MAX_SIGNS:
                self._give_text(rest[: run.start()])
                self._held = run[0]
                return ""
            if run[0] in {"\n", self._fence}:
                self._give_text(rest[: run.end()])
                self._state = self._feed_text
                return rest[run.end() :]
        self._give_text(rest)
        return ""

    # ---- thoughts

    def _feed_thought(self, rest: str) -> str:
        end = self._end_tag
        at = rest.find(end)
        if at >= 0:
            self._give_thought(rest[:at])
            self._end()
            return rest[at + len(end) :]
        keep = _beginning_of(end, rest)
        self._give_thought(rest[: len(rest) - keep])
        self._held = rest[len(rest) - keep :]
        return ""

    def _give_thought(self, text: str) -> None:
        if not self._last:
            text = text.lstrip()
        if text:
            self._sink.think(text)
            self._last = text

    def _end(self) -> None:
        """A tag has closed: text again, as at its start."""
        self._state = self._feed_text
        self._last = self._lead = ""

    # ---- calls in tags

    def _begin_call(self, tag: str) -> None:
        self._state = self._feed_call
        self._end_tag = CALL_TAGS[tag]
        if tag in KEPT_TAGS:
            self._call.append(tag)

    def _feed_call(self, rest: str) -> str:
        """Within a call: until its tag closes, or opens again where it should close."""
        end = self._end_tag
        if not end:
            self._call.append(rest)
            return ""
        again = end.replace("/", "") if end.endswith("_call>") else end
        at = min((p for p in (rest.find(end), rest.find(again)) if p >= 0), default=-1)
        if at >= 0:
            self._call.append(rest[:at])
            is_end = rest.startswith(end, at)
            if is_end or "".join(self._call).strip():
                self._give_calls("".join(self._call))
            self._call.clear()
            if is_end:
                self._end()
            return rest[at + len(end if is_end else again) :]
        keep = max(_beginning_of(end, rest), _beginning_of(again, rest))
        self._call.append(rest[: len(rest) - keep])
        self._held = rest[len(rest) - keep :]
        return ""

    def _give_calls(self, text: str) -> None:
        for call in calls_in(text, self._tools or {}):
            self._sink.call_in_text(call)

    # ---- what may be calls

    def _begin_guess(self, opener: str, closer: str) -> None:
        self._guess = CallGuess(self._tools or {}, closer)
        self._call.append(opener)
        self._state = self._feed_guess

    def _feed_guess(self, rest: str) -> str:
        guess = self._guess
        assert guess is not None  # noqa: S101 - it is in this state only
        at = guess.feed(rest)
        if at < 0:
            self._call.append(rest)
            return ""
        opener = self._call[0]
        text = "".join(self._call)[len(opener) :] + rest[:at]
        if opener in GUESS_TAGS and guess.closed:
            self._take_guess(opener, text)
        else:
            self._give_up_guess(opener, text, closed=guess.closed)
        return rest[at:]

    def _close_guess(self) -> None:
        opener = self._call[0]
        self._take_guess(opener, "".join(self._call)[len(opener) :])

    def _take_guess(self, opener: str, text: str) -> None:
        """What was held back is complete: calls, or text after all."""
        guess = self._guess
        assert guess is not None  # noqa: S101 - it is in this state only
        closer = GUESS_TAGS.get(opener, "")
        inner = text.rpartition(closer)[0] if closer and guess.closed else text
        calls = (
            []
            if guess.in_string
            else offered_calls_in(inner.strip("`~ \n\r\t"), self._tools or {})
        )
        if not calls:
            self._give_up_guess(opener, text, closed=guess.closed)
            return
        self._call.clear()
        for call in calls:
            self._sink.call_in_text(call)
        self._first = False
        self._end()

    def _give_up_guess(self, opener: str, text: str, *, closed: bool) -> None:
        self._call.clear()
        self._give_text(opener + text)
        self._state = self._feed_text
        if opener[:1] in {"`", "~"} and not closed:
            fence = opener[: len(opener) - len(opener.lstrip(opener[0]))]
            self._enter_block(fence, text.rpartition("\n")[2][:MAX_LINE])


def _may_be_info(word: str) -> bool:
    """Whether a code block of this kind, or of one it may become, may be calls."""
    return any(known.startswith(word) for known in FENCED_CALLS)


def _beginning_of(tag: str, text: str) -> int:
    """How many characters at the end of the text may be the beginning of the tag."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-size:]):
            return size
    return 0
