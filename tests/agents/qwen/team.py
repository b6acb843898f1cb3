"""Agents of Qwen-Agent as people write them, for tests: each its own model's scenario.

Names of models are those of scenarios; MODEL_SERVER says where they are played.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen_agent import Agent
from qwen_agent.agents import Assistant, GroupChat, ReActChat, Router
from qwen_agent.llm.base import BaseChatModel, register_llm
from qwen_agent.llm.schema import Message
from qwen_agent.tools.base import BaseTool, register_tool

HARBOUR = Path(__file__).parents[3] / "examples" / "harbour.txt"


@register_tool("shout", allow_overwrite=True)
class Shout(BaseTool):  # type: ignore[misc]
    description = "Say it louder."
    parameters = [{"name": "text", "type": "string", "required": True}]  # noqa: RUF012

    def call(self, params: str | dict[str, Any], **kwargs: Any) -> str:
        text = json.loads(params)["text"] if isinstance(params, str) else params["text"]
        if text == "fail":
            raise ValueError("/etc/secret/file was not found")
        return str(text).upper()


@register_llm("parrot")
class Parrot(BaseChatModel):  # type: ignore[misc]
    """A model of somebody's own: says things bit by bit, as snapshots."""

    def _chat_with_functions(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _chat_stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        words = ["Polly ", "wants ", "a cracker."]
        for end in range(1, 4):
            yield [Message("assistant", "".join(words[:end]))]

    def _chat_no_stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return [Message("assistant", "Polly wants a cracker.")]


def llm(model: str, **generate_cfg: Any) -> dict[str, Any]:
    return {
        "model": model,
        "model_server": os.environ["MODEL_SERVER"],
        "api_key": "a-key-of-its-own",
        "generate_cfg": {"temperature": 0.5, **generate_cfg},
    }


def member(name: str, model: str, **more: Any) -> Assistant:
    return Assistant(llm=llm(model), name=name, description=f"The {name}.", **more)


class AskPoet(BaseTool):  # type: ignore[misc]
    """A tool that is an agent."""

    name = "ask_poet"
    description = "Asks the poet."
    parameters: list[Any] = []  # noqa: RUF012

    def call(self, params: str, **kwargs: Any) -> str:
        *_, said = member("poet", "t-writer").run([Message("user", "A line.")])
        return str(said[-1].content)


class Workflow(Agent):  # type: ignore[misc]
    """Has a text written and then judged, and adds a word of its own."""

    def __init__(self) -> None:
        super().__init__(name="workflow", description="Two after each other.")
        self.writer = member("writer", "t-writer")
        self.critic = member("critic", "t-critic")

    def _run(self, messages: list[Message], **kwargs: Any) -> Iterator[list[Message]]:
        *_, text = self.writer.run(messages)
        *_, verdict = self.critic.run([*messages, *text])
        yield [Message("assistant", f"Verdict: {verdict[-1].content}")]


class Stubborn(Agent):  # type: ignore[misc]
    """Goes on for ever, whatever happens."""

    def _run(self, messages: list[Message], **kwargs: Any) -> Iterator[list[Message]]:
        while True:
            try:
                yield from self._call_llm(messages)
            except Exception:  # noqa: BLE001, S112
                continue


agents = [
    member("native", "t-native", function_list=["shout"]),
    ReActChat(llm=llm("t-react"), name="react", function_list=["shout"]),
    Router(
        llm=llm("t-router"),
        name="router",
        agents=[
            member("accountant", "t-accountant", function_list=["shout"]),
            member("poet", "t-critic"),
        ],
    ),
    GroupChat(
        agents=[
            member("ann", "t-ann"),
            member("bob", "t-bob"),
            member("cid", "t-cid"),
        ],
        agent_selection_method="round_robin",
        name="group",
    ),
    Workflow(),
    Stubborn(llm=llm("t-critic"), name="stubborn"),
    Assistant(llm={"model": "p", "model_type": "parrot"}, name="parrot"),
    member("broken", "t-ann", function_list=["there_is_no_such_tool"]),
    lambda: member("made", "t-ann"),
    Router(
        llm=llm("t-delegates"),
        name="delegator",
        agents=[member("nobody", "t-ann")],
        function_list=[AskPoet()],
    ),
    ReActChat(llm=llm("t-reacts"), name="reacts", function_list=["shout"]),
    member("coder", "t-ann", function_list=["code_interpreter"]),
    member(
        "pilot",
        "t-pilot",
        files=[str(HARBOUR)],
        rag_cfg={"max_ref_token": 60, "parser_page_size": 40},
    ),
]
agents[0].llm.use_raw_api = True
