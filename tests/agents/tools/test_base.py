"""What holds for every tool that ships."""

from __future__ import annotations

import json
import time

import pytest

from chat.agents.tools.base import RecognisingTool, Tool
from chat.agents.tools.calculator import Calculator
from chat.agents.tools.current_time import CurrentTime
from tests.agents.ledger import Ledger


@pytest.mark.parametrize(
    "prompt",
    [
        "a" + " " * 16_000 + "b",
        "2+2" + " " * 31_000 + "equals x",
        "1+" * 16_000 + "1",
        "1" + "," * 31_000,
        "what time is it" + " " * 31_000 + "x",
        "what time is it in " + " " * 31_000 + "?x",
        "what time is it in " + " " * 470 + "?x",
        "what time is it" + " now" * 50 + " in a" + " now" * 60 + " x",
        "hi " * 10_000 + "x",
    ],
)
def test_no_prompt_holds_up_the_event_loop(prompt: str) -> None:
    began = time.perf_counter()
    for tool in (Calculator(), CurrentTime()):
        assert tool.recognise(prompt) is None
    assert time.perf_counter() - began < 0.5


def test_spaces_do_not_keep_a_tool_from_its_prompt() -> None:
    assert Calculator().recognise("what  is\n2  +  2") == {"expression": "2 + 2"}
    found = CurrentTime().recognise("what time  is it\nin   Cape  Town")
    assert found == {"timezone": "Africa/Johannesburg"}


@pytest.mark.parametrize("tool", [Calculator(), CurrentTime(), Ledger()])
def test_tools_keep_to_the_interface(tool: Tool) -> None:
    assert isinstance(tool, Tool)
    assert set(tool.parameters) == {"type", "properties", "required"}
    assert json.dumps(dict(tool.parameters))


def test_the_tools_that_ship_are_repeatable_and_recognise_prompts() -> None:
    for tool in (Calculator(), CurrentTime()):
        assert tool.repeatable
        assert isinstance(tool, RecognisingTool)
