"""The socket: decode a frame, do one verb, encode the answer. No handler waits long."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any, Final, assert_never
from uuid import UUID

from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from chat import logs, runtime, store
from chat.access import Act, Identity, NotAllowedError, NotYoursError, rights
from chat.agents import registry
from chat.auth import tokens
from chat.auth.guessing import TooManyGuessesError
from chat.auth.limits import TooManyError
from chat.auth.tickets import Ticket, Visitor, ended
from chat.auth.visitors import address_of
from chat.live.feed import Feed
from chat.live.outbox import Outbox, TooSlowError
from chat.live.viewer import Viewer
from chat.log.errors import is_away, is_busy, note_failure
from chat.operating import Watching
from chat.store.database import db
from chat.wire.protocol import (
    AUTHENTICATE_SECONDS,
    CLOSE_FORBIDDEN,
    CLOSE_NO_SUCH_SESSION,
    CLOSE_NOT_SIGNED_IN,
    CLOSE_NOT_THIS_PROTOCOL,
    CLOSE_OVERLOADED,
    CLOSE_TOO_MANY,
    HEARTBEAT_INTERVAL,
    MAX_BAD_FRAMES,
    PROTOCOL_VERSION,
    Authenticate,
    Chat,
    Command,
    History,
    Interrupt,
    Ping,
    ProtocolError,
    Retry,
    Subscribe,
    decode_command,
    message,
)

logger = logging.getLogger(__name__)

AWAY: Final = ProtocolError(
    "internal", "The database is away. Try again in a moment.", retryable=True
)
BUSY: Final = ProtocolError(
    "internal", "The site is busy. Try again in a moment.", retryable=True
)
FAILED: Final = ProtocolError(
    "internal", "Something went wrong inside the site. It has been logged."
)


class Refused(Exception):  # noqa: N818  (not an error: an answer)
    """The socket is to be closed with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ChatConsumer(AsyncWebsocketConsumer):
    """One socket at `ws/chat/<session_id>`.

    `auth.middleware` says in the scope who opened it, and from which page.
    """

    # Of no layer: one hub per process listens for all sockets (see `live.hub`).
    channel_layer_alias = "none"

    who: Identity
    ticket: Ticket | None
    shared: store.Shared | None
    watching: Watching | None
    session_id: UUID
    feed: Feed
    viewer: Viewer
    scope: Any  # types-channels knows no keys of ours

    async def __call__(
        self,
        # Any: types-channels spells out the types of all ASGI messages here.
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Live until the socket closes; whatever happens, leave nothing behind.

        Not in `disconnect`: Channels calls that only where no handler raised.
        """
        self.runtime = runtime.current()
        self.closed = False
        self.bad_frames = 0
        self.frames = 0
        self.waits_for_token: int | None = None  # and what it is closed with else
        self.address_key = ""
        self.since = time.time()
        self.ticket = None
        self.shared = None
        self.watching = None
        self.outbox = Outbox(
            self._send_text, max_chars=settings.OUTBOX_BYTES, on_broken=self._broken
        )
        self.name = secrets.token_hex(4)  # in the log
        logs.about(socket=self.name)
        # `place`: what it holds as whoever it is; they may say that they are another.
        with ExitStack() as self.held, ExitStack() as self.place:
            self.held.callback(self.outbox.close)
            self.runtime.sockets.add(self)
            self.held.callback(self.runtime.sockets.discard, self)
            try:
                await super().__call__(scope, receive, send)
            finally:
                self.closed = True

    async def dispatch(self, message: Any) -> None:
        """Call the handler; without Channels' hop through the shared ORM thread."""
        await getattr(self, get_handler_name(message))(message)

    async def websocket_connect(self, message: Any) -> None:
        """Accept, and only then refuse: a browser sees no reason before."""
        await self.accept()
        try:
            await self._arrive()
        except _ENDS as end:
            await self._refuse_entry(end)
        except DatabaseError as error:
            note_failure("opening a socket", error)
            await self.hang_up(CLOSE_OVERLOADED)

    async def websocket_disconnect(self, message: Any) -> None:
        """The socket is gone; runs go on."""
        raise StopConsumer

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None
    ) -> None:
        """Carry out one command."""
        if self.closed:
            return
        try:
            await self._obey(text_data)
        except _ENDS as end:
            await self.hang_up(_code(end))
        if self.bad_frames >= MAX_BAD_FRAMES:
            await self.hang_up(CLOSE_NOT_THIS_PROTOCOL)

    async def _obey(self, text: str | None) -> None:
        """Carry out a command or refuse it. Raises what ends the socket (`_ENDS`)."""
        command: Command | None = None
        self.frames += 1
        try:
            command = self._decode(text)
            await self._carry_out(command)
        except ProtocolError as error:
            self._refuse(error if command is None else error.about(command))
        except NotAllowedError as error:
            refusal = ProtocolError("forbidden", str(error))
            self._refuse(refusal if command is None else refusal.about(command))
        except DatabaseError as error:
            refusal = _refusal(error)
            self._refuse(refusal if command is None else refusal.about(command))

    async def hang_up(self, code: int) -> None:
        """Close the socket, saying why."""
        if self.closed:
            return
        self.closed = True
        self.outbox.close()
        if code == CLOSE_NO_SUCH_SESSION and await self._has_changed_hands():
            code = CLOSE_OVERLOADED  # who comes back is told what they are now
        with suppress(OSError):  # the client was quicker
            await self.close(code)

    async def _has_changed_hands(self) -> bool:
        """Whether what was a guest's is a user's, since the guest has signed in."""
        if self.ticket is None or self.ticket.user_id is not None:
            return False
        try:
            return bool(await db(ended, {self.ticket}))
        except DatabaseError:
            return False

    # ------------------------------------------------------------ entering

    async def _arrive(self) -> None:
        """Let somebody in, if it is known who they are. Raises what is in `_ENDS`."""
        if self.runtime.draining:
            raise Refused(CLOSE_OVERLOADED)
        if not self.scope["origin_is_allowed"]:
            raise Refused(CLOSE_FORBIDDEN)
        self.held.enter_context(self.runtime.limits.address(address_of(self.scope)))
        visitor = await self.scope["visitor"]()
        if visitor is None:
            raise Refused(CLOSE_NOT_SIGNED_IN)
        await self._enter(visitor)

    async def _refuse_entry(self, end: Exception) -> None:
        """Hang up; but who has said nothing at all may still say a token."""
        code = _code(end)
        may_wait = code == CLOSE_NOT_SIGNED_IN or isinstance(end, NotYoursError)
        if not (may_wait and self.scope["says_nothing"]):
            await self.hang_up(code)
            return
        self._leave()
        self.waits_for_token = code
        loop = asyncio.get_running_loop()
        patience = loop.call_later(AUTHENTICATE_SECONDS, self._lose_patience)
        self.held.callback(patience.cancel)

    def _lose_patience(self) -> None:
        if self.waits_for_token is not None:
            self._hang_up_soon(self.waits_for_token)

    async def _authenticate(self, command: Authenticate) -> None:
        """Be whoever the token lets in: from the first frame on, or as the same person.

        Raises what is in `_ENDS`, or ProtocolError.
        """
        visitor = await db(tokens.admit, command.token, address_of(self.scope))
        if visitor is None:
            raise Refused(CLOSE_NOT_SIGNED_IN)
        if self.frames == 1 or self.waits_for_token is not None:
            self.waits_for_token = None
            self._leave()
            try:
                await self._enter(visitor)
            except DatabaseError as error:
                raise Refused(CLOSE_OVERLOADED) from error
        elif visitor.who.person != self.who.person:
            message = "This socket is somebody else's already. Open another one."
            raise ProtocolError("forbidden", message)
        else:
            self.who, self.ticket = visitor.who, visitor.ticket
            self._greet(self.feed.facts)

    async def _enter(self, visitor: Visitor) -> None:
        """Come in as somebody. Raises what is in `_ENDS`."""
        who = visitor.who
        self.session_id = _session_id(self.scope)
        logs.about(session=self.session_id, socket=self.name)
        self.place.enter_context(
            self.runtime.limits.person(who.person, address_of(self.scope))
        )
        watching = self.runtime.feeds.watching(self.session_id)
        watched = self.place.enter_context(watching)
        entry = await self._entry(who, await watched.ready())
        self.feed = await watched.ready()
        self.who = who
        self.ticket = visitor.ticket
        self.address_key = visitor.address_key
        self.shared = None
        if entry.shared is not None and who.user_id is not None:
            self.shared = store.Shared(self.session_id, who.user_id, entry.shared)
        self._greet(entry.facts)
        self.viewer = Viewer(who, self.outbox, self._hang_up_soon, entry.shared)
        self.feed.join(self.viewer, entry.facts)
        self.place.callback(self.feed.leave, self.viewer)
        self.watching = Watching(self.feed, self.viewer)

    def _leave(self) -> None:
        """Be nobody here any more."""
        self.watching = None
        self.place.close()

    async def _entry(self, who: Identity, feed: Feed) -> store.Entry:
        """Whose the session is, if not yet nobody's. Raises NotYoursError.

        The feed looks every few seconds; who it would turn away may just have got it.
        """
        if feed.facts is not None and Act.READ in rights(who, feed.facts):
            return store.Entry(feed.facts, None)
        return await db(store.enter, self.session_id, who)

    def _greet(self, facts: store.SessionFacts | None) -> None:
        greeting: dict[str, Any] = {
            "session_id": str(self.session_id),
            "agent_name": facts.agent_name if facts else registry.default(),
            "message": "Connected.",
            "protocol": PROTOCOL_VERSION,
            "heartbeat_interval": HEARTBEAT_INTERVAL,
        }
        if self.who.scope is not None:
            greeting["scope"] = self.who.scope
        self._reply("connected", greeting)

    # ------------------------------------------------------------ commands

    def _decode(self, text: str | None) -> Command:
        try:
            command = decode_command(text)
        except ProtocolError:
            self.bad_frames += 1
            raise
        self.bad_frames = 0
        return command

    async def _carry_out(self, command: Command) -> None:
        if isinstance(command, Authenticate):
            await self._authenticate(command)
            return
        if self.waits_for_token is not None:
            raise Refused(self.waits_for_token)
        match command:
            case Ping():
                self._reply("pong", {"timestamp": command.timestamp})
            case Chat():
                await self._chat(command)
            case Subscribe():
                self.runtime.limits.read(self.who.person)
                await self._subscribe(command)
            case Interrupt():
                self.runtime.limits.read(self.who.person)
                await self.runtime.verbs.stop(
                    self.session_id, self.who, command.run, command.seen
                )
            case Retry():
                self._count_message()
                await self.runtime.verbs.retry(
                    self.session_id, self.who, command.run, self.address_key
                )
            case History():
                self.runtime.limits.read(self.who.person)
                self._reply(
                    "history", await db(_history, self.session_id, self.who, command)
                )
            case _:
                assert_never(command)

    async def _subscribe(self, command: Subscribe) -> None:
        """Return when the snapshot is sent: commands are answered in order."""
        joined = asyncio.Event()
        self.feed.subscribe(self.viewer, command, joined.set)
        await joined.wait()

    def _count_message(self) -> None:
        """Raise ProtocolError where that is too much for one person.

        Each socket without a cookie is somebody new: there the address is the person.
        """
        self.runtime.limits.message(self.address_key or self.who.person)

    async def _chat(self, chat: Chat) -> None:
        self._count_message()
        asked = await self.runtime.verbs.ask(
            self.session_id, self.who, chat, self.address_key
        )
        if not self.viewer.is_classic:
            self._reply("accepted", {"client_id": chat.client_id, "run": asked.number})
        elif asked.written and not asked.claimed and self.runtime.feeds.notice:
            text = self.runtime.feeds.notice.text  # which only log mode tells
            self._refuse(ProtocolError("model_unavailable", text, retryable=True))

    # ------------------------------------------------------------ answering

    def _reply(self, type_: str, data: Any) -> None:
        self.outbox.reply(message(type_, data))

    def _refuse(self, error: ProtocolError) -> None:
        self._reply("error", error.data)

    async def _send_text(self, text: str) -> None:
        # Not by `self.send`: that asks again for each message what it is made of.
        message: Any = {"type": "websocket.send", "text": text}
        await self.base_send(message)

    def _broken(self, error: Exception) -> None:
        """Nothing can be sent: an OSError, says ASGI, where the client has gone."""
        if isinstance(error, OSError):
            self.closed = True
            return
        logger.error("nothing can be sent to a socket", exc_info=error)
        self._hang_up_soon(CLOSE_OVERLOADED)  # the client comes back

    def _hang_up_soon(self, code: int) -> None:
        self.hanging_up = asyncio.create_task(self.hang_up(code))


class NowhereConsumer(ChatConsumer):
    """Any other path: says so in a way that a browser can see."""

    async def _arrive(self) -> None:
        raise Refused(CLOSE_NO_SUCH_SESSION)


# What ends a socket, and with which code.
_CODES: Final[dict[type[Exception], int]] = {
    NotYoursError: CLOSE_NO_SUCH_SESSION,
    TooManyError: CLOSE_TOO_MANY,
    TooManyGuessesError: CLOSE_TOO_MANY,
    TooSlowError: CLOSE_TOO_MANY,
}
_ENDS: Final[tuple[type[Exception], ...]] = (Refused, *_CODES)


def _code(end: Exception) -> int:
    return end.code if isinstance(end, Refused) else _CODES[type(end)]


def _refusal(error: DatabaseError) -> ProtocolError:
    if is_away(error) or is_busy(error):
        note_failure("a command", error)
        return AWAY if is_away(error) else BUSY
    logger.error("a command failed", exc_info=error)
    return FAILED


def _history(session_id: UUID, who: Identity, command: History) -> dict[str, Any]:
    if store.find_session(session_id, who) is None:
        return {"runs": [], "earlier": False}
    runs, earlier = store.latest_runs(session_id, command.limit, before=command.before)
    return {"runs": runs, "earlier": earlier}


def _session_id(scope: dict[str, Any]) -> UUID:
    try:
        return UUID(scope["url_route"]["kwargs"]["session_id"])
    except ValueError:
        raise Refused(CLOSE_NO_SUCH_SESSION) from None
