"""`/v1/models` and `/v1/chat/completions`.

An answer's text and thoughts are told; what its tools did is not, since this form has
no place for calls that the client need not make: /v1/responses has.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from uuid import UUID

import msgspec
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET, require_POST
from msgspec import Struct

from chat.agents import registry
from chat.programs import sse
from chat.programs.errors import RequestError, error_of, failure_of, for_program
from chat.programs.openai.conversations import Message, ask_question, question_of
from chat.programs.openai.forms import finish_reason, name_of, usage_of
from chat.programs.running import events_of
from chat.programs.turns import Change, Ended, More, Opened, Turns
from chat.streams import Caller, EndedError
from chat.wire.protocol import CLOSE_OVERLOADED, RunFinished
from chat.wire.transcript import RunState, apply

PREFIX: Final = "chatcmpl-"
OWNER: Final = "reasoning-site"
DONE: Final = sse.event("[DONE]")
FIELDS: Final = {"final_answer": "content", "thought": "reasoning_content"}


class StreamOptions(Struct, frozen=True):
    """What a stream says besides."""

    include_usage: bool = False


class Request(Struct, frozen=True):
    """What is asked. How to sample is the agent's affair: such fields are ignored."""

    model: str
    messages: list[Message]
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = 1
    tools: list[Any] | None = None


_decode = msgspec.json.Decoder(Request).decode


@require_GET
@for_program
async def models(_request: HttpRequest, _caller: Caller) -> HttpResponseBase:
    """The agents that can be asked."""
    found = [_model(agent.name) for agent in registry.describe()]
    return JsonResponse({"object": "list", "data": found})


@require_GET
@for_program
async def model(_request: HttpRequest, _caller: Caller, name: str) -> HttpResponseBase:
    """One of them."""
    if name not in {agent.name for agent in registry.describe()}:
        raise RequestError(404, f"There is no {name[:80]!r}.", "model_not_found")
    return JsonResponse(_model(name))


@require_POST
@for_program
async def completions(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    """Ask an agent, and have its answer whole or as it comes."""
    asked = _decode(request.body)
    if asked.n not in {None, 1}:
        raise RequestError(400, "Only one answer at a time: n must be 1.")
    if asked.tools:
        message = "The agent has tools of its own; those of a client are not taken."
        raise RequestError(400, message)
    question = question_of(asked.messages)
    key = request.headers.get("Idempotency-Key", "")
    session_id, number = await ask_question(caller, question, asked.model, key)
    answer: HttpResponseBase
    if asked.stream:
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        answer = sse.response(
            _chunks(caller, session_id, number, asked.model, tells_usage=usage)
        )
    else:
        answer = await _whole(caller, session_id, number, asked.model)
    answer.headers["X-Session-Id"] = str(session_id)
    return answer


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}


async def _whole(
    caller: Caller, session_id: UUID, number: int, name: str
) -> JsonResponse:
    run = RunState(number, seq=1)
    finished: RunFinished | None = None
    async for event in events_of(caller, session_id, number):
        if event is not None:
            apply(run, event)
        if isinstance(event, RunFinished):
            finished = event
    if finished is None:
        raise EndedError(CLOSE_OVERLOADED)
    if failure := failure_of(finished):
        raise failure
    texts = {
        field: "\n\n".join(
            step.content for step in run.steps.values() if step.type == type_
        )
        for type_, field in FIELDS.items()
    }
    message = {"role": "assistant", "content": texts.pop("content"), "refusal": None}
    message |= {field: text for field, text in texts.items() if text}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": finish_reason(finished),
        "logprobs": None,
    }
    body = _head("chat.completion", session_id, number, name)
    return JsonResponse(
        body | {"choices": [choice], "usage": _usage(finished)},
    )


async def _chunks(
    caller: Caller, session_id: UUID, number: int, name: str, *, tells_usage: bool
) -> AsyncIterator[bytes]:
    chunks = _Chunks(
        _head("chat.completion.chunk", session_id, number, name),
        tells_usage=tells_usage,
    )
    turns = Turns()
    yield _event(chunks.chunk({"role": "assistant", "content": ""}))
    try:
        async for event in events_of(caller, session_id, number):
            if event is None:
                yield sse.KEEP_ALIVE
                continue
            for change in turns.apply(event):
                for chunk in chunks.of(change):
                    yield _event(chunk)
        yield DONE
    except Exception as error:  # noqa: BLE001  (what it does not know, it raises)
        yield _event(error_of(error).data)


class _Chunks:
    """The chunks of one streamed answer."""

    def __init__(self, head: dict[str, Any], *, tells_usage: bool) -> None:
        self._head = head
        self._tells_usage = tells_usage
        self._fields: dict[int, str] = {}  # by item
        self._spoken: set[str] = set()

    def chunk(self, delta: dict[str, str], why: str | None = None) -> dict[str, Any]:
        """One chunk."""
        choice = {"index": 0, "delta": delta, "finish_reason": why, "logprobs": None}
        return self._head | {"choices": [choice]}

    def of(self, change: Change) -> Iterator[dict[str, Any]]:
        """How a change of the run is told. Raises RequestError where it failed."""
        match change:
            case Opened() if field := FIELDS.get(change.type):
                self._fields[change.item] = field
                if field in self._spoken:
                    yield self.chunk({field: "\n\n"})
            case More() if field := self._fields.get(change.item):
                self._spoken.add(field)
                yield self.chunk({field: change.text})
            case Ended():
                if failure := failure_of(change.run):
                    raise failure
                yield self.chunk({}, finish_reason(change.run))
                if self._tells_usage:
                    yield self._head | {"choices": [], "usage": _usage(change.run)}
            case _:
                pass


def _head(kind: str, session_id: UUID, number: int, name: str) -> dict[str, Any]:
    return {
        "id": name_of(PREFIX, session_id, number),
        "object": kind,
        "created": int(time.time()),
        "model": name,
    }


def _usage(finished: RunFinished) -> dict[str, int]:
    usage = usage_of(finished)
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _event(data: Any) -> bytes:
    return sse.event(msgspec.json.encode(data).decode())
