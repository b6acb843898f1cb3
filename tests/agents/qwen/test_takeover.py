"""Teams of agents on a real site: killed in the middle, they go on where they were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat.wire.transcript import StepState
from tests.client import Person, Viewer
from tests.conftest import StartSite
from tests.model_server import ModelServer, eventually

TEAM = Path(__file__).with_name("team.py")
CALL = '<tool_call>\n{"name": "shout", "arguments": {"text": "hi"}}\n</tool_call>'
WAIT = {"wait": "go"}
SCENARIOS: dict[str, list[Any]] = {
    "t-ann": [[{"text": "I am Ann."}]],
    "t-bob": [[{"text": "I am "}, WAIT, {"text": "Bob."}]],
    "t-cid": [[{"text": "I am Cid."}]],
    "t-router": [[{"text": "Call: accountant"}]],
    "t-accountant": [[{"text": f"Wait. {CALL}"}], [WAIT, {"text": "Loud."}]],
    "t-writer": [[{"text": "A rose."}]],
    "t-critic": [[{"text": "Go"}, WAIT, {"text": "od."}]],
}


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        for name, rounds in SCENARIOS.items():
            server.add(name, {"rounds": [{"actions": each} for each in rounds]})
        yield server


def shown(viewer: Viewer, number: int) -> list[tuple[Any, ...]]:
    """What a run shows: each step, and inside which it is."""
    steps: dict[int, StepState] = viewer.runs[number].steps
    places = {step: place for place, step in enumerate(steps)}
    return [
        (
            step.type,
            step.agent or "",
            step.content,
            places.get(step.parent) if isinstance(step.parent, int) else None,
        )
        for step in steps.values()
    ]


EXPECTED = {
    "group": [
        ("final_answer", "ann", "I am Ann.", None),
        ("final_answer", "bob", "I am Bob.", None),
        ("final_answer", "cid", "I am Cid.", None),
    ],
    "router": [
        ("thought", "", "Call: accountant", None),
        ("thought", "accountant", "Wait. ", 0),
        ("tool_use", "accountant", '{"text": "hi"}', 0),
        ("tool_result", "accountant", "HI", 0),
        ("final_answer", "accountant", "Loud.", 0),
    ],
    "workflow": [
        ("thought", "", "writer is asked.", None),
        ("thought", "writer", "A rose.", 0),
        ("thought", "", "critic is asked.", None),
        ("thought", "critic", "Good.", 2),
        ("final_answer", "", "Verdict: Good.", None),
    ],
}


async def ask(viewer: Viewer, agent: str, number: int) -> None:
    payload = {"message": "Hi", "client_id": f"{number}", "agent_name": agent}
    await viewer.send("chat", **payload)
    await viewer.until(lambda: number in viewer.runs, 10)


async def test_teams_go_on_where_they_were_when_their_process_was_killed(
    start_site: StartSite, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_SERVER", model.base_url)
    site = start_site(AGENTS=TEAM)
    person = Person(site.url)
    viewers = {agent: person.watch([site.url]) for agent in EXPECTED}
    async with viewers["group"], viewers["router"], viewers["workflow"]:
        for agent, viewer in viewers.items():
            await ask(viewer, agent, 1)
        waiting = {"t-bob", "t-accountant", "t-critic"}
        await eventually(lambda: waiting <= unfinished(model), within=20)
        site.kill()
        first = [asked["model"] for asked in model.requests()]
        await asyncio.to_thread(site.start)
        await eventually(lambda: waiting <= unfinished(model, len(first)), within=20)
        model.release("go")
        for agent, viewer in viewers.items():
            await viewer.until(lambda v=viewer: v.reason(1) == "answered", 20)  # type: ignore[misc]
            assert shown(viewer, 1) == EXPECTED[agent]
            async with person.watch([site.url], viewer.session_id) as again:
                await again.until(lambda v=again: v.reason(1) == "answered", 10)  # type: ignore[misc]
                assert shown(again, 1) == EXPECTED[agent]
        # What had been said and done was not asked for again, nor called.
        later = [asked["model"] for asked in model.requests()[len(first) :]]
        assert sorted(later) == sorted([*waiting, "t-cid"])
        assert "done twice" not in site.log_text

        await ask(viewers["group"], "group", 2)
        await viewers["group"].until(lambda: viewers["group"].reason(2), 20)
        assert shown(viewers["group"], 2) == EXPECTED["group"]


def unfinished(model: ModelServer, after: int = 0) -> set[str]:
    """The models that were asked and have not answered."""
    asked = model.requests()[after:]
    return {each["model"] for each in asked if not each["finished_at"]}
