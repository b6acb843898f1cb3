"""`serve(bot)`: the whole site in a program of somebody's own."""

from __future__ import annotations

import html
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from reasoning_site.serving import names_of_this_machine
from tests.client import Person
from tests.model_server import ModelServer
from tests.servers import ROOT, Databases, Site

PROGRAM = """
import sys
from qwen_agent.agents import Assistant
from reasoning_site import serve

llm = {"model": "hello", "model_server": sys.argv[1], "api_key": "EMPTY"}
ada = Assistant(llm=llm, name="ada", description="The first.")
bob = Assistant(llm=llm, name="bob", system_message="You are Bob.")
print("Parsed:", ada.mem.function_map["doc_parser"].data_root, file=sys.stderr)
lame = Assistant(llm=llm, name="lame", function_list=["no_such_tool"])
serve(
    [ada, bob, lame],
    chatbot_config={
        "prompt.suggestions": ["Who are <you>?", {"text": "And I?"}],
        "input.placeholder": "跟我聊聊吧～",
    },
    share=True,
    server_port=int(sys.argv[2]),
    enable_mention=True,
    seed=7,
)
"""


class Program(Site):
    """Somebody's program that serves its agents, in a folder of its own."""

    name = "program"

    def __init__(self, folder: Path, model: ModelServer, **settings: Any) -> None:
        super().__init__(folder, DATA_DIR=folder / "data", **settings)
        self.model = model
        (folder / "bot.py").write_text(PROGRAM)

    def command(self) -> list[str]:
        """As its owner types it, but for the folder in which that is."""
        start = (
            f"import os; os.chdir({str(self.folder)!r}); exec(open('bot.py').read())"
        )
        return [sys.executable, "-c", start, self.model.base_url, str(self.port)]

    def environment(self) -> dict[str, str]:
        """And where the site is installed."""
        return {**super().environment(), "PYTHONPATH": str(ROOT)}


async def test_a_program_shows_its_agents_on_the_whole_site(
    tmp_path: Path, model_server: ModelServer, databases: Databases, static_root: Path
) -> None:
    settings = {"DATABASE_URL": databases.new("sqlite"), "STATIC_ROOT": static_root}
    with Program(tmp_path, model_server, **settings) as site:
        person = Person(site.url)
        page = html.unescape(person.open(site.url))
        for word in ("Who are <you>?", "And I?", "跟我聊聊吧～", ">ada<", ">bob<"):
            assert word in page
        assert "sky blue" not in page
        assert "built-in model" not in page
        assert "Out of order: " in page
        async with person.watch([site.url]) as viewer:
            viewer.ask("Hello", "one")
            await viewer.until(lambda: viewer.reason(1) == "answered", 30)
            viewer.ask("And @bob?", "two")
            await viewer.until(lambda: viewer.reason(2) == "answered", 30)
        first, second = (asked["request"] for asked in model_server.requests()[-2:])
        assert first["seed"] == 7
        assert "You are Bob." in second["messages"][0]["content"]
        assert site.terminate() in {0, -signal.SIGTERM}
        said = site.log_text
    assert f"Open http://127.0.0.1:{site.port}/" in said
    assert "share has no counterpart" in said
    assert f"Parsed: {tmp_path}/data/workspace/" in said
    assert not (tmp_path / "workspace").exists()


def test_who_listens_everywhere_is_reached_by_the_machine_s_names() -> None:
    assert names_of_this_machine("10.0.0.7") == ["10.0.0.7"]
    assert socket.gethostname() in names_of_this_machine("::")


def test_the_package_has_nothing_else() -> None:
    import reasoning_site  # noqa: PLC0415

    with pytest.raises(AttributeError):
        _ = reasoning_site.no_such_name
