"""Paragraphs, and headings that are underlined.

CommonMark's rules, but a line within a formula is nothing else, even if it looks like
an item of a list or an underline.

The twin of static/chat/js/view/markdown/grammar/paragraph.js.
"""

from __future__ import annotations

import re
from typing import Final

from markdown_it.rules_block import StateBlock

from chat.markdown.formulas import Found, formula_lines

CODE_INDENT: Final = 3

_UNDERLINE: Final = re.compile(r"(?:(=+)|-+)[ \t]*\Z")
# What a formula over several lines begins with, and what hides such.
_MARK: Final = re.compile(r"\\[\[(]|\$\$|\\.|(`+)", re.DOTALL)
_OPENERS: Final = {"$$", "\\(", "\\["}
_SPACE: Final = " \t\n"


def paragraph(
    state: StateBlock,
    start_line: int,
    end_line: int,
    silent: bool,
) -> bool:
    """Text that is no other block."""
    parent_type = state.parentType
    state.parentType = "paragraph"
    line, underline = _last_line(state, start_line, end_line)
    state.parentType = parent_type
    content = state.getLines(start_line, line, state.blkIndent, False)  # noqa: FBT003
    state.line = line + 1 if underline else line
    kind, tag = ("heading", f"h{underline}") if underline else ("paragraph", "p")
    lines = [start_line, state.line]
    state.push(f"{kind}_open", tag, 1).map = lines
    token = state.push("inline", "", 0)
    token.content = content.strip(_SPACE)
    token.map = lines
    token.children = []
    state.push(f"{kind}_close", tag, -1)
    return True


def _last_line(state: StateBlock, start_line: int, end_line: int) -> tuple[int, int]:
    """The line after the last one; and if that is an underline, of which level."""
    rules = state.md.block.ruler.getRules("paragraph")
    formulas = _Formulas(state, start_line, end_line)
    line = start_line
    while (line := line + 1) < end_line and not state.isEmpty(line):
        if formulas.reach(line) or _is_certain(state, line):
            continue
        if underline := _underline_of(state, line):
            return line, underline
        if any(rule(state, line, end_line, True) for rule in rules):  # noqa: FBT003
            break
    return line, 0


def _is_certain(state: StateBlock, line: int) -> bool:
    """Whether the line belongs to the paragraph in any case.

    Code would be indented so, but not right after text; and of a line that is indented
    by less than nothing a quotation has found so already.
    """
    indent = state.sCount[line]
    return indent < 0 or indent - state.blkIndent > CODE_INDENT


def _underline_of(state: StateBlock, line: int) -> int:
    if state.sCount[line] < state.blkIndent:
        return 0
    start = state.bMarks[line] + state.tShift[line]
    match = _UNDERLINE.match(state.src[start : state.eMarks[line]])
    if match is None:
        return 0
    return 1 if match[1] else 2


class _Formulas:
    """The formulas of a paragraph that go on over its lines, found as it is read."""

    def __init__(self, state: StateBlock, start_line: int, end_line: int) -> None:
        self._state = state
        self._line = start_line
        self._end_line = end_line
        self._at = state.bMarks[start_line] + state.tShift[start_line]
        self._reached = 0  # the lines before this one are within a formula

    def reach(self, line: int) -> bool:
        """Whether one reaches this line from those above.

        A lazy line belongs to the paragraph, but not to the formula.
        """
        while self._line < line:
            self._read_line()
        return (
            line < self._reached and self._state.sCount[line] >= self._state.blkIndent
        )

    def _read_line(self) -> None:
        state = self._state
        end = state.eMarks[self._line]
        while (match := _MARK.search(state.src, self._at)) and match.start() < end:
            found = self._formula_at(match)
            if found is None:
                self._at = _behind_code(state.src, match, end)
                continue
            self._at = found.end
            if found.line > self._line:
                self._line = found.line
                self._reached = found.line + 1
                return
        self._line += 1
        self._at = state.bMarks[self._line] + state.tShift[self._line]

    def _formula_at(self, match: re.Match[str]) -> Found | None:
        if match[0] not in _OPENERS:
            return None
        return formula_lines(self._state, self._line, match.start(), self._end_line)


def _behind_code(src: str, match: re.Match[str], line_end: int) -> int:
    """Behind the code span that a match begins in this line; or behind the match."""
    if ticks := match[1]:
        for run in re.finditer("`+", src[match.end() : line_end]):
            if run[0] == ticks:
                return match.end() + run.end()
    return match.end()
