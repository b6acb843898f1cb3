"""Which agents there are, and which model answers: the only reader of settings here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from msgspec import Struct, structs

from chat.agents.base import BaseAgent
from chat.agents.builtin.model import (
    CONTEXT,
    NAME,
    NAMED_CONTEXT,
    BuiltinModel,
    ModelProcess,
)
from chat.agents.chatbot_config import ChatbotConfig
from chat.agents.hosted import AgentsError, Own, gather, load
from chat.agents.model.client import ChatModel, ChatServer, ServerConfig
from chat.agents.qwen import QwenAgent, hosting, library_tool_names
from chat.agents.qwen.hosting import HostedAgent, Hosting
from chat.agents.qwen.threads import ThreadPool
from chat.agents.scripted import ScriptedAgent, read_script
from chat.agents.tools.base import Tool
from chat.agents.tools.calculator import Calculator
from chat.agents.tools.current_time import CurrentTime
from chat.agents.tools.errors import kind_and_message

RESEARCHER: Final = (
    "You are a careful researcher. Think step by step. Use the tools for anything "
    "that can be calculated or looked up instead of guessing, then answer briefly and "
    "say how you know."
)
ASSISTANT: Final = "You are a helpful assistant. Answer clearly and briefly."

DESCRIPTIONS: Final = {
    "researcher": "Thinks, uses tools and shows every step.",
    "assistant": "Answers directly, without tools.",
    "scripted": "Plays a script, for tests and demonstrations.",
}


# What the page offers to ask the site's own two.
OWN_CONFIG: Final = ChatbotConfig(
    suggestions=(
        "Why is the sky blue? Explain it to a child.",
        "What is 15% of 340?",
        "What time is it in Tokyo?",
    )
)


class Given(Struct, frozen=True):
    """Agents that a program has given, in place of those of a file.

    `mentions`: a message that names one with @ is for that one.
    """

    agents: list[Any]
    config: Mapping[str, Any] = {}
    run_options: Mapping[str, Any] = {}
    mentions: bool = False


class AgentInfo(Struct, frozen=True):
    """An agent to choose."""

    name: str
    description: str


class ModelInfo(Struct, frozen=True):
    """The model that answers; `builtin` is the small one on this machine."""

    name: str
    builtin: bool


def describe() -> list[AgentInfo]:
    """The agents that can be chosen, the default one first."""
    own = _by_name()
    return [
        AgentInfo(name, own[name].description if name in own else DESCRIPTIONS[name])
        for name in names()
    ]


def names() -> list[str]:
    """The names of the agents that can be chosen, the default one first.

    Those of `AGENTS` stand in place of the site's two.
    """
    scripted = ["scripted"] if settings.SCRIPTED_AGENT else []
    return [*(_by_name() or ("researcher", "assistant")), *scripted]


def default() -> str:
    """The agent that is asked where nobody has chosen one."""
    return names()[0]


def create(name: str) -> BaseAgent:
    """The agent of that name; `KeyError` if there is none."""
    if name not in names():
        raise KeyError(name)
    return _agent(name)


def is_repeatable(tool_name: str) -> bool:
    """Whether calling this tool twice does no harm, whichever agent has it."""
    return any(create(name).is_repeatable(tool_name) for name in names())


def page_config() -> ChatbotConfig:
    """What the page says around the agents."""
    own = _own()
    return OWN_CONFIG if own is None else own.config


def mentioned(message: str) -> str | None:
    """Whom the message names with @, where that is how agents are chosen."""
    if _given is None or not _given.mentions:
        return None
    found = re.findall(r"@(\w+)\b", message)
    return next((name for name in found if name in names()), None)


def listen() -> None:
    """Listen to Qwen-Agent's classes before agents are made. Imports the library."""
    hosting.install(_hosting())


def give(agents: Given) -> None:
    """Have these agents stand in place of all others. Raises AgentsError."""
    global _given  # noqa: PLW0603 - one site in a process
    _given = agents
    forget()
    _own()


def model_info() -> ModelInfo | None:
    """The model that answers; None where each agent has its own."""
    if _own() is not None:
        return None
    if settings.LLM_BASE_URL:
        return ModelInfo(settings.LLM_MODEL, builtin=False)
    path = settings.BUILTIN_MODEL_PATH
    return ModelInfo(Path(path).stem if path else NAME, builtin=True)


def lacking_packages() -> list[str]:
    """The names of agents that have files, while what reads those is not installed."""
    own = (each for each in _by_name().values() if isinstance(each, HostedAgent))
    return [agent.name for agent in own if agent.lacks_packages]


def warm_up(then: Callable[[], None]) -> None:
    """Import the library in the background, so that the first answer is quick.

    `then` is called when that is done, in any thread. MCP servers are started, too, but
    not waited for.
    """
    for each in _by_name().values():
        if isinstance(each, HostedAgent):
            each.begin()
    agent = create(default())
    if isinstance(agent, QwenAgent):
        agent.warm_up(then)
    else:
        then()


async def shutdown() -> None:
    """Close connections to the model and end the built-in one."""
    if _model.cache_info().currsize:
        await _model().close()
    await hosting.close()
    forget()


def forget() -> None:
    """Read the settings anew on the next use."""
    for cached in (_agent, _model, _own, _by_name, _tools):
        cached.cache_clear()


def problems() -> Iterator[str]:
    """What of the settings names agents and tools that cannot be had."""
    try:
        _own()
    except AgentsError as error:
        yield f"AGENTS: {error}"
    for path in settings.EXTRA_TOOLS:
        try:
            _extra_tool(path)
        except Exception as error:  # noqa: BLE001 - whatever importing it raises
            yield f"EXTRA_TOOLS: {path} cannot be used: {kind_and_message(error)}"
    if settings.LIBRARY_TOOLS:
        known = library_tool_names()
        for tool in settings.LIBRARY_TOOLS:
            name = tool.get("name", "") if isinstance(tool, dict) else tool
            if name not in known and not _is_mcp(tool):
                there = ", ".join(sorted(known))
                yield f"LIBRARY_TOOLS: there is no {name!r}. There are: {there}."


_given: Given | None = None


@cache
def _own() -> Own | None:
    """The agents that were given, or those of `AGENTS`."""
    if _given is None and not settings.AGENTS:
        return None
    config = _hosting()
    if _given is None:
        return load(settings.AGENTS, config)
    config = structs.replace(config, run_options=dict(_given.run_options))
    hosting.install(config)
    return gather(_given.agents, _given.config, "serve", config)


def _hosting() -> Hosting:
    threads, tool_threads = _threads(settings.MAX_RUNS)
    return Hosting(
        threads,
        tool_threads,
        settings.TOOL_TIMEOUT,
        settings.LLM_FIRST_CHUNK_TIMEOUT,
        settings.LLM_CHUNK_TIMEOUT,
        settings.MCP_TIMEOUT,
    )


@cache
def _by_name() -> dict[str, BaseAgent]:
    own = _own()
    return {} if own is None else {agent.name: agent for agent in own.agents}


@cache
def _agent(name: str) -> BaseAgent:
    if name in _by_name():
        return _by_name()[name]
    if name == "scripted":
        script = read_script(Path(settings.SCRIPTED_AGENT))
        return ScriptedAgent(name, DESCRIPTIONS[name], script)
    threads, tool_threads = _threads(settings.MAX_RUNS)
    researcher = name == "researcher"
    return QwenAgent(
        name,
        DESCRIPTIONS[name],
        model=_model(),
        threads=threads,
        tool_threads=tool_threads,
        instructions=RESEARCHER if researcher else ASSISTANT,
        tools=_tools() if researcher else (),
        library_tools=_library_tools() if researcher else (),
        text_protocol=bool(settings.LLM_BASE_URL)
        and settings.LLM_TOOL_PROTOCOL == "nous",
        max_input_tokens=_context(),
        tool_timeout=settings.TOOL_TIMEOUT,
        mcp_timeout=settings.MCP_TIMEOUT,
    )


def _context() -> int:
    """Tokens that the model takes in."""
    wanted: int = settings.LLM_MAX_INPUT_TOKENS
    if settings.LLM_BASE_URL:
        return wanted
    return min(wanted, NAMED_CONTEXT if settings.BUILTIN_MODEL_PATH else CONTEXT)


@cache
def _model() -> ChatModel:
    if not settings.LLM_BASE_URL:
        path = settings.BUILTIN_MODEL_PATH
        return BuiltinModel(ModelProcess(Path(path) if path else None), _tools())
    return ChatServer(
        ServerConfig(
            base_url=settings.LLM_BASE_URL,
            model=settings.LLM_MODEL,
            api_key=settings.LLM_API_KEY,
            first_chunk_timeout=settings.LLM_FIRST_CHUNK_TIMEOUT,
            chunk_timeout=settings.LLM_CHUNK_TIMEOUT,
            options=settings.LLM_OPTIONS,
        )
    )


@cache
def _tools() -> tuple[Tool, ...]:
    """The tools that ship, and those the settings name by dotted path."""
    extra = map(_extra_tool, settings.EXTRA_TOOLS)
    return (Calculator(), CurrentTime(), *(t for t in extra if isinstance(t, Tool)))


def _library_tools() -> list[Any]:
    """What is given to the library as it is, tools made for it among them."""
    extra = map(_extra_tool, settings.EXTRA_TOOLS)
    return [*settings.LIBRARY_TOOLS, *(t for t in extra if not isinstance(t, Tool))]


def _extra_tool(path: str) -> Any:
    """One of our tools, or of those made for Qwen-Agent. Raises what goes wrong."""
    module, _, name = path.rpartition(".")
    tool = getattr(import_module(module), name)()
    if not isinstance(tool, Tool) and not callable(getattr(tool, "call", None)):
        raise TypeError("it is no tool: it has no method call")
    return tool


def _is_mcp(tool: Any) -> bool:
    match tool:
        case {"mcpServers": dict(servers)}:
            return all(isinstance(server, dict) for server in servers.values())
        case _:
            return False


@cache
def _threads(size: int) -> tuple[ThreadPool, ThreadPool]:
    return ThreadPool(size, "agent"), ThreadPool(2 * size, "tool")
