"""What a model writes is read as it was meant: live, reloaded, without a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import expect

from tests.browser.drive import Chat, Screens
from tests.browser.states import MODEL
from tests.model_server import ModelServer

FOLDER: Final = Path(__file__).parents[1] / "contract" / "markdown"
CASES: Final[list[dict[str, str]]] = json.loads((FOLDER / "cases.json").read_text())
FORMULA_LINE: Final = r"a &\implies b\,\text{,}\quad c \ne d \\" "\n"

# What is shown, without what only a script or only a stream needs; of a formula its
# source, of code its text.
TREE = """() => {
  const tree = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    const names = node.getAttributeNames().filter((name) => name !== "disabled").sort();
    const attributes = names.map((name) => [name, node.getAttribute(name)]);
    const source = node.querySelector(":scope annotation")?.textContent;
    const inside = node.matches(".formula, code")
      ? [source ?? node.textContent] : trees(node);
    return [node.localName, attributes, ...inside];
  };
  const isWrapper = (node) => node.className === "md-live" ||
    (node.classList?.contains("md-chunk") ?? false);
  const trees = (node) => joined([...node.childNodes].flatMap((child) =>
    isWrapper(child) ? trees(child) : [tree(child)]));
  const isText = (each) => typeof each === "string";
  const joined = (all) => all.reduce((found, each) => {
    if (isText(each) && isText(found.at(-1))) found.push(found.pop() + each);
    else if (each !== "") found.push(each);
    return found;
  }, []);
  return trees(document.querySelector("#transcript [data-type=final_answer] .prose"));
}"""


def answer(screens: Screens, model: ModelServer, text: str, **how: Any) -> Chat:
    """A chat with that answer."""
    model.add(MODEL, [{"text": text, **how}])
    return screens.chat().open().say("Go").finished()


def test_live_reloaded_and_before_the_script_it_is_the_same(
    screens: Screens, model: ModelServer
) -> None:
    """Each text of the contract, one after the other."""
    text = "\n\n".join(case["text"] for case in CASES)
    assert len(text) < 20_000
    chat = answer(screens, model, text, piece=5)
    live = chat.page.evaluate(TREE)
    chat.assert_clean()
    chat.reload()
    assert chat.page.evaluate(TREE) == live
    reader = screens.person(java_script_enabled=False)
    reader.add_cookies(chat.page.context.cookies())  # type: ignore[arg-type]  # the same
    page = reader.new_page()
    page.goto(chat.page.url)
    assert page.evaluate(TREE) == live


def test_formulas_are_set(screens: Screens, model: ModelServer) -> None:
    """In a line, over lines, and long ones; what expands without end is not."""
    sources = [
        r"The area is \[ A = \pi r^2 \] as shown.",
        "The formula is $$\nE = mc^2\n$$",
        "It is \\(a +\nb\\).",
        "It is $a +\nb$.",
        f"$$\n\\begin{{aligned}}\n{FORMULA_LINE * 12}\\end{{aligned}}\n$$",
        "$$x" + r" \ne x" * 50 + "$$",
        r"$\def\R{\mathbb{R}} x \in \R$",
    ]
    bombs = [
        r"$$\def\x{\x\x}\x$$",
        r"$$\def\a{" + "x" * 1500 + "}" + r"\a" * 500 + "$$",
        r"$$\def\a#1{#1#1#1#1#1#1#1#1}" + r"\a{" * 30 + "x" + "}" * 30 + "$$",
        "$$" + r"\sqrt{" * 600 + "x" + "}" * 600 + "$$",
        "$$" + r"\frac{a}{b}" * 800 + "$$",
    ]
    chat = answer(screens, model, "\n\n".join([*sources, *bombs]), piece=50)
    formulas = chat.page.locator(".formula")
    expect(formulas).to_have_count(len(sources) + len(bombs))
    expect(chat.page.locator(".formula:has(.katex)")).to_have_count(len(sources))
    shown = chat.page.locator(".formula annotation").all_text_contents()
    assert [" ".join(text.split()) for text in shown[:4]] == [
        r"A = \pi r^2",
        "E = mc^2",
        "a + b",
        "a + b",
    ]
    chat.assert_clean()


def test_a_line_is_a_line(screens: Screens, model: ModelServer) -> None:
    """Three lines in one paragraph."""
    chat = answer(screens, model, "Name: Ada\nAge: 36\nCity: London")
    tops = chat.page.evaluate(
        """() => {
          const range = document.createRange();
          range.selectNodeContents(document.querySelector(".prose p"));
          return [...new Set([...range.getClientRects()].map((r) => r.top))].length;
        }"""
    )
    assert tops == 3
    expect(chat.page.locator(".prose p")).to_have_count(1)


# The text of an element, as its characters stand on the screen from left to right.
FROM_LEFT = """(element) => {
  const found = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest(".katex-mathml")) continue;
    [...node.data].forEach((character, at) => {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const { left, width } = range.getBoundingClientRect();
      if (width > 0 && character.trim()) found.push([left, character]);
    });
  }
  return found.sort(([a], [b]) => a - b).map(([, character]) => character).join("");
}"""


def test_code_and_formulas_stand_from_left_to_right(
    screens: Screens, model: ModelServer
) -> None:
    """In Hebrew and Arabic, which stand from right to left."""
    texts = [
        "עברית `--help` סוף",
        "עברית `pip install --upgrade .` סוף",
        "عربي `ls -la | wc` نهاية",
        "עברית $a - b$ סוף",
        "הנוסחה $a + b = c$ נכונה",
        "الصيغة \\(x - 1 = y\\) صحيحة",
        "`--flag` זה דגל",
    ]
    chat = answer(screens, model, "\n\n".join(texts))
    expect(chat.page.locator(".formula .katex-html")).to_have_count(3)
    code = chat.page.locator(".prose code")
    assert [each.evaluate(FROM_LEFT) for each in code.all()] == [
        "--help",
        "pipinstall--upgrade.",
        "ls-la|wc",
        "--flag",
    ]
    formulas = chat.page.locator(".formula")
    assert [each.evaluate(FROM_LEFT) for each in formulas.all()] == [
        "a−b",
        "a+b=c",
        "x−1=y",
    ]
    for paragraph in chat.page.locator(".prose p").all():
        assert paragraph.evaluate("e => getComputedStyle(e).direction") == "rtl"


def test_a_link_shows_where_it_goes(screens: Screens, model: ModelServer) -> None:
    """Also where its text turns what follows it around."""
    chat = answer(
        screens,
        model,
        "[https://bank.example](https://evil.example/)\n\n"
        "[\u202eelpmaxe.knab](https://evil.example/) [x](https://bank.example@evil.example)",
    )
    places = chat.page.locator(".prose .link-place")
    assert [place.evaluate(FROM_LEFT) for place in places.all()] == ["evil.example"] * 3
    hosts = "() => [...document.querySelectorAll('.prose a')].map((a) => a.host)"
    assert chat.page.evaluate(hosts) == ["evil.example"] * 3


def test_cards_show_digits_and_lines(screens: Screens, model: ModelServer) -> None:
    """Live, after a reload, and before the script."""
    content = 'def f1(x):\n    return x * 1  # "quoted"\ndef f2(x):\n    return x * 2\n'
    numbers = '{"account": 2512292042121000001, "ratio": 1.10}'
    rounds = [
        [{"call": {"name": "calculator", "arguments": numbers}}],
        [{"call": {"name": "w", "arguments": {"path": "a.py", "content": content}}}],
        [{"text": "Done."}],
    ]
    model.add(MODEL, {"rounds": [{"actions": actions} for actions in rounds]})
    chat = screens.chat().open().say("Go").finished()

    def assert_readable() -> None:
        gists = chat.page.locator("[data-kind=tool] .step__gist").all_text_contents()
        assert gists[0] == "account: 2512292042121000001, ratio: 1.10"
        texts = chat.page.locator("[data-type=tool_use] .half__text")
        assert '"ratio": 1.10' in (texts.nth(0).text_content() or "")
        assert texts.nth(1).locator(".lines").text_content() == content

    assert_readable()
    chat.unfold()
    assert content.strip() in chat.page.locator(".half__text").nth(2).inner_text()
    chat.reload()
    assert_readable()
    reader = screens.person(java_script_enabled=False)
    reader.add_cookies(chat.page.context.cookies())  # type: ignore[arg-type]  # the same
    page = reader.new_page()
    page.goto(chat.page.url)
    assert page.locator("[data-type=tool_use] .lines").text_content() == content
    chat.assert_clean()


def test_an_emoji_in_two_chunks_is_one(screens: Screens, model: ModelServer) -> None:
    """Its halves come as two escapes."""
    chunks = [r"Party \ud83c", r"\udf89 time, half \ud83c", r" alone"]
    events = [
        {"raw": f'data: {{"choices":[{{"index":0,"delta":{{"content":"{c}"}}}}]}}\n\n'}
        for c in chunks
    ]
    model.add(MODEL, [*events])
    chat = screens.chat().open().say("Go").finished()
    expect(chat.page.locator(".prose p")).to_have_text(
        "Party 🎉 time, half \ufffd alone"
    )
    chat.reload()
    expect(chat.page.locator(".prose p")).to_have_text(
        "Party 🎉 time, half \ufffd alone"
    )


SELECT = """() => {
  const text = [...document.querySelectorAll(".prose")].at(-1);
  const node = [...text.querySelectorAll("p, code")].at(-1).firstChild;
  getSelection().setBaseAndExtent(node, 4, node, 9);
}"""
SELECTED = "getSelection().toString()"


def test_a_selection_stays_when_its_block_ends(
    screens: Screens, model: ModelServer
) -> None:
    """And when its code is coloured."""
    for block in ("The quick brown fox", "```python\ndef quick(): return 1\n"):
        end = "```" if block.startswith("`") else ""
        gate = f"selected{end and '-code'}"
        model.add(MODEL, [{"text": block}, {"wait": gate}, {"text": f"{end}\n\nEnd."}])
        chat = screens.chat().open().say("Go")
        expect(chat.page.locator(".prose")).to_contain_text("quick")
        chat.page.evaluate(SELECT)
        assert chat.page.evaluate(SELECTED) == "quick"
        model.release(gate)
        chat.finished()
        if end:
            chat.page.locator(".hljs-keyword").first.wait_for()
        expect(chat.page.locator(".prose")).to_contain_text("End.")
        assert chat.page.evaluate(SELECTED) == "quick"


def test_a_long_question_folds(screens: Screens) -> None:
    """It takes no more than a screen, and all of it is there to be found and copied."""
    log = "\n".join(f"line {n} of a pasted log" for n in range(900))
    words = "word " * 400
    chat = screens.chat().open()
    for run, question in enumerate((log, words), start=1):
        page = chat.say(f"[scenario hello] {question}").finished(run).page
        text = page.locator(f"#run-{run} .ask__text")
        more = page.locator(f"#run-{run} [data-action=unfold-question]")
        for _ in range(2):
            assert text.evaluate("e => e.clientHeight") < 400
            assert question.strip() in (text.text_content() or "")
            more.focus()
            page.keyboard.press("Enter")
            expect(more).to_have_text("Show less")
            assert text.evaluate("e => e.clientHeight === e.scrollHeight")
            page.keyboard.press("Space")
            expect(more).to_have_text("Show all of it")
            chat.reload()
    chat.say("[scenario hello] short").finished(3)
    short = chat.page.locator("#run-3 [data-action=unfold-question]")
    expect(short).not_to_be_visible()


def test_tables_and_code_can_be_taken_away(
    screens: Screens, model: ModelServer
) -> None:
    """Whole, though not all of it is shown."""
    rows = "".join(f'| {n} | $x_{n}$, "q" |\n' for n in range(300))
    text = f"| n | =a |\n|---|---|\n{rows}\n\n```python\nprint(1)\n```\n"
    page = answer(screens, model, text).page
    page.locator(".formula .katex").first.wait_for()
    with page.expect_download() as table:
        page.get_by_role("button", name="Download CSV").click()
    assert table.value.suggested_filename == "table.csv"
    lines = table.value.path().read_text("utf-8-sig").split("\n")
    assert lines[:2] == ["n,'=a", '0,"x_0, ""q"""']
    assert lines[300] == '299,"x_299, ""q"""'
    with page.expect_download() as code:
        page.get_by_role("button", name="Download code").click()
    assert code.value.suggested_filename == "code.py"
    assert code.value.path().read_text("utf-8") == "print(1)"
    in_face = "Geist Mono" in page.locator("pre code").evaluate(
        "e => getComputedStyle(e).fontFamily"
    )
    assert in_face
    wrap = page.get_by_role("button", name="Wrap lines")
    wrap.click()
    expect(wrap).to_have_attribute("aria-pressed", "true")
    expect(page.locator("figure.code pre")).to_have_css(
        "white-space-collapse", "preserve"
    )
    expect(page.locator("figure.code")).to_have_class("code is-wrapped")
