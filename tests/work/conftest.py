"""Fixtures for the tests of chat/work."""

from __future__ import annotations

import pytest

from chat.agents import registry
from chat.agents.registry import AgentInfo
from tests.work.processes import Agent, Play, Use


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """`use(play)`: the agent that answers in this test."""

    def use_agent(play: Play, *, repeatable: bool = True) -> Agent:
        agent = Agent(play, repeatable=repeatable)
        monkeypatch.setattr(registry, "create", {agent.name: agent}.__getitem__)
        names = [AgentInfo(agent.name, "")]
        monkeypatch.setattr(registry, "describe", lambda: names)
        return agent

    return use_agent
