r"""Formulas.

`$x$` and `\(x\)` in a line; `$$x$$` and `\[x\]` set apart, on lines of their own or
within a paragraph. How long one may be is bounded.

The twin of static/chat/js/view/markdown/grammar/formulas.js, which also reads text that
is still growing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

FORMULA_LIMIT: Final = 10_000  # characters between the delimiters
CODE_INDENT: Final = 4

_CLOSER: Final = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
# By opener: its closer, and what else counts within.
_MARKS: Final = {
    "$": re.compile(r"\$|\\.|[`{}]", re.DOTALL),
    "$$": re.compile(r"\$\$|\\.|[`${}]", re.DOTALL),
    "\\(": re.compile(r"\\.|[`${}]", re.DOTALL),
    "\\[": re.compile(r"\\.|[`${}]", re.DOTALL),
}
_DEPTH: Final = {"{": 1, "}": -1}
_SPACE: Final = " \t\n"
_FENCE: Final = re.compile(r"[ \t]*(?:```|~~~)")
_NONE: Final = -1

# Where code was met before the end of a formula that began with `\(` or `\[`: from
# anywhere in between the same would be found.
_met_code: Final = WeakKeyDictionary[StateInline | StateBlock, dict[str, int]]()


def _opener_at(src: str, at: int) -> str:
    """The delimiter that begins here, or ""."""
    pair = src[at : at + 2]
    if pair in _CLOSER:
        return pair
    return "$" if pair.startswith("$") else ""


def _content_end(
    state: StateInline | StateBlock,
    start: int,
    end: int,
    opener: str,
    is_code: Callable[[int], bool],
) -> int:
    """Where the content of a formula ends: at its closing delimiter; -1: nowhere.

    `is_code` says whether a code span begins at some backticks.
    """
    src, closer = state.src, _CLOSER[opener]
    met = _met_code.setdefault(state, {})
    if start < met.get(opener, 0):
        return _NONE
    last = min(end, start + FORMULA_LIMIT + len(closer))
    if src.find(closer, start, last) < 0:
        return _NONE
    depth = 0
    for match in _MARKS[opener].finditer(src, start, last):
        mark, at = match[0], match.start()
        if mark == closer:
            return at
        depth += _DEPTH.get(mark, 0)
        if mark == "$" and depth < 1:
            return _NONE
        if mark == "`" and is_code(at):
            # In braces a `$` may pass, so for dollars it matters where one begins.
            if not opener.startswith("$"):
                met[opener] = at
            return _NONE
    return _NONE


def _is_money(src: str, start: int, end: int) -> bool:
    """Whether this is the end of money rather than of a formula: `$5 and $6`."""
    following = src[end + 1 : end + 2]
    return src[start] in _SPACE or src[end - 1] in _SPACE or following in _DIGITS


_DIGITS: Final = frozenset("0123456789")


def inline_formula(state: StateInline, silent: bool) -> bool:
    """A formula within a paragraph."""
    src, start = state.src, state.pos
    opener = _opener_at(src, start)
    if not opener:
        return False
    start += len(opener)
    end = _formula_end(state, start, opener)
    if not _is_formula(src, start, end, opener):
        # `$$` is not an empty formula of two single signs.
        if opener != "$$":
            return False
        if not silent:
            state.append_pending(opener)
        state.pos = min(start, state.posMax)
        return True
    if not silent:
        _push_formula(state, src[start:end], is_display=_is_display(opener))
    state.pos = end + len(opener)
    return True


def _is_formula(src: str, start: int, end: int, opener: str) -> bool:
    if end <= start or not src[start:end].strip(_SPACE):
        return False
    return opener != "$" or not _is_money(src, start, end)


def _is_display(opener: str) -> bool:
    return opener in {"$$", "\\["}


def _push_formula(
    state: StateInline | StateBlock, source: str, *, is_display: bool
) -> Token:
    token = state.push("formula", "", 0)
    token.content = source.strip(_SPACE)
    token.meta = {"is_display": is_display}
    return token


_code_spans: Final = WeakKeyDictionary[StateInline, set[int]]()


def _formula_end(state: StateInline, start: int, opener: str) -> int:
    spans = _code_spans.get(state)
    if spans is None:
        spans = _code_spans[state] = _code_spans_of(state.src)
    return _content_end(state, start, state.posMax, opener, spans.__contains__)


def _code_spans_of(src: str) -> set[int]:
    """Where code spans can begin: at backticks that as many others follow."""
    lengths: set[int] = set()
    found: set[int] = set()
    for run in reversed(list(re.finditer("`+", src))):
        length = run.end() - run.start()
        if length in lengths:
            found.add(run.start())
        lengths.add(length)
    return found


def block_formula(
    state: StateBlock,
    start_line: int,
    end_line: int,
    silent: bool,
) -> bool:
    """A formula on lines of its own."""
    indent = state.sCount[start_line]
    if indent - state.blkIndent >= CODE_INDENT:
        return False
    begin = state.bMarks[start_line] + state.tShift[start_line]
    opener = _opener_at(state.src, begin)
    if not _is_display(opener):
        return False
    found = formula_lines(state, start_line, begin, end_line)
    if found is None or state.src[found.end : state.eMarks[found.line]].strip(_SPACE):
        return False
    if silent:
        return True
    text = state.getLines(start_line, found.line + 1, indent, False).strip(_SPACE)  # noqa: FBT003
    source = text[len(opener) : -len(opener)]
    token = _push_formula(state, source, is_display=True)
    token.block = True
    token.map = [start_line, found.line + 1]
    state.line = found.line + 1
    return True


class Found(NamedTuple):
    """The end of a formula that is set apart."""

    line: int  # its last
    end: int  # behind its closing delimiter


def formula_lines(
    state: StateBlock, start_line: int, begin: int, end_line: int
) -> Found | None:
    """Where a formula ends that begins at `begin` in a line.

    Its lines belong to the same quotation or item of a list; no fence is among them,
    and no blank line, unless its opening delimiter has its line to itself.
    """
    src = state.src
    opener = _opener_at(src, begin)
    start = begin + len(opener)
    is_alone = begin == state.bMarks[start_line] + state.tShift[start_line] and not src[
        start : state.eMarks[start_line]
    ].strip(_SPACE)
    end = _content_end(
        state, start, len(src), opener, lambda at: _is_code_span_in_line(src, at)
    )
    if end < 0 or not src[start:end].strip(_SPACE):
        return None
    line = _line_of(state, end, range(start_line, end_line), may_have_blanks=is_alone)
    return None if line is None else Found(line, end + len(opener))


def _line_of(
    state: StateBlock, end: int, lines: range, *, may_have_blanks: bool
) -> int | None:
    """The line of a formula's end, unless it could not reach it."""
    line = lines.start
    while state.eMarks[line] < end:
        line += 1
        if line >= lines.stop:
            return None
        if state.isEmpty(line):
            is_outside = not may_have_blanks
        else:
            is_outside = (
                state.sCount[line] < state.blkIndent
                or _FENCE.match(state.src, state.bMarks[line]) is not None
            )
        if is_outside:
            return None
    return line


def _is_code_span_in_line(src: str, at: int) -> bool:
    """Whether a code span begins here that ends in the same line.

    One that does not could be closed by text that is not there yet.
    """
    if at and src[at - 1] == "`":
        return False
    line_end = src.find("\n", at)
    return 0 in _code_spans_of(src[at : line_end if line_end >= 0 else len(src)])
