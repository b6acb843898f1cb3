"""What people read of tools: numbers, lines, and what a terminal would show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, strategies as st

from chat.templatetags.readable import arguments, result
from chat.templatetags.transcript import gist, one_line
from chat.words.cut import cut
from chat.words.progress import progress_words, share
from chat.words.terminal import terminal_text
from chat.words.values import compact, json_value, laid_out

FILE: Final = Path(__file__).parent / "contract" / "words" / "texts.json"
TEXTS: Final[dict[str, list[Any]]] = json.loads(FILE.read_text("utf-8"))


def call(content: str, **more: Any) -> dict[str, Any]:
    """A tool's call."""
    return {"type": "tool_use", "content": content, "status": "ok", **more}


@pytest.mark.parametrize(("text", "shown"), TEXTS["terminal"])
def test_a_terminal_would_show(text: str, shown: str) -> None:
    """tests/js/words.test.js reads the same file."""
    assert terminal_text(text) == shown


@pytest.mark.parametrize(("text", "limit", "line"), TEXTS["one_line"])
def test_a_line_is_cut_between_characters(text: str, limit: int, line: str) -> None:
    """Whatever they are made of."""
    assert one_line(text, limit) == line


@pytest.mark.parametrize("case", TEXTS["values"], ids=lambda case: case["text"][:30])
def test_values_keep_what_was_written(case: dict[str, Any]) -> None:
    """Digits, keys and their order."""
    value = json_value(case["text"])
    assert value is not None
    assert compact(value) == case["compact"]
    parts = [[part.text, part.is_lines] for part in laid_out(value)]
    assert parts == case["parts"]


@pytest.mark.parametrize("text", TEXTS["no_values"])
def test_what_is_no_json_is_text(text: str) -> None:
    """And so is what is nested too deep."""
    assert json_value(text) is None
    assert json_value("[" * 100_000 + "]" * 100_000) is None


@pytest.mark.parametrize(("progress", "words", "shown"), TEXTS["progress"])
def test_progress_is_told_in_words_and_as_a_bar(
    progress: dict[str, Any], words: str, shown: dict[str, float] | None
) -> None:
    """Where the whole is known."""
    assert progress_words(progress) == words
    assert share(progress) == shown


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_a_value_laid_out_or_compact_is_the_same_value(value: Any) -> None:
    """Where no string has several lines, or control codes."""
    text = json.dumps(value)
    found = json_value(text)
    assert found is not None
    if terminal_text(json.dumps(value, ensure_ascii=False)) == json.dumps(
        value, ensure_ascii=False
    ) and not any(code in text for code in ("\\u00", "\\b", "\\r")):
        assert json.loads(compact(found)) == value
        parts = laid_out(found)
        if not any(part.is_lines for part in parts):
            assert json.loads("".join(part.text for part in parts)) == value


@given(st.text(), st.integers(1, 50))
def test_a_cut_text_is_a_beginning(text: str, limit: int) -> None:
    """Never longer than allowed, and never empty for nothing."""
    start = cut(text, limit)
    assert text.startswith(start)
    assert len(start) <= limit
    assert start or not text


def test_cards_show_the_digits_that_were_sent() -> None:
    """In the arguments, in the line above them and in the result."""
    step = call('{"account": 2512292042121000001, "ratio": 1.10}')
    understood = {**step, "tool_input": {"account": 2512292042121000001, "ratio": 1.1}}
    assert gist(understood) == "account: 2512292042121000001, ratio: 1.10"
    assert "&quot;ratio&quot;: 1.10" in arguments(understood)
    first = '{"id": 1610521604143693812, "n": 1.0}'
    rows = f'[{first}, {{"id": 1610521604143693813, "n": 2.50}}]'
    shown = result({**step, "type": "tool_result", "content": rows})
    for number in ("1610521604143693812", "1610521604143693813", "1.0", "2.50"):
        assert number in shown


def test_arguments_that_are_not_quite_json_are_shown_as_understood() -> None:
    """The model wrote them so, the tool took them so."""
    step = call("{'a': 1,}", tool_input={"a": 1})
    assert gist(step) == "1"
    assert "&quot;a&quot;: 1" in arguments(step)
    assert "{&#x27;a&#x27;: 1,}" in arguments(call("{'a': 1,}"))


def test_lines_in_arguments_are_lines() -> None:
    """With plain quotes, and escaped."""
    step = call(json.dumps({"path": "a.py", "content": 'one\n  "<b>"\n'}))
    assert '<span class="lines">one\n  &quot;&lt;b&gt;&quot;\n</span>' in arguments(
        step
    )


@pytest.mark.parametrize("show", [arguments, result])
def test_of_much_the_beginning_is_shown(show: Any) -> None:
    """With what can be shown of it said."""
    step = call(json.dumps({"content": "line\n" * 100_000}))
    assert len(show(step)) < 6_000
    assert "Show all (500 KB)" in show(step)
    assert "Show all" not in show(call('{"a": 1}'))


def test_half_a_character_in_json_is_no_error() -> None:
    """It cannot be sent as UTF-8."""
    shown = arguments(call('{"a": "x\\ny\\ud83c", "b": "\\ud83c"}'))
    assert shown.encode("utf-8")
    assert "x\ny\ufffd" in shown
