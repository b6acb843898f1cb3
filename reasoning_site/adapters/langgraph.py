"""Graphs made with LangGraph (`pip install langgraph langchain-openai`).

from reasoning_site.adapters.langgraph import adapt

agents = [adapt(graph, name="tutor")]  # a compiled graph, with `messages`
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ToolMessage,
)
from langchain_core.messages.ai import add_ai_message_chunks
from langgraph.pregel import Pregel

from reasoning_site.adapters import AgentFunction, History, shown_as
from reasoning_site.adapters.turns import Turns
from reasoning_site.agents import Said, Text, Thought, ToolCall, ToolResult


def adapt(
    graph: Pregel[Any, Any, Any, Any],
    *,
    name: str = "",
    description: str = "",
    **options: Any,
) -> AgentFunction:
    """The graph, whose state has `messages`, as the site runs agents.

    `options` go to `graph.astream`: `config`, `context` …
    """

    async def run(prompt: str, history: History) -> AsyncGenerator[Said]:
        messages = [*history, {"role": "user", "content": prompt}]
        speakers = Speakers()
        stream: Any = graph.astream(
            {"messages": messages}, stream_mode="messages", subgraphs=True, **options
        )
        async with aclosing(stream):
            async for path, (message, about) in stream:
                for said in speakers.said(message, _node(path, about)):
                    yield said

    return shown_as(name or graph.name, description, run)


def _node(path: tuple[str, ...], about: dict[str, Any]) -> str:
    """Who speaks: the subgraph, else the node."""
    node = path[0] if path else about.get("langgraph_node", "")
    return str(node).partition(":")[0]


class Speakers:
    """Says what messages mean; the node that speaks first is the agent itself."""

    def __init__(self) -> None:
        self._own: str | None = None
        self._turns = Turns()
        self._chunks: dict[str, AIMessageChunk] = {}  # with calls, by message
        self._message_of: dict[str, str] = {}  # by call

    def said(self, message: BaseMessage, node: str) -> Iterator[Said]:
        """What one message, or a chunk of one, of this node means."""
        if isinstance(message, ToolMessage):
            result = ToolResult(
                message.text, message.tool_call_id, error=message.status == "error"
            )
            of = self._message_of.get(message.tool_call_id)
            if of is not None:
                yield from self._turns.say_after(of, result)
        elif isinstance(message, AIMessage):
            yield from self._speak(message, self._named(node))

    def _gather(self, key: str, chunk: AIMessageChunk) -> AIMessageChunk:
        """The chunks with pieces of calls, up to this one; text need not be kept."""
        before = self._chunks.pop(key, None)
        whole = chunk if before is None else add_ai_message_chunks(before, chunk)
        if whole.tool_call_chunks and chunk.chunk_position != "last":
            self._chunks[key] = whole
        return whole

    def _named(self, node: str) -> str:
        if self._own is None:
            self._own = node
        return "" if node == self._own else node

    def _speak(self, message: AIMessage, speaker: str) -> Iterator[Said]:
        key = message.id or ""
        for block in message.content_blocks:
            if block["type"] == "text":
                yield from self._turns.say(key, Text(block["text"], speaker))
            elif block["type"] == "reasoning":
                thought = Thought(block.get("reasoning", ""), speaker)
                yield from self._turns.say(key, thought)
        whole = message
        if isinstance(message, AIMessageChunk):
            whole = self._gather(key, message)
            if message.chunk_position != "last":
                return
        for call in whole.tool_calls:
            call_id = call["id"] or ""
            self._message_of[call_id] = key
            made = ToolCall(call["name"], call["args"], call_id, speaker)
            yield from self._turns.say(key, made)
        yield from self._turns.end(key)
