"""Agents made with the OpenAI Agents SDK (`pip install openai-agents`).

from agents import Agent
from reasoning_site.adapters.openai_agents import adapt

agents = [adapt(Agent(name="Tutor", instructions="Answer as a teacher would."))]
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Final

from agents import Agent, RunConfig, Runner
from agents.items import (
    HandoffCallItem,
    HandoffOutputItem,
    ToolCallItem,
    ToolCallOutputItem,
)
from agents.result import RunResultStreaming
from agents.stream_events import (
    AgentUpdatedStreamEvent,
    RawResponsesStreamEvent,
    StreamEvent,
)
from openai.types.responses import (
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
)

from reasoning_site.adapters import AgentFunction, History, shown_as
from reasoning_site.agents import Said, Text, Thought, ToolCall, ToolResult

TEXTS: Final = (ResponseTextDeltaEvent, ResponseRefusalDeltaEvent)
THOUGHTS: Final = (
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningSummaryTextDeltaEvent,
)
BY_PROVIDER: Final = "Done by the model's provider."


def adapt(agent: Agent[Any], *, description: str = "", **options: Any) -> AgentFunction:
    """The agent, with those it hands over to, as the site runs agents.

    `options` go to `Runner.run_streamed`: `context`, `max_turns`, `run_config` … Unless
    a `run_config` says otherwise, nothing is traced to OpenAI's servers.
    """
    options.setdefault("run_config", RunConfig(tracing_disabled=True))

    async def run(prompt: str, history: History) -> AsyncGenerator[Said]:
        messages: Any = [*history, {"role": "user", "content": prompt}]
        result = Runner.run_streamed(agent, messages, **options)
        speaker = Speaker(agent.name)
        try:
            async with aclosing(_events(result)) as events:
                async for event in events:
                    for said in speaker.said(event):
                        yield said
        finally:
            result.cancel()

    about = description or agent.handoff_description or agent.instructions
    return shown_as(agent.name, about, run)


async def _events(result: RunResultStreaming) -> AsyncGenerator[StreamEvent]:
    async for event in result.stream_events():
        yield event


class Speaker:
    """Says what events mean, and under which name: "" for the first agent's own."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._name = ""

    def said(self, event: StreamEvent) -> Iterator[Said]:
        """What one event means; mostly nothing or one thing."""
        if isinstance(event, RawResponsesStreamEvent):
            if isinstance(event.data, TEXTS):
                yield Text(event.data.delta, self._name)
            elif isinstance(event.data, THOUGHTS):
                yield Thought(event.data.delta, self._name)
        elif isinstance(event, AgentUpdatedStreamEvent):
            self._name = self._named(event.new_agent)
        elif isinstance(event.item, ToolCallItem | HandoffCallItem):
            yield from self._called(event.item)
        elif isinstance(event.item, ToolCallOutputItem):
            call_id = _field(event.item.raw_item, "call_id")
            yield ToolResult(_text(event.item.output), call_id)
        elif isinstance(event.item, HandoffOutputItem):
            call_id = _field(event.item.raw_item, "call_id")
            yield ToolResult(event.item.target_agent.name, call_id)

    def _called(self, item: ToolCallItem | HandoffCallItem) -> Iterator[Said]:
        raw = item.raw_item
        name = _field(raw, "name") or _field(raw, "type")
        call_id, name_of = _field(raw, "call_id"), self._named(item.agent)
        yield ToolCall(name, _input(_field(raw, "arguments")), call_id, name_of)
        if not call_id:  # a tool of the provider's own: its result is in the text
            yield ToolResult(BY_PROVIDER)

    def _named(self, agent: Agent[Any]) -> str:
        return "" if agent.name == self._own else agent.name


def _field(raw: Any, name: str) -> str:
    value = raw.get(name) if isinstance(raw, dict) else getattr(raw, name, None)
    return value if isinstance(value, str) else ""


def _input(arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        given = arguments
    return given if isinstance(given, dict) else {"arguments": given}


def _text(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(output, default=str)
