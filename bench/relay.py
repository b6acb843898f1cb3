"""What we compare ourselves with: relays that store and number nothing.

One WebSocket, one model stream, one frame a token: as lean as Python allows, on bare
ASGI with aiohttp (`uvicorn bench.relay:bare`), and the way one would write it first,
as a Channels consumer with OpenAI's client (`bench.relay:usual`). With LLM_BASE_URL.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from openai import AsyncOpenAI

settings.configure()


async def bare(
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


class Usual(AsyncWebsocketConsumer):
    """Answers each `chat` with the model's tokens."""

    # Of no layer: who relays to one socket needs none.
    channel_layer_alias = "none"

    async def connect(self) -> None:
        """Open the socket."""
        self.model = AsyncOpenAI(base_url=os.environ["LLM_BASE_URL"], api_key="none")
        await self.accept()

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None
    ) -> None:
        """Answer."""
        command = json.loads(text_data or "{}")
        if command["type"] != "chat":
            return
        chunks = await self.model.chat.completions.create(
            model="hello",
            stream=True,
            messages=[{"role": "user", "content": command["payload"]["message"]}],
        )
        async for chunk in chunks:
            for choice in chunk.choices:
                if text := choice.delta.content:
                    frame = {"type": "token", "data": {"text": text}}
                    await self.send(json.dumps(frame))
        await self.send('{"type": "end"}')


usual = Usual.as_asgi()
