"""For everybody: axe-core in all states, by keyboard alone, and what is announced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.drive import DESK, PHONE, Screens
from tests.browser.states import STATES, in_state
from tests.model_server import ModelServer

ROOT = Path(__file__).parents[2]
AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("() => axe.run(document)")
    # Behind a dialog that holds the keyboard there is no main part for anybody.
    of_whole_pages = (
        {"landmark-one-main", "page-has-heading-one"}
        if page.locator("main[inert], [inert] main").count()
        else set[str]()
    )
    return [
        f"{wrong['id']}: {node['html'][:150]} {node['failureSummary'][:300]}"
        for wrong in found["violations"]
        for node in wrong["nodes"]
        if wrong["id"] not in of_whole_pages
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(
    state: str, scheme: Any, screens: Screens, model: ModelServer
) -> None:
    """In any state, light and dark, on a desk and on a phone."""
    chat = screens.chat(color_scheme=scheme)
    with in_state(state, chat, model):
        for size in (DESK, PHONE):
            chat.page.set_viewport_size(size)  # type: ignore[arg-type]
            assert violations(chat.page) == []


@pytest.mark.parametrize("state", ["unfolded", "chats", "error"])
def test_axe_finds_nothing_where_colours_are_forced(
    state: str, screens: Screens, model: ModelServer
) -> None:
    """Lines and shapes say there what fills said."""
    chat = screens.chat(forced_colors="active")
    with in_state(state, chat, model):
        assert violations(chat.page) == []


def test_nothing_is_wider_than_a_small_phone(
    screens: Screens, model: ModelServer
) -> None:
    """360 px; and 200 % zoom of a desk, which is the same."""
    chat = screens.chat(viewport={"width": 360, "height": 640})
    with in_state("finished", chat, model):
        wide = chat.page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= 360
        assert (
            chat.page.eval_on_selector(
                "#scroller", "e => e.scrollWidth - e.clientWidth"
            )
            == 0
        )


def test_targets_are_large_enough_for_a_finger(
    screens: Screens, model: ModelServer
) -> None:
    """44 px high, all that can be pressed."""
    chat = screens.chat(viewport=PHONE, has_touch=True)
    with in_state("finished", chat, model):
        small: list[str] = chat.page.evaluate(
            """() => [...document.querySelectorAll("button, summary, select, input")]
                .filter((each) => each.checkVisibility({ visibilityProperty: true }))
                .filter((each) => {
                  const target = each.closest("label") ?? each;
                  return target.getBoundingClientRect().height < 43.5;
                })
                .map((each) => each.outerHTML.slice(0, 120))"""
        )
        assert small == []


def test_a_conversation_by_keyboard_alone(screens: Screens) -> None:
    """From the address bar to an open thought, a stopped answer, a new chat."""
    chat = screens.chat().open()
    page = chat.page
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("[scenario calculator] 23 * 47")
    page.keyboard.press("Enter")
    chat.finished()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#message")).not_to_be_focused()
    page.keyboard.press("j")
    first = page.locator(".work__sum").first
    page.keyboard.press("k")
    page.keyboard.press("k")
    while not first.evaluate("e => e === document.activeElement"):
        page.keyboard.press("k")
    page.keyboard.press("Space")
    page.keyboard.press("j")
    page.keyboard.press("Space")
    thought = page.locator(".step > details").first
    expect(thought).to_have_attribute("open", "")
    chat.reload()
    expect(thought).to_have_attribute("open", "")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("[stream tokens=2000 rate=100]")
    page.keyboard.press("Enter")
    expect(page.locator("#run-2 .prose")).to_contain_text("t5")
    page.keyboard.press("Escape")
    chat.finished(2)
    expect(page.locator("#run-2 .work__words")).to_contain_text("Stopped")
    page.locator("#scroller").focus()
    page.keyboard.press("d")
    expect(page.locator("#diagnostics-close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#diagnostics-button")).to_be_focused()
    page.keyboard.press("s")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("#scroller").focus()
    page.keyboard.press("n")
    chat.live()
    expect(page.locator("#empty")).to_be_visible()
    chat.assert_clean()


def test_the_keyboard_can_skip_to_the_message(screens: Screens) -> None:
    """From the top of the page."""
    page = screens.chat().open().page
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()


def test_enter_inside_a_composition_does_not_send(screens: Screens) -> None:
    """An input method's Enter takes a candidate."""
    chat = screens.chat().open()
    chat.page.fill("#message", "にほん")
    chat.page.locator("#message").dispatch_event(
        "keydown", {"key": "Enter", "isComposing": True, "bubbles": True}
    )
    chat.page.locator("#message").dispatch_event(
        "keydown", {"key": "Enter", "keyCode": 229, "bubbles": True}
    )
    expect(chat.page.locator("#message")).to_have_value("にほん")
    expect(chat.page.locator(".run")).to_have_count(0)


def test_steps_are_announced_and_tokens_are_not(screens: Screens) -> None:
    """Boundaries only, politely."""
    chat = screens.chat().open()
    chat.page.evaluate(
        """() => {
          window.said = [];
          const root = document.getElementById("announcer");
          new MutationObserver(() => window.said.push(root.textContent))
            .observe(root, { childList: true, characterData: true, subtree: true });
        }"""
    )
    chat.say("[stream tokens=100 rate=200 thought=20]").finished()
    chat.page.wait_for_timeout(200)
    said: list[str] = chat.page.evaluate("() => window.said")
    assert said[0].startswith("Thinking.")
    assert said[-1].startswith("Answered.")
    assert len(said) <= 4


def test_landmarks_and_headings(screens: Screens, model: ModelServer) -> None:
    """The outline a screen reader walks."""
    chat = screens.chat()
    with in_state("finished", chat, model):
        outline = chat.page.locator("body").aria_snapshot()
    for part in (
        "banner",
        'navigation "Chats"',
        "main",
        'region "Transcript"',
        "heading",
        "Question 1: Why is the sky blue",
        "textbox",
        'switch "Reasoning"',
    ):
        assert part in outline, f"{part} is not in\n{outline}"


def test_drafts_are_kept_per_session(screens: Screens) -> None:
    """What was half written is there after a reload, and only there."""
    chat = screens.chat().open().say("[scenario hello]").finished()
    chat.page.fill("#message", "half a thought")
    chat.reload()
    expect(chat.page.locator("#message")).to_have_value("half a thought")
    other = screens.chat(chat.page.context).open("/")
    expect(other.page.locator("#message")).to_have_value("")
    # A new chat has another address at every load, and its draft all the same.
    other.page.fill("#message", "a beginning")
    other.reload()
    expect(other.page.locator("#message")).to_have_value("a beginning")
    other.open("/")
    expect(other.page.locator("#message")).to_have_value("a beginning")
    # Each tab has its own.
    third = screens.chat(chat.page.context).open("/")
    expect(third.page.locator("#message")).to_have_value("")
    third.page.fill("#message", "another beginning")
    other.reload()
    expect(other.page.locator("#message")).to_have_value("a beginning")
    other.page.press("#message", "Enter")
    other.page.locator("#run-1").wait_for()
    # What is begun in a chat that has begun belongs to it.
    other.page.fill("#message", "go on")
    other.open("/")
    expect(other.page.locator("#message")).to_have_value("")
    other.page.go_back()
    expect(other.live().page.locator("#message")).to_have_value("go on")
