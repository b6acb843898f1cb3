"""The eight states of the page that are looked at: by people, as screenshots, and by
axe-core, for what people with other senses would miss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.browser.drive import Chat
from tests.model_server import ModelServer

FOLDER = Path(__file__).parent
ANSWER = (FOLDER / "answer.md").read_text("utf-8")
CHINESE = (FOLDER / "chinese.md").read_text("utf-8")
MODEL = "qwen3-8b"
QUESTION = "Why is the sky blue, and by how much?"
THOUGHT = (
    "The question is about scattered light. I will work out the ratio of blue to red "
    "with the calculator, then explain it simply, with a table and a little code."
)
RATIO = {
    "call": {"name": "calculator", "arguments": {"expression": "(700 / 450) ** 4"}}
}

_gates = count()


class Stage:
    """Where a state is played: the page, the model, and what to undo afterwards."""

    def __init__(self, chat: Chat, model: ModelServer, after: ExitStack) -> None:
        self.chat = chat
        self.model = model
        self.after = after

    def gate(self) -> dict[str, Any]:
        """An action that waits until the state is over."""
        name = f"state-{next(_gates)}"
        self.after.callback(self.model.release, name)
        return {"wait": name}

    def ask(self, question: str, *rounds: list[dict[str, Any]]) -> Chat:
        """Ask; the model answers with these rounds."""
        playable = {"rounds": [{"actions": actions} for actions in rounds]}
        # Played for the model's name: no marks in what people see.
        self.model.add(MODEL, playable)
        return self.chat.open().say(question)


def empty(stage: Stage) -> None:
    """Nothing asked yet."""
    stage.chat.open()


def thinking(stage: Stage) -> None:
    """A thought is growing."""
    stage.ask(QUESTION, [{"reasoning": THOUGHT}, stage.gate()])
    expect(stage.chat.page.locator(".prose")).to_contain_text("little code")


def tool_running(stage: Stage) -> None:
    """A tool has been called and has not answered."""
    start = {"name": "calculator", "arguments": '{"expression": "(700 / 450)'}
    call = {"index": 0, "id": "c1", "type": "function", "function": start}
    stage.ask(
        QUESTION,
        [{"reasoning": THOUGHT}, {"delta": {"tool_calls": [call]}}, stage.gate()],
    )
    expect(stage.chat.page.locator('[data-type="tool_use"]').last).to_be_visible()


def finished(stage: Stage) -> None:
    """A whole answer."""
    stage.ask(QUESTION, [{"reasoning": THOUGHT}, RATIO], [{"text": ANSWER}]).finished()
    stage.chat.page.locator("math").first.wait_for()
    stage.chat.page.eval_on_selector("#scroller", "e => e.scrollTo(0, 0)")


def error(stage: Stage) -> None:
    """The model's server refused."""
    stage.ask(QUESTION, [{"reasoning": THOUGHT}, RATIO], [{"status": 401, "body": {}}])
    stage.chat.finished()


def offline(stage: Stage) -> None:
    """Offline, with a message that waits."""
    stage.ask("Hello!", [{"text": "Hello! What would you like to know?"}]).finished()
    stage.chat.page.context.set_offline(True)
    stage.after.callback(stage.chat.page.context.set_offline, False)  # noqa: FBT003
    stage.after.enter_context(stage.chat.line.cut())
    stage.chat.say(QUESTION)
    expect(stage.chat.page.locator(".is-pending")).to_contain_text("Sent when")


def chinese(stage: Stage) -> None:
    """A long session in Chinese."""
    stage.ask(
        "天空为什么是蓝色的？", [{"reasoning": "用户在问散射。"}, {"text": CHINESE}]
    )
    stage.chat.finished()
    for run, question in enumerate(("请再详细一点。", "谢谢！还有夕阳呢？"), start=2):
        stage.chat.say(question).finished(run)


def diagnostics(stage: Stage) -> None:
    """The panel is open."""
    finished(stage)
    stage.chat.line.drop()
    stage.chat.live()
    stage.chat.page.click("#diagnostics-button")
    expect(stage.chat.page.locator("#diagnostics .facts")).to_be_visible()


STATES: dict[str, Callable[[Stage], None]] = {
    "empty": empty,
    "thinking": thinking,
    "tool-running": tool_running,
    "finished": finished,
    "error": error,
    "offline": offline,
    "chinese": chinese,
    "diagnostics": diagnostics,
}


@contextmanager
def in_state(name: str, chat: Chat, model: ModelServer) -> Iterator[Chat]:
    """The page in this state, until the block ends."""
    with ExitStack() as after:
        STATES[name](Stage(chat, model, after))
        chat.page.wait_for_timeout(300)  # until what fades has faded
        yield chat
