"""The model client, against the scripted model server's process."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chat.agents.model.client import (
    ChatRequest,
    ChatServer,
    Completion,
    ServerConfig,
)
from chat.agents.model.errors import ModelError
from tests.agents.model.test_sse import Recorder
from tests.model_server import ModelServer, eventually

SECRET = "sk-very-secret"


class Client(ChatServer):
    """A client that remembers how long it would have slept."""

    def __init__(self, base_url: str, model: str, **config: Any) -> None:
        self.slept: list[float] = []
        super().__init__(
            ServerConfig(base_url, model, SECRET, **config),
            sleep=self._note,
            chance=lambda: 1.0,
        )

    async def _note(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def ask(self, text: str = "Hi") -> tuple[Recorder, Completion]:
        """Ask, and return what came."""
        recorder = Recorder()
        request = ChatRequest([{"role": "user", "content": text}])
        return recorder, await self.stream(request, recorder)


@pytest.fixture
async def ask(model_server: ModelServer) -> AsyncIterator[Any]:
    clients = []

    async def ask(model: str, text: str = "Hi", **config: Any) -> Any:
        client = Client(model_server.base_url, model, **config)
        clients.append(client)
        recorder, completion = await client.ask(text)
        return recorder, completion, client

    yield ask
    for client in clients:
        await client.close()


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("hello", "Hello! You said: Hi"),
        ("keep-alive", "Still here."),
        ("crlf", "One two three."),
        ("utf8-split", "Füße 😀 漢字"),
        ("no-done", "That is it."),
        ("no-finish", "That is it."),
        ("whole", "All at once."),
        ("nul", "a\ufffdb\ufffdc"),
    ],
)
async def test_what_servers_send_is_read(ask: Any, scenario: str, said: str) -> None:
    recorder, _, _ = await ask(scenario)
    assert recorder.said == said


async def test_usage_comes_in_a_last_chunk_without_choices(ask: Any) -> None:
    _, completion, _ = await ask("hello")
    assert completion.finish_reason == "stop"
    assert completion.output_tokens == 4


async def test_no_token_of_a_stream_is_lost(
    ask: Any, model_server: ModelServer
) -> None:
    recorder, _, _ = await ask("", "[stream tokens=300 rate=2000]")
    assert recorder.said == model_server.requests()[-1]["content"]
    assert len(recorder.said.split()) == 300


async def test_a_busy_server_is_asked_again_as_it_wishes(ask: Any) -> None:
    recorder, _, client = await ask("busy")
    assert recorder.said == "Here I am."
    assert client.slept == [0.0, 1.0]


async def test_a_connection_cut_before_the_first_token_is_retried(ask: Any) -> None:
    recorder, _, client = await ask("cut-early")
    assert recorder.said == "At last."
    assert client.slept == [0.5, 1.0]


async def test_an_error_in_place_of_the_first_token_is_retried(ask: Any) -> None:
    recorder, _, _ = await ask("error-first")
    assert recorder.said == "Now it works."


async def test_a_stream_that_just_ends_is_told_apart_from_a_whole_one(ask: Any) -> None:
    recorder, completion, _ = await ask("closed")
    assert recorder.said
    assert completion.finish_reason is None
    _, completion, _ = await ask("no-finish")
    assert completion.finish_reason is None
    _, completion, _ = await ask("no-done")
    assert completion.finish_reason == "stop"


@pytest.mark.parametrize(
    ("scenario", "code", "retryable", "requests", "words"),
    [
        ("unauthorized", "model_unavailable", False, 1, "LLM_API_KEY"),
        ("not-found", "model_unavailable", False, 1, "LLM_MODEL"),
        ("busy-long", "model_unavailable", True, 1, "3600 seconds"),
        ("broken", "model_unavailable", True, 4, "(500)"),
        ("cut", "model_error", True, 1, "middle"),
        ("error-middle", "model_error", True, 1, "middle"),
    ],
)
async def test_trouble_is_told_to_people(
    ask: Any,
    model_server: ModelServer,
    scenario: str,
    code: str,
    retryable: bool,  # noqa: FBT001 - a parameter of the test
    requests: int,
    words: str,
) -> None:
    with pytest.raises(ModelError) as caught:
        await ask(scenario)
    failure = caught.value.failure
    assert (failure.code, failure.retryable) == (code, retryable)
    assert words in failure.message
    assert len(model_server.requests()) == requests
    for secret in (SECRET, "sk-secret", "/srv", "Traceback", "127.0.0.1"):
        assert secret not in failure.message


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("silent", "model_unavailable"),
        ("silent-head", "model_unavailable"),
        ("silent-middle", "model_error"),
    ],
)
async def test_a_silent_server_is_given_up(
    ask: Any, model_server: ModelServer, scenario: str, code: str
) -> None:
    with pytest.raises(ModelError) as caught:
        await ask(scenario, first_chunk_timeout=0.2, chunk_timeout=0.2)
    assert caught.value.failure.code == code
    assert caught.value.failure.retryable
    await eventually(lambda: model_server.requests()[-1]["closed_by_client_at"])


@pytest.mark.parametrize("said", [[], [{"text": "Well"}]])
async def test_comments_alone_keep_an_answer_alive_for_a_while_only(
    ask: Any, model_server: ModelServer, said: list[Any]
) -> None:
    name = model_server.add("comments", [*said, {"comments": 100}])
    began = time.monotonic()
    with pytest.raises(ModelError):
        await ask(name, first_chunk_timeout=0.2, chunk_timeout=0.2)
    # Longer than a silent server would get: a few times, not for as long as it likes.
    assert 0.6 < time.monotonic() - began < 15


async def test_nothing_is_taken_from_the_model_while_there_is_no_room(
    model_server: ModelServer,
) -> None:
    client = Client(
        model_server.base_url, "hello", first_chunk_timeout=0.1, chunk_timeout=0.1
    )
    gate = asyncio.Event()
    asked = 0

    class Full:
        @property
        def crowded(self) -> bool:
            nonlocal asked
            asked += 1
            return not gate.is_set()

        async def committed(self) -> None:
            await gate.wait()

    recorder = Recorder()
    text = "[stream tokens=100 rate=400]"
    request = ChatRequest([{"role": "user", "content": text}])
    asking = asyncio.create_task(client.stream(request, recorder, Full()))
    await eventually(lambda: model_server.requests()[-1:] and asked)
    await eventually(lambda: model_server.requests()[-1]["tokens"] == 100)
    assert len(recorder.said.split()) < 100
    assert asked == 1
    gate.set()
    await asking
    assert len(recorder.said.split()) == 100
    await client.close()


async def test_a_slow_server_is_not_given_up_while_it_speaks(ask: Any) -> None:
    text = "[stream tokens=12 rate=20]"
    recorder, _, _ = await ask("", text, first_chunk_timeout=0.2, chunk_timeout=0.2)
    assert len(recorder.said.split()) == 12


async def test_a_refused_connection_is_told_to_people() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = Client(f"http://127.0.0.1:{free.getsockname()[1]}/v1", "hello")
        with pytest.raises(ModelError) as caught:
            await client.ask()
    await client.close()
    assert caught.value.failure.code == "model_unavailable"
    assert caught.value.failure.retryable
    assert client.slept == [0.5, 1.0, 2.0]


async def test_an_address_that_is_none_is_told_to_people() -> None:
    client = Client("nonsense", "hello")
    with pytest.raises(ModelError) as caught:
        await client.ask()
    await client.close()
    assert not caught.value.failure.retryable


async def test_cancelling_closes_the_connection_at_once(
    model_server: ModelServer,
) -> None:
    client = Client(model_server.base_url, "silent-middle")
    asking = asyncio.create_task(client.ask())
    await eventually(lambda: [r for r in model_server.requests() if r["tokens"]])
    cancelled_at = time.time()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    def closed() -> Any:
        return model_server.requests()[-1]["closed_by_client_at"]

    assert await eventually(closed) - cancelled_at < 0.5
    await client.close()


async def test_the_key_is_sent_and_the_connection_used_again(
    model_server: ModelServer,
) -> None:
    client = Client(model_server.base_url, "hello")
    await client.ask()
    await client.ask()
    await client.close()
    assert {r["authorization"] for r in model_server.requests()} == {f"Bearer {SECRET}"}


async def test_a_server_that_cannot_count_tokens_is_asked_without(
    model_server: ModelServer,
) -> None:
    refusal = {"status": 400, "body": {"error": "unknown field stream_options"}}
    attempts = [{"actions": [refusal]}, {"actions": [{"text": "Fine."}]}]
    name = model_server.add("old", {"rounds": [{"attempts": attempts}]})
    client = Client(model_server.base_url, name)
    recorder, _ = await client.ask()
    await client.close()
    assert recorder.said == "Fine."
    assert "stream_options" not in model_server.requests()[-1]["request"]
