"""Markdown: the server's first paint is what the page's script shows."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings, strategies as st

from chat.markdown.addresses import target_of
from chat.markdown.html import render

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "tests" / "contract" / "markdown"
CASES: Final[list[dict[str, str]]] = json.loads((FOLDER / "cases.json").read_text())
FRAGMENTS: Final[list[str]] = json.loads((FOLDER / "fragments.json").read_text())
VOID: Final = {"br", "hr", "img"}

Page = Callable[[str], list[Any]]


class Trees(HTMLParser):
    """HTML as tests/js/trees.js has it; what cannot be pressed yet does not count."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[Any] = []
        self._open = [self.found]
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        named = {name: value or "" for name, value in attrs if name != "disabled"}
        element: list[Any] = [tag, named]
        self._open[-1].append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        """It ends."""
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        """Text, which may come in pieces."""
        inside = self._open[-1]
        if inside and isinstance(inside[-1], str):
            inside[-1] += data
        else:
            inside.append(data)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """What the page's script makes of a text."""
    with subprocess.Popen(
        ["node", "tests/js/render_markdown.js"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        written, read = process.stdin, process.stdout

        def shown(text: str) -> list[Any]:
            written.write(f"{json.dumps(text)}\n")
            written.flush()
            found: list[Any] = json.loads(read.readline())
            return found

        yield shown
        written.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']}")
def test_each_text_is_shown_as_the_contract_says(case: dict[str, str]) -> None:
    """tests/js/markdown.test.js reads the same file."""
    assert Trees(render(case["text"])).found == Trees(case["html"]).found


@settings(deadline=None, max_examples=600)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_server_and_page_show_the_same(page: Page, text: str) -> None:
    """Whatever the text."""
    assert Trees(render(text)).found == page(text)


def test_a_paragraph_too_long_to_be_read_keeps_its_lines(page: Page) -> None:
    """As it is, but not as one line."""
    text = "a line of a log\n" * 2_000
    assert page(text) == Trees(render(text)).found
    assert '<span class="is-plain">a line of a log\n' in render(text)


@pytest.mark.parametrize(
    "piece",
    [
        ">",
        "- ",
        "1. ",
        "*",
        "[",
        "[a](",
        "`",
        "$",
        "$$ ",
        "\\(",
        "\\[\n",
        "$`",
        "a@",
        "www.",
        "http://",
        "&",
        "<",
        "|",
        "~~a",
        "{$",
        "(https://a.b/(",
        "![",
        "\\( `a` ",
        "``` ",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    """The cost grows with the length, not with its square."""
    short, long = (cpu_of(piece * (n // len(piece))) for n in (5_000, 20_000))
    assert long < 8 * short + 0.2


def cpu_of(text: str) -> float:
    """Seconds of CPU that rendering takes."""
    start = time.process_time()
    render(text)
    return time.process_time() - start


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("https://example.com", "example.com"),
        ("HTTPS://Example.COM:8443/a", "example.com:8443"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("https://a@b@evil.example/", None),
        ("https://bank.example@evil.example/", "evil.example"),
        ("https://bank.example%40evil.example/", None),
        ("https://bank.example%5C.evil.example/", None),
        ("http://2130706433/", None),
        ("http://0x7f.0.0.1/", None),
        ("http://127.0.0.1.", None),
        ("http://017.0.0.1/", None),
        ("http://a..b/", None),
        ("https://example.com:99999/", None),
        ("https:example.com", None),
        ("//example.com/", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("mailto:a@example.com?subject=x", "a@example.com"),
        ("mailto:", None),
        ("", None),
    ],
)
def test_a_link_leads_where_everybody_reads_the_same(
    address: str, place: str | None
) -> None:
    """And nowhere else."""
    target = target_of(address)
    assert (target.place if target else None) == place
