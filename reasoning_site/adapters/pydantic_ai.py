"""Agents made with Pydantic AI (`pip install 'pydantic-ai-slim[openai]'`).

from pydantic_ai import Agent
from reasoning_site.adapters.pydantic_ai import adapt

agents = [adapt(Agent("openai:gpt-5.2", name="tutor", description="Explains."))]
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import (
    AgentStreamEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    UserPromptPart,
)
from pydantic_ai.run import AgentRunResultEvent
from pydantic_core import to_json

from reasoning_site.adapters import AgentFunction, History, shown_as
from reasoning_site.agents import Answer, Said, Thought, ToolCall, ToolResult


def adapt(
    agent: Agent[Any, Any], *, name: str = "", description: str = "", **options: Any
) -> AgentFunction:
    """The agent, as the site runs agents.

    `options` go to `agent.run_stream_events`: `deps`, `usage_limits`, `toolsets` …
    """

    async def run(prompt: str, history: History) -> AsyncGenerator[Said]:
        messages = [_message(message) for message in history]
        async with agent.run_stream_events(
            prompt, message_history=messages, **options
        ) as events:
            async for event in events:
                for said in _said(event):
                    yield said

    return shown_as(
        name or agent.name or "agent", description or agent.description, run
    )


def _message(message: dict[str, str]) -> ModelMessage:
    if message["role"] == "user":
        return ModelRequest(parts=[UserPromptPart(message["content"])])
    return ModelResponse(parts=[TextPart(message["content"])])


def _said(event: AgentStreamEvent | AgentRunResultEvent[Any]) -> Iterator[Said]:
    """What one event means; mostly nothing or one thing."""
    match event:
        case (
            PartDeltaEvent(delta=TextPartDelta(text))
            | PartStartEvent(part=TextPart(text))
        ):
            yield text
        case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text)) | (
            PartStartEvent(part=ThinkingPart(text))
        ):
            yield Thought(text or "")
        case (
            FunctionToolCallEvent(part=call)
            | PartEndEvent(part=NativeToolCallPart() as call)
        ):
            yield ToolCall(call.tool_name, call.args_as_dict(), call.tool_call_id)
        case (
            FunctionToolResultEvent(part=result)
            | PartStartEvent(part=NativeToolReturnPart() as result)
        ):
            text = result.model_response_str(wrap_if_error=False)
            is_wrong = result.outcome not in {"success", None}
            yield ToolResult(text, result.tool_call_id, error=is_wrong)
        case AgentRunResultEvent() if not isinstance(event.result.output, str):
            yield Answer(to_json(event.result.output, fallback=str).decode())
        case _:
            pass  # what only the framework needs
