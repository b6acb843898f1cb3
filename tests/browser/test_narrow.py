"""Little room: phones, keyboards on the screen, zoomed pages; and few colours."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.drive import DESK, PHONE, Chat, Screens
from tests.browser.states import in_state
from tests.model_server import ModelServer

SMALL = {"width": 360, "height": 640}
KEYBOARD_UP = {"width": 360, "height": 340}
LANDSCAPE = {"width": 640, "height": 360}
ZOOMED = {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2}
COVERED = (".skip", "#top", "main", "#diagnostics-panel")
IN_SIDEBAR = "() => !!document.activeElement.closest('#sidebar')"
LARGE_TEXT = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(":root { font-size: 32px }");
  document.adoptedStyleSheets = [sheet];
}"""
OUTSIDE = """(selectors) => selectors.filter((selector) => {
  const element = document.querySelector(selector);
  if (!element.checkVisibility()) return false;
  const { left, top, right, bottom } = element.getBoundingClientRect();
  return left < 0 || top < 0 || right > innerWidth || bottom > innerHeight;
})"""
HEADER = ["#menu", "#title", "#connection", "#diagnostics-button", "#top a"]


def box(page: Page, selector: str) -> dict[str, float]:
    """Where an element is."""
    found: dict[str, float] = page.eval_on_selector(
        selector, "e => e.getBoundingClientRect().toJSON()"
    )
    return found


def outside(page: Page, *selectors: str) -> list[str]:
    """Those which are shown, but not all of them within the window."""
    found: list[str] = page.evaluate(OUTSIDE, list(selectors))
    return found


def is_covered(page: Page) -> list[bool]:
    """Whether nobody can reach what the sidebar covers."""
    return [bool(page.eval_on_selector(each, "e => e.inert")) for each in COVERED]


def write_long(chat: Chat) -> Page:
    """A draft of many lines."""
    chat.page.fill("#message", "\n".join(f"line {n}" for n in range(14)))
    return chat.page


# The list of chats, over the transcript


def test_the_first_s_goes_to_the_search(screens: Screens) -> None:
    """What is typed after it are words, not shortcuts."""
    chat = screens.chat(viewport=PHONE).open().say("[scenario hello]").finished()
    page = chat.page
    page.locator("#scroller").focus()
    page.keyboard.type("snd?")
    expect(page.locator("#search")).to_have_value("nd?")
    expect(page.locator("#search")).to_be_focused()


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


def test_the_keyboard_stays_in_the_diagnostics_that_cover_the_page(
    screens: Screens,
) -> None:
    """Until they are closed, or the window is wide."""
    page = screens.chat(viewport=PHONE).open().page
    page.click("#diagnostics-button")
    for _ in range(6):
        page.keyboard.press("Tab")
        # The body: on the way to the browser's own controls.
        assert page.evaluate(
            "document.activeElement === document.body"
            " || !!document.activeElement.closest('#diagnostics-panel')"
        )
    assert page.eval_on_selector("main", "e => e.inert")
    page.set_viewport_size(ViewportSize(width=1280, height=800))
    page.wait_for_function("() => !document.querySelector('main').inert")
    page.set_viewport_size(ViewportSize(width=390, height=844))
    page.wait_for_function("() => document.querySelector('main').inert")
    page.keyboard.press("Escape")
    expect(page.locator("#diagnostics-button")).to_be_focused()
    assert not page.eval_on_selector("main", "e => e.inert")


def test_a_key_for_what_is_covered_uncovers_it(screens: Screens) -> None:
    """Or the words after it would go nowhere."""
    page = screens.chat(viewport=PHONE).open().page
    page.click("#menu")
    page.keyboard.type("/no")
    expect(page.locator("#message")).to_have_value("no")
    page.click("#menu")
    page.keyboard.press("Tab")
    page.keyboard.press("d")
    expect(page.locator("#diagnostics-close")).to_be_focused()


def test_nothing_stays_covered_by_a_list_that_is_gone(screens: Screens) -> None:
    """A link was followed, or the window is wide now."""
    page = screens.chat(viewport=PHONE).open().page
    # An answer without content leaves the page where it is, as "back" would find it.
    page.route("**/", lambda route: route.fulfill(status=204))
    page.click("#menu")
    page.locator("#sidebar").get_by_role("link", name="New chat").click()
    expect(page.locator("#menu")).to_have_attribute("aria-expanded", "false")
    assert not any(is_covered(page))
    page.click("#menu")
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    expect(page.locator("#sidebar")).to_be_visible()
    assert not any(is_covered(page))
    page.keyboard.press("s")
    assert not any(is_covered(page))


# The composer


@pytest.mark.parametrize("size", [KEYBOARD_UP, LANDSCAPE])
def test_a_long_draft_leaves_room_for_the_rest(
    size: ViewportSize, screens: Screens
) -> None:
    """With the keyboard up: Send within reach, and something to read."""
    chat = screens.chat(viewport=size).open().say("[scenario hello]").finished()
    page = write_long(chat)
    assert outside(page, "#send", ".composer", *HEADER) == []
    assert box(page, "#scroller")["height"] >= 80


@pytest.mark.parametrize("size", [KEYBOARD_UP, LANDSCAPE, PHONE, DESK])
def test_new_text_below_is_said_above_the_draft(
    size: ViewportSize, screens: Screens
) -> None:
    """Never on it, and without moving anything."""
    chat = screens.chat(viewport=size).open().say("[scenario hello]").finished()
    page = write_long(chat)
    before = box(page, "#scroller")
    page.eval_on_selector("#new-below", "e => { e.hidden = false; }")
    notice, scroller = box(page, "#new-below"), box(page, "#scroller")
    assert scroller == before
    assert notice["bottom"] <= box(page, "#composer")["top"]
    assert notice["top"] >= scroller["top"]
    page.click("#new-below", trial=True)


@pytest.mark.parametrize("size", [KEYBOARD_UP, PHONE, DESK])
def test_notices_do_not_cover_the_draft(size: ViewportSize, screens: Screens) -> None:
    """Nor the header."""
    chat = screens.chat(viewport=size).open().say("[scenario hello]").finished()
    page = write_long(chat)
    page.evaluate(
        """() => {
          navigator.clipboard.writeText = () => Promise.reject();
          document.execCommand = () => false;
        }"""
    )
    page.get_by_role("button", name="Copy answer").click()
    expect(page.locator(".toast")).to_contain_text("did not allow copying")
    notice = box(page, ".toast")
    assert notice["top"] >= box(page, "#top")["bottom"]
    assert notice["bottom"] <= box(page, "#composer")["top"]


def test_fields_are_written_so_large_that_ios_does_not_zoom(screens: Screens) -> None:
    """16 px, where fingers type."""
    chat = screens.chat(viewport=PHONE, has_touch=True).open().say("[scenario hello]")
    page = chat.finished().page
    page.click("#menu")
    page.locator(".chat summary").click()
    page.locator(".chat").get_by_role("button", name="Rename").click()
    for field in ("#message", "#agent", "#search", ".chat > input"):
        size = page.eval_on_selector(
            field, "e => parseFloat(getComputedStyle(e).fontSize)"
        )
        assert size >= 16, field


# The header


@pytest.mark.parametrize(
    ("words", "seconds", "action"),
    [
        ("Reconnecting", " in 12 s", "Reconnect now"),
        ("This page is out of date", "", "Reload"),
        ("There is no such chat for you", "", "New chat"),
    ],
)
def test_the_longest_words_about_the_line_leave_room_for_the_title(
    words: str, seconds: str, action: str, screens: Screens
) -> None:
    """On a small phone. They are cut for the eye only."""
    chat = screens.chat(viewport=SMALL).open().say("[scenario hello]").finished()
    page = chat.page
    page.eval_on_selector(
        "#connection",
        """(line, [words, seconds, action]) => {
          const text = line.querySelector("[data-text]");
          text.textContent = words;
          (line.querySelector("[data-seconds]") ?? text).append(seconds);
          line.querySelector(".btn").textContent = action;
          line.querySelector(".btn").hidden = false;
        }""",
        [words, seconds, action],
    )
    assert outside(page, *HEADER, "#connection .btn") == []
    assert box(page, "#title")["width"] >= 50
    assert page.evaluate("document.documentElement.scrollWidth") == SMALL["width"]
    expect(page.get_by_role("status").filter(has_text=words)).to_be_visible()


# Forced colours


def test_forced_colours_leave_all_that_background_alone_said(screens: Screens) -> None:
    """The browser paints every background the same."""
    chat = screens.chat(forced_colors="active").open().say("[scenario calculator]")
    page = chat.finished().page

    def style(selector: str, name: str) -> Any:
        return page.eval_on_selector(selector, f"e => getComputedStyle(e).{name}")

    canvas = style("body", "backgroundColor")
    assert style(".toggle__ring", "borderTopStyle") == "solid"
    assert style("#connection .dot", "backgroundColor") != canvas
    for selector in (".mark", ".ask__text", "#send", ".composer"):
        assert style(selector, "borderTopStyle") == "solid"
        assert style(selector, "borderTopColor") != canvas
    expect(page.locator(".chat.is-open")).to_be_visible()
    assert style(".chat.is-open", "outlineStyle") == "solid"
    page.focus("#message")
    assert style(".composer__ring", "outlineStyle") == "solid"


# 200 %


@pytest.mark.parametrize("state", ["finished", "empty"])
@pytest.mark.parametrize(
    ("options", "is_large_text"),
    [(ZOOMED, False), ({"viewport": DESK}, True), ({"viewport": PHONE}, True)],
    ids=["all", "text", "text-on-a-phone"],
)
def test_at_200_percent_all_is_within_reach(
    state: str,
    options: dict[str, Any],
    is_large_text: bool,  # noqa: FBT001
    screens: Screens,
    model: ModelServer,
) -> None:
    """The whole page zoomed, or its text alone."""
    chat = screens.chat(**options)
    with in_state(state, chat, model):
        page = chat.page
        if is_large_text:
            page.evaluate(LARGE_TEXT)
        assert outside(page, "#send", "#agent", *HEADER) == []
        if state == "finished":
            assert box(page, "#scroller")["height"] >= 100
        assert box(page, "#title")["width"] >= 50
        for root in (":root", "#scroller", ".main", ".composer", "#top"):
            over = page.eval_on_selector(root, "e => e.scrollWidth - e.clientWidth")
            assert over <= 0, root


def test_an_empty_page_begins_at_its_beginning(screens: Screens) -> None:
    """Following the end is for transcripts."""
    chat = screens.chat(viewport={"width": 640, "height": 360}).open()
    expect(chat.page.locator("#empty h2")).to_be_in_viewport()
    chat.assert_clean()


@pytest.mark.parametrize("width", [390, 700, 1000, 1280])
def test_the_composer_stands_exactly_under_the_column(
    width: int, screens: Screens
) -> None:
    """However wide, and with scrollbars that take room: what is written stands on one
    edge, and what has a fill hangs out alike."""
    chat = screens.chat(viewport={"width": width, "height": 700})
    page = chat.open().say("[stream tokens=900 rate=5000]").finished().page
    assert page.eval_on_selector("#scroller", "e => e.scrollHeight > e.clientHeight")
    question, composer = box(page, ".ask__text"), box(page, ".composer")
    assert abs(question["right"] - composer["right"]) < 0.6
    text = page.eval_on_selector(
        "#message",
        """e => e.getBoundingClientRect().left
          + parseFloat(getComputedStyle(e).paddingLeft)""",
    )
    assert abs(text - box(page, ".answer .prose")["left"]) < 1.1
