"""The reader of server-sent events."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from chat.agents.model.fields import CallDelta
from chat.agents.model.sse import EventReader, StreamError


class Recorder:
    """Remembers what the reader handed on, joined."""

    def __init__(self) -> None:
        self.reasoning_fields: list[str] = []
        self.said = ""
        self.thought = ""
        self.calls: list[CallDelta] = []

    def text(self, text: str) -> None:
        self.said += text

    def reasoning(self, text: str) -> None:
        self.thought += text

    def call(self, delta: CallDelta) -> None:
        self.calls.append(delta)


def event(delta: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"


def read(*chunks: bytes) -> Recorder:
    recorder = Recorder()
    reader = EventReader(recorder)
    for chunk in chunks:
        reader.feed(chunk)
    reader.close()
    return recorder


WHOLE = (
    ": keep-alive\r\n\r\n"
    'event: message\r\ndata: {"choices":[{"delta":{"role":"x","content":null}}]}'
    '\r\n\r\ndata:{"choices":[{"delta":{"reasoning":"Hm"}}]}\n\n'
    'data: {"choices":[{"delta":{"reasoning_content":"m. "}}],"x":1}\n\n'
    'data: {"choices":[{"delta":{"content":"Füße 😀"}}]}\n\n'
    'data: {"choices":[{"delta":{"content":" \\ud83d\\ude00"},'
    '"finish_reason":"stop"}]}\n'
    'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    "data: [DONE]\n\n"
).encode()


@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=30))
def test_bytes_may_be_cut_anywhere(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(WHOLE)]
    chunks = [WHOLE[a:b] for a, b in pairwise(bounds)]
    recorder = read(*chunks)
    assert recorder.said == "Füße 😀 😀"
    assert recorder.thought == "Hmm. "


def test_finish_reason_usage_and_done_are_known_at_the_end() -> None:
    reader = EventReader(Recorder())
    reader.feed(WHOLE)
    assert reader.finish_reason == "stop"
    assert (reader.input_tokens, reader.output_tokens) == (1, 2)
    assert reader.done


def test_nuls_and_half_surrogate_pairs_are_replaced() -> None:
    data = rb'data: {"choices":[{"delta":{"content":"a\u0000b\ud83dc"}}]}' + b"\n\n"
    assert read(data).said == "a\ufffdb\ufffdc"
    data = rb'data: {"choices":[{"delta":{"reasoning":"a\u0000b"}}]}' + b"\n\n"
    assert read(data).thought == "a\ufffdb"


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    data = b'data: {"choices":[{"delta":{"content":"a\xffb"}}]}\n\n'
    assert read(data).said == "a\ufffdb"


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read(event({"content": parts})).said == "ab"


def test_an_event_may_span_several_data_lines() -> None:
    data = b'data: {"choices":\ndata: [{"delta":{"content":"x"}}]}\n\n'
    assert read(data).said == "x"


def test_a_last_line_without_an_end_is_read() -> None:
    assert read(event({"content": "x"}).rstrip()).said == "x"


@pytest.mark.parametrize(
    "data",
    [
        b"data: {broken\n\n",
        b"data: {broken",
        b'data: {"error": {"message": "out of memory"}}\n\n',
    ],
)
def test_what_no_client_can_read_is_an_error(data: bytes) -> None:
    with pytest.raises(StreamError):
        read(data)


def test_reasoning_and_content_of_one_delta_are_both_kept() -> None:
    recorder = read(event({"reasoning_content": "hm", "content": "yes"}))
    assert (recorder.thought, recorder.said) == ("hm", "yes")
