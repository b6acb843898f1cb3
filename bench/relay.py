"""What we compare ourselves with: a bare relay that stores and numbers nothing.

One WebSocket, one model stream, one frame a token, the way one would write it first.
`uvicorn bench.relay:application`, with LLM_BASE_URL.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer each `chat` of a socket with the model's tokens."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    async with aiohttp.ClientSession() as http:
        while (message := await receive())["type"] == "websocket.receive":
            command = json.loads(message["text"])
            if command["type"] != "chat":
                continue
            async for text in _tokens(http, command["payload"]["message"]):
                frame = {"type": "token", "data": {"text": text}}
                await send({"type": "websocket.send", "text": json.dumps(frame)})
            await send({"type": "websocket.send", "text": '{"type": "end"}'})


async def _tokens(http: aiohttp.ClientSession, prompt: str) -> Any:
    body = {
        "model": "hello",
        "stream": True,
        "messages": [{"role": "user", "content": prompt}],
    }
    url = os.environ["LLM_BASE_URL"] + "/chat/completions"
    async with http.post(url, json=body) as answer:
        async for line in answer.content:
            if line.startswith(b"data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    if text := choice["delta"].get("content"):
                        yield text
