"""Hands on the keyboard: where letters go, what they do, what scrolls."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.drive import PHONE, Chat, Screens
from tests.browser.states import MODEL
from tests.model_server import ModelServer

PARAGRAPHS = "\n\n".join(f"Paragraph number {n}. " + "word " * 60 for n in range(1, 61))
TOUCH: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True}


def top(page: Page) -> float:
    """How far down the transcript is read."""
    found: float = page.eval_on_selector("#scroller", "e => e.scrollTop")
    return found


@pytest.fixture
def long(screens: Screens, model: ModelServer) -> Chat:
    """An answer of many screens, just loaded, with nothing touched."""
    model.add(MODEL, [{"text": PARAGRAPHS, "piece": 500}])
    chat = screens.chat().open().say("Go").finished()
    return chat.reload()


# Where letters go


def test_a_question_typed_at_once_is_asked_by_enter(screens: Screens) -> None:
    """On a fresh page, without a press of anything before."""
    chat = screens.chat()
    chat.page.goto(chat.url, wait_until="domcontentloaded")
    chat.page.keyboard.type("[scenario hello] typed at once")
    chat.page.keyboard.press("Enter")
    chat.finished()
    expect(chat.page.locator("#run-1 h2")).to_contain_text("[scenario hello] typed at")
    chat.assert_clean()


def test_what_is_typed_before_the_script_is_there_is_asked_too(
    screens: Screens,
) -> None:
    """Enter as well, on a line that is slow."""
    chat = screens.chat()
    page = chat.page
    held: list[Route] = []

    def hold(route: Route) -> None:
        """All but what runs before the first paint."""
        if re.search(r"/(theme|first_paint)\b", route.request.url):
            route.continue_()
        else:
            held.append(route)

    page.route("**/*.js", hold)
    page.goto(chat.url, wait_until="commit")
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("[scenario hello] early")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_have_value("[scenario hello] early")
    page.unroute("**/*.js")  # lets go of what is held
    assert held
    chat.finished()
    expect(page.locator("#message")).to_have_value("")
    chat.assert_clean()


def test_a_letter_typed_anywhere_goes_where_people_write(long: Chat) -> None:
    """After a click on the text, on nothing, or on a button; not out of a search."""
    page = long.page
    page.locator(".prose p").first.click()
    page.keyboard.type("sn")
    expect(page.locator("#message")).to_have_value("sn")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.type("d?")
    expect(page.locator("#message")).to_have_value("snd?")
    page.locator("#title").click()
    page.keyboard.type("j")
    expect(page.locator("#message")).to_have_value("snd?j")
    page.get_by_role("searchbox", name="Search chats").click()
    page.keyboard.type("nd")
    expect(page.get_by_role("searchbox", name="Search chats")).to_have_value("nd")
    long.assert_clean()


def test_letters_are_shortcuts_for_who_walks_by_keyboard(long: Chat) -> None:
    """Unless that is switched off; then they are letters."""
    page = long.page
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("s")
    expect(page.get_by_role("searchbox", name="Search chats")).to_be_focused()
    page.keyboard.press("Control+/")
    page.locator("#letter-keys").uncheck()
    page.keyboard.press("Escape")
    page.locator("#message").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("so")
    expect(page.locator("#message")).to_have_value("so")
    long.assert_clean()


def test_shortcuts_with_ctrl_work_while_writing(screens: Screens) -> None:
    """And leave what is written alone."""
    chat = screens.chat().open().say("[scenario hello]").finished()
    page = chat.page
    page.keyboard.type("half")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("searchbox", name="Search chats")).to_be_focused()
    page.keyboard.press("Control+Shift+O")
    chat.live()
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#message")).to_have_value("")
    chat.assert_clean()


def test_escape_stops_from_where_one_writes_or_reads_only(screens: Screens) -> None:
    """Not from an empty search, nor from the header."""
    chat = screens.chat().open().say("[stream tokens=3000 rate=100]")
    page = chat.page
    expect(page.locator(".prose")).to_contain_text("t5")
    page.get_by_role("searchbox", name="Search chats").click()
    page.keyboard.press("Escape")
    page.locator("#menu").focus()
    page.keyboard.press("Escape")
    expect(page.locator(".prose")).to_contain_text("t100")
    expect(page.locator("#run-1")).to_have_attribute("data-status", "running")
    page.locator("#message").focus()
    page.keyboard.press("Escape")
    chat.finished()
    expect(page.locator("#run-1")).to_have_attribute("data-reason", "stopped")
    chat.assert_clean()


def test_the_focus_is_never_lost_to_nothing(screens: Screens) -> None:
    """After a suggestion, and after a refused message is sent again."""
    chat = screens.chat().open()
    page = chat.page
    suggestion = page.get_by_role("button", name="What is 15% of 340?")
    suggestion.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#run-1")).to_be_visible()
    expect(page.locator("#message")).to_be_focused()
    page.evaluate("document.querySelector('#agent').options[0].value = 'nobody'")
    chat.say("[scenario hello]")
    again = page.get_by_role("button", name="Send again")
    again.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()
    chat.assert_clean()


# What scrolls


def test_keys_scroll_a_transcript_that_nobody_has_touched(long: Chat) -> None:
    """By a page, to the beginning, to the end, by a line."""
    page = long.page
    end = top(page)
    height: float = page.eval_on_selector("#scroller", "e => e.clientHeight")
    page.keyboard.press("PageUp")
    assert 0.7 * height < end - top(page) < height
    page.keyboard.press("Home")
    assert top(page) == 0
    page.keyboard.press("PageDown")
    assert 0.7 * height < top(page) < height
    page.keyboard.press("ArrowUp")
    assert 0.7 * height - 80 < top(page) < height - 20
    page.keyboard.press("End")
    assert abs(top(page) - end) < 5
    long.assert_clean()


def test_keys_scroll_from_a_button_and_from_nothing(long: Chat) -> None:
    """Space too, where it presses nothing."""
    page = long.page
    page.locator("#menu").focus()
    page.keyboard.press("Home")
    assert top(page) == 0
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Space")
    assert top(page) > 100
    page.keyboard.press("Shift+Space")
    assert top(page) == 0
    long.assert_clean()


def test_keys_in_text_keep_their_meaning(long: Chat) -> None:
    """In a message, in a search."""
    page = long.page
    before = top(page)
    page.keyboard.type("world")
    page.keyboard.press("Home")
    page.keyboard.type("hello ")
    expect(page.locator("#message")).to_have_value("hello world")
    page.get_by_role("searchbox", name="Search chats").click()
    page.keyboard.press("Home")
    assert top(page) == before
    long.assert_clean()


# On a phone


def test_enter_on_a_touch_keyboard_is_a_new_line(screens: Screens) -> None:
    """The button sends both; with Ctrl, a keyboard that was attached does."""
    chat = screens.chat(**TOUCH).open()
    page = chat.page
    expect(page.locator("#message")).not_to_be_focused()  # no keyboard rises by itself
    page.tap("#message")
    page.keyboard.type("[scenario hello]")
    page.keyboard.press("Enter")
    page.keyboard.type("second line")
    expect(page.locator("#message")).to_have_value("[scenario hello]\nsecond line")
    expect(page.locator(".run")).to_have_count(0)
    page.tap("#send")
    chat.finished()
    expect(page.locator("#run-1")).to_contain_text("second line")
    page.tap("#message")
    page.keyboard.type("[scenario hello]")
    page.keyboard.press("Control+Enter")
    chat.finished(2)
    chat.assert_clean()


def test_shift_enter_is_a_new_line_on_a_desk(screens: Screens) -> None:
    """And Enter sends both."""
    chat = screens.chat().open()
    page = chat.page
    page.keyboard.type("[scenario hello]")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    expect(page.locator("#message")).to_have_value("[scenario hello]\nsecond line")
    page.keyboard.press("Enter")
    chat.finished()
    chat.assert_clean()
