"""`/mcp`: the site's agents as tools of an MCP server, over streamable HTTP.

https://modelcontextprotocol.io/specification/2025-06-18/basic/transports

No state is kept besides the runs. Whoever is cut off while an agent works comes back by
GET with the id of the last event and is told the rest, on any server.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_http_methods
from msgspec import UNSET, Struct, UnsetType, structs

from chat import runtime, store
from chat.agents import registry
from chat.auth.origin import request_is_ours
from chat.programs import sse
from chat.programs.errors import RequestError, error_of, failure_of, for_program
from chat.programs.running import ask, events_of
from chat.programs.turns import Change, Closed, Ended, Opened, Turns
from chat.store.database import db
from chat.streams import Caller, EndedError
from chat.wire.protocol import Chat, ProtocolError, RunFinished, StepType

VERSIONS: Final = ("2025-06-18", "2025-03-26", "2025-11-25")  # the first: if unknown
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, BAD_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR: Final = -32603
WORDS: Final[dict[StepType, str]] = {
    "thought": "Thinking",
    "tool_use": "Calling {}",
    "final_answer": "Answering",
}

Data = dict[str, Any]


class Call(Struct, frozen=True):
    """What an agent is asked, and in which session if not in a new one."""

    prompt: str
    session_id: UUID | None = None


class CallParams(Struct, frozen=True):
    """Of `tools/call`."""

    name: str
    arguments: Call
    meta: dict[str, Any] = msgspec.field(name="_meta", default={})


class Message(Struct, frozen=True):
    """A request, where it has an id, or a notification."""

    method: str = ""  # empty: an answer to what was never asked
    id: int | str | UnsetType = UNSET
    params: msgspec.Raw = msgspec.Raw(b"{}")


class Cancelled(Struct, frozen=True):
    """Of `notifications/cancelled`."""

    request_id: int | str = msgspec.field(name="requestId", default="")


_decode = msgspec.json.Decoder(Message).decode
_decode_call = msgspec.json.Decoder(CallParams).decode


@require_http_methods(["GET", "POST", "DELETE"])
@for_program
async def mcp(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    """POST: a message. GET: the rest of an answer whose stream was cut off."""
    if not request_is_ours(request):
        raise RequestError(HTTPStatus.FORBIDDEN, "Not from that page.")
    match request.method:
        case "POST":
            return await _take(request, caller)
        case "GET":
            return _go_on(request, caller)
        case _:  # there is no session to end
            return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED)


async def _take(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    try:
        message = _decode(request.body)
    except msgspec.DecodeError as error:
        return _error(None, PARSE_ERROR, f"Bad message: {error}.", status=400)
    if message.id is UNSET:
        if message.method == "notifications/cancelled":
            await _cancel(request, caller, message)
        return HttpResponse(status=HTTPStatus.ACCEPTED)
    if message.method == "tools/call":
        return await _call(request, caller, message)
    answer = _ANSWERS.get(message.method)
    if answer is None:
        text = f"There is no {message.method[:60]!r} here."
        return _error(message.id, NO_METHOD, text)
    return answer(message)


def _initialize(message: Message) -> JsonResponse:
    asked = msgspec.json.decode(message.params, type=dict[str, Any])
    version = asked.get("protocolVersion")
    answer = _result(
        message.id,
        {
            "protocolVersion": version if version in VERSIONS else VERSIONS[0],
            "capabilities": {"tools": {"listChanged": False}},
            "serverInfo": {"name": "reasoning-site", "version": "1"},
            "instructions": "Each tool is an agent: ask it in plain words.",
        },
    )
    # It only tells which client's requests have which numbers.
    answer.headers["Mcp-Session-Id"] = uuid4().hex
    return answer


def _tools(message: Message) -> JsonResponse:
    schema = {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "description": "The question or task."},
            "session_id": {
                "type": "string",
                "format": "uuid",
                "description": "The chat to go on in; a new one where it is left out.",
            },
        },
        "required": ["prompt"],
    }
    said = {
        "type": "object",
        "properties": {
            "answer": {"type": "string"},
            "session_id": {"type": "string"},
            "reason": {"type": "string", "description": "Why the run ended."},
        },
        "required": ["answer", "session_id", "reason"],
    }
    tools = [
        {
            "name": agent.name,
            "description": agent.description or agent.name,
            "inputSchema": schema,
            "outputSchema": said,
        }
        for agent in registry.describe()
    ]
    return _result(message.id, {"tools": tools})


async def _call(
    request: HttpRequest, caller: Caller, message: Message
) -> HttpResponseBase:
    try:
        call = _decode_call(message.params)
    except msgspec.ValidationError as error:
        return _error(message.id, BAD_PARAMS, f"Bad arguments: {error}.")
    if call.name not in {agent.name for agent in registry.describe()}:
        return _error(message.id, BAD_PARAMS, f"There is no tool {call.name[:60]!r}.")
    session_id = call.arguments.session_id or uuid4()
    chat = Chat(
        call.arguments.prompt, call.name, client_id=_client_id(request, message.id)
    )
    try:
        number = await ask(caller, session_id, chat)
    except ProtocolError as error:
        content = [{"type": "text", "text": str(error)}]
        return _result(message.id, {"content": content, "isError": True})
    place = _Place(session_id, number, message.id, call.meta.get("progressToken"), 0)
    return sse.response(_events(caller, place))


async def _cancel(request: HttpRequest, caller: Caller, message: Message) -> None:
    """Stop the run of a call that nobody waits for any more."""
    cancelled = msgspec.json.decode(message.params, type=Cancelled)
    name = _client_id(request, cancelled.request_id)
    if known := await db(store.known_question, caller.who, name):
        await runtime.current().verbs.stop(known[0], caller.who, known[1], None)


def _client_id(request: HttpRequest, request_id: int | str | UnsetType) -> str:
    client = request.headers.get("Mcp-Session-Id") or uuid4().hex
    return f"mcp-{sha256(f'{client} {request_id!r}'.encode()).hexdigest()[:40]}"


class _Place(Struct, frozen=True, array_like=True):
    """How far a call's answer has been told: an event's id, as text."""

    session_id: UUID
    number: int
    request_id: int | str | UnsetType
    token: int | str | None  # with which progress is told; None: it is not
    told: int  # changes of the run

    def id(self) -> str:
        """The text."""
        return urlsafe_b64encode(msgspec.json.encode(self)).decode()


def _go_on(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    last = request.headers.get("Last-Event-ID", "")
    if not last:  # there is nothing that the site says unasked
        return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED)
    try:
        place = msgspec.json.decode(urlsafe_b64decode(last), type=_Place)
    except (ValueError, msgspec.DecodeError):
        raise RequestError(HTTPStatus.BAD_REQUEST, "There is no such event.") from None
    return sse.response(_events(caller, place))


async def _events(caller: Caller, place: _Place) -> AsyncIterator[bytes]:
    """Progress, and then the result, of what has not been told yet."""
    yield sse.event("", id_=place.id())
    turns, answer = Turns(), _Answer(place)
    told = 0
    try:
        async for event in events_of(caller, place.session_id, place.number):
            if event is None:
                yield sse.KEEP_ALIVE
                continue
            for change in turns.apply(event):
                for said in answer.after(change):
                    told += 1
                    if told > place.told:
                        now = structs.replace(place, told=told)
                        yield sse.event(_text(said), id_=now.id())
    except EndedError:
        return  # whoever comes back, with the last id, is told the rest
    except Exception as error:  # noqa: BLE001  (what it does not know, it raises)
        said = _said_error(place.request_id, INTERNAL_ERROR, str(error_of(error)))
        yield sse.event(_text(said))


class _Answer:
    """What is told of a run: each step that begins, and at the end the result."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._answers: list[str] = []
        self._types: dict[int, StepType] = {}
        self._steps = 0

    def after(self, change: Change) -> Iterator[Data]:
        """The messages after a change."""
        match change:
            case Opened():
                self._types[change.item] = change.type
                if change.type in WORDS and self._place.token is not None:
                    self._steps += 1
                    yield self._progress(WORDS[change.type].format(change.tool_name))
            case Closed() if self._types[change.item] == "final_answer":
                self._answers.append(change.text)
            case Closed() if self._types[change.item] == "tool_use":
                self._answers.clear()  # what was said before a call was a thought
            case Ended():
                yield self._result(change.run)
            case _:
                pass

    def _progress(self, text: str) -> Data:
        return {
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": {
                "progressToken": self._place.token,
                "progress": self._steps,
                "message": text,
            },
        }

    def _result(self, finished: RunFinished) -> Data:
        failure = failure_of(finished)
        text = str(failure) if failure else "\n\n".join(self._answers)
        result = {
            "content": [{"type": "text", "text": text}],
            "structuredContent": {
                "answer": text,
                "session_id": str(self._place.session_id),
                "reason": finished.reason,
            },
            "isError": failure is not None,
        }
        return _said_result(self._place.request_id, result)


def _said_result(request_id: Any, result: Data) -> Data:
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _said_error(request_id: Any, code: int, message: str) -> Data:
    error = {"code": code, "message": message}
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def _text(said: Data) -> str:
    return msgspec.json.encode(said).decode()


def _result(request_id: Any, result: Data) -> JsonResponse:
    return JsonResponse(_said_result(request_id, result))


def _error(request_id: Any, code: int, message: str, status: int = 200) -> JsonResponse:
    return JsonResponse(_said_error(request_id, code, message), status=status)


_ANSWERS: Final[dict[str, Callable[[Message], JsonResponse]]] = {
    "initialize": _initialize,
    "ping": lambda message: _result(message.id, {}),
    "tools/list": _tools,
}
