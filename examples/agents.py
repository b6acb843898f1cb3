"""Agents of Qwen-Agent as they are: tools, files, ReAct, a router, a group, a workflow.

    LLM_BASE_URL=http://localhost:11434/v1 LLM_MODEL=qwen3 \\
        AGENTS=examples/agents.py make run
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen_agent import Agent
from qwen_agent.agents import Assistant, GroupChat, ReActChat, Router
from qwen_agent.llm.schema import Message
from qwen_agent.tools.base import BaseTool, register_tool

LLM = {
    "model": os.environ.get("LLM_MODEL", "qwen3"),
    "model_server": os.environ.get("LLM_BASE_URL", "http://localhost:11434/v1"),
    "api_key": os.environ.get("LLM_API_KEY", "EMPTY"),
}


@register_tool("tide", allow_overwrite=True)
class Tide(BaseTool):  # type: ignore[misc]  # the library has no types
    """A tool as Qwen-Agent has them."""

    description = "When the next high water is, at a port."
    parameters = [  # noqa: RUF012 - the library's way
        {"name": "port", "type": "string", "description": "The port.", "required": True}
    ]

    def call(self, params: str | dict[str, Any], **_: Any) -> str:
        """Look it up; `params` is JSON text."""
        port = (json.loads(params) if isinstance(params, str) else params)["port"]
        hour = 6 + sum(map(ord, port)) % 12
        return f"High water at {port}: {hour}:40"


harbour = Assistant(
    llm=LLM,
    name="harbour",
    description="Knows the tides.",
    function_list=["tide"],
)

stepwise = ReActChat(
    llm=LLM,
    name="stepwise",
    description="Thinks and acts in turn.",
    function_list=["tide"],
)

pilot = Assistant(
    llm=LLM,
    name="pilot",
    description="Knows what is written about the harbour of Whitby.",
    files=[str(Path(__file__).with_name("harbour.txt"))],
)

poet = Assistant(llm=LLM, name="poet", description="Writes verses.")

desk = Router(
    llm=LLM,
    name="desk",
    description="Asks whoever knows.",
    agents=[harbour, pilot, poet],
)

crew = GroupChat(
    name="crew",
    description="Three who talk it over.",
    agent_selection_method="round_robin",
    agents=[
        Assistant(llm=LLM, name=name, description=text, system_message=text)
        for name, text in {
            "Captain": "You decide, in one sentence.",
            "Mate": "You doubt, in one sentence.",
            "Cook": "You think of supper, in one sentence.",
        }.items()
    ],
)


class Letter(Agent):  # type: ignore[misc]  # the library has no types
    """A workflow of one's own: a draft, then what is wrong with it, then the letter."""

    def __init__(self) -> None:
        super().__init__(name="letter", description="Writes a letter in three steps.")
        self.drafter = Assistant(llm=LLM, name="drafter")
        self.critic = Assistant(
            llm=LLM, name="critic", system_message="Say briefly what to mend."
        )

    def _run(self, messages: list[Message], **_: Any) -> Iterator[list[Message]]:
        *_, draft = self.drafter.run(messages)
        *_, remarks = self.critic.run([Message("user", draft[-1].content)])
        wanted = f"Write it anew. {remarks[-1].content}"
        yield from self.drafter.run([*messages, *draft, Message("user", wanted)])


agents = [harbour, pilot, stepwise, desk, crew, Letter()]
chatbot_config = {
    "prompt.suggestions": [
        "When is high water at Whitby?",
        "Who is the pilot of Whitby?",
        "What shall we have for supper?",
    ],
}
