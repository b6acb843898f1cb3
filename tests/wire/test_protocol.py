"""The wire's vocabulary: whatever comes in gets a command or a typed error."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, strategies as st

from chat.wire import protocol
from chat.wire.protocol import (
    Chat,
    ErrorData,
    Event,
    Frame,
    History,
    Interrupt,
    Ping,
    ProtocolError,
    Retry,
    Subscribe,
    decode_command,
    decode_event,
    decode_events,
    encode,
    events_text,
    message,
    storable,
)
from tests.streams import json_values, logs


def frame(type_: str, payload: object = None, **beside: object) -> str:
    return json.dumps({"type": type_, "payload": payload or {}, **beside})


def refused(text: str | None) -> ErrorData:
    with pytest.raises(ProtocolError) as caught:
        decode_command(text)
    return caught.value.data


def answer(text: str | None) -> object:
    """The command or the error; anything else raised fails the test."""
    try:
        return decode_command(text)
    except ProtocolError as error:
        data = error.data
    assert json.loads(message("error", data))["data"]["message"]
    return data


# ---------------------------------------------------------------- anything at all


@given(st.text())
@example("\ud800")
@example('{"type":"ping","timestamp":"\\ud800"}')
@example('{"type":"chat","payload":{"message":"\\ud800"}}')
@example('{"type":"chat","payload":{"message":"\\u0000"}}')
@example('{"type":"ping","timestamp":1e999}')
@example('{"type":"retry","payload":{"run":1e999}}')
@example("\ufeff{}")
def test_any_text_gets_a_command_or_a_typed_error(text: str) -> None:
    answer(text)


@pytest.mark.parametrize(
    ("head", "bracket"),
    [
        ('{"type":"ping","timestamp":', "["),
        ('{"type":"ping","payload":{"timestamp":', "["),
        ('{"type":"ping","x":', "["),
        ('{"type":"chat","payload":{"message":', '{"a":'),
        ('{"type":"chat","payload":{"x":', "["),
    ],
    ids=["timestamp", "in payload", "unknown", "message", "unknown in payload"],
)
@pytest.mark.parametrize("times", [900, 950, 990, 1000, 40_000])
def test_deep_nesting_gets_a_command_or_a_typed_error(
    head: str, bracket: str, times: int
) -> None:
    command = answer(head + bracket * times)
    assert isinstance(command, ErrorData)
    closing = "]" if bracket == "[" else "0}"
    whole = head + bracket * times + closing * times + "}" * head.count("{")
    command = answer(whole)
    if isinstance(command, Ping):
        message("pong", {"timestamp": command.timestamp})


@given(json_values)
def test_any_json_gets_a_command_or_a_typed_error(value: Any) -> None:
    answer(json.dumps(value))


@given(st.sampled_from(sorted(protocol._COMMANDS)), json_values, json_values)
def test_any_payload_gets_a_command_or_a_typed_error(
    type_: str, payload: Any, beside: Any
) -> None:
    answer(json.dumps({"type": type_, "payload": payload, "timestamp": beside}))


FIELDS = [
    "message",
    "agent_name",
    "enable_reasoning",
    "client_id",
    "run",
    "seen",
    "protocol",
    "before",
    "limit",
    "timestamp",
]


@given(
    st.sampled_from(sorted(protocol._COMMANDS)),
    st.dictionaries(st.sampled_from(FIELDS), json_values),
)
def test_any_value_of_any_field_gets_a_command_or_a_typed_error(
    type_: str, payload: dict[str, Any]
) -> None:
    answer(frame(type_, payload))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "null",
        "[]",
        "3",
        '"chat"',
        "{}",
        '{"type":3}',
        '{"type":null}',
        '{"type":"nonsense"}',
        '{"type":"CHAT","payload":{"message":"a"}}',
        '{"type":"chat"}',
        '{"type":"chat","payload":[]}',
        '{"type":"chat","payload":"a"}',
        '{"type":"chat","payload":{"message":1}}',
        '{"type":"chat","payload":{"message":null}}',
        '{"type":"chat","payload":{"message":"a","agent_name":1}}',
        '{"type":"chat","payload":{"message":"a","enable_reasoning":"yes"}}',
        '{"type":"chat","payload":{"message":"a","client_id":1}}',
        '{"type":"chat","payload":{"message":"a","client_id":""}}',
        '{"type":"chat","payload":{"message":"a","client_id":"a\\u0000"}}',
        '{"type":"interrupt","payload":{"run":"1"}}',
        '{"type":"interrupt","payload":{"seen":1.5}}',
        '{"type":"retry"}',
        '{"type":"retry","payload":{"run":null}}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","payload":{"protocol":1}}',
        '{"type":"subscribe","payload":{"protocol":3}}',
        '{"type":"subscribe","payload":{"protocol":2,"seen":[]}}',
        '{"type":"subscribe","payload":{"protocol":2,"seen":{"one":1}}}',
        '{"type":"subscribe","payload":{"protocol":2,"seen":{"1":"1"}}}',
        '{"type":"history"}',
        '{"type":"history","payload":{"before":"1"}}',
        '{"type":"history","payload":{"before":1,"limit":0}}',
        '{"type":"history","payload":{"before":1,"limit":-1}}',
        '{"type":"history","payload":{"before":1,"limit":51}}',
        '{"type":"ping"} x',
        '{"type":"ping"',
    ],
)
def test_what_is_no_command_is_a_bad_message(text: str) -> None:
    assert refused(text).code == "bad_message"


def test_a_binary_frame_is_a_bad_message() -> None:
    assert refused(None).code == "bad_message"


def test_no_error_shows_more_than_a_line_of_what_came_in() -> None:
    assert len(refused(frame("x" * 100_000)).message) < 200


# ---------------------------------------------------------------- each command


def test_chat_has_defaults_and_ignores_unknown_fields() -> None:
    text = frame("chat", {"message": " Hi \n", "colour": "red"}, session="x")
    assert decode_command(text) == Chat("Hi")


def test_chat_takes_all_its_fields() -> None:
    payload = {
        "message": "Hi",
        "agent_name": "assistant",
        "enable_reasoning": False,
        "client_id": "id-1",
    }
    assert decode_command(frame("chat", payload)) == Chat(
        "Hi", agent_name="assistant", enable_reasoning=False, client_id="id-1"
    )


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000\u00a0"])
def test_an_empty_message_is_refused(text: str) -> None:
    assert refused(frame("chat", {"message": text})).code == "bad_message"


def test_a_message_may_have_exactly_the_most_characters() -> None:
    most = "é" * protocol.MAX_MESSAGE_CHARS
    command = decode_command(frame("chat", {"message": f"  {most}\n"}))
    assert command == Chat(most)
    data = refused(frame("chat", {"message": most + "é", "client_id": "id-1"}))
    assert (data.code, data.client_id) == ("too_large", "id-1")


def test_characters_beyond_the_basic_plane_count_once() -> None:
    most = "😀" * protocol.MAX_MESSAGE_CHARS
    text = json.dumps(
        {"type": "chat", "payload": {"message": most}}, ensure_ascii=False
    )
    assert decode_command(text) == Chat(most)


def test_a_frame_may_have_exactly_the_most_bytes() -> None:
    head, tail = '{"type":"ping","é":"', '"}'
    room = protocol.MAX_FRAME_BYTES - len((head + tail).encode())
    whole = head + "x" * room + tail
    assert isinstance(decode_command(whole), Ping)
    assert refused(head + "x" * (room + 1) + tail).code == "too_large"
    # It is bytes that count.
    assert refused(head + "é" * (room // 2 + 1) + tail).code == "too_large"


def test_a_client_id_may_have_exactly_the_most_characters() -> None:
    most = "x" * protocol.MAX_CLIENT_ID_CHARS
    command = decode_command(frame("chat", {"message": "a", "client_id": most}))
    assert command == Chat("a", client_id=most)
    data = refused(frame("chat", {"message": "a", "client_id": most + "x"}))
    assert data.code == "bad_message"


def test_nul_in_a_message_becomes_a_sign_that_can_be_stored() -> None:
    assert decode_command(frame("chat", {"message": "a\x00b"})) == Chat("a\ufffdb")


def test_interrupt_takes_nothing_a_run_or_what_was_seen() -> None:
    assert decode_command('{"type":"interrupt"}') == Interrupt(None, None)
    assert decode_command('{"type":"interrupt","payload":null}') == Interrupt()
    both = decode_command(frame("interrupt", {"run": 3, "seen": 17}))
    assert both == Interrupt(3, 17)


def test_retry_names_a_run() -> None:
    assert decode_command(frame("retry", {"run": 3})) == Retry(3)


def test_subscribe_takes_what_was_seen_of_which_run() -> None:
    assert decode_command(frame("subscribe", {"protocol": 2})) == Subscribe(2, {})
    seen = {"1": 5, "20": 0}
    command = decode_command(frame("subscribe", {"protocol": 2, "seen": seen}))
    assert command == Subscribe(2, {1: 5, 20: 0})


def test_history_has_a_limit_of_twenty_and_at_most_fifty() -> None:
    assert decode_command(frame("history", {"before": 9})) == History(9, 20)
    for limit in (1, protocol.HISTORY_RUNS_MAX):
        command = decode_command(frame("history", {"before": 9, "limit": limit}))
        assert command == History(9, limit)


@given(json_values)
def test_ping_is_answered_with_the_same_timestamp_wherever_it_stood(value: Any) -> None:
    for text in (
        json.dumps({"type": "ping", "payload": {"timestamp": value}}),
        json.dumps({"type": "ping", "timestamp": value}),
    ):
        try:
            command = decode_command(text)
        except ProtocolError:
            assert "\\ud" in text  # a lone surrogate is no Unicode text
            continue
        assert isinstance(command, Ping)
        pong = message("pong", {"timestamp": command.timestamp})
        assert json.loads(pong) == {"type": "pong", "data": {"timestamp": value}}


def test_ping_without_a_timestamp_is_answered_with_none() -> None:
    command = decode_command('{"type":"ping"}')
    assert isinstance(command, Ping)
    pong = message("pong", {"timestamp": command.timestamp})
    assert json.loads(pong)["data"] == {"timestamp": None}


# ---------------------------------------------------------------- errors


def test_an_error_is_about_one_command_and_not_the_next() -> None:
    away = ProtocolError("internal", "Away.", retryable=True)
    mine = away.about(Chat("a", client_id="mine"))
    assert mine.data.client_id == "mine"
    assert away.about(Ping()).data.client_id is msgspec.UNSET
    assert away.data.client_id is msgspec.UNSET


def test_an_error_carries_when_to_try_again() -> None:
    error = ProtocolError("rate_limited", "Slow.", retryable=True, retry_after=2.5)
    assert json.loads(message("error", error.data))["data"] == {
        "code": "rate_limited",
        "message": "Slow.",
        "retryable": True,
        "retry_after": 2.5,
    }


# ---------------------------------------------------------------- encode, decode


@given(logs())
def test_events_survive_the_wire(events: list[Event]) -> None:
    texts = [encode(event).decode() for event in events]
    assert [decode_event(text) for text in texts] == events
    assert decode_events(f"[{','.join(texts)}]") == events


@given(logs())
def test_a_frame_holds_the_events_that_it_says(events: list[Event]) -> None:
    texts = [encode(event).decode() for event in events]
    text = events_text(7, texts)
    whole = Frame(7, 1, 1, events[-1].seq, ends=False, text=text)
    assert whole.events() == events
    assert events_text(7, [whole.payloads]) == text
    data = json.loads(whole.text)
    assert data["type"] == "events"
    assert data["data"]["run"] == 7
    assert [event["seq"] for event in data["data"]["events"]] == list(
        range(1, len(events) + 1)
    )


@given(logs())
def test_every_field_that_must_be_there_is_on_the_wire(events: list[Event]) -> None:
    required = {
        "run_created": {"prompt", "agent_name", "enable_reasoning", "timestamp"},
        "run_started": {"epoch", "timestamp"},
        "step_started": {"step", "type", "iteration", "timestamp"},
        "step_delta": {"step", "text"},
        "step_replaced": {"step"},
        "step_progress": {"step"},
        "step_finished": {"step", "status", "duration_ms", "digest"},
        "run_finished": {"reason", "duration_ms"},
    }
    for event in events:
        data = json.loads(encode(event))
        assert required[data["kind"]] | {"seq", "kind"} <= set(data)


@given(st.text())
@example("a\x00\ud800\udc00\udfff")
def test_what_is_storable_can_be_stored_and_stays(text: str) -> None:
    stored = storable(text)
    assert "\x00" not in stored
    assert stored.encode().decode() == stored
    assert storable(stored) == stored
    if "\x00" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text):
        assert stored == text
