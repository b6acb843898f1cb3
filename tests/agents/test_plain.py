"""Anybody's agent: whatever a function yields becomes a run that is in order."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from chat.agents.base import (
    AgentError,
    AgentEvent,
    Exchange,
    Part,
    PartFinished,
    PartGrew,
    PartProgressed,
    PartReplaced,
    PartStarted,
    RunEnded,
)
from chat.agents.plain import NO_RESULT, PlainAgent, Telling, messages_of
from reasoning_site.agents import (
    Answer,
    Progress,
    Text,
    Thought,
    ToolCall,
    ToolResult,
)
from tests.agents.fold import listen

Says = AsyncIterator[Any]


async def said(function: Any, prompt: str = "Hi", **more: Any) -> list[Part]:
    """What the function's agent says to a prompt, which it answers."""
    told = Folded()
    async for event in agent_of(function).run_with_reasoning_stream(prompt, [], **more):
        told.take(event)
    assert told.end is not None
    assert told.end.reason == "answered"
    return told.parts


def agent_of(function: Any) -> PlainAgent:
    return PlainAgent(function.__name__, "", function)


class Folded:
    """Folds events, insisting on their order; calls may be open side by side."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.end: RunEnded | None = None
        self._open: dict[int, dict[str, Any]] = {}
        self._started = 0

    def take(self, event: AgentEvent) -> None:
        assert self.end is None
        match event:
            case PartStarted():
                assert event.part == self._started
                self._started += 1
                self._open[event.part] = {
                    "type": event.type,
                    "iteration": event.iteration,
                    "tool_name": event.tool_name,
                    "call_id": event.call_id,
                    "agent": event.agent,
                    "content": "",
                }
            case PartGrew():
                assert event.text
                self._open[event.part]["content"] += event.text
            case PartReplaced(part, type, text):
                if type is not None:
                    self._open[part]["type"] = type
                if text is not None:
                    self._open[part]["content"] = text
            case PartProgressed():
                assert event.part in self._open
            case PartFinished():
                fields = self._open.pop(event.part)
                self.parts.append(
                    Part(**fields, status=event.status, tool_input=event.tool_input)
                )
            case RunEnded():
                assert not self._open
                self.end = event
            case _:
                raise AssertionError(event)


async def test_text_is_the_answer_as_it_grows() -> None:
    async def agent(prompt: str, _history: list[Any]) -> Says:
        yield "You said "
        yield prompt

    assert await said(agent) == [Part("final_answer", 1, "You said Hi")]


async def test_thoughts_calls_results_and_answers_are_steps_in_rounds() -> None:
    async def agent(_prompt: str, _history: list[Any]) -> Says:
        yield Thought("I will ")
        yield Thought("look.")
        yield ToolCall("look", {"where": "west"})
        yield ToolResult("rain")
        yield Thought("Wet.")
        yield "Take an umbrella."

    thought, call, result, second, answer = await said(agent)
    assert (thought.type, thought.content) == ("thought", "I will look.")
    assert call.tool_input == {"where": "west"}
    assert json.loads(call.content) == {"where": "west"}
    assert (result.content, result.tool_name) == ("rain", "look")
    assert result.call_id == call.call_id != ""
    assert [p.iteration for p in (thought, call, result, second, answer)] == [
        *(1, 1, 1),
        *(2, 2),
    ]
    assert answer.type == "final_answer"


async def test_text_that_is_followed_by_more_was_a_thought_unless_it_is_an_answer() -> (
    None
):
    async def agent(_prompt: str, _history: list[Any]) -> Says:
        yield "Let me see."
        yield ToolCall("look")
        yield ToolResult("yes")
        yield Answer("It is so.")
        yield ToolCall("look")
        yield ToolResult("no")
        yield "Or not."

    types = [part.type for part in await said(agent)]
    assert types[0] == "thought"
    assert [t for t in types if t == "final_answer"] == ["final_answer"] * 2


async def test_each_of_a_team_speaks_under_its_name() -> None:
    async def agent(_prompt: str, _history: list[Any]) -> Says:
        yield Text("Who knows? ", "Ada")
        yield Text("Not I.", "Bob")
        yield ToolCall("look", agent="Bob")
        yield ToolResult("yes")
        yield Thought("So ", "Ada")
        yield Thought("it is.", "Ada")
        yield Answer("Yes.", "Bob")

    stream = agent_of(agent).run_with_reasoning_stream("Hi", [])
    told = [event async for event in stream if isinstance(event, PartStarted)]
    assert [(event.agent, event.type) for event in told][2:] == [
        ("Bob", "tool_use"),
        ("Bob", "tool_result"),
        ("Ada", "thought"),
        ("Bob", "final_answer"),
    ]
    assert [event.agent for event in told][:2] == ["Ada", "Bob"]


async def test_results_answer_the_oldest_open_call_or_the_one_they_name() -> None:
    async def agent(_prompt: str, _history: list[Any]) -> Says:
        yield ToolCall("a", id="first")
        yield ToolCall("b", id="second")
        yield ToolCall("c")
        yield ToolResult("2", id="second")
        yield ToolResult("1")
        yield ToolResult("no", error=True)
        yield "Done."

    results = [p for p in await said(agent) if p.type == "tool_result"]
    assert [(p.tool_name, p.content, p.status) for p in results] == [
        ("b", "2", "ok"),
        ("a", "1", "ok"),
        ("c", "no", "error"),
    ]


async def test_a_call_is_stored_before_the_function_goes_on() -> None:
    happened = []

    async def agent(_prompt: str, _history: list[Any]) -> Says:
        yield ToolCall("charge", {"euros": 5})
        happened.append("called")
        yield ToolResult("ok")

    stream = agent_of(agent).run_with_reasoning_stream("Hi", [])
    async for event in stream:
        if isinstance(event, PartStarted) and event.type == "tool_result":
            assert happened == []
    assert happened == ["called"]


async def test_progress_is_shown_until_the_result_is_there() -> None:
    async def agent(_prompt: str, _history: list[Any]) -> Says:
        yield ToolCall("count")
        yield Progress("sheep", done=3, total=10)
        yield ToolResult("10")

    stream = agent_of(agent).run_with_reasoning_stream("Hi", [])
    told = [event async for event in stream if not isinstance(event, PartFinished)]
    assert told[3:5] == [
        PartProgressed(1, "sheep", 3, 10),
        PartReplaced(1, text="10"),
    ]


async def test_an_ordinary_generator_may_block_in_its_thread() -> None:
    gate = threading.Event()

    def agent(prompt: str, _history: list[Any]) -> Iterator[Any]:
        yield Thought("Waiting.")
        gate.wait(10)
        yield prompt

    stream = agent_of(agent).run_with_reasoning_stream("Hi", [])
    assert isinstance(await anext(stream), PartStarted)
    assert isinstance(await anext(stream), PartGrew)
    rest = asyncio.create_task(listen_on(stream))
    await asyncio.sleep(0)  # the event loop goes on while the thread waits
    assert not rest.done()
    gate.set()
    assert (await rest)[-1] == RunEnded("answered")


async def listen_on(stream: AsyncIterator[AgentEvent]) -> list[AgentEvent]:
    return [event async for event in stream]


async def test_a_coroutine_s_value_is_the_answer() -> None:
    async def agent(prompt: str, _history: list[Any]) -> str:
        return prompt.upper()

    assert await said(agent) == [Part("final_answer", 1, "HI")]


async def test_the_history_is_messages_with_roles() -> None:
    parts = (Part("thought", 1, "Hm."), Part("final_answer", 1, "Four."))
    history = [Exchange("2+2?", parts), Exchange("And?", ())]
    assert messages_of(history) == [
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "Four."},
        {"role": "user", "content": "And?"},
    ]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (7, "int"),
        (ToolResult("x"), "no call"),
        (ToolCall("x", {"y": object()}), "JSON"),
        (Progress("x"), "no call"),
        ([ToolCall("x"), Progress(done="three")], "numbers"),  # type: ignore[arg-type]
        ([ToolCall("x"), Progress(done=10**400)], "numbers"),
    ],
)
async def test_what_cannot_be_said_fails_the_run_with_a_word(
    wrong: object, word: str
) -> None:
    async def agent(_prompt: str, _history: list[Any]) -> Says:
        yield Answer("So far.")
        for said in wrong if isinstance(wrong, list) else [wrong]:
            yield said

    told = await listen(agent_of(agent).run_with_reasoning_stream("Hi", []))
    assert told.answer == "So far."
    assert told.end is not None
    assert told.end.error is not None
    assert word in told.end.error.message


async def test_an_agent_that_fails_says_what_kind_of_error_but_no_paths() -> None:
    async def agent(_prompt: str, _history: list[Any]) -> Says:
        yield ToolCall("read")
        raise FileNotFoundError("/home/ada/secret/notes.txt is missing")

    told = Folded()
    async for event in agent_of(agent).run_with_reasoning_stream("Hi", []):
        told.take(event)
    assert told.parts[-1].content == NO_RESULT
    assert told.end is not None
    assert told.end.error is not None
    assert "FileNotFoundError" in told.end.error.message
    assert "/home/ada" not in told.end.error.message


async def test_closing_ends_the_function_at_its_yield() -> None:
    ended = []

    async def agent(_prompt: str, _history: list[Any]) -> Says:
        try:
            while True:
                with suppress(Exception):
                    yield "again "
        finally:
            ended.append(True)

    stream = agent_of(agent).run_with_reasoning_stream("Hi", [])
    await anext(stream)
    await stream.aclose()
    assert ended == [True]


async def test_a_function_that_can_goes_on_from_what_is_done() -> None:
    seen = []

    async def agent(_prompt: str, _history: list[Any], done: list[Part]) -> Says:
        seen.append([part.content for part in done])
        yield "More."

    done = [Part("thought", 3, "Hm.")]
    assert await said(agent, done=done) == [Part("final_answer", 4, "More.")]
    assert seen == [["Hm."]]
    assert agent_of(agent).can_continue


anything = st.one_of(
    st.text(max_size=5),
    st.builds(Text, st.text(max_size=5), st.sampled_from(["", "Ada"])),
    st.builds(Thought, st.text(max_size=5)),
    st.builds(Answer, st.text(max_size=5)),
    st.builds(ToolCall, st.text(max_size=5), st.just({}), st.sampled_from(["", "a"])),
    st.builds(ToolResult, st.text(max_size=5), st.sampled_from(["", "a", "b"])),
    st.builds(Progress, st.text(max_size=5), st.none() | st.integers(0, 9)),
    st.integers(),
)


@given(st.lists(anything, max_size=30))
def test_whatever_is_said_the_run_is_in_order(things: list[object]) -> None:
    telling, folded = Telling(), Folded()
    try:
        for thing in things:
            for event in telling.take(thing):
                folded.take(event)
    except AgentError:
        pass
    for event in telling.end("ok"):
        folded.take(event)
    folded.take(RunEnded("answered"))
    iterations = [part.iteration for part in folded.parts]
    assert all(1 <= iteration <= len(things) + 1 for iteration in iterations)
