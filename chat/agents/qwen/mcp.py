"""The tools of MCP servers, by the library's client, but never waited for without end.

The library's manager runs one event loop in a thread of its own for all servers of the
process. Its `initConfig` and its tools' `call` wait there for as long as it takes; so
servers are connected here one by one, each within its limit and by its name, and calls
are awaited as coroutines, which end when nobody waits for them any more.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
import time
from asyncio import run_coroutine_threadsafe as run_threadsafe
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError, Future, wait
from typing import Any, Final

from qwen_agent.tools import mcp_manager
from qwen_agent.tools.base import BaseTool
from qwen_agent.tools.mcp_manager import MCPClient, MCPManager

from chat.agents.base import AgentError
from chat.agents.tools.base import ToolError
from chat.agents.tools.errors import kind_and_message
from chat.agents.tools.tether import tethered

logger = logging.getLogger(__name__)

PING_SECONDS: Final = 1.0  # for a server that is thought to hang
AGAIN_SECONDS: Final = 2.0  # until servers that failed are started again


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


class ToolServers:
    """MCP servers of one agent: `{name: {"command": …, "args": […]} | {"url": …}}`.

    They are started side by side, when `begin` is called or their tools are asked for.
    """

    def __init__(self, servers: Mapping[str, Any], limit: float) -> None:
        """`limit`: seconds in which a server must have told its tools."""
        self._servers = servers
        self._limit = limit
        self._lock = threading.Lock()
        self._started: dict[str, Future[list[Any]]] = {}
        self._since = 0.0

    def begin(self) -> None:
        """Start them, unless they are there; or again, where one failed a while ago."""
        with self._lock:
            if self._started and not self._is_due_again():
                return
            manager = _manager()
            self._since = time.monotonic()
            for name, server in self._servers.items():
                before = self._started.get(name)
                if before is None or _reason(before) is not None:
                    work = self._within_limit(_tools(manager, name, server))
                    self._started[name] = run_threadsafe(work, manager.loop)

    def tools(self) -> list[McpTool]:
        """The tools of all. Blocking.

        Raises AgentError, which names each server that cannot be used.
        """
        self.begin()
        for started in self._started.values():
            wait([started])
        if trouble := self.trouble:
            raise AgentError("tool_failed", trouble, retryable=True)
        return [
            McpTool(name, tool)
            for name, started in self._started.items()
            for tool in started.result()
        ]

    @property
    def trouble(self) -> str:
        """What is known to be wrong with them, or nothing."""
        wrong = [
            f"“{name}” {reason}"
            for name, started in self._started.items()
            if started.done() and (reason := self._said_of(name, started)) is not None
        ]
        return f"MCP servers are out of order: {'; '.join(wrong)}." if wrong else ""

    def end(self) -> None:
        """End them: nobody needs their tools any more."""
        for started in self._started.values():
            if not started.cancel() and _reason(started) is None:
                for tool in started.result():
                    _leave(tool.client_id)

    def _is_due_again(self) -> bool:
        is_over = all(started.done() for started in self._started.values())
        is_old = time.monotonic() - self._since > AGAIN_SECONDS
        return is_over and is_old and bool(self.trouble)

    async def _within_limit(self, work: Coroutine[Any, Any, list[Any]]) -> list[Any]:
        async with asyncio.timeout(self._limit):
            return await work

    def _said_of(self, name: str, started: Future[list[Any]]) -> str | None:
        match _reason(started):
            case None:
                return None
            case TimeoutError():
                return f"did not answer within {self._limit:g} seconds"
            case FileNotFoundError():
                command = self._servers[name].get("command", "")
                return f"cannot be started: there is no command {command!r}"
            case error:
                return f"cannot be used: {kind_and_message(_cause(error))}"


class SiteClient(MCPClient):  # type: ignore[misc]  # the library has no types
    """The library's client of a server, which also ends what it began.

    What holds a connection may only be left by the task that entered it; so each has a
    task of its own.
    """

    async def connection_server(self, mcp_server_name: str, mcp_server: Any) -> None:
        """Start the server and connect to it; cancelled or failed, end it."""
        self._over = asyncio.Event()
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(
            self._live(mcp_server_name, mcp_server, connected)
        )
        try:
            await asyncio.shield(connected)
        except asyncio.CancelledError:
            connected.cancel()
            self._life.cancel()
            raise

    async def _live(self, name: str, server: Any, connected: Any) -> None:
        try:
            async with self.exit_stack:
                await super().connection_server(name, server)
                connected.set_result(None)
                await self._over.wait()
        except Exception as error:
            if connected.cancelled():
                return  # how it ended concerns nobody
            logger.warning("MCP server %s failed", name, exc_info=error)
            if not connected.done():
                connected.set_exception(error)

    async def reconnect(self) -> Any:
        """Another client of the same server; this one is left."""
        self.leave()
        return await super().reconnect()

    async def cleanup(self) -> None:
        """End it all, as the library does when the program ends."""
        self.leave()
        await asyncio.gather(self._life, return_exceptions=True)

    def leave(self) -> None:
        """End the connection, and the server where we have started it."""
        self._over.set()


mcp_manager.MCPClient = SiteClient


def _manager() -> Any:
    return MCPManager()


def _leave(client_id: str) -> None:
    manager = _manager()
    client = manager.clients.pop(client_id, None)
    if client is not None:
        manager.loop.call_soon_threadsafe(client.leave)


def _reason(started: Future[list[Any]]) -> BaseException | None:
    """Why it failed, where it has; being cancelled is a reason too."""
    if not started.done():
        return None
    return CancelledError() if started.cancelled() else started.exception()


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
