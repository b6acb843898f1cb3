"""What an agent remembers: earlier exchanges as messages, cut to the model's context.

Messages are in Qwen-Agent's form here (`role` user, assistant or function); in the
form of OpenAI they go to the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from msgspec import structs

from chat.agents.base import AgentError, Exchange, Part
from chat.agents.model.rounds import arguments_text

Message = dict[str, Any]

OVERHEAD: Final = 4  # tokens around each message
ANSWER: Final = 0.75  # of the context is for the question, the rest for the answer
SHORT: Final = 400  # characters of an older result that are kept where they must be few

CUT_OFF: Final = "(My answer was cut off here.)"
UNANSWERED: Final = "(I was interrupted before I could answer.)"
GO_ON: Final = "(Your answer was cut off. Go on exactly where it ended.)"


def messages_of(
    prompt: str,
    history: Sequence[Exchange],
    done: Sequence[Part],
    *,
    with_tools: bool,
) -> list[Message]:
    """The conversation so far, then the prompt and what was done about it.

    User and assistant alternate, whatever was stopped, refused or broken off: many
    chat templates refuse anything else. An agent without tools is told only what was
    said: many servers refuse tool messages where no tools are declared. Thoughts are
    not fed back, but those of this run's rounds that called tools, to the server that
    had them: some refuse calls without.
    """
    messages: list[Message] = []
    for number, exchange in enumerate(history):
        _add_prompt(messages, exchange.prompt)
        parts = [structs.replace(part, server_fields=None) for part in exchange.parts]
        messages += _rounds(parts, f"h{number}_", with_tools=with_tools)
        if messages[-1]["role"] == "function":
            messages.append({"role": "assistant", "content": UNANSWERED})
    _add_prompt(messages, prompt)
    messages += _rounds(done, "", with_tools=with_tools)
    if messages[-1]["role"] == "assistant":
        messages[-1]["content"] = messages[-1]["content"].removesuffix(CUT_OFF).rstrip()
        messages.append({"role": "user", "content": GO_ON, "extra": {"goes_on": True}})
    return messages


def _add_prompt(messages: list[Message], prompt: str) -> None:
    """Add a question; one that got no answer at all is asked with it."""
    if messages and messages[-1]["role"] == "user":
        messages[-1]["content"] += f"\n\n{prompt}"
    else:
        messages.append({"role": "user", "content": prompt})


def _rounds(
    parts: Iterable[Part], prefix: str, *, with_tools: bool
) -> Iterable[Message]:
    parts = tuple(parts)
    results = {part.call_id: part for part in parts if part.type == "tool_result"}
    answers = [part for part in parts if part.type == "final_answer"]
    for _, group in groupby(parts, key=lambda part: part.iteration):
        said = list(group)
        uses = {part.call_id: part for part in said if part.type == "tool_use"}
        calls = [part for part in uses.values() if part.call_id in results]
        if calls and with_tools:
            # Calls with their results; both, or the server would accept neither.
            yield from _calls(said, calls, prefix)
            for part in calls:
                yield _result(part, results[part.call_id], prefix)
        for part in said:
            if part.type == "final_answer" and part.content:
                # What was cut off and continued is whole.
                whole = part.status == "ok" or part is not answers[-1]
                text = part.content if whole else f"{part.content}\n\n{CUT_OFF}"
                answer = {"role": "assistant", "content": text}
                yield answer | ({"name": part.agent} if part.agent else {})


def _calls(
    said: Sequence[Part], calls: Sequence[Part], prefix: str
) -> Iterable[Message]:
    """What a round said that called tools: each call in a message of its own.

    The first has what goes back to the server beside the calls.
    """
    fields = [(part, part.server_fields or {}) for part in said]
    thoughts = [part.content for part, of in fields if of.get("reasoning")]
    names = [name for _, of in fields for name in of.get("reasoning") or ()]
    message: Message = next(
        (of["message"] for _, of in fields if of.get("message")), {}
    )
    content = "".join(part.content for part, of in fields if of.get("text"))
    first: Message = {
        "reasoning_content": "".join(thoughts) or None,
        "extra": {"message": message, "reasoning_fields": list(dict.fromkeys(names))},
    }
    for part in calls:
        arguments = arguments_text(part.content, part.tool_input)
        call = (part.server_fields or {}).get("call") or {}
        yield {
            "role": "assistant",
            "content": content,
            "function_call": {"name": part.tool_name, "arguments": arguments},
            **first,
            "extra": {**_ids(part, prefix), "call": call, **first.get("extra", {})},
        }
        content, first = "", {}


def _result(part: Part, result: Part, prefix: str) -> Message:
    return {
        "role": "function",
        "name": part.tool_name,
        "content": told(result),
        "extra": _ids(part, prefix),
    }


def _ids(part: Part, prefix: str) -> dict[str, str]:
    """Of a call, for the library and for the server."""
    return {"function_id": prefix + part.call_id, "call_id": part.call_id}


def told(result: Part) -> str:
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
    one message there. Calls keep the ids they had, but where one occurs twice. What
    the server said beside text and calls in a round of this run goes back as it came:
    its reasoning in the fields it came in, and fields that nobody here knows.
    """
    turned: list[Message] = []
    ids: dict[str, str] = {}
    used: set[str] = set()
    for message in messages:
        role = message["role"]
        extra = message.get("extra") or {}
        function_id = str(extra.get("function_id"))
        if role == "function":
            known = ids.get(function_id) or "call00000"
            turned.append(
                {"role": "tool", "tool_call_id": known, "content": _text(message)}
            )
        elif role == "assistant":
            turn = _assistant_turn(turned)
            turn["content"] += _text(message)
            turn.update(extra.get("message") or {})
            if reasoning := message.get("reasoning_content"):
                fields = extra.get("reasoning_fields") or []
                turn.update(dict.fromkeys(fields, reasoning))
            if call := message.get("function_call"):
                wanted = str(extra.get("call_id") or function_id)
                call_id = ids[function_id] = _unused(wanted, used)
                _add_call(turn, call, call_id, extra.get("call") or {})
        else:
            turned.append({"role": role, "content": _text(message)})
    for turn in turned:
        _put_thinking_first(turn)
    return turned


def _assistant_turn(turned: list[Message]) -> Message:
    """The assistant's message that more is added to."""
    if not turned or turned[-1]["role"] != "assistant":
        turned.append({"role": "assistant", "content": ""})
    return turned[-1]


def _unused(wanted: str, used: set[str]) -> str:
    """The id, or another where it was used before: nine letters and digits."""
    if not wanted or wanted in used:
        numbers = (f"call{number:05}" for number in range(1, 100_000))
        wanted = next(number for number in numbers if number not in used)
    used.add(wanted)
    return wanted


def _add_call(
    turn: Message, call: Mapping[str, Any], call_id: str, extras: Mapping[str, Any]
) -> None:
    function = {"name": call["name"], "arguments": call["arguments"]}
    turn.setdefault("tool_calls", []).append(
        {
            **extras,
            "id": call_id,
            "type": "function",
            "function": {**(extras.get("function") or {}), **function},
        }
    )


def _put_thinking_first(turn: Message) -> None:
    """Thoughts that came as a part of the content go back as one."""
    content = turn["content"]
    if turn["role"] == "assistant" and isinstance(turn.get("thinking_part"), str):
        thought = {"type": "text", "text": turn.pop("thinking_part")}
        turn["content"] = [
            {"type": "thinking", "thinking": [thought]},
            {"type": "text", "text": content},
        ]


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

    Of the last exchange the question and the newest results always stay; the older
    results are shortened if need be. Raises AgentError where that does not do.
    """
    head = [message for message in messages[:1] if message["role"] == "system"]
    turns: list[list[Message]] = []
    for message in messages[len(head) :]:
        if _is_question(message) or not turns:
            turns.append([])
        turns[-1].append(message)
    left = limit * ANSWER - _cost(head)
    if tools:
        left -= estimate_tokens(json.dumps(list(tools)))
    kept = _shortened(turns.pop(), left) if turns else []
    left -= _cost(kept)
    for turn in reversed(turns):
        left -= _cost(turn)
        if left < 0:
            break
        kept[:0] = turn
    return head + kept


def _is_question(message: Mapping[str, Any]) -> bool:
    """Whether an exchange begins here."""
    is_site = (message.get("extra") or {}).get("goes_on")
    return message["role"] == "user" and not is_site


def _shortened(turn: list[Message], left: float) -> list[Message]:
    """The exchange, with as many older results shortened as it takes to fit."""
    kept = list(turn)
    newest = max((i for i, m in enumerate(turn) if m["role"] == "assistant"), default=0)
    older = (i for i, m in enumerate(turn) if m["role"] == "function" and i < newest)
    while _cost(kept) > left:
        number = next(older, None)
        if number is None:
            raise AgentError(
                "model_error",
                "This message, with what was found out about it, is too long for "
                "the model. Please shorten it or ask for less at once.",
            )
        text = _text(kept[number])
        short = f"{text[:SHORT]}\n… ({len(text) - SHORT} more characters left out)"
        if len(short) < len(text):
            kept[number] = {**kept[number], "content": short}
    return kept


def _cost(messages: Iterable[Message]) -> int:
    total = 0
    for message in messages:
        total += OVERHEAD + estimate_tokens(_text(message))
        for field in ("function_call", "reasoning_content"):
            if message.get(field):
                total += estimate_tokens(json.dumps(message[field]))
    return total
