"""`/api/sessions/<id>/events`: what a socket in log mode is told, by HTTP.

For who cannot have a WebSocket. Each event's data is a message of the wire; its id says
how far its run has come, so that who comes back with it is told what follows.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from chat import runtime, store
from chat.access import NotYoursError
from chat.auth.limits import TooManyError
from chat.programs import sse
from chat.programs.callers import caller_of
from chat.store.database import db
from chat.streams import Caller, EndedError, following
from chat.wire.protocol import (
    CLOSE_NO_SUCH_SESSION,
    CLOSE_OVERLOADED,
    CLOSE_TOO_MANY,
    Place,
)

RETRY_AFTER: Final = 2  # seconds
logger = logging.getLogger(__name__)

_START: Final = b"retry: 1000\n\n"

_decode_seen = msgspec.json.Decoder(dict[int, Place]).decode


class _Event(msgspec.Struct, frozen=True):
    seq: int
    epoch: int = 0


class _Run(msgspec.Struct, frozen=True):
    run: int
    epoch: int
    seq: int


class _Data(msgspec.Struct, frozen=True):
    run: int = 0
    events: list[_Event] = []
    runs: list[_Run] = []


class _Message(msgspec.Struct, frozen=True):
    type: str
    data: _Data


_decode_message = msgspec.json.Decoder(_Message).decode


@require_GET
async def session_events(request: HttpRequest, session_id: UUID) -> HttpResponseBase:
    """Follow a session. `Last-Event-ID: run.epoch.seq`, or `?seen=` as `subscribe` has.

    A stream that the site ends says why in a last event, `end` {code}.
    """
    try:
        seen = _seen(request)
    except ValueError as error:
        return refusal(400, "bad_message", f"Bad request: {error}.")
    caller = await caller_of(request)
    if caller is None:
        return refusal(401, "forbidden", "Sign in first.")
    if runtime.current().draining:
        return refusal(503, "internal", "This server is ending. Try again.")
    try:
        await db(store.enter, session_id, caller.who)
    except NotYoursError:
        return refusal(404, "not_found", "There is no such session.")
    except DatabaseError:
        return refusal(503, "internal", "The database is away. Try again in a moment.")
    return sse.response(_events(session_id, caller, seen))


def refusal(status: int, code: str, message: str) -> JsonResponse:
    """An error as the JSON API says it."""
    body: Any = {"error": {"code": code, "message": message}}
    answer = JsonResponse(body, status=status)
    if status in {429, 503}:
        answer.headers["Retry-After"] = str(RETRY_AFTER)
    return answer


async def _events(
    session_id: UUID, caller: Caller, seen: Mapping[int, Place]
) -> AsyncIterator[bytes]:
    # Entered here and not before: what was never begun need not be closed.
    places = _Places(seen)
    code = CLOSE_OVERLOADED
    yield _START
    try:
        async with following(session_id, caller, seen) as follower:
            while True:
                text = await follower.next(sse.KEEP_ALIVE_SECONDS)
                yield (
                    sse.event(text, id_=places.after(text)) if text else sse.KEEP_ALIVE
                )
    except EndedError as ended:
        code = ended.code
    except NotYoursError:
        code = CLOSE_NO_SUCH_SESSION
    except TooManyError:
        code = CLOSE_TOO_MANY
    except DatabaseError as error:
        logger.warning("nobody can follow a session: %s", error)
    yield sse.event(f'{{"code":{code}}}', name="end")


class _Places:
    """How far each run has come by what was sent."""

    def __init__(self, seen: Mapping[int, Place]) -> None:
        self._epochs = {
            run: place[0] for run, place in seen.items() if isinstance(place, tuple)
        }

    def after(self, text: str) -> str:
        """The id of the event whose data is `text`; empty where it moves nothing."""
        said = _decode_message(text)
        if said.type == "snapshot" and said.data.runs:
            self._epochs.update({run.run: run.epoch for run in said.data.runs})
            last = max(said.data.runs, key=lambda run: run.run)
            return f"{last.run}.{last.epoch}.{last.seq}"
        if said.type != "events":
            return ""
        run, events = said.data.run, said.data.events
        for event in events:
            if event.epoch or event.seq == 1:
                self._epochs[run] = event.epoch
        epoch = self._epochs.get(run)
        seq = events[-1].seq
        return f"{run}.{seq}" if epoch is None else f"{run}.{epoch}.{seq}"


def _seen(request: HttpRequest) -> dict[int, Place]:
    """What the client has. Raises ValueError."""
    if last := request.headers.get("Last-Event-ID", ""):
        run, *place = (int(part) for part in last.split("."))
        match place:
            case [epoch, seq]:
                return {run: (epoch, seq)}
            case [seq]:
                return {run: seq}
            case _:
                raise ValueError("Last-Event-ID is run.epoch.seq")
    return _decode_seen(request.GET.get("seen", "{}"))
