"""The shapes in which servers say one thing, in tables: what is read, bytes to parts."""

# ruff: noqa: E501 - what servers send is written as they send it

from __future__ import annotations

import json
from typing import Any

import pytest

from chat.agents.model import errors, lenient
from chat.agents.model.rounds import Round
from chat.agents.model.sse import EventReader, StreamError
from tests.agents.fold import Sink

TOOLS: dict[str, Any] = {"calculator": {}, "calc": {}, "search": {}}
HALF = b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'
END = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
X = '{"expression": "1+1"}'


class Read:
    """A round of these bytes, cut into packets of `size`."""

    def __init__(self, data: bytes, size: int, *, text_protocol: bool = False) -> None:
        self.sink = Sink()
        self.round = Round(self.sink, 1, text_protocol=text_protocol, tools=TOOLS)
        self.reader = EventReader(self.round)
        for start in range(0, len(data), size):
            self.reader.feed(data[start : start + size])
        self.reader.close()
        self.round.finish()

    @property
    def calls(self) -> list[Any]:
        return [(call.name, call.arguments) for call in self.round.calls]

    @property
    def thought(self) -> str:
        return "".join(self.sink.told.of("thought"))


def data(value: object) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"data: {text}\n\n".encode()


def delta(**fields: Any) -> bytes:
    return data({"choices": [{"delta": fields}]})


SIZES = pytest.mark.parametrize("size", [10_000, 1, 7])


@SIZES
@pytest.mark.parametrize(
    "entry",
    [
        {"function": {"name": "calculator", "arguments": X + "}"}},
        {"function": {"name": "calculator", "arguments": '{"expression": "1+1",}'}},
        {"function": {"name": "calculator", "arguments": "{'expression': '1+1'}"}},
        {"function": {"name": "calculator", "arguments": f"```json\n{X}\n```"}},
        {"function": {"name": "calculator", "arguments": json.dumps(X)}},
        {"function": {"name": "calculator", "parameters": {"expression": "1+1"}}},
        {"function": {"name": "calculator", "input": X}},
        {"function": {"name": "functions.calculator", "arguments": X}},
        {"function": {"name": " calculator\n", "arguments": X}},
        {"function": "calculator", "arguments": X},
        {"name": "calculator", "arguments": X},
    ],
    ids=str,
)
def test_a_call_is_read_however_it_is_written(entry: Any, size: int) -> None:
    read = Read(delta(tool_calls=[{"index": 0, "id": "a", **entry}]), size)
    assert read.calls == [("calculator", {"expression": "1+1"})]


@pytest.mark.parametrize("cut", ['{"expression": "1', '{"a": {"b": 1}', '["x"', "x"])
def test_arguments_that_stop_in_their_middle_are_none(cut: str) -> None:
    function = {"name": "calculator", "arguments": cut}
    read = Read(delta(tool_calls=[{"index": 0, "function": function}]), 10_000)
    assert read.calls == [("calculator", None)]


def test_an_empty_object_after_the_arguments_adds_nothing() -> None:
    first = {"index": 0, "id": "a", "function": {"name": "calculator", "arguments": X}}
    last = {"index": 0, "function": {"arguments": "{}"}}
    read = Read(delta(tool_calls=[first]) + delta(tool_calls=[last]), 10_000)
    assert read.calls == [("calculator", {"expression": "1+1"})]


@SIZES
@pytest.mark.parametrize(
    "error",
    [
        b'event: Error\ndata: {"a": "b"}\n\n',
        b"event: error\n\n",
        b"event: error\ndata: the engine died\n\n",
        b"Error: the engine died\n\n",
        b'error: {\n "code": 500\n}\n\n',
        b"data: Error: the engine died\n\n",
        b"data: [ERROR] the engine died\n\n",
        data({"error": "died"}),
        data({"error": [{"message": "died"}]}),
        data({"errors": [{"message": "died"}]}),
        data([{"error": {"message": "died"}}]),
        data({"base_resp": {"status_code": 1008, "status_msg": "no balance"}}),
        data({"header": {"code": 10013, "message": "refused"}}),
        data({"fault": {"faultstring": "died"}}),
        data({"exception": "died"}),
        data({"message": "Internal server error", "request_id": "1"}),
        data({"status": "failed", "message": "died"}),
        data({"type": ["x"], "detail": "died"}),
    ],
    ids=repr,
)
def test_an_error_is_one_in_any_shape(error: bytes, size: int) -> None:
    with pytest.raises(StreamError):
        Read(HALF + error, size)


@SIZES
@pytest.mark.parametrize(
    "odd",
    [
        data({"error": {"code": 0, "message": ""}}),
        data({"error": {}, "errors": []}),
        data({"code": 0, "message": "ok"}),
        data({"status": 200, "message": "OK"}),
        data({"base_resp": {"status_code": 0, "status_msg": "success"}}),
        data({"type": "ping", "message": "still here"}),
        data({"type": {}, "object": []}),
        data({"choices": [{"index": [], "delta": {}}]}),
        data({"choices": {"delta": {"content": ""}}}),
        data({"choices": [None, 5]}),
        data({"choices": [{"delta": {"content": 5, "reasoning": 5}}]}),
        data({"choices": [{"index": 1, "delta": {"content": "other"}}]}),
        data({"choices": [{"index": 1.0, "delta": {"content": "other"}, "x": 1}]}),
        data({"choices": [{"delta": {}, "finish_reason": "null"}]}),
        data("ping"),
        b"data:\n\n",
        b"event: ping\n\n",
        b'data: {"choices": [{"delta": {"content": ""}}],}\n\n',
        b'data: {"choices": []}{"choices": []}\n\n',
        b"data: data: [DONE]\n\n",
        b"data: [done]\n\n",
        b"[DONE]\n",
    ],
    ids=repr,
)
def test_what_is_odd_beside_an_answer_costs_nothing_of_it(
    odd: bytes, size: int
) -> None:
    read = Read(HALF + odd + HALF + END, size)
    assert read.round.answer == "halfhalf"
    assert read.reader.finish_reason == "stop"


@SIZES
@pytest.mark.parametrize("name", ["data", "Data", "  data"])
def test_a_field_is_read_however_its_name_is_written(name: str, size: int) -> None:
    stream = (HALF + END).replace(b"data", name.encode())
    assert Read(stream, size).round.answer == "half"


@pytest.mark.parametrize("reason", ["null", "None"])
def test_a_finish_reason_of_nothing_finishes_nothing(reason: str) -> None:
    chunk = {"choices": [{"delta": {"content": "a"}, "finish_reason": reason}]}
    assert Read(data(chunk), 10_000).reader.finish_reason is None


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 12, "completion_tokens": 3},
        {"prompt_tokens": 12.0, "completion_tokens": "3"},
        {"input_tokens": 12, "output_tokens": 3},
        {"prompt_tokens": None, "input_tokens": 12, "completion_tokens": 3},
    ],
    ids=str,
)
def test_usage_is_read_in_each_of_its_shapes_and_places(usage: Any) -> None:
    beside = {"choices": [], "usage": usage}
    inside = {"choices": [{"delta": {}, "finish_reason": "stop", "usage": usage}]}
    for chunk in (beside, inside):
        reader = Read(HALF + data(chunk), 10_000).reader
        assert (reader.input_tokens, reader.output_tokens) == (12, 3)


@pytest.mark.parametrize(
    "field",
    [
        *("reasoning", "reasoning_content", "thinking", "thinking_content"),
        *("reasoning_text", "thought", "thoughts"),
    ],
)
def test_thoughts_are_read_from_each_field_they_may_be_in(field: str) -> None:
    stream = delta(**{field: "One "}) + delta(**{field: "two"}) + HALF + END
    read = Read(stream, 10_000)
    assert (read.thought, read.round.answer) == ("One two", "half")


def test_halves_of_a_character_wait_for_each_other_over_empty_chunks() -> None:
    first, last = (
        f'data: {{"choices": [{{"delta": {{"content": "{half}"}}}}]}}\n\n'.encode()
        for half in ("\\ud83d", "\\ude00")
    )
    nothing = delta(content="") + data({"choices": [], "usage": None})
    assert Read(first + nothing + last + END, 10_000).round.answer == "\U0001f600"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 1, 'b': True, c: None}", {"a": 1, "b": True, "c": None}),
        ('{"a": "x\ny"}', {"a": "x\ny"}),
        ("[1, 2,, 3,]", [1, 2, 3]),
        ('{"a": [1, {"b": 2', {"a": [1, {"b": 2}]}),
        ("/* c */ {a: +1} // d", {"a": 1}),
    ],
)
def test_json_is_read_as_models_write_it(text: str, value: Any) -> None:
    assert lenient.read_at(text, 0)[0] == value


@pytest.mark.parametrize("text", ["", "{a}", "[b c]", "{'a': '", "[" * 500])
def test_what_is_no_json_at_all_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever words
        lenient.read(text)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, "This model's maximum context length is 4096 tokens.", "too long"),
        (400, '{"error": "prompt is too long: 210000 tokens > 200000"}', "too long"),
        (413, "", "too long"),
        (400, "Model m does not support function calling", "LLM_TOOL_PROTOCOL"),
        (403, '{"error": {"message": "blocked by content policy"}}', "differently"),
        (429, '{"error": {"code": "insufficient_quota"}}', "budget"),
        (429, "Rate limit reached", "busy"),
        (401, "", "LLM_API_KEY"),
        (400, "API key not valid. Please pass a valid API key.", "LLM_API_KEY"),
        (404, '{"error": {"message": "model \\"x\\" not found"}}', "does not know"),
        (503, "loading model", "has a problem"),
        (418, "teapot", "did not accept"),
    ],
)
def test_a_refusal_is_told_by_its_words(status: int, body: str, says: str) -> None:
    refused = errors.refusal(status, body, None, "m")
    assert says in refused.failure.message


@SIZES
@pytest.mark.parametrize("text_protocol", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "```\n<think>x</think>\n```\nend",
        "~~~\n<think>x</think>\n~~~\nend",
        "~~~python\n<think>\n~~~\nend",
        "````md\n```\n<think>\n```\n<think>y\n````\nend",
        "- a\n  ```\n  <think>x</think>\n  ```\nend",
        "```\n<think>x</think>",
        "```\n<think>\n~~~\n<think>\n```\nend",
        "```\n</think>\n```\nend",
        "``` x\n``` y\n<think>z\n```\nend",
        "Code:\n\n    <think>x</think>\n\nend",
        "Code:\n\n\t<think>x</think>\n\nend",
        "> <think>x</think>\nend",
        "Say <think> and </think> for it.",
        "`<think>` opens\n`</think>` ends",
        "Use ``<think>`` so",
        "Use `` a ` <think> `` so",
        "`</think>` is the tag",
    ],
    ids=repr,
)
def test_tags_in_code_and_in_quotations_are_text(
    text: str, size: int, *, text_protocol: bool
) -> None:
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    stream = b"".join(delta(content=piece) for piece in pieces) + END
    read = Read(stream, 10_000, text_protocol=text_protocol)
    assert (read.thought, read.round.answer) == ("", text)
