"""Agents whose decisions are Qwen-Agent's.

`agent.py` is the agent as the site sees it; `library.py` is the only importer of the
library, and is itself imported only in a thread, since that takes seconds.
"""

from __future__ import annotations

from chat.agents.qwen.agent import QwenAgent

__all__ = ["QwenAgent"]
