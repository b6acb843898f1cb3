"""Little room: phones, keyboards on the screen, zoomed pages; and few colours."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.drive import DESK, PHONE, Screens

COVERED = (".skip", "#top", "main", "#diagnostics-panel")
IN_SIDEBAR = "() => !!document.activeElement.closest('#sidebar')"


def is_covered(page: Page) -> list[bool]:
    """Whether nobody can reach what the sidebar covers."""
    return [bool(page.eval_on_selector(each, "e => e.inert")) for each in COVERED]


# The list of chats, over the transcript


def test_the_first_s_goes_to_the_search(screens: Screens) -> None:
    """What is typed after it are words, not shortcuts."""
    page = screens.chat(viewport=PHONE).open().page
    page.locator("#scroller").focus()
    page.keyboard.type("snd?")
    expect(page.locator(".sessions__search")).to_have_value("nd?")
    expect(page.locator(".sessions__search")).to_be_focused()


def test_the_keyboard_stays_in_the_list_that_covers_the_page(screens: Screens) -> None:
    """And goes back to the button that opened it."""
    page = screens.chat(viewport=PHONE).open().page
    menu = page.locator("#menu")
    for way_out in ("Escape", "#scrim", "#sidebar-close"):
        menu.click()
        expect(menu).to_have_attribute("aria-expanded", "true")
        assert page.evaluate(IN_SIDEBAR)
        assert all(is_covered(page))
        for _ in range(3):
            page.keyboard.press("Tab")
            assert page.evaluate(IN_SIDEBAR)
        if way_out == "Escape":
            page.keyboard.press(way_out)
        else:
            page.locator(way_out).click(
                position={"x": 385, "y": 400} if "scrim" in way_out else None
            )
        expect(menu).to_be_focused()
        expect(page.locator("#sidebar")).not_to_be_visible()
        assert not any(is_covered(page))


def test_a_key_for_what_is_covered_uncovers_it(screens: Screens) -> None:
    """Or the words after it would go nowhere."""
    page = screens.chat(viewport=PHONE).open().page
    page.click("#menu")
    page.keyboard.type("/no")
    expect(page.locator("#message")).to_have_value("no")
    page.click("#menu")
    page.keyboard.press("d")
    expect(page.locator("#diagnostics-close")).to_be_focused()


def test_nothing_stays_covered_by_a_list_that_is_gone(screens: Screens) -> None:
    """A link was followed, or the window is wide now."""
    page = screens.chat(viewport=PHONE).open().page
    # An answer without content leaves the page where it is, as "back" would find it.
    page.route("**/", lambda route: route.fulfill(status=204))
    page.click("#menu")
    page.get_by_role("link", name="New chat").click()
    expect(page.locator("#menu")).to_have_attribute("aria-expanded", "false")
    assert not any(is_covered(page))
    page.click("#menu")
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    expect(page.locator("#sidebar")).to_be_visible()
    expect(page.locator("#sidebar-close")).not_to_be_visible()
    assert not any(is_covered(page))
    page.keyboard.press("s")
    assert not any(is_covered(page))
