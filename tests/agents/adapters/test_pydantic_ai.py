"""What only Pydantic AI has: outputs of a type, tools that ask to be called again."""

from __future__ import annotations

import pydantic
import pydantic_ai
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from reasoning_site.adapters.pydantic_ai import adapt
from tests.agents.adapters.frameworks import client_of, told
from tests.model_server import ModelServer


class Place(pydantic.BaseModel):
    """Where it is."""

    city: str


async def test_an_output_of_a_type_is_the_answer_as_json(
    model_server: ModelServer,
) -> None:
    call = {"name": "final_result", "arguments": {"city": "Ulm"}}
    model_server.add("typed", [{"call": call}])
    async with client_of(model_server) as client:
        model = OpenAIChatModel("typed", provider=OpenAIProvider(openai_client=client))
        run = await told(adapt(pydantic_ai.Agent(model, output_type=Place), name="x"))
    assert run.types == ["final_answer"]
    assert run.answer == '{"city":"Ulm"}'


async def test_a_call_that_is_to_be_made_again_has_failed(
    model_server: ModelServer,
) -> None:
    async with client_of(model_server) as client:
        provider = OpenAIProvider(openai_client=client)
        agent = pydantic_ai.Agent(OpenAIChatModel("calculator", provider=provider))

        @agent.tool_plain(name="calculator")
        def calculate(expression: str) -> str:
            raise pydantic_ai.ModelRetry("In words, please.")

        run = await told(adapt(agent, name="tutor"))
    (result,) = [part for part in run.parts if part.type == "tool_result"]
    assert result.status == "error"
    assert "In words, please." in result.content
