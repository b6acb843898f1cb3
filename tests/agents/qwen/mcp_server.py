"""An MCP server to start in tests: `python mcp_server.py [hang]`."""

from __future__ import annotations

import os
import sys
import threading

from mcp.server.fastmcp import FastMCP

server = FastMCP("for-tests")
HANGING = threading.Event()  # which nobody sets


@server.tool()
def shout(text: str) -> str:
    """Say it louder."""
    return text.upper() + "!"


@server.tool()
def die(text: str) -> str:
    """End the server in the middle of a call."""
    os._exit(1)


@server.tool()
def hang(text: str) -> str:
    """Never answer."""
    HANGING.wait()
    return text


if "hang" in sys.argv:
    HANGING.wait()
server.run()
