"""A program asks, and follows the one run that its question becomes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from chat import runtime
from chat.programs.sse import KEEP_ALIVE_SECONDS
from chat.streams import Caller, EndedError, following
from chat.wire.protocol import (
    CLOSE_OVERLOADED,
    Chat,
    Event,
    RunFinished,
    checked_chat,
    decode_events,
)

# Every run's first event; what comes after it is told.
_CREATED: Final = 1


class _Data(Struct, frozen=True):
    run: int = 0
    events: msgspec.Raw = msgspec.Raw(b"[]")


class _Message(Struct, frozen=True):
    type: str
    data: _Data


_decode = msgspec.json.Decoder(_Message).decode


async def ask(caller: Caller, session_id: UUID, chat: Chat) -> int:
    """Ask, and return the run's number once it is committed.

    Raises ProtocolError, NotYoursError, NotAllowedError, DatabaseError, and EndedError
    where this process takes nothing on any more.
    """
    running = runtime.current()
    if running.draining:
        raise EndedError(CLOSE_OVERLOADED)
    running.limits.message(caller.who)
    asked = await running.verbs.ask(session_id, caller.who, checked_chat(chat))
    return asked.number


async def events_of(
    caller: Caller, session_id: UUID, number: int
) -> AsyncIterator[Event | None]:
    """A run's events to its end; None from time to time, where nothing happens.

    Raises EndedError where the stream ends before the run does, and as `following`.
    """
    async with following(session_id, caller, {number: _CREATED}) as follower:
        while True:
            text = await follower.next(KEEP_ALIVE_SECONDS)
            if not text:
                yield None
                continue
            said = _decode(text)
            if said.type != "events" or said.data.run != number:
                continue
            for event in decode_events(said.data.events):
                yield event
                if isinstance(event, RunFinished):
                    return
