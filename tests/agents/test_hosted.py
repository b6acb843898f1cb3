"""AGENTS: a file's agents are found, and what is wrong with it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.agents.hosted import AgentsError, load
from chat.agents.qwen.hosting import Hosting
from chat.agents.qwen.threads import ThreadPool

HOSTING = Hosting(ThreadPool(4, "agent"), ThreadPool(4, "tool"), 20.0)

ONE = '''
"""Agents of a test."""
from reasoning_site.agents import Thought

async def weather(prompt, history):
    """Knows whether it rains.

    And more.
    """
    yield Thought("Hm.")
    yield prompt

def slow(prompt, history, done):
    yield prompt

def _helper(prompt, history):
    yield prompt

def no_agent(prompt, history):
    return prompt
'''


def write(folder: Path, text: str) -> str:
    file = folder / "agents.py"
    file.write_text(text)
    return str(file)


def test_functions_that_yield_are_agents_in_their_order(tmp_path: Path) -> None:
    agents = load(write(tmp_path, ONE), HOSTING).agents
    assert [(each.name, each.description) for each in agents] == [
        ("weather", "Knows whether it rains."),
        ("slow", ""),
    ]


def test_a_list_named_agents_says_which_there_are(tmp_path: Path) -> None:
    agents = load(write(tmp_path, ONE + "agents = [slow, no_agent]"), HOSTING).agents
    assert [each.name for each in agents] == ["slow", "no_agent"]


def test_a_file_called_agents_does_not_stand_in_the_sdk_s_place(tmp_path: Path) -> None:
    text = (
        "from agents import Agent\n"
        "from reasoning_site.adapters.openai_agents import adapt\n"
        "agents = [adapt(Agent(name='tutor'))]\n"
    )
    assert [each.name for each in load(write(tmp_path, text), HOSTING).agents] == [
        "tutor"
    ]


def test_a_module_can_be_named_and_a_file_can_import_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "words_of_mine.py").write_text("HELLO = 'hello'")
    text = "from words_of_mine import HELLO\ndef a(prompt, history): yield HELLO"
    (tmp_path / "agents_of_mine.py").write_text(text)
    assert load("agents_of_mine", HOSTING).agents[0].name == "a"
    assert load(write(tmp_path, text), HOSTING).agents[0].name == "a"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no agents"),
        ("agents = 7", "not a list"),
        ("agents = [7]", "of the type int"),
        ("def a(prompt): yield prompt", "1 arguments"),
        ("def a(prompt, history): yield prompt\nagents = [a, a]", "two agents"),
        ("import there_is_no_such_module", "ModuleNotFoundError"),
        ("def (", "SyntaxError"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, text: str, word: str
) -> None:
    with pytest.raises(AgentsError, match=word):
        load(write(tmp_path, text), HOSTING)


@pytest.mark.parametrize("source", ["nowhere.py", "there.is.no.such.module"])
def test_a_file_that_is_not_there_is_named(source: str) -> None:
    with pytest.raises(AgentsError, match=source):
        load(source, HOSTING)
