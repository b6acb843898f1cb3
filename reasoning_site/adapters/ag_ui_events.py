"""What the events of AG-UI mean. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from reasoning_site.adapters.turns import Turns
from reasoning_site.agents import Answer, Said, Text, Thought, ToolCall, ToolResult

# The last three are of the time before 1.0, and have no ids.
REASONING: Final = {
    "REASONING_MESSAGE_START": "TEXT_MESSAGE_START",
    "REASONING_MESSAGE_CONTENT": "TEXT_MESSAGE_CONTENT",
    "REASONING_MESSAGE_END": "TEXT_MESSAGE_END",
    "REASONING_MESSAGE_CHUNK": "TEXT_MESSAGE_CHUNK",
    "THINKING_TEXT_MESSAGE_START": "TEXT_MESSAGE_START",
    "THINKING_TEXT_MESSAGE_CONTENT": "TEXT_MESSAGE_CONTENT",
    "THINKING_TEXT_MESSAGE_END": "TEXT_MESSAGE_END",
}
CHUNKS: Final = {
    "TEXT_MESSAGE_CHUNK",
    "REASONING_MESSAGE_CHUNK",
    "TOOL_CALL_CHUNK",
}


class AgentServerError(Exception):
    """The agent's server has failed, or says that the agent has."""


class _Message:
    """A text that grows."""

    def __init__(self, speaker: str, *, is_thought: bool, is_ours: bool) -> None:
        self.speaker = speaker
        self.is_thought = is_thought
        self.is_ours = is_ours  # not one that repeats what the person said

    def said(self, text: str) -> Said:
        kind = Thought if self.is_thought else Text
        return kind(text, self.speaker)


class _Call:
    """A tool call whose arguments are being written."""

    def __init__(self, name: str, parent: str, speaker: str) -> None:
        self.name = name
        self.parent = parent
        self.speaker = speaker
        self.arguments: list[str] = []

    def made(self, call_id: str) -> ToolCall:
        return ToolCall(
            self.name, _input("".join(self.arguments)), call_id, self.speaker
        )


class Listener:
    """Says what the events of one run mean; what it does not know is left out."""

    def __init__(self) -> None:
        self.is_over = False
        self._turns = Turns()
        self._messages: dict[str, _Message] = {}
        self._calls: dict[str, _Call] = {}
        self._turn_of: dict[str, str] = {}  # by call: the message it was said with
        self._chunked = ""  # the message or call that chunks without an id are of
        self._names: dict[str, str] = {}  # of subagents

    def said(self, event: dict[str, Any]) -> Iterator[Said]:
        """What one event means. Raises AgentServerError where the run has failed."""
        kind = str(event.get("type"))
        if kind not in CHUNKS:
            yield from self._end_chunks()
        if kind in REASONING:
            yield from self._text(REASONING[kind], event, is_thought=True)
        elif kind.startswith("TEXT_MESSAGE_"):
            yield from self._text(kind, event)
        elif kind.startswith("TOOL_CALL_"):
            yield from self._tool(kind, event)
        elif kind.startswith("SUBAGENT_"):
            self._subagent(event)
        elif kind == "RUN_FINISHED":
            yield from self._finish(event)
        elif kind == "RUN_ERROR":
            raise AgentServerError(str(event.get("message") or event.get("code") or ""))

    # ------------------------------------------------------------ texts

    def _text(
        self, kind: str, event: dict[str, Any], *, is_thought: bool = False
    ) -> Iterator[Said]:
        named = event.get("messageId")
        key = f"{'thought' if is_thought else 'text'} {named or ''}"
        if kind == "TEXT_MESSAGE_CHUNK":
            key = key if named else self._chunked
            if key != self._chunked:
                yield from self._end_chunks()
                self._chunked = key
        if key not in self._messages:
            self._messages[key] = _Message(
                str(event.get("name") or self._speaker(event)),
                is_thought=is_thought,
                is_ours=event.get("role", "assistant") in {"assistant", "reasoning"},
            )
        message = self._messages[key]
        text = str(event.get("delta") or "")
        if text and message.is_ours:
            yield from self._turns.say(key, message.said(text))
        if kind == "TEXT_MESSAGE_END":
            del self._messages[key]
            yield from self._turns.end(key)

    def _end_chunks(self) -> Iterator[Said]:
        key, self._chunked = self._chunked, ""
        if key in self._messages:
            del self._messages[key]
            yield from self._turns.end(key)
        elif key in self._calls:
            yield from self._make(key)

    # ------------------------------------------------------------ tools

    def _tool(self, kind: str, event: dict[str, Any]) -> Iterator[Said]:
        key = str(event.get("toolCallId") or self._chunked)
        if kind == "TOOL_CALL_RESULT":
            yield from self._make(key)
            turn = self._turn_of.pop(key, None)
            if turn is not None:
                result = ToolResult(_words(event.get("content")), key)
                yield from self._turns.say_after(turn, result)
            return
        if kind == "TOOL_CALL_CHUNK" and key != self._chunked:
            yield from self._end_chunks()
            self._chunked = key
        if key not in self._calls and kind != "TOOL_CALL_END":
            name = str(event.get("toolCallName") or "tool")
            parent = str(event.get("parentMessageId") or "")
            self._calls[key] = _Call(name, parent, self._speaker(event))
        if delta := event.get("delta"):
            self._calls[key].arguments.append(str(delta))
        if kind == "TOOL_CALL_END":
            yield from self._make(key)

    def _make(self, key: str) -> Iterator[Said]:
        """The call is complete, if it was not already."""
        call = self._calls.pop(key, None)
        if call is None:
            return
        # Of a message that goes on: at this place of it.
        parent = f"text {call.parent}"
        turn = parent if parent in self._messages else key
        self._turn_of[key] = turn
        yield from self._turns.say(turn, call.made(key))
        if turn == key:
            yield from self._turns.end(key)

    # ------------------------------------------------------------ runs

    def _subagent(self, event: dict[str, Any]) -> None:
        name = event.get("name") or event.get("subagentRunId")
        self._names.setdefault(str(event.get("subagentRunId")), str(name))

    def _speaker(self, event: dict[str, Any]) -> str:
        return self._names.get(str(event.get("subagentRunId")), "")

    def _finish(self, event: dict[str, Any]) -> Iterator[Said]:
        self.is_over = True
        for key in tuple(self._calls):
            yield from self._make(key)
        for key in tuple(self._messages):
            yield from self._turns.end(key)
        outcome = event.get("outcome") or {}
        if outcome.get("type") == "cancelled":
            raise AgentServerError("The run was cancelled there.")
        for interrupt in outcome.get("interrupts") or []:
            words = interrupt.get("message") or interrupt.get("reason") or ""
            yield Answer(f"{words}\n\n")


def _input(arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        given = arguments
    return given if isinstance(given, dict) else {"arguments": given}


def _words(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content)
