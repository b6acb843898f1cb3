"""What docs/agents.md says of each kind of agent and option of Qwen-Agent is so."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from chat.agents.base import BaseAgent, Exchange
from chat.agents.hosted import load
from chat.agents.qwen import hosting
from chat.agents.qwen.hosting import Hosting
from chat.agents.qwen.threads import ThreadPool
from tests.agents.fold import Told, listen
from tests.model_server import ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")  # of what reads files, on import

HOSTING = Hosting(ThreadPool(4, "agent"), ThreadPool(4, "tool"), 20.0)
KINDS = str(Path(__file__).with_name("kinds.py"))

HELLO = "Hello world, this is it."
HI, HO = ({"name": "louder", "arguments": {"text": text}} for text in ("hi", "ho"))
OLD = '✿FUNCTION✿: louder\n✿ARGS✿: {"text": "TEXT"}\n'
CREATED = '<Background>: A pub.\n<Config>: {"name": "Al"}\n<Answer>: Shall Al sing?'
MEMO = {"operate": "put", "key": "/name", "value": "Ada"}


def in_tag(call: Any) -> str:
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


def text(*texts: str) -> list[Any]:
    return [[{"text": each}] for each in texts]


SCENARIOS: dict[str, list[Any]] = {
    "k-plain": text(HELLO),
    "k-old": text("Let me.\n" + OLD.replace("TEXT", "hi"), "Loud."),
    "k-old-two": text(
        OLD.replace("TEXT", "hi") + OLD.replace("TEXT", "ho"), "Both loud."
    ),
    "k-two": text(f"{in_tag(HI)}\n{in_tag(HO)}", "Both loud."),
    "k-raw-two": [
        [{"call": {**HI, "index": 0}}, {"call": {**HO, "index": 1}}],
        [{"text": "Both loud."}],
    ],
    "k-thinking": [
        [{"reasoning": "Hm.", "field": "reasoning_content"}, {"call": HI}],
        [{"reasoning": "Aha."}, {"text": "Loud."}],
    ],
    "k-in-content": text(f"Hm.</think>Well.{in_tag(HI)}", "Aha.</think>Loud."),
    "k-unknown": text(in_tag({"name": "whisper", "arguments": {}}), "I cannot."),
    "k-flaky": [[{"status": 500, "body": "no"}], [{"text": "At last."}]],
    "k-host": text("bob"),
    "k-creator": text(CREATED),
    "k-human": text('["Why?", "Why?"]'),
    "k-memo": text(in_tag({"name": "storage", "arguments": MEMO}), "Noted."),
}
IN_TURN = {"k-old", "k-old-two", "k-flaky"}  # all rounds are one message to the server

ANSWER = [("final_answer", "", HELLO)]
TWO = [
    ("tool_use", "", '{"text": "hi"}'),
    ("tool_use", "", '{"text": "ho"}'),
    ("tool_result", "", "HI"),
    ("tool_result", "", "HO"),
    ("final_answer", "", "Both loud."),
]
ONE = [("tool_use", "", '{"text": "hi"}'), ("tool_result", "", "HI")]
TURN = "It is your turn."

EXPECTED: dict[str, list[tuple[str, str, str]]] = {
    "old-form": [("thought", "", "Let me.\n"), *ONE, ("final_answer", "", "Loud.")],
    "old-form-parallel": [TWO[0], TWO[2], TWO[1], TWO[3], TWO[4]],
    "parallel": TWO,
    "raw-parallel": TWO,
    "thinking": [
        ("thought", "", "Hm."),
        *ONE,
        ("thought", "", "Aha."),
        ("final_answer", "", "Loud."),
    ],
    "thought-in-content": [
        ("thought", "", "Hm."),
        ("thought", "", "Well."),
        *ONE,
        ("thought", "", "Aha."),
        ("final_answer", "", "Loud."),
    ],
    "unknown": [
        ("tool_use", "", "{}"),
        ("tool_result", "", "There is no tool “whisper”."),
        ("final_answer", "", "I cannot."),
    ],
    "no-choice": ANSWER,
    "options": [("final_answer", "", "Hello")],
    "retries": [("final_answer", "", "At last.")],
    "headers": ANSWER,
    "azure": ANSWER,
    "vision": ANSWER,
    "omni": ANSWER,
    "dashscope": [("thought", "", "Hm."), *ANSWER],
    "basic": ANSWER,
    "with-person": [("final_answer", "Ann", HELLO), ("final_answer", "Me", TURN)],
    "by-hand": [
        ("final_answer", "", f"{TURN} Say who is to speak, with @ and the name.")
    ],
    "with-host": [("thought", "host", "bob"), ("final_answer", "bob", HELLO)] * 3,
    "at-random": [("final_answer", "ann", HELLO)] * 3,
    "creator": [("thought", "", CREATED), ("final_answer", "", "Shall Al sing?")],
    "simulator": [
        ("final_answer", "helper", HELLO),
        ("thought", "human", '["Why?", "Why?"]'),
        ("final_answer", "human", "Why?"),
        ("final_answer", "helper", HELLO),
    ],
    "virtual-memory": ANSWER,
    "direct": ANSWER,
    "asking": [
        ("thought", "", "I shall ask."),
        ("final_answer", "", f"{TURN} What is your name?"),
    ],
}
# Of these it is enough that they look up, think and answer.
LONG = {
    "documents": [*("thought", "tool_use", "tool_result", "final_answer")],
    "article": [
        *("thought", "tool_use", "tool_result", "thought", "thought", "final_answer")
    ],
    "from-scratch": [*("thought",) * 5, "final_answer"],
    "long-dialogue": [*("thought", "tool_use", "tool_result", "final_answer")],
    "memo": [*("tool_use", "tool_result", "final_answer")],
}


class DashScope(BaseHTTPRequestHandler):
    """Answers as DashScope does, one event for each piece."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for content, thought in (
            ("", "Hm."),
            ("Hello world,", ""),
            (" this is it.", ""),
        ):
            said = {
                "role": "assistant",
                "content": content,
                "reasoning_content": thought,
            }
            choice = {"message": said, "finish_reason": "null"}
            event = {"output": {"choices": [choice]}, "request_id": "1"}
            data = f"id:1\nevent:result\ndata:{json.dumps(event)}\n\n"
            self.wfile.write(data.encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def dashscope() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), DashScope) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def kinds(server: ModelServer) -> Iterator[dict[str, BaseAgent]]:
    with dashscope() as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_SERVER", server.base_url)
        patch.setenv("DASHSCOPE", address)
        for name, rounds in SCENARIOS.items():
            played = [{"actions": each} for each in rounds]
            in_one = [{"attempts": played}] if name in IN_TURN else played
            server.add(name, {"rounds": in_one})
        yield {agent.name: agent for agent in load(KINDS, HOSTING).agents}


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await hosting.close()


async def play(agent: BaseAgent, prompt: str = "Hi", *history: Exchange) -> Told:
    told = await listen(agent.run_with_reasoning_stream(prompt, history))
    assert told.end is not None
    return told


def said(told: Told) -> list[tuple[str, str, str]]:
    return [(part.type, part.agent, part.content) for part in told.parts]


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_kind_of_agent_says(kinds: dict[str, BaseAgent], name: str) -> None:
    told = await play(kinds[name])
    assert said(told) == EXPECTED[name]
    assert told.end is not None
    assert told.end.reason == "answered"


@pytest.mark.parametrize("name", LONG)
async def test_a_kind_that_works_longer_says(
    kinds: dict[str, BaseAgent], name: str
) -> None:
    told = await play(kinds[name])
    assert told.types == LONG[name]
    assert all(part.status == "ok" for part in told.parts)


async def test_what_the_library_refuses_is_said(kinds: dict[str, BaseAgent]) -> None:
    told = await play(kinds["choice"])
    assert told.end is not None
    assert told.end.error is not None
    assert "NotImplementedError" in told.end.error.message
    assert "python_executor" in kinds["math"].description


async def test_options_reach_the_model(
    kinds: dict[str, BaseAgent], server: ModelServer
) -> None:
    await play(kinds["options"])
    asked = server.requests()[-1]["request"]
    assert (asked["stop"], asked["seed"], asked["top_k"]) == (["world"], 7, 3)


async def test_a_person_s_turn_is_no_memory_and_they_speak_by_their_name(
    kinds: dict[str, BaseAgent], server: ModelServer
) -> None:
    for name, prompt, asked in (
        ("with-person", "Me?", "Me: Me?\nAnn: "),
        ("by-hand", "Then @bob", "user: Hi\n\nThen @bob\nbob: "),
    ):
        told = await play(kinds[name])
        server.reset()
        told = await play(kinds[name], prompt, Exchange("Hi", tuple(told.parts)))
        messages = server.requests()[0]["request"]["messages"]
        assert messages[-1]["content"] == asked
        assert not any(TURN in str(each["content"]) for each in messages)
        assert told.answer.startswith(HELLO)


async def test_a_creator_remembers_the_roles_that_it_made(
    kinds: dict[str, BaseAgent], server: ModelServer
) -> None:
    told = await play(kinds["creator"])
    await play(kinds["creator"], "Yes", Exchange("Hi", tuple(told.parts)))
    messages = server.requests()[-1]["request"]["messages"]
    assert '<Config>: {"name": "Al"}' in messages[2]["content"]
