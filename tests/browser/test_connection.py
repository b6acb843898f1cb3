"""Whatever the connection does: the same transcript, nothing sent twice."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.drive import Screens
from tests.model_server import ModelServer


def test_twenty_drops_in_one_answer(screens: Screens) -> None:
    """The run goes on, and every character arrives once."""
    chat = screens.chat().open().say("[stream tokens=1200 rate=100]")
    for _ in range(20):
        opened = chat.line.opened
        chat.page.wait_for_timeout(100)
        chat.line.drop()
        while chat.line.opened == opened:
            chat.page.wait_for_timeout(20)
    chat.live().finished()
    assert chat.steps()[-1][1] == " ".join(f"t{n}" for n in range(1200))
    chat.proved()
    chat.assert_clean()


def test_a_second_tab_and_a_second_browser_see_the_same(screens: Screens) -> None:
    """Live, and after the end."""
    first = screens.chat().open().say("[stream tokens=200 rate=100 thought=50]")
    first.page.locator("[data-step]").first.wait_for()
    address = first.page.url.removeprefix(first.url)
    second = screens.chat(first.page.context).open(address)
    cookies = first.page.context.cookies()
    elsewhere = screens.person(viewport={"width": 390, "height": 844})
    elsewhere.add_cookies([{**cookie} for cookie in cookies])  # type: ignore[typeddict-item]
    third = screens.chat(elsewhere).open(address)
    for chat in (first, second, third):
        chat.finished()
    assert first.steps() == second.steps() == third.steps()
    for chat in (first, second, third):
        chat.assert_clean()


def test_a_message_written_offline_waits_and_goes_once(
    screens: Screens, model: ModelServer
) -> None:
    """It survives a reload, and shows what it waits for."""
    chat = screens.chat().open()
    with chat.line.cut():
        expect(chat.page.locator("#connection")).not_to_contain_text("Live")
        chat.say("[scenario hello] from afar")
        expect(chat.page.locator(".is-pending")).to_contain_text(
            "Sent when the line is back"
        )
        chat.page.reload()
        expect(chat.page.locator(".is-pending")).to_contain_text("from afar")
    chat.live().finished()
    expect(chat.page.locator(".is-pending")).to_have_count(0)
    expect(chat.page.locator(".run")).to_have_count(1)
    asked = [
        request
        for request in model.requests()
        if "from afar" in str(request["request"])
    ]
    assert len(asked) == 1
    chat.assert_clean()


def test_offline_says_so_and_comes_back_at_once(screens: Screens) -> None:
    """As the browser tells."""
    chat = screens.chat().open()
    context = chat.page.context
    context.set_offline(True)
    with chat.line.cut():
        expect(chat.page.locator("#connection [data-text]")).to_have_text("Offline")
    context.set_offline(False)
    chat.live()
    chat.say("[scenario hello]").finished()


def test_a_laptop_that_slept_notices(screens: Screens) -> None:
    """A long gap of the timers; events missed meanwhile are there."""
    chat = screens.chat()
    chat.page.clock.install()
    chat.open().say("[stream tokens=50 rate=100]")
    chat.page.clock.run_for(500)
    chat.line.drop()
    chat.page.clock.fast_forward("08:00:00")
    chat.page.clock.resume()
    chat.live().finished()
    assert chat.steps()[-1][1] == " ".join(f"t{n}" for n in range(50))


# The wheel scrolls smoothly, and for longer where the machine is busy.
SCROLLED = """async () => {
  const scroller = document.querySelector("#scroller");
  let place = NaN;
  while (scroller.scrollTop !== place) {
    place = scroller.scrollTop;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}"""


def test_the_readers_place_is_kept(screens: Screens) -> None:
    """While text grows below, and when the line drops; the button leads to the end."""
    chat = screens.chat().open().say("[stream tokens=1500 rate=300]")
    page = chat.page
    page.wait_for_function(
        "() => document.querySelector('#scroller').scrollHeight > 1600"
    )
    page.hover("#scroller")
    page.mouse.wheel(0, -600)
    page.evaluate(SCROLLED)
    # What is read stands still; what is above it may fold.
    where = "e => e.getBoundingClientRect().top"
    place = page.eval_on_selector("#run-1 .prose:last-of-type", where)
    chat.line.drop()
    page.wait_for_timeout(1000)
    assert abs(page.eval_on_selector("#run-1 .prose:last-of-type", where) - place) <= 2
    page.get_by_role("button", name="To the end").click()
    chat.finished()
    page.wait_for_timeout(300)
    rest = page.eval_on_selector(
        "#scroller", "e => e.scrollHeight - e.scrollTop - e.clientHeight"
    )
    assert rest < 50
