"""The Python client: it sees every step once, whatever breaks in between."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reasoning_client import (
    AsyncClient,
    Client,
    ClientError,
    Refused,
    RunFailed,
    RunState,
)
from reasoning_client.terminal import ask
from tests.client import Person
from tests.conftest import StartSite
from tests.model_server.process import ModelServer
from tests.servers import Site

CONTRACT = Path(__file__).parent.parent / "contract"
LOGS = sorted(CONTRACT.glob("*.json"))


def contract(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@pytest.mark.parametrize("path", LOGS, ids=[path.stem for path in LOGS])
def test_its_fold_is_the_sites(path: Path) -> None:
    said = contract(path)
    state = RunState(1)
    for event in said["events"]:
        assert state.apply(event)
        assert not state.apply(event), "nothing comes twice"
    expected = RunState(1)
    expected.replace(said["view"])
    assert state == expected


def test_each_step_comes_once_it_is_finished(site: Site) -> None:
    with Client(site.url) as client:
        run = client.ask("[scenario calculator]")
        steps = [(step.type, step.tool_name) for step in run]
        assert steps == [
            ("thought", None),
            ("thought", None),
            ("tool_use", "calculator"),
            ("tool_result", "calculator"),
            ("thought", None),
            ("final_answer", None),
        ]
        assert run.answer() == "23 * 47 is 1081."
        assert run.state.reason == "answered"


def test_a_chat_goes_on_and_a_run_is_stopped(site: Site) -> None:
    person = Person(site.url)
    with Client(site.url, headers={"Cookie": person.cookie}) as client:
        first = client.ask("One")
        assert first.answer()
        second = client.ask("[stream tokens=3000 rate=50]", session=first.session)
        for state in second.updates():
            if len(state.answer) > 40:
                second.stop()
        assert (second.number, second.state.reason) == (2, "stopped")


async def test_what_goes_wrong_is_raised(site: Site) -> None:
    client = AsyncClient(site.url)
    with pytest.raises(RunFailed, match=r"key"):
        await client.ask("[scenario unauthorized]").answer()
    with pytest.raises(Refused, match="no such agent"):
        await client.ask("Hi", agent="nobody").answer()
    with pytest.raises(ClientError, match="no connection"):
        await AsyncClient("http://127.0.0.1:9", patience=0.1).ask("Hi").answer()
    with pytest.raises(ValueError, match="address"):
        AsyncClient("chat.example")


async def test_it_comes_back_after_its_server_was_killed(
    start_site: StartSite, model: ModelServer
) -> None:
    site = start_site(LLM_BASE_URL=model.base_url, LLM_MODEL="hello")
    person = Person(site.url)
    client = AsyncClient(site.url, headers={"Cookie": person.cookie})
    run = client.ask("[stream thought=20 tokens=200 rate=60]")
    killed = None
    async for state in run.updates():
        if killed is None and len(state.answer) > 100:
            killed = asyncio.create_task(asyncio.to_thread(restart, site))
    assert killed is not None
    await killed
    assert run.state.reason == "answered"
    assert run.state.answer.split() == [f"t{number}" for number in range(200)]


def restart(site: Site) -> None:
    site.kill()
    site.start()


def test_in_a_terminal_the_steps_are_shown_as_they_come(site: Site) -> None:
    out = io.StringIO()
    assert ask(site.url, "[scenario calculator]", out=out) == 0
    shown = out.getvalue()
    assert "Call of calculator\n" in shown
    assert "Result of calculator\n1081\n" in shown
    assert shown.index("Answer\n23 * 47 is 1081.") > shown.index("Result of")
    assert "\x1b" not in shown, "no colours where nobody sees them"
    out = io.StringIO()
    assert ask(site.url, "Hi", agent="nobody", out=out) == 1
    assert "Not taken: There is no such agent." in out.getvalue()


def test_what_a_model_writes_does_not_command_the_terminal(
    site: Site, model: ModelServer
) -> None:
    model.add("terminal", [{"text": "\x1b[2J\x1b]0;mine\x07 Hello\u202e"}])
    out = io.StringIO()
    ask(site.url, "[scenario terminal]", out=out)
    assert not {"\x1b", "\x07", "\u202e"} & set(out.getvalue())
    assert "Hello" in out.getvalue()


def test_it_is_a_program_too(site: Site) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "reasoning_client", site.url, "Hello"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"NO_COLOR": "1"},
    ).stdout
    assert said.startswith("Answer\n")
