"""Where a process dies another goes on: nothing is asked, called or shown twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from chat.agents.base import BaseAgent, Part
from chat.agents.hosted import load
from chat.agents.qwen import hosting
from chat.agents.qwen.hosting import Hosting
from chat.agents.qwen.threads import ThreadPool
from tests.agents.fold import Sink, Told
from tests.model_server import ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")  # of what reads files, on import

HOSTING = Hosting(ThreadPool(4, "agent"), ThreadPool(4, "tool"), 20.0)
TEAM = str(Path(__file__).with_name("team.py"))
CALL = '<tool_call>\n{"name": "NAME", "arguments": {"text": "hi"}}\n</tool_call>'
# Of these all rounds are one message of a person's, to the server.
ATTEMPTS = {
    "t-reacts": [
        'I should shout.\nAction: shout\nAction Input: {"text": "hello"}\n',
        "I know.\nFinal Answer: It is HELLO.",
    ],
    "t-pilot": ['{"keywords_en": ["pilot"]}', "Anna Bell."],
}
SCENARIOS = {
    "t-router": ["Call: accountant"],
    "t-accountant": ["Let me shout." + CALL.replace("NAME", "shout"), "Loud."],
    "t-writer": ["A rose is a rose."],
    "t-critic": ["<think>Hm.</think>Good."],
    "t-ann": ["I am Ann."],
    "t-bob": ["I am Bob."],
    "t-cid": ["I am Cid."],
    "t-delegates": [CALL.replace("NAME", "ask_poet"), "She says it."],
}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def team(server: ModelServer) -> Iterator[dict[str, BaseAgent]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_SERVER", server.base_url)
        for name, texts in SCENARIOS.items():
            rounds = [{"actions": [{"text": text}]} for text in texts]
            server.add(name, {"rounds": rounds})
        yield {agent.name: agent for agent in load(TEAM, HOSTING).agents}


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await hosting.close()


async def play(agent: Any, done: list[Part], server: ModelServer) -> Told:
    """What the agent says after what is done of it."""
    server.reset()
    rounds = {part.iteration for part in done if is_over(part)}
    for name, texts in ATTEMPTS.items():
        attempts = [{"actions": [{"text": text}]} for text in texts[len(rounds) :]]
        if attempts:
            server.add(name, {"rounds": [{"attempts": attempts}]})
    sink = Sink(len(done))
    end = await agent.run_into(sink, "Hi", [], done=done)
    sink.told.parts.sort(key=lambda part: part.step)
    sink.told.end = end
    return sink.told


def is_over(part: Part) -> bool:
    return bool((part.server_fields or {}).get("over"))


def said(parts: list[Part]) -> list[Any]:
    """What there is to see of them."""
    return [(p.step, p.type, p.agent, p.content, p.tool_name, p.parent) for p in parts]


@pytest.mark.parametrize(
    "name", ["router", "group", "workflow", "parrot", "reacts", "pilot"]
)
async def test_an_agent_goes_on_after_each_of_its_steps(
    team: dict[str, BaseAgent], server: ModelServer, name: str
) -> None:
    first = await play(team[name], [], server)
    parts = first.parts
    asked = len(server.requests())
    assert len(parts) > 1 or name == "parrot"
    for count in range(1, len(parts) + 1):
        done = parts[:count]
        newest = max(part.iteration for part in done)
        if not any(is_over(p) for p in done if p.iteration == newest):
            continue  # in the middle of a round, which is asked for again
        told = await play(team[name], done, server)
        assert told.end is not None
        assert told.end.reason == "answered"
        assert said(told.parts) == said(parts[count:])
        rounds = len({part.iteration for part in done if is_over(part)})
        if name != "parrot":
            assert len(server.requests()) == asked - rounds


async def test_an_interrupted_round_is_asked_for_again(
    team: dict[str, BaseAgent], server: ModelServer
) -> None:
    parts = (await play(team["workflow"], [], server)).parts
    (middle,) = [i for i, part in enumerate(parts) if part.content == "Hm."]
    assert not is_over(parts[middle])
    told = await play(team["workflow"], parts[: middle + 1], server)
    assert [part.content for part in told.parts] == ["Hm.", "Good."]
    assert len(server.requests()) == 1


async def test_what_a_tool_did_is_not_done_again_though_an_agent_did_it(
    team: dict[str, BaseAgent], server: ModelServer
) -> None:
    parts = (await play(team["delegator"], [], server)).parts
    assert [part.type for part in parts] == [
        *("tool_use", "tool_result", "thought", "final_answer")
    ]
    done = parts[:-1]
    told = await play(team["delegator"], done, server)
    assert [part.content for part in told.parts] == ["She says it."]
    assert len(server.requests()) == 1


async def test_an_agent_that_does_something_else_ends_and_begins_anew_when_told(
    team: dict[str, BaseAgent], server: ModelServer
) -> None:
    parts = (await play(team["group"], [], server)).parts
    done = [structs.replace(part, agent="zoe") for part in parts[:1]]
    told = await play(team["group"], done, server)
    assert told.end is not None
    assert told.end.reason == "server_lost"
    assert told.parts == []
    earlier = [structs.replace(part, step=-1) for part in done]
    told = await play(team["group"], earlier, server)
    assert told.answer == "I am Ann.I am Bob.I am Cid."
