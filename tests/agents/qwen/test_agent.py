"""Qwen-Agent's loop with our model and tools, against the model server's process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chat.agents.base import (
    Exchange,
    Part,
    PartGrew,
    PartReplaced,
    PartStarted,
    RoundEnded,
)
from chat.agents.model.client import ChatServer, ServerConfig
from chat.agents.qwen import QwenAgent
from chat.agents.qwen.threads import ThreadPool
from chat.agents.tools.base import Tool, ToolError
from chat.agents.tools.calculator import Calculator
from chat.agents.tools.current_time import CurrentTime
from tests.agents.fold import Told, listen
from tests.agents.ledger import Ledger
from tests.model_server import ModelServer, eventually

THREADS = ThreadPool(4, "agent")
TOOL_THREADS = ThreadPool(4, "tool")

Make = Callable[..., QwenAgent]


class Asking:
    """A tool for tests, made of a function."""

    description = "For tests."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {},
        "required": [],
    }
    repeatable = True

    def __init__(
        self, name: str, call: Callable[..., Any], limit: float | None = None
    ) -> None:
        self.name = name
        self.call = call
        self.time_limit = limit


@pytest.fixture
async def make(model_server: ModelServer) -> AsyncIterator[Make]:
    models = []

    def make(*tools: Tool, **config: Any) -> QwenAgent:
        server = ServerConfig(model_server.base_url, "hello", "key")
        model = ChatServer(server, chance=lambda: 0.0)
        models.append(model)
        return QwenAgent(
            "tester",
            "For tests.",
            model=model,
            threads=THREADS,
            tool_threads=TOOL_THREADS,
            instructions="Be brief.",
            tools=tools or (Calculator(), CurrentTime()),
            **config,
        )

    yield make
    for model in models:
        await model.close()
    await eventually(lambda: THREADS.busy == 0)


async def play(agent: QwenAgent, prompt: str, *args: Any, **kwargs: Any) -> Told:
    return await listen(agent.run_with_reasoning_stream(prompt, *args, **kwargs))


async def test_a_plain_answer_is_one_part_and_the_end(make: Make) -> None:
    told = await play(make(), "Hi", [])
    assert told.types == ["final_answer"]
    assert told.answer == "Hello! You said: Hi"
    assert told.end is not None
    assert told.end.reason == "answered"
    assert told.end.usage is not None
    assert told.end.usage.output_tokens == 4
    assert RoundEnded(told.end.usage) in told.events


@pytest.mark.parametrize("scenario", ["think", "think-tags", "think-closed"])
async def test_thoughts_are_parts_of_their_own(make: Make, scenario: str) -> None:
    told = await play(make(), f"[scenario {scenario}]", [])
    assert told.types == ["thought", "final_answer"]


async def test_a_remark_before_a_call_becomes_a_thought(make: Make) -> None:
    told = await play(make(), "[scenario calculator]", [])
    assert told.types == [
        "thought",
        "thought",
        "tool_use",
        "tool_result",
        "thought",
        "final_answer",
    ]
    retyped = next(e for e in told.events if isinstance(e, PartReplaced))
    assert retyped == PartReplaced(1, type="thought")
    use, result = told.parts[2:4]
    assert use.tool_input == {"expression": "23 * 47"}
    assert result.content == "1081"
    assert use.call_id == result.call_id == "abc"  # as the server named it
    assert use.tool_name == result.tool_name == "calculator"
    assert [part.iteration for part in told.parts] == [1, 1, 1, 1, 2, 2]
    assert told.answer == "23 * 47 is 1081."


async def test_the_text_protocol_gives_the_same_parts(
    make: Make, model_server: ModelServer
) -> None:
    told = await play(make(text_protocol=True), "[scenario calculator-nous]", [])
    assert told.types == [
        "thought",
        "thought",
        "tool_use",
        "tool_result",
        "thought",
        "final_answer",
    ]
    assert told.parts[2].tool_input == {"expression": "23 * 47"}
    assert told.answer == "23 * 47 is 1081."
    first = model_server.requests()[0]["request"]
    assert "tools" not in first
    assert "<tools>" in first["messages"][0]["content"]


async def test_the_model_gets_its_calls_and_their_results_back(
    make: Make, model_server: ModelServer
) -> None:
    await play(make(), "[scenario two-calls]", [])
    messages = model_server.requests()[-1]["request"]["messages"]
    assert [m["role"] for m in messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    calls = messages[2]["tool_calls"]
    assert [c["function"]["name"] for c in calls] == ["calculator", "current_time"]
    assert [c["id"] for c in calls] == [m["tool_call_id"] for m in messages[3:]]
    assert messages[3]["content"] == "42"


async def test_interleaved_calls_are_shown_one_after_the_other(make: Make) -> None:
    told = await play(make(), "[scenario two-calls]", [])
    assert told.types[:4] == ["tool_use", "tool_use", "tool_result", "tool_result"]
    assert [p.tool_input for p in told.parts[:2]] == [
        {"expression": "6*7"},
        {"timezone": "Asia/Tokyo"},
    ]
    assert [p.call_id for p in told.parts[:4]] == ["a", "b"] * 2


async def test_text_around_calls_is_thought(make: Make) -> None:
    told = await play(make(), "[scenario text-around-calls]", [])
    assert told.types == [
        "thought",
        "tool_use",
        "thought",
        "tool_use",
        "thought",
        "tool_result",
        "tool_result",
        "final_answer",
    ]
    assert told.of("thought") == ["First this. ", "Then that. ", "That is all."]


async def test_arguments_that_are_not_json_are_told_to_the_model(make: Make) -> None:
    told = await play(make(), "[scenario bad-arguments]", [])
    use, result = told.parts[:2]
    assert (use.status, use.tool_input) == ("error", None)
    assert result.status == "error"
    assert "no JSON object" in result.content
    assert told.answer == "It is 2."


async def test_a_call_without_arguments_has_none(make: Make) -> None:
    told = await play(make(), "[scenario no-arguments]", [])
    assert told.parts[0].content == "{}"
    assert told.parts[0].tool_input == {}
    assert told.parts[1].status == "ok"


async def test_a_tool_that_is_not_there_is_an_error_the_model_hears_of(
    make: Make, model_server: ModelServer
) -> None:
    told = await play(make(), "[scenario unknown-tool]", [])
    assert told.parts[1].status == "error"
    messages = model_server.requests()[-1]["request"]["messages"]
    assert messages[-1]["content"].startswith("Error: There is no tool")
    assert told.answer == "I cannot do that."


async def test_rounds_without_an_answer_end_at_the_limit(make: Make) -> None:
    told = await play(make(), "[scenario for-ever]", [], max_iterations=3)
    assert told.end is not None
    assert told.end.reason == "max_iterations"
    assert told.types == ["tool_use", "tool_result"] * 3


async def test_more_rounds_than_the_library_allows_are_possible(make: Make) -> None:
    told = await play(make(), "[scenario for-ever]", [], max_iterations=25)
    assert told.types == ["tool_use", "tool_result"] * 25


async def test_a_thought_that_used_up_all_tokens_is_a_cut_answer(make: Make) -> None:
    told = await play(make(), "[scenario thought-only]", [])
    assert told.end is not None
    assert (told.end.reason, told.end.cause) == ("cut", "length")
    assert told.of("thought") == ["Hmm. Let me see."]


async def test_an_answer_without_text_is_a_failure(make: Make) -> None:
    told = await play(make(), "[scenario empty]", [])
    assert told.end is not None
    assert told.end.reason == "failed"
    assert told.end.error is not None
    assert told.end.error.code == "model_error"
    assert told.end.error.retryable


async def test_trouble_with_the_model_ends_the_run_and_closes_the_part(
    make: Make,
) -> None:
    told = await play(make(), "[scenario cut]", [])
    assert told.parts[0].status == "error"
    assert told.parts[0].content == "This is the beginning of"
    assert told.end is not None
    assert told.end.error is not None
    assert told.end.error.code == "model_error"


async def test_a_tool_is_called_only_after_its_result_part_is_stored(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = tmp_path / "ledger"
    monkeypatch.setenv("LEDGER_FILE", str(ledger))
    stream = make(Ledger()).run_with_reasoning_stream("[scenario ledger]", [])
    async for event in stream:
        if isinstance(event, PartStarted) and event.type == "tool_result":
            # Others may run now for as long as they like: nothing is called yet.
            for _ in range(50):
                await asyncio.sleep(0)
            assert not ledger.exists()
            break
    assert await anext(stream) is not None
    assert ledger.read_text() == "one\n"
    await stream.aclose()


async def test_a_tool_that_raises_shows_neither_traceback_nor_path(make: Make) -> None:
    def call(_: dict[str, Any]) -> str:
        message = "/srv/secret.py"
        raise ValueError(message)

    told = await play(make(Asking("calculator", call)), "[scenario calculator]", [])
    result = next(p for p in told.parts if p.type == "tool_result")
    assert result.status == "error"
    assert result.content == "The tool “calculator” failed: ValueError: …"


async def test_a_tool_says_itself_what_it_cannot_do(make: Make) -> None:
    async def call(_: dict[str, Any]) -> str:
        raise ToolError("Not today.")

    told = await play(make(Asking("calculator", call)), "[scenario calculator]", [])
    assert told.of("tool_result") == ["Not today."]


async def test_a_tool_has_a_time_limit(make: Make) -> None:
    released = threading.Event()

    def call(_: dict[str, Any]) -> str:
        released.wait(20)
        return "too late"

    tool = Asking("calculator", call, limit=0.05)
    told = await play(make(tool), "[scenario calculator]", [])
    released.set()
    assert "did not finish within 0.05 seconds" in told.of("tool_result")[0]


async def test_a_huge_result_is_shortened(make: Make) -> None:
    tool = Asking("calculator", lambda _: "x" * 100_000)
    told = await play(make(tool), "[scenario calculator]", [])
    assert told.of("tool_result")[0].endswith("(68000 more characters left out)")


async def test_the_librarys_own_tools_are_called_under_the_same_rules(
    make: Make,
) -> None:
    from qwen_agent.tools.base import BaseTool  # noqa: PLC0415 - takes seconds

    class Foreign(BaseTool):  # type: ignore[misc]  # the library has no types
        name = "teleport"
        description = "As an MCP server would offer it."
        parameters: Mapping[str, Any] = Asking.parameters

        def call(self, params: str | dict[str, Any], **_: Any) -> str:
            # As the library's contract says: JSON text, for the tool to decode.
            assert isinstance(params, str)
            return f"Arrived on {json.loads(params)['to']}."

    agent = make(Calculator(), library_tools=[Foreign()])
    told = await play(agent, "[scenario unknown-tool]", [])
    assert told.of("tool_result") == ["Arrived on Mars."]
    assert not agent.is_repeatable("teleport")


async def test_what_a_tool_raises_is_said_by_kind_and_message_without_paths(
    make: Make, model_server: ModelServer
) -> None:
    def call(_: dict[str, Any]) -> str:
        raise FileNotFoundError("/srv/site/secrets/rates.csv is missing")

    told = await play(make(Asking("calculator", call)), "[scenario calculator]", [])
    (said,) = told.of("tool_result")
    assert "FileNotFoundError: … is missing" in said
    assert "/srv/site" not in str(model_server.requests()[-1]["request"])


async def test_a_loop_that_catches_exceptions_ends_when_its_run_is_closed(
    make: Make,
) -> None:
    rounds = []
    agent = make()

    class Stubborn:
        function_map: Mapping[str, Any] = {}

        def run(self, messages: list[dict[str, Any]]) -> Iterator[Any]:
            while True:
                rounds.append(1)
                try:
                    agent.ask_model(messages, [], lambda said: said)
                except Exception:  # noqa: BLE001, S112 - what such loops do
                    continue
                yield []

    stubborn: Any = Stubborn()
    agent._library_agent = stubborn
    stream = agent.run_with_reasoning_stream("[scenario silent-middle]", [])
    async for event in stream:
        if isinstance(event, PartGrew):
            break
    await stream.aclose()
    await eventually(lambda: THREADS.busy == 0)
    assert rounds == [1]


async def test_closing_cancels_the_model_call_and_frees_the_thread(
    make: Make, model_server: ModelServer
) -> None:
    stream = make().run_with_reasoning_stream("[scenario silent-middle]", [])
    async for event in stream:
        if isinstance(event, PartGrew):
            break
    await stream.aclose()
    await eventually(lambda: model_server.requests()[-1]["closed_by_client_at"])
    await eventually(lambda: THREADS.busy == 0)


async def test_closing_cancels_an_async_tool(make: Make) -> None:
    state = asyncio.Event(), asyncio.Event()

    async def call(_: dict[str, Any]) -> str:
        state[0].set()
        try:
            await asyncio.Event().wait()
        finally:
            state[1].set()
        return ""

    agent = make(Asking("calculator", call))
    stream = agent.run_with_reasoning_stream("[scenario calculator]", [])
    consuming = asyncio.create_task(listen(stream))
    await state[0].wait()
    consuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consuming
    await stream.aclose()
    assert state[1].is_set()


async def test_closing_abandons_a_tool_in_a_thread(make: Make) -> None:
    started, released = threading.Event(), threading.Event()

    def call(_: dict[str, Any]) -> str:
        started.set()
        released.wait(20)
        return ""

    agent = make(Asking("calculator", call))
    stream = agent.run_with_reasoning_stream("[scenario calculator]", [])
    consuming = asyncio.create_task(listen(stream))
    await eventually(started.is_set)
    consuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consuming
    await stream.aclose()
    await eventually(lambda: THREADS.busy == 0)
    released.set()
    await eventually(lambda: TOOL_THREADS.busy == 0)


async def test_a_run_that_waits_for_a_thread_can_be_closed(make: Make) -> None:
    agent = make()
    streams = [
        agent.run_with_reasoning_stream("[scenario silent-head]", []) for _ in range(6)
    ]
    waiting = [asyncio.create_task(anext(stream)) for stream in streams]
    await eventually(lambda: THREADS.busy == 6)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await eventually(lambda: THREADS.busy == 0)


HISTORY = [
    Exchange(
        "What is 1+1?",
        (
            Part("thought", 1, "Easy."),
            Part(
                "tool_use",
                1,
                '{"expression": "1+1"}',
                tool_name="calculator",
                call_id="call_1_1",
                tool_input={"expression": "1+1"},
            ),
            Part("tool_result", 1, "2", tool_name="calculator", call_id="call_1_1"),
            Part("final_answer", 2, "It is 2."),
        ),
    )
]


async def test_earlier_exchanges_are_remembered(
    make: Make, model_server: ModelServer
) -> None:
    await play(make(), "And 2+2? [scenario calculator]", HISTORY)
    messages = model_server.requests()[-1]["request"]["messages"]
    assert [m["role"] for m in messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
        "assistant",
        "tool",
    ]
    ids = [c["id"] for m in messages for c in m.get("tool_calls", [])]
    assert len(set(ids)) == 2
    assert messages[4]["content"] == "It is 2."
    assert all(messages[i]["tool_call_id"] == ids[i // 7] for i in (3, 7))


async def test_an_agent_without_tools_remembers_only_what_was_said(
    model_server: ModelServer,
) -> None:
    model = ChatServer(ServerConfig(model_server.base_url, "hello"))
    agent = QwenAgent(
        "plain", "", model=model, threads=THREADS, tool_threads=TOOL_THREADS
    )
    await play(agent, "Hi", HISTORY)
    await model.close()
    request = model_server.requests()[-1]["request"]
    assert "tools" not in request
    assert [m["role"] for m in request["messages"]][-3:] == [
        "user",
        "assistant",
        "user",
    ]


async def test_the_oldest_exchanges_are_forgotten_first(
    make: Make, model_server: ModelServer
) -> None:
    history = [
        Exchange(f"{number} " * 100, (Part("final_answer", 1, "ok"),))
        for number in range(50)
    ]
    await play(make(max_input_tokens=1500), "Hi", history)
    messages = model_server.requests()[-1]["request"]["messages"]
    assert 3 < len(messages) < 30
    assert messages[0]["role"] == "system"
    assert messages[-3]["content"].startswith("49 ")
    assert messages[1]["role"] == "user"


async def test_a_prompt_that_is_too_long_is_refused_not_cut(
    make: Make, model_server: ModelServer
) -> None:
    told = await play(make(max_input_tokens=500), "word " * 1000, [])
    assert told.end is not None
    assert told.end.error is not None
    assert "too long" in told.end.error.message
    assert not model_server.requests()


DONE = HISTORY[0].parts[:3]


async def test_an_interrupted_run_goes_on_from_what_is_done(
    make: Make, model_server: ModelServer
) -> None:
    told = await play(make(), "[scenario calculator]", [], done=DONE)
    assert told.types == ["thought", "final_answer"]
    assert [p.iteration for p in told.parts] == [2, 2]
    assert told.answer == "23 * 47 is 2."
    assert len(model_server.requests()) == 1


async def test_a_call_without_a_result_is_made_after_an_interruption(
    make: Make,
) -> None:
    told = await play(make(), "[scenario calculator]", [], done=DONE[:2])
    assert told.types == ["tool_result", "thought", "final_answer"]
    assert told.parts[0].call_id == "call_1_1"
    assert told.parts[0].iteration == 1
    assert told.answer == "23 * 47 is 2."


async def test_a_run_of_which_only_the_end_was_lost_ends_at_once(
    make: Make, model_server: ModelServer
) -> None:
    told = await play(make(), "Hi", [], done=HISTORY[0].parts)
    assert told.parts == []
    assert told.end is not None
    assert told.end.reason == "answered"
    assert not model_server.requests()


async def test_only_tools_that_say_so_are_repeatable(make: Make) -> None:
    agent = make(Calculator(), Ledger())
    assert agent.is_repeatable("calculator")
    assert not agent.is_repeatable("ledger")
    assert not agent.is_repeatable("unknown")


async def test_what_the_model_sent_is_what_is_told_to_the_byte(
    make: Make, model_server: ModelServer
) -> None:
    told = await play(make(), "[stream tokens=400 rate=4000 thought=100]", [])
    sent = model_server.requests()[-1]
    assert told.of("thought") == [sent["reasoning"]]
    assert told.answer == sent["content"]


async def test_a_consumer_that_is_far_behind_makes_the_model_wait(
    make: Make, model_server: ModelServer
) -> None:
    prompt = "[stream tokens=40000 rate=200000]"
    stream = make().run_with_reasoning_stream(prompt, [])
    first = await anext(stream)
    told_while_waiting = model_server.requests()[-1]
    assert isinstance(first, PartStarted)
    await eventually(lambda: model_server.requests()[-1]["tokens"] == 40000, within=20)
    text = ""
    async for event in stream:
        if isinstance(event, PartGrew):
            text += event.text
    assert text == model_server.requests()[-1]["content"]
    assert told_while_waiting["finished_at"] is None


async def test_many_runs_share_the_pool(make: Make) -> None:
    agent = make()
    runs = [play(agent, "[scenario calculator]", []) for _ in range(12)]
    for told in await asyncio.gather(*runs):
        assert told.answer == "23 * 47 is 1081."
