"""Long stays quick, and a reader's place is kept in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.drive import Chat, Screens
from tests.browser.states import MODEL
from tests.model_server import ModelServer
from tests.servers import Site

RUNS = 200
ANSWER = "An answer of a few lines.\n\n- one\n- two\n\nAnd a last word, number {n}."
TOP = "e => e.scrollTo(0, 0)"


@pytest.fixture(scope="module")
def long(browser: Browser, site: Site) -> Iterator[tuple[Screens, Chat]]:
    """Somebody with a session of 200 runs."""
    screens = Screens(browser, site.url)
    chat = screens.chat().open().say("[scenario hello] number 1.").finished()
    chat.say_many([f"[scenario hello] number {n}." for n in range(2, RUNS + 1)])
    yield screens, chat
    screens.close()


def numbers(page: Page) -> list[int]:
    """The runs that are shown."""
    found: list[int] = page.evaluate(
        "() => [...document.querySelectorAll('.run')].map((r) => Number(r.dataset.run))"
    )
    return found


def top_of(page: Page, selector: str) -> float:
    """Pixels from the top of the view."""
    found: float = page.evaluate(
        """(selector) => {
          const top = (each) =>
            document.querySelector(each).getBoundingClientRect().top;
          return top(selector) - top("#scroller");
        }""",
        selector,
    )
    return found


def test_200_runs_load_as_they_are_scrolled_to(long: tuple[Screens, Chat]) -> None:
    """In order, none twice, and all proved."""
    screens, chat = long
    other = screens.chat(chat.page.context).open(chat.page.url.removeprefix(chat.url))
    page = other.page
    assert numbers(page) == list(range(RUNS - 19, RUNS + 1))
    while (shown := len(numbers(page))) < RUNS:
        page.eval_on_selector("#scroller", TOP)
        expect(page.locator(".run")).not_to_have_count(shown)
    assert numbers(page) == list(range(1, RUNS + 1))
    other.proved()
    other.say("[scenario hello] and one more.").finished(RUNS + 1)
    expect(page.locator(f"#run-{RUNS + 1}")).to_be_in_viewport()
    other.assert_clean()


def test_a_link_leads_to_a_run_that_is_not_loaded(long: tuple[Screens, Chat]) -> None:
    """Far up, in a session of 200."""
    screens, chat = long
    address = chat.page.url.removeprefix(chat.url)
    other = screens.chat(chat.page.context).open(f"{address}#run-3-step-0")
    expect(other.page.locator("#run-3-step-0")).to_be_in_viewport()
    expect(other.page.locator("#run-3-step-0")).to_have_class("answer is-target")
    other.assert_clean()


def test_a_reload_keeps_the_readers_place_far_up(long: tuple[Screens, Chat]) -> None:
    """Even where it has to be loaded first."""
    screens, chat = long
    other = screens.chat(chat.page.context).open(chat.page.url.removeprefix(chat.url))
    page = other.page
    for _ in range(2):
        shown = len(numbers(page))
        page.eval_on_selector("#scroller", TOP)
        expect(page.locator(".run")).not_to_have_count(shown)
    run = numbers(page)[5]
    page.eval_on_selector(f"#run-{run}", "e => e.scrollIntoView()")
    page.mouse.move(700, 400)
    page.mouse.wheel(0, 40)
    expect(page.locator(f"#run-{run + 1}")).to_be_in_viewport()
    before = top_of(page, f"#run-{run + 1}")
    other.reload()
    expect(page.locator(f"#run-{run + 1}")).to_be_in_viewport()
    assert abs(top_of(page, f"#run-{run + 1}") - before) < 3
    other.assert_clean()


def test_a_reload_keeps_the_readers_place_in_an_answer_that_grows(
    screens: Screens,
) -> None:
    """In the middle of the text, while more comes below."""
    chat = screens.chat().open().say("[stream tokens=4000 rate=200 thought=0]")
    page = chat.page
    page.wait_for_function(
        "() => document.querySelector('#scroller').scrollHeight > 2400"
    )
    page.hover("#scroller")
    page.mouse.wheel(0, -900)
    expect(page.locator("#new-below")).to_be_visible()
    place = page.eval_on_selector("#scroller", "e => e.scrollTop")
    for _ in range(3):
        chat.reload()
        expect(page.locator("#new-below")).to_be_visible()
        now = page.eval_on_selector("#scroller", "e => e.scrollTop")
        assert abs(now - place) < 3
    page.keyboard.press("Escape")
    chat.finished()
    chat.assert_clean()


def test_an_answer_of_200000_characters_is_whole_and_proved(
    screens: Screens, model: ModelServer
) -> None:
    """Live, and after a reload; the page goes on answering meanwhile."""
    text = "".join(ANSWER.format(n=n) + "\n\n" for n in range(3200))[:200_000]
    model.add(MODEL, [{"text": text, "piece": 200}])
    chat = screens.chat().open()
    chat.page.set_default_timeout(60_000)
    chat.say("Go")
    chat.page.fill("#message", "still here")
    chat.finished()
    chat.proved()
    end = "number 2831.An answer of a few lines.onetwo"
    expect(chat.page.locator(".prose")).to_contain_text(end)
    live = chat.steps()
    chat.reload()
    expect(chat.page.locator(".prose")).to_contain_text(end)
    assert chat.steps() == live
    expect(chat.page.locator("#message")).to_have_value("still here")
    chat.assert_clean()
