"""The agents that a file or a module names: `AGENTS=agents.py`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from msgspec import Struct, structs

from chat.agents.base import BaseAgent
from chat.agents.chatbot_config import ChatbotConfig, read_config
from chat.agents.plain import PlainAgent
from chat.agents.qwen import hosting as qwen
from chat.agents.qwen.hosting import Hosting

MODULE: Final = "site_agents"  # what a file is imported as
MAX_NAME: Final = 64  # characters that a row can hold


class AgentsError(Exception):
    """The file or module has no agents that can be used; says what is the matter."""


class Own(Struct, frozen=True):
    """Agents of one's own, and what the page says around them."""

    agents: list[BaseAgent]
    config: ChatbotConfig = ChatbotConfig()


def load(source: str, hosting: Hosting) -> Own:
    """The agents of `source`, a path that ends in `.py` or a dotted module.

    They are the list `agents` there, or else all its public functions that yield and
    agents of Qwen-Agent, in the order they stand there. A dictionary `chatbot_config`
    there is as for Qwen-Agent's WebUI. Raises AgentsError.
    """
    if _mentions_qwen_agent(source):
        qwen.install(hosting)
    module = _import(source)
    if "qwen_agent" in sys.modules and not qwen.is_installed():
        qwen.install(hosting)
    named = getattr(module, "agents", None)
    found = _functions(module) if named is None else named
    return gather(found, getattr(module, "chatbot_config", None), source, hosting)


def gather(found: Any, config: Any, source: str, hosting: Hosting) -> Own:
    """These agents, from `source`, as the site runs them. Raises AgentsError."""
    if not isinstance(found, Iterable):
        raise AgentsError(f"{source}: `agents` is not a list.")
    try:
        words = read_config(config or {})
    except (AttributeError, ValueError) as error:
        raise AgentsError(f"{source}: chatbot_config: {error}.") from error
    hosting = structs.replace(hosting, user_name=words.user_name)
    agents = [_agent(each, source, hosting) for each in found]
    if not agents:
        raise AgentsError(f"{source} has no agents: no function that yields is in it.")
    names = [agent.name for agent in agents]
    if twice := {name for name in names if names.count(name) > 1}:
        raise AgentsError(f"{source} has two agents of the name {min(twice)}.")
    return Own(agents, words)


def _mentions_qwen_agent(source: str) -> bool:
    """Whether it has to be listened to from the beginning: it may start servers."""
    if source.endswith(".py"):
        path = Path(source).expanduser()
        return path.is_file() and b"qwen_agent" in path.read_bytes()
    try:
        spec = importlib.util.find_spec(source)
    except (ImportError, ValueError):
        return False  # which is said when it is imported
    if spec is None or spec.origin is None:
        return False
    path = Path(spec.origin)
    return path.suffix == ".py" and b"qwen_agent" in path.read_bytes()


def _import(source: str) -> ModuleType:
    is_file = source.endswith(".py")
    path = Path(source).expanduser().resolve()
    if is_file and not path.is_file():
        raise AgentsError(f"There is no file {source}.")
    try:
        return _from_file(path) if is_file else importlib.import_module(source)
    except Exception as error:
        raise AgentsError(
            f"{source} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None  # noqa: S101 - a file that ends in .py has a loader
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    # What lies beside the file can be imported, not in place of what is installed:
    # `agents` is the OpenAI Agents SDK, also in a file that is called agents.py.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec.loader.exec_module(module)
    return module


def _functions(module: ModuleType) -> list[Callable[..., Any]]:
    return [
        each
        for name, each in vars(module).items()
        if not name.startswith("_")
        and (
            qwen.is_agent(each)
            or (
                (inspect.isasyncgenfunction(each) or inspect.isgeneratorfunction(each))
                and each.__module__ == module.__name__
            )
        )
    ]


def _agent(each: Any, source: str, hosting: Hosting) -> BaseAgent:
    if hasattr(each, "run_with_reasoning_stream"):
        agent: BaseAgent = each
        return agent
    if qwen.is_agent(each):
        return qwen.host(each, hosting)
    if not inspect.isfunction(each) and not inspect.ismethod(each):
        kind = type(each).__name__
        raise AgentsError(f"{source}: an agent cannot be of the type {kind}.")
    takes = len(inspect.signature(each).parameters)
    if takes == 0 and qwen.is_installed():
        return qwen.host(each, hosting)
    if takes not in {2, 3}:
        raise AgentsError(
            f"{source}: {each.__name__} takes {takes} arguments. An agent takes the "
            "prompt and the history, and maybe what was done."
        )
    name = each.__name__[:MAX_NAME]
    description = (inspect.getdoc(each) or "").partition("\n")[0]
    return PlainAgent(name, description, each)
