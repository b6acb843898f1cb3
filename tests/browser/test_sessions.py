"""The list of chats."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.drive import Chat, Screens
from tests.model_server import ModelServer


def act(row: Locator, action: str) -> None:
    """Choose something in a chat's menu."""
    row.hover()
    row.locator("summary").click()
    row.get_by_role("button", name=action, exact=True).click()


def headings(page: Page) -> list[str]:
    """The list's groups."""
    return page.locator(".chats__list h3").all_inner_texts()


def titles(page: Page) -> list[str]:
    """The list's chats."""
    return page.locator(".chat__title").all_inner_texts()


@pytest.fixture
def two(screens: Screens) -> Chat:
    """Somebody with two chats; the first of them is open."""
    chat = screens.chat().open().say("[scenario hello] second").finished()
    chat.open("/").say("[scenario hello] first").finished()
    expect(chat.page.locator(".chat")).to_have_count(2)
    return chat


def test_sessions_are_listed_renamed_and_deleted_with_undo(screens: Screens) -> None:
    """The sidebar does what it says."""
    chat = screens.chat().open().say("[scenario hello] find me").finished()
    page = chat.page
    row = page.locator(".chat").first
    expect(row).to_contain_text("find me")
    page.fill("#search", "nothing like it")
    expect(page.locator(".chats__note")).to_have_text("Nothing found.")
    page.fill("#search", "")
    row.hover()
    row.locator("summary").click()
    row.get_by_role("button", name="Rename").click()
    page.locator(".chat > input").fill("A better name")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("A better name")
    chat.open("/")
    row = page.locator(".chat").first
    expect(row).to_contain_text("A better name")
    row.hover()
    row.locator("summary").click()
    row.get_by_role("button", name="Delete").click()
    expect(page.locator(".chat")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(row).to_contain_text("A better name")
    chat.assert_clean()


def test_a_pinned_chat_comes_first(two: Chat) -> None:
    """And goes back to its day."""
    page = two.page
    second = page.locator(".chat", has_text="second")
    act(second, "Pin")
    expect(page.locator(".chats__list h3").first).to_have_text("Pinned")
    assert titles(page)[0].endswith("second")
    expect(second.locator("summary")).to_be_focused()
    two.reload()
    assert headings(page) == ["Pinned", "Today"]
    act(page.locator(".chat", has_text="second"), "Unpin")
    expect(page.locator(".chats__list h3")).to_have_text(["Today"])
    two.assert_clean()


def test_an_archived_chat_is_in_the_archive(two: Chat) -> None:
    """And can be taken out of it."""
    page = two.page
    act(page.locator(".chat", has_text="second"), "Archive")
    expect(page.locator(".chat")).to_have_count(1)
    expect(page.locator(".chat > a")).to_be_focused()
    page.get_by_role("button", name="Archived chats").click()
    expect(page.locator(".chat")).to_have_count(1)
    row = page.locator(".chat", has_text="second")
    act(row, "Take out of archive")
    expect(page.locator(".chats__note")).to_have_text("The archive is empty.")
    page.get_by_role("button", name="Back to chats").click()
    expect(page.locator(".chat")).to_have_count(2)
    two.assert_clean()


def test_a_chat_is_exported_from_its_menu(two: Chat) -> None:
    """As a file, and the page stays where it is."""
    page = two.page
    row = page.locator(".chat", has_text="second")
    address = page.url
    row.hover()
    row.locator("summary").click()
    with page.expect_download() as started:
        row.get_by_role("link", name="Export as Markdown").click()
    assert started.value.suggested_filename.endswith(".md")
    assert "## Question 1\n\n> " in started.value.path().read_text("utf-8")
    expect(row.locator("summary")).to_be_focused()
    assert page.url == address
    row.locator("summary").click()
    with page.expect_download() as started:
        row.get_by_role("link", name="Export as JSON").click()
    page.locator("#account summary").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import a chat…").click()
    chooser.value.set_files(started.value.path())
    expect(page.locator(".chat")).to_have_count(3)
    expect(page.locator("#run-1 .ask__text")).to_contain_text("second")
    assert page.url != address
    two.assert_clean()


def test_a_deletion_is_undone_by_keyboard(two: Chat) -> None:
    """The row is gone, so the keyboard goes to Undo."""
    page = two.page
    row = page.locator(".chat", has_text="second")
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    for _ in range(6):
        page.keyboard.press("Tab")
    expect(row.get_by_role("button", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".chat")).to_have_count(2)
    two.assert_clean()


def test_chats_are_found_by_what_was_answered(two: Chat, model: ModelServer) -> None:
    """Not only by what was asked."""
    model.add("rare", [{"text": "The word is xylophone."}])
    two.open("/").say("[scenario rare]").finished()
    page = two.page
    expect(page.locator(".chat")).to_have_count(3)
    page.fill("#search", "xylophone")
    expect(page.locator(".chat")).to_have_count(1)
    assert titles(page) == ["[scenario rare]"]
    two.assert_clean()


def test_the_list_says_what_goes_on_elsewhere(two: Chat, model: ModelServer) -> None:
    """Running, then finished since one looked, then looked at."""
    model.add("elsewhere", [{"text": "Wait"}, {"wait": "elsewhere"}, {"text": "."}])
    other = Chat(two.page.context.new_page(), two.url).open()
    other.say("[scenario elsewhere]")
    row = two.page.locator(".chat", has_text="elsewhere")
    dot = row.locator(".state")
    other.page.close()
    two.reload()
    expect(dot).to_have_attribute("data-state", "running")
    model.release("elsewhere")
    expect(dot).to_have_attribute("data-state", "new", timeout=30_000)
    expect(row).to_contain_text("finished since you looked")
    row.locator(":scope > a").click()
    two.live()
    expect(dot).to_have_attribute("data-state", "idle")
    two.assert_clean()


def test_the_menu_of_the_last_chat_is_whole(two: Chat) -> None:
    """Where the list ends, it would hang out."""
    page = two.page
    page.set_viewport_size({"width": 1280, "height": 320})
    row = page.locator(".chat").last
    row.hover()
    row.locator("summary").click()
    for name in ("Rename", "Delete"):
        row.get_by_role("button", name=name).click(trial=True, timeout=3_000)
        expect(row.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
