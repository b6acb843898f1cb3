"""The states of the page that are looked at: by people, as screenshots, and by
axe-core, for what people with other senses would miss."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect

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

LONG_THOUGHT = """\
The question has two parts: why the sky is blue at all, and how much more blue light \
is scattered than red. The first is the physics of small particles; the second is a \
number that I can work out.

Molecules of nitrogen and oxygen are about 0.3 nm across, a thousandth of the \
wavelength of visible light. So this is Rayleigh scattering, and the scattered \
intensity goes with the inverse fourth power of the wavelength.

Which wavelengths should I take? Blue is usually said to be 450 nm and red 700 nm. \
The ratio is (700 / 450) to the fourth. I could do that in my head, roughly 5.9, but \
the calculator is exact, and the person asked by how much.

There is a trap here: violet is shorter still, at 400 nm the factor is 9.4, so why \
is the sky not violet? I should answer that before it is asked: the spectrum of the \
sun, absorption higher up, and how our eyes"""
ARABIC = (FOLDER / "arabic.md").read_text("utf-8")
TOP = "e => e.scrollTo(0, 0)"
AT_REST = """() => Promise.all([
  document.fonts.ready,
  ...document.getAnimations()
    .filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity)
    // What is not in view stands still.
    .filter(({ effect }) =>
      effect.target.checkVisibility({ contentVisibilityAuto: true }))
    .map(({ finished }) => finished.catch(() => {})),
])"""

_gates = count()


def calculate(n: int, index: int = 0) -> dict[str, Any]:
    """A call, one of several at once; of none it fails."""
    arguments = {"expression": f"700 / {n}"}
    return {"call": {"name": "calculator", "arguments": arguments, "index": index}}


def call(index: int, arguments: object) -> dict[str, Any]:
    """A call as models stream it."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    start = {"name": "calculator", "arguments": text}
    return {"index": index, "id": f"c{index}", "type": "function", "function": start}


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
        """Ask in a new chat; the model answers with these rounds."""
        self.chat.open()
        return self.ask_here(question, *rounds)

    def ask_here(self, question: str, *rounds: list[dict[str, Any]]) -> Chat:
        """Ask; the model answers with these rounds."""
        playable = {"rounds": [{"actions": actions} for actions in rounds]}
        # Played for the model's name: no marks in what people see.
        self.model.add(MODEL, playable)
        return self.chat.say(question)

    def show_chats(self) -> None:
        """Bring up the list of chats, where it is not there anyway."""
        page = self.chat.page
        if not page.locator("#sidebar").is_visible():
            page.click("#menu")

    def open_menu(self, title: str) -> Locator:
        """Open the menu of a chat."""
        self.show_chats()
        row = self.chat.page.locator(".chat", has_text=title)
        row.hover()
        row.locator("summary").click()
        return row


def empty(stage: Stage) -> None:
    """Nothing asked yet."""
    stage.chat.open()


def thinking(stage: Stage) -> None:
    """A thought is growing, longer than its window."""
    stage.ask(QUESTION, [{"reasoning": LONG_THOUGHT}, stage.gate()])
    expect(stage.chat.page.locator(".window")).to_contain_text("our eyes")


def tools(stage: Stage) -> None:
    """Two calls are being written; the reader is elsewhere, and writes."""
    stage.ask(
        QUESTION,
        [{"reasoning": THOUGHT}, RATIO],
        [{"reasoning": LONG_THOUGHT}, RATIO],
        [
            {"delta": {"tool_calls": [call(0, RATIO["call"]["arguments"])]}},
            {"delta": {"tool_calls": [call(1, '{"expression": "2 * pi * 1.5e')]}},
            stage.gate(),
        ],
    )
    page = stage.chat.page
    expect(page.locator(".work__words")).to_contain_text("Running 2 tools")
    page.locator(".step__row", has_text="The question has two").click()
    page.fill("#message", "And on Titan?")
    page.eval_on_selector("#scroller", TOP)
    expect(page.locator("#new-below")).to_be_visible()


def many_steps(stage: Stage) -> None:
    """Of many steps the last ones stand, the others are one row."""
    rounds = [[{"reasoning": f"Next: number {n}."}, calculate(n)] for n in range(8)]
    stage.ask(QUESTION, *rounds, [{"reasoning": THOUGHT}, stage.gate()])
    expect(stage.chat.page.locator(".earlier")).to_contain_text("13 earlier steps")


def finished(stage: Stage) -> None:
    """A whole answer."""
    stage.ask(QUESTION, [{"reasoning": THOUGHT}, RATIO], [{"text": ANSWER}]).finished()
    stage.chat.page.locator("math").first.wait_for()
    stage.chat.page.eval_on_selector("#scroller", TOP)


def unfolded(stage: Stage) -> None:
    """All that led to it: a thought, a result, a call that failed."""
    stage.ask(
        QUESTION,
        [{"reasoning": THOUGHT}, RATIO],
        [calculate(0)],
        [{"text": "Blue light is scattered about **5.9 times** as strongly as red."}],
    )
    page = stage.chat.finished().page
    page.click(".work__sum")
    for row in page.locator(".step__row").all()[:2]:
        row.click()


def answer_alone(stage: Stage) -> None:
    """Without reasoning: a line to see the steps is all that is left of them."""
    stage.chat.open()
    stage.chat.page.locator(".toggle").click()
    stage.ask_here(QUESTION, [RATIO], [{"text": "About **5.9 times** as strongly."}])
    expect(stage.chat.finished().page.locator(".work")).to_contain_text("Show 1 step")


def error(stage: Stage) -> None:
    """The model's server went away in the middle of an answer."""
    stage.ask(
        QUESTION,
        [{"reasoning": THOUGHT}, RATIO],
        [{"text": "Blue light is scattered about **5.9 times**"}, {"cut": True}],
    )
    expect(stage.chat.finished().page.locator(".fault")).to_contain_text("kept")


def refused(stage: Stage) -> None:
    """The model's server wants another key."""
    stage.ask(QUESTION, [{"reasoning": THOUGHT}, RATIO], [{"status": 401, "body": {}}])
    stage.chat.finished()


def waiting(stage: Stage) -> None:
    """A second question waits for the answer to the first; a third was cancelled."""
    stage.ask(QUESTION, [{"text": "Blue light is scattered"}, stage.gate()])
    chat = stage.chat
    chat.say("Never mind this.").say("And at sunset?")
    chat.page.locator("#run-2").get_by_role("button", name="Cancel").click()
    expect(chat.page.locator("#run-2")).to_contain_text("Cancelled")
    chat.page.fill("#message", "")
    expect(chat.page.locator("#run-3")).to_contain_text("Sent when the answer")


def offline(stage: Stage) -> None:
    """Offline, with a message that waits."""
    stage.ask("Hello!", [{"text": "Hello! What would you like to know?"}]).finished()
    stage.chat.page.context.set_offline(True)
    stage.after.callback(stage.chat.page.context.set_offline, False)  # noqa: FBT003
    stage.after.enter_context(stage.chat.line.cut())
    stage.chat.say(QUESTION)
    expect(stage.chat.page.locator(".is-pending")).to_contain_text("Sent when")


def catching_up(stage: Stage) -> None:
    """The line is back, and what was missed has yet to come."""
    stage.ask(QUESTION, [{"text": "Blue light is scattered more."}]).finished()
    stage.chat.line.is_mute = True
    stage.chat.line.drop()
    expect(stage.chat.page.locator("#connection")).to_contain_text("Catching up")


def chinese(stage: Stage) -> None:
    """A long session in Chinese."""
    stage.ask(
        "天空为什么是蓝色的？", [{"reasoning": "用户在问散射。"}, {"text": CHINESE}]
    )
    stage.chat.finished()
    for run, question in enumerate(("请再详细一点。", "谢谢！还有夕阳呢？"), start=2):
        stage.chat.say(question).finished(run)


def right_to_left(stage: Stage) -> None:
    """In Arabic, with code and a table."""
    stage.ask(
        "لماذا السماء زرقاء؟", [{"reasoning": "السؤال عن التشتت."}, {"text": ARABIC}]
    )
    stage.chat.finished().page.eval_on_selector("#scroller", TOP)


def chats(stage: Stage) -> None:
    """Several chats, one of them pinned, and the menu of another."""
    for question in ("Trip to Lisbon in May", "Compare three batteries", "A regex"):
        stage.ask(question, [{"text": "Gladly."}]).finished()
    stage.ask(QUESTION, [{"text": "Blue light is scattered more."}]).finished()
    page = stage.chat.page
    stage.open_menu("Lisbon").get_by_role("button", name="Pin").click()
    expect(page.get_by_role("heading", name="Pinned")).to_have_count(1)
    stage.open_menu("batteries")


def archive(stage: Stage) -> None:
    """What was put away, and a notice that offers to undo."""
    stage.ask("Trip to Lisbon in May", [{"text": "Gladly."}]).finished()
    stage.ask(QUESTION, [{"text": "Blue light is scattered more."}]).finished()
    page = stage.chat.page
    stage.open_menu("Lisbon").get_by_role("button", name="Archive").click()
    stage.show_chats()
    page.get_by_role("button", name="Archived chats").click()
    expect(page.locator(".chat")).to_contain_text("Lisbon")


def account(stage: Stage) -> None:
    """The menu of the account."""
    stage.chat.open()
    stage.show_chats()
    stage.chat.page.click("#account summary")


def notice(stage: Stage) -> None:
    """A chat was deleted, which can be undone."""
    stage.ask("Trip to Lisbon in May", [{"text": "Gladly."}]).finished()
    stage.ask(QUESTION, [{"text": "Blue light is scattered more."}]).finished()
    stage.open_menu("Lisbon").get_by_role("button", name="Delete").click()
    expect(stage.chat.page.get_by_role("button", name="Undo")).to_be_visible()


def keys(stage: Stage) -> None:
    """The list of shortcuts."""
    stage.chat.open()
    stage.show_chats()
    stage.chat.page.click("#account summary")
    stage.chat.page.click("#help-button")


def diagnostics(stage: Stage) -> None:
    """The panel is open."""
    finished(stage)
    stage.chat.line.drop()
    stage.chat.live()
    stage.chat.page.click("#diagnostics-button")
    expect(stage.chat.page.locator("#diagnostics .facts")).to_be_visible()


STATES: dict[str, Callable[[Stage], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        empty,
        thinking,
        tools,
        many_steps,
        finished,
        unfolded,
        answer_alone,
        error,
        refused,
        waiting,
        offline,
        catching_up,
        chinese,
        right_to_left,
        chats,
        archive,
        account,
        notice,
        keys,
        diagnostics,
    )
}


@contextmanager
def in_state(name: str, chat: Chat, model: ModelServer) -> Iterator[Chat]:
    """The page in this state, until the block ends."""
    with ExitStack() as after:
        STATES[name](Stage(chat, model, after))
        chat.page.evaluate(AT_REST)
        yield chat
