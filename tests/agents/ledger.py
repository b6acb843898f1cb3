"""A tool that must not be called twice: it writes a line to a file.

Enabled in tests by EXTRA_TOOLS=tests.agents.ledger.Ledger, with LEDGER_FILE naming
the file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Ledger:
    """Appends a line to the ledger."""

    name = "ledger"
    description = "Write a line into the ledger."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"line": {"type": "string", "description": "The line."}},
        "required": ["line"],
    }
    repeatable = False
    time_limit: float | None = None

    def call(self, arguments: dict[str, Any]) -> str:
        """Append `line` to the file; the number of its lines."""
        file = Path(os.environ["LEDGER_FILE"])
        with file.open("a", encoding="utf-8") as ledger:
            ledger.write(f"{arguments['line']}\n")
        return f"{len(file.read_text(encoding='utf-8').splitlines())} lines"


class SlowLedger(Ledger):
    """Appends a line, and then does not come to an end: the server can be killed."""

    async def call(self, arguments: dict[str, Any]) -> str:  # type: ignore[override]
        """Append `line` to the file, and wait for ever."""
        super().call(arguments)
        await asyncio.Event().wait()
        raise AssertionError
