"""Qwen-Agent's own agents run as they are: who says what, and what is the answer."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from chat.agents.base import BaseAgent, Exchange, Part
from chat.agents.hosted import load
from chat.agents.qwen import hosting
from chat.agents.qwen.hosting import Hosting
from chat.agents.qwen.threads import ThreadPool
from tests.agents.fold import Told, listen
from tests.model_server import ModelServer

HOSTING = Hosting(ThreadPool(4, "agent"), ThreadPool(4, "tool"), 20.0)
EXAMPLE = Path(__file__).parents[3] / "examples" / "agents.py"
TEAM = str(Path(__file__).with_name("team.py"))

CALL = '<tool_call>\n{"name": "shout", "arguments": {"text": "TEXT"}}\n</tool_call>'
SCENARIOS: dict[str, list[Any]] = {
    "t-native": [
        [{"call": {"name": "shout", "arguments": {"text": "hi"}}}],
        [{"text": "It said {result}"}],
    ],
    "t-react": [
        [{"text": 'I should shout.\nAction: shout\nAction Input: {"text": "hello"}\n'}],
        [{"text": "I know.\nFinal Answer: It is HELLO."}],
    ],
    "t-router": [[{"text": "Call: accountant"}]],
    "t-accountant": [
        [{"text": "Let me shout." + CALL.replace("TEXT", "fail")}],
        [{"text": "That was loud."}],
    ],
    "t-writer": [[{"text": "A rose is a rose."}]],
    "t-critic": [[{"text": "Good."}]],
    "t-ann": [[{"text": "I am Ann."}]],
    "t-bob": [[{"text": "I am Bob."}]],
    "t-cid": [[{"text": "I am Cid."}]],
    "t-pilot": [
        [{"text": '{"keywords_en": ["pilot", "Whitby"]}'}],
        [{"text": "Anna Bell."}],
    ],
}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def team(server: ModelServer) -> Iterator[dict[str, BaseAgent]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_SERVER", server.base_url)
        patch.setenv("PATH", "/nowhere")  # there may be a Docker
        for name, rounds in SCENARIOS.items():
            played = [{"actions": each} for each in rounds]
            # All rounds of this form are one message of the person's to the server.
            is_one = name in {"t-react", "t-pilot"}
            in_one = [{"attempts": played}] if is_one else played
            server.add(name, {"rounds": in_one})
        found: list[BaseAgent] = load(TEAM, HOSTING).agents
        yield {agent.name: agent for agent in found}


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


async def test_an_assistant_calls_tools_as_its_model_asks_natively(
    team: dict[str, BaseAgent],
    server: ModelServer,
) -> None:
    told = await play(team["native"])
    assert [part.type for part in told.parts] == [
        "tool_use",
        "tool_result",
        "final_answer",
    ]
    assert told.of("tool_result") == ["HI"]
    assert told.answer == "It said HI"
    assert told.parts[0].call_id == told.parts[1].call_id
    asked = server.requests()[-1]
    assert asked["authorization"] == "Bearer a-key-of-its-own"
    assert asked["request"]["temperature"] == 0.5
    assert [m["role"] for m in asked["request"]["messages"]][-2:] == [
        "assistant",
        "tool",
    ]


async def test_react_is_thought_call_result_and_what_stands_after_final_answer(
    team: dict[str, BaseAgent],
) -> None:
    told = await play(team["react"])
    assert said(told) == [
        ("thought", "", "I should shout."),
        ("tool_use", "", '{"text": "hello"}'),
        ("tool_result", "", "HELLO"),
        ("thought", "", "I know."),
        ("final_answer", "", "It is HELLO."),
    ]


async def test_whom_a_router_chooses_is_named_inside_its_choice(
    team: dict[str, BaseAgent],
) -> None:
    told = await play(team["router"])
    assert [(type_, agent) for type_, agent, _ in said(told)] == [
        ("thought", ""),
        ("thought", "accountant"),
        ("tool_use", "accountant"),
        ("tool_result", "accountant"),
        ("final_answer", "accountant"),
    ]
    assert told.parts[0].content == "Call: accountant"
    starts = [event for event in told.events if hasattr(event, "parent")]
    assert [start.parent for start in starts] == [None, 0, 0, 0, 0]
    (failed,) = told.of("tool_result")
    assert "ValueError" in failed
    assert "/etc/secret" not in failed
    assert told.answer == "That was loud."


async def test_speakers_of_a_group_keep_their_answers_and_are_remembered(
    team: dict[str, BaseAgent],
    server: ModelServer,
) -> None:
    told = await play(team["group"])
    expected = [
        ("final_answer", n.lower(), f"I am {n}.") for n in ("Ann", "Bob", "Cid")
    ]
    assert said(told) == expected
    again = await play(team["group"], "And now?", Exchange("Hi", tuple(told.parts)))
    assert said(again) == expected
    asked = str(server.requests()[-1]["request"]["messages"])
    assert "ann: I am Ann." in asked


async def test_a_workflow_names_whom_it_asks_and_says_its_own_word(
    team: dict[str, BaseAgent],
) -> None:
    told = await play(team["workflow"])
    assert said(told) == [
        ("thought", "", "writer is asked."),
        ("thought", "writer", "A rose is a rose."),
        ("thought", "", "critic is asked."),
        ("thought", "critic", "Good."),
        ("final_answer", "", "Verdict: Good."),
    ]
    starts = [event for event in told.events if hasattr(event, "parent")]
    assert [start.parent for start in starts] == [None, 0, None, 2, None]


@pytest.mark.filterwarnings("ignore")  # of jieba's, as it is imported
async def test_what_is_looked_up_in_files_is_shown_without_where_they_lie(
    team: dict[str, BaseAgent], server: ModelServer
) -> None:
    told = await play(team["pilot"], "Who is the pilot?")
    assert [part.type for part in told.parts] == [
        *("thought", "tool_use", "tool_result", "final_answer")
    ]
    assert told.answer == "Anna Bell."
    use, result = told.parts[1:3]
    assert use.tool_name == "retrieval"
    assert use.tool_input is not None
    assert use.tool_input["files"] == ["harbour.txt"]
    assert "Anna Bell" in result.content
    assert "22 pounds" not in result.content  # it is not all of the file
    assert "examples" not in use.content + result.content
    asked = server.requests()[-1]["request"]["messages"]
    assert "Anna Bell" in asked[0]["content"]
    assert team["pilot"].is_repeatable("retrieval")


async def test_agents_that_lack_what_is_not_installed_say_so(
    team: dict[str, BaseAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Docker" in team["coder"].description
    equipment = sys.modules["chat.agents.qwen.equipment"]
    monkeypatch.setattr(equipment, "FOR_FILES", ("json", "no_such_package"))
    assert "make rag" in team["pilot"].description
    told = await play(team["pilot"])
    assert told.end is not None
    assert told.end.error is not None
    assert "make rag" in told.end.error.message
    assert [n for n, a in team.items() if getattr(a, "lacks_packages", False)] == [
        "pilot"
    ]
    assert (await play(team["made"])).answer == "I am Ann."


async def test_a_model_of_another_kind_is_told_of_as_it_speaks(
    team: dict[str, BaseAgent],
) -> None:
    told = await play(team["parrot"])
    assert told.answer == "Polly wants a cracker."
    assert len([event for event in told.events if hasattr(event, "text")]) >= 3


async def test_an_agent_that_cannot_be_built_says_why_and_the_others_work(
    team: dict[str, BaseAgent],
) -> None:
    told = await play(team["broken"])
    assert told.end is not None
    assert told.end.error is not None
    assert "there_is_no_such_tool" in told.end.error.message
    assert "there_is_no_such_tool" in team["broken"].description
    assert (await play(team["made"])).answer == "I am Ann."


async def test_what_an_assistant_has_done_is_not_done_again(
    team: dict[str, BaseAgent],
) -> None:
    agent = team["native"]
    arguments = {"text": "hi"}
    done = [
        Part("tool_use", 1, '{"text": "hi"}', "ok", "shout", "a", arguments),
        Part("tool_result", 1, "HI", "ok", "shout", "a"),
    ]
    told = await listen(agent.run_with_reasoning_stream("Hi", [], done=done))
    assert said(told) == [("final_answer", "", "It said HI")]
    assert told.parts[0].iteration == 2


@pytest.mark.filterwarnings("ignore")  # of jieba's, as it is imported
async def test_the_examples_of_the_page_are_agents_that_answer(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_BASE_URL", server.base_url)
    monkeypatch.setenv("LLM_MODEL", "t-critic")
    agents = load(str(EXAMPLE), HOSTING).agents
    names = ["harbour", "pilot", "stepwise", "desk", "crew", "letter"]
    assert [agent.name for agent in agents] == names
    for agent in agents:
        told = await play(agent)
        assert told.end is not None
        assert told.end.reason == "answered"
        assert told.answer == "Good." * (3 if agent.name == "crew" else 1)


async def test_a_loop_that_catches_everything_ends_with_its_rounds(
    team: dict[str, BaseAgent],
) -> None:
    agent = team["stubborn"]
    told = await listen(agent.run_with_reasoning_stream("Hi", [], 3))
    assert told.end is not None
    assert told.end.reason == "max_iterations"
