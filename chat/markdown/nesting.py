"""What is bounded, and what is found, in blocks within blocks.

The twin of static/chat/js/view/markdown/grammar/nesting.js.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from chat.markdown.characters import SPACES
from chat.markdown.paragraph import paragraph

# Of tokens: a quotation is one level, a list two. Markers beyond it are text.
DEEPEST: Final = 40

_TASK: Final = re.compile(r"\[([ xX])\][ \t\n]+(?=[^ \t\n])")
_TRIMMED: Final = {"heading_open", "td_open", "th_open"}
_LINE_BREAK: Final = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)


def too_deep(
    state: StateBlock,
    start_line: int,
    end_line: int,
    silent: bool,
) -> bool:
    """What lies deeper than can be read and shown is a paragraph."""
    if state.level < DEEPEST or silent:
        return False
    return paragraph(state, start_line, end_line, silent)


def find_tasks(tokens: Sequence[Token]) -> None:
    """Items of lists that begin with `[ ]` or `[x]` are tasks: `is_done` says which."""
    for item, opened, inline in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if item.type == "list_item_open" and opened.type == "paragraph_open":
            match = _TASK.match(inline.content)
            if match:
                item.meta = {"is_done": match[1] != " "}
                inline.content = inline.content[match.end() :]


def trim_headings(tokens: Sequence[Token]) -> None:
    """Headings and cells without spaces of any kind around them."""
    for before, token in pairwise(tokens):
        if token.type == "inline" and before.type in _TRIMMED:
            token.content = token.content.strip(SPACES)


def line_break(state: StateInline, silent: bool) -> bool:
    """`<br>` breaks a line in a table's cell, where there is no other way."""
    if not state.env.get("is_cell"):
        return False
    match = _LINE_BREAK.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        state.push("softbreak", "br", 0)
    state.pos = match.end()
    return True
