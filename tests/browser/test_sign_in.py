"""Signing in and out, on every screen that is open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.drive import DESK, PHONE, Chat, Screens
from tests.browser.states import MODEL
from tests.browser.test_accessibility import violations
from tests.conftest import StartSite
from tests.model_server import ModelServer
from tests.servers import Databases, Site

CHECK_SECONDS = 1
ADA = "User.objects.create_user('ada', password='a secret of hers')"


class Place:
    """A site where Ada has an account, and people with browsers."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self.site = site
        self.screens = Screens(browser, site.url)
        begin = "from django.contrib.auth.models import User\n"
        site.manage("shell", "-v0", "-c", begin + ADA)


@pytest.fixture
def settings(model: ModelServer, databases: Databases) -> dict[str, Any]:
    """Of a site with the scripted model that looks often who is signed in."""
    return {
        "DATABASE_URL": databases.new("sqlite"),
        "LLM_BASE_URL": model.base_url,
        "LLM_MODEL": MODEL,
        "SIGN_IN_CHECK_SECONDS": CHECK_SECONDS,
    }


@pytest.fixture
def place(
    browser: Browser, start_site: StartSite, settings: dict[str, Any]
) -> Iterator[Place]:
    """Where guests are welcome."""
    place = Place(browser, start_site(**settings))
    yield place
    place.screens.close()


@pytest.fixture
def members_only(
    browser: Browser, start_site: StartSite, settings: dict[str, Any]
) -> Iterator[Place]:
    """Where they are not."""
    place = Place(browser, start_site(**settings, ALLOW_GUESTS=0))
    yield place
    place.screens.close()


def fill_in(page: Page, password: str = "a secret of hers") -> None:  # noqa: S107
    """As Ada does, by keyboard: the field has the focus already."""
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def signed_in(place: Place, **options: Any) -> Chat:
    """Ada on the page of a new chat."""
    chat = place.screens.chat(**options)
    chat.page.goto(f"{chat.url}/sign-in")
    fill_in(chat.page)
    return chat.live()


def test_signed_out_elsewhere_one_signs_in_again_and_goes_on(
    place: Place, start_site: StartSite, settings: dict[str, Any]
) -> None:
    """Another process of the site, so that only the watch can notice."""
    chat = signed_in(place)
    page = chat.page
    expect(page.locator(".side__foot")).to_contain_text("ada")
    chat.say("[scenario hello]").finished()
    page.fill("#message", "half a thought")
    address = page.url

    # Cookies know no ports.
    second = page.context.new_page()
    second.goto(start_site(**settings).url)
    second.click("#account summary")
    second.get_by_role("button", name="Sign out").click()
    expect(second.get_by_role("heading", name="Sign in")).to_be_visible()

    line = page.locator("#connection")
    expect(line).to_contain_text("Signed out", timeout=(CHECK_SECONDS + 2) * 1000)
    expect(page.locator("#message")).to_have_value("half a thought")
    line.get_by_role("button", name="Sign in").click()
    fill_in(page)
    chat.live()
    assert page.url == address
    expect(page.locator("#message")).to_have_value("half a thought")
    expect(page.locator("#run-1 .prose")).to_contain_text("Hello")
    chat.say("[scenario hello] again").finished(2)
    chat.assert_clean()


def test_signing_out_reaches_the_other_tabs_at_once(place: Place) -> None:
    """Also one that has asked nothing yet: it does not become a guest's."""
    chat = signed_in(place)
    other = place.screens.chat(chat.page.context).open()
    chat.page.click("#account summary")
    chat.page.get_by_role("button", name="Sign out").click()
    expect(chat.page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(other.page.locator("#connection")).to_contain_text("Signed out")
    # Meanwhile somebody else goes on here as a guest.
    chat.page.get_by_role("link", name="go on as a guest").click()
    chat.live()
    other.page.reload()
    expect(other.page.locator(".side__foot")).to_contain_text("Guest")


def test_a_page_of_somebody_who_left_does_not_act_for_the_next(place: Place) -> None:
    """The line comes back with a guest's cookie: that is not who the page was for."""
    chat = signed_in(place)
    with chat.line.cut():
        chat.say("[scenario hello] for nobody else")
        context = chat.page.context
        context.clear_cookies()
        place.screens.chat(context).open()
    expect(chat.page.locator("#connection")).to_contain_text("Signed out")
    expect(chat.page.locator(".is-pending")).to_contain_text("for nobody else")
    assert place.site.rows("SELECT count(*) FROM chat_run") == [(0,)]


def test_a_guests_chats_are_the_users_after_signing_in(
    place: Place, model: ModelServer
) -> None:
    """What is being answered goes on, and a second tab goes on as the user's."""
    gate = f"gate-{uuid4().hex}"
    model.add(gate, [{"text": "Wait"}, {"wait": gate}, {"text": " no more."}])
    chat = place.screens.chat().open().say(f"[scenario {gate}]")
    expect(chat.page.locator("#run-1 .prose")).to_contain_text("Wait")
    address = chat.page.url
    second = place.screens.chat(chat.page.context).open(address.removeprefix(chat.url))
    chat.page.fill("#message", "half a thought")
    chat.page.click("#account summary")
    chat.page.get_by_role("link", name="Sign in").click()
    fill_in(chat.page)
    chat.live()
    assert chat.page.url == address
    expect(chat.page.locator("#message")).to_have_value("half a thought")
    expect(chat.page.locator(".side__foot")).to_contain_text("ada")
    expect(chat.page.locator(".chat")).to_contain_text(gate)
    model.release(gate)
    for each in (chat, second):
        each.finished()
        expect(each.page.locator("#run-1 .prose")).to_have_text("Wait no more.")
    second.live().say("[scenario hello]").finished(2)
    chat.finished(2)
    chat.assert_clean()
    second.assert_clean()


def test_what_is_half_written_is_there_after_signing_in(place: Place) -> None:
    """In a chat that nothing was asked in."""
    chat = place.screens.chat().open()
    chat.page.fill("#message", "half a thought")
    chat.page.click("#account summary")
    chat.page.get_by_role("link", name="Sign in").click()
    fill_in(chat.page)
    chat.live()
    expect(chat.page.locator("#message")).to_have_value("half a thought")
    chat.assert_clean()


def test_the_signed_in_keep_their_place_too(place: Place, model: ModelServer) -> None:
    """At the first paint already, without a jump."""
    paragraphs = "\n\n".join(f"Paragraph {n}. " + "word " * 60 for n in range(60))
    model.add(MODEL, [{"text": paragraphs, "piece": 500}])
    chat = signed_in(place).say("Go").finished()
    page = chat.page
    page.eval_on_selector("#scroller", "e => e.scrollTo(0, 1000)")
    before = page.eval_on_selector("#scroller", "e => e.scrollTop")
    page.route(re.compile(r"/(main|bundle)\b.*js"), lambda route: route.abort())
    page.reload()
    now = page.eval_on_selector("#scroller", "e => e.scrollTop")
    assert abs(now - before) < 3


def test_without_guests_one_is_led_to_sign_in_and_back(members_only: Place) -> None:
    """From any page."""
    chat = members_only.screens.chat()
    address = f"{chat.url}/chat/{uuid4()}"
    chat.page.goto(address)
    expect(chat.page).to_have_url(re.compile("/sign-in"))
    expect(chat.page.get_by_text("as a guest")).to_have_count(0)
    fill_in(chat.page)
    chat.live()
    assert chat.page.url == address
    chat.say("[scenario hello]").finished()
    chat.assert_clean()


def test_a_wrong_password_is_said_and_the_name_kept(place: Place) -> None:
    """The focus is where to go on, on what describes itself by what was wrong."""
    chat = place.screens.chat()
    page = chat.page
    page.goto(f"{chat.url}/sign-in")
    fill_in(page, "not hers")
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    expect(page.get_by_label("Username")).to_have_value("ada")
    password = page.get_by_label("Password")
    expect(password).to_be_focused()
    expect(password).to_have_accessible_description(re.compile("correct username"))
    expect(page).to_have_title(re.compile("^Error: "))
    page.keyboard.type("a secret of hers")
    page.keyboard.press("Enter")
    chat.live()
    chat.assert_clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_form(place: Place, scheme: Any) -> None:
    """axe-core, large targets, and nothing wider than a small phone."""
    chat = place.screens.chat(color_scheme=scheme)
    page = chat.page
    page.goto(f"{chat.url}/sign-in")
    for wrong in (False, True):
        if wrong:
            fill_in(page, "not hers")
            expect(page.get_by_role("alert")).to_be_visible()
        for size in (DESK, PHONE, {"width": 360, "height": 640}):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            assert violations(page) == []
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= 360
        heights: list[float] = page.eval_on_selector_all(
            "input:not([type=hidden]), button, a",
            "all => all.map((each) => each.getBoundingClientRect().height)",
        )
        assert min(heights) >= 43.5
    page.evaluate("delete window.axe")
    fields = page.eval_on_selector_all("input", "all => all.map((e) => e.autocomplete)")
    assert {"username", "current-password"} <= set(fields)
    chat.assert_clean()


def test_the_signed_in_page_is_accessible_too(place: Place) -> None:
    """The button to sign out, in the sidebar, is large enough for a finger."""
    chat = signed_in(place, has_touch=True)
    assert violations(chat.page) == []
    chat.page.set_viewport_size({"width": 360, "height": 640})
    chat.page.get_by_role("button", name="Chats", exact=True).click()
    chat.page.click("#account summary")
    button = chat.page.get_by_role("button", name="Sign out")
    expect(button).to_be_in_viewport()
    box = button.bounding_box()
    assert box is not None
    assert box["height"] >= 43.5
