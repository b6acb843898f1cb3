"""Markdown as tokens, the same on both ends.

CommonMark with tables, tasks, `~~strike~~`, formulas and bare addresses. Raw HTML is
text, and addresses are only ever written where they are used.

The twin of static/chat/js/view/markdown/grammar/grammar.js; tests/contract/markdown
holds the two together.
"""

from __future__ import annotations

import re
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType

from chat.markdown.addresses import bare_address, text
from chat.markdown.emphasis import StateInline
from chat.markdown.formulas import block_formula, inline_formula
from chat.markdown.nesting import find_tasks, line_break, too_deep, trim_headings
from chat.markdown.paragraph import paragraph

PARAGRAPH_LIMIT: Final = 30_000  # characters; a longer one is shown as it is

# Of blocks fewer are possible; of labels in labels (`[[[…`), so many are looked at.
MAX_NESTING: Final = 45

_LINE_END: Final = re.compile("\r\n?|[\u2028\u2029]")
_CELLS: Final = {"td_open", "th_open"}


class _Inline(ParserInline):
    def parse(
        self, src: str, md: MarkdownIt, env: EnvType, tokens: list[Token]
    ) -> list[Token]:
        state = StateInline(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802
        """All are valid: what is not safe is shown as what it is."""
        return True

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802
        """As it was written."""
        return link


def _finish_blocks(state: StateCore) -> None:
    find_tasks(state.tokens)
    trim_headings(state.tokens)


def _read_inside(state: StateCore) -> None:
    """What is inside paragraphs, headings and cells."""
    before = ""
    for token in state.tokens:
        if token.type == "inline":
            _read_inline(state.md, token, is_cell=before in _CELLS)
        before = token.type


def _read_inline(md: MarkdownIt, token: Token, *, is_cell: bool) -> None:
    if len(token.content) > PARAGRAPH_LIMIT:
        token.children = [Token("plain", "", 0, content=token.content)]
        return
    token.children = []
    md.inline.parse(token.content, md, {"is_cell": is_cell}, token.children)


def _new_markdown() -> MarkdownIt:
    md = _Markdown("default", {"html": False, "maxNesting": MAX_NESTING})
    md.inline = _Inline()
    md.disable(["reference", "html_block", "html_inline", "lheading", "linkify"])
    core, block, inline = md.core.ruler, md.block.ruler, md.inline.ruler
    alt = ["paragraph", "reference", "blockquote", "list"]
    block.before("table", "too_deep", too_deep)
    block.before("fence", "formula", block_formula, {"alt": alt})
    block.at("paragraph", paragraph)
    inline.at("text", text)
    inline.after("text", "address", bare_address)
    inline.before("escape", "formula", inline_formula)
    inline.before("autolink", "line_break", line_break)
    core.after("block", "finish_blocks", _finish_blocks)
    core.at("inline", _read_inside)
    core.enableOnly(["normalize", "block", "finish_blocks", "inline"])
    return md


_markdown: Final = _new_markdown()


def parse(source: str) -> list[Token]:
    """The tokens of all blocks; `children` are those inside.

    Unicode's separators end lines; a byte order mark is nothing to be seen, and no
    space to all.
    """
    return _markdown.parse(_LINE_END.sub("\n", source).replace("\ufeff", ""))
