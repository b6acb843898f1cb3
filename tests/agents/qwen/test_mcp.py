"""MCP servers: their tools are called; whatever is wrong with one is said in time."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from chat.agents.hosted import load
from chat.agents.model.client import ChatServer, ServerConfig
from chat.agents.qwen import QwenAgent, hosting
from chat.agents.qwen.hosting import Hosting
from chat.agents.qwen.threads import ThreadPool
from tests.agents.fold import Told, listen
from tests.model_server import ModelServer, eventually
from tests.servers import ROOT, children, wait_until

SERVER = [str(Path(__file__).with_name("mcp_server.py"))]
THREADS = ThreadPool(2, "agent")
TOOL_THREADS = ThreadPool(2, "tool")


@pytest.fixture
async def model(model_server: ModelServer) -> AsyncIterator[ChatServer]:
    server = ChatServer(ServerConfig(model_server.base_url, "hello"))
    yield server
    await server.close()


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await hosting.close()


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


async def call(agent: Any, model_server: ModelServer, tool: str) -> Told:
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

    told = await call(agent, model_server, "die")
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
        "from chat.agents.qwen.mcp import ToolServers;"
        f" ToolServers({{'loud': {json.dumps(shell)}}}, 60).tools()"
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
    model: ChatServer,
) -> None:
    agent = an_agent(model, args=[*SERVER, "hang"])
    agent.mcp_timeout = 0.5
    told = await listen(agent.run_with_reasoning_stream("Hi", []))
    assert told.end is not None
    assert told.end.error is not None
    assert "“loud” did not answer within 0.5 seconds" in told.end.error.message
    assert json.dumps(told.end.error.message)


AGENTS = """
import os, sys
from qwen_agent.agents import Assistant, Router

llm = {
    "model": "hello",
    "model_server": os.environ["MODEL_SERVER"],
    "api_key": "EMPTY",
    "generate_cfg": {"use_raw_api": True},
}


def agent(name, command, *args, **more):
    servers = {"mcpServers": {"loud": {"command": command, "args": [*args]}}}
    return Assistant(llm=llm, name=name, function_list=[servers], **more)


hung = agent("hung", sys.executable, os.environ["MCP_SERVER"], "hang")
lost = agent("lost", "no-such-command")
good = agent("good", sys.executable, os.environ["MCP_SERVER"])
plain = Assistant(llm=llm, name="plain")
desk = Router(llm=llm, name="desk", agents=[plain, lost])


def fresh():
    return agent("fresh", sys.executable, os.environ["MCP_SERVER"])


agents = [hung, lost, good, plain, desk, fresh]
"""


async def test_agents_of_a_file_wait_for_their_own_servers_only(
    model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_SERVER", model_server.base_url)
    monkeypatch.setenv("MCP_SERVER", SERVER[0])
    file = tmp_path / "agents.py"
    file.write_text(AGENTS)
    before = servers_running()
    hosted = Hosting(THREADS, TOOL_THREADS, tool_timeout=30.0, mcp_timeout=30.0)
    agents: dict[str, Any] = {a.name: a for a in load(str(file), hosted).agents}
    monkeypatch.setattr(sys.modules["chat.agents.qwen.mcp"], "PING_SECONDS", 0.2)
    (hung,) = vars(agents["hung"]._agent)["mcp_servers_here"]
    hung._limit = 0.5
    for agent in agents.values():
        agent.begin()  # none is waited for

    async def failure(name: str) -> str:
        told = await listen(agents[name].run_with_reasoning_stream("Hi", []))
        assert told.end is not None
        assert told.end.error is not None
        assert told.end.error.retryable
        return told.end.error.message

    told = await listen(agents["plain"].run_with_reasoning_stream("Hi", []))
    assert told.answer == "Hello! You said: Hi"
    assert agents["hung"].description == ""  # as far as is known
    assert "no command 'no-such-command'" in await failure("lost")
    assert "no command 'no-such-command'" in agents["lost"].description
    assert agents["desk"].description.startswith("lost is out of order: MCP")
    assert "“loud” did not answer within 0.5 seconds" in await failure("hung")
    assert "Out of order: " in agents["hung"].description

    for name, tool, said in (
        ("fresh", "shout", "GRÜSSE!"),
        ("good", "die", "“loud” failed"),
        ("good", "hang", "not finish within 1 s"),
        ("good", "shout", "GRÜSSE!"),
    ):
        limit = 1.0 if tool == "hang" else 30.0
        agents[name]._hosting = structs.replace(hosted, tool_timeout=limit)
        told = await call(agents[name], model_server, tool)
        (result,) = (part for part in told.parts if part.type == "tool_result")
        assert said in result.content
        assert (result.status == "ok") == (tool == "shout")
    # Of what was started, what is used is left: the agent's server, anew.
    await eventually(lambda: len(servers_running() - before) == 1)


def servers_running() -> set[int]:
    """The MCP servers that this process has started and not ended."""
    found = set()
    for pid in children(os.getpid()):
        with suppress(OSError):
            if SERVER[0] in Path(f"/proc/{pid}/cmdline").read_text():
                found.add(pid)
    return found
