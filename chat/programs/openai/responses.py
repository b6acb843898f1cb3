"""`/v1/responses`: a response is a run, also when nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final
from uuid import UUID

import msgspec
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET, require_POST
from msgspec import Struct

from chat import runtime, store
from chat.programs import sse
from chat.programs.errors import RequestError, error_of, for_program
from chat.programs.openai.conversations import (
    Message,
    Question,
    ask_question,
    question_of,
)
from chat.programs.openai.forms import name_of, run_of
from chat.programs.openai.items import Data, Items, after
from chat.programs.running import events_of
from chat.programs.turns import Turns
from chat.store.database import db
from chat.streams import Caller
from chat.wire.protocol import RunStarted

PREFIX: Final = "resp_"
# Of items that a client sends back: the agent remembers those by itself.
REMEMBERED: Final = frozenset({"reasoning", "mcp_call", "item_reference"})


class Item(Message, frozen=True):
    """A message, or another item of a conversation."""

    type: str = "message"


class Request(Struct, frozen=True):
    """What is asked. How to sample is the agent's affair: such fields are ignored."""

    model: str
    input: str | list[Item]
    instructions: str | None = None
    previous_response_id: str | None = None
    stream: bool | None = False
    background: bool | None = False
    tools: list[Any] | None = None
    metadata: dict[str, str] | None = None


_decode = msgspec.json.Decoder(Request).decode


@require_POST
@for_program
async def responses(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    """Ask an agent; have its response whole, as it comes, or later."""
    asked = _decode(request.body)
    if asked.tools:
        message = "The agent has tools of its own; those of a client are not taken."
        raise RequestError(400, message)
    before = asked.previous_response_id
    session_id = run_of(PREFIX, before)[0] if before else None
    key = request.headers.get("Idempotency-Key", "")
    session_id, number = await ask_question(
        caller, _question(asked), asked.model, key, session_id
    )
    response = _response(session_id, number, asked.model, time.time())
    response |= {
        "previous_response_id": before,
        "instructions": asked.instructions,
        "background": bool(asked.background),
        "metadata": asked.metadata or {},
    }
    if asked.stream:
        return sse.response(_stream(caller, response, 0))
    if asked.background:
        return JsonResponse(response)
    return JsonResponse(await _whole(caller, response))


@require_GET
@for_program
async def response(request: HttpRequest, caller: Caller, name: str) -> HttpResponseBase:
    """A response; `?stream=true`: what comes after `starting_after`."""
    found = await _found(caller, name)
    if request.GET.get("stream") in {"true", "1"}:
        starting_after = _number(request.GET.get("starting_after", "0"))
        return sse.response(_stream(caller, found, starting_after))
    return JsonResponse(await _so_far(caller, found))


@require_POST
@for_program
async def cancel(_request: HttpRequest, caller: Caller, name: str) -> HttpResponseBase:
    """Stop the run, and say how far it came."""
    found = await _found(caller, name)
    session_id, number = run_of(PREFIX, name)
    now = await _so_far(caller, found)
    if now["status"] in {"queued", "in_progress"}:
        await runtime.current().verbs.stop(session_id, caller.who, number, None)
        now = await _whole(caller, found)
    return JsonResponse(now)


def _question(asked: Request) -> Question:
    instructions = asked.instructions or ""
    if isinstance(asked.input, str):
        messages = [Message("user", asked.input)]
    else:
        messages = [item for item in asked.input if item.type not in REMEMBERED]
        for item in asked.input:
            if item.type not in REMEMBERED | {"message"}:
                raise RequestError(
                    400, f"Items of type {item.type[:40]!r} are not taken."
                )
    if instructions:
        messages = [Message("system", instructions), *messages]
    return question_of(messages)


def _response(session_id: UUID, number: int, agent: str, created: float) -> Data:
    return {
        "id": name_of(PREFIX, session_id, number),
        "object": "response",
        "created_at": int(created),
        "status": "queued",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": agent,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "auto",
        "usage": None,
        "user": None,
    }


async def _found(caller: Caller, name: str) -> Data:
    session_id, number = run_of(PREFIX, name)
    asked = await db(store.question, session_id, caller.who, number)
    response = _response(session_id, number, asked.agent_name, asked.timestamp)
    if number > 1:
        response["previous_response_id"] = name_of(PREFIX, session_id, number - 1)
    return response


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = "starting_after is the sequence_number of an event."
        raise RequestError(400, message) from None


async def _whole(caller: Caller, response: Data) -> Data:
    """The response once it has ended. Raises as `events_of`."""
    items, turns = Items(response), Turns()
    async for event in events_of(caller, *run_of(PREFIX, response["id"])):
        if event is not None:
            for change in turns.apply(event):
                for _ in items.apply(change):
                    pass
    return items.response


async def _so_far(caller: Caller, response: Data) -> Data:
    """The response as it stands now."""
    session_id, number = run_of(PREFIX, response["id"])
    asked = await db(store.question, session_id, caller.who, number)
    items, turns = Items(response), Turns()
    has_begun = False
    for event in await db(store.read_events, asked.run_id):
        has_begun |= isinstance(event, RunStarted)
        for change in turns.apply(event):
            for _ in items.apply(change):
                pass
    if not has_begun and items.response["status"] == "in_progress":
        items.response["status"] = "queued"
    return items.response


async def _stream(
    caller: Caller, response: Data, starting_after: int
) -> AsyncIterator[bytes]:
    items, turns = Items(response), Turns()

    def told(events: Iterable[Data]) -> bytes:
        said = [after(event, starting_after) for event in events]
        return b"".join(
            sse.event(msgspec.json.encode(event).decode(), name=event["type"])
            for event in said
            if event is not None
        )

    try:
        yield told(items.begin())
        async for event in events_of(caller, *run_of(PREFIX, response["id"])):
            if event is None:
                yield sse.KEEP_ALIVE
                continue
            for change in turns.apply(event):
                if text := told(items.apply(change)):
                    yield text
    except Exception as error:  # noqa: BLE001  (what it does not know, it raises)
        said = error_of(error)
        data = {"type": "error", "code": said.code, "message": str(said), "param": None}
        yield sse.event(msgspec.json.encode(data).decode(), name="error")
