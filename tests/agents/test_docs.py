"""Every example of docs/agents.md is an agent that works."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Final

import pytest

from chat.agents.hosted import load
from chat.agents.qwen.hosting import Hosting
from chat.agents.qwen.threads import ThreadPool
from tests.agents.adapters.test_ag_ui import FINISHED, STARTED, AgentServer, text
from tests.agents.fold import Told
from tests.agents.test_plain import Folded
from tests.model_server import ModelServer

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "agents.md").read_text("utf-8")
EXAMPLES: Final = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PLAIN: Final = [each for each in EXAMPLES if ".adapters." not in each]
FAR: Final = [each for each in EXAMPLES if ".adapters.ag_ui" in each]
OTHERS: Final = [each for each in EXAMPLES if each not in [*PLAIN, *FAR]]


async def answers(example: str, folder: Path) -> list[str]:
    """What the example's agents answer; they must say what they are for."""
    file = folder / "agents.py"
    file.write_text(example)
    found = []
    for agent in load(
        str(file), Hosting(ThreadPool(2, "agent"), ThreadPool(2, "tool"))
    ).agents:
        assert agent.description
        folded = Folded()
        async for event in agent.run_with_reasoning_stream("Hi", []):
            folded.take(event)
        assert folded.end is not None
        assert folded.end.error is None
        found.append(Told(folded.parts).answer)
    return found


@pytest.mark.parametrize("example", PLAIN)
async def test_an_example_of_the_page_answers(example: str, tmp_path: Path) -> None:
    assert all(await answers(example, tmp_path))


async def test_the_example_of_a_far_agent_answers(tmp_path: Path) -> None:
    (example,) = FAR
    async with AgentServer(STARTED, *text("t", "Hello."), FINISHED).serving() as url:
        there = example.replace("http://localhost:9000/agent", url)
        assert await answers(there, tmp_path) == ["Hello."]


async def test_the_examples_of_other_frameworks_answer(
    model_server: ModelServer, tmp_path: Path
) -> None:
    """In a process of their own: nobody closes their connections."""
    program = "import sys; from tests.agents import test_docs; test_docs.print_others()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "OPENAI_BASE_URL": model_server.base_url,
            "OPENAI_API_KEY": "key",
            "FOLDER": str(tmp_path),
        },
    )
    out, _ = await process.communicate()
    assert json.loads(out) == [["Hello! You said: Hi"]] * 3


def print_others() -> None:
    """What the examples of frameworks answer, as JSON."""
    folder = Path(os.environ["FOLDER"])

    async def all_of_them() -> list[list[str]]:
        return [await answers(each, folder) for each in OTHERS]

    sys.stdout.write(json.dumps(asyncio.run(all_of_them())))
