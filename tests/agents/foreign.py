"""A tool as people make them for Qwen-Agent. Importing it imports the library."""

from __future__ import annotations

from typing import Any

import json5
from qwen_agent.tools.base import BaseTool


class Teleport(BaseTool):  # type: ignore[misc]  # the library has no types
    """Reads its arguments as the library's contract says: from JSON text."""

    name = "teleport"
    description = "Goes anywhere."
    parameters = {  # noqa: RUF012 - as in the library's own examples
        "type": "object",
        "properties": {"to": {"type": "string"}},
        "required": ["to"],
    }

    def call(self, params: str, **_: Any) -> str:
        """Say where it went."""
        return f"Arrived on {json5.loads(params)['to']}."
