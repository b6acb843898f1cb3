"""The splitter of thoughts and tool calls."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from chat.agents.model.tags import THOUGHT_TAGS, TagSplitter
from chat.agents.model.textcalls import TextCall, Tools

TOOLS: Tools = {"calculator": {}, "get_time": {}}


class Recorder:
    """Joins adjacent pieces of a kind; remembers everything ever shown."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, str]] = []
        self.shown: list[str] = []

    def _add(self, kind: str, text: str) -> None:
        self.shown.append(text)
        if self.pieces and self.pieces[-1][0] == kind:
            text = self.pieces.pop()[1] + text
        self.pieces.append((kind, text))

    def say(self, text: str) -> None:
        self._add("text", text)

    def think(self, text: str) -> None:
        self._add("thought", text)

    def recast(self) -> None:
        self.pieces = [("thought", text) for _, text in self.pieces]

    def call_in_text(self, call: TextCall) -> None:
        shown = f"{call.name} {call.arguments}" if call.name else call.arguments
        self.pieces.append(("call", shown))


def split(*chunks: str, tool_calls: bool = True) -> Recorder:
    recorder = Recorder()
    splitter = TagSplitter(recorder, tools=TOOLS if tool_calls else None)
    for chunk in chunks:
        splitter.feed(chunk)
    splitter.close()
    return recorder


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello.", [("text", "Hello.")]),
        ("", []),
        ("  indented", [("text", "  indented")]),
        ("<think>a</think>b", [("thought", "a"), ("text", "b")]),
        ("\n<think>\na\n</think>\n\nb", [("thought", "a\n"), ("text", "b")]),
        ("<think></think>b", [("text", "b")]),
        ("<think>a < b</think>", [("thought", "a < b")]),
        ("<think>never closed </thi", [("thought", "never closed </thi")]),
        (
            "template opened it</think>\nb",
            [("thought", "template opened it"), ("text", "b")],
        ),
        ("a\n<tool_call>{}</tool_call>", [("text", "a\n"), ("call", "{}")]),
        (
            "a<tool_call>{}</tool_call>\nb",
            [("text", "a"), ("call", "{}"), ("text", "b")],
        ),
        (
            "<tool_call>1</tool_call>\n<tool_call>2</tool_call>",
            [("call", "1"), ("call", "2")],
        ),
        ("a<tool_call>{unclosed", [("text", "a"), ("call", "{unclosed")]),
        ("the `<think>` tag", [("text", "the `<think>` tag")]),
        ("use <think> and </b>", [("text", "use <think> and </b>")]),
        ("see `<tool_call>`", [("text", "see `<tool_call>`")]),
        ("2 < 3 <", [("text", "2 < 3 <")]),
        ("<<think>", [("text", "<<think>")]),
        (
            "<thinking>a</think>b</thinking>c",
            [("thought", "a</think>b"), ("text", "c")],
        ),
        ("I am <thinking>.", [("text", "I am <thinking>.")]),
        ("a\n<think>b</think>c", [("text", "a\n"), ("thought", "b"), ("text", "c")]),
    ],
)
def test_a_text_is_split_at_its_tags(text: str, pieces: list[tuple[str, str]]) -> None:
    assert split(text).pieces == pieces
    assert split(*text).pieces == pieces


def test_tool_calls_are_text_where_the_text_protocol_is_not_spoken() -> None:
    text = "a <tool_call>{}</tool_call>"
    assert split(text, tool_calls=False).pieces == [("text", text)]


def test_text_is_given_out_as_soon_as_it_is_certain() -> None:
    recorder = Recorder()
    splitter = TagSplitter(recorder)
    splitter.feed("Hello <")
    assert recorder.pieces == [("text", "Hello ")]
    splitter.feed("b>")
    assert recorder.pieces == [("text", "Hello <b>")]


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "<tool_call>",
            "</tool_call>",
            "<",
            "</",
            "<thi",
            "nk>",
            "`",
            " ",
            "\n",
            "a",
            "word ",
            '{"name": "x"}',
            '{"name": "calculator", "arguments": {"a": "}"}}',
            '[{"name": "get_time"}]',
            '{"city": ',
            "{",
            "}",
            "[",
            "]",
            "```",
            "``",
            "```json\n",
            "~~~",
            "\n```\n",
            "[TOOL_CALLS]",
            "<tools>",
            "</tools>",
            "<function=calculator>",
            "</function>",
            "<parameter=a>1</parameter>",
            "<thinking>",
            "</thinking>",
            "<|python_tag|>",
            "<|eom_id|>",
            "<|tool_call|>",
            "<|tool_calls_section_begin|>",
            "<|tool_call_begin|>",
            "<|tool_calls_section_end|>",
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁calls▁end｜>",
            "[CALL_ID]",
            "ü😀",
        ]
    ),
    max_size=25,
).map("".join)


@given(text=FRAGMENTS, data=st.data())
def test_any_cutting_gives_the_same_result(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    bounds = [0, *cuts, len(text)]
    chunks = [text[a:b] for a, b in pairwise(bounds)]
    assert split(*chunks).pieces == split(text).pieces


@given(text=FRAGMENTS)
def test_nothing_is_lost_but_tags_and_white_space(text: str) -> None:
    def bare(value: str) -> str:
        for tag in (
            *THOUGHT_TAGS,
            *THOUGHT_TAGS.values(),
            "<tool_call>",
            "</tool_call>",
        ):
            value = value.replace(tag, "")
        return "".join(value.split())

    pieces = split(text).pieces
    if any(kind == "call" for kind, _ in pieces):
        pieces = split(text, tool_calls=False).pieces
    # Tags that are torn open by a removed tag may look like tags: compare letters.
    letters = [c for c in bare(text) if c.isalpha() and c not in "thinkolg_c"]
    kept = "".join(piece for _, piece in pieces)
    assert [c for c in bare(kept) if c.isalpha() and c not in "thinkolg_c"] == letters
