"""Which agents there are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from chat.agents import registry
from tests.agents.fold import listen
from tests.model_server import ModelServer


@pytest.fixture(autouse=True)
async def fresh() -> AsyncIterator[None]:
    registry.forget()
    yield
    await registry.shutdown()


@pytest.fixture
def real_model(settings: Settings, model_server: ModelServer) -> Any:
    settings.LLM_BASE_URL = model_server.base_url
    settings.LLM_MODEL = "hello"
    settings.LLM_API_KEY = "key"
    return settings


def test_researcher_and_assistant_are_always_there() -> None:
    assert [agent.name for agent in registry.describe()] == ["researcher", "assistant"]
    assert registry.default() == "researcher"
    assert registry.create("researcher").name == "researcher"


async def test_agents_of_a_file_stand_in_place_of_the_site_s(
    settings: Settings,
) -> None:
    settings.AGENTS = "examples/plain_agents.py"
    assert [agent.name for agent in registry.describe()] == ["dice", "counter"]
    assert registry.default() == "dice"
    agent = registry.create("counter")
    told = await listen(agent.run_with_reasoning_stream("one two", []))
    assert told.answer == "You have said 2 words so far."
    with pytest.raises(KeyError):
        registry.create("researcher")


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("AGENTS", "nowhere.py", "no file nowhere.py"),
        ("EXTRA_TOOLS", ["nowhere.Tool"], "nowhere.Tool"),
        ("EXTRA_TOOLS", ["json"], "json"),
        ("EXTRA_TOOLS", ["tests.agents.ledger.Nothing"], "Nothing"),
        ("LIBRARY_TOOLS", ["no_such_tool"], "no_such_tool"),
    ],
)
def test_a_setting_that_leads_nowhere_is_a_problem(
    settings: Settings, setting: str, value: object, word: str
) -> None:
    assert list(registry.problems()) == []
    setattr(settings, setting, value)
    registry.forget()
    (problem,) = registry.problems()
    assert problem.startswith(f"{setting}: ")
    assert word in problem


def test_an_unknown_agent_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        registry.create("scripted")


def test_the_model_is_named(settings: Settings) -> None:
    settings.LLM_BASE_URL = ""
    assert registry.model_info() == registry.ModelInfo(
        "SmolLM2-135M-Instruct", builtin=True
    )
    settings.LLM_BASE_URL = "http://127.0.0.1:1/v1"
    settings.LLM_MODEL = "qwen3"
    assert registry.model_info() == registry.ModelInfo("qwen3", builtin=False)


async def test_the_researcher_has_tools_and_the_assistant_none(
    real_model: Any, model_server: ModelServer
) -> None:
    del real_model
    for name in ("researcher", "assistant"):
        await listen(registry.create(name).run_with_reasoning_stream("Hi", []))
    first, second = [request["request"] for request in model_server.requests()]
    names = [tool["function"]["name"] for tool in first["tools"]]
    assert names == ["calculator", "current_time"]
    assert "tools" not in second


async def test_the_text_protocol_is_a_setting(
    real_model: Any, model_server: ModelServer
) -> None:
    real_model.LLM_TOOL_PROTOCOL = "nous"
    agent = registry.create("researcher")
    prompt = "[scenario calculator-nous]"
    told = await listen(agent.run_with_reasoning_stream(prompt, []))
    assert told.answer == "23 * 47 is 1081."


def test_more_tools_are_named_by_dotted_path(settings: Settings) -> None:
    settings.EXTRA_TOOLS = ["tests.agents.ledger.Ledger"]
    assert registry.create("researcher").is_repeatable("calculator")
    assert not registry.create("researcher").is_repeatable("ledger")


async def test_tools_made_for_qwen_agent_are_tools_too(
    real_model: Any, model_server: ModelServer
) -> None:
    real_model.EXTRA_TOOLS = ["tests.agents.foreign.Teleport"]
    assert list(registry.problems()) == []
    agent = registry.create("researcher")
    told = await listen(agent.run_with_reasoning_stream("[scenario unknown-tool]", []))
    assert told.of("tool_result") == ["Arrived on Mars."]
    names = [
        tool["function"]["name"]
        for tool in model_server.requests()[-1]["request"]["tools"]
    ]
    assert names == ["calculator", "current_time", "teleport"]


async def test_options_of_the_model_are_in_each_request(
    real_model: Any, model_server: ModelServer
) -> None:
    real_model.LLM_OPTIONS = {
        "temperature": 0.6,
        "extra_body": {"top_k": 20, "model": "other"},
    }
    agent = registry.create("assistant")
    await listen(agent.run_with_reasoning_stream("Hi", []))
    request = model_server.requests()[-1]["request"]
    assert (request["temperature"], request["top_k"]) == (0.6, 20)
    assert request["model"] == "hello"
    assert "extra_body" not in request


async def test_a_scripted_agent_is_there_where_a_script_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"event": "ended", "reason": "answered"}]))
    settings.SCRIPTED_AGENT = str(script)
    assert "scripted" in registry.names()
    agent = registry.create("scripted")
    told = await listen(agent.run_with_reasoning_stream("Hi", []))
    assert told.parts == []
