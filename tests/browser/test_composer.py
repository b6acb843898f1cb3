"""What somebody wrote is never lost."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.drive import PHONE, Chat, Screens
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


# A chat that was deleted


def with_a_message_for_a_deleted_chat(screens: Screens) -> Chat:
    """Tab A, after tab B has deleted the chat and A has said something more."""
    chat = screens.chat().open().say("[scenario hello]").finished()
    address = chat.page.url.removeprefix(chat.url)
    other = screens.chat(chat.page.context).open(address)
    row = other.page.locator("#sessions li").first
    row.hover()
    row.locator("summary").click()
    row.get_by_role("button", name="Delete").click()
    other.page.wait_for_url(other.url + "/")
    other.page.close()
    line = chat.page.locator("#connection")
    expect(line).to_contain_text("This chat was deleted", timeout=5_000)
    expect(line.get_by_role("button", name="Restore")).to_be_visible()
    chat.say("a long second question")
    expect(chat.page.locator(".is-pending")).to_contain_text("the chat was deleted")
    return chat


def test_a_deleted_chat_says_so_and_can_be_restored(screens: Screens) -> None:
    """What was said meanwhile goes then."""
    chat = with_a_message_for_a_deleted_chat(screens)
    chat.page.locator("#connection").get_by_role("button", name="Restore").click()
    chat.live().finished(2)
    expect(chat.page.locator("#run-2")).to_contain_text("a long second question")
    expect(chat.page.locator(".is-pending")).to_have_count(0)
    chat.assert_clean()


def test_a_message_for_a_deleted_chat_can_be_asked_in_a_new_one(
    screens: Screens,
) -> None:
    """It is in the composer there, once."""
    chat = with_a_message_for_a_deleted_chat(screens)
    page = chat.page
    page.get_by_role("button", name="Ask in a new chat").click()
    page.wait_for_url(chat.url + "/")
    chat.live()
    expect(page.locator("#message")).to_have_value("a long second question")
    expect(page.locator(".toast", has_text="not sent")).to_have_count(0)


def test_a_message_for_a_deleted_chat_is_found_again_after_a_reload(
    screens: Screens,
) -> None:
    """The chat's page is a 404 with a way home; there it is brought, or discarded."""
    chat = with_a_message_for_a_deleted_chat(screens)
    page = chat.page
    page.reload()
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    page.get_by_role("link", name="Start a new chat").click()
    toast = page.locator(".toast", has_text="its chat was deleted")
    expect(toast).to_have_count(1)
    toast.get_by_role("button", name="Bring it here").click()
    expect(page.locator("#message")).to_have_value("a long second question")
    page.fill("#message", "")
    chat.reload()
    expect(toast).to_have_count(0)


def test_a_hint_at_a_message_elsewhere_can_be_dismissed_for_good(
    screens: Screens,
) -> None:
    """For a chat that is gone, and for one that only waits."""
    chat = with_a_message_for_a_deleted_chat(screens)
    page = chat.page
    page.goto(chat.url)
    toast = page.locator(".toast", has_text="its chat was deleted")
    toast.get_by_role("button", name="Discard").click()
    chat.reload()
    with chat.line.cut():
        expect(page.locator("#connection")).not_to_contain_text("Live")
        chat.say("waits")
        waiting = page.url
        page.goto(chat.url)
        toast = page.locator(".toast", has_text="waits to be sent")
        toast.get_by_role("button", name="Open").click()
        expect(page).to_have_url(waiting)
        expect(page.locator(".is-pending")).to_contain_text("waits")
        page.goto(chat.url)
        toast.get_by_role("button", name="Discard").click()
        page.reload()
        expect(page.locator("#connection")).to_contain_text("econnecting")
        expect(page.locator(".toast")).to_have_count(0)
