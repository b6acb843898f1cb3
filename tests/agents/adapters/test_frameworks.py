"""What holds for an agent of whichever framework."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from chat.agents.base import Exchange, Part, PartGrew
from tests.agents.adapters.frameworks import FRAMEWORKS, Make, agent_of, told
from tests.model_server import ModelServer, eventually

each = pytest.mark.parametrize("make", FRAMEWORKS.values(), ids=FRAMEWORKS)


@each
async def test_it_is_shown_under_its_name(
    make: Make, model_server: ModelServer
) -> None:
    async with make(model_server, "hello") as function:
        agent = agent_of(function)
    assert (agent.name, agent.description) == ("tutor", "Answer as a teacher would.")
    assert not agent.can_continue


@each
async def test_a_call_its_result_and_the_answer_are_steps_in_rounds(
    make: Make, model_server: ModelServer, request: pytest.FixtureRequest
) -> None:
    async with make(model_server, "calculator") as function:
        run = await told(function)
    # LangChain's class for OpenAI reads no reasoning.
    thinks = "langgraph" not in request.node.name
    thoughts = ["I need to calculate 23 * 47."] * thinks
    assert run.of("thought")[: len(thoughts) + 1] == [
        *thoughts,
        "Let me calculate that.",
    ]
    (call,) = [part for part in run.parts if part.type == "tool_use"]
    assert (call.tool_name, call.call_id) == ("calculator", "abc")
    assert call.tool_input == {"expression": "23 * 47"}
    (result,) = [part for part in run.parts if part.type == "tool_result"]
    assert (result.content, result.status, result.iteration) == ("1081", "ok", 1)
    assert result.call_id == "abc"
    answer = run.parts[-1]
    assert answer == Part("final_answer", 2, "23 * 47 is 1081.")
    assert run.end is not None
    assert run.end.reason == "answered"


@each
async def test_each_token_is_said_as_it_comes(
    make: Make, model_server: ModelServer
) -> None:
    model_server.add("slow", [{"text": "one two"}, {"wait": "go"}, {"text": " three"}])
    async with (
        make(model_server, "slow") as function,
        aclosing(agent_of(function).run_with_reasoning_stream("Hi", [])) as stream,
    ):
        pieces: list[str] = []
        async for event in stream:
            if isinstance(event, PartGrew):
                pieces.append(event.text)
            if "".join(pieces) == "one two":
                model_server.release("go")
    assert pieces == ["one", " two", " three"]


@each
async def test_what_was_said_before_goes_along(
    make: Make, model_server: ModelServer
) -> None:
    before = Exchange("2 + 2?", (Part("final_answer", 1, "Four."),))
    async with make(model_server, "hello") as function:
        await told(function, "Sure?", before)
    messages = model_server.requests()[-1]["request"]["messages"]
    said: list[Any] = [(m["role"], m["content"]) for m in messages]
    assert said[-3:] == [
        ("user", "2 + 2?"),
        ("assistant", "Four."),
        ("user", "Sure?"),
    ]


@each
async def test_an_error_ends_the_run_with_its_words(
    make: Make, model_server: ModelServer
) -> None:
    async with make(model_server, "unauthorized") as function:
        run = await told(function)
    assert run.end is not None
    assert run.end.error is not None
    assert "Incorrect API key" in run.end.error.message


@each
async def test_stop_closes_the_request_to_the_model(
    make: Make, model_server: ModelServer
) -> None:
    async with make(model_server, "hello") as function:
        stream = agent_of(function).run_with_reasoning_stream(
            "[stream tokens=100000 rate=50]", []
        )
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, PartGrew):
                    break
        await eventually(lambda: model_server.requests()[-1]["closed_by_client_at"])
