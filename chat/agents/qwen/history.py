"""What an agent remembers: earlier exchanges as messages, cut to the model's context.

Messages are in Qwen-Agent's form here (`role` user, assistant or function); in the
form of OpenAI they go to the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from chat.agents.base import AgentError, Exchange, Part

Message = dict[str, Any]

OVERHEAD: Final = 4  # tokens around each message
ANSWER: Final = 0.75  # of the context is for the question, the rest for the answer


def messages_of(
    prompt: str,
    history: Sequence[Exchange],
    done: Sequence[Part],
    *,
    with_tools: bool,
) -> list[Message]:
    """The conversation so far, then the prompt and what was done about it.

    An agent without tools is told only what was said: many servers refuse tool
    messages where no tools are declared. Thoughts are not fed back.
    """
    messages: list[Message] = []
    for number, exchange in enumerate(history):
        messages.append({"role": "user", "content": exchange.prompt})
        messages += _rounds(exchange.parts, f"h{number}_", with_tools=with_tools)
    messages.append({"role": "user", "content": prompt})
    messages += _rounds(done, "", with_tools=with_tools)
    return messages


def _rounds(
    parts: Iterable[Part], prefix: str, *, with_tools: bool
) -> Iterable[Message]:
    parts = tuple(parts)
    results = {part.call_id: part for part in parts if part.type == "tool_result"}
    for part in parts:
        if part.type == "final_answer" and part.content:
            yield {"role": "assistant", "content": part.content}
        elif part.type == "tool_use" and with_tools and part.call_id in results:
            yield from _call(part, results[part.call_id], prefix)


def _call(part: Part, result: Part, prefix: str) -> Iterable[Message]:
    """A call and its result; both, or the server would not accept either."""
    call_id = {"function_id": prefix + part.call_id}
    arguments = part.content if part.tool_input is not None else "{}"
    yield {
        "role": "assistant",
        "content": "",
        "function_call": {"name": part.tool_name, "arguments": arguments},
        "extra": call_id,
    }
    yield {
        "role": "function",
        "name": part.tool_name,
        "content": _told(result),
        "extra": call_id,
    }


def _told(result: Part) -> str:
    """A tool's result as the model is told it."""
    match result.status:
        case "ok":
            return result.content
        case "error":
            return f"Error: {result.content}"
        case "stopped":
            return f"{result.content} (stopped before it had finished)".strip()


def as_openai(messages: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Qwen-Agent's messages in OpenAI's form.

    Adjacent messages of the assistant are one, since a round with several calls is
    one message there. Calls are numbered anew, so that no id occurs twice.
    """
    turned: list[Message] = []
    ids: dict[str, str] = {}
    for message in messages:
        role = message["role"]
        extra = message.get("extra") or {}
        if role == "function":
            known = ids.pop(str(extra.get("function_id")), "call_0")
            turned.append(
                {"role": "tool", "tool_call_id": known, "content": _text(message)}
            )
        elif role == "assistant":
            turn = _assistant_turn(turned)
            turn["content"] += _text(message)
            call = message.get("function_call")
            if call:
                calls = turn.setdefault("tool_calls", [])
                call_id = f"call_{len(turned)}_{len(calls) + 1}"
                ids[str(extra.get("function_id"))] = call_id
                function = {"name": call["name"], "arguments": call["arguments"]}
                calls.append({"id": call_id, "type": "function", "function": function})
        else:
            turned.append({"role": role, "content": _text(message)})
    return turned


def _assistant_turn(turned: list[Message]) -> Message:
    if not turned or turned[-1]["role"] != "assistant":
        turned.append({"role": "assistant", "content": ""})
    return turned[-1]


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(item.get("text") or "") for item in content)


def estimate_tokens(text: str) -> int:
    """A cautious guess at how many tokens a text is."""
    return len(text.encode(errors="replace")) // 3 + 1


def cut_to(
    messages: list[Message], tools: Sequence[Mapping[str, Any]], limit: int
) -> list[Message]:
    """The messages without the oldest exchanges that do not fit in `limit` tokens.

    The last exchange is never cut: if it does not fit by itself, that is an error
    which people are told.
    """
    head = [message for message in messages[:1] if message["role"] == "system"]
    turns: list[list[Message]] = []
    for message in messages[len(head) :]:
        if message["role"] == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    left = limit * ANSWER - _cost(head)
    if tools:
        left -= estimate_tokens(json.dumps(list(tools)))
    kept: list[Message] = []
    for number, turn in enumerate(reversed(turns)):
        left -= _cost(turn)
        if left < 0:
            if number == 0:
                raise AgentError(
                    "model_error",
                    "This message, with what was found out about it, is too long for "
                    "the model. Please shorten it or ask for less at once.",
                )
            break
        kept[:0] = turn
    return head + kept


def _cost(messages: Iterable[Message]) -> int:
    total = 0
    for message in messages:
        total += OVERHEAD + estimate_tokens(message["content"])
        if "tool_calls" in message:
            total += estimate_tokens(json.dumps(message["tool_calls"]))
    return total
