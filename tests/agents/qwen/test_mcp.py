"""MCP servers: their tools are called; whatever is wrong with one is said in time."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chat.agents.model.client import ChatServer, ServerConfig
from chat.agents.qwen import QwenAgent
from chat.agents.qwen.threads import ThreadPool
from tests.agents.fold import Told, listen
from tests.model_server import ModelServer
from tests.servers import ROOT, children, wait_until

SERVER = [str(Path(__file__).with_name("mcp_server.py"))]
THREADS = ThreadPool(2, "agent")
TOOL_THREADS = ThreadPool(2, "tool")


@pytest.fixture
async def model(model_server: ModelServer) -> AsyncIterator[ChatServer]:
    server = ChatServer(ServerConfig(model_server.base_url, "hello"))
    yield server
    await server.close()


def an_agent(model: ChatServer, **config: Any) -> QwenAgent:
    """An agent with one MCP server, `loud`."""
    servers = {"mcpServers": {"loud": {"command": sys.executable, **config}}}
    return QwenAgent(
        "loud",
        "",
        model=model,
        threads=THREADS,
        tool_threads=TOOL_THREADS,
        library_tools=[servers],
        tool_timeout=30.0,
    )


async def call(agent: QwenAgent, model_server: ModelServer, tool: str) -> Told:
    """What the agent says where the model calls this tool and then answers."""
    arguments = {"text": "grüße"}
    rounds = [
        {"actions": [{"call": {"name": f"loud-{tool}", "arguments": arguments}}]},
        {"actions": [{"text": "It said {result}"}]},
    ]
    name = model_server.add(f"mcp-{tool}", {"rounds": rounds})
    return await listen(agent.run_with_reasoning_stream(f"[scenario {name}]", []))


async def test_tools_of_a_server_are_called_and_one_that_dies_is_said(
    model: ChatServer, model_server: ModelServer
) -> None:
    agent = an_agent(model, args=SERVER)
    told = await call(agent, model_server, "shout")
    assert told.of("tool_result") == ["GRÜSSE!"]
    assert told.answer == "It said GRÜSSE!"
    (asked, _) = model_server.requests()[-2:]
    names = [tool["function"]["name"] for tool in asked["request"]["tools"]]
    assert names == ["loud-shout", "loud-die", "loud-hang"]

    for broken, limit in (("hang", 1.0), ("die", 30.0)):
        agent.tool_timeout = limit
        told = await call(agent, model_server, broken)
        (result,) = (part for part in told.parts if part.type == "tool_result")
        assert result.status == "error"
        assert "loud" in result.content
    # It is started again for the next call.
    assert (await call(agent, model_server, "shout")).of("tool_result") == ["GRÜSSE!"]


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"command": "no-such-command", "args": []}, "no command 'no-such-command'"),
        ({"args": "no list"}, "not valid"),
        ({"args": ["-c", "raise SystemExit(1)"]}, "cannot be used"),
    ],
)
async def test_a_server_that_cannot_be_started_fails_the_run_with_its_name(
    model: ChatServer, config: dict[str, Any], word: str
) -> None:
    agent = an_agent(model, **config)
    began = time.monotonic()
    told = await listen(agent.run_with_reasoning_stream("Hi", []))
    assert told.end is not None
    assert told.end.error is not None
    assert "“loud”" in told.end.error.message
    assert word in told.end.error.message
    assert time.monotonic() - began < 20


def test_no_server_outlives_the_site_though_it_hangs_and_the_site_is_killed() -> None:
    # As npx does, which is not the server itself. It ends on no SIGTERM.
    hanging = shlex.join([sys.executable, *SERVER, "hang"])
    shell = {"command": "sh", "args": ["-c", f"trap '' TERM; {hanging}; true"]}
    connecting = (
        "from chat.agents.qwen.mcp import connect;"
        f" connect({{'loud': {json.dumps(shell)}}})"
    )
    site = subprocess.Popen([sys.executable, "-c", connecting], cwd=ROOT)
    started = [site.pid]

    def has_child() -> list[int]:
        return children(started[-1])

    for what in ("the tether", "npx", "the server"):
        wait_until(has_child, what, 20)
        started += has_child()
    site.kill()
    site.wait()
    wait_until(lambda: not any(map(is_alive, started)), "all are dead", 10)


def is_alive(pid: int) -> bool:
    """Whether the process is there, and more than what nobody has waited for yet."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_server_that_hangs_at_its_start_is_not_waited_for_without_end(
    model: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chat.agents.qwen import library, mcp  # noqa: PLC0415 - imports the library

    monkeypatch.setattr(library, "connect", lambda servers: mcp.connect(servers, 0.5))
    agent = an_agent(model, args=[*SERVER, "hang"])
    told = await listen(agent.run_with_reasoning_stream("Hi", []))
    assert told.end is not None
    assert told.end.error is not None
    assert "“loud” did not answer within 0.5 seconds" in told.end.error.message
    assert json.dumps(told.end.error.message)
