"""Ask, watch it think, find it again."""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

from playwright.sync_api import expect

from tests.browser.drive import Chat, Screens
from tests.browser.states import MODEL, RATIO, calculate
from tests.model_server import ModelServer
from tests.servers import Site

SKELETON = """() => {
  const skipped = "[hidden], .prose *, .half__text *, .top-of-list";
  const names = ["class", "id", "data-action", "data-kind", "data-status", "data-step",
    "data-type", "href", "aria-label", "title", "open", "dir", "datetime"];
  const lines = [];
  for (const each of document.querySelectorAll("#transcript *")) {
    if (each.matches(skipped) || each.closest("[hidden]")) continue;
    const found = names
      .filter((name) => each.hasAttribute(name) && each.tagName !== "TIME")
      .map((name) => `${name}=${each.getAttribute(name)}`.replace(" is-plain", ""));
    const isLeaf = each.childElementCount === 0 && !each.matches(".prose, .half__text");
    const text = isLeaf && each.tagName !== "TIME" ? each.textContent.trim() : "";
    lines.push(`${each.tagName} ${found.join(" ")} ${text}`);
  }
  return lines;
}"""
WATCH_SHIFTS = """() => {
  window.moved = [];
  new PerformanceObserver((list) => {
    for (const { value, sources } of list.getEntries()) {
      if (value < 0.001) continue;
      for (const { node, previousRect, currentRect } of sources) {
        const where = [previousRect.y, currentRect.y].map(Math.round).join(" to ");
        // The caret goes where the text goes.
        const isCaret = node?.nodeName === "::after";
        if (isCaret || !document.querySelector("main").contains(node)) continue;
        const { className, nodeName } = node;
        window.moved.push(`${nodeName}.${className}: ${where}, ${value.toFixed(4)}`);
      }
    }
  }).observe({ type: "layout-shift" });
}"""
KINDS = ["thought", "thought", "tool_use", "tool_result", "thought", "final_answer"]


def session_of(chat: Chat) -> UUID:
    """The session in the page's address."""
    return UUID(chat.page.url.rsplit("/", 1)[-1].split("#", maxsplit=1)[0])


def test_four_kinds_of_step_appear_and_stay(screens: Screens) -> None:
    """Asked, answered, the same after a refresh."""
    chat = (
        screens.chat().open().say("[scenario calculator] What is 23 * 47?").finished()
    )
    assert [kind for kind, _ in chat.steps()] == KINDS
    assert "1081" in chat.steps()[-1][1]
    before = chat.text()
    chat.reload()
    assert chat.text() == before
    chat.proved()
    chat.assert_clean()


def test_steps_appear_one_after_another(screens: Screens, model: ModelServer) -> None:
    """Each is there, open and growing, before the next begins."""
    model.add(
        "slowly",
        {
            "rounds": [
                {
                    "actions": [
                        {"reasoning": "I think"},
                        {"wait": "slowly-1"},
                        {"text": "Let me see."},
                        {"wait": "slowly-2"},
                        {
                            "call": {
                                "name": "calculator",
                                "arguments": {"expression": "1+1"},
                            }
                        },
                    ]
                },
                {"actions": [{"wait": "slowly-3"}, {"text": "It is {result}."}]},
            ]
        },
    )
    chat = screens.chat().open().say("[scenario slowly]")
    steps = chat.page.locator("#transcript [data-step]")
    words = chat.page.locator(".work__words")
    expect(steps.nth(0)).to_have_attribute("data-type", "thought")
    expect(steps.nth(0).locator("details")).to_have_attribute("open", "")
    expect(steps).to_have_count(1)
    expect(words).to_contain_text("Thinking")
    expect(chat.page).to_have_title("▸ [scenario slowly] · Reasoning Site")
    model.release("slowly-1")
    expect(steps.nth(1)).to_have_attribute("data-type", "final_answer")
    expect(steps.nth(0).locator("details")).not_to_have_attribute("open", "")
    expect(chat.page.locator(".work")).not_to_have_attribute("open", "")
    expect(words).to_contain_text("Answering")
    model.release("slowly-2")
    expect(steps.nth(1)).to_have_attribute("data-type", "thought")
    expect(steps.nth(2)).to_contain_text("1+1")
    expect(chat.page.locator(".work")).to_have_attribute("open", "")
    model.release("slowly-3")
    chat.finished()
    assert chat.steps()[-1] == ("final_answer", "It is 2.")
    expect(words).to_contain_text(re.compile(r"^Worked .* · 1 tool · 2 thoughts$"))
    expect(chat.page.locator(".ticks").first.locator("span")).to_have_count(3)
    expect(chat.page).to_have_title("[scenario slowly] · Reasoning Site")
    chat.assert_clean()


def test_a_refresh_in_the_middle_changes_nothing(
    screens: Screens, model: ModelServer, site: Site
) -> None:
    """Refreshed five times; the answer is whole, on the page as in the database."""
    chat = screens.chat().open().say("[stream tokens=300 rate=100]")
    for _ in range(5):
        chat.page.locator(".answer").wait_for()
        chat.reload()
    chat.finished()
    answer = chat.steps()[-1][1]
    assert answer == " ".join(f"t{n}" for n in range(300))
    digests = site.rows(
        "SELECT s.content, s.digest FROM chat_step s JOIN chat_run r ON r.id = s.run_id"
        " WHERE r.session_id = ?",
        session_of(chat).hex,
    )
    for content, digest in digests:
        assert hashlib.sha256(content.encode()).hexdigest() == digest
        assert content.split() == answer.split()
    chat.assert_clean()


def test_stop_keeps_the_text_so_far(screens: Screens) -> None:
    """And it never grows back."""
    chat = screens.chat().open().say("[stream tokens=2000 rate=100]")
    expect(chat.page.locator(".prose")).to_contain_text("t20")
    chat.page.keyboard.press("Escape")
    chat.finished()
    expect(chat.page.locator(".work__words")).to_contain_text("Stopped")
    shown = chat.steps()
    chat.page.wait_for_timeout(300)
    assert chat.steps() == shown
    chat.reload()
    assert chat.steps() == shown
    expect(chat.page.get_by_role("button", name="Continue")).to_be_visible()
    chat.assert_clean()


def test_an_error_says_what_to_do(screens: Screens) -> None:
    """And retrying is one press."""
    chat = screens.chat().open().say("[scenario unauthorized]").finished()
    expect(chat.page.locator(".fault")).to_contain_text("LLM_API_KEY")
    chat.page.get_by_role("button", name="Try again").click()
    chat.finished(2)
    chat.assert_clean()


def test_a_queued_message_can_be_withdrawn(
    screens: Screens, model: ModelServer
) -> None:
    """It comes back into the composer."""
    model.add("gated", [{"text": "Wait"}, {"wait": "gated"}])
    chat = screens.chat().open().say("[scenario gated]").say("second thoughts")
    second = chat.page.locator("#run-2")
    expect(second).to_contain_text("Sent when the answer above is done")
    second.get_by_role("button", name="Cancel").click()
    expect(second).to_contain_text("Cancelled")
    expect(chat.page.locator("#message")).to_have_value("second thoughts")
    model.release("gated")
    chat.finished()
    chat.assert_clean()


def test_deep_links_open_their_step(screens: Screens) -> None:
    """#run-1-step-2 opens what it is in."""
    chat = screens.chat().open().say("[scenario calculator]").finished()
    address = chat.page.url.removeprefix(chat.url)
    other = screens.chat(chat.page.context).open(f"{address}#run-1-step-3")
    expect(other.page.locator("#run-1-step-3")).to_be_in_viewport()
    expect(other.page.locator("#run-1-step-3")).to_be_visible()
    chat.assert_clean()


def test_earlier_runs_come_when_scrolled_to(screens: Screens) -> None:
    """The page starts with the latest twenty, and keeps the reader's place."""
    chat = screens.chat().open()
    for n in range(1, 46):
        chat.say(f"[scenario hello] number {n}.").finished(n)
    chat.reload()
    page = chat.page
    expect(page.locator(".run")).to_have_count(20)
    place = page.locator("#run-26").bounding_box()
    page.eval_on_selector("#scroller", "e => e.scrollTo(0, 0)")
    expect(page.locator(".run")).to_have_count(40)
    assert place is not None
    assert page.eval_on_selector("#scroller", "e => e.scrollTop") > 500
    page.eval_on_selector("#scroller", "e => e.scrollTo(0, 0)")
    expect(page.locator(".run")).to_have_count(45)
    chat.line.drop()
    chat.live()
    expect(page.locator(".run")).to_have_count(45)
    chat.assert_clean()


def test_the_first_paint_is_the_servers_and_nothing_jumps(
    screens: Screens, model: ModelServer
) -> None:
    """Without script it reads the same; with it, the end stays where it was."""
    model.add(MODEL, [{"text": "## Head\n\nText **bold**.\n\n- one\n- two\n\n> quote"}])
    chat = screens.chat().open().say("Go").finished()
    chat.reload()
    plain = screens.person(java_script_enabled=False)
    plain.add_cookies([{**cookie} for cookie in chat.page.context.cookies()])  # type: ignore[typeddict-item]
    page = plain.new_page()
    page.goto(chat.page.url)
    for part in (".ask__text", ".answer__by", ".prose", ".prose blockquote", ".acts"):
        with_script = chat.page.locator(part).first.bounding_box()
        without = page.locator(part).first.bounding_box()
        assert with_script is not None
        assert without is not None
        for side in ("x", "y", "width", "height"):
            assert abs(with_script[side] - without[side]) <= 2, (part, side)
    expect(page.locator(".prose li")).to_have_count(2)


def test_a_call_that_is_stopped_does_not_run_for_ever(
    screens: Screens, model: ModelServer
) -> None:
    """Nor after a reload: there will be no result."""
    start = {"name": "calculator", "arguments": '{"expression": "(700'}
    call = {"index": 0, "id": "c1", "type": "function", "function": start}
    model.add(MODEL, [{"delta": {"tool_calls": [call]}}, {"wait": "stopped-call"}])
    chat = screens.chat().open().say("Go")
    card = chat.page.locator(".step--pair")
    expect(card).to_have_attribute("data-status", "running")
    chat.page.click("#stop")
    chat.finished()
    expect(card).to_have_attribute("data-status", "stopped")
    expect(card.locator("details")).not_to_have_attribute("open", "")
    chat.reload()
    expect(card).to_have_attribute("data-status", "stopped")
    model.release("stopped-call")
    chat.assert_clean()


def test_an_answer_nested_without_end_harms_nothing(
    screens: Screens, model: ModelServer
) -> None:
    """A model that loops: the page goes on, and opens again."""
    model.add(MODEL, [{"text": ">" * 4_000 + "\n\n" + "- " * 4_000 + "x"}])
    chat = screens.chat().open().say("Go").finished()
    chat.say("[scenario hello]").finished(2)
    chat.reload()
    expect(chat.page.locator("#run-2 .prose")).to_contain_text("Hello")
    chat.assert_clean()


def test_long_work_says_how_long_it_takes(screens: Screens, model: ModelServer) -> None:
    """Also after a reload."""
    model.add("patience", [{"reasoning": "Hm."}, {"wait": "patience"}, {"text": "Ah."}])
    chat = screens.chat().open().say("[scenario patience]")
    words = chat.page.locator(".work__words")
    expect(words).to_have_text("Thinking · 3 s · step 1")
    chat.reload()
    expect(words).to_have_text(re.compile(r"Thinking · [4-9] s · step 1"))
    model.release("patience")
    chat.finished()
    expect(words).to_have_text(re.compile(r"Worked [4-9].* s · 1 thought"))
    chat.assert_clean()


def test_the_server_paints_what_the_script_makes(
    screens: Screens, model: ModelServer
) -> None:
    """The same elements, attributes and words, whatever happened in a run."""
    model.add(
        MODEL,
        {
            "rounds": [
                {"actions": [{"reasoning": "Think."}, RATIO, calculate(0, 1)]},
                {"actions": [{"text": "Here."}]},
            ]
        },
    )
    chat = screens.chat().open().say("Go").finished()
    for n in range(6):
        chat.say("[scenario calculator] 23 * 47").finished(n + 2)
    chat.say("[scenario cut]").finished(8)
    chat.say("[stream tokens=2000 rate=100 thought=0]")
    expect(chat.page.locator("#run-9 .prose")).to_contain_text("t5")
    chat.page.keyboard.press("Escape")
    chat.finished(9).reload()
    expect(chat.page.locator("#run-9 .work__words")).to_have_text(re.compile("^Stop"))
    plain = screens.person(java_script_enabled=False)
    plain.add_cookies([{**cookie} for cookie in chat.page.context.cookies()])  # type: ignore[typeddict-item]
    page = plain.new_page()
    page.goto(chat.page.url)
    with_script: list[str] = chat.page.evaluate(SKELETON)
    without: list[str] = page.evaluate(SKELETON)
    assert without == with_script
    assert len(with_script) > 200


def test_nothing_jumps_while_a_run_goes_on(
    screens: Screens, model: ModelServer
) -> None:
    """From the first thought to the end of the answer, and what can be done then."""
    model.add(
        MODEL,
        {
            "rounds": [
                {"actions": [{"reasoning": "Think. " * 60, "rate": 200}, calculate(2)]},
                {"actions": [{"text": "Word " * 200, "rate": 200}]},
            ]
        },
    )
    chat = screens.chat().open().say("[scenario hello]").finished()
    chat.page.evaluate(WATCH_SHIFTS)
    chat.say("Go").finished(2)
    expect(chat.page.locator("#run-2 .acts")).to_be_visible()
    moved: list[str] = chat.page.evaluate("() => window.moved")
    assert not moved, moved
    chat.assert_clean()


def test_paper_shows_what_is_folded_on_the_screen(screens: Screens) -> None:
    """And no controls; on the screen all is as it was."""
    chat = screens.chat().open().say("[scenario calculator] 23 * 47").finished()
    page = chat.page
    work, thought = page.locator(".work"), page.locator(".step .prose").first
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    expect(thought).to_be_visible()
    for hidden in ("#composer", "#top", "#sidebar", ".acts .icon-btn"):
        expect(page.locator(hidden).first).not_to_be_visible()
    expect(page.locator(".ask__text")).to_be_visible()
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    expect(work).not_to_have_attribute("open", "")
    chat.reload()
    expect(work).not_to_have_attribute("open", "")
    chat.assert_clean()
