"""What only LangGraph has: nodes that speak at the same time, graphs in graphs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from reasoning_site.adapters.langgraph import Speakers, adapt
from reasoning_site.agents import Said, Text, Thought, ToolCall, ToolResult
from tests.agents.adapters.frameworks import told


def speaks(*texts: str) -> Any:
    """A node in which a model says these, one a time it is asked."""
    model = GenericFakeChatModel(messages=iter(map(AIMessage, texts)))

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return node


async def test_nodes_that_speak_at_once_are_heard_one_after_the_other() -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("plan", speaks("Let us see."))
    for name in ("left", "right"):
        graph.add_node(name, speaks(f"From the {name} it is so."))
        graph.add_edge("plan", name)
        graph.add_edge(name, "sum")
    graph.add_node("sum", speaks("It is so."))
    graph.add_edge(START, "plan")
    graph.add_edge("sum", END)
    run = await told(adapt(graph.compile(), name="team"))
    parts = [(part.type, part.agent, part.content) for part in run.parts]
    assert parts[0] == ("thought", "", "Let us see.")
    assert sorted(parts[1:3]) == [
        ("thought", "left", "From the left it is so."),
        ("thought", "right", "From the right it is so."),
    ]
    assert parts[3:] == [("final_answer", "sum", "It is so.")]


async def test_a_graph_inside_speaks_under_its_node_s_name() -> None:
    inner = StateGraph(MessagesState).add_node("answer", speaks("Forty-two."))
    inner.add_edge(START, "answer")
    outer = StateGraph(MessagesState).add_node("ask", speaks("I will ask."))
    outer.add_node("expert", inner.compile())
    outer.add_edge(START, "ask")
    outer.add_edge("ask", "expert")
    run = await told(adapt(outer.compile(), name="team"))
    assert [(part.agent, part.content) for part in run.parts] == [
        ("", "I will ask."),
        ("expert", "Forty-two."),
    ]


async def test_a_message_that_no_model_streamed_is_said_whole() -> None:
    def fixed(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("As always.")]}

    graph = StateGraph(MessagesState).add_node("fixed", fixed)
    graph.add_edge(START, "fixed")
    assert (await told(adapt(graph.compile()))).answer == "As always."


async def test_closing_ends_what_a_node_does() -> None:
    ended = asyncio.Event()

    async def waits(state: MessagesState) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return {}

    graph = StateGraph(MessagesState)
    graph.add_node("speak", speaks("Wait."))
    graph.add_node("waits", waits)
    graph.add_edge(START, "speak")
    graph.add_edge("speak", "waits")
    stream = adapt(graph.compile())("Hi", [])
    assert await anext(stream) == Text("Wait.")
    waiting = asyncio.create_task(_next(stream))
    await asyncio.wait([waiting], timeout=0.05)
    waiting.cancel()
    await asyncio.wait([waiting])
    await asyncio.wait_for(ended.wait(), 5)


def test_reasoning_and_calls_in_pieces_are_thoughts_and_calls() -> None:
    speakers = Speakers()
    pieces: list[dict[str, Any]] = [
        {"content": [{"type": "reasoning", "reasoning": "Hm."}]},
        {"content": "", "tool_call_chunks": [_piece("look", '{"x"', "a")]},
        {"content": "", "tool_call_chunks": [_piece(None, ": 1}", None)]},
        {"content": "", "chunk_position": "last"},
    ]
    said = [
        each
        for piece in pieces
        for each in speakers.said(AIMessageChunk(id="m", **piece), "agent")
    ]
    assert said == [Thought("Hm."), ToolCall("look", {"x": 1}, "a")]
    failed = ToolMessage("No.", tool_call_id="a", status="error")
    assert list(speakers.said(failed, "tools")) == [ToolResult("No.", "a", error=True)]
    unknown = ToolMessage("Earlier.", tool_call_id="z")
    assert list(speakers.said(unknown, "tools")) == []


async def _next(stream: AsyncIterator[Said]) -> Said:
    return await anext(stream)


def _piece(name: str | None, args: str, call_id: str | None) -> dict[str, Any]:
    return {"name": name, "args": args, "id": call_id, "index": 0}
