"""What somebody wrote is never lost."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.drive import PHONE, Screens
from tests.model_server import ModelServer


def test_a_withdrawn_message_does_not_replace_what_is_being_written(
    screens: Screens, model: ModelServer
) -> None:
    """Both are there."""
    model.add("held", [{"text": "Wait"}, {"wait": "held"}])
    chat = screens.chat().open().say("[scenario held]").say("second thoughts")
    expect(chat.page.locator("#run-2")).to_contain_text("Sent when the answer")
    chat.page.fill("#message", "third thoughts")
    chat.page.locator("#run-2").get_by_role("button", name="Cancel").click()
    expect(chat.page.locator("#message")).to_have_value(
        "second thoughts\n\nthird thoughts"
    )
    model.release("held")
    chat.finished()
    with chat.line.cut():
        expect(chat.page.locator("#connection")).not_to_contain_text("Live")
        chat.say("sent offline")
        chat.page.fill("#message", "half a thought")
        chat.page.get_by_role("button", name="Cancel").click()
        expect(chat.page.locator("#message")).to_have_value(
            "sent offline\n\nhalf a thought"
        )
    chat.assert_clean()


def test_a_question_can_be_edited_and_asked_again(screens: Screens) -> None:
    """It comes into the composer; the old one stays as it was."""
    chat = screens.chat().open().say("[scenario hello] frist").finished()
    chat.page.get_by_role("button", name="Edit this question").click()
    expect(chat.page.locator("#message")).to_be_focused()
    expect(chat.page.locator("#message")).to_have_value("[scenario hello] frist")
    chat.say("[scenario hello] first").finished(2)
    expect(chat.page.locator("#run-1 .ask__text")).to_contain_text("frist")
    chat.assert_clean()


def test_a_full_outbox_keeps_the_text(screens: Screens) -> None:
    """And says why it was not taken."""
    chat = screens.chat().open()
    with chat.line.cut():
        expect(chat.page.locator("#connection")).not_to_contain_text("Live")
        for n in range(20):
            chat.say(f"message {n}")
        chat.say("one too many")
        expect(chat.page.locator("#toasts")).to_contain_text("Too many messages wait")
        expect(chat.page.locator("#message")).to_have_value("one too many")
        expect(chat.page.locator(".is-pending")).to_have_count(20)
        for button in chat.page.get_by_role("button", name="Cancel").all()[::-1]:
            button.click()
    chat.assert_clean()


def test_a_message_that_is_too_long_is_kept_and_says_so(screens: Screens) -> None:
    """On a phone too, where there is little room for hints."""
    chat = screens.chat(viewport=PHONE).open()
    chat.page.fill("#message", "x" * 32_001)
    expect(chat.page.locator("#agent-hint")).to_be_visible()
    expect(chat.page.locator("#agent-hint")).to_have_text(
        "Too long: 32,001 of 32,000 characters"
    )
    expect(chat.page.locator("#send")).to_be_disabled()
    chat.page.press("#message", "Enter")
    expect(chat.page.locator("#message")).to_have_value("x" * 32_001)
    chat.page.fill("#message", "\N{GRINNING FACE}" * 16_001)
    expect(chat.page.locator("#send")).to_be_enabled()
    chat.assert_clean()


def test_agents_are_described_where_they_are_picked(screens: Screens) -> None:
    """On a phone, while picking."""
    chat = screens.chat(viewport=PHONE).open()
    hint = chat.page.locator("#agent-hint")
    expect(hint).not_to_be_visible()
    chat.page.focus("#agent")
    expect(hint).to_be_visible()
    chat.page.select_option("#agent", "assistant")
    expect(hint).to_have_text("Answers directly, without tools.")
    chat.assert_clean()
