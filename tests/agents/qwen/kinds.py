"""Every kind of agent and option that Qwen-Agent has, in one file of agents, for tests.

Names of models are those of scenarios; MODEL_SERVER says where they are played.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen_agent import Agent
from qwen_agent.agents import (
    ArticleAgent,
    Assistant,
    BasicAgent,
    DialogueRetrievalAgent,
    DialogueSimulator,
    DocQAAgent,
    FnCallAgent,
    GroupChat,
    GroupChatCreator,
    HumanSimulator,
    Router,
    TIRMathAgent,
    VirtualMemoryAgent,
    WriteFromScratch,
)
from qwen_agent.agents.memo_assistant import MemoAssistant
from qwen_agent.llm.schema import Message
from qwen_agent.tools.base import BaseTool, register_tool

SERVER = os.environ["MODEL_SERVER"]
FILES = [str(Path(__file__).parents[3] / "examples" / "harbour.txt")]


@register_tool("louder", allow_overwrite=True)
class Louder(BaseTool):  # type: ignore[misc]
    description = "Say it louder."
    parameters = [{"name": "text", "type": "string", "required": True}]  # noqa: RUF012

    def call(self, params: str, **kwargs: Any) -> str:
        return str(json.loads(params)["text"]).upper()


def llm(model: str, **generate_cfg: Any) -> dict[str, Any]:
    return {
        "model": model,
        "model_server": SERVER,
        "api_key": "EMPTY",
        "generate_cfg": generate_cfg,
    }


def with_tool(name: str, model: str, **generate_cfg: Any) -> FnCallAgent:
    return FnCallAgent(
        llm=llm(model, **generate_cfg), name=name, function_list=["louder"]
    )


def member(name: str) -> Assistant:
    return Assistant(llm=llm("k-plain"), name=name, description=f"The {name}.")


class Asking(Agent):  # type: ignore[misc]
    """A workflow that asks the person, as it would at a terminal."""

    def _run(self, messages: list[Message], **kwargs: Any) -> Iterator[list[Message]]:
        yield [Message("assistant", "I shall ask.")]
        yield [Message("assistant", input("What is your name?"))]


def math() -> TIRMathAgent:
    """What cannot be built is out of order alone where a function builds it."""
    return TIRMathAgent(llm=llm("k-plain"), name="math")


def other_server(name: str, **config: Any) -> Assistant:
    return Assistant(llm={"model": "k-plain", "api_key": "key", **config}, name=name)


agents = [
    with_tool("old-form", "k-old", fncall_prompt_type="qwen"),
    with_tool(
        "old-form-parallel",
        "k-old-two",
        fncall_prompt_type="qwen",
        parallel_function_calls=True,
    ),
    with_tool("parallel", "k-two", parallel_function_calls=True),
    with_tool("raw-parallel", "k-raw-two", use_raw_api=True),
    with_tool("thinking", "k-thinking", use_raw_api=True),
    with_tool("thought-in-content", "k-in-content", thought_in_content=True),
    with_tool("unknown", "k-unknown"),
    with_tool("no-choice", "k-plain", function_choice="none"),
    with_tool("choice", "k-plain", function_choice="louder"),
    Assistant(
        llm=llm("k-plain", stop=["world"], seed=7, extra_body={"top_k": 3}),
        name="options",
    ),
    Assistant(llm=llm("k-flaky", max_retries=2), name="retries"),
    other_server(
        "headers",
        model_server=SERVER,
        generate_cfg={"extra_headers": {"X-Tenant": "a"}},
    ),
    other_server("azure", azure_endpoint=SERVER, api_version="2024-06-01"),
    other_server("vision", model_type="qwenvl_oai", model_server=SERVER),
    other_server("omni", model_type="qwenomni_oai", model_server=SERVER),
    other_server(
        "dashscope",
        model_type="qwen_dashscope",
        base_http_api_url=f"{os.environ['DASHSCOPE']}/api/v1",
    ),
    BasicAgent(llm=llm("k-plain"), name="basic"),
    GroupChat(
        agents={
            "background": "A pub.",
            "agents": [
                {"name": "Me", "description": "A guest.", "is_human": True},
                {"name": "Ann", "description": "The landlady."},
            ],
        },
        llm=llm("k-plain"),
        agent_selection_method="round_robin",
        name="with-person",
    ),
    GroupChat(
        agents=[member("ann"), member("bob")],
        agent_selection_method="manual",
        name="by-hand",
    ),
    GroupChat(
        agents=[member("ann"), member("bob")], llm=llm("k-host"), name="with-host"
    ),
    GroupChat(
        agents=[member("ann")], agent_selection_method="random", name="at-random"
    ),
    GroupChatCreator(llm=llm("k-creator"), name="creator"),
    DialogueSimulator(
        HumanSimulator(llm=llm("k-human"), name="human"),
        member("helper"),
        max_round=2,
        name="simulator",
    ),
    DocQAAgent(llm=llm("k-plain"), name="documents", files=FILES),
    ArticleAgent(llm=llm("k-plain"), name="article", files=FILES),
    WriteFromScratch(llm=llm("k-plain"), name="from-scratch"),
    VirtualMemoryAgent(llm=llm("k-plain"), name="virtual-memory"),
    DialogueRetrievalAgent(llm=llm("k-plain"), name="long-dialogue"),
    MemoAssistant(llm=llm("k-memo"), name="memo"),
    Router(llm=llm("k-plain"), name="direct", agents=[member("ann")]),
    Asking(name="asking"),
    math,
]
