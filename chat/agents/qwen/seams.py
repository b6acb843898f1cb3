"""The places where Qwen-Agent's own classes are listened to, all of them.

Classes are hooked, not instances: agents that are made during a run take part. Outside
of a run each hook does what the library does. Prompts and the reading of answers stay
the library's: of a model that speaks OpenAI's protocol only the asking is replaced.
What is touched here is private to the library, and is checked against the version it
was written for.
"""

from __future__ import annotations

import builtins
import inspect
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any, Final

from msgspec import Struct
from qwen_agent import Agent
from qwen_agent.agents import (
    Assistant,
    DialogueSimulator,
    FnCallAgent,
    GroupChat,
    GroupChatCreator,
    ReActChat,
    TIRMathAgent,
    fncall_agent,
)
from qwen_agent.agents.group_chat_auto_router import GroupChatAutoRouter
from qwen_agent.agents.memo_assistant import MemoAssistant
from qwen_agent.agents.user_agent import UserAgent
from qwen_agent.llm import ModelServiceError
from qwen_agent.llm.base import BaseChatModel
from qwen_agent.llm.fncall_prompts.qwen_fncall_prompt import (
    FN_NAME,
    QwenFnCallPrompt,
)
from qwen_agent.llm.function_calling import BaseFnCallModel
from qwen_agent.llm.oai import TextChatAtOAI
from qwen_agent.llm.schema import Message
from qwen_agent.log import logger as library_logger
from qwen_agent.memory import Memory
from qwen_agent.tools.retrieval import Retrieval

from chat.agents.base import AgentError
from chat.agents.model.client import ChatRequest, ChatServer, ServerConfig
from chat.agents.qwen import equipment
from chat.agents.qwen.equipment import has_files, name_of, without_folders
from chat.agents.qwen.history import as_openai
from chat.agents.qwen.inside import Inside
from chat.agents.qwen.library import UNBOUNDED, messages_of
from chat.agents.qwen.scopes import Role, RunOver, Scope
from chat.agents.qwen.speech import Said
from chat.agents.tools.errors import kind_and_message

VERSION: Final = "0.0.34"
WORKSPACE: Final = "DEFAULT_WORKSPACE"
CHOICE: Final = "Please enter the selected agent name: "  # of a group, by hand
WHO: Final = "Say who is to speak, with @ and the name."
KEYGEN: Final = "qwen_agent.agents.keygen_strategies"
# What the library's client takes that is not of the request's body.
NOT_SENT: Final = frozenset(
    {"extra_headers", "extra_query", "http_client", "organization", "project"}
)

LOOPS: Final = (FnCallAgent._run, Assistant._run, MemoAssistant._run)  # noqa: SLF001

current: ContextVar[Inside | None] = ContextVar("current", default=None)
_offered: ContextVar[list[dict[str, Any]]] = ContextVar("offered")
_servers: dict[tuple[Any, ...], ChatServer] = {}  # by what they are asked with
_lock = threading.Lock()

_run = Agent.run
_call_tool = Agent._call_tool  # noqa: SLF001 - this file is for that
_init_tool = Agent._init_tool  # noqa: SLF001
_chat = BaseChatModel.chat
_chat_stream = TextChatAtOAI._chat_stream  # noqa: SLF001
_chat_no_stream = TextChatAtOAI._chat_no_stream  # noqa: SLF001
_chat_with_functions = BaseFnCallModel._chat_with_functions  # noqa: SLF001
_retrieve = Retrieval.call
_call_any_tool = FnCallAgent._call_tool  # noqa: SLF001
_input = builtins.input


class Limits(Struct, frozen=True):
    """Seconds that others may be silent."""

    first_chunk: float = 60.0  # until a model's first word
    chunk: float = 60.0  # between two
    tool_servers: float = 30.0  # until an MCP server must have told its tools


_limits = Limits()


class WrongVersionError(Exception):
    """The library that is installed is not the one that this was written for."""


def install(limits: Limits) -> None:
    """Listen from now on. Raises WrongVersionError."""
    global _limits  # noqa: PLW0603 - the library's classes are global too
    if (found := version("qwen-agent")) != VERSION:
        raise WrongVersionError(f"Qwen-Agent is {found}; this site needs {VERSION}.")
    _limits = limits
    _set_workspace()
    # It says on standard error what the root logger says, and what people have asked.
    library_logger.handlers.clear()
    library_logger.setLevel(logging.WARNING)
    fncall_agent.MAX_LLM_CALL_PER_RUN = UNBOUNDED  # the run counts
    Agent.run = run
    Agent._call_tool = call_tool  # noqa: SLF001
    Agent._init_tool = init_tool  # noqa: SLF001
    BaseChatModel.chat = chat
    TextChatAtOAI._chat_stream = chat_stream  # noqa: SLF001
    TextChatAtOAI._chat_no_stream = chat_no_stream  # noqa: SLF001
    BaseFnCallModel._chat_with_functions = chat_with_functions  # noqa: SLF001
    Retrieval.call = retrieve
    builtins.input = ask_person
    FnCallAgent._call_tool = call_any_tool  # noqa: SLF001


def _set_workspace() -> None:
    """Have the library's tools write where it is said, though it was imported before.

    Each of its modules has a copy of the name.
    """
    workspace = os.environ.get("QWEN_AGENT_DEFAULT_WORKSPACE")
    for name, module in tuple(sys.modules.items()):
        if workspace and name.startswith("qwen_agent.") and hasattr(module, WORKSPACE):
            setattr(module, WORKSPACE, workspace)


async def close() -> None:
    """Close the connections to all models."""
    with _lock:
        servers = [*_servers.values()]
        _servers.clear()
    for server in servers:
        await server.close()


# ---------------------------------------------------------------- agents


def run(self: Any, messages: list[Any], **kwargs: Any) -> Iterator[list[Any]]:
    """`Agent.run`: what is said meanwhile is said by this agent."""
    outer = current.get()
    try:
        equipment.equip(self)
    except AgentError as error:
        if outer is None:
            raise
        raise RunOver(error) from error  # whatever the one that asked it catches
    stream: Iterator[list[Any]] = _run(self, messages, **kwargs)
    if outer is None:
        return stream
    return _followed(Inside(outer.run, _enter(outer.scope, self)), stream)


def _followed(here: Inside, stream: Iterator[list[Any]]) -> Iterator[list[Any]]:
    last: list[Any] = []
    end = object()
    while True:
        token = current.set(here)
        try:
            item: Any = next(stream, end)
        finally:
            current.reset(token)
        if item is end:
            break
        last = item or last
        here.returned(last)
        yield item
    here.left(last)


def _enter(outer: Scope, agent: Any) -> Scope:
    is_react = isinstance(agent, ReActChat)
    is_opaque = is_react or isinstance(agent, TIRMathAgent)
    role = _role(outer, agent)
    is_first = outer.outer is None
    label = "" if is_first else outer.label if role == "helper" else name_of(agent)
    scope = Scope(agent, outer=outer, label=label, role=role, is_react=is_react)
    above: Scope | None = scope
    while is_opaque and above is not None:
        above.is_opaque = True  # what it returns has the form, too
        above = above.outer
    return scope


def _role(outer: Scope, agent: Any) -> Role:
    if isinstance(agent, Memory) or type(agent).__module__.startswith(KEYGEN):
        return "helper"
    if isinstance(agent, GroupChatAutoRouter):
        return "host"
    if isinstance(outer.agent, GroupChat | DialogueSimulator):
        return "speaker"
    return "inside"


def goes_on(agent: Any) -> bool:
    """Whether it goes on from what was done where that is among its messages.

    The library's own loop of calls does, also in the middle of an answer. What others
    did is replayed to them.
    """
    return type(agent)._run in LOOPS and not has_files(agent)  # noqa: SLF001


def with_names(
    agent: Any, messages: list[dict[str, Any]], user_name: str = ""
) -> list[dict[str, Any]]:
    """The messages as this agent remembers who said them; `user_name` is for groups."""
    user = user_name if isinstance(agent, GroupChat) else ""
    people = [each for each in getattr(agent, "agents", ()) if _is_person(each)]
    if isinstance(agent, GroupChat) and len(people) == 1:
        user = name_of(people[0])
    simulated = ""
    if isinstance(agent, DialogueSimulator):
        simulated = name_of(agent.user_agent)
    for message in messages:
        if message["role"] == "user" and user:
            message["name"] = user
        if message["role"] == "assistant" and not message.get("name") and agent.name:
            message["name"] = agent.name
        if simulated and message.get("name") == simulated:
            message["role"] = "user"
        if isinstance(agent, GroupChat) and message["role"] == "assistant":
            message.setdefault("name", name_of(agent))
    if isinstance(agent, GroupChatCreator):
        return [part for each in messages for part in _in_roles(agent, each)]
    return messages


def is_remembered_whole(agent: Any) -> bool:
    """Whether it reads, of earlier turns, what its model wrote, not what it said."""
    return isinstance(agent, GroupChatCreator)


def _in_roles(creator: Any, message: dict[str, Any]) -> list[dict[str, Any]]:
    """What a creator's model wrote, as it is kept there: a message for each role."""
    if message["role"] != "assistant":
        return [message]
    parts = creator._postprocess_messages([Message(**message)])  # noqa: SLF001
    return [part.model_dump() for part in parts]


def _is_person(agent: Any) -> bool:
    return isinstance(agent, UserAgent)


def ask_person(question: object = "") -> str:
    """`input()`: in a run the person is at the page, not at the terminal."""
    here = current.get()
    if here is not None:
        is_choice = str(question) == CHOICE
        here.hand_over(WHO if is_choice else str(question))
    return _input(question)


# ---------------------------------------------------------------- tools


def call_tool(
    self: Any, tool_name: str, tool_args: str | dict[str, Any] = "{}", **kwargs: Any
) -> Any:
    """`Agent._call_tool`: the call is shown, limited in time, and its error cleaned."""
    here = current.get()
    if here is None:
        return _call_tool(self, tool_name, tool_args, **kwargs)
    tool = self.function_map.get(tool_name)
    return here.call_tool(tool_name, tool_args, tool, kwargs)


def call_any_tool(
    self: Any, tool_name: str, tool_args: str | dict[str, Any] = "{}", **kwargs: Any
) -> Any:
    """`FnCallAgent._call_tool`: a call of a tool that it has not got is shown too."""
    if current.get() is None or tool_name in self.function_map:
        return _call_any_tool(self, tool_name, tool_args, **kwargs)
    return call_tool(self, tool_name, tool_args)


def retrieve(self: Any, params: Any, **kwargs: Any) -> Any:
    """`Retrieval.call`: what an agent's memory looks up by itself is shown too."""
    here = current.get()
    if here is None or here.scope.call is not None:
        return _retrieve(self, params, **kwargs)
    found = here.call_tool("retrieval", params, self, kwargs, without_folders)
    if isinstance(found, str) and found.startswith("Error: "):
        raise AgentError("tool_failed", found.removeprefix("Error: "), retryable=True)
    return found


def init_tool(self: Any, tool: Any) -> None:
    """`Agent._init_tool`: an agent that lacks a tool is out of order, not the file.

    MCP servers are started later, by `begin`, or by the agent's first run.
    """
    if isinstance(tool, dict) and "mcpServers" in tool:
        equipment.add_servers(self, tool["mcpServers"], _limits.tool_servers)
        return
    try:
        _init_tool(self, tool)
    except Exception as error:
        if current.get() is not None:
            raise
        is_ours = isinstance(error, AgentError)
        equipment.lack(self, str(error) if is_ours else kind_and_message(error))


# ---------------------------------------------------------------- models


def chat_with_functions(
    self: Any, messages: Any, functions: list[dict[str, Any]], *args: Any, **named: Any
) -> Any:
    """`_chat_with_functions`: these tools stand in the prompt."""
    token = _offered.set(functions)
    try:
        return _chat_with_functions(self, messages, functions, *args, **named)
    finally:
        _offered.reset(token)


def chat_stream(
    self: Any,
    messages: list[Any],
    delta_stream: bool,  # noqa: FBT001 - the library's signature
    generate_cfg: dict[str, Any],
) -> Iterator[list[Message]]:
    """`_chat_stream` of models that speak OpenAI's protocol: a round, by our client."""
    here = current.get()
    if here is None or _address(self, generate_cfg) is None:
        return _chat_stream(self, messages, delta_stream, generate_cfg)  # type: ignore[no-any-return]
    functions = _offered.get([])
    return _round(here, self, messages, generate_cfg, functions)


def _round(
    here: Inside,
    llm: Any,
    messages: list[Any],
    generate_cfg: dict[str, Any],
    functions: list[dict[str, Any]],
) -> Iterator[list[Message]]:
    yield _asked(here, llm, messages, generate_cfg, functions)


def chat_no_stream(
    self: Any, messages: list[Any], generate_cfg: dict[str, Any]
) -> list[Message]:
    """`_chat_no_stream`: the same round."""
    here = current.get()
    if here is None or _address(self, generate_cfg) is None:
        return _chat_no_stream(self, messages, generate_cfg)  # type: ignore[no-any-return]
    return _asked(here, self, messages, generate_cfg, _offered.get([]))


def _asked(
    here: Inside,
    llm: Any,
    messages: list[Any],
    generate_cfg: dict[str, Any],
    functions: list[dict[str, Any]],
) -> list[Message]:
    options = dict(generate_cfg)
    options |= options.pop("extra_body", None) or {}
    tools = options.pop("tools", None) or ()
    timeout = options.pop("request_timeout", None) or options.pop("timeout", None)
    server = _server(llm, generate_cfg, timeout)
    if tools:  # the library's own turn of these into OpenAI's form loses the calls' ids
        asked = as_openai(message.model_dump() for message in messages)
    else:
        asked = [_sent(each) for each in llm.convert_messages_to_dicts(messages)]
    request = ChatRequest(asked, tools, options, thinking=here.run.thinking)
    in_text = {each["name"]: each.get("parameters") or {} for each in functions}
    try:
        said = here.ask(server, request, in_text, _sign(llm) if functions else "")
    except AgentError as error:
        raise ModelServiceError(exception=error) from error
    return messages_of(said.meant) if tools else _messages(said)


def _sent(message: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is the library's own."""
    return {key: value for key, value in message.items() if key not in {"extra"}}


def _messages(said: Said) -> list[Message]:
    messages = []
    if thought := said.meant.reasoning_text:
        messages.append(Message("assistant", "", reasoning_content=thought, extra={}))
    if said.text:
        messages.append(Message("assistant", said.text, extra={}))
    return messages or [Message("assistant", "", extra={})]


def _sign(llm: Any) -> str:
    """By which calls begin, in a form that the library alone reads."""
    is_old = isinstance(getattr(llm, "fncall_prompt", None), QwenFnCallPrompt)
    return FN_NAME if is_old else ""


def _address(llm: Any, generate_cfg: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where the model is and with which key; None: only the library knows."""
    if NOT_SENT & generate_cfg.keys():
        return None
    found = inspect.getclosurevars(llm._chat_complete_create).nonlocals  # noqa: SLF001
    kwargs = found.get("api_kwargs")
    if kwargs is None or not kwargs.keys() <= {"base_url", "api_key"}:
        return None
    return dict(kwargs)


def _server(llm: Any, generate_cfg: Mapping[str, Any], timeout: Any) -> ChatServer:
    address = _address(llm, generate_cfg) or {}
    limit = float(timeout) if isinstance(timeout, int | float) else _limits.first_chunk
    default = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    key = address.get("api_key", "")
    config = ServerConfig(
        address.get("base_url") or default,
        llm.model,
        "" if key == "EMPTY" else key,
        first_chunk_timeout=limit,
        chunk_timeout=_limits.chunk,
    )
    with _lock:
        place = (config.base_url, config.model, config.api_key, limit)
        server = _servers.get(place)
        if server is None:
            server = _servers[place] = ChatServer(config)
        return server


def chat(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
    """`BaseChatModel.chat`: models of other kinds are told of by their snapshots."""
    here = current.get()
    if here is None or _is_ours(self) or kwargs.get("delta_stream"):
        return _chat(self, messages, *args, **kwargs)
    recorded = here.recorded_round()
    if recorded is not None:
        again = messages_of(recorded)
        return again if kwargs.get("stream") is False else iter([again])
    said = _chat(self, messages, *args, **kwargs)
    if isinstance(said, list):
        here.tell(here.run.snapshots(here.scope), said)
        here.run.ask(here.run.end_of_snapshots)
        return said
    return _told(here, said)


def _told(here: Inside, said: Iterator[list[Any]]) -> Iterator[list[Any]]:
    snapshots = here.run.snapshots(here.scope)
    for messages in said:
        here.tell(snapshots, messages)
        yield messages
    here.run.ask(here.run.end_of_snapshots)


def _is_ours(llm: Any) -> bool:
    return (
        isinstance(llm, TextChatAtOAI)
        and type(llm)._chat_stream is chat_stream  # noqa: SLF001
        and _address(llm, llm.generate_cfg) is not None
    )
