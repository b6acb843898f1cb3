"""The tools of MCP servers, by the library's client, but never waited for without end.

The library's manager runs one event loop in a thread of its own for all servers of the
process. Its `initConfig` and its tools' `call` wait there for as long as it takes; so
servers are connected here one by one, each within its limit and by its name, and calls
are awaited as coroutines, which end when nobody waits for them any more.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import shutil
import time
from collections.abc import Mapping
from typing import Any, Final

from qwen_agent.tools.base import BaseTool
from qwen_agent.tools.mcp_manager import MCPManager

from chat.agents.base import AgentError
from chat.agents.tools.base import ToolError
from chat.agents.tools.errors import kind_and_message
from chat.agents.tools.tether import tethered

logger = logging.getLogger(__name__)

PING_SECONDS: Final = 1.0  # for a server that is thought to hang
CONNECT_SECONDS: Final = 30.0  # until a server must have told its tools


class McpTool(BaseTool):  # type: ignore[misc]  # the library has no types
    """A tool of an MCP server, as the library's agents know tools."""

    def __init__(self, server: str, tool: Any) -> None:
        self.name = tool.name
        self.description = tool.description or ""
        self.parameters = tool.parameters
        super().__init__()
        self._server = server
        self._client_id: str = tool.client_id
        # The library puts the server's name before the tool's.
        self._tool_name = self.name.removeprefix(f"{server}-")

    def call(self, params: str | dict[str, Any], **kwargs: Any) -> str:
        """Never reached: calls go through the run."""
        raise ToolError("Tools of MCP servers are called on the event loop.")

    async def call_here(self, arguments: dict[str, Any]) -> str:
        """Call it, awaited from any event loop. Raises ToolError."""
        work = self._execute(arguments)
        future = asyncio.run_coroutine_threadsafe(work, MCPManager().loop)
        try:
            return str(await asyncio.wrap_future(future))
        except asyncio.CancelledError:
            _suspects.add(self._client_id)  # it may hang
            raise
        except Exception as error:
            _suspects.add(self._client_id)
            logger.warning("MCP server %s failed", self._server, exc_info=error)
            raise ToolError(
                f"The MCP server “{self._server}” failed: {kind_and_message(error)}"
            ) from None

    async def _execute(self, arguments: dict[str, Any]) -> Any:
        """Call it, on the manager's event loop; a server that hangs is left behind."""
        clients = MCPManager().clients
        if self._client_id in _suspects:
            client = clients[self._client_id]
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await client.session.send_ping()
            except Exception as error:  # noqa: BLE001 - each transport has its own
                logger.warning("MCP server %s is started anew: %r", self._server, error)
                clients[self._client_id] = await client.reconnect()
            _suspects.discard(self._client_id)
        client = clients[self._client_id]
        return await client.execute_function(self._tool_name, arguments)


_suspects: set[str] = set()  # ids of clients whose last call failed, or took too long


def connect(
    servers: Mapping[str, Mapping[str, Any]], limit: float = CONNECT_SECONDS
) -> list[McpTool]:
    """The tools of these servers, `{name: {"command": …, "args": […]} | {"url": …}}`.

    Blocking. Raises AgentError, which names each server that cannot be used.
    """
    manager = MCPManager()
    started = {
        name: asyncio.run_coroutine_threadsafe(
            _tools(manager, name, server), manager.loop
        )
        for name, server in servers.items()
    }
    deadline = time.monotonic() + limit
    tools: list[McpTool] = []
    wrong: list[str] = []
    for name, future in started.items():
        try:
            found = future.result(max(0.0, deadline - time.monotonic()))
        except concurrent.futures.TimeoutError:
            future.cancel()
            wrong.append(f"“{name}” did not answer within {limit:g} seconds")
        except FileNotFoundError:
            command = servers[name].get("command", "")
            wrong.append(f"“{name}” cannot be started: there is no command {command!r}")
        except Exception as error:
            logger.warning("MCP server %s cannot be used", name, exc_info=error)
            wrong.append(f"“{name}” cannot be used: {kind_and_message(_cause(error))}")
        else:
            tools += [McpTool(name, tool) for tool in found]
    if wrong:
        message = f"MCP servers are out of order: {'; '.join(wrong)}."
        raise AgentError("tool_failed", message, retryable=True)
    return tools


async def _tools(manager: Any, name: str, server: Mapping[str, Any]) -> list[Any]:
    config = {"mcpServers": {name: {"args": [], **server}}}
    if not manager.is_valid_mcp_servers(config):
        raise ValueError("its configuration is not valid")
    found: list[Any] = await manager.init_config_async(
        {"mcpServers": {name: _tethered(config["mcpServers"][name])}}
    )
    return found


def _tethered(server: dict[str, Any]) -> dict[str, Any]:
    """The server, so that it does not outlive the site. Raises FileNotFoundError."""
    command = server.get("command")
    if "url" in server or command is None:
        return server
    path = (server.get("env") or {}).get("PATH")
    if shutil.which(command, path=path) is None:
        raise FileNotFoundError(command)
    program, *arguments = tethered(command, *server["args"])
    return {**server, "command": program, "args": arguments}


def _cause(error: BaseException) -> BaseException:
    """The first real error inside groups of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
