"""Agents whose decisions are Qwen-Agent's.

`agent.py` is the agent as the site sees it; `library.py` is the only importer of the
library, and is itself imported only in a thread, since that takes seconds.
"""

from __future__ import annotations

from chat.agents.qwen.agent import QwenAgent

__all__ = ["QwenAgent", "library_tool_names"]


def library_tool_names() -> set[str]:
    """The names of the tools that ship with Qwen-Agent. Imports it: takes seconds."""
    from chat.agents.qwen.library import tool_names  # noqa: PLC0415

    return tool_names()
