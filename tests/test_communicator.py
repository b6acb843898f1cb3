"""The consumer in this process, as Channels' own tests drive consumers: no server.

What a server does to a socket (limits, close codes on the wire, back-pressure) is
tested in test_consumers.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.db import OperationalError, connection
from pytest_django import Settings

from chat import runtime
from chat.agents import registry
from chat.auth.tickets import Visitor
from chat.routing import websocket_urlpatterns
from chat.store import Identity
from chat.store.database import db
from chat.wire import protocol
from reasoning_site.asgi import application

pytestmark = pytest.mark.django_db(transaction=True)

SCRIPT = [
    {"event": "started", "part": 0, "type": "final_answer", "iteration": 1},
    {"event": "grew", "part": 0, "text": "You said {prompt}."},
    {"event": "finished", "part": 0},
    {"event": "ended", "reason": "answered"},
]


@pytest.fixture(autouse=True)
async def own_runtime(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """A process with the scripted agent, which ends with the test."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPT))
    settings.SCRIPTED_AGENT = str(script)
    monkeypatch.setattr(registry, "warm_up", lambda _: None)  # nobody asks the others
    registry.forget()
    yield
    await runtime.close()


def communicator(
    session_id: UUID | None = None, **headers: str
) -> WebsocketCommunicator:
    """A client of the whole ASGI application."""
    sent = {"host": "localhost", **headers}
    return WebsocketCommunicator(
        application,
        f"/ws/chat/{session_id or uuid4()}",
        headers=[(name.encode(), value.encode()) for name, value in sent.items()],
    )


def refused_by(visitor: object, *, origin_is_allowed: bool) -> WebsocketCommunicator:
    """A client whose scope says what the middleware would have found."""
    client = WebsocketCommunicator(
        URLRouter(websocket_urlpatterns), f"/ws/chat/{uuid4()}"
    )
    scope: dict[str, Any] = client.scope  # type: ignore[assignment]  # ours has more keys
    scope |= {"origin_is_allowed": origin_is_allowed, "visitor": visitor}
    return client


async def until(client: WebsocketCommunicator, type_: str) -> list[dict[str, Any]]:
    """All messages up to the first of this type."""
    messages = [await client.receive_json_from(timeout=15)]
    while messages[-1]["type"] != type_:
        messages.append(await client.receive_json_from(timeout=15))
    return messages


async def closed(client: WebsocketCommunicator) -> int:
    """The code with which the site closes the socket."""
    message = await client.receive_output(timeout=15)
    assert message["type"] == "websocket.close", message
    return int(message["code"])


async def test_a_message_is_answered() -> None:
    client = communicator()
    assert await client.connect() == (True, None)
    assert (await client.receive_json_from())["type"] == "connected"
    payload = {"message": "Hi", "agent_name": "scripted"}
    await client.send_json_to({"type": "chat", "payload": payload})
    told = await until(client, "reasoning_complete")
    steps = [each["data"] for each in told if each["type"] == "reasoning_step"]
    assert [step["content"] for step in steps] == ["You said Hi."]
    await client.disconnect()


async def test_a_foreign_page_is_accepted_to_be_told_no() -> None:
    client = communicator(origin="https://evil.example")
    assert await client.connect() == (True, None)
    assert await closed(client) == protocol.CLOSE_FORBIDDEN


async def test_a_page_of_a_subdomain_is_greeted_where_all_of_them_are_trusted(
    settings: Settings,
) -> None:
    settings.ALLOWED_HOSTS = [".example.com"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.com"]
    own = "https://chat.example.com"
    for host in ("backend.example.com", "chat.example.com:443"):
        client = communicator(host=host, origin=own)
        assert await client.connect() == (True, None)
        assert (await client.receive_json_from())["type"] == "connected"
        await client.disconnect()
    for origin in ("https://evil.test", "http://chat.example.com"):
        client = communicator(host="backend.example.com", origin=origin)
        assert await client.connect() == (True, None)
        assert await closed(client) == protocol.CLOSE_FORBIDDEN


async def test_who_is_refused_for_the_page_costs_no_query() -> None:
    async def visitor() -> Visitor:
        raise AssertionError("was looked for")

    client = refused_by(visitor, origin_is_allowed=False)
    assert await client.connect() == (True, None)
    assert await closed(client) == protocol.CLOSE_FORBIDDEN


async def test_one_socket_too_many_at_an_address_costs_no_query_either(
    settings: Settings,
) -> None:
    settings.MAX_SOCKETS_PER_ADDRESS = 1

    async def visitor() -> Visitor:
        raise AssertionError("was looked for")

    first, second = communicator(), refused_by(visitor, origin_is_allowed=True)
    await first.connect()
    await first.receive_json_from()
    assert await second.connect() == (True, None)
    assert await closed(second) == protocol.CLOSE_TOO_MANY
    await first.disconnect()


async def test_without_a_database_nobody_is_turned_away_for_good() -> None:
    async def visitor() -> Visitor:
        raise OperationalError("away")

    client = refused_by(visitor, origin_is_allowed=True)
    assert await client.connect() == (True, None)
    assert await closed(client) == protocol.CLOSE_OVERLOADED


async def test_a_handler_that_fails_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session_id = uuid4()
    client = communicator(session_id)
    await client.connect()
    await client.receive_json_from()
    running = runtime.current()
    assert len(running.sockets) == 1
    assert running.feeds.sessions == [session_id]

    def broken(_who: Identity) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(running.limits, "read", broken)
    await client.send_json_to({"type": "subscribe", "payload": {"protocol": 2}})
    with pytest.raises(ZeroDivisionError):
        await client.wait(timeout=15)
    assert not running.sockets
    assert not running.feeds.sessions


async def test_what_is_broken_is_not_called_away_and_the_socket_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = communicator()
    await client.connect()
    await client.receive_json_from()
    await db(statement, "ALTER TABLE chat_session RENAME TO elsewhere")
    try:
        await client.send_json_to({"type": "history", "payload": {"before": 9}})
        error = (await until(client, "error"))[-1]["data"]
    finally:
        await db(statement, "ALTER TABLE elsewhere RENAME TO chat_session")
    assert error["code"] == "internal"
    assert "away" not in error["message"]
    assert not error["retryable"]
    assert "a command failed" in caplog.text
    await client.send_json_to({"type": "history", "payload": {"before": 9}})
    await until(client, "history")
    await client.disconnect()


def statement(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


async def test_sockets_are_no_members_of_the_channel_layer(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    }
    clients = [communicator() for _ in range(3)]
    for client in clients:
        await client.connect()
        await client.receive_json_from()
    layer = channel_layers["default"]
    assert isinstance(layer, InMemoryChannelLayer)
    assert len(layer.channels) <= 1  # the hub's own
    for client in clients:
        await client.disconnect()
