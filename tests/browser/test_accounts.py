"""Accounts as people meet them: made, proved, kept and lost again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.drive import Chat, Screens
from tests.browser.states import MODEL
from tests.browser.test_accessibility import violations
from tests.model_server import ModelServer
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider
from tests.servers import Databases, Site, wait_until

PASSWORD = "a secret of his"
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """Who vouches for people."""
    with OidcProvider(tmp_path_factory.mktemp("oidc")) as provider:
        yield provider


@pytest.fixture(scope="module")
def site(
    model: ModelServer,
    provider: OidcProvider,
    databases: Databases,
    tmp_path_factory: pytest.TempPathFactory,
    static_root: Any,
) -> Iterator[Site]:
    """Where anybody may have an account; mail is in its log."""
    settings: dict[str, Any] = {
        "DATABASE_URL": databases.new("sqlite"),
        "STATIC_ROOT": static_root,
        "LLM_BASE_URL": model.base_url,
        "LLM_MODEL": MODEL,
        "SIGN_IN_CHECK_SECONDS": 1,
        "ALLOW_SIGNUP": 1,
        "EMAIL_URL": "console://",
        "OIDC_ISSUER": provider.url,
        "OIDC_CLIENT_ID": CLIENT_ID,
        "OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "OIDC_NAME": "Our Directory",
    }
    with Site(tmp_path_factory.mktemp("accounts"), **settings) as site:
        yield site


@pytest.fixture
def screens(browser: Browser, site: Site) -> Iterator[Screens]:
    """People with browsers."""
    screens = Screens(browser, site.url)
    yield screens
    screens.close()


def fill(page: Page, **fields: str) -> None:
    """Type into the fields with these labels, and send the form."""
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(text)
    page.locator("main button[type=submit].btn--main").click()


def mailed_link(site: Site, to: str) -> str:
    """Where the last email to somebody leads."""

    def links() -> list[str]:
        pattern = rf"To: {re.escape(to)}\n.*?({re.escape(site.url)}/\S+)"
        return re.findall(pattern, site.log_text, re.DOTALL)

    wait_until(lambda: bool(links()), f"an email to {to}", 10)
    return links()[-1]


def everybody_can_use(page: Page) -> None:
    """axe-core, large targets, and nothing wider than a small phone."""
    page.set_viewport_size({"width": 360, "height": 640})
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(page) == [], page.url
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    heights: list[float] = page.eval_on_selector_all(
        "input:not([type=hidden]), button, a",
        "all => all.map((each) => each.getBoundingClientRect().height)",
    )
    assert min(heights) >= 43.5, page.url
    page.evaluate("delete window.axe")


def signed_up(screens: Screens, site: Site, name: str) -> Chat:
    """Somebody with an account, whose address is proved, on the page of their chat."""
    chat = screens.chat().open().say("[scenario hello]").finished()
    page = chat.page
    page.click("#account summary")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("link", name="Sign up").click()
    fields = {"Username": name, "Email": f"{name}@site.example", "Password": PASSWORD}
    fill(page, **fields, **{"Password_(again)": PASSWORD})
    expect(page.get_by_role("heading", name="Check your email")).to_be_visible()
    page.goto(mailed_link(site, f"{name}@site.example"))
    page.get_by_role("button", name="Yes, it is mine").click()
    return chat.live()


def test_who_signs_up_keeps_what_they_asked_as_a_guest(
    screens: Screens, site: Site
) -> None:
    chat = signed_up(screens, site, "bob")
    expect(chat.page.locator(".side__foot")).to_contain_text("bob")
    expect(chat.page.locator(".chat")).to_contain_text("hello")
    chat.page.click("#account summary")
    chat.page.get_by_role("link", name="Your account").click()
    expect(chat.page.get_by_role("heading", name="Your account")).to_be_visible()
    chat.assert_clean()


def test_another_password_ends_what_others_have_open(
    screens: Screens, site: Site
) -> None:
    chat = signed_up(screens, site, "carl")
    other = screens.chat()
    other.page.goto(f"{site.url}/sign-in")
    fill(other.page, Username="carl", Password=PASSWORD)
    other.live()
    page = chat.page
    page.goto(f"{site.url}/sign-in/reset")
    fill(page, Email="carl@site.example")
    page.goto(mailed_link(site, "carl@site.example"))
    new = "quite another secret"
    fill(page, **{"New_Password": new, "New_Password_(again)": new})
    expect(other.page.locator("#connection")).to_contain_text("Signed out")
    expect(page).to_have_url(f"{site.url}/sign-in")
    fill(page, Username="carl", Password=new)
    chat.live()
    chat.assert_clean()


def test_by_single_sign_on_one_comes_in_with_what_one_said(screens: Screens) -> None:
    """From the page to the provider and back, without a password of the site's."""
    chat = screens.chat().open().say("[scenario hello]").finished()
    page, address = chat.page, chat.page.url
    page.click("#account summary")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("button", name="Sign in with Our Directory").click()
    expect(page).to_have_title("Who are you?")
    page.get_by_role("link", name="changed my mind").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(address)
    chat.live()  # still the guest
    expect(page.locator(".chat")).to_contain_text("hello")
    page.click("#account summary")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("button", name="Sign in with Our Directory").click()
    page.get_by_label("Name").fill("olga")
    page.get_by_role("button", name="It is me").click()
    chat.live()
    assert page.url == address
    expect(page.locator(".side__foot")).to_contain_text("olga")
    expect(page.locator(".chat")).to_contain_text("hello")
    assert chat.wrongs == []


def test_everybody_can_use_the_pages(screens: Screens, site: Site) -> None:
    chat = screens.chat()
    page = chat.page
    for path in ("/sign-in/reset", "/sign-in/reset/sent", "/email/key"):
        page.goto(site.url + path)
        everybody_can_use(page)
    page.goto(f"{site.url}/sign-up")
    fields = {"Username": "dora", "Email": "d@site.example", "Password": "1"}
    fill(page, **fields, **{"Password_(again)": "2"})
    expect(page.get_by_role("alert").first).to_be_visible()
    everybody_can_use(page)
    begin = "from django.contrib.auth.models import User\n"
    make = f"User.objects.create_user('dora', 'd@b.example', '{PASSWORD}')"
    site.manage("shell", "-v0", "-c", begin + make)
    page.goto(f"{site.url}/sign-in")
    fill(page, Username="dora", Password=PASSWORD)
    for path in ("/account", "/account/password", "/account/email", "/sign-in/again"):
        page.goto(site.url + path)
        everybody_can_use(page)
    chat.assert_clean()
