"""The server: HTTP by hand, so that every byte is under the scenario's control."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
from collections import Counter, deque
from typing import Any

from tests.model_server import scenarios
from tests.model_server.scenarios import Scenario

COMPLETIONS = "/chat/completions"
TICK = 0.005  # seconds between two looks at who is due a token
PIECES = re.compile(r"\s*\S+|\s+")  # what a text is streamed by
_REASONS = {200: "OK", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class Cut(Exception):  # noqa: N818 - wanted by a scenario
    """The scenario closes the connection in the middle."""


class Ticker:
    """One timer for all streams of tokens: each gives what is due at every tick."""

    def __init__(self) -> None:
        self._streams: set[Stream] = set()
        self._task: asyncio.Task[None] | None = None

    async def play(self, stream: Stream) -> None:
        """Return when the stream has given all its tokens."""
        self._streams.add(stream)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            await stream.finished
        finally:
            self._streams.discard(stream)

    async def _run(self) -> None:
        while self._streams:
            now = time.perf_counter()
            for stream in tuple(self._streams):
                stream.tick(now)
            await asyncio.sleep(TICK)


class Stream:
    """A given number of tokens at a given rate."""

    def __init__(
        self,
        reply: Reply,
        tokens: int,
        rate: float,
        field: str,
        *,
        stamped: bool = False,
    ) -> None:
        self.finished = asyncio.get_running_loop().create_future()
        self._reply = reply
        self._tokens = tokens
        self._rate = rate
        self._field = field
        self._stamped = stamped
        self._given = 0
        self._start = time.perf_counter()

    def tick(self, now: float) -> None:
        """Give what is due."""
        due = min(self._tokens, int((now - self._start) * self._rate) + 1)
        while self._given < due:
            stamp = f"@{time.monotonic_ns() // 1000}" if self._stamped else ""
            self._reply.delta_text(self._field, f"t{self._given}{stamp} ")
            self._given += 1
        if self._given == self._tokens and not self.finished.done():
            self.finished.set_result(None)


class Reply:
    """The answer to one request, and the record of it."""

    def __init__(self, writer: asyncio.StreamWriter, record: dict[str, Any]) -> None:
        self.writer = writer
        self.record = record
        self.chunked = True
        self.newline = b"\n"
        self.packet = 0
        self.begun = False
        self._said: dict[str, list[str]] = {"content": [], "reasoning": []}
        self._heads: dict[str, bytes] = {}

    def begin(self, headers: dict[str, str] | None = None, status: int = 200) -> None:
        """Send the head of a stream."""
        self.begun = True
        framing = "Transfer-Encoding: chunked" if self.chunked else "Connection: close"
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Whatever')}",
            "Content-Type: text/event-stream; charset=utf-8",
            framing,
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    def send(self, data: bytes) -> None:
        """Send bytes of the stream, as they are."""
        if self.writer.is_closing():
            return
        if not self.begun:
            self.begin()
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    async def send_split(self, data: bytes) -> None:
        """Send bytes, in packets of the round's size where it has one."""
        if not self.packet:
            self.send(data)
            return
        for start in range(0, len(data), self.packet):
            self.send(data[start : start + self.packet])
            await asyncio.sleep(0.0005)  # so that packets stay packets

    def event(self, value: Any) -> bytes:
        """One server-sent event."""
        text = value if isinstance(value, str) else json.dumps(value)
        return b"data: " + text.encode() + self.newline * 2

    def delta(self, delta: dict[str, Any]) -> bytes:
        """The event of one delta, noted in the record."""
        for field in ("content", "reasoning_content", "reasoning"):
            if isinstance(delta.get(field), str):
                kind = "content" if field == "content" else "reasoning"
                self._note(kind, delta[field])
        return self.event(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": self.record["model"],
                "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
            }
        )

    def delta_text(self, field: str, text: str) -> None:
        """Send one delta of text; the quick way, for streams of tokens."""
        kind = "content" if field == "content" else "reasoning"
        self._note(kind, text)
        head = self._heads.get(field)
        if head is None:
            frame = self.delta({field: "\0"})
            self._said[kind].pop()
            self.record["tokens"] -= 1
            head, tail = frame.split(b'"\\u0000"')
            self._heads[field] = head
            self._heads["tail"] = tail
        self.send(head + json.dumps(text).encode() + self._heads["tail"])

    def end_stream(self) -> None:
        """Send the end of the body."""
        if not self.begun:
            self.begin()
        if self.chunked and not self.writer.is_closing():
            self.writer.write(b"0\r\n\r\n")

    def close_record(self) -> None:
        """Sum up what was sent."""
        for kind, said in self._said.items():
            text = "".join(said)
            self.record[kind] = text
            self.record[f"{kind}_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        self.record["finished_at"] = time.time()

    def _note(self, kind: str, text: str) -> None:
        self._said[kind].append(text)
        self.record["tokens"] += 1
        if self.record["first_token_at"] is None:
            self.record["first_token_at"] = time.time()


class Server:
    """Plays scenarios to whoever asks, and remembers who did."""

    def __init__(self) -> None:
        self.scenarios = scenarios.load()
        self.requests: deque[dict[str, Any]] = deque(maxlen=10_000)
        self.played: Counter[str] = Counter()
        self.gates: dict[str, asyncio.Event] = {}
        self.ticker = Ticker()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the requests of one connection."""
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, Cut):
            pass
        finally:
            writer.transport.abort()

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path.startswith("/admin/"):
            return self._json(writer, self._admin(path, body))
        if path == "/v1/models":
            models = [{"id": name, "object": "model"} for name in self.scenarios]
            return self._json(writer, {"object": "list", "data": models})
        if method != "POST" or not path.partition("?")[0].endswith(COMPLETIONS):
            return self._json(writer, {"error": {"message": "no such page"}}, 404)
        return await self._complete(path, headers, json.loads(body), reader, writer)

    def _admin(self, path: str, body: bytes) -> Any:
        match path.split("/")[2:]:
            case ["requests"]:
                return list(self.requests)
            case ["reset"]:
                self.requests.clear()
                self.played.clear()
                self.gates.clear()
            case ["release", gate]:
                self._gate(gate).set()
            case ["scenarios"]:
                for name, scenario in json.loads(body).items():
                    self.scenarios[name] = scenarios.whole(scenario)
                    self.played.clear()
            case _:
                return {"error": "no such page"}
        return {}

    def _gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    async def _complete(
        self,
        path: str,
        headers: dict[str, str],
        asked: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        messages = asked.get("messages", [])
        name, scenario = scenarios.choose(
            self.scenarios, asked.get("model", ""), messages
        )
        number = scenarios.round_number(messages)
        record = {
            "scenario": name,
            "round": number,
            "path": path,
            "model": asked.get("model"),
            "request": asked,
            "authorization": headers.get("authorization"),
            "started_at": time.time(),
            "first_token_at": None,
            "finished_at": None,
            "closed_by_client_at": None,
            "tokens": 0,
        }
        self.requests.append(record)
        reply = Reply(writer, record)
        play = asyncio.create_task(self._play(reply, name, scenario, number, messages))
        gone = asyncio.create_task(reader.read(1))
        await asyncio.wait((play, gone), return_when=asyncio.FIRST_COMPLETED)
        if not play.done():
            record["closed_by_client_at"] = time.time()
        play.cancel()
        gone.cancel()
        results = await asyncio.gather(play, gone, return_exceptions=True)
        reply.close_record()
        for result in results:
            if isinstance(result, Exception) and not isinstance(
                result, Cut | ConnectionError
            ):
                raise result
        return results[0] is True

    async def _play(
        self,
        reply: Reply,
        name: str,
        scenario: Scenario,
        number: int,
        messages: list[dict[str, Any]],
    ) -> bool:
        """Play the round; whether the connection can be used again."""
        rounds = scenario["rounds"]
        script = rounds[min(number, len(rounds) - 1)]
        if "attempts" in script:
            key = f"{name}/{number}"
            attempts = script["attempts"]
            script = attempts[min(self.played[key], len(attempts) - 1)]
            self.played[key] += 1
        reply.chunked = script.get("framing", "chunked") == "chunked"
        reply.newline = script.get("newline", "\n").encode()
        reply.packet = script.get("packet", 0)
        player = Player(self, reply, messages)
        ended = False
        for action in script["actions"]:
            ended = await player.act(action) or ended
        if not ended:
            await player.act({"end": {}})
        await reply.writer.drain()
        return reply.chunked and not player.stateless

    @staticmethod
    def _json(writer: asyncio.StreamWriter, value: Any, status: int = 200) -> bool:
        body = json.dumps(value).encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Whatever')}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        return True


class Player:
    """Plays the actions of one round."""

    def __init__(
        self, server: Server, reply: Reply, messages: list[dict[str, Any]]
    ) -> None:
        self.server = server
        self.reply = reply
        self.messages = messages
        self.called = False
        self.stateless = False  # the connection cannot be used again

    async def act(self, action: dict[str, Any]) -> bool:
        """Do one action; whether the answer has ended with it."""
        name = next(iter(action))
        ended: bool = await getattr(self, f"do_{name}")(action[name], action)
        return ended

    async def do_text(self, text: str, action: dict[str, Any]) -> bool:
        await self._say(action.get("field", "content"), text, action)
        return False

    async def do_reasoning(self, text: str, action: dict[str, Any]) -> bool:
        await self._say(action.get("field", "reasoning_content"), text, action)
        return False

    async def _say(self, field: str, text: str, action: dict[str, Any]) -> None:
        text = text.replace("{result}", scenarios.last_result(self.messages))
        text = text.replace("{prompt}", scenarios.last_prompt(self.messages))
        size = action.get("piece")
        pieces = (
            [text[i : i + size] for i in range(0, len(text), size)]
            if size
            else PIECES.findall(text)
        )
        for piece in pieces:
            await self.reply.send_split(self.reply.delta({field: piece}))
            if "rate" in action:
                await asyncio.sleep(1 / action["rate"])

    async def do_tokens(self, tokens: int, action: dict[str, Any]) -> bool:
        field = "content" if action.get("to") != "reasoning" else "reasoning_content"
        stream = Stream(
            self.reply,
            tokens,
            action.get("rate", 50),
            field,
            stamped=action.get("stamped", False),
        )
        await self.server.ticker.play(stream)
        return False

    async def do_call(self, call: dict[str, Any], _: dict[str, Any]) -> bool:
        """A tool call: its head, then its arguments in pieces."""
        self.called = True
        index = call.get("index", 0)
        head: dict[str, Any] = {
            "index": index,
            "type": "function",
            "function": {"name": call.get("name"), "arguments": call.get("first", "")},
        }
        if call.get("id", "") is not None:
            head["id"] = call.get("id") or f"srv_{index}"
        await self._delta({"tool_calls": [head]})
        text = call.get("arguments", "")
        if not isinstance(text, str):
            text = json.dumps(text)
        size = call.get("piece", 8)
        for start in range(0, len(text), size):
            piece = {"arguments": text[start : start + size]}
            await self._delta({"tool_calls": [{"index": index, "function": piece}]})
        return False

    async def do_delta(self, delta: dict[str, Any], _: dict[str, Any]) -> bool:
        self.called = self.called or "tool_calls" in delta
        await self._delta(delta)
        return False

    async def _delta(self, delta: dict[str, Any]) -> None:
        await self.reply.send_split(self.reply.delta(delta))

    async def do_event(self, value: Any, _: dict[str, Any]) -> bool:
        await self.reply.send_split(self.reply.event(value))
        return False

    async def do_raw(self, text: str, _: dict[str, Any]) -> bool:
        await self.reply.send_split(text.encode())
        return False

    async def do_base64(self, text: str, _: dict[str, Any]) -> bool:
        await self.reply.send_split(base64.b64decode(text))
        return False

    async def do_comment(self, text: str, _: dict[str, Any]) -> bool:
        await self.reply.send_split(
            b": " + text.encode() + self.reply.newline + self.reply.newline
        )
        return False

    async def do_comments(self, rate: float, _: dict[str, Any]) -> bool:
        """Comments without end."""
        while True:
            await self.do_comment("keep-alive", {})
            await asyncio.sleep(1 / rate)

    async def do_pause(self, seconds: float, _: dict[str, Any]) -> bool:
        await asyncio.sleep(seconds)
        return False

    async def do_begin(self, headers: dict[str, str], _: dict[str, Any]) -> bool:
        """Send the head and nothing else yet."""
        self.reply.begin(headers)
        return False

    async def do_wait(self, gate: str, _: dict[str, Any]) -> bool:
        await self.server._gate(gate).wait()
        return False

    async def do_silence(self, _wanted: bool, _: dict[str, Any]) -> bool:  # noqa: FBT001
        await asyncio.Event().wait()
        return True

    async def do_cut(self, _wanted: bool, _: dict[str, Any]) -> bool:  # noqa: FBT001
        await self.reply.writer.drain()
        self.reply.writer.transport.abort()
        raise Cut

    async def do_close(self, _wanted: bool, _: dict[str, Any]) -> bool:  # noqa: FBT001
        """Close the connection in good order, without an end of the body."""
        await self.reply.writer.drain()
        self.reply.writer.close()
        raise Cut

    async def do_status(self, status: int, action: dict[str, Any]) -> bool:
        """Answer with a status and a body instead of a stream."""
        self.stateless = True
        body = action.get("body", {"error": {"message": "as the scenario says"}})
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            "Connection": "close",
            **action.get("headers", {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        reason = _REASONS.get(status, "Whatever")
        head = f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n"
        self.reply.writer.write(head.encode() + data)
        return True

    async def do_end(self, end: dict[str, Any], _: dict[str, Any]) -> bool:
        """The usual end: finish reason, usage, [DONE]; each can be left out."""
        reason = end.get("reason", "tool_calls" if self.called else "stop")
        if reason is not None:
            choice = {"index": 0, "delta": {}, "finish_reason": reason}
            await self.reply.send_split(self.reply.event({"choices": [choice]}))
        if end.get("usage", True):
            usage = {
                "prompt_tokens": sum(len(str(m).split()) for m in self.messages),
                "completion_tokens": self.reply.record["tokens"],
            }
            event = {"choices": [], "usage": usage}
            await self.reply.send_split(self.reply.event(event))
        if end.get("done", True):
            await self.reply.send_split(self.reply.event("[DONE]"))
        self.reply.end_stream()
        return True
