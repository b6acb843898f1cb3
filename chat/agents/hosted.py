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

from chat.agents.base import BaseAgent
from chat.agents.plain import PlainAgent

MODULE: Final = "site_agents"  # what a file is imported as
MAX_NAME: Final = 64  # characters that a row can hold


class AgentsError(Exception):
    """The file or module has no agents that can be used; says what is the matter."""


def load(source: str) -> list[BaseAgent]:
    """The agents of `source`, a path that ends in `.py` or a dotted module.

    They are the list `agents` there, or else all its public functions that yield, in
    the order they stand there. Raises AgentsError.
    """
    module = _import(source)
    named = getattr(module, "agents", None)
    found = _functions(module) if named is None else named
    if not isinstance(found, Iterable):
        raise AgentsError(f"{source}: `agents` is not a list.")
    agents = [_agent(each, source) for each in found]
    if not agents:
        raise AgentsError(f"{source} has no agents: no function that yields is in it.")
    names = [agent.name for agent in agents]
    if twice := {name for name in names if names.count(name) > 1}:
        raise AgentsError(f"{source} has two agents of the name {min(twice)}.")
    return agents


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
    # What lies beside the file can be imported by it.
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module


def _functions(module: ModuleType) -> list[Callable[..., Any]]:
    return [
        each
        for name, each in vars(module).items()
        if not name.startswith("_")
        and (inspect.isasyncgenfunction(each) or inspect.isgeneratorfunction(each))
        and each.__module__ == module.__name__
    ]


def _agent(each: Any, source: str) -> BaseAgent:
    if hasattr(each, "run_with_reasoning_stream"):
        agent: BaseAgent = each
        return agent
    if not inspect.isfunction(each) and not inspect.ismethod(each):
        kind = type(each).__name__
        raise AgentsError(f"{source}: an agent cannot be of the type {kind}.")
    takes = len(inspect.signature(each).parameters)
    if takes not in {2, 3}:
        raise AgentsError(
            f"{source}: {each.__name__} takes {takes} arguments. An agent takes the "
            "prompt and the history, and maybe what was done."
        )
    name = each.__name__[:MAX_NAME]
    description = (inspect.getdoc(each) or "").partition("\n")[0]
    return PlainAgent(name, description, each)
