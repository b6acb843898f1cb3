"""Where a site is reached: below a path, beside others, over plain http."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.drive import Chat, Screens
from tests.browser.states import MODEL
from tests.client import Person
from tests.conftest import StartSite
from tests.model_server.process import ModelServer
from tests.servers import Databases, Server, Site

PROXY = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = / {{ return 204; }}
        location /agents/ {{
            proxy_pass http://127.0.0.1:{site}/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
}}
"""


class Proxy(Server):
    """nginx that serves a site below /agents/, and nothing beside it."""

    name = "nginx"

    def __init__(self, folder: Path, site: Site) -> None:
        super().__init__(folder)
        text = PROXY.format(folder=folder, port=self.port, site=site.port)
        (folder / "nginx.conf").write_text(text, "utf-8")

    def command(self) -> list[str]:
        """What to run."""
        return ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    """Of a site with the scripted model."""
    return {"LLM_BASE_URL": model.base_url, "LLM_MODEL": MODEL}


@pytest.fixture
def below(
    start_site: StartSite, settings: dict[str, Any], tmp_path: Path
) -> Iterator[Proxy]:
    """A site below a path."""
    site = start_site(**settings, URL_PREFIX="/agents")
    with Proxy(tmp_path, site) as proxy:
        yield proxy


def test_below_a_path_everything_begins_with_it(below: Proxy) -> None:
    """Static files, chats, API, socket, signing in; and what those pages lead to."""
    person = Person(f"http://127.0.0.1:{below.port}/agents/")
    for page in ("", "sign-in"):
        html = person.open(f"http://127.0.0.1:{below.port}/agents/{page}")
        found = re.findall(r"""(?:href|src|action)="(/[^"]*)\"""", html)
        found += re.findall(
            r"""(?:_path|_url|urls|chat|sessions|image)": "(/.*?)\"""", html
        )
        assert len(found) > 5
        assert [each for each in found if not each.startswith("/agents/")] == []


def test_below_a_path_one_can_talk_and_find_it_again(
    below: Proxy, browser: Browser
) -> None:
    """Through a proxy that strips the path."""
    screens = Screens(browser, f"http://127.0.0.1:{below.port}")
    chat = screens.chat().open("/agents/").say("[scenario hello]").finished()
    assert "/agents/chat/" in chat.page.url
    # So another site on the host is not sent them.
    assert {each["path"] for each in chat.page.context.cookies()} == {"/agents"}
    chat.reload()
    expect(chat.page.locator("#run-1 .prose")).to_contain_text("Hello")
    expect(chat.page.locator("#sessions a").first).to_have_attribute(
        "href", re.compile("^/agents/chat/")
    )
    chat.page.get_by_role("link", name="New chat").first.click()
    chat.live()
    assert chat.page.url.endswith("/agents/")
    chat.assert_clean()
    screens.close()


def test_two_sites_on_one_host_do_not_take_each_others_guests(
    start_site: StartSite,
    settings: dict[str, Any],
    databases: Databases,
    browser: Browser,
) -> None:
    """Cookies know no ports. Nor does any other program's `sessionid` matter."""
    first = start_site(**settings)
    apart = {"DATABASE_URL": databases.new("sqlite"), "SECRET_KEY": "k" * 50}
    second = start_site(**settings, **apart)
    screens = Screens(browser, first.url)
    chat = screens.chat().open().say("[scenario hello]").finished()
    address = chat.page.url
    other = Chat(chat.page.context.new_page(), second.url).open()
    expect(other.page.locator("#sessions")).to_contain_text("will be listed here")
    other.say("[scenario hello] elsewhere").finished()
    foreign = {"url": first.url, "value": "of another program"}
    chat.page.context.add_cookies(
        [{"name": name, **foreign} for name in ("sessionid", "csrftoken")]  # type: ignore[typeddict-item]
    )
    chat.page.goto(address)
    expect(chat.live().page.locator("#run-1 .prose")).to_contain_text("Hello")
    expect(chat.page.locator("#sessions li")).to_have_count(1)
    chat.open().say("[scenario hello] again").finished()
    row = chat.page.locator("#sessions li").first
    row.hover()
    row.locator("summary").click()
    row.get_by_role("button", name="Pin").click()
    expect(chat.page.locator("#sessions h3").first).to_have_text("Pinned")
    chat.assert_clean()
    screens.close()


def test_copying_works_over_plain_http(
    start_site: StartSite, settings: dict[str, Any], browser: Browser
) -> None:
    """Where the browser has no clipboard for pages; what was selected stays so."""
    site = start_site(**settings)
    screens = Screens(browser, site.url)
    chat = screens.chat()
    page = chat.page
    page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
    )
    page.add_init_script(
        """document.addEventListener("copy", () => {
          window.copied = document.getSelection().toString()
            || document.activeElement.value;
        })"""
    )
    chat.open().say("[scenario hello]").finished()
    page.fill("#message", "half a thought")
    page.locator("#message").select_text()
    for name, text in (
        ("Copy answer", "Hello"),
        ("Copy link to this question", "#run-1"),
    ):
        page.get_by_role("button", name=name).first.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name=name).first).to_have_class(
            "icon-btn is-done"
        )
        assert text in page.evaluate("window.copied")
        expect(page.get_by_role("button", name=name).first).to_be_focused()
    chat.assert_clean()
    screens.close()
