"""What others build on the page's client works."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.drive import Screens

EXAMPLE = "/static/chat/example/index.html"


def test_the_example_page_asks_and_is_answered(screens: Screens) -> None:
    """Also after the line has dropped: the browser's cookie says who it is."""
    chat = screens.chat().open()
    page = chat.page
    page.goto(chat.url + EXAMPLE)
    expect(page.locator("#line")).to_have_text("live")
    page.get_by_role("textbox").fill("[scenario calculator] 23 * 47")
    page.get_by_role("button", name="Ask").click()
    said = page.get_by_role("log")
    expect(said).to_contain_text("(answered)")
    assert re.fullmatch(
        r"You: \[scenario calculator\] 23 \* 47\n(thought: .*\n)+"
        r"tool_use: .*\ntool_result: 1081\n(thought: .*\n)*final_answer: .*1081.*\n"
        r"\(answered\)\n",
        said.text_content() or "",
    )
    chat.line.drop()
    expect(page.locator("#line")).to_have_text("waiting")
    expect(page.locator("#line")).to_have_text("live")
    page.get_by_role("textbox").fill("[scenario hello]")
    page.keyboard.press("Enter")
    expect(said).to_contain_text(re.compile(r"\(answered\)(.|\n)*\(answered\)"))
    assert (said.text_content() or "").count("You: ") == 2
    chat.assert_clean()
