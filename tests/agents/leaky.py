"""A tool that gives away all it can: what the process knows, and what it is told.

Enabled in tests by EXTRA_TOOLS=tests.agents.leaky.Leaky.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from chat.agents.tools.base import ToolError


class Leaky:
    """Prints the environment; or fails with it."""

    name = "leaky"
    description = "Print the environment."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"how": {"type": "string"}, "key": {"type": "string"}},
        "required": ["how"],
    }
    repeatable = True
    time_limit: float | None = None

    def call(self, arguments: dict[str, Any]) -> str:
        """The environment and the arguments; `how` is "told", "refused" or "broken"."""
        text = json.dumps({**os.environ, **arguments})
        match arguments["how"]:
            case "refused":
                raise ToolError(text)
            case "broken":
                raise RuntimeError(text)
            case _:
                return text
