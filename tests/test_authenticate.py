"""Programs at the socket: a token in the handshake, or as the first frame."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from pytest_django import Settings

from chat import consumers, runtime
from chat.access import Identity, Scope
from chat.agents import registry
from chat.auth import tokens
from chat.auth.guessing import FREE_BY_NAME
from chat.store.database import db
from chat.wire.protocol import Authenticate
from reasoning_site.asgi import application
from tests.rows import queued_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def own_runtime(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """A process that takes no runs, which ends with the test."""
    settings.ROLE = "web"
    monkeypatch.setattr(registry, "warm_up", lambda _: None)  # nobody asks them
    yield
    await runtime.close()


class Ada:
    """A user with a session and tokens."""

    def __init__(self) -> None:
        self.user = User.objects.create_user(f"ada-{uuid4().hex}")
        self.who = Identity(self.user.pk, "")
        self.session_id = queued_run(who=self.who).session_id

    def token(self, scope: Scope = "ask") -> str:
        return tokens.add(self.user.pk, name="for a test", scope=scope)


class Socket:
    """A client of the whole ASGI application, from an address of its own."""

    def __init__(self, session_id: UUID | None = None, **headers: str) -> None:
        sent = {"host": "localhost", **headers}
        self._client = WebsocketCommunicator(
            application,
            f"/ws/chat/{session_id or uuid4()}",
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
        )
        scope: dict[str, Any] = self._client.scope  # type: ignore[assignment]  # ASGI has more keys
        scope["client"] = (f"2001:db8:{uuid4().hex[:4]}::1", 1)

    async def __aenter__(self) -> Self:
        assert await self._client.connect() == (True, None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.disconnect()

    async def say(self, type_: str, **payload: Any) -> None:
        await self._client.send_json_to({"type": type_, "payload": payload})

    async def hears(self, type_: str) -> dict[str, Any]:
        """The data of the next message of this type."""
        while True:
            message = await self._client.receive_json_from(timeout=15)
            if message["type"] == type_:
                return dict(message["data"])

    async def closed(self) -> int:
        while True:
            message = await self._client.receive_output(timeout=15)
            if message["type"] == "websocket.close":
                return int(message["code"])

    async def hears_nothing(self) -> bool:
        return await self._client.receive_nothing(timeout=0.05)


async def test_a_handshake_with_a_token_comes_in_with_its_scope() -> None:
    ada = await db(Ada)
    token = await db(ada.token, "read")
    async with Socket(ada.session_id, authorization=f"Bearer {token}") as socket:
        assert (await socket.hears("connected"))["scope"] == "read"
        await socket.say("chat", message="Hi", client_id="one")
        error = await socket.hears("error")
        assert (error["code"], error["client_id"]) == ("forbidden", "one")


async def test_a_token_that_does_not_hold_is_no_guest() -> None:
    async with Socket(authorization="Bearer rst_unknown") as socket:
        assert await socket.closed() == 4401


@pytest.mark.parametrize("guests", [True, False])
async def test_the_first_frame_says_who_somebody_is(
    settings: Settings,
    guests: bool,  # noqa: FBT001
) -> None:
    settings.ALLOW_GUESTS = guests
    ada = await db(Ada)
    async with Socket(ada.session_id) as socket:
        assert await socket.hears_nothing()
        await socket.say("authenticate", token=await db(ada.token))
        assert (await socket.hears("connected"))["scope"] == "ask"
        await socket.say("subscribe", protocol=2)
        assert len((await socket.hears("snapshot"))["runs"]) == 1


async def test_who_is_a_guest_already_becomes_the_tokens_user() -> None:
    ada = await db(Ada)
    async with Socket() as socket:
        assert "scope" not in await socket.hears("connected")
        await socket.say("authenticate", token=await db(ada.token))
        assert (await socket.hears("connected"))["scope"] == "ask"
        (found,) = runtime.current().sockets
        assert isinstance(found, consumers.ChatConsumer)
        assert found.who.person == ada.who
        assert list(runtime.current().limits._sockets.values()) == [1, 1]


async def test_who_says_something_else_first_is_not_waited_for(
    settings: Settings,
) -> None:
    settings.ALLOW_GUESTS = False
    async with Socket() as socket:
        await socket.say("ping")
        assert await socket.closed() == 4401


@pytest.mark.parametrize(("guests", "code"), [(True, 4404), (False, 4401)])
async def test_who_says_nothing_is_waited_for_not_for_ever(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    guests: bool,  # noqa: FBT001
    code: int,
) -> None:
    settings.ALLOW_GUESTS = guests
    monkeypatch.setattr(consumers, "AUTHENTICATE_SECONDS", 0.1)
    ada = await db(Ada)
    async with Socket(ada.session_id) as socket:
        assert await socket.closed() == code


async def test_a_wrong_first_frame_ends_it_and_guessing_takes_longer(
    settings: Settings,
) -> None:
    settings.ALLOW_GUESTS = False
    for number in range(FREE_BY_NAME + 1):
        socket = Socket()
        scope: dict[str, Any] = socket._client.scope  # type: ignore[assignment]  # as above
        scope["client"] = ("203.0.113.77", 1)
        async with socket:
            await socket.say("authenticate", token="rst_guess")
            assert await socket.closed() == (4401 if number < FREE_BY_NAME else 4429)


async def test_later_only_the_same_person_goes_on_with_another_token() -> None:
    ada, bob = await db(Ada), await db(Ada)
    token = await db(ada.token)
    async with Socket(ada.session_id, authorization=f"Bearer {token}") as socket:
        await socket.hears("connected")
        await socket.say("subscribe", protocol=2)
        await socket.hears("snapshot")
        await socket.say("authenticate", token=await db(bob.token))
        assert (await socket.hears("error"))["code"] == "forbidden"
        await socket.say("authenticate", token=await db(ada.token, "read"))
        assert (await socket.hears("connected"))["scope"] == "read"
        await socket.say("retry", run=1)
        assert (await socket.hears("error"))["code"] == "forbidden"


async def test_a_token_is_in_no_error_and_no_repr() -> None:
    async with Socket() as socket:
        await socket.say("authenticate", token=["rst_secret"])
        assert "rst_secret" not in str(await socket.hears("error"))
    assert "rst_secret" not in repr(Authenticate("rst_secret"))
