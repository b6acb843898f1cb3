"""Every example of docs/agents.md is an agent that works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chat.agents.hosted import load
from chat.agents.qwen.hosting import Hosting
from chat.agents.qwen.threads import ThreadPool
from tests.agents.fold import listen

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agents.md").read_text("utf-8")
HOSTING = Hosting(ThreadPool(2, "agent"), ThreadPool(2, "tool"))
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
async def test_an_example_of_the_page_answers(example: str, tmp_path: Path) -> None:
    file = tmp_path / "agents.py"
    file.write_text(example)
    for agent in load(str(file), HOSTING).agents:
        told = await listen(agent.run_with_reasoning_stream("Hi", []))
        assert told.answer
        assert agent.description


def test_the_page_has_examples() -> None:
    assert EXAMPLES
