"""Agents of other frameworks, as functions that a file named by `AGENTS` can list.

Each module is for one of them, and is imported by whoever uses it; nothing here needs
a framework that is not.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from typing import TypeAlias

from reasoning_site.agents import Said

History: TypeAlias = list[dict[str, str]]
AgentFunction: TypeAlias = Callable[[str, History], AsyncGenerator[Said]]


def shown_as(name: str, description: object, run: AgentFunction) -> AgentFunction:
    """`run`, shown under this name, with the first line of the description."""
    run.__name__ = name
    text = inspect.cleandoc(description) if isinstance(description, str) else ""
    run.__doc__ = text.partition("\n")[0]
    return run
