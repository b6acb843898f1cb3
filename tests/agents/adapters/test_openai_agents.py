"""What only the OpenAI Agents SDK has: handovers, and tools of the provider's."""

from __future__ import annotations

from typing import Any

import agents
import pydantic
from agents.items import ToolCallItem
from agents.stream_events import RunItemStreamEvent
from openai.types.responses import ResponseFunctionWebSearch
from openai.types.responses.response_function_web_search import ActionSearch

from reasoning_site.adapters.openai_agents import Speaker, adapt
from reasoning_site.agents import ToolCall, ToolResult
from tests.agents.adapters.frameworks import client_of, told
from tests.model_server import ModelServer


class Place(pydantic.BaseModel):
    """Where it is."""

    city: str


async def test_who_is_handed_over_to_speaks_under_its_name(
    model_server: ModelServer,
) -> None:
    call = {"name": "transfer_to_poet", "arguments": {}, "id": "a"}
    model_server.add("front", [{"text": "Poetry."}, {"call": call}])
    model_server.add("poet", [{"reasoning": "Hm."}, {"text": "Roses."}])
    async with client_of(model_server) as client:

        def agent(name: str, **more: Any) -> agents.Agent[Any]:
            model = agents.OpenAIChatCompletionsModel(name, client)
            return agents.Agent(name=name, model=model, **more)

        poet = agent("poet", handoff_description="Rhymes.")
        run = await told(adapt(agent("front", handoffs=[poet])))
    assert [(part.type, part.agent, part.content) for part in run.parts] == [
        ("thought", "", "Poetry."),
        ("tool_use", "", "{}"),
        ("tool_result", "", "poet"),
        ("thought", "poet", "Hm."),
        ("final_answer", "poet", "Roses."),
    ]
    assert run.parts[1].tool_name == "transfer_to_poet"


async def test_a_tool_that_fails_is_told_as_the_library_does(
    model_server: ModelServer,
) -> None:
    def calculator(expression: str) -> str:
        raise ValueError("/home/ada/tables/23.txt is missing")

    async with client_of(model_server) as client:
        agent = agents.Agent[Any](
            name="tutor",
            tools=[agents.function_tool(calculator)],
            model=agents.OpenAIChatCompletionsModel("calculator", client),
        )
        run = await told(adapt(agent))
    (result,) = run.of("tool_result")
    assert "error occurred" in result
    assert "/home/ada" not in result
    assert run.answer


async def test_too_many_turns_are_said(model_server: ModelServer) -> None:
    async with client_of(model_server) as client:
        model = agents.OpenAIChatCompletionsModel("calculator", client)

        async def calculator(expression: str) -> str:
            return expression

        tools: Any = [agents.function_tool(calculator)]
        agent = agents.Agent[Any](name="tutor", tools=tools, model=model)
        run = await told(adapt(agent, max_turns=1))
    assert run.end is not None
    assert run.end.error is not None
    assert "MaxTurnsExceeded" in run.end.error.message
    assert run.of("tool_result") == ["23 * 47"]


def test_a_tool_of_the_provider_s_own_is_shown_with_its_call() -> None:
    search = ResponseFunctionWebSearch(
        id="ws_1",
        status="completed",
        type="web_search_call",
        action=ActionSearch(type="search", query="rain"),
    )
    item = ToolCallItem(agents.Agent[Any](name="tutor"), search)
    event = RunItemStreamEvent("tool_called", item)
    called, result = Speaker("tutor").said(event)
    assert called == ToolCall("web_search_call")
    assert isinstance(result, ToolResult)


async def test_an_output_of_a_type_is_the_answer_as_json(
    model_server: ModelServer,
) -> None:
    model_server.add("typed", [{"text": '{"city": "Ulm"}'}])
    async with client_of(model_server) as client:
        model = agents.OpenAIChatCompletionsModel("typed", client)
        agent = agents.Agent[Any](name="tutor", output_type=Place, model=model)
        run = await told(adapt(agent))
    assert run.answer == '{"city": "Ulm"}'
