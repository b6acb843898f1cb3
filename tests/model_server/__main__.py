"""Runs the model server: `python -m tests.model_server --port N`.

Prints one line of JSON with its port when it listens. It ends when its standard
input is closed, unless that is a terminal or `--stay` is given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading

from tests.model_server.server import Server


async def main() -> None:
    """Serve until nobody wants it any more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 means any free one")
    parser.add_argument("--stay", action="store_true", help="ignore standard input")
    wanted = parser.parse_args()
    server = await asyncio.start_server(
        Server().serve, "127.0.0.1", wanted.port, limit=2**22, backlog=1024
    )
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port}), flush=True)  # noqa: T201 - for who started it
    if not (wanted.stay or sys.stdin.isatty()):
        threading.Thread(target=_end_with_input, daemon=True).start()
    async with server:
        await server.serve_forever()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
