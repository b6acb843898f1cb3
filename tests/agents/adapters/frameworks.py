"""The same agent in each framework: it asks the scripted model, and can multiply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import agents
import httpx2
import openai
import pydantic_ai
import uvicorn
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import SecretStr
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chat.agents.base import Exchange
from chat.agents.plain import PlainAgent
from reasoning_site.adapters import (
    AgentFunction,
    langgraph as of_langgraph,
    openai_agents,
    pydantic_ai as of_pydantic_ai,
)
from reasoning_site.adapters.ag_ui import ag_ui
from tests.agents.fold import Told
from tests.agents.test_plain import Folded
from tests.model_server import ModelServer, eventually

# Of a model server, and the model's name.
Made: TypeAlias = AbstractAsyncContextManager[AgentFunction]
Make: TypeAlias = Callable[[ModelServer, str], Made]


async def calculator(expression: str) -> str:
    """Multiply."""
    one, other = expression.split("*")
    return str(int(one) * int(other))


def client_of(server: ModelServer) -> openai.AsyncOpenAI:
    """OpenAI's own client; a context manager, which closes it."""
    return openai.AsyncOpenAI(base_url=server.base_url, api_key="key", max_retries=0)


@asynccontextmanager
async def of_openai(server: ModelServer, name: str) -> AsyncIterator[AgentFunction]:
    async with client_of(server) as client:
        agent = agents.Agent[Any](
            name="tutor",
            instructions="Answer as a teacher would.\nBriefly.",
            tools=[agents.function_tool(calculator)],
            model=agents.OpenAIChatCompletionsModel(name, client),
        )
        yield openai_agents.adapt(agent)


def pydantic_agent(client: openai.AsyncOpenAI, name: str) -> pydantic_ai.Agent:
    """As the others, in Pydantic AI."""
    model = OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))
    return pydantic_ai.Agent(
        model,
        name="tutor",
        description="Answer as a teacher would.",
        tools=[calculator],
    )


@asynccontextmanager
async def of_pydantic(server: ModelServer, name: str) -> AsyncIterator[AgentFunction]:
    async with client_of(server) as client:
        yield of_pydantic_ai.adapt(pydantic_agent(client, name))


@asynccontextmanager
async def of_graph(server: ModelServer, name: str) -> AsyncIterator[AgentFunction]:
    async with httpx2.AsyncClient() as client:
        model = ChatOpenAI(
            base_url=server.base_url,
            api_key=SecretStr("key"),
            model=name,
            max_retries=0,
            http_async_client=client,
        )
        about = "Answer as a teacher would."
        yield of_langgraph.adapt(graph_of(model), name="tutor", description=about)


def graph_of(chat_model: ChatOpenAI) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A model and its tools, by turns."""
    tools = [tool(calculator)]
    model = chat_model.bind_tools(tools)

    async def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", answer)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "answer")
    graph.add_conditional_edges("answer", tools_condition)
    graph.add_edge("tools", "answer")
    return graph.compile()


@asynccontextmanager
async def of_ag_ui(server: ModelServer, name: str) -> AsyncIterator[AgentFunction]:
    """Pydantic AI's own AG-UI server, which encodes with the official package."""
    client = client_of(server)

    async def run(request: Request) -> Response:
        agent = pydantic_agent(client, name)
        return await AGUIAdapter.dispatch_request(request, agent=agent)

    app = Starlette(routes=[Route("/", run, methods=["POST"])])
    async with client, serving(app) as url:
        about = "Answer as a teacher would."
        yield ag_ui(url, name="tutor", description=about)


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """Where the application is served, in this event loop."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    await task


FRAMEWORKS: dict[str, Make] = {
    "openai_agents": of_openai,
    "pydantic_ai": of_pydantic,
    "langgraph": of_graph,
    "ag_ui": of_ag_ui,
}


def agent_of(function: AgentFunction) -> PlainAgent:
    return PlainAgent(function.__name__, function.__doc__ or "", function)


async def told(function: AgentFunction, prompt: str = "Hi", *history: Exchange) -> Told:
    """What the agent does about a prompt."""
    folded, told = Folded(), Told()
    stream = agent_of(function).run_with_reasoning_stream(prompt, history)
    async for event in stream:
        folded.take(event)
        told.events.append(event)
    told.parts, told.end = folded.parts, folded.end
    return told
