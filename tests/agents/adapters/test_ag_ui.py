"""AG-UI, as the official package encodes it, in all the forms that it has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ag_ui.core import (
    EventType,
    Interrupt,
    ReasoningMessageChunkEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunStartedEvent,
    StateSnapshotEvent,
    SubagentStartedEvent,
    TextMessageChunkEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallChunkEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from ag_ui.encoder import EventEncoder
from aiohttp import web

from reasoning_site.adapters.ag_ui import ag_ui
from tests.agents.adapters.frameworks import told
from tests.agents.fold import Told

STARTED = RunStartedEvent(thread_id="t", run_id="r")
FINISHED = RunFinishedEvent(thread_id="t", run_id="r")


class AgentServer:
    """Answers with these events, and remembers what it was asked."""

    def __init__(self, *events: Any, status: int = 200, **headers: str) -> None:
        self._events = events
        self._status = status
        self._headers = headers
        self.asked: list[tuple[dict[str, str], RunAgentInput]] = []

    async def run(self, request: web.Request) -> web.StreamResponse:
        given = RunAgentInput.model_validate(await request.json())
        self.asked.append((dict(request.headers), given))
        response = web.StreamResponse(status=self._status, headers=self._headers)
        encoder = EventEncoder()
        response.content_type = encoder.get_content_type()
        await response.prepare(request)
        for event in self._events:
            text = event if isinstance(event, str) else encoder.encode(event)
            for byte in text.encode():  # in pieces, as networks may cut it
                await response.write(bytes([byte]))
        return response

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/agent", self.run)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/agent"
        await runner.cleanup()


async def heard(*events: Any, **more: Any) -> Told:
    """What is told of a run whose server sends these."""
    async with AgentServer(*events, **more).serving() as url:
        return await told(ag_ui(url, name="far"))


def text(key: str, *pieces: str, **more: Any) -> list[Any]:
    """A message, from its start to its end."""
    return [
        TextMessageStartEvent(message_id=key, role="assistant", **more),
        *(TextMessageContentEvent(message_id=key, delta=each) for each in pieces),
        TextMessageEndEvent(message_id=key),
    ]


def shown(run: Told) -> list[tuple[str, str, str]]:
    return [(part.type, part.agent, part.content) for part in run.parts]


async def test_messages_reasoning_and_tools_are_steps() -> None:
    run = await heard(
        STARTED,
        ReasoningMessageStartEvent(message_id="r"),
        ReasoningMessageContentEvent(message_id="r", delta="Hm, "),
        ReasoningMessageContentEvent(message_id="r", delta="né 🐑?"),
        ReasoningMessageEndEvent(message_id="r"),
        ToolCallStartEvent(tool_call_id="c", tool_call_name="look"),
        ToolCallArgsEvent(tool_call_id="c", delta='{"where"'),
        ToolCallArgsEvent(tool_call_id="c", delta=': "west"}'),
        ToolCallEndEvent(tool_call_id="c"),
        StateSnapshotEvent(snapshot={"any": "thing"}),
        ToolCallResultEvent(message_id="m", tool_call_id="c", content="rain"),
        *text("t", "Take ", "one."),
        FINISHED,
    )
    assert shown(run) == [
        ("thought", "", "Hm, né 🐑?"),
        ("tool_use", "", '{"where": "west"}'),
        ("tool_result", "", "rain"),
        ("final_answer", "", "Take one."),
    ]
    assert run.parts[1].tool_input == {"where": "west"}
    assert run.parts[-1].iteration == 2


async def test_chunks_are_the_same_in_short() -> None:
    run = await heard(
        STARTED,
        ReasoningMessageChunkEvent(message_id="r", delta="Hm."),
        ToolCallChunkEvent(tool_call_id="c", tool_call_name="look", delta='{"a"'),
        ToolCallChunkEvent(delta=": 1}"),
        ToolCallResultEvent(message_id="m", tool_call_id="c", content="yes"),
        TextMessageChunkEvent(message_id="t", role="assistant", delta="It "),
        TextMessageChunkEvent(delta="is."),
        FINISHED,
    )
    assert shown(run) == [
        ("thought", "", "Hm."),
        ("tool_use", "", '{"a": 1}'),
        ("tool_result", "", "yes"),
        ("final_answer", "", "It is."),
    ]


async def test_messages_at_the_same_time_are_said_one_after_the_other() -> None:
    first, second = text("a", "One ", "two."), text("b", "Three ", "four.")
    for event in (*first, *second):
        if isinstance(event, TextMessageStartEvent):
            event.name = "Ada" if event.message_id == "a" else "Bob"
    mixed = [event for pair in zip(first, second, strict=True) for event in pair]
    run = await heard(STARTED, *mixed, FINISHED)
    assert [(part.agent, part.content) for part in run.parts] == [
        ("Ada", "One two."),
        ("Bob", "Three four."),
    ]


async def test_a_call_inside_a_message_makes_what_was_said_before_a_thought() -> None:
    before, rest = text("t", "Let me see."), text("t", "It is.")
    run = await heard(
        STARTED,
        *before[:-1],
        ToolCallStartEvent(
            tool_call_id="c", tool_call_name="look", parent_message_id="t"
        ),
        ToolCallEndEvent(tool_call_id="c"),
        ToolCallResultEvent(message_id="m", tool_call_id="c", content="yes"),
        *rest[1:],
        FINISHED,
    )
    assert run.types == ["thought", "tool_use", "tool_result", "final_answer"]


async def test_subagents_speak_under_their_names() -> None:
    run = await heard(
        STARTED,
        SubagentStartedEvent(subagent_run_id="s", name="expert"),
        *text("t", "I know.", subagent_run_id="s"),
        FINISHED,
    )
    assert shown(run) == [("final_answer", "expert", "I know.")]


async def test_older_and_unknown_events_are_taken_as_they_are() -> None:
    older = "THINKING_TEXT_MESSAGE"
    run = await heard(
        ": a comment\n\n",
        STARTED,
        f'event: x\r\ndata: {{"type": "{older}_START"}}\r\n\r\n',
        f'data: {{"type": "{older}_CONTENT",\ndata: "delta": "Hm."}}\n\n',
        f'data: {{"type": "{older}_END"}}\n\n',
        'data: {"type": "OF_TOMORROW", "messageId": 7}\n\n',
        TextMessageStartEvent(message_id="u", role="user"),
        TextMessageContentEvent(message_id="u", delta="Hi"),
        TextMessageEndEvent(message_id="u"),
        ToolCallResultEvent(message_id="m", tool_call_id="of before", content="x"),
        *text("t", "Yes."),
        FINISHED,
    )
    assert shown(run) == [("thought", "", "Hm."), ("final_answer", "", "Yes.")]


async def test_what_it_waits_for_is_said() -> None:
    interrupt = Interrupt(id="i", reason="approval", message="May I delete it?")
    outcome = RunFinishedInterruptOutcome(interrupts=[interrupt])
    finished = RunFinishedEvent(thread_id="t", run_id="r", outcome=outcome)
    assert (await heard(STARTED, finished)).answer.strip() == "May I delete it?"


@pytest.mark.parametrize(
    ("events", "more", "words"),
    [
        ([STARTED, RunErrorEvent(message="No money left.")], {}, "No money left."),
        ([STARTED, *text("t", "Half")], {}, "ended its stream"),
        (["data: {not json\n\n"], {}, "no event of AG-UI"),
        (["Go away."], {"status": 403}, "answered 403: Go away."),
        ([], {"status": 307, "Location": "/there"}, "a redirect to /there"),
    ],
)
async def test_what_went_wrong_is_said(
    events: list[Any], more: dict[str, Any], words: str
) -> None:
    run = await heard(*events, **more)
    assert run.end is not None
    assert run.end.error is not None
    assert words in run.end.error.message
    assert run.answer in {"", "Half"}


async def test_a_server_that_is_not_there_is_said() -> None:
    run = await told(ag_ui("http://127.0.0.1:9/agent"))
    assert run.end is not None
    assert run.end.error is not None
    assert "127.0.0.1:9" in run.end.error.message


async def test_it_is_asked_as_the_protocol_says() -> None:
    server = AgentServer(STARTED, FINISHED)
    async with server.serving() as url:
        await told(ag_ui(url, headers={"Authorization": "Bearer x"}), "Hello")
    ((headers, given),) = server.asked
    assert headers["Authorization"] == "Bearer x"
    assert headers["Accept"] == "text/event-stream"
    assert [message.content for message in given.messages] == ["Hello"]
    assert STARTED.type == EventType.RUN_STARTED
