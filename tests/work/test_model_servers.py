"""What model servers really send: bytes in; frames and the next request out.

Each test is one kind of thing that servers do, in several of its forms, played by the
scripted server to runs of the whole process: model client, agent, journal, hub.
"""

# ruff: noqa: E501 - what servers send is written as they send it

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from pytest_django import Settings

from chat.agents import registry
from chat.agents.model import client
from chat.wire.transcript import RunState, StepState
from tests.model_server import ModelServer
from tests.rows import GUEST
from tests.work.processes import Process, Watcher, check_live_is_reload, process

pytestmark = pytest.mark.django_db(transaction=True)

Action = dict[str, Any]
Round = list[Action]

# The body's end in good order, with nothing said before it.
EOF: Action = {"end": {"reason": None, "usage": False, "done": False}}
DONE = "[DONE]"
LEFT_OPEN: Action = {"silence": True}


@pytest.fixture(scope="module")
def shared() -> Any:
    with ModelServer() as server:
        yield server


class Played:
    """The runs of a session, each a scenario's, and what the server was asked."""

    def __init__(self, here: Process, server: ModelServer, name: str) -> None:
        self.here = here
        self.server = server
        self.name = name
        self.session = uuid4()
        self.watcher: Watcher = here.watch(self.session)

    async def ask(self, prompt: str = "", number: int = 1, **more: Any) -> RunState:
        await self.here.ask(self.session, f"{prompt} [scenario {self.name}]", **more)
        return await self.watcher.ended(number)

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [r for r in self.server.requests() if r["scenario"] == self.name]

    def messages(self, number: int = -1) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = self.requests[number]["request"]["messages"]
        return asked


Play = Callable[..., Played]


@pytest.fixture
async def play(
    settings: Settings, shared: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Play]:
    """`play(round, …)`: a session whose model plays these rounds."""
    settings.LLM_BASE_URL = shared.base_url
    settings.LLM_MODEL = "hello"
    settings.LLM_API_KEY = "a-key-of-the-site"
    settings.LLM_CHUNK_TIMEOUT = 20
    settings.MAX_RUNS_PER_USER = 100
    monkeypatch.setattr(client, "BACKOFF", 0.0)
    registry.forget()
    numbers = iter(range(1000))
    sessions: list[Played] = []
    async with process() as here:

        def begin(*rounds: Round | dict[str, Any]) -> Played:
            name = f"case-{uuid4().hex[:12]}-{next(numbers)}"
            script = [r if isinstance(r, dict) else {"actions": r} for r in rounds]
            shared.add(name, {"rounds": script})
            played = Played(here, shared, name)
            sessions.append(played)
            return played

        yield begin
        for played in sessions:
            await check_live_is_reload(played.session, played.watcher)
    await registry.shutdown()


def raw(*payloads: Any, newline: str = "\n") -> Round:
    """One `data:` event for each payload."""
    texts = (p if isinstance(p, str) else json.dumps(p) for p in payloads)
    return [{"raw": f"data: {text}{newline}{newline}"} for text in texts]


def stream(*payloads: Any, then: Action = EOF) -> Round:
    return [*raw(*payloads), then]


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def said(text: str) -> dict[str, Any]:
    return delta(content=text)


def finish(reason: Any = "stop") -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def call(
    name: str | None = "calculator",
    arguments: Any = '{"expression": "2+2"}',
    **more: Any,
) -> dict[str, Any]:
    function: dict[str, Any] = {}
    if name is not None:
        function["name"] = name
    if arguments is not None:
        function["arguments"] = arguments
    return {"type": "function", "function": function, **more}


def calls(*entries: dict[str, Any]) -> dict[str, Any]:
    return delta(tool_calls=list(entries))


def answer(text: str) -> Round:
    return stream(said(text), finish(), DONE)


HALF = said("The first half of")


def of_type(run: RunState, type_: str) -> list[StepState]:
    return [step for step in run.steps.values() if step.type == type_]


def answered(run: RunState) -> str:
    """The answer of a run that was answered."""
    assert run.reason == "answered", (run.reason, run.error)
    return "".join(step.content for step in of_type(run, "final_answer"))


def inputs(run: RunState) -> list[Any]:
    return [step.tool_input for step in of_type(run, "tool_use")]


def results(run: RunState) -> list[str]:
    return [step.content for step in of_type(run, "tool_result")]


async def all_of(*runs: Any) -> list[RunState]:
    return list(await asyncio.gather(*runs))


# ------------------------------------------------------- half is not whole


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("length", "length"),
        ("max_tokens", "length"),
        ("model_length", "length"),
        ("content_filter", "filter"),
        (None, "ended"),
    ],
)
async def test_half_an_answer_ends_cut_says_why_and_can_go_on(
    play: Play, settings: Settings, reason: str | None, cause: str
) -> None:
    end = [finish(reason), DONE] if reason else []
    played = play(
        {"attempts": [{"actions": stream(HALF, *end)}, {"actions": answer(" it.")}]},
        answer(" it."),
    )
    settings.LLM_MODEL = played.name  # what the site asks names no scenario
    run = await played.ask()
    assert (run.reason, run.cause) == ("cut", cause)
    assert [step.content for step in run.steps.values()] == ["The first half of"]
    assert run.steps[0].status == "stopped"
    await played.here.verbs.retry(played.session, GUEST, 1)
    assert answered(await played.watcher.ended(2)) == " it."
    roles = [(m["role"], m["content"]) for m in played.messages()]
    assert roles[-2] == ("assistant", "The first half of")
    assert roles[-1][0] == "user"
    assert "where it ended" in roles[-1][1]


async def test_a_call_cut_in_its_middle_or_by_the_stream_s_end_is_not_made(
    play: Play,
) -> None:
    whole = '{"expression": "2+2"}'
    runs = await all_of(
        play(
            stream(
                calls(call("calculator", whole[:14], index=0, id="a")),
                finish("length"),
                DONE,
            )
        ).ask(),
        play(stream(calls(call("calculator", whole, index=0, id="a")))).ask(),
        play(
            stream(
                calls(call("calculator", whole, index=0, id="a")),
                finish("content_filter"),
                DONE,
            )
        ).ask(),
    )
    for run, cause in zip(runs, ("length", "ended", "filter"), strict=True):
        assert (run.reason, run.cause) == ("cut", cause)
        assert results(run) == []
        assert [step.status for step in run.steps.values()] == ["stopped"]


async def test_a_thought_cut_in_its_middle_is_a_cut_run(play: Play) -> None:
    runs = await all_of(
        play(stream(delta(reasoning_content="Let me"))).ask(),
        play(stream(delta(reasoning="Let me"), finish("length"), DONE)).ask(),
        play(stream(said("<think>Let me"), finish("length"), DONE)).ask(),
    )
    assert [run.reason for run in runs] == ["cut"] * 3
    assert [step.content for run in runs for step in run.steps.values()] == [
        "Let me"
    ] * 3


async def test_an_end_with_a_finish_reason_or_done_is_whole(play: Play) -> None:
    runs = await all_of(
        play(stream(said("All of it."), finish())).ask(),
        play(stream(said("All of it."), DONE)).ask(),
        play(
            stream(
                {
                    "choices": [
                        {
                            "index": 0,
                            "delta": {"content": "All of it."},
                            "finish_reason": "stop",
                        }
                    ]
                }
            )
        ).ask(),
    )
    assert [answered(run) for run in runs] == ["All of it."] * 3


@pytest.mark.parametrize(
    "reason", ["error", "abort", "network_error", "insufficient_system_resource"]
)
async def test_a_finish_reason_that_is_an_error_fails_the_run_and_keeps_the_text(
    play: Play, reason: str
) -> None:
    run = await play(stream(HALF, finish(reason), DONE)).ask()
    assert run.reason == "failed"
    assert run.error
    assert (run.error.code, run.error.retryable) == ("model_error", True)
    assert (run.steps[0].content, run.steps[0].status) == (
        "The first half of",
        "error",
    )


ERRORS: list[Any] = [
    raw({"error": {"message": "out of memory", "code": 500}}),
    raw({"text": "**NETWORK ERROR**", "error_code": 50001}),
    raw(
        {
            "object": "error",
            "message": "The engine is dead",
            "type": "InternalServerError",
            "code": 500,
        }
    ),
    raw({"code": 500, "msg": "internal", "success": False}),
    raw({"detail": "Internal Server Error"}),
    raw({"errorMessage": "no", "choices": []}),
    raw(
        {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "Overloaded"},
        }
    ),
    [{"raw": 'event: error\ndata: {"message": "model crashed"}\n\n'}],
    [{"raw": "event: error\ndata: model crashed\n\n"}],
    [{"raw": 'error: {"code":500,"message":"it broke","type":"server_error"}\n\n'}],
    [{"raw": '{"error": {"message": "it broke"}}\n'}],
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
async def test_an_error_in_any_shape_fails_the_run_and_keeps_the_text(
    play: Play, number: int
) -> None:
    shape = ERRORS[number]
    half, half_and_done, alone = (
        play([*raw(HALF), *shape, EOF]),
        play([*raw(HALF), *shape, *raw(DONE), EOF]),
        play([*shape, *raw(DONE), EOF]),
    )
    runs = await all_of(half.ask(), half_and_done.ask(), alone.ask())
    for run in runs:
        assert run.reason == "failed"
        assert run.error
        assert run.error.retryable
    for run in runs[:2]:
        assert (run.steps[0].content, run.steps[0].status) == (
            "The first half of",
            "error",
        )
        assert run.error
        assert "in the middle" in run.error.message
    assert runs[2].error
    assert "reported an error" in runs[2].error.message
    assert len(alone.requests) == client.ATTEMPTS


async def test_an_error_of_the_stream_says_what_to_do_where_it_can(play: Play) -> None:
    too_long = {"code": 500, "message": "context size exceeded", "type": "server_error"}
    no_tools = {"error": {"message": "this model does not support tools", "code": 400}}
    played = [
        play([{"raw": f"error: {json.dumps(too_long)}\n\n"}, EOF]),
        play(stream({"error": too_long})),
        play([{"raw": json.dumps({"object": "error", **too_long})}, EOF]),
        play(stream(no_tools)),
        play([{"status": 200, "body": {"object": "error", **too_long}}]),
        play([*raw(HALF), {"raw": f"error: {json.dumps(too_long)}\n\n"}, EOF]),
    ]
    runs = await all_of(*(each.ask() for each in played))
    words = [*["too long"] * 3, "LLM_TOOL_PROTOCOL", *["too long"] * 2]
    for each, run, word in zip(played, runs, words, strict=True):
        assert run.error
        assert word in run.error.message
        assert len(each.requests) == 1


# ------------------------------------------------------- whole is not half


async def test_what_is_finished_is_not_waited_for(play: Play) -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    heartbeats = [{"comments": 4}]
    runs = await all_of(
        play(stream(said("The whole answer."), finish(), then=LEFT_OPEN)).ask(),
        play([*raw(said("The whole answer."), finish()), *heartbeats]).ask(),
        play(
            [
                *raw(said("The whole answer."), finish()),
                {"pause": 0.2},
                *raw(usage),
                LEFT_OPEN,
            ]
        ).ask(),
        play(stream(said("The whole answer."), DONE, then=LEFT_OPEN)).ask(),
    )
    for run in runs:
        assert answered(run) == "The whole answer."
        assert run.duration_ms
        assert run.duration_ms < 6000
    assert runs[2].usage
    assert (runs[2].usage.input_tokens, runs[2].usage.output_tokens) == (7, 3)


async def test_a_call_that_is_finished_is_made_though_the_connection_stays_open(
    play: Play,
) -> None:
    played = play(
        stream(calls(call(index=0, id="a")), finish("tool_calls"), then=LEFT_OPEN),
        answer("It is 4."),
    )
    run = await played.ask()
    assert answered(run) == "It is 4."
    assert results(run) == ["4"]


ODD = [
    {"choices": [], "usage": {"prompt_tokens": 12.5, "completion_tokens": 3}},
    {"choices": [], "usage": ""},
    finish({"type": "stop"}),
    {**finish(), "error": ""},
    {**finish(), "error": {}},
    {**finish(), "error": False},
    "null",
    '"[DONE]"',
    "ping",
    '{"type": "ping"}',
    '{"object": "chat.completion.chunk", "choices": [], "prompt_filter_results": []}',
    '{"id": 1, "choices": null, "code": 0, "message": "ok"}',
    "[]",
    "17",
    {"choices": [{"index": 1, "delta": {"content": "another answer"}}]},
    {"choices": [{"index": "0", "delta": {"content": ""}, "logprobs": 3}]},
]


async def test_one_odd_side_field_never_costs_an_answer(play: Play) -> None:
    sessions = [
        play(stream(said("The whole "), odd, said("answer."), finish(), DONE))
        for odd in ODD
        if odd != '"[DONE]"'
        and not str(odd).startswith("{'choices': [{'index': 0, 'delta': {}")
    ]
    sessions += [
        play(stream(said("The whole answer."), odd, finish(), DONE)) for odd in ODD
    ]
    for run in await all_of(*(each.ask() for each in sessions)):
        assert answered(run) == "The whole answer."
    odd_usage = sessions[0].watcher.runs[1].usage
    assert not odd_usage


async def test_thoughts_are_read_in_whatever_field_they_come(play: Play) -> None:
    shapes: list[dict[str, Any]] = [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": {"text": "hm"}},
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
        {
            "reasoning": "hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "hm"}],
        },
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
            ]
        },
        {"content": [{"type": "thinking", "thinking": "hm"}]},
        {"thinking": "hm"},
    ]
    sessions = [play(stream(delta(**s), said("Yes."), finish(), DONE)) for s in shapes]
    for run in await all_of(*(each.ask() for each in sessions)):
        assert answered(run) == "Yes."
        assert [step.content for step in of_type(run, "thought")] == ["hm"]


async def test_a_refusal_s_text_is_the_answer(play: Play) -> None:
    first = delta(role="assistant", content=None, refusal="I cannot help ")
    whole = {
        "choices": [
            {
                "index": 0,
                "message": {"content": None, "refusal": "I cannot help with that."},
                "finish_reason": "stop",
            }
        ]
    }
    parts = delta(content=[{"type": "refusal", "refusal": "I cannot help with that."}])
    runs = await all_of(
        play(stream(first, delta(refusal="with that."), finish(), DONE)).ask(),
        play([{"status": 200, "body": whole}]).ask(),
        play(stream(parts, finish(), DONE)).ask(),
        play(
            stream(
                delta(content="I cannot help with that.", refusal=None), finish(), DONE
            )
        ).ask(),
    )
    assert [answered(run) for run in runs] == ["I cannot help with that."] * 4


async def test_the_bytes_may_be_cut_and_framed_in_any_way(play: Play) -> None:
    text = "Grüße 😀 漢字"
    events = raw(said(text), finish(), DONE)
    joined = "".join(event["raw"] for event in events)
    half = "\\ud83d", "\\ude00"
    escaped = [
        f'{{"choices":[{{"index":0,"delta":{{"content":"{part}"}}}}]}}'
        for part in (f"Grüße {half[0]}", f"{half[1]} 漢字")
    ]
    whole = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    runs = await all_of(
        play({"packet": 1, "actions": [*events, EOF]}).ask(),
        play([{"raw": "\ufeff" + joined}, EOF]).ask(),
        play([{"raw": joined.replace("\n", "\r")}, EOF]).ask(),
        play(
            {"packet": 3, "actions": [{"raw": joined.replace("\n", "\r\n")}, EOF]}
        ).ask(),
        play(stream(*escaped, finish(), DONE)).ask(),
        play([{"raw": joined.replace('{"choices"', '\ndata: {"choices"')}, EOF]).ask(),
        play(
            [
                {
                    "status": 200,
                    "body": json.dumps(whole, indent=1),
                    "headers": {"Content-Type": "text/event-stream"},
                }
            ]
        ).ask(),
        play(
            [
                {
                    "status": 200,
                    "body": joined,
                    "headers": {"Content-Type": "application/json"},
                }
            ]
        ).ask(),
    )
    assert [answered(run) for run in runs] == [text] * len(runs)


# ------------------------------------------------------- calls in pieces

FOUR = {"expression": "2+2"}
TWO = {"expression": "1+1"}
ONE_PLUS_ONE = '{"expression": "1+1"}'

CALLS: dict[str, tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "same index, no id, each whole": (
        [[call(arguments=ONE_PLUS_ONE, index=0)], [call(index=0)]],
        [TWO, FOUR],
    ),
    "same index, empty ids": (
        [[call(arguments=ONE_PLUS_ONE, index=0, id="")], [call(index=0, id="")]],
        [TWO, FOUR],
    ),
    "same index, the name only in the first piece": (
        [
            [call(arguments='{"expression":', index=0)],
            [call(None, ' "1+1"}', index=0)],
            [call(arguments='{"expression":', index=0)],
            [call(None, ' "2+2"}', index=0)],
        ],
        [TWO, FOUR],
    ),
    "empty arguments first, then the real ones": (
        [
            [call(arguments="{}", index=0, id="a")],
            [call(None, '{"expression": "2+2"}', index=0)],
        ],
        [FOUR],
    ),
    "said twice with the same id": (
        [[call(index=0, id="a")], [call(index=0, id="a")]],
        [FOUR],
    ),
    "ids without index": (
        [[call(arguments=ONE_PLUS_ONE, id="a")], [call(id="b")]],
        [TWO, FOUR],
    ),
    "ids without index, interleaved": (
        [
            [call(arguments='{"expression": ', id="a")],
            [call(arguments='{"expression": ', id="b")],
            [call(None, '"1+1"}', id="a")],
            [call(None, '"2+2"}', id="b")],
        ],
        [TWO, FOUR],
    ),
    "the name in every piece, without index": (
        [
            [call(arguments='{"expres', id="a1")],
            [call(arguments='sion": "2+2"}', id="a1")],
        ],
        [FOUR],
    ),
    "the name in every piece, a new id each time": (
        [
            [call(arguments='{"expres', index=0, id="a1")],
            [call(arguments='sion": "2+2"}', index=0, id="a2")],
        ],
        [FOUR],
    ),
    "the name in every piece, no id at all": (
        [[call(arguments='{"expres')], [call(arguments='sion": "2+2"}')]],
        [FOUR],
    ),
    "the name itself in pieces": (
        [
            [call("calc", "", index=0, id="a")],
            [call("ulator", "", index=0)],
            [call(None, '{"expression": "2+2"}', index=0)],
        ],
        [FOUR],
    ),
    "interleaved by index": (
        [
            [
                call(arguments='{"expression": ', index=0, id="a"),
                call(arguments='{"expression": ', index=1, id="b"),
            ],
            [call(None, '"1+1"}', index=0), call(None, '"2+2"}', index=1)],
        ],
        [TWO, FOUR],
    ),
    "index as text": (
        [[call(arguments=ONE_PLUS_ONE, index="0"), call(index="1")]],
        [TWO, FOUR],
    ),
    "both in one piece": ([[call(arguments=ONE_PLUS_ONE), call()]], [TWO, FOUR]),
    "arguments as an object": ([[call(arguments=FOUR, index=0)]], [FOUR]),
    "arguments encoded twice": (
        [[call(arguments=json.dumps(json.dumps(FOUR)), index=0)]],
        [FOUR],
    ),
    "an id that both have": (
        [[call(arguments=ONE_PLUS_ONE, index=0, id="x"), call(index=1, id="x")]],
        [TWO, FOUR],
    ),
}


@pytest.mark.parametrize("shape", CALLS)
async def test_calls_in_pieces_are_put_together(play: Play, shape: str) -> None:
    pieces, wanted = CALLS[shape]
    deltas = [calls(*entries) for entries in pieces]
    played = play(stream(*deltas, finish("tool_calls"), DONE), answer("Done."))
    run = await played.ask()
    assert answered(run) == "Done."
    assert inputs(run) == wanted
    assert results(run) == [
        {"2+2": "4", "1+1": "2"}[each["expression"]] for each in wanted
    ]
    sent = played.messages()[2]["tool_calls"]
    assert [json.loads(each["function"]["arguments"]) for each in sent] == wanted
    ids = [each["id"] for each in sent]
    assert len(set(ids)) == len(ids)
    assert [m["tool_call_id"] for m in played.messages()[3:]] == ids


# ------------------------------------------------------- what goes back


async def test_the_server_s_ids_go_back_as_they_came(play: Play) -> None:
    for wanted in ("aB3dE6gH9", "functions.calculator:0"):
        played = play(
            stream(calls(call(index=0, id=wanted)), finish("tool_calls"), DONE),
            answer("It is 4."),
        )
        assert answered(await played.ask()) == "It is 4."
        turn, result = played.messages()[2:]
        assert turn["tool_calls"][0]["id"] == result["tool_call_id"] == wanted
        # And in the next question they are what they were.
        await played.ask("again", 2)
        assert played.messages()[2]["tool_calls"][0]["id"] == wanted
        later = played.messages()[6]["tool_calls"][0]["id"]
        assert later != wanted
        assert re.fullmatch("[A-Za-z0-9]{9}", later)


async def test_ids_of_the_site_are_what_every_server_takes(play: Play) -> None:
    played = play(
        stream(calls(call()), finish("tool_calls"), DONE),
        stream(calls(call(arguments=ONE_PLUS_ONE, id="")), finish("tool_calls"), DONE),
        answer("Done."),
    )
    await played.ask()
    ids = [c["id"] for m in played.messages() for c in m.get("tool_calls", [])]
    assert len(set(ids)) == 2
    assert all(re.fullmatch("[A-Za-z0-9]{9}", each) for each in ids)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_goes_back_within_a_tool_loop_by_its_own_name(
    play: Play, field: str
) -> None:
    def step(thought: str, *entries: dict[str, Any]) -> Round:
        return stream(
            delta(**{field: thought}), calls(*entries), finish("tool_calls"), DONE
        )

    played = play(
        step("I should calculate.", call(index=0, id="a")),
        step("Once more.", call(arguments=ONE_PLUS_ONE, index=0, id="b")),
        stream(
            calls(call(arguments=ONE_PLUS_ONE, index=0, id="c")),
            finish("tool_calls"),
            DONE,
        ),
        answer("It is 4."),
    )
    assert answered(await played.ask()) == "It is 4."
    turns = [m for m in played.messages() if m["role"] == "assistant"]
    assert [turn.get(field) for turn in turns] == [
        "I should calculate.",
        "Once more.",
        None,
    ]
    other = {"reasoning_content", "reasoning"} - {field}
    assert not any(other & set(turn) for turn in turns)


async def test_thinking_that_was_a_part_of_the_content_goes_back_as_one(
    play: Play,
) -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    played = play(
        stream(
            delta(content=[thinking]),
            calls(call(index=0, id="a")),
            finish("tool_calls"),
            DONE,
        ),
        answer("It is 4."),
    )
    assert answered(await played.ask()) == "It is 4."
    assert played.messages()[2]["content"][0] == thinking


async def test_fields_nobody_knows_go_back_with_their_call_and_message(
    play: Play,
) -> None:
    signature = {"google": {"thought_signature": "c2ln"}}
    details = [
        {"type": "reasoning.text", "text": "One ", "index": 0, "format": "x-v1"},
        {
            "type": "reasoning.text",
            "text": "two",
            "index": 0,
            "format": "x-v1",
            "signature": "s",
        },
    ]
    played = play(
        stream(
            delta(reasoning_details=details[:1]),
            delta(reasoning_details=details[1:]),
            calls(call(index=0, id="a", extra_content=signature)),
            finish("tool_calls"),
            DONE,
        ),
        answer("It is 4."),
    )
    run = await played.ask()
    assert answered(run) == "It is 4."
    assert of_type(run, "thought")[0].content == "One two"
    turn = played.messages()[2]
    assert turn["tool_calls"][0]["extra_content"] == signature
    assert turn["reasoning_details"] == [
        {
            "type": "reasoning.text",
            "text": "One two",
            "index": 0,
            "format": "x-v1",
            "signature": "s",
        }
    ]


@pytest.mark.parametrize(
    "thought",
    [
        {"reasoning_content": "I should calculate."},
        {"reasoning": "I should calculate."},
        {"reasoning_content": "Both.", "reasoning": "Both."},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "H"}]}
            ]
        },
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "H", "signature": "s"}
            ]
        },
        {"thinking": "I should calculate.", "thought_signature": "c2ln"},
    ],
    ids="+".join,
)
async def test_what_goes_back_does_so_from_another_process_too(
    play: Play, thought: dict[str, Any]
) -> None:
    signature = {"google": {"thought_signature": "c2ln"}}
    played = play(
        stream(
            delta(**thought),
            said("Let me see."),
            calls(call(index=0, id="a", extra_content=signature)),
            calls(call(arguments=ONE_PLUS_ONE, index=1, id="functions.calculator:1")),
            finish("tool_calls"),
            DONE,
        ),
        stream(calls(call(index=0, id="c")), finish("tool_calls"), DONE),
        {"attempts": [{"actions": [*raw(HALF), LEFT_OPEN]}, {"actions": answer("4.")}]},
    )
    await played.here.ask(played.session, f"[scenario {played.name}]")
    await played.watcher.said("The first half of")
    async with process() as there:
        await played.here.crash()
        there.show(played.session, played.watcher)
        await there.recover()
        run = await played.watcher.ended()
    assert answered(run) == "4."
    before, after = played.messages(-2), played.messages(-1)
    assert before[2]["tool_calls"][0]["extra_content"] == signature
    assert thought.keys() <= before[2].keys()
    assert after == before


def check_roles(messages: list[dict[str, Any]]) -> None:
    """As the strictest chat templates want them."""
    rest = [m for m in messages if m["role"] != "system"]
    assert rest[0]["role"] == "user"
    for before, after in pairwise(rest):
        allowed = {
            "user": {"assistant"},
            "assistant": {"tool"} if before.get("tool_calls") else {"user"},
            "tool": {"tool", "assistant"},
        }[before["role"]]
        assert after["role"] in allowed, [m["role"] for m in messages]


async def test_roles_alternate_after_a_stop_and_what_was_said_is_remembered(
    play: Play,
) -> None:
    played = play(
        {
            "attempts": [
                {"actions": [*raw(said("One two ")), LEFT_OPEN]},
                {"actions": answer("Fine.")},
            ]
        }
    )
    await played.here.ask(played.session, f"ask 1 [scenario {played.name}]")
    await played.watcher.said("One two ")
    await played.here.verbs.stop(played.session, GUEST, None, None)
    assert (await played.watcher.ended(1)).reason == "stopped"
    assert answered(await played.ask("ask 2", 2)) == "Fine."
    messages = played.messages()
    check_roles(messages)
    assert [m["role"] for m in messages][1:] == ["user", "assistant", "user"]
    assert messages[2]["content"].startswith("One two ")
    assert "cut off" in messages[2]["content"]


async def test_roles_alternate_after_refused_questions(play: Play) -> None:
    refused = {"actions": [{"status": 400, "body": {"error": "no"}}]}
    played = play(
        {"attempts": [refused, refused, refused, {"actions": answer("Fine.")}]}
    )
    for number in (1, 2, 3):
        assert (await played.ask(f"ask {number}", number)).reason == "failed"
    assert answered(await played.ask("ask 4", 4)) == "Fine."
    messages = played.messages()
    check_roles(messages)
    assert all(f"ask {number}" in messages[1]["content"] for number in (1, 2, 3, 4))


async def test_roles_alternate_after_a_tool_whose_result_got_no_answer(
    play: Play,
) -> None:
    use = stream(calls(call(index=0, id="a")), finish("tool_calls"), DONE)
    refused: Round = [{"status": 400, "body": {"error": "no"}}]
    played = play(
        {"attempts": [{"actions": use}, {"actions": answer("Fine.")}]}, refused
    )
    assert (await played.ask("ask 1")).reason == "failed"
    assert answered(await played.ask("ask 2", 2)) == "Fine."
    messages = played.messages()
    check_roles(messages)
    assert [m["role"] for m in messages][1:] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


# ------------------------------------------------------- calls as text


@pytest.fixture
def as_text(settings: Settings) -> Settings:
    settings.LLM_TOOL_PROTOCOL = "nous"
    return settings


XML = "<tool_call>\n<function=calculator>\n<parameter=expression>\n2+2\n</parameter>\n</function>\n</tool_call>"
JSON = '{"name": "calculator", "arguments": {"expression": "2+2"}}'
DIALECTS = {
    "the usual": f"<tool_call>\n{JSON}\n</tool_call>",
    "XML": XML,
    "XML without its wrapping": XML.removeprefix("<tool_call>\n").removesuffix(
        "\n</tool_call>"
    ),
    "XML that is not closed": XML.removesuffix(
        "\n</parameter>\n</function>\n</tool_call>"
    ),
    "a raw line break": '<tool_call>\n{"name": "calculator", "arguments": {"expression": "2+\n2"}}\n</tool_call>',
    "a brace too many": f"<tool_call>\n{JSON}}}\n</tool_call>",
    "parameters": f"<tool_call>\n{JSON.replace('arguments', 'parameters')}\n</tool_call>",
    "single quotes": f"<tool_call>{JSON.replace(chr(34), chr(39))}</tool_call>",
    "commas too many": '<tool_call>{"name": "calculator", "arguments": {"expression": "2+2",},}</tool_call>',
    "keys without quotes": '<tool_call>{name: "calculator", arguments: {expression: "2+2"}}</tool_call>',
    "fenced within the tag": f"<tool_call>\n```json\n{JSON}\n```\n</tool_call>",
    "never closed": f"<tool_call>\n{JSON}",
    "arguments as text": '<tool_call>{"name": "calculator", "arguments": "{\\"expression\\": \\"2+2\\"}"}</tool_call>',
    "nested": f'<tool_call>{{"type": "function", "function": {JSON}}}</tool_call>',
    "tools": f"<tools>\n{JSON}\n</tools>",
    "TOOL_CALLS": f"[TOOL_CALLS] [{JSON}]",
    "TOOL_CALLS with ARGS": '[TOOL_CALLS]calculator[ARGS]{"expression": "2+2"}',
    "name, then JSON": '<tool_call>calculator\n{"expression": "2+2"}</tool_call>',
    "keys and values": "<tool_call>calculator\n<arg_key>expression</arg_key>\n<arg_value>2+2</arg_value>\n</tool_call>",
    "bare": JSON,
    "bare, after a remark": f"I will calculate that.\n\n{JSON}\n",
    "bare list": f"[{JSON}]",
    "fenced": f"```json\n{JSON}\n```",
    "fenced, after a remark": f"Let me see:\n```\n{JSON}\n```\n",
    "bare with a brace too many": JSON + "}",
    "after a thought": f"<think>Hm.</think>\n{JSON}",
    "JSON within XML": '<function=calculator>{"expression": "2+2"}</function>',
    "Llama's tag": f"<|python_tag|>{JSON.replace('arguments', 'parameters')}",
    "Llama's tag after a remark": f"I will.<|python_tag|>{JSON}<|eom_id|>",
    "Granite's tag": f"<|tool_call|>[{JSON}]",
    "TOOL_CALLS with an id": '[TOOL_CALLS]calculator[CALL_ID]aB3dE6gH9[ARGS]{"expression": "2+2"}',
    "Kimi's tokens": '<|tool_calls_section_begin|><|tool_call_begin|>functions.calculator:0<|tool_call_argument_begin|>{"expression": "2+2"}<|tool_call_end|><|tool_calls_section_end|>',
    "DeepSeek's tokens": '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>calculator\n```json\n{"expression": "2+2"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "DeepSeek's tokens since 3.1": 'So:<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>calculator<｜tool▁sep｜>{"expression": "2+2"}<｜tool▁call▁end｜>',
    "DeepSeek's tags since 3.2": '<｜DSML｜function_calls>\n<｜DSML｜invoke name="calculator">\n<｜DSML｜parameter name="expression" string="true">2+2</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    "after a longer tag's thought": f"<thinking>Hm.</thinking>\n<tool_call>{JSON}</tool_call>",
    "inline code before it": f"I use `calculator`.\n<tool_call>{JSON}</tool_call>",
}


@pytest.mark.parametrize("form", DIALECTS)
async def test_calls_in_text_are_read_in_any_dialect(
    play: Play, as_text: Settings, form: str
) -> None:
    assert as_text.LLM_TOOL_PROTOCOL == "nous"
    at_once = play(stream(said(DIALECTS[form]), finish(), DONE), answer("It is 4."))
    pieces = [said(char) for char in DIALECTS[form]]
    bit_by_bit = play(stream(*pieces, finish(), DONE), answer("It is 4."))
    for run in await all_of(at_once.ask(), bit_by_bit.ask()):
        assert answered(run) == "It is 4."
        (given,) = inputs(run)
        assert given["expression"].replace("\n", "") == "2+2"
        assert results(run) == ["4"]


async def test_several_calls_in_text_are_several_calls(
    play: Play, as_text: Settings
) -> None:
    assert as_text.LLM_TOOL_PROTOCOL == "nous"
    other = JSON.replace("2+2", "1+1")
    forms = [
        f"<tool_call>\n{JSON}\n<tool_call>\n{other}\n</tool_call>",
        f"<tool_call>\n{JSON}\n{other}\n</tool_call>",
        f"<tool_call>[{JSON}, {other}]</tool_call>",
        f"<tool_call>{JSON}</tool_call><tool_call>{other}</tool_call>",
        f"[TOOL_CALLS][{JSON}, {other}]",
        f"[{JSON}, {other}]",
        f"{JSON}\n{other}",
        f"<|python_tag|>{JSON}; {other}",
        f"<|tool_call|>[{JSON}, {other}]",
        '[TOOL_CALLS]calculator[ARGS]{"expression": "2+2"}[TOOL_CALLS]calculator[ARGS]{"expression": "1+1"}',
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.calculator:0<|tool_call_argument_begin|>{"expression": "2+2"}<|tool_call_end|><|tool_call_begin|>functions.calculator:1<|tool_call_argument_begin|>{"expression": "1+1"}<|tool_call_end|><|tool_calls_section_end|>',
    ]
    sessions = [play(stream(said(f), finish(), DONE), answer("Done.")) for f in forms]
    for run in await all_of(*(each.ask() for each in sessions)):
        assert answered(run) == "Done."
        assert inputs(run) == [FOUR, TWO]


TEXTS = {
    "JSON with words after it": f"{JSON}\nThat is how one asks the calculator.",
    "JSON in prose": f"One writes {JSON} to call it.",
    "fenced with words after it": f"```json\n{JSON}\n```\nThat is how.",
    "JSON of something else": '{"name": "Ada", "born": 1815}',
    "JSON of a tool that is not offered": '{"name": "teleport", "arguments": {}}',
    "a list": "[1, 2, 3]",
    "tags in a code block": f"So:\n```xml\n<think>\n</think>\n<tool_call>{JSON}</tool_call>\n```\nThat is all.",
    "tags in inline code": "Use `<think>` and `<tool_call>` for that, ``<tool_call>`` too.",
    "a code block of waves": f"~~~\n<tool_call>{JSON}</tool_call>\n~~~",
    "code": "```python\nx = {'name': 'calculator'}\n```",
    "a block that is never closed": "```\n<think>\nx",
    "code after Llama's tag": "<|python_tag|>print(2 + 2)",
    "a list after Granite's tag": "<|tool_call|>[1, 2]",
    "a longer tag that is talked about": "Use <thinking> and `<|tool_call|>` for that.",
    "comparisons": "2 < 3 and [x] {y} <b>",
}


@pytest.mark.parametrize("form", TEXTS)
async def test_what_only_looks_like_a_call_stays_text(
    play: Play, as_text: Settings, form: str
) -> None:
    assert as_text.LLM_TOOL_PROTOCOL == "nous"
    text = TEXTS[form]
    at_once = play(stream(said(text), finish(), DONE))
    bit_by_bit = play(stream(*map(said, text), finish(), DONE))
    for run in await all_of(at_once.ask(), bit_by_bit.ask()):
        assert answered(run) == text
        assert len(run.steps) == 1


async def test_text_that_cannot_become_a_call_is_shown_at_once(
    play: Play, as_text: Settings
) -> None:
    assert as_text.LLM_TOOL_PROTOCOL == "nous"
    for text in (
        "So it is.",
        '{"city": "Par',
        "```python\nprint(",
        '{"name": "Ada", "bo',
        "a < b",
        "`x` and [y",
        "<|python_tag|>print(",
        "<|tool_call|>none",
    ):
        played = play([*raw(said(text)), LEFT_OPEN])
        await played.here.ask(played.session, f"[scenario {played.name}]")
        await played.watcher.said(text)
        await played.here.verbs.stop(played.session, GUEST, None, None)
        await played.watcher.ended()


async def test_the_same_call_three_times_in_a_row_ends_the_run_with_a_word(
    play: Play, as_text: Settings
) -> None:
    assert as_text.LLM_TOOL_PROTOCOL == "nous"
    other = JSON.replace("2+2", "1+1")
    again = stream(said(DIALECTS["the usual"]), finish(), DONE)
    played = play(again)
    run = await played.ask()
    assert run.reason == "failed"
    assert run.error
    assert "calculator" in run.error.message
    assert run.error.retryable
    assert len(played.requests) == 3
    assert results(run) == ["4", "4"]
    differs = play(
        again, again, stream(said(other), finish(), DONE), again, answer("Done.")
    )
    assert answered(await differs.ask()) == "Done."


# ------------------------------------------------------- the context's end


class ReadPage:
    """A tool whose results fill the context."""

    name = "read_page"
    description = "Reads a page."
    parameters: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"page": {"type": "integer"}},
        "required": ["page"],
    }
    repeatable = True
    time_limit = None

    def call(self, arguments: dict[str, Any]) -> str:
        return f"Page {arguments['page']}: " + "word " * 1200


@pytest.mark.parametrize("protocol", ["nous", "native"])
async def test_the_question_is_never_trimmed_away_in_a_tool_loop(
    play: Play, settings: Settings, protocol: str
) -> None:
    settings.LLM_TOOL_PROTOCOL = protocol
    settings.LLM_MAX_INPUT_TOKENS = 7000
    settings.EXTRA_TOOLS = [f"{__name__}.ReadPage"]

    def page(number: int) -> Round:
        arguments = json.dumps({"page": number})
        if protocol == "native":
            return stream(
                calls(call("read_page", arguments, index=0, id=f"p{number}")),
                finish("tool_calls"),
                DONE,
            )
        written = f'<tool_call>\n{{"name": "read_page", "arguments": {arguments}}}\n</tool_call>'
        return stream(said(written), finish(), DONE)

    played = play(page(1), page(2), page(3), answer("Page 1."))
    run = await played.ask("Which page names the budget?")
    assert answered(run) == "Page 1."
    for number in range(4):
        texts = [m["content"] for m in played.messages(number) if m["role"] == "user"]
        assert "Which page names the budget?" in texts[0]
    last = json.dumps(played.messages())
    assert "Page 1: " in last
    assert "left out" in last
    newest = played.messages()[-1]["content"]
    assert newest.count("word") == 1200
    # Of the next question, too; what was asked before is left out first.
    assert answered(await played.ask("And which one names the names?", 2)) == "Page 1."
    for message in (played.messages(number) for number in range(4, 8)):
        texts = [m["content"] for m in message if m["role"] == "user"]
        assert any("And which one names the names?" in text for text in texts)


# ------------------------------------------------------- words


REFUSALS: list[tuple[int, Any, str]] = [
    (
        404,
        {
            "error": {
                "message": "No endpoints found that support tool use.",
                "code": 404,
            }
        },
        "LLM_TOOL_PROTOCOL",
    ),
    (
        400,
        {
            "error": {
                "message": "registry.ollama.ai/library/tiny:latest does not support tools"
            }
        },
        "LLM_TOOL_PROTOCOL",
    ),
    (
        400,
        {
            "object": "error",
            "message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        },
        "LLM_TOOL_PROTOCOL",
    ),
    (
        500,
        {"error": {"message": "tools param requires --jinja flag"}},
        "LLM_TOOL_PROTOCOL",
    ),
    (
        400,
        {
            "error": {
                "code": "invalid_parameter_error",
                "message": "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
            }
        },
        "too long",
    ),
    (
        400,
        {
            "error": {
                "message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096."
            }
        },
        "too long",
    ),
    (
        400,
        {
            "error": {
                "message": "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000"
            }
        },
        "too long",
    ),
    (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                }
            }
        ],
        "too long",
    ),
    (
        500,
        {"error": {"message": "Requested tokens (5000) exceed context window of 4096"}},
        "too long",
    ),
    (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
            }
        },
        "too long",
    ),
    (413, "", "too long"),
    (402, {"error": {"message": "Insufficient credits.", "code": 402}}, "budget"),
    (
        400,
        {
            "error": {
                "code": "Arrearage",
                "message": "Access denied, please make sure your account is in good standing.",
            }
        },
        "budget",
    ),
    (
        429,
        {
            "error": {
                "code": "insufficient_quota",
                "message": "You exceeded your current quota, please check your plan and billing details.",
            }
        },
        "budget",
    ),
    (
        403,
        {
            "error": {
                "code": 403,
                "message": "Input was flagged by moderation",
                "metadata": {"reasons": ["x"]},
            }
        },
        "content filter",
    ),
    (
        400,
        {
            "error": {
                "code": "data_inspection_failed",
                "message": "Output data may contain inappropriate content.",
            }
        },
        "content filter",
    ),
    (
        400,
        {
            "error": {
                "code": "content_filter",
                "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            }
        },
        "content filter",
    ),
    (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "API key not valid. Please pass a valid API key.",
                }
            }
        ],
        "LLM_API_KEY",
    ),
    (401, {"error": "nope"}, "LLM_API_KEY"),
    (
        404,
        {"error": {"message": "model 'qwen9' not found, try pulling it first"}},
        "LLM_MODEL",
    ),
    (400, {"error": {"message": "qwen/nonsense is not a valid model ID"}}, "LLM_MODEL"),
    (400, {"error": {"message": "Model Not Exist"}}, "LLM_MODEL"),
    (200, "<!doctype html><html><body>Welcome</body></html>", "LLM_BASE_URL"),
    (
        200,
        {"error": "Unexpected endpoint or method. (POST /chat/completions)"},
        "LLM_BASE_URL",
    ),
    (200, "It works!", "LLM_BASE_URL"),
]


async def test_a_refusal_says_what_is_wrong_and_is_not_tried_again(play: Play) -> None:
    sessions = [
        play([{"status": status, "body": body}]) for status, body, _ in REFUSALS
    ]
    runs = await all_of(*(each.ask() for each in sessions))
    for run, played, (status, body, words) in zip(
        runs, sessions, REFUSALS, strict=True
    ):
        assert run.reason == "failed"
        assert run.error
        assert words in run.error.message, (status, body, run.error.message)
        assert not run.error.retryable
        assert len(played.requests) == 1, (status, body)


async def test_what_may_pass_is_tried_again(play: Play) -> None:
    passing: list[tuple[int, Any]] = [
        (503, {"error": {"message": "Loading model", "type": "unavailable_error"}}),
        (429, {"error": {"message": "Rate limit reached for tokens per minute"}}),
        (500, "Internal Server Error"),
        (529, {"type": "error", "error": {"message": "Overloaded"}}),
        (408, {"error": "the request took too long"}),
    ]
    sessions = [
        play(
            {
                "attempts": [
                    {"actions": [{"status": s, "body": b}]},
                    {"actions": answer("Here.")},
                ]
            },
            answer("Here."),
        )
        for s, b in passing
    ]
    for run in await all_of(*(each.ask() for each in sessions)):
        assert answered(run) == "Here."


async def test_a_redirect_keeps_the_question_and_the_key_at_home(
    play: Play, shared: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    for status in (301, 302, 307, 308):
        await registry.shutdown()  # an address that was moved is remembered
        moved = {
            "actions": [
                {
                    "status": status,
                    "headers": {"Location": f"/moved{status}/v1/chat/completions"},
                    "body": "",
                }
            ]
        }
        played = play({"attempts": [moved, {"actions": answer("Here.")}]})
        assert answered(await played.ask()) == "Here."
        first, second = played.requests
        assert second["path"] == f"/moved{status}/v1/chat/completions"
        assert second["request"] == first["request"]
        assert second["authorization"] == first["authorization"]
    await registry.shutdown()
    with ModelServer() as elsewhere:
        there = f"{elsewhere.base_url}/chat/completions"
        played = play([{"status": 302, "headers": {"Location": there}, "body": ""}])
        run = await played.ask()
        assert run.error
        assert "LLM_BASE_URL" in run.error.message
        assert there in caplog.text
        assert elsewhere.requests() == []
    assert shared.requests()


async def test_the_key_is_not_logged_and_a_short_key_changes_no_words(
    play: Play, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"error": "thinking of a-key-of-the-site and sk-none"}
    await play([{"status": 400, "body": body}]).ask()
    assert "a-key-of-the-site" not in caplog.text
    assert "thinking of [secret]" in caplog.text
    for short in ("k", "EMPTY", "none"):
        caplog.clear()
        settings.LLM_API_KEY = short
        await registry.shutdown()
        await play(
            [{"status": 400, "body": {"error": f"thinking EMPTY {short}"}}]
        ).ask()
        assert f"thinking EMPTY {short}" in caplog.text


# ------------------------------------------------------- asked not to think


async def test_a_model_is_asked_not_to_think_where_it_can_be(play: Play) -> None:
    played = play(answer("Yes."))
    assert answered(await played.ask(enable_reasoning=False)) == "Yes."
    asked = played.requests[-1]["request"]
    assert asked["chat_template_kwargs"] == {"enable_thinking": False}
    await played.ask("again", 2)
    assert "chat_template_kwargs" not in played.requests[-1]["request"]
    refusal = {
        "actions": [
            {
                "status": 422,
                "body": {
                    "detail": "Extra inputs are not permitted: chat_template_kwargs, enable_thinking"
                },
            }
        ]
    }
    strict = play({"attempts": [refusal, {"actions": answer("Yes.")}]})
    assert answered(await strict.ask(enable_reasoning=False)) == "Yes."
    assert "enable_thinking" not in strict.requests[-1]["request"]
